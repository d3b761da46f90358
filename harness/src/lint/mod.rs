//! What can be known to be wrong with a platform from its files alone, without a cluster.

mod defaults;
pub mod waves;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use crate::{
    components::Store,
    failure::{Attempt, Failure, Result},
    gitops::{argocd, manifest, render::Application, schema::Schemas, tree::Tree},
    judge::finding::Finding,
    run::{Job, Subject},
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
    /// Every application of each cloud, with the files that it comes from.
    clouds: Vec<Vec<(Application, Tree)>>,
    /// Argo CD's settings (`argocd-cm`).
    settings: BTreeMap<String, String>,
    /// The releases of External Secrets, in the order of upgrades, with all definitions of kinds that there are then.
    releases: Vec<(String, Schemas)>,
    /// Applications that cannot be had here, each with the reason.
    absent: Vec<String>,
}

/// Every rule. A rule is a pure function of the platform; its findings are printed as all others are.
const RULES: [fn(&Platform) -> Vec<Finding>; 2] = [defaults::findings, waves::of];

/// Prints what is wrong with a platform; true when nothing is.
///
/// # Errors
/// When the platform cannot be rendered.
pub async fn answer(store: &Store, question: &Question) -> Result<bool> {
    let platform = Platform::read(store, question).await?;
    let findings: BTreeSet<Finding> = RULES.iter().flat_map(|rule| rule(&platform)).collect();
    for finding in &findings {
        println!("{finding}");
    }
    for absent in &platform.absent {
        println!("not covered {absent}");
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
async fn charts(store: &Store, pinned: &str, wanted: Vec<String>) -> Result<(Vec<String>, Vec<PathBuf>)> {
    let archive = async |version: &str| {
        let chart = store.obtain(&store.lock.operator_release(version)?.chart).await?;
        Ok::<_, Failure>(chart.path.join(format!("external-secrets-{version}.tgz")))
    };
    let buildable = &store.lock.operator.buildable;
    if wanted.is_empty() {
        return match archive(pinned).await {
            Ok(chart) => Ok((vec![pinned.to_owned()], vec![chart])),
            Err(failure) => {
                println!("external-secrets {buildable} stands in for {pinned}: {failure}");
                Ok((vec![buildable.clone()], vec![archive(buildable).await?]))
            }
        };
    }
    let mut charts = Vec::new();
    for version in &wanted {
        charts.push(archive(version).await?);
    }
    Ok((wanted, charts))
}

impl Platform {
    async fn read(store: &Store, question: &Question) -> Result<Self> {
        let Question { platform, clouds, operators } = question.clone();
        let subject = Subject::find(store, &Job { clouds, platform, ..Job::default() }).await?;
        let (operators, charts) = charts(store, &subject.pinned, operators).await?;
        let (renderer, abroad) = subject.renderer(store, charts, operators.first().map(String::as_str)).await?;
        let mut clouds = Vec::new();
        for cloud in &subject.clouds {
            // The manifests are those that go with the first release: its cell, when the platform has one.
            let cell = operators.first().map(String::as_str);
            let root = subject.root(*cloud, cell).or_else(|_| subject.root(*cloud, None))?;
            let mut applications = Vec::new();
            for application in renderer.applications(&root).await? {
                let tree = Tree::of(&subject.platform, &application)?;
                applications.push((application, tree));
            }
            clouds.push(applications);
        }
        let installed = store.obtain(&store.lock.argocd()?.files).await?.path.join(argocd::MANIFESTS);
        let text = std::fs::read_to_string(&installed).attempting(|| format!("read {}", installed.display()))?;
        let installed = manifest::parse(&text, "Argo CD")?;
        let common = Schemas::of(installed.iter().chain(clouds.iter().flatten().flat_map(|(a, _)| &a.objects)));
        let mut releases = Vec::new();
        for version in operators {
            let own = Schemas::of(&renderer.stock("external-secrets", &version).await?);
            releases.push((version, own.or(&common)));
        }
        let settings = argocd::settings(&installed, &subject.settings())?;
        let absent = subject.clouds.iter().flat_map(|cloud| abroad.of(*cloud)).collect();
        Ok(Self { clouds, settings, releases, absent })
    }
}
