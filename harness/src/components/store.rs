//! The store: gives every component and image of the lock, from the first source that has it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;
use tracing::info;
use walkdir::WalkDir;

use super::{
    artifact::{Artifact, Chart, ImageSet, Missing, Need},
    cache::{Cache, Entry, Making, Origin, hash, hash_bytes},
    compose, debian,
    download::Web,
    image,
    lock::{Component, Image, Lock, Workspace},
    registry, unpacked,
};
use crate::{
    failure::{Attempt, Failure, Result},
    workspace,
};

/// Repository of the operator's charts, which the component lock has.
pub const REPOSITORY: &str = "https://charts.external-secrets.io";

/// Where a store looks and keeps.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The cache; by default `$XDG_CACHE_HOME/trinity-e2e`, or `~/.cache/trinity-e2e`.
    pub cache: Option<PathBuf>,
    /// A folder of artifacts (`charts/`, `images/`); by default `../shared/mirror` when it is there.
    pub mirror: Option<PathBuf>,
}

/// A release of External Secrets.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Its version.
    pub version: String,
    /// Its Helm chart.
    pub chart: Artifact,
    /// Its image.
    pub image: ImageSet,
    /// Why it stands in for the pinned release; nothing when it is that, or was asked for.
    pub stands_in: Option<String>,
}

impl Operator {
    /// The archive of its chart, which its own repository has.
    pub fn archive(&self) -> Chart {
        let archive = self.chart.path.join(format!("external-secrets-{}.tgz", self.version));
        Chart { repository: REPOSITORY.into(), archive }
    }
}

/// Finds artifacts and keeps them.
#[derive(Debug)]
pub struct Store {
    /// The component lock.
    pub lock: Lock,
    pub(super) cache: Cache,
    pub(super) mirror: Option<PathBuf>,
    pub(super) web: Web,
    /// One compiler at a time: each uses all processors.
    pub(super) building: Mutex<()>,
}

impl Store {
    /// Opens the store of the harness's own component lock.
    ///
    /// # Errors
    /// When the lock is not valid, the cache cannot be made, or a mirror was named that is not there.
    pub fn open(options: Options) -> Result<Self> {
        Self::with(Lock::load()?, options)
    }

    /// Opens the store of a component lock.
    ///
    /// # Errors
    /// When the cache cannot be made, or a mirror was named that is not there.
    pub fn with(lock: Lock, options: Options) -> Result<Self> {
        Self::over(lock, options, Cache::open)
    }

    /// The store of the harness's own component lock as it is, for somebody who only looks: nothing can be got.
    ///
    /// # Errors
    /// When the lock is not valid, or a mirror was named that is not there.
    pub fn look(options: Options) -> Result<Self> {
        Self::over(Lock::load()?, options, |root| Ok(Cache::look(root)))
    }

