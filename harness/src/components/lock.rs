//! The component lock: the one home of every third-party version, source and checksum.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Table;

use super::{Product, inheritance};
use crate::failure::{Attempt, Failure, Result};

/// What has been added to the lock's words, as those print that do not use it. Their recipes stay what they were before
/// the word was there, so that nobody has to make them again.
const UNUSED: [&str; 6] =
    [", like: None", ", npm: None", ", on_demand: false", ", optional: false", ", tags: []", ", workspace: None"];

/// `harness/components/lock.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Programs and files.
    pub component: Vec<Component>,
    /// Container images.
    pub image: Vec<Image>,
    /// Packages of the machine's own distribution.
    pub debian: Debian,
    /// Releases of the operator.
    pub operator: Releases,
    /// Releases of Argo CD.
    #[serde(default)]
    pub argocd: Choice<ArgocdRelease>,
    /// Releases of Kubernetes: the component of each.
    #[serde(default)]
    pub kubernetes: Choice<String>,
    /// What clusters of the backend kind need.
    #[serde(default)]
    pub kind: Kind,
    /// What the test of the report's page needs of the machine; runs do without it.
    #[serde(default)]
    pub browser: Debian,
}

/// One pinned third-party artifact. `{version}` in its texts stands for the version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Name, unique in the lock.
    pub name: String,
    /// Exact version.
    pub version: String,
    /// SPDX expression.
    pub licence: String,
    /// A file in the mirror folder.
    pub mirror: Option<Pinned>,
    /// Files published by the project.
    #[serde(default)]
    pub release: Vec<Release>,
    /// Built from Go modules by the wrapper module in `harness/components/<name>`.
    pub go: Option<Go>,
    /// Files of a Go module, read as they are.
    pub module: Option<Module>,
    /// Installed from PyPI.
    pub python: Option<Python>,
    /// Taken out of a package of npm.
    pub npm: Option<Npm>,
    /// Built from crates.io.
    pub cargo: Option<Cargo>,
    /// Built from this workspace.
    pub workspace: Option<Workspace>,
    /// The component that this is another release of.
    pub like: Option<String>,
    /// Only for images that are on demand.
    #[serde(default)]
    pub on_demand: bool,
}

/// A file and the checksum it must have.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Path below the mirror folder.
    pub path: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// A published file. Its checksum is pinned here, or the project publishes one beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Name of the file in the artifact.
    pub file: String,
    /// Address.
    pub url: String,
    /// The member to take when the address is a `.tar.gz`.
    pub member: Option<String>,
    /// SHA-256 of what is downloaded, hexadecimal.
    pub sha256: Option<String>,
    /// Address of what the project states about it: one digest, lines of `<digest>  <file name>`, or the index of a Helm
    /// repository.
    pub checksums: Option<String>,
}

/// How to build from Go modules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Go {
    /// Program name → main package.
    pub packages: BTreeMap<String, String>,
    /// Linker variables `name=value` that stamp the version.
    #[serde(default)]
    pub stamp: Vec<String>,
    /// Build tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Files inside a published Go module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Wrapper module whose go.sum vouches for it.
    pub wrapper: String,
    /// Module path.
    pub path: String,
    /// File name in the artifact → path inside the module.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Compile this C file to a static program of the component's name instead of copying it.
    #[serde(default)]
    pub compile: bool,
    /// Package this Helm chart as `external-secrets-<version>.tgz`.
    pub chart: Option<Chart>,
}

/// Sources of a Helm chart inside a Go module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    /// Folder of the chart.
    pub folder: String,
    /// The bundle of CRDs that its templates are made from.
    pub crds: String,
}

/// How to install from PyPI.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// Requirements file with hashes, below `harness/components`.
    pub requirements: String,
}

/// Files of the npm package that has the component's name and version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Npm {
    /// SHA-256 of the package, hexadecimal.
    pub sha256: String,
    /// File name in the artifact → member of the package.
    pub files: BTreeMap<String, String>,
}

/// How to build from crates.io.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cargo {
    /// Programs that the crate installs.
    pub programs: Vec<String>,
}

/// How to build from this workspace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// The member, in the folder of its name; its program has that name too and is linked statically.
    pub package: String,
}

/// A container image under the reference that charts and manifests use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The exact reference.
    pub reference: String,
    /// SPDX expression of the main program.
    pub licence: String,
    /// A docker-archive (`.tar.zst`) in the mirror folder.
    pub mirror: Option<Pinned>,
    /// How to compose it from components and Debian packages; absent when only a registry or the mirror has it.
    pub compose: Option<Compose>,
    /// A run goes on without it when no source has it, and says so.
    #[serde(default)]
    pub optional: bool,
    /// The image that this is another release of.
    pub like: Option<String>,
    /// A run gets it only when its platform names it.
    #[serde(default)]
    pub on_demand: bool,
}

