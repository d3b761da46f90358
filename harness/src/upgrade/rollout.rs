//! The upgrade in one world: the releases before and after, and what happens in between.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use tracing::info;

use super::{
    change::Change,
    definitions::Definitions,
    secrets::{Record, Recording},
    stage::Stage,
    step::Step,
    webhook::Probe,
};
use crate::{
    failure::Result,
    faults::copy,
    judge::{
        cause::{self, Cause},
        quiescence::Rest,
        verdict::{Outcome, Verdict},
        well::Patient,
    },
    report::{digest::Digester, redact::Redactor},
    site::Site,
    subject::Subject,
    world::{
        Cloud,
        bringup::{PLATFORM, Wish},
    },
};

/// Group of the verdict on the whole upgrade.
pub(super) const GROUP: &str = "upgrade";
/// The verdict on an upgrade that needs nothing but its own change.
const SAFE: &str = "safe";
/// How often everything is looked at again when it is at rest.
const ROUNDS: usize = 2;

/// What an upgrade needs of its run.
pub(super) struct Rollout<'a> {
    /// Where its world stands.
    pub site: &'a Site<'a>,
    /// The platform.
    pub subject: &'a Subject,
    /// The cloud.
    pub cloud: Cloud,
    /// The step from one release to another.
    pub step: &'a Step,
    /// Folder for what is reported.
    pub report: PathBuf,
}

/// How the way there went.
struct There {
    /// Why the platform does not work with the change alone.
    refused: Option<Cause>,
    /// Time until that was known.
    took: Duration,
    /// What has to hold of this kind of change.
    proof: Option<Verdict>,
    /// How many changes of the files it took beside it.
    changes: usize,
    /// What no change of the files mends.
    unmended: Option<Cause>,
}

impl Rollout<'_> {
    /// Tries the upgrade and the way back; one verdict for each thing that can go wrong.
    ///
    /// # Errors
    /// When the world could not be made, observed or removed.
    pub async fn verdicts(&self) -> Result<Vec<Verdict>> {
        let platform = self.report.join("platform");
        copy::copy(&self.subject.platform, &platform).await?;
        let wish = Wish { platform, ..self.subject.wish(self.cloud, None, &self.report).await? };
        let verdicts = self.site.in_a_world(&wish, &self.report, async |world, client, values| {
            let begun = Instant::now();
            let settled = format!("the platform works with {}", self.step.before());
            let description = &world.description;
            let roots = match self.site.up(self.site.rendered, description, client, values, PLATFORM).await? {
                Ok(roots) => roots,
                Err(cause) => return Ok(vec![Verdict::new("before", settled, Outcome::Failed(cause.to_string()))]),
            };
            let mut verdicts = vec![Verdict::new("before", settled, Outcome::Passed).took(begun.elapsed())];
            let mut stage = Stage::new(world, Patient { world: description, client, roots });
            verdicts.extend(self.there_and_back(&mut stage).await?);
            let redactor = Redactor::new(values.values().cloned());
            Ok(verdicts.into_iter().map(|verdict| verdict.cleaned(&redactor)).collect())
        });
        Ok(verdicts.await?.into_iter().map(|verdict| verdict.of(self.cloud)).collect())
    }

    async fn there_and_back(&self, stage: &mut Stage<'_>) -> Result<Vec<Verdict>> {
        let Self { cloud, step, .. } = self;
        let Patient { world, client, .. } = stage.patient;
        let change = Change::begin(step, self.site, stage).await?;
        let definitions = Definitions::read(client).await?;
        let old = stage.commit().await?;
        let recording = Recording::begin(client, Digester::new(&world.digest_key)).await?;
        let probe = Probe::begin(client)?;

        info!("{cloud}: {} gives way to {}", step.before(), step.to);
        let there = There::go(stage, &change).await?;
        let answers = probe.until_now();
        drop(probe);
        let patch = stage.patch(&old, &self.report.join("upgrade.patch")).await?;
        let (what, alone) = change.words();
        let mut verdicts = vec![
            Verdict::new(
                what,
                format!("the platform works with {} when nothing but {alone}", step.after()),
                match (&there.refused, &there.unmended) {
                    (None, _) => Outcome::Passed,
                    (Some(cause), None) => Outcome::Failed(format!(
                        "{cause}\nit works with {} more changes: {} has them all",
                        there.changes,
                        patch.display()
                    )),
                    (Some(_), Some(cause)) => Outcome::Failed(cause.to_string()),
                },
            )
            .noting(change.extent())
            .took(there.took),
        ];
        verdicts.extend(there.proof);

        let rest = match &there.unmended {
            None => Some(Rest::see(client, world, ROUNDS).await?),
            Some(_) => None,
        };
        let record = recording.until_now().await?;
        verdicts.push(unharmed("on the way there", &record, &Record::default()));
        verdicts.push(
            Verdict::new(
                "webhook",
                "the operator's webhook answers when the roll-out is over",
                match &answers.last {
                    Some(refusal) => Outcome::Failed(format!("the API server cannot ask it: {refusal}")),
                    None => Outcome::Passed,
                },
            )
            .noting(answers.to_string()),
        );
        verdicts.push(served(&definitions, &Definitions::read(client).await?));
        verdicts.push(at_rest(rest));

        let works = format!("the platform works again after the way back to {}", step.before());
        let mut back = Vec::new();
        if let Some(why) = step.one_way() {
            back.push(Verdict::new("back", works, Outcome::NotRun(why.into())));
        } else {
            info!("{cloud}: {} gives way to {}", step.after(), step.from);
            let begun = Instant::now();
            back.push(Verdict::new("back", works, stage.back(&change).await?).took(begun.elapsed()));
            back.push(unharmed("on the way back", &recording.until_now().await?, &record));
        }
        let safe = conclusion(there.refused.is_some(), there.unmended.is_some(), &verdicts, &back);
        let unknown = |verdict: &Verdict| matches!(verdict.outcome, Outcome::Unproven(_));
        let outcome = match safe.as_str() {
            SAFE if verdicts.iter().chain(&back).any(unknown) => Outcome::Unproven("a claim before this one is".into()),
            SAFE => Outcome::Passed,
            _ => Outcome::Failed(format!("it is {safe}: {}", patch.display())),
        };
        verdicts.extend(back);
        verdicts.push(Verdict::new(GROUP, format!("{step} is safe"), outcome));
        info!("{cloud}: {step} is {safe}");
        Ok(verdicts)
    }
}

