//! The load of one world, step by step, and what was used before and after each.

use std::path::PathBuf;

use kube::Client;
use tokio::sync::Mutex;
use tracing::info;

use super::{
    load::Load,
    meeting::{Guest, Meeting},
    pattern::Pattern,
    records::{Judged, Records},
    sample::{Meter, Sample},
    steps::{self, STEPS},
};
use crate::{
    failure::Result,
    judge::verdict::{Outcome, Verdict},
    report::redact::Redactor,
    site::Site,
    subject::Subject,
    world::{Cloud, Description, bringup::PLATFORM},
};
/// What a ramp needs of its run.
pub(super) struct Ramp<'a> {
    /// Where its world stands.
    pub(super) site: &'a Site<'a>,
    /// The platform.
    pub(super) subject: &'a Subject,
    /// The cloud.
    pub(super) cloud: Cloud,
    /// All secrets of all worlds.
    pub(super) secrets: usize,
    /// The other worlds.
    pub(super) meeting: &'a Meeting,
    /// Whoever has it may judge: two at once would take each other's time.
    pub(super) judging: &'a Mutex<()>,
    /// Folder for what is reported.
    pub(super) report: PathBuf,
}

/// A step in one world.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Secrets that it has added.
    pub secrets: usize,
    /// When each was Ready (s), in the order of time.
    pub times: Vec<f64>,
    /// What was used before it.
    pub before: Sample,
    /// What was used when all were Ready.
    pub after: Sample,
    /// The world's records since its beginning, judged then.
    pub judged: Judged,
}

/// What became of one world.
#[derive(Clone, Debug)]
pub struct Ascent {
    /// Its steps, as far as they came; the first is that in which the platform came up.
    pub stages: Vec<Stage>,
    /// What was found.
    pub verdicts: Vec<Verdict>,
    /// Folder for what is reported of it.
    pub report: PathBuf,
}

impl Ramp<'_> {
    /// Brings the platform up, and the load step by step.
    ///
    /// # Errors
    /// When the world could not be made, measured or removed.
    pub(super) async fn climb(self) -> Result<Ascent> {
        let mut guest = self.meeting.join(self.cloud);
        let wish = self.subject.wish(self.cloud, None, &self.report).await?;
        let before = Sample::of_run(self.site.run)?;
        let climbed = self.site.in_a_world(&wish, &self.report, async |world, client, values| {
            let redactor = Redactor::new(values.values().cloned());
            let world = &world.description;
            let comes_up = |outcome| Verdict::new("platform", "it comes up", outcome).of(self.cloud);
            let up = self.site.up(self.site.rendered, world, client, values, PLATFORM).await?;
            if let Err(cause) = up {
                let outcome = Outcome::Failed(redactor.clean(&cause.to_string()));
                return Ok((Vec::new(), vec![comes_up(outcome)]));
            }
            let (stages, ready) = self.steps(&mut guest, before, world, client, &redactor).await?;
            let calls = stages.last().map(|stage| stage.judged.verdicts.clone());
            let verdicts = [comes_up(Outcome::Passed), ready].into_iter().chain(calls.into_iter().flatten());
            Ok((stages, verdicts.map(|verdict| verdict.cleaned(&redactor)).collect()))
        });
        let (stages, verdicts) = climbed.await?;
        Ok(Ascent { stages, verdicts, report: self.report.clone() })
    }

    async fn steps(
        &self,
        guest: &mut Guest<'_>,
        before: Sample,
        world: &Description,
        client: &Client,
        redactor: &Redactor,
    ) -> Result<(Vec<Stage>, Verdict)> {
        let Self { cloud, secrets, .. } = *self;
        let clouds = &self.subject.clouds;
        let place = clouds.iter().position(|one| *one == cloud).unwrap_or_default();
        let share = |step| steps::share(secrets, step, place, clouds.len());
        let all: usize = (1..=STEPS).map(share).sum();
        let claim = |outcome| {
            let claim = format!("all {all} ExternalSecrets are Ready, and each has its Secret");
            Verdict::new("secrets", claim, outcome).of(cloud)
        };
        let pattern = Pattern::find(client).await?;
        let meter = Meter::new(world)?;
        let mut stages = vec![self.stage(guest, &meter, world, (0, 0, Vec::new()), before).await?];
        for step in 1..=STEPS {
            meter.forget_peaks()?;
            let before = meter.read()?;
            let load = Load { client, pattern: &pattern, run: &world.run, step, secrets: share(step) };
            info!("{cloud}: step {step} of {STEPS}, {} ExternalSecrets after {}", load.secrets, pattern.of);
            let times = match load.bring().await {
                Ok(times) => times,
                Err(failure) => return Ok((stages, claim(Outcome::Failed(redactor.clean(&failure.to_string()))))),
            };
            stages.push(self.stage(guest, &meter, world, (step, load.secrets, times), before).await?);
        }
        Ok((stages, claim(Outcome::Passed)))
    }

    /// What a step has taken, which is over here, and what its records take.
    async fn stage(
        &self,
        guest: &mut Guest<'_>,
        meter: &Meter<'_>,
        world: &Description,
        (step, secrets, times): (usize, usize, Vec<f64>),
        before: Sample,
    ) -> Result<Stage> {
        guest.all_here().await;
        let after = meter.read()?;
        let records = Records {
            journal: world.journal.clone(),
            cloud: self.cloud,
            world: Some(world.folder.join("world.json")),
            report: self.report.join(format!("step-{step}")),
        };
        // Every world has measured its step before one judges.
        guest.all_here().await;
        let turn = self.judging.lock().await;
        let judged = records.apart().await?;
        drop(turn);
        guest.all_here().await;
        Ok(Stage { secrets, times, before, after, judged })
    }
}