/// Parts of a composed image, from the bottom up.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compose {
    /// Start from a Debian base system; the layer is shared by all images that do.
    pub debian: bool,
    /// Debian packages in a layer of their own.
    pub packages: Vec<String>,
    /// Files taken from the machine's Debian packages: path on the machine → path in the image.
    pub machine: BTreeMap<String, String>,
    /// `component/file` → path in the image.
    pub files: BTreeMap<String, String>,
    /// Symbolic link → target.
    pub links: BTreeMap<String, String>,
    /// Name every applet of the busybox at this path.
    pub applets: Option<String>,
    /// `path` → `user:group mode` of folders.
    pub folders: BTreeMap<String, String>,
    /// `path` → text of small files.
    pub texts: BTreeMap<String, String>,
    /// User of the main process.
    pub user: Option<String>,
    /// Its working folder.
    pub workdir: Option<String>,
    /// Its environment.
    pub env: Vec<String>,
    /// Its command.
    pub entrypoint: Vec<String>,
    /// Its default arguments.
    pub cmd: Vec<String>,
}

/// Packages of the machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    /// Release that the versions below and the images' base belong to.
    pub suite: String,
    /// Package → version seen working.
    pub packages: BTreeMap<String, String>,
}

/// What a cluster of the backend kind consists of beside what every world has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Image of a node.
    pub node: String,
    /// Images that run on it, as kubeadm names them.
    pub images: Vec<String>,
}

impl Kind {
    /// Whether an image is one that only this backend uses.
    pub fn owns(&self, reference: &str) -> bool {
        self.node == reference || self.images.iter().any(|image| image == reference)
    }
}

/// Releases of External Secrets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Releases {
    /// The release that the platform pins.
    pub pinned: String,
    /// The newest release that can be built from published modules alone.
    pub buildable: String,
    /// Version → its parts.
    pub release: BTreeMap<String, OperatorRelease>,
}

/// Parts of one release of External Secrets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorRelease {
    /// Component with the chart `external-secrets-<version>.tgz`.
    pub chart: String,
    /// Image that the chart names.
    pub image: String,
}

/// Releases of a part of every world, of which a run takes one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice<T> {
    /// The release that is taken: in the lock, when none is asked for.
    pub chosen: String,
    /// Version → its parts.
    pub release: BTreeMap<String, T>,
}

/// Parts of one release of Argo CD.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgocdRelease {
    /// Component with its manifests.
    pub files: String,
    /// Component with its Helm.
    pub helm: String,
    /// Component with its Kustomize.
    pub kustomize: String,
    /// Images that its manifests name.
    pub images: Vec<String>,
}

impl<T> Default for Choice<T> {
    /// None at all.
    fn default() -> Self {
        Self { chosen: String::new(), release: BTreeMap::new() }
    }
}

/// The release of that version; a refusal names those that there are.
fn find<'a, T>(what: &str, version: &str, releases: &'a BTreeMap<String, T>) -> Result<&'a T> {
    releases.get(version).ok_or_else(|| {
        let known: Vec<&str> = releases.keys().map(String::as_str).collect();
        Failure::new(format!("find {what} {version}"), "the component lock does not list it")
            .next(format!("it lists {}", known.join(" and ")))
            .misused()
    })
}

impl Lock {
    /// Reads the lock that belongs to this harness.
    ///
    /// # Errors
    /// When it is not a valid lock.
    pub fn load() -> Result<Self> {
        let attempted = || "read harness/components/lock.toml".to_owned();
        let mut lock: Table = toml::from_str(include_str!("../../components/lock.toml")).attempting(attempted)?;
        inheritance::fill(&mut lock, "component", "name")?;
        inheritance::fill(&mut lock, "image", "reference")?;
        lock.try_into().attempting(attempted)
    }

    /// Chooses the releases that worlds are made of, where they are named.
    ///
    /// # Errors
    /// When the lock does not list one of them.
    pub fn choose(&mut self, kubernetes: Option<&str>, argocd: Option<&str>) -> Result<()> {
        if let Some(version) = kubernetes {
            version.clone_into(&mut self.kubernetes.chosen);
        }
        if let Some(version) = argocd {
            version.clone_into(&mut self.argocd.chosen);
        }
        self.kubernetes()?;
        self.argocd().map(|_| ())
    }

    /// The component of the chosen release of Kubernetes.
    ///
    /// # Errors
    /// When there is no such release.
    pub fn kubernetes(&self) -> Result<&str> {
        self.kubernetes_release(&self.kubernetes.chosen)
    }

