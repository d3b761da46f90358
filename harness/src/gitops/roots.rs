//! The root of a platform: what a person applies, a file or a folder of Applications and ApplicationSets, from which
//! everything else follows.

use std::{collections::BTreeSet, fmt, fs, path::Path};

use kube::{Client, core::DynamicObject};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    argocd,
    manifest::{Applier, parse},
    render::{self, is_application, is_set},
};
use crate::failure::{Attempt, Failure, Result};

/// Names of the Applications and ApplicationSets of a root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// Applications, in Argo CD's namespace.
    pub applications: Vec<String>,
    /// ApplicationSets, in Argo CD's namespace.
    pub sets: Vec<String>,
}

impl Roots {
    /// Reads the names in the file or folder `root`.
    ///
    /// # Errors
    /// When it cannot be read, or has neither an Application nor an ApplicationSet.
    pub fn read(root: &Path) -> Result<Self> {
        let objects = objects(root)?;
        let names = |such: fn(&DynamicObject) -> bool| -> Vec<String> {
            objects.iter().filter(|object| such(object)).filter_map(|object| object.metadata.name.clone()).collect()
        };
        Ok(Self { applications: names(is_application), sets: names(is_set) })
    }
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = self.sets.iter().map(|name| format!("ApplicationSet {name}"));
        write!(f, "{}", self.applications.iter().cloned().chain(sets).collect::<Vec<_>>().join(", "))
    }
}

/// Everything in the file or folder `root`; a folder's files count, those of folders in it do not.
///
/// # Errors
/// When it cannot be read, or has neither an Application nor an ApplicationSet.
pub fn objects(root: &Path) -> Result<Vec<DynamicObject>> {
    let attempted = || format!("read the platform's root {}", root.display());
    let text =
        if root.is_dir() { render::manifests(root, false)? } else { fs::read_to_string(root).attempting(attempted)? };
    let objects = parse(&text, &root.display().to_string())?;
    if objects.iter().any(|object| is_application(object) || is_set(object)) {
        return Ok(objects);
    }
    Err(Failure::new(attempted(), "it has neither an Application nor an ApplicationSet"))
}

/// URL of the Git repository that the root comes from.
///
/// # Errors
/// When the root cannot be read or names none.
pub fn repository(root: &Path) -> Result<String> {
    let url = objects(root)?.iter().find_map(|object| url(&object.data["spec"]));
    url.ok_or_else(|| {
        Failure::new(format!("find the repository of {}", root.display()), "none of its sources is a Git repository")
    })
}

/// The first Git repository that the spec of an Application or an ApplicationSet names.
fn url(spec: &Value) -> Option<String> {
    let from = |spec: &Value| git_sources(spec).find_map(|source| source["repoURL"].as_str().map(Into::into));
    let generators = spec["generators"].as_array().into_iter().flatten();
    let generated = || generators.filter_map(|generator| generator["git"]["repoURL"].as_str()).next().map(Into::into);
    from(spec).or_else(generated).or_else(|| from(&spec["template"]["spec"]))
}

/// The branches and tags of their repository that the roots follow.
///
/// # Errors
/// When the root cannot be read.
pub fn revisions(root: &Path) -> Result<BTreeSet<String>> {
    let objects = objects(root)?;
    let specs = objects.iter().map(|object| &object.data["spec"]).flat_map(|spec| [spec, &spec["template"]["spec"]]);
    let all = specs.flat_map(git_sources).filter_map(|source| source["targetRevision"].as_str());
    let usual = |revision: &&str| !["", "HEAD", "main"].contains(revision) && !revision.contains("{{");
    Ok(all.filter(usual).map(Into::into).collect())
}

/// The sources in an Application's spec.
pub fn sources(spec: &Value) -> impl Iterator<Item = &Value> {
    spec["sources"].as_array().into_iter().flatten().chain(spec.get("source"))
}

/// Those that are in Git.
fn git_sources(spec: &Value) -> impl Iterator<Item = &Value> {
    sources(spec).filter(|source| source.get("chart").is_none())
}

/// Applies the root, the one thing that a person applies.
///
/// # Errors
/// When it cannot be read or the API server refuses it.
pub async fn plant(client: &Client, root: &Path) -> Result<Roots> {
    Applier::new(client).await?.apply(objects(root)?, argocd::NAMESPACE).await?;
    Roots::read(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = "{apiVersion: argoproj.io/v1alpha1, kind: ApplicationSet, metadata: {name: all}, spec: \
                       {generators: [{git: {repoURL: https://a/b}}]}}";
    const APPLICATION: &str = "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: one}, spec: \
                               {sources: [{chart: c, repoURL: https://charts}, {path: p, repoURL: https://a/b, targetRevision: release}]}}";

    #[test]
    fn a_folder_is_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a.yaml", SET);
        write("b.yaml", APPLICATION);
        let roots = Roots::read(folder.path()).unwrap();
        assert_eq!(roots, Roots { applications: vec!["one".into()], sets: vec!["all".into()] });
        assert_eq!(roots.to_string(), "one, ApplicationSet all");
        for name in ["a.yaml", "b.yaml"] {
            assert_eq!(repository(&folder.path().join(name)).unwrap(), "https://a/b");
        }
        assert_eq!(revisions(folder.path()).unwrap(), BTreeSet::from(["release".to_owned()]));
        write("b.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}");
        let failure = Roots::read(&folder.path().join("b.yaml")).unwrap_err().to_string();
        assert!(failure.contains("neither an Application nor an ApplicationSet"), "{failure}");
    }
}
