//! The upgrade in one world: the releases before and after, and what happens in between.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use jiff::Timestamp;
use kube::{ResourceExt, api::ListParams, core::DynamicObject};
use tracing::info;
use trinity_emulators::git;

use super::{
    definitions::Definitions,
    secrets::{Record, Recording},
    webhook::Probe,
};
use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
    faults::copy,
    gitops::{
        argocd,
        edit::{self, Edit},
        pin, refresh,
        tree::Tree,
    },
    judge::{
        cause::{self, Cause},
        drift::Drift,
        quiescence::Rest,
        verdict::{Outcome, Verdict},
        well::{Look, Patient},
    },
    observe::kinds::Kind,
    report::{digest::Digester, redact::Redactor},
    run::Subject,
    site::Site,
    world::{
        Cloud, Description, OWN,
        bringup::{PLATFORM, Wish},
    },
};

/// Chart of the operator.
const CHART: &str = "external-secrets";
/// Time for each step of a roll-out. Argo CD's and the operator's own retries pause for up to a minute.
const STEP: Duration = Duration::from_secs(240);
/// Time for each step of the way back by itself.
const RETURN: Duration = Duration::from_secs(120);
/// How often the files are mended: what one change uncovers may need another.
const MENDINGS: usize = 3;
/// The verdict on an upgrade that needs nothing but its pin.
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
    /// Release to begin with.
    pub from: &'a str,
    /// Release to go to.
    pub to: &'a str,
    /// Folder for what is reported.
    pub report: PathBuf,
}