    /// The parts of the chosen release of Argo CD.
    ///
    /// # Errors
    /// When there is no such release.
    pub fn argocd(&self) -> Result<&ArgocdRelease> {
        self.argocd_release(&self.argocd.chosen)
    }

    /// Those of these images that a run gets only because its platform names them.
    pub fn on_demand<'a>(&'a self, named: &BTreeSet<&str>) -> Vec<&'a str> {
        let wanted = self.image.iter().filter(|image| image.on_demand && named.contains(image.reference.as_str()));
        wanted.map(|image| image.reference.as_str()).collect()
    }

    /// The images that every world with these releases of Argo CD has, whatever its operator.
    pub fn images(&self, argocd: &[&ArgocdRelease]) -> Vec<&str> {
        let has = |release: &ArgocdRelease, image: &String| release.images.contains(image);
        let of_operator = |image: &str| self.operator.release.values().any(|release| release.image == image);
        let of_another = |image: &String| {
            let of_any = self.argocd.release.values().any(|release| has(release, image));
            of_any && !argocd.iter().any(|release| has(release, image))
        };
        let references = self.image.iter().filter(|image| !image.on_demand).map(|image| &image.reference);
        let of_every = |image: &&String| !of_operator(image) && !of_another(image) && !self.kind.owns(image);
        references.filter(of_every).map(String::as_str).collect()
    }

    /// The component of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn component(&self, name: &str) -> Result<&Component> {
        self.component.iter().find(|c| c.name == name).ok_or_else(|| {
            Failure::new(format!("find component {name}"), "the component lock does not list it")
                .next("`trinity-e2e components list` shows what it lists")
                .misused()
        })
    }

    /// The image of that reference.
    ///
    /// # Errors
    /// When there is none.
    pub fn image(&self, reference: &str) -> Result<&Image> {
        self.image.iter().find(|i| i.reference == reference).ok_or_else(|| {
            Failure::new(format!("find image {reference}"), "the component lock does not list it")
                .next("`trinity-e2e components list` shows what it lists")
                .misused()
        })
    }

    /// The release of the operator with that version.
    ///
    /// # Errors
    /// When there is none.
    pub fn operator_release(&self, version: &str) -> Result<&OperatorRelease> {
        find("external-secrets", version, &self.operator.release)
    }

    /// The release of Argo CD with that version.
    ///
    /// # Errors
    /// When there is none.
    pub fn argocd_release(&self, version: &str) -> Result<&ArgocdRelease> {
        find("Argo CD", version, &self.argocd.release)
    }

    /// The component of the release of Kubernetes with that version.
    ///
    /// # Errors
    /// When there is none.
    pub fn kubernetes_release(&self, version: &str) -> Result<&str> {
        find("Kubernetes", version, &self.kubernetes.release).map(String::as_str)
    }

    /// The releases of a product; as they are texts, 1.10.0 is before 1.9.0.
    pub fn releases(&self, product: Product) -> Vec<&str> {
        match product {
            Product::ExternalSecrets => self.operator.release.keys().map(String::as_str).collect(),
            Product::Argocd => self.argocd.release.keys().map(String::as_str).collect(),
            Product::Kubernetes => self.kubernetes.release.keys().map(String::as_str).collect(),
        }
    }

    /// Whether a product has such a release.
    ///
    /// # Errors
    /// When it has not.
    pub fn lists(&self, product: Product, version: &str) -> Result<()> {
        match product {
            Product::ExternalSecrets => self.operator_release(version).map(drop),
            Product::Argocd => self.argocd_release(version).map(drop),
            Product::Kubernetes => self.kubernetes_release(version).map(drop),
        }
    }

    /// Folder of the wrapper modules and requirements.
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("components")
    }
}

impl Component {
    /// `text` with the version in place of `{version}`.
    pub fn fill(&self, text: &str) -> String {
        text.replace("{version}", &self.version)
    }

    /// What the lock says about how it is made, for its key in the cache.
    pub fn recipe(&self) -> String {
        recipe(&Self { like: None, on_demand: false, ..self.clone() })
    }
}

impl Image {
    /// What the lock says about how it is made, for its key in the cache.
    pub fn recipe(&self) -> String {
        // That a run can do without it, or wants it only sometimes, changes nothing about it.
        recipe(&Self { like: None, on_demand: false, optional: false, ..self.clone() })
    }
}

