//! What can be known to be wrong with a platform from its files alone, without a cluster.

mod defaults;
mod rendering;
pub mod waves;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use crate::{
    components::Store,
    failure::{Attempt, Failure, Result},
    gitops::{
        argocd, manifest,
        render::Application,
        rendered::{Rendered, Unrendered},
        schema::Schemas,
        tree::Tree,
    },
    judge::finding::Finding,
    subject::{Job, Subject},
    world::Cloud,
};

/// What to look at.
#[derive(Clone, Debug)]
pub struct Question {
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// The clouds; when none is named, all that the platform has.
    pub clouds: Vec<Cloud>,
    /// Releases of External Secrets, in the order of upgrades; when none is named, the pinned one.
    pub operators: Vec<String>,
}

/// A platform as its rules see it.
struct Platform {
    /// All applications, with those that have no objects.
    rendered: Rendered,
    /// Every application of each cloud, with the files that it comes from.
    clouds: Vec<Vec<(Application, Tree)>>,
    /// Argo CD's settings (`argocd-cm`).
    settings: BTreeMap<String, String>,
    /// The releases of External Secrets, in the order of upgrades, with all definitions of kinds that there are then.
    releases: Vec<(String, Schemas)>,
}

/// Every rule. A rule is a pure function of the platform; its findings are printed as all others are.
const RULES: [fn(&Platform) -> Vec<Finding>; 3] = [rendering::findings, defaults::findings, waves::of];

/// Prints what is wrong with a platform; true when nothing is.
///
/// # Errors
/// When the platform's roots cannot be read, or no source has what it is judged by.
pub async fn answer(store: &Store, question: &Question) -> Result<bool> {
    let platform = Platform::read(store, question).await?;
    let findings: BTreeSet<Finding> = RULES.iter().flat_map(|rule| rule(&platform)).collect();
    for finding in &findings {
        println!("{finding}");
    }
    for unknown in platform.unknown() {
        println!("not covered {unknown}");
    }
    let releases: Vec<&str> = platform.releases.iter().map(|(version, _)| version.as_str()).collect();
    let of = format!("{}, external-secrets {}", question.platform.display(), releases.join(" and "));
    match findings.len() {
        0 => println!("nothing is wrong with {of}"),
        count => println!("{count} found in {of}"),
    }
    Ok(findings.is_empty())
}

/// The releases to judge by, with the archives of their charts. When none is asked for it is the pinned one, or the one that
/// stands in for it where it cannot be had.
async fn charts(store: &Store, pinned: &str, wanted: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let archive = async |version: &str| {
        let chart = store.obtain(&store.lock.operator_release(version)?.chart).await?;
        Ok::<_, Failure>((version.to_owned(), chart.path.join(format!("external-secrets-{version}.tgz"))))
    };
    let buildable = &store.lock.operator.buildable;
    if wanted.is_empty() {
        return match archive(pinned).await {
            Ok(chart) => Ok(vec![chart]),
            Err(failure) => {
                println!("external-secrets {buildable} stands in for {pinned}: {failure}");
                Ok(vec![archive(buildable).await?])
            }
        };
    }
    let mut charts = Vec::new();
    for version in wanted {
        charts.push(archive(version).await?);
    }
    Ok(charts)
}

impl Platform {
    async fn read(store: &Store, question: &Question) -> Result<Self> {
        let Question { platform, clouds, operators } = question.clone();
        let subject = Subject::find(store, &Job { clouds, platform, ..Job::default() }).await?;
        let charts = charts(store, &subject.pinned, &operators).await?;
        // The manifests are those that go with the first release: its cell, when the platform has one.
        let cell = charts.first().map(|(version, _)| version.as_str());
        let root = |cloud: Cloud| subject.root(cloud, cell).or_else(|_| subject.root(cloud, None));
        let roots = subject.clouds.iter().map(|cloud| Ok((*cloud, root(*cloud)?))).collect::<Result<Vec<_>>>()?;
        let renderer = subject.renderer(store).await?;
        let rendered = renderer.all(&roots).await?;
        let mut clouds = Vec::new();
        for cloud in &subject.clouds {
            let mut applications = Vec::new();
            for application in rendered.applications(*cloud) {
                let tree = Tree::of(&subject.platform, application)?;
                applications.push((application.clone(), tree));
            }
            clouds.push(applications);
        }
        let installed = store.obtain(&store.lock.argocd()?.files).await?.path.join(argocd::MANIFESTS);
        let text = std::fs::read_to_string(&installed).attempting(|| format!("read {}", installed.display()))?;
        let installed = manifest::parse(&text, "Argo CD")?;
        let common = Schemas::of(installed.iter().chain(clouds.iter().flatten().flat_map(|(a, _)| &a.objects)));
        let mut releases = Vec::new();
        for (version, chart) in charts {
            let own = Schemas::of(&renderer.stock("external-secrets", &chart).await?);
            releases.push((version, own.or(&common)));
        }
        let settings = argocd::settings(&installed, &subject.settings())?;
        Ok(Self { rendered, clouds, settings, releases })
    }

    /// Applications of which nothing is known, each with the reason.
    fn unknown(&self) -> BTreeSet<String> {
        let all = Cloud::ALL.into_iter().flat_map(|cloud| self.rendered.unrendered(cloud));
        let unknown = all.filter(|(_, why)| !matches!(why, Unrendered::Broken(_)));
        unknown.map(|(declared, why)| format!("{}: {}", declared.name(), why.on_one_line())).collect()
    }
}
