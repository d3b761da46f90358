//! What applications have from elsewhere than the platform's own repository.

use std::{collections::BTreeMap, path::PathBuf};

use kube::core::DynamicObject;

use super::{render::plain, roots};
use crate::{
    components::{Artifact, Store, repository::Release, store::REPOSITORY},
    failure::Result,
};

/// Name of the operator's chart in [`REPOSITORY`].
const OPERATOR: &str = "external-secrets";

/// Charts that were got for applications.
#[derive(Debug, Default)]
pub(super) struct Charts {
    archives: BTreeMap<Release, PathBuf>,
    /// Those that the component lock does not have, with the URLs of their repositories.
    pub foreign: Vec<(String, Artifact)>,
}

/// What cannot be had of an application.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lack {
    /// URL of the repository that has it.
    pub repository: String,
    /// Why it cannot be had, on one line.
    pub reason: String,
}

/// What one application has from other repositories.
#[derive(Debug, PartialEq, Eq)]
enum Sources {
    /// Charts; none when everything is in the platform's repository.
    Charts(Vec<Release>),
    /// The URL of a Git repository, which nobody plays here.
    Git(String),
}

impl Charts {
    /// Gets what the application of this manifest has from elsewhere; `own` is the platform's repository.
    ///
    /// # Errors
    /// The first that nobody has.
    pub(super) async fn add(&mut self, store: &Store, application: &DynamicObject, own: &str) -> Result<(), Lack> {
        let releases = match sources(application, own) {
            Sources::Charts(releases) => releases,
            Sources::Git(url) => {
                let reason = format!("{url} is not the platform's own repository, and nobody plays it here");
                return Err(Lack { repository: url, reason });
            }
        };
        for release in releases {
            if self.archives.contains_key(&release) {
                continue;
            }
            let got = self.get(store, &release).await;
            let archive =
                got.map_err(|why| Lack { repository: release.repository.clone(), reason: why.on_one_line() })?;
            self.archives.insert(release, archive);
        }
        Ok(())
    }

    async fn get(&mut self, store: &Store, release: &Release) -> Result<PathBuf> {
        if plain(&release.repository) == REPOSITORY && release.chart == OPERATOR {
            let known = &store.lock.operator_release(&release.version)?.chart;
            return Ok(store.obtain(known).await?.path.join(release.file()));
        }
        let chart = store.chart(release).await?;
        let archive = chart.path.clone();
        self.foreign.push((release.repository.clone(), chart));
        Ok(archive)
    }

    /// The archive of a release.
    pub(super) fn archive(&self, release: &Release) -> Option<&PathBuf> {
        self.archives.get(release)
    }
}

/// What the application of this manifest has from elsewhere.
fn sources(application: &DynamicObject, own: &str) -> Sources {
    let mut charts = Vec::new();
    for source in roots::sources(&application.data["spec"]) {
        let text = |field: &str| source[field].as_str().unwrap_or_default().to_owned();
        let repository = text("repoURL");
        if source.get("chart").is_some() {
            charts.push(Release { repository, chart: text("chart"), version: text("targetRevision") });
        } else if plain(&repository) != plain(own) {
            return Sources::Git(repository);
        }
    }
    Sources::Charts(charts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn charts_and_other_repositories_are_found() {
        let needs = |list: serde_json::Value| {
            let application = json!({"metadata": {"name": "a"}, "spec": {"sources": list}});
            sources(&serde_json::from_value(application).unwrap(), "https://example.com/own.git")
        };
        let chart = json!({"repoURL": "https://c", "chart": "app", "targetRevision": "1.0.0"});
        let own = json!({"repoURL": "https://example.com/own", "path": "p"});
        let release = Release { repository: "https://c".into(), chart: "app".into(), version: "1.0.0".into() };
        assert_eq!(needs(json!([own, chart])), Sources::Charts(vec![release]));
        assert_eq!(needs(json!([own])), Sources::Charts(Vec::new()));
        let other = json!({"repoURL": "https://example.com/other", "path": "p"});
        assert_eq!(needs(json!([chart, other])), Sources::Git("https://example.com/other".into()));
    }
}
