//! Where things are in a platform's tree: as `trinity-e2e.yaml` says, by the usual names, or found by looking.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use walkdir::{DirEntry, WalkDir};

use super::{
    pin::spec_sources,
    render::MANIFESTS,
    text::{self, Node},
    tree::Tree,
};
use crate::{
    failure::{Attempt, Failure, Result},
    workspace,
    world::Cloud,
};

/// File in a platform's tree with what its manifests do not say.
pub const FILE: &str = "trinity-e2e.yaml";

/// Where things are in a platform's tree; paths are relative to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The root of each cloud: a file or a folder with what a person applies.
    pub roots: BTreeMap<Cloud, PathBuf>,
    /// Folder with settings of Argo CD, ConfigMaps in files of their names; need not exist.
    pub settings: PathBuf,
    /// Folder with what stands in each cloud, not relative.
    pub clouds: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    roots: BTreeMap<Cloud, PathBuf>,
    settings: Option<PathBuf>,
    clouds: Option<PathBuf>,
}

impl Layout {
    /// Finds out how the platform in a folder is laid out.
    ///
    /// # Errors
    /// When its file cannot be understood, or it has no root.
    pub fn find(platform: &Path) -> Result<Self> {
        let file = platform.join(FILE);
        let Said { mut roots, settings, clouds } = if file.exists() {
            let attempted = || format!("read {}", file.display());
            let text = fs::read_to_string(&file).attempting(attempted)?;
            serde_yaml::from_str(&text).attempting(attempted).map_err(Failure::misused)?
        } else {
            Said::default()
        };
        if roots.is_empty() {
            roots = usual(platform);
        }
        if roots.is_empty() {
            roots = found(platform)?;
        }
        let wrong = roots.values().find(|root| !platform.join(root).exists());
        if let Some(root) = wrong {
            let seen = format!("{} names the root {}, which does not exist", file.display(), root.display());
            return Err(Failure::new("find the platform's roots", seen)
                .next("its paths begin at the platform's folder")
                .misused());
        }
        Ok(Self {
            roots,
            settings: settings.unwrap_or_else(|| "bootstrap/argocd".into()),
            clouds: clouds.map_or_else(|| workspace().join("fixtures/worlds"), |folder| platform.join(folder)),
        })
    }

    /// The versions of a chart that the Applications of a cloud pin, as their files say it; what a patch makes of one is not
    /// among them.
    ///
    /// # Errors
    /// When the platform has no root for the cloud.
    pub fn pins(&self, platform: &Path, cloud: Cloud, chart: &str) -> Result<BTreeSet<String>> {
        self.root(platform, cloud, None)?;
        let documents = reached(platform, &[self.roots[&cloud].clone()]);
        let of = |document: &Node| {
            let is = |source: &&Node| source.get("chart").and_then(Node::text) == Some(chart);
            let source = spec_sources(document.get("spec")?).find(is)?;
            source.get("targetRevision")?.text().map(Into::into)
        };
        Ok(documents.iter().filter(|document| makes(document)).filter_map(of).collect())
    }

    /// The root of a cloud, or of the cell of that cloud with another release of the operator, which has a file of its own
    /// beside it.
    ///
    /// # Errors
    /// When the platform does not have it.
    pub fn root(&self, platform: &Path, cloud: Cloud, cell: Option<&str>) -> Result<PathBuf> {
        let attempted = || format!("find the platform's root for {cloud}");
        let root = self.roots.get(&cloud).map(|root| platform.join(root)).ok_or_else(|| {
            let known: Vec<&str> = self.roots.keys().map(|cloud| cloud.name()).collect();
            Failure::new(attempted(), format!("it has one for {} only", known.join(", ")))
                .next(format!("leave {cloud} out, or name its root in {FILE}"))
                .misused()
        })?;
        let Some(version) = cell else { return Ok(root) };
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let (stem, end) = (text(root.file_stem()), text(root.extension()));
        let file = root.with_file_name(format!("{stem}-eso-{version}.{end}"));
        if file.exists() {
            return Ok(file);
        }
        let seen = format!("{} does not exist", file.display());
        Err(Failure::new(attempted(), seen)
            .next(format!("the platform needs a root of its own for release {version}"))
            .misused())
    }
}

/// The roots at the usual place, `bootstrap/<cloud>/root.yaml`.
fn usual(platform: &Path) -> BTreeMap<Cloud, PathBuf> {
    let places = Cloud::ALL.map(|cloud| (cloud, PathBuf::from(format!("bootstrap/{cloud}/root.yaml"))));
    places.into_iter().filter(|(_, root)| platform.join(root).exists()).collect()
}

