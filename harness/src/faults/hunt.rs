//! All faults of one cloud, one after the other: on its running world where that is sound, and on new worlds where not.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::info;

use super::{Entry, Fault, copy, live::Ground};
use crate::{
    failure::{Attempt, Failure, Result},
    gitops::argocd,
    judge::{
        cause::{self, Cause},
        verdict::{Outcome, Verdict},
        well::{Look, Patient},
    },
    report::redact::Redactor,
    site::Site,
    subject::Subject,
    world::{
        Cloud,
        bringup::{PLATFORM, Wish},
    },
};

/// Time for a mended platform to work again: Argo CD's and the operator's own retries pause for up to a minute.
const MENDED: Duration = Duration::from_secs(180);

/// What a hunt needs of its run.
pub struct Hunt<'a> {
    /// Where its worlds stand.
    pub site: &'a Site<'a>,
    /// What is tried.
    pub(crate) subject: &'a Subject,
    /// The cloud.
    pub cloud: Cloud,
    /// How often nothing is broken, and nothing may be found.
    pub clean: u32,
    /// Folder for what is reported.
    pub report: PathBuf,
}

/// What a run without a fault expects.
const NOTHING: &str = "nothing";

/// What became of one fault.
#[derive(Clone, Debug)]
pub struct Row {
    /// `cloud/name`.
    pub title: String,
    /// The cause that had to be found.
    pub expected: String,
    /// The cause that was found.
    pub found: Option<String>,
    /// Time until it was found.
    pub took: Option<Duration>,
    /// Time until the platform worked again; nothing where the world was not used any more.
    pub restored: Option<Duration>,
    /// How it went.
    pub outcome: Outcome,
}

impl Row {
    /// Whether the right cause was found.
    pub fn right(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    /// With its text made free of secret values.
    fn cleaned(mut self, redactor: &Redactor) -> Self {
        if let Outcome::Failed(why) = &mut self.outcome {
            *why = redactor.clean(why);
        }
        self
    }

    /// As a verdict.
    pub fn verdict(&self) -> Verdict {
        let claim = format!("{} is found as {}", self.title, self.expected);
        Verdict::new("faults", claim, self.outcome.clone()).took(self.took.unwrap_or_default())
    }

    /// Of a run without a fault.
    fn clean(title: String, found: Option<&Cause>, took: Duration) -> Self {
        Self {
            title,
            expected: NOTHING.into(),
            found: found.map(|cause| cause.name().to_owned()),
            took: None,
            restored: Some(took),
            outcome: found
                .map_or(Outcome::Passed, |found| Outcome::Failed(format!("nothing was broken, found {found}"))),
        }
    }

    /// Whether something was broken for it.
    pub fn is_fault(&self) -> bool {
        self.expected != NOTHING
    }

    fn not_run(entry: &Entry, why: &str) -> Self {
        Self {
            title: entry.title(),
            expected: entry.fault.cause.clone(),
            found: None,
            took: None,
            restored: None,
            outcome: Outcome::NotRun(why.to_owned()),
        }
    }

    fn new(entry: &Entry, found: Option<&Cause>, took: Duration) -> Self {
        let Fault { cause, names, .. } = &entry.fault;
        let outcome = match found {
            None => Outcome::Failed(format!("nothing was found: {}", entry.fault.breaks)),
            Some(found) if found.name() == cause && found.to_string().contains(names) => Outcome::Passed,
            Some(found) => Outcome::Failed(format!("expected {cause} naming {names:?}, found {found}")),
        };
        Self {
            title: entry.title(),
            expected: cause.clone(),
            found: found.map(|cause| cause.name().to_owned()),
            took: found.map(|_| took),
            restored: None,
            outcome,
        }
    }
}

impl Hunt<'_> {
    /// Tries all of these faults, which are of this hunt's cloud.
    ///
    /// # Errors
    /// When a world could not be made or removed.
    pub async fn all(&self, entries: &[&Entry]) -> Result<Vec<Row>> {
        let (fresh, live): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.fault.fresh.is_some());
        let mut rows = Vec::new();
        if !live.is_empty() || self.clean > 0 {
            rows.extend(self.on_one_world(&live).await?);
        }
        for entry in fresh {
            rows.push(self.on_a_new_world(entry).await?);
        }
        Ok(rows)
    }

    async fn on_one_world(&self, entries: &[&Entry]) -> Result<Vec<Row>> {
        // Faults are made in copies; the originals are only read.
        let (platform, worlds) = (self.report.join("platform"), self.report.join("worlds"));
        copy::copy(&self.subject.platform, &platform).await?;
        copy::copy(self.subject.worlds(), &worlds).await?;
        let wish = Wish { platform, ..self.subject.wish(self.cloud, None, &self.report).await? };
        self.site
            .in_a_world(&wish, &self.report, async |world, client, values| {
                let world = &world.description;
                let up = self.site.up(self.site.rendered, world, client, values, PLATFORM).await?;
                let roots =
                    up.map_err(|cause| Failure::new(format!("bring up the platform in {}", self.cloud), cause))?;
                let ground = Ground {
                    world,
                    client,
                    platform: self.subject.platform.clone(),
                    worlds: self.subject.worlds().to_owned(),
                    copy: worlds,
                    values,
                };
                let patient = Patient { world, client, roots };
                let mut rows = Vec::new();
                for n in 1..=self.clean {
                    rows.push(clean(&ground, &patient, n).await?);
                }
                rows.extend(one_by_one(&ground, &patient, entries).await);
                Ok(rows)
            })
            .await
    }

    async fn on_a_new_world(&self, entry: &Entry) -> Result<Row> {
        entry.fault.on_copies(&entry.name)?;
        let folder = self.report.join(&entry.name);
        std::fs::create_dir(&folder).attempting(|| format!("make {}", folder.display()))?;
        let wish = self.subject.wish(self.cloud, Some(&entry.fault), &folder).await?;
        let rendered = self.site.rendered_copy(&wish).await?;
        self.site
            .in_a_world(&wish, &folder, async |world, client, values| {
                let world = &world.description;
                let begun = Instant::now();
                let deadline = Duration::from_secs(entry.fault.deadline);
                let up = self.site.up(&rendered, world, client, values, deadline).await?;
                let row = Row::new(entry, up.err().as_ref(), begun.elapsed())
                    .cleaned(&Redactor::new(values.values().cloned()));
                told(&row);
                Ok(row)
            })
            .await
    }
}