/// A world whose platform is being changed.
struct Stage<'a> {
    patient: Patient<'a>,
    /// Files that were changed, as they were before.
    before: BTreeMap<PathBuf, String>,
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
            let settled = format!("the platform works with external-secrets {}", self.from);
            let roots = match self.site.up(world, client, values, PLATFORM).await? {
                Ok(roots) => roots,
                Err(cause) => return Ok(vec![Verdict::new("before", settled, Outcome::Failed(cause.to_string()))]),
            };
            let mut verdicts = vec![Verdict::new("before", settled, Outcome::Passed).took(begun.elapsed())];
            let patient = Patient { world, client, roots };
            let mut stage = Stage { patient, before: BTreeMap::new() };
            verdicts.extend(self.there_and_back(&mut stage).await?);
            let redactor = Redactor::new(values.values().cloned());
            Ok(verdicts.into_iter().map(|verdict| verdict.cleaned(&redactor)).collect())
        });
        Ok(verdicts.await?.into_iter().map(|verdict| verdict.of(self.cloud)).collect())
    }

    async fn there_and_back(&self, stage: &mut Stage<'_>) -> Result<Vec<Verdict>> {
        let Self { cloud, from, to, .. } = self;
        let Patient { world, client, .. } = stage.patient;
        let definitions = Definitions::read(client).await?;
        let old = stage.commit().await?;
        let recording = Recording::begin(client, Digester::new(&world.digest_key)).await?;
        let probe = Probe::begin(client)?;

        info!("{cloud}: {from} gives way to {to}");
        let begun = Instant::now();
        let pins = self.pins(world).await?;
        stage.edit(&pins)?;
        let rolled = stage.rolled().await?;
        let took = begun.elapsed();
        let (changes, unmended) = match &rolled {
            None => (0, None),
            Some(cause) => stage.mend(cause).await?,
        };
        let answers = probe.until_now();
        drop(probe);
        let patch = stage.patch(&old, &self.report.join("upgrade.patch")).await?;
        let mut verdicts = vec![
            Verdict::new(
                "pin",
                format!("the platform works with external-secrets {to} when nothing but its pin is changed"),
                match (&rolled, &unmended) {
                    (None, _) => Outcome::Passed,
                    (Some(cause), None) => Outcome::Failed(format!(
                        "{cause}\nit works with {changes} more changes: {} has them all",
                        patch.display()
                    )),
                    (Some(_), Some(cause)) => Outcome::Failed(cause.to_string()),
                },
            )
            .noting(format!("{} pins", pins.len()))
            .took(took),
        ];

        let rest = match &unmended {
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
        verdicts.push(self.definitions(&definitions, &Definitions::read(client).await?));
        verdicts.push(at_rest(rest));

        info!("{cloud}: {to} gives way to {from}");
        let begun = Instant::now();
        let works = format!("the platform works again after the way back to external-secrets {from}");
        let works = Verdict::new("back", works, stage.back().await?).took(begun.elapsed());
        let back = [works, unharmed("on the way back", &recording.until_now().await?, &record)];
        let safe = conclusion(rolled.is_some(), unmended.is_some(), &verdicts, &back);
        let unknown = |verdict: &Verdict| matches!(verdict.outcome, Outcome::Unproven(_));
        let outcome = match safe.as_str() {
            SAFE if verdicts.iter().chain(&back).any(unknown) => Outcome::Unproven("a claim before this one is".into()),
            SAFE => Outcome::Passed,
            _ => Outcome::Failed(format!("it is {safe}: {}", patch.display())),
        };
        verdicts.extend(back);
        verdicts.push(Verdict::new("upgrade", format!("external-secrets {from} to {to} is safe"), outcome));
        info!("{cloud}: {from} to {to} is {safe}");
        Ok(verdicts)
    }

    /// The changes that a pull request would make.
    async fn pins(&self, world: &Description) -> Result<Vec<Edit>> {
        let attempted = || format!("find where the platform pins {CHART} {}", self.from);
        let renderer = self.site.renderer(world).await?;
        let applications = renderer.applications(&world.root).await?;
        let trees: Vec<Tree> = applications.iter().map(|a| Tree::of(&world.platform, a)).collect::<Result<_>>()?;
        let pins = pin::moved(&world.platform, &trees, CHART, self.from, self.to)?;
        match pins.is_empty() {
            true => Err(Failure::new(attempted(), format!("no file below {} does", world.platform.display()))
                .next("--from names the release that the platform's Application has as targetRevision")),
            false => Ok(pins),
        }
    }

    fn definitions(&self, before: &Definitions, after: &Definitions) -> Verdict {
        let taken = after.taken(before);
        let outcome = if taken.is_empty() { Outcome::Passed } else { Outcome::Failed(taken.join("\n")) };
        let claim = "every kind is served in all versions that it was, and what is stored can be read";
        Verdict::new("definitions", claim, outcome).noting(format!(
            "{} definitions before, {} after",
            before.count(),
            after.count()
        ))
    }
}