/// The roots as the manifests show them: files with Applications or ApplicationSets that no other leads to, each of the one
/// cloud whose provider the stores have that it leads to.
fn found(platform: &Path) -> Result<BTreeMap<Cloud, PathBuf>> {
    let refused = |why: String| {
        Failure::new("find the platform's roots", why)
            .next(format!("name them in {}: `roots: {{aws: path/of/a/file/or/folder}}`", platform.join(FILE).display()))
            .misused()
    };
    let makers = makers(platform)?;
    let led: BTreeSet<&PathBuf> = makers.values().flatten().collect();
    let mut roots: BTreeMap<Cloud, PathBuf> = BTreeMap::new();
    for (file, paths) in makers.iter().filter(|(file, _)| !led.iter().any(|path| file.starts_with(path))) {
        let clouds = clouds(platform, paths);
        let mut clouds = clouds.into_iter();
        let Some(cloud) = clouds.next() else { continue };
        if let Some(other) = clouds.next() {
            return Err(refused(format!("{} leads to stores of {cloud} and of {other}", file.display())));
        }
        if let Some(other) = roots.insert(cloud, file.clone()) {
            return Err(refused(format!("{} and {} both lead to stores of {cloud}", other.display(), file.display())));
        }
    }
    match roots.is_empty() {
        true => Err(refused(format!(
            "no file below {} has an Application or ApplicationSet that leads to a store of {}",
            platform.display(),
            Cloud::ALL.map(Cloud::name).join(", ")
        ))),
        false => Ok(roots),
    }
}

/// Every file with Applications or ApplicationSets, and the folders that they take their objects from.
fn makers(platform: &Path) -> Result<BTreeMap<PathBuf, Vec<PathBuf>>> {
    let mut makers: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    // What is hidden is Git's own, or somebody's tools.
    let shown = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.');
    for entry in WalkDir::new(platform).sort_by_file_name().into_iter().filter_entry(shown) {
        let entry = entry.attempting(|| format!("look through {}", platform.display()))?;
        let path = entry.path();
        if !path.extension().is_some_and(|end| MANIFESTS.iter().any(|known| end == *known)) {
            continue;
        }
        // What cannot be read as YAML is a chart's template, or something else that is no manifest.
        let Ok(documents) =
            fs::read_to_string(path).attempting(|| "read it".into()).and_then(|text| text::documents(&text))
        else {
            continue;
        };
        let relative = path.strip_prefix(platform).unwrap_or(path);
        for document in documents.iter().filter(|document| makes(document)) {
            makers.entry(relative.to_owned()).or_default().extend(sources(document));
        }
    }
    Ok(makers)
}

/// Whether it is an Application or an ApplicationSet.
fn makes(document: &Node) -> bool {
    let text = |field: &str| document.get(field).and_then(Node::text).unwrap_or_default();
    text("apiVersion").starts_with("argoproj.io/") && ["Application", "ApplicationSet"].contains(&text("kind"))
}

/// The folders in the tree that an Application or an ApplicationSet names. Of a pattern, the part before the first `*` or
/// parameter counts.
fn sources(document: &Node) -> Vec<PathBuf> {
    let Some(spec) = document.get("spec") else { return Vec::new() };
    let template = spec.get("template").and_then(|template| template.get("spec"));
    let mut paths: Vec<&str> = Vec::new();
    for spec in [Some(spec), template].into_iter().flatten() {
        paths.extend(spec_sources(spec).filter_map(|source| source.get("path")?.text()));
    }
    let generators = spec.get("generators").map(Node::items).unwrap_or_default().iter();
    let directories = generators.filter_map(|generator| generator.get("git")?.get("directories")).flat_map(Node::items);
    paths.extend(directories.filter_map(|directory| directory.get("path")?.text()));
    let fixed = |path: &str| {
        let parts = path.split('/').take_while(|part| !part.contains(['*', '{']));
        parts.filter(|part| !part.is_empty() && *part != ".").collect::<PathBuf>()
    };
    paths.into_iter().map(fixed).filter(|path| *path != PathBuf::new()).collect()
}

/// Everything that these files and folders lead to: their own documents, and those of the Applications in them in turn.
fn reached(platform: &Path, paths: &[PathBuf]) -> Vec<Node> {
    let (mut waiting, mut seen, mut documents) = (paths.to_vec(), BTreeSet::new(), Vec::new());
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let text = path.to_string_lossy();
        // What cannot be read cannot be rendered either, and is found then.
        let Ok(tree) = Tree::read(platform, [text.as_ref()]) else { continue };
        for (_, document) in tree.documents() {
            if makes(document) {
                waiting.extend(sources(document));
            }
            documents.push(document.clone());
        }
    }
    documents
}