fn recipe(entry: &impl std::fmt::Debug) -> String {
    UNUSED.iter().fold(format!("{entry:?}"), |told, word| told.replace(word, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_tell_what_an_entry_uses_and_nothing_of_what_it_does_not() {
        let lock = Lock::load().unwrap();
        let recipe = |name: &str| lock.component(name).unwrap().recipe();
        assert!(
            recipe("etcd").ends_with("stamp: [] }), module: None, python: None, cargo: None }"),
            "{}",
            recipe("etcd")
        );
        assert!(recipe("prometheus").contains("tags: [\"netgo\", \"stringlabels\"]"));
        assert!(recipe("mandelbrot").contains("workspace: Some(Workspace { package: \"mandelbrot\" })"));
        assert!(lock.image.iter().all(|image| !image.recipe().contains("optional")));
        assert!(lock.image.iter().all(|image| !image.recipe().contains("on_demand")));
        assert!(lock.component.iter().all(|component| !component.recipe().contains("on_demand")));
        assert!(lock.component.iter().all(|component| !component.recipe().contains("like: ")));
    }

    #[test]
    fn another_release_is_made_like_the_one_that_it_is_like() {
        let lock = Lock::load().unwrap();
        let other = lock.component("kubernetes-1.36.3").unwrap();
        assert_eq!(other.release.len(), lock.component("kubernetes").unwrap().release.len());
        assert!(other.go.as_ref().unwrap().packages.contains_key("kubelet"));
        assert!(other.go.as_ref().unwrap().stamp.contains(&"k8s.io/component-base/version.gitMinor=36".into()));
        for component in lock.component.iter().filter(|component| component.like.is_some()) {
            assert!(component.name.ends_with(&format!("-{}", component.version)), "{}", component.name);
        }
    }

    #[test]
    fn a_world_has_the_images_of_the_chosen_releases_and_no_others() {
        let mut lock = Lock::load().unwrap();
        let argocd = |lock: &Lock| -> Vec<String> {
            let of_argocd = |image: &&str| image.contains("argocd") || image.contains("redis");
            let chosen = lock.argocd().unwrap();
            lock.images(&[chosen]).into_iter().filter(of_argocd).map(Into::into).collect()
        };
        assert_eq!(argocd(&lock), lock.argocd.release["3.2.11"].images);
        lock.choose(Some("1.36.3"), Some("3.6.1")).unwrap();
        assert_eq!(lock.kubernetes().unwrap(), "kubernetes-1.36.3");
        let mut chosen = lock.argocd().unwrap().images.clone();
        chosen.sort();
        assert_eq!(argocd(&lock), chosen);
        let all: Vec<&ArgocdRelease> = lock.argocd.release.values().collect();
        let images = lock.images(&all);
        assert!(all.iter().flat_map(|release| &release.images).all(|image| images.contains(&image.as_str())));
        assert!(!images.iter().any(|image| image.contains("external-secrets")));
    }

    #[test]
    fn an_image_on_demand_is_for_platforms_that_name_it() {
        let lock = Lock::load().unwrap();
        let (rollouts, busybox) = ("quay.io/argoproj/argo-rollouts:v1.8.5", "docker.io/library/busybox:1.36");
        assert!(!lock.images(&[lock.argocd().unwrap()]).contains(&rollouts));
        assert_eq!(lock.on_demand(&[busybox, rollouts, "example.com/other:1"].into()), [rollouts]);
        assert!(lock.on_demand(&[busybox].into()).is_empty());
        for image in &lock.image {
            for part in image.compose.iter().flat_map(|compose| compose.files.keys()) {
                let component = lock.component(part.split_once('/').unwrap().0).unwrap();
                assert!(image.on_demand || !component.on_demand, "{} needs {part} always", image.reference);
            }
            assert!(!image.on_demand || image.optional, "a platform is tested without {} too", image.reference);
        }
    }

    #[test]
    fn a_release_that_is_not_listed_is_refused_with_those_that_are() {
        let refusal = |kubernetes, argocd| Lock::load().unwrap().choose(kubernetes, argocd).unwrap_err().to_string();
        let known = "could not find Kubernetes 1.30.0: the component lock does not list it\n  next: it lists 1.34.4 and 1.35.4 and 1.36.3";
        assert_eq!(refusal(Some("1.30.0"), None), known);
        assert!(refusal(None, Some("2.0.0")).contains("find Argo CD 2.0.0"));
        for product in [Product::ExternalSecrets, Product::Argocd, Product::Kubernetes] {
            let lock = Lock::load().unwrap();
            assert!(lock.releases(product).into_iter().all(|version| lock.lists(product, version).is_ok()));
            assert!(lock.lists(product, "0.0.1").unwrap_err().to_string().contains(&format!("find {product} 0.0.1")));
        }
    }

    #[test]
    fn every_part_of_every_release_is_listed() {
        let lock = Lock::load().unwrap();
        for component in lock.kubernetes.release.values() {
            lock.component(component).unwrap();
        }
        for release in lock.argocd.release.values() {
            for component in [&release.files, &release.helm, &release.kustomize] {
                lock.component(component).unwrap();
            }
            for image in &release.images {
                lock.image(image).unwrap();
            }
        }
    }
}