impl Stage<'_> {
    /// Commits what the working tree has now.
    async fn commit(&self) -> Result<String> {
        git::snapshot(&self.patient.world.platform, &self.patient.world.repository())
            .await
            .attempting(|| "commit the change".into())
    }

    /// Changes the platform's files. What a file was in the beginning is remembered, however often it is changed.
    fn edit(&mut self, edits: &[Edit]) -> Result<()> {
        for (file, text) in edit::make(&self.patient.world.platform, edits)? {
            self.before.entry(file).or_insert(text);
        }
        Ok(())
    }

    /// Waits until the platform works as Git has it now; the first cause why it cannot ends that.
    async fn rolled(&self) -> Result<Option<Cause>> {
        let look = self.look(STEP).await?;
        match cause::explained(self.patient.client, self.patient.world, Timestamp::now(), self.works(&look)).await {
            Ok(found) => Ok(found),
            Err(cause) => Ok(Some(cause)),
        }
    }

    /// The same of a platform that may not work now: what is wrong with it yet says nothing.
    async fn mended(&self, deadline: Duration) -> Result<Option<Cause>> {
        argocd::end_operations(self.patient.client).await?;
        let look = self.look(deadline).await?;
        Ok(self
            .works(&look)
            .await
            .unwrap_or_else(|failure| Some(Cause::new(cause::Kind::Unknown, failure.to_string()))))
    }

    async fn look(&self, deadline: Duration) -> Result<Look<'static>> {
        Ok(Look { commit: Some(self.commit().await?), restart: &[], metrics: true, deadline })
    }

    /// The platform works, also when everything is compared anew: a comparison from before the operator has written to its
    /// objects does not know what the new definitions have filled in.
    async fn works(&self, look: &Look<'_>) -> Result<Option<Cause>> {
        if let Some(cause) = self.patient.well(look).await? {
            return Ok(Some(cause));
        }
        self.compared().await?;
        self.patient.well(look).await
    }

    /// All applications of the platform, compared anew.
    async fn compared(&self) -> Result<Vec<DynamicObject>> {
        let all = Kind::Application.within(self.patient.client, argocd::NAMESPACE).list(&ListParams::default()).await;
        let all = all.attempting(|| "list the applications".into())?.items;
        let own = all.iter().map(ResourceExt::name_any).filter(|name| !name.starts_with(OWN));
        let compared = try_join_all(own.map(async |name| refresh::hard(self.patient.client, &name).await)).await?;
        Ok(compared.into_iter().flatten().collect())
    }

    /// Takes all changes back. When that alone does not do it, the operator is made to write to its objects, as it does by
    /// itself within their refresh intervals: Argo CD may know them with fields that the old definitions do not have.
    async fn back(&self) -> Result<Outcome> {
        edit::restore(&self.patient.world.platform, &self.before)?;
        let Some(alone) = self.mended(RETURN).await? else { return Ok(Outcome::Passed) };
        let Err(failure) = self.patient.read_again(STEP).await else {
            return Ok(Outcome::Failed(match self.mended(STEP).await? {
                None => format!("it does only after the operator has written to its objects; before, {alone}"),
                Some(cause) => cause.to_string(),
            }));
        };
        Ok(Outcome::Failed(format!("{alone}\n{failure}")))
    }

    /// Makes the changes that the drift of the applications asks for, until the platform works. Returns their number, and
    /// what no change of the files mends.
    async fn mend(&mut self, found: &Cause) -> Result<(usize, Option<Cause>)> {
        let (mut found, mut changes) = (found.clone(), 0);
        for _ in 0..MENDINGS {
            let edits = self.remedies().await?;
            if edits.is_empty() {
                break;
            }
            changes += edits.len();
            self.edit(&edits)?;
            match self.mended(STEP).await? {
                None => return Ok((changes, None)),
                Some(cause) => found = cause,
            }
        }
        Ok((changes, Some(found)))
    }

    /// What would have to be in the files for the applications not to differ.
    async fn remedies(&self) -> Result<Vec<Edit>> {
        // The definitions fill in what the operator writes to. One that does not is no matter of the files.
        if let Err(failure) = self.patient.read_again(STEP).await {
            info!("nothing is mended: {failure}");
            return Ok(Vec::new());
        }
        let compared = self.compared().await?;
        let drifts = compared.iter().map(|application| Drift::of(self.patient.client, self.patient.world, application));
        let drifts = try_join_all(drifts).await?;
        Ok(drifts.into_iter().flat_map(|drift| drift.defaults).filter_map(|finding| finding.edit).collect())
    }

    /// Writes everything that was changed since a commit, as a patch of the platform's tree.
    async fn patch(&self, old: &str, file: &Path) -> Result<PathBuf> {
        let new = self.commit().await?;
        let diff = Run::new("git")
            .arg("--git-dir")
            .arg(self.patient.world.repository())
            .args(["diff", "--no-color", old, &new])
            .output()
            .await?;
        fs::write(file, diff).attempting(|| format!("write {}", file.display()))?;
        Ok(file.to_owned())
    }
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
    // The first is about the pin alone.
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