impl There {
    /// Makes the change, and all changes of the files that it takes for the platform to work with it.
    async fn go(stage: &mut Stage<'_>, change: &Change<'_>) -> Result<Self> {
        let begun = Instant::now();
        if let Err(failure) = change.forward(stage).await {
            let cause = Some(Cause::new(cause::Kind::Unknown, failure.to_string()));
            let took = begun.elapsed();
            return Ok(Self { refused: cause.clone(), took, proof: None, changes: 0, unmended: cause });
        }
        let refused = stage.rolled().await?;
        let took = begun.elapsed();
        let proof = change.proof(stage).await?;
        let (changes, unmended) = match &refused {
            None => (0, None),
            Some(cause) => stage.mend(cause).await?,
        };
        Ok(Self { refused, took, proof, changes, unmended })
    }
}

fn served(before: &Definitions, after: &Definitions) -> Verdict {
    let taken = after.taken(before);
    let outcome = if taken.is_empty() { Outcome::Passed } else { Outcome::Failed(taken.join("\n")) };
    let claim = "every kind is served in all versions that it was, and what is stored can be read";
    let note = format!("{} kinds before, {} after", before.count(), after.count());
    Verdict::new("definitions", claim, outcome).noting(note)
}

/// Whether the Secrets were left alone since an earlier record.
fn unharmed(when: &str, record: &Record, earlier: &Record) -> Verdict {
    let harm = &record.harm[earlier.harm.len()..];
    let outcome = match (harm.is_empty(), record.gap, record.secrets()) {
        (false, ..) => Outcome::Failed(harm.join("\n")),
        (true, true, _) => Outcome::Unproven("the watch was interrupted, and nothing is known of that time".into()),
        (true, false, 0) => Outcome::NotRun("the platform has no Secret that an ExternalSecret owns".into()),
        (true, false, _) => Outcome::Passed,
    };
    Verdict::new("secrets", format!("no Secret changes, vanishes or is made anew {when}"), outcome).noting(format!(
        "{} Secrets, {} events",
        record.secrets(),
        record.events - earlier.events
    ))
}

fn at_rest(rest: Option<Rest>) -> Verdict {
    let claim = "the platform rests after the upgrade, however often it is compared";
    match rest {
        None => Verdict::new("rest", claim, Outcome::NotRun("the platform does not work".into())),
        Some(rest) => {
            let told: Vec<String> = rest.disturbances.iter().map(ToString::to_string).collect();
            let outcome = if told.is_empty() { Outcome::Passed } else { Outcome::Failed(told.join("\n")) };
            Verdict::new("rest", claim, outcome).noting(format!("{} applications", rest.applications))
        }
    }
}

/// The verdict in a few words, from the claims about the way there and back.
fn conclusion(refused: bool, unmended: bool, there: &[Verdict], back: &[Verdict]) -> String {
    // The first is about the change alone.
    let harmed = there.iter().skip(1).any(Verdict::failed);
    let safe = match (harmed || unmended, refused) {
        (true, _) => "unsafe",
        (false, true) => "safe with changes of the manifests",
        (false, false) => SAFE,
    };
    let lost = if back.iter().any(Verdict::failed) { ", and there is no way back by itself" } else { "" };
    format!("{safe}{lost}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_harms_nobody_is_safe() {
        let failed = || Outcome::Failed("why".into());
        let of = |outcomes: [Outcome; 2]| outcomes.map(|outcome| Verdict::new("group", "claim", outcome));
        let told =
            |refused, unmended, there, back| conclusion(refused, unmended, &of(there), &of([Outcome::Passed, back]));
        let well = || Outcome::Passed;
        assert_eq!(told(false, false, [well(), well()], well()), SAFE);
        assert_eq!(told(true, false, [failed(), well()], well()), "safe with changes of the manifests");
        assert_eq!(told(true, true, [failed(), well()], well()), "unsafe");
        assert_eq!(told(false, false, [well(), failed()], well()), "unsafe");
        assert_eq!(told(false, false, [well(), well()], failed()), "safe, and there is no way back by itself");
    }

    #[test]
    fn harm_counts_once_and_a_gap_proves_nothing() {
        let record = |harm: &[&str], gap| {
            let mut record = Record::default();
            record.harm.extend(harm.iter().map(|what| (*what).to_owned()));
            record.gap = gap;
            record
        };
        let first = record(&["one"], false);
        assert_eq!(unharmed("", &first, &Record::default()).outcome, Outcome::Failed("one".into()));
        assert!(matches!(unharmed("", &first, &first).outcome, Outcome::NotRun(_)));
        assert!(matches!(unharmed("", &record(&[], true), &Record::default()).outcome, Outcome::Unproven(_)));
    }
}
