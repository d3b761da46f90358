//! What applications have from elsewhere than the platform's own repository.

use kube::core::DynamicObject;

use super::{
    render::{Declared, plain},
    roots,
};
use crate::{
    components::{Artifact, Missing, Need, Store, repository::Release, store::REPOSITORY},
    world::Cloud,
};

/// What the platform's applications have from elsewhere.
#[derive(Debug, Default)]
pub struct Abroad {
    /// Charts that the component lock does not have, with the URLs of their repositories.
    pub charts: Vec<(String, Artifact)>,
    /// Applications that are made from something that nobody has.
    pub missing: Vec<Missing>,
}

/// What one application has from other repositories.
#[derive(Debug, PartialEq, Eq)]
enum Sources {
    /// Charts; none when everything is in the platform's repository.
    Charts(Vec<Release>),
    /// The URL of a Git repository, which nobody plays here.
    Git(String),
}

impl Abroad {
    /// Gets what the applications of a cloud have from elsewhere; `own` is the platform's repository.
    pub async fn add(&mut self, store: &Store, cloud: Cloud, applications: &[Declared], own: &str) {
        for Declared { manifest, .. } in applications {
            let name = manifest.metadata.name.clone().unwrap_or_default();
            let mut lack = |repository: String, reason: String| {
                let what = Need::Application { cloud, name: name.clone(), repository };
                self.missing.push(Missing { what, reason });
            };
            match sources(manifest, own) {
                Sources::Git(url) => {
                    let reason = format!("{url} is not the platform's own repository, and nobody plays it here");
                    lack(url, reason);
                }
                Sources::Charts(releases) => {
                    for release in releases.into_iter().filter(|release| plain(&release.repository) != REPOSITORY) {
                        match store.chart(&release).await {
                            Ok(chart) => self.charts.push((release.repository, chart)),
                            Err(failure) => lack(release.repository, failure.on_one_line()),
                        }
                    }
                }
            }
        }
    }

    /// The applications of a cloud that cannot be had here, each with the reason.
    pub fn of(&self, cloud: Cloud) -> impl Iterator<Item = String> {
        let own = self.missing.iter().filter(move |missing| missing.concerns(cloud));
        own.filter_map(|missing| Some(format!("application {}: {}", missing.what.application()?, missing.reason)))
    }

    /// Names of the applications that cannot be had here.
    pub fn applications(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().filter_map(|missing| missing.what.application())
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
