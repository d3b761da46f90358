//! Upgrades, as a platform lives through them: it settles on one release of the operator, its pin is changed as a pull
//! request would, Argo CD rolls the other out, and everything that could harm the platform's users is watched meanwhile.

pub mod definitions;
mod rollout;
pub mod secrets;
pub mod webhook;

use std::path::PathBuf;

use crate::{
    components::{Missing, Store},
    defects,
    failure::{Failure, Result},
    judge::verdict::Conclusion,
    report::terminal,
    run::{Job, Subject},
    site::Trials,
    world::Cloud,
};

/// The component that is upgraded, by its upstream name.
const OPERATOR: &str = "external-secrets";

/// Which upgrade to try.
#[derive(Clone, Debug)]
pub struct Question {
    /// The clouds; when none is named, all that the platform has.
    pub clouds: Vec<Cloud>,
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// Release of External Secrets to begin with; without one, the pinned release.
    pub from: Option<String>,
    /// Release to go to.
    pub to: String,
    /// Folder for reports; the run makes one of its own in it.
    pub report: PathBuf,
}

/// Tries an upgrade on a world of each cloud, and the way back.
///
/// # Errors
/// When the run could not even begin, or something of it could not be removed.
pub async fn run(store: &Store, question: &Question) -> Result<Conclusion> {
    let Question { clouds, platform, to, report, .. } = question;
    store.lock.operator_release(to)?;
    let (clouds, platform, operator) = (clouds.clone(), platform.clone(), question.from.clone());
    let subject = Subject::find(store, &Job { clouds, platform, operator, ..Job::default() }).await?;
    let from = question.from.as_deref().unwrap_or(&subject.pinned);
    if from == to {
        let attempted = format!("upgrade external-secrets {from} to {to}");
        return Err(Failure::new(attempted, "they are the same release").next("name another one with --to"));
    }
    let trials = Trials { store, subject: &subject, operators: (Some(from), &[to]), phase: "upgrade", report };
    let clouds: Vec<&str> = subject.clouds.iter().map(|cloud| cloud.name()).collect();
    let (tree, clouds) = (subject.platform.display(), clouds.join(", "));
    let [old, new] = [from, to].map(|release| defects::of(OPERATOR, release, &subject.clouds));
    let (old, new) = (old?, new?);
    for (own, others, what) in [(&old, &new, "left behind"), (&new, &old, "new with it")] {
        for defect in own.iter().filter(|defect| !others.iter().any(|other| other.id == defect.id)) {
            terminal::print(format!("known upstream, {what}: {defect}"));
        }
    }
    let headline = format!("upgrade of external-secrets {from} to {to}, platform {tree}, clouds {clouds}");
    trials
        .side_by_side(
            |_| headline,
            async |site, cloud, report| {
                rollout::Rollout { site, subject: &subject, cloud, from, to, report }.verdicts().await
            },
            |parts, verdicts| parts.missing.iter().map(Missing::not_run).chain(verdicts.concat()).collect(),
        )
        .await
}