/// Commits a change that breaks nothing, and sees that nothing is found.
async fn clean(ground: &Ground<'_>, patient: &Patient<'_>, n: u32) -> Result<Row> {
    let (begun, since) = (Instant::now(), Timestamp::now());
    let note = ground.world.platform.join("NOTE");
    std::fs::write(&note, format!("{n}\n")).attempting(|| format!("write {}", note.display()))?;
    let look = Look { commit: Some(ground.commit().await?), restart: &[], metrics: true, deadline: MENDED };
    let found = match cause::explained(ground.client, ground.world, since, patient.well(&look)).await {
        Ok(None) => None,
        Ok(Some(cause)) | Err(cause) => Some(cause),
    };
    let row = Row::clean(format!("{}/clean run {n}", ground.world.cloud), found.as_ref(), begun.elapsed());
    told(&row);
    Ok(row)
}

/// Tries the faults on one world, which is mended after each. What cannot be mended ends it.
async fn one_by_one(ground: &Ground<'_>, patient: &Patient<'_>, entries: &[&Entry]) -> Vec<Row> {
    let redactor = Redactor::new(ground.values.values().cloned());
    let mut rows = Vec::new();
    let mut lost: Option<String> = None;
    for entry in entries {
        if let Some(why) = &lost {
            rows.push(Row::not_run(entry, why));
            continue;
        }
        let mut row = match try_one(ground, patient, entry).await {
            Ok(row) => row,
            Err(failure) => {
                let outcome = Outcome::Failed(failure.to_string());
                Row { outcome, ..Row::not_run(entry, "") }
            }
        };
        row = row.cleaned(&redactor);
        told(&row);
        let begun = Instant::now();
        match mend(ground, patient, &entry.fault).await {
            Ok(()) => row.restored = Some(begun.elapsed()),
            Err(failure) => {
                let failure = redactor.clean(&failure.to_string());
                info!("{} is not mended: {failure}", row.title);
                lost = Some(format!("the world was not restored after {}: {failure}", row.title));
            }
        }
        rows.push(row);
    }
    rows
}

fn told(row: &Row) {
    let seconds = row.took.unwrap_or_default().as_secs_f64();
    match &row.outcome {
        Outcome::Failed(why) => info!("{}: {why}", row.title),
        _ => info!("{}: {} in {seconds:.1} s", row.title, row.found.as_deref().unwrap_or("nothing")),
    }
}

async fn try_one(ground: &Ground<'_>, patient: &Patient<'_>, entry: &Entry) -> Result<Row> {
    let fault = &entry.fault;
    let (begun, since) = (Instant::now(), Timestamp::now());
    let commit = ground.break_with(fault).await?;
    let look =
        Look { commit, restart: &fault.restart, metrics: fault.metrics, deadline: Duration::from_secs(fault.deadline) };
    let found = match cause::explained(ground.client, ground.world, since, patient.well(&look)).await {
        Ok(None) => None,
        Ok(Some(cause)) | Err(cause) => Some(cause),
    };
    Ok(Row::new(entry, found.as_ref(), begun.elapsed()))
}

/// Takes a fault back, and sees that the platform works.
async fn mend(ground: &Ground<'_>, patient: &Patient<'_>, fault: &Fault) -> Result<()> {
    let commit = ground.mend(fault).await?;
    argocd::end_operations(ground.client).await?;
    let look = Look { commit, restart: &fault.restart, metrics: fault.metrics, deadline: MENDED };
    match patient.well(&look).await? {
        None => Ok(()),
        Some(cause) => Err(Failure::new("see the platform work again", cause)),
    }
}
