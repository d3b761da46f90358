//! Upgrades, as a platform lives through them: it settles on one release of the operator, of Argo CD or of Kubernetes, and
//! another one takes its place, as a pull request, an administrator or a provider would do it. Everything that could harm the
//! platform's users is watched meanwhile.

mod bisect;
mod change;
mod containers;
pub mod definitions;
mod rollout;
pub mod secrets;
mod stage;
mod step;
pub mod webhook;

use std::path::{Path, PathBuf};

use bisect::Search;
use rollout::Rollout;
use step::Step;

use crate::{
    components::{Missing, Product, Store},
    defects,
    failure::{Failure, Result},
    judge::verdict::{Conclusion, Outcome, Verdict},
    report::terminal,
    site::Trials,
    subject::{Job, Subject},
    world::{Cloud, Parts},
};

/// Which upgrade to try.
#[derive(Clone, Debug)]
pub struct Question {
    /// What gets another release.
    pub product: Product,
    /// The clouds; when none is named, all that the platform has.
    pub clouds: Vec<Cloud>,
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// Release to begin with; without one, the one that the platform pins, or that worlds have.
    pub from: Option<String>,
    /// Release to go to.
    pub to: String,
    /// Whether to try the releases in between when that is not safe.
    pub bisect: bool,
    /// Folder for reports; the run makes one of its own in it.
    pub report: PathBuf,
}

/// Tries an upgrade on a world of each cloud, and the way back.
///
/// # Errors
/// When nobody can make such an upgrade, the run could not even begin, or something of it could not be removed.
pub async fn run(store: Store, question: &Question) -> Result<Conclusion> {
    let Question { product, clouds, platform, from, to, bisect, report } = question;
    store.lock.lists(*product, to)?;
    let operator = from.clone().filter(|_| *product == Product::ExternalSecrets);
    let (clouds, platform) = (clouds.clone(), platform.clone());
    let subject = Subject::find(&store, &Job { clouds, platform, operator, ..Job::default() }).await?;
    let from = from.as_ref().unwrap_or(match product {
        Product::ExternalSecrets => &subject.pinned,
        Product::Argocd => &store.lock.argocd.chosen,
        Product::Kubernetes => &store.lock.kubernetes.chosen,
    });
    let step = Step::new(&store.lock, *product, from, to)?;
    let of = |product| (step.product == product).then_some(step.from.as_str());
    let store = store.choosing(of(Product::Kubernetes), of(Product::Argocd))?;
    let (conclusion, safe) = trial(&store, &subject, &step, report).await?;
    if *bisect && safe == Some(false) {
        terminal::print(first_unsafe(&store, &subject, &step, report).await?);
    }
    Ok(conclusion)
}

/// Tries one step. Returns also whether it is safe, where that has become known.
async fn trial(store: &Store, subject: &Subject, step: &Step, report: &Path) -> Result<(Conclusion, Option<bool>)> {
    let operator = (step.product == Product::ExternalSecrets).then_some(step.from.as_str());
    let trials = Trials { store, subject, operator, next: Some((step.product, &step.to)), phase: "upgrade", report };
    let clouds: Vec<&str> = subject.clouds.iter().map(|cloud| cloud.name()).collect();
    let (tree, clouds) = (subject.platform.display(), clouds.join(", "));
    let [old, new] =
        [&step.from, &step.to].map(|release| defects::of(step.product.upstream(), release, &subject.clouds));
    let (old, new) = (old?, new?);
    for (own, others, what) in [(&old, &new, "left behind"), (&new, &old, "new with it")] {
        for defect in own.iter().filter(|defect| !others.iter().any(|other| other.id == defect.id)) {
            terminal::print(format!("known upstream, {what}: {defect}"));
        }
    }
    let headline = format!("upgrade of {step}, platform {tree}, clouds {clouds}");
    // The operator's own upgrade tries two releases, and says of which.
    let not_run = |parts: &Parts| -> Vec<Verdict> {
        match operator {
            Some(_) => parts.missing.iter().map(Missing::not_run).collect(),
            None => parts.not_run().collect(),
        }
    };
    let mut safe = None;
    let conclusion = trials.side_by_side(
        |_| headline,
        async |site, cloud, report| Rollout { site, subject, cloud, step, report }.verdicts().await,
        |parts, verdicts| {
            let verdicts = verdicts.concat();
            safe = harmless(&verdicts, subject.clouds.len());
            not_run(parts).into_iter().chain(verdicts).collect()
        },
    );
    let conclusion = conclusion.await?;
    Ok((conclusion, safe))
}

/// Tries releases on the way of a step that is not safe, until the first is known to which the step is not.
async fn first_unsafe(store: &Store, subject: &Subject, step: &Step, report: &Path) -> Result<String> {
    let mut search = Search::new(step, &store.lock.releases(step.product))?;
    while let Some(shorter) = search.next() {
        let (_, safe) = trial(store, subject, &shorter, report).await?;
        let unknown = || {
            Failure::new(
                format!("find what is not safe on the way of {step}"),
                format!("nothing is known of {shorter}"),
            )
            .next("the verdicts above say why")
        };
        search.told(safe.ok_or_else(unknown)?);
    }
    Ok(search.to_string())
}

/// Whether the worlds, of which there are so many, say that the upgrade is safe; nothing when they say neither.
fn harmless(verdicts: &[Verdict], worlds: usize) -> Option<bool> {
    let whole = || verdicts.iter().filter(|verdict| verdict.group == rollout::GROUP);
    match whole().filter(|verdict| verdict.outcome == Outcome::Passed).count() {
        _ if whole().any(Verdict::failed) => Some(false),
        passed => (passed == worlds).then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_safe_when_every_world_says_so() {
        let told = |outcomes: &[Outcome]| {
            let verdicts = outcomes.iter().map(|outcome| Verdict::new(rollout::GROUP, "it is safe", outcome.clone()));
            let others = [Verdict::new("back", "it works", Outcome::Failed("why".into()))];
            harmless(&verdicts.chain(others).collect::<Vec<_>>(), 2)
        };
        let (failed, unproven) = (Outcome::Failed("why".into()), Outcome::Unproven("why".into()));
        assert_eq!(told(&[Outcome::Passed, Outcome::Passed]), Some(true));
        assert_eq!(told(&[Outcome::Passed, failed]), Some(false));
        assert_eq!(told(&[Outcome::Passed, unproven]), None);
        assert_eq!(told(&[Outcome::Passed]), None, "one world has not come so far");
    }
}