    fn over(lock: Lock, options: Options, cached: impl FnOnce(PathBuf) -> Result<Cache>) -> Result<Self> {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = options
            .cache
            .or_else(|| {
                std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|c| c.join("trinity-e2e"))
            })
            .ok_or_else(|| Failure::new("find the cache", "neither XDG_CACHE_HOME nor HOME is set"))?;
        if let Some(mirror) = options.mirror.as_ref().filter(|m| !m.is_dir()) {
            return Err(Failure::new(format!("use the mirror {}", mirror.display()), "it is not a folder").misused());
        }
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/mirror");
        Ok(Self {
            lock,
            cache: cached(cache)?,
            mirror: options.mirror.or_else(|| beside.is_dir().then_some(beside)),
            web: Web::new()?,
            building: Mutex::new(()),
        })
    }

    /// The same store for worlds of these releases, where they are named.
    ///
    /// # Errors
    /// When the lock does not list one of them.
    pub fn choosing(mut self, kubernetes: Option<&str>, argocd: Option<&str>) -> Result<Self> {
        self.lock.choose(kubernetes, argocd).map(|()| self)
    }

    /// The cache behind this store.
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Gets one component.
    ///
    /// # Errors
    /// When no source has it: every source, and why not.
    pub async fn obtain(&self, name: &str) -> Result<Artifact> {
        let component = self.lock.component(name)?;
        let key = self.key(component)?;
        let entry = self.entry(&key, async |making| self.find(component, &key, making).await).await?;
        Ok(Artifact { name: entry.name, version: entry.version, path: self.cache.tree(&key), origin: entry.origin })
    }

    /// Names of the files of a component with their SHA-256; nothing of one that was never got.
    ///
    /// # Errors
    /// When what it is made from cannot be read.
    pub fn digests(&self, component: &Component) -> Result<BTreeMap<String, String>> {
        let entry = self.cache.entry(&self.key(component)?);
        Ok(entry.map(|entry| entry.files).unwrap_or_default())
    }

    /// Gets images under the references that manifests use.
    ///
    /// # Errors
    /// When no source has one of them.
    pub async fn images(&self, references: &[&str]) -> Result<ImageSet> {
        let mut set = ImageSet { blobs: self.cache.blobs(), ..ImageSet::default() };
        for reference in references {
            let (artifact, manifest) = self.image(self.lock.image(reference)?).await?;
            set.refs.insert((*reference).to_owned(), manifest);
            set.artifacts.push(artifact);
        }
        Ok(set)
    }

    /// Gets images under the references that manifests use, except for the optional ones that no source has.
    ///
    /// # Errors
    /// When no source has one that is not optional.
    pub async fn available(&self, references: &[&str]) -> Result<(ImageSet, Vec<Missing>)> {
        let (mut had, mut missing) = (Vec::new(), Vec::new());
        for reference in references {
            let wanted = self.lock.image(reference)?;
            match self.image(wanted).await {
                Err(failure) if wanted.optional => {
                    let reason: Vec<&str> = failure.seen().lines().map(str::trim).collect();
                    let what = Need::Image(wanted.reference.clone());
                    missing.push(Missing { what, reason: reason.join(": ") });
                }
                outcome => {
                    outcome?;
                    had.push(*reference);
                }
            }
        }
        Ok((self.images(&had).await?, missing))
    }

    /// The operator: the `wanted` release, or the `pinned` one when a source has its chart and image, else the buildable one.
    ///
    /// # Errors
    /// When none can be had.
    pub async fn operator(&self, wanted: Option<&str>, pinned: &str) -> Result<Operator> {
        self.lock.operator_release(wanted.unwrap_or(pinned))?;
        match self.operator_release(wanted.unwrap_or(pinned)).await {
            Err(failure) if wanted.is_none() => {
                let buildable = &self.lock.operator.buildable;
                info!("external-secrets {pinned} cannot be had, {buildable} stands in");
                let operator = self.operator_release(buildable).await?;
                Ok(Operator { stands_in: Some(failure.to_string()), ..operator })
            }
            outcome => outcome,
        }
    }

    async fn operator_release(&self, version: &str) -> Result<Operator> {
        let release = self.lock.operator_release(version)?;
        let chart = self.obtain(&release.chart).await?;
        let image = self.images(&[&release.image]).await?;
        Ok(Operator { version: version.into(), chart, image, stands_in: None })
    }

    /// Hashes every cached file again; returns the names of those that changed, after forgetting them.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn verify(&self) -> Result<Vec<String>> {
        let mut broken = Vec::new();
        for (key, entry) in self.cache.entries() {
            for (file, sha256) in &entry.files {
                let seen = hash(&self.cache.blob(sha256)).attempting(|| format!("read {file} of {}", entry.name))?;
                if seen != *sha256 {
                    broken.push(format!("{}: {file}", entry.name));
                    fs::remove_file(self.cache.blob(sha256))
                        .attempting(|| format!("remove {file} of {}", entry.name))?;
                    self.cache.forget(&key)?;
                    break;
                }
            }
        }
        Ok(broken)
    }

    /// The cache key: the name, and everything that the artifact is made from.
    pub(super) fn key(&self, component: &Component) -> Result<String> {
        let mut recipe = component.recipe();
        let folder = Lock::folder();
        let wrapper = folder.join(&component.name);
        let requirements = component.python.iter().map(|p| folder.join(&p.requirements));
        let sources = component.workspace.iter().map(sources_of).collect::<Result<Vec<_>>>()?;
        let wrapper = ["go.mod", "go.sum", "tools.go"].map(|f| wrapper.join(f));
        for file in wrapper.into_iter().chain(requirements).chain(sources.into_iter().flatten()) {
            if file.exists() {
                recipe += &hash(&file).attempting(|| format!("read {}", file.display()))?;
            }
        }
        Ok(format!("{}-{}-{}", component.name, component.version, &hash_bytes(recipe.as_bytes())[..12]))
    }

    async fn find(&self, component: &Component, key: &str, making: &Making) -> Result<Entry> {
        let label = format!("component {} {}", component.name, component.version);
        let (origin, files) = first(&label, "one of these sources", sources(component), async |origin| {
            info!("{label}: {}", attempt(origin));
            self.files(component, origin, key, making).await
        })
        .await?;
        let entry =
            Entry { name: component.name.clone(), version: component.version.clone(), origin, files, manifest: None };
        info!("{label}: from {origin}");
        Ok(entry)
    }

    /// Pulls an image that is not in the lock, again even when the cache has it, because its tag may have moved. Returns
    /// its digest (`sha256:…`).
    ///
    /// # Errors
    /// When its registry cannot be reached or does not have it, and the cache has not either.
    pub async fn pull(&self, reference: &str) -> Result<String> {
        let key = format!("pulled-{}", plain(reference));
        let making = self.cache.make(&key).await?;
        match registry::pull(&self.web, &self.cache, &making, reference).await {
            Ok((files, digest)) => {
                let entry = Entry {
                    name: reference.into(),
                    version: digest.clone(),
                    origin: Origin::Pull,
                    files,
                    manifest: Some(digest.clone()),
                };
                self.cache.publish(&key, &making, &entry)?;
                Ok(digest)
            }
            Err(failure) => self.cache.entry(&key).and_then(|entry| entry.manifest).ok_or(failure),
        }
    }

    /// The cache key of an image: its reference, and everything that it is made from.
    pub(super) fn image_key(&self, wanted: &Image) -> Result<String> {
        let parts = match &wanted.compose {
            Some(compose) => {
                let names: std::collections::BTreeSet<&str> =
                    compose.files.keys().filter_map(|f| f.split_once('/')).map(|(name, _)| name).collect();
                names
                    .into_iter()
                    .map(|name| self.key(self.lock.component(name)?))
                    .collect::<Result<Vec<_>>>()?
                    .join(" ")
            }
            None => String::new(),
        };
        let recipe = format!("{} {parts} {:?}", wanted.recipe(), self.lock.debian);
        Ok(format!("image-{}-{}", plain(&wanted.reference), &hash_bytes(recipe.as_bytes())[..12]))
    }

    async fn image(&self, wanted: &Image) -> Result<(Artifact, String)> {
        let key = self.image_key(wanted)?;
        let entry = self.entry(&key, async |making| self.find_image(wanted, making).await).await?;
        let manifest = entry.manifest.clone().ok_or_else(|| {
            Failure::new(format!("use image {}", wanted.reference), "its cache entry has no manifest")
        })?;
        let artifact =
            Artifact { name: entry.name, version: entry.version, path: self.cache.blobs(), origin: entry.origin };
        Ok((artifact, manifest))
    }

    async fn find_image(&self, wanted: &Image, making: &Making) -> Result<Entry> {
        let label = format!("image {}", wanted.reference);
        let origins = [
            (wanted.mirror.is_some(), Origin::Mirror),
            // An image of this host is in no registry.
            (!wanted.reference.starts_with("localhost/"), Origin::Pull),
            (wanted.compose.is_some(), Origin::Build),
        ];
        let (origin, (files, manifest)) = first(&label, "its registry", named(origins), async |origin| {
            match (origin, &wanted.mirror, &wanted.compose) {
                (Origin::Mirror, Some(pinned), _) => {
                    self.mirrored(pinned).and_then(|archive| image::import(&self.cache, making, &archive))
                }
                (Origin::Build, _, Some(recipe)) => {
                    info!("{label}: composing it from components and Debian packages");
                    compose::compose(self, making, recipe).await
                }
                _ => registry::pull(&self.web, &self.cache, making, &wanted.reference).await,
            }
        })
        .await?;
        let version = wanted.reference.rsplit(':').next().unwrap_or_default().to_owned();
        let entry = Entry { name: wanted.reference.clone(), version, origin, files, manifest: Some(manifest) };
        info!("{label}: from {origin}");
        Ok(entry)
    }

    /// The layer with Debian's base system, which composed images share.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) async fn base(&self) -> Result<image::Layer> {
        let suite = &self.lock.debian.suite;
        let key = format!("debian-{suite}-base");
        let entry = self
            .entry(&key, async |making| {
                info!("Debian {suite}: making the base layer of composed images");
                let layer = debian::base(&self.cache, making, suite).await?;
                Ok(Entry {
                    name: "debian-base".into(),
                    version: suite.clone(),
                    origin: Origin::Debian,
                    files: BTreeMap::from([("layer".to_owned(), layer.sha256)]),
                    manifest: Some(String::new()),
                })
            })
            .await?;
        let sha256 = entry.files.get("layer").cloned().unwrap_or_default();
        let size = fs::metadata(self.cache.blob(&sha256)).attempting(|| format!("read {sha256}"))?.len();
        Ok(image::Layer { sha256, size })
    }

    /// Folder of these images as containerd unpacks them.
    ///
    /// # Errors
    /// When containerd fails.
    pub async fn unpacked(&self, images: &ImageSet) -> Result<PathBuf> {
        let key = format!("unpacked-{}", &hash_bytes(format!("{:?}", images.refs).as_bytes())[..12]);
        self.entry(&key, async |making| {
            info!("images: unpacking {} once for all worlds", images.refs.len());
            unpacked::unpack(making, images).await?;
            self.cache.place(&making.folder.join("root"), &key)?;
            Ok(Entry {
                name: "unpacked images".into(),
                version: images.refs.len().to_string(),
                origin: Origin::Build,
                files: BTreeMap::new(),
                manifest: None,
            })
        })
        .await?;
        Ok(self.cache.tree(&key))
    }

    /// The entry of an artifact; `produce` makes it when the cache does not have it, once, whoever else wants it too.
    pub(super) async fn entry(&self, key: &str, produce: impl AsyncFnOnce(&Making) -> Result<Entry>) -> Result<Entry> {
        if let Some(entry) = self.cache.entry(key) {
            return Ok(entry);
        }
        let making = self.cache.make(key).await?;
        if let Some(entry) = self.cache.entry(key) {
            return Ok(entry);
        }
        let entry = produce(&making).await?;
        self.cache.publish(key, &making, &entry)?;
        Ok(entry)
    }

    /// Gets components and images, as `components fetch` does; a failure does not stop the others. When none is named, it
    /// gets all but those that are another release of one, or on demand: only some runs need them.
    ///
    /// # Errors
    /// When the lock does not list a name.
    pub async fn fetch(&self, names: &[String]) -> Result<Vec<(String, Result<Origin>)>> {
        let listed = |name: &String| self.lock.component(name).is_ok() || self.lock.image(name).is_ok();
        if let Some(name) = names.iter().find(|name| !listed(name)) {
            return Err(Failure::new(format!("get {name}"), "the component lock does not list it")
                .next("`trinity-e2e components list` shows what it lists")
                .misused());
        }
        let wanted = |name: &String, always: bool| match names.is_empty() {
            true => always,
            false => names.contains(name),
        };
        let components = self.lock.component.iter().filter(|c| wanted(&c.name, c.like.is_none() && !c.on_demand));
        let components = stream::iter(components).map(async |c| {
            let got = self.obtain(&c.name).await;
            (c.name.clone(), got.map(|a| a.origin))
        });
        let mut outcomes: Vec<(String, Result<Origin>)> = components.buffer_unordered(4).collect().await;
        let images = self.lock.image.iter();
        for image in images.filter(|image| wanted(&image.reference, image.like.is_none() && !image.on_demand)) {
            let got = self.image(image).await;
            outcomes.push((image.reference.clone(), got.map(|(a, _)| a.origin)));
        }
        Ok(outcomes)
    }

    /// Gets several components at once.
    ///
    /// # Errors
    /// The first that no source has.
    pub async fn all(&self, names: &[&str]) -> Result<Vec<Artifact>> {
        stream::iter(names.to_vec()).map(|name| self.obtain(name)).buffered(8).try_collect().await
    }
}