/// The clouds of all stores that these folders lead to.
fn clouds(platform: &Path, paths: &[PathBuf]) -> BTreeSet<Cloud> {
    let mut clouds = BTreeSet::new();
    for document in reached(platform, paths) {
        let provider = document.get("spec").and_then(|spec| spec.get("provider"));
        let kind = document.get("kind").and_then(Node::text).unwrap_or_default();
        let has = |name: &str| kind.ends_with("SecretStore") && provider.is_some_and(|p| p.get(name).is_some());
        clouds.extend(Cloud::ALL.into_iter().filter(|cloud| has(cloud.provider())));
    }
    clouds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(files: &[(&str, &str)]) -> tempfile::TempDir {
        let platform = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = platform.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        platform
    }

    fn application(path: &str) -> String {
        format!("{{apiVersion: argoproj.io/v1alpha1, kind: Application, spec: {{source: {{path: {path}}}}}}}")
    }

    const SET: &str = "{apiVersion: argoproj.io/v1alpha1, kind: ApplicationSet, spec: \
                       {generators: [{git: {directories: [{path: apps/aws/*}]}}], template: {spec: {source: {path: '{{path}}'}}}}}";
    const CHART: &str = "{apiVersion: argoproj.io/v1alpha1, kind: Application, spec: \
                         {source: {chart: operator, targetRevision: 1.2.3}}}";
    const AWS: &str = "{kind: SecretStore, spec: {provider: {aws: {}}}}";
    const GCP: &str = "{kind: ClusterSecretStore, spec: {provider: {gcpsm: {}}}}";

    #[test]
    fn roots_are_found_by_what_they_lead_to() {
        let platform = platform(&[
            ("argocd/aws.yaml", SET),
            ("argocd/gcp.yaml", &application("clusters/gcp")),
            ("apps/aws/store/store.yaml", AWS),
            ("clusters/gcp/secrets.yaml", &application("secrets/gcp")),
            ("secrets/gcp/store.yaml", GCP),
            ("clusters/gcp/operator.yaml", CHART),
            ("charts/one/templates/no-yaml.yaml", "{{ if x }"),
            ("docs/example.yaml", &application("nowhere")),
        ]);
        let layout = Layout::find(platform.path()).unwrap();
        let expected = [(Cloud::Aws, "argocd/aws.yaml".into()), (Cloud::Gcp, "argocd/gcp.yaml".into())];
        assert_eq!(layout.roots, expected.into());
        let pins = |cloud| layout.pins(platform.path(), cloud, "operator").unwrap();
        assert_eq!((pins(Cloud::Aws), pins(Cloud::Gcp)), (BTreeSet::new(), BTreeSet::from(["1.2.3".to_owned()])));
    }

    #[test]
    fn what_is_ambiguous_or_absent_is_to_be_named() {
        let two = [("a.yaml", &*application("s")), ("b.yaml", &application("s")), ("s/store.yaml", AWS)];
        let both = [("a.yaml", &*application("s")), ("s/a.yaml", AWS), ("s/b.yaml", GCP)];
        for (files, told) in [
            (&two[..], "a.yaml and b.yaml both lead to stores of aws"),
            (&both, "a.yaml leads to stores of aws and of gcp"),
            (&two[..2], "that leads to a store of aws, gcp, azure"),
        ] {
            let failure = Layout::find(platform(files).path()).unwrap_err().to_string();
            assert!(failure.contains(told) && failure.contains("name them in"), "{failure}");
        }
    }

    #[test]
    fn the_file_comes_first_and_is_checked() {
        let root = application("s");
        let file = |text: &str| {
            let platform = platform(&[(FILE, text), ("r/root.yaml", &root), ("r/root-eso-1.yaml", &root)]);
            Layout::find(platform.path()).map(|layout| (layout, platform))
        };
        let (layout, platform) = file("roots: {gcp: r/root.yaml}\nsettings: argo\nclouds: clouds").unwrap();
        assert_eq!(layout.clouds, platform.path().join("clouds"));
        let root = |cell| layout.root(platform.path(), Cloud::Gcp, cell);
        assert_eq!(root(Some("1")).unwrap(), platform.path().join("r/root-eso-1.yaml"));
        assert!(root(Some("2")).is_err() && layout.root(platform.path(), Cloud::Aws, None).is_err());
        assert!(
            file("roots: {gcp: absent.yaml}").unwrap_err().to_string().contains("absent.yaml, which does not exist")
        );
        assert!(file("root: {}").unwrap_err().to_string().contains("unknown field `root`"));
    }
}