/// What the first of `origins` gives that has it. `reachable` is what a machine without a mirror has to reach.
pub(super) async fn first<T>(
    label: &str,
    reachable: &str,
    origins: Vec<Origin>,
    make: impl AsyncFn(Origin) -> Result<T>,
) -> Result<(Origin, T)> {
    let mut refusals = Vec::new();
    for origin in origins {
        match make(origin).await {
            Ok(made) => return Ok((origin, made)),
            Err(failure) => {
                info!("{label}: not by {origin}: {}", first_line(&failure));
                refusals.push(format!("{origin}: {failure}"));
            }
        }
    }
    Err(Failure::new(format!("get {label}"), format!("no source has it\n    {}", refusals.join("\n    ")))
        .next(format!("put it into a mirror folder (--mirror), or run where {reachable} can be reached")))
}

/// The sources that the lock names for a component, in the order in which they are tried.
pub(super) fn sources(component: &Component) -> Vec<Origin> {
    let Component { go, module, cargo, npm, workspace, .. } = component;
    let built = go.is_some() || module.is_some() || cargo.is_some() || workspace.is_some();
    named([
        (component.mirror.is_some(), Origin::Mirror),
        (!component.release.is_empty(), Origin::Download),
        (component.python.is_some(), Origin::PyPI),
        (npm.is_some(), Origin::Npm),
        (built, Origin::Build),
    ])
}

/// The files that a member of the workspace is made from, in the same order every time.
fn sources_of(member: &Workspace) -> Result<Vec<PathBuf>> {
    let workspace = workspace();
    let mut files = vec![workspace.join("Cargo.lock"), workspace.join("Cargo.toml")];
    for entry in WalkDir::new(workspace.join(&member.package)).sort_by_file_name() {
        let entry = entry.attempting(|| format!("list the sources of {}", member.package))?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// Those of `origins` that the lock names.
fn named(origins: impl IntoIterator<Item = (bool, Origin)>) -> Vec<Origin> {
    origins.into_iter().filter_map(|(named, origin)| named.then_some(origin)).collect()
}

const fn attempt(origin: Origin) -> &'static str {
    match origin {
        Origin::Mirror => "looking in the mirror folder",
        Origin::Download => "downloading the release",
        Origin::Pull => "pulling",
        Origin::Build => "building from sources",
        Origin::Debian => "installing from Debian",
        Origin::PyPI => "installing from PyPI",
        Origin::Npm => "taking it from npm",
    }
}

/// An image reference as a file name.
pub(super) fn plain(reference: &str) -> String {
    reference.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

fn first_line(failure: &Failure) -> String {
    failure.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_made_from_its_own_files_and_the_workspaces_manifests() {
        let files = sources_of(&Workspace { package: "mandelbrot".into() }).unwrap();
        for file in ["Cargo.lock", "Cargo.toml", "mandelbrot/Cargo.toml", "mandelbrot/src/main.rs"] {
            assert!(files.contains(&workspace().join(file)), "{file}: {files:?}");
        }
        assert!(sources_of(&Workspace { package: "absent".into() }).is_err());
    }
}
