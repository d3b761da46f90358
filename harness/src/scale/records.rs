//! The records of a world, judged and told as a run does it, by a process of its own: what that takes is not mixed with anything
//! else.

use std::{ffi::OsStr, path::PathBuf, time::Instant};

use serde::{Deserialize, Serialize};
use trinity_emulators::journal::{self, Line};

use super::{cost::Used, sample};
use crate::{
    clock::Clock,
    command::Run,
    failure::{Attempt, Result},
    folder,
    judge::{
        cause::message::READS,
        destructive,
        leaks::sources,
        outside,
        verdict::{Conclusion, Verdict},
    },
    report::{
        bundle,
        chain::Evidence,
        data::{self, Counts, Report, SecretState},
        gather,
        redact::Redactor,
        story::{Known, Story},
        table,
        timeline::Timeline,
    },
    world::{Cloud, Description},
};

/// Where they are.
#[derive(Clone, Debug, clap::Args)]
pub struct Records {
    /// The journal of the clouds' requests.
    #[arg(long)]
    pub journal: PathBuf,
    /// Whose they are.
    #[arg(long, value_enum)]
    pub cloud: Cloud,
    /// The `world.json` of the world; without one there is the journal alone.
    #[arg(long)]
    pub world: Option<PathBuf>,
    /// Folder for the report, which is not there yet.
    #[arg(long)]
    pub report: PathBuf,
}

/// What became of them, and what that has taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// Entries of the journal.
    pub entries: usize,
    /// How many of them are reads of a value.
    pub values: usize,
    /// Time to read the journal (s).
    pub read: f64,
    /// Time to judge it (s).
    pub judged: f64,
    /// Time to tell what happened: the audit log is read for it (s).
    pub told: f64,
    /// Time to write the report (s).
    pub written: f64,
    /// Size of the report (bytes).
    pub report: u64,
    /// What the process has used.
    pub used: Used,
    /// About the calls.
    pub verdicts: Vec<Verdict>,
}

impl Records {
    /// Has them judged by a process of its own.
    ///
    /// # Errors
    /// When it does not get to the end.
    pub async fn apart(&self) -> Result<Judged> {
        let program = std::env::current_exe().attempting(|| "find the harness's own program".into())?;
        let Self { journal, cloud, world, report } = self;
        let [of_journal, of_cloud, of_report] = ["--journal", "--cloud", "--report"].map(OsStr::new);
        let mut run = Run::new(program).arg("judge").args([of_journal, journal.as_ref()]);
        run = run.args([of_cloud, cloud.name().as_ref(), of_report, report.as_ref()]);
        if let Some(world) = world {
            run = run.args(["--world".as_ref(), world.as_os_str()]);
        }
        serde_json::from_str(&run.text().await?).attempting(|| format!("understand what {} came to", journal.display()))
    }

    /// Judges them in this process.
    ///
    /// # Errors
    /// When one cannot be read, the world does not answer, or the report cannot be written.
    pub async fn judge(&self) -> Result<Judged> {
        folder::new_private(&self.report).attempting(|| format!("make {}", self.report.display()))?;
        let (calls, read) = timed(|| journal::read(&self.journal).attempting(|| "judge the calls".into()))?;
        let attempted = || "find the world".to_owned();
        let world = self.world.as_deref().map(Description::read).transpose().attempting(attempted)?;
        let entries = calls.len();
        let reads = |call: &&Line| call.note.action.as_deref().is_some_and(|action| READS.contains(&action));
        let values = calls.iter().filter(reads).count();
        let missing = world.as_ref().map_or([].as_slice(), |world| &world.missing);
        let (verdicts, judged) = timed(|| Ok([outside::verdict(&calls, missing), destructive::verdict(&calls)]))?;
        let verdicts = verdicts.map(|verdict| verdict.of(self.cloud)).to_vec();
        let clock = calls.first().map_or_else(Clock::start, |first| Clock::since(first.time));

        let begun = Instant::now();
        let (story, secrets) = match &world {
            Some(world) => self.of_world(world, clock, &verdicts, calls).await?,
            None => (of_journal(clock, &verdicts, &calls), Vec::new()),
        };
        let told = begun.elapsed().as_secs_f64();
        let ((), written) =
            timed(|| self.report(world.as_ref(), clock, &verdicts, story, secrets).write(&self.report))?;
        let (report, used) = (folder::size(&self.report), sample::own()?);
        Ok(Judged { entries, values, read, judged, told, written, report, used, verdicts })
    }

    async fn of_world(
        &self,
        world: &Description,
        clock: Clock,
        verdicts: &[Verdict],
        calls: Vec<Line>,
    ) -> Result<(Story, Vec<SecretState>)> {
        let redactor = Redactor::knowing(&sources::values(world).await?);
        bundle::journal(&self.report, world, &redactor)?;
        let secrets = table::secrets(&world.client().await?, world).await;
        let (of_story, verdicts) = (secrets.clone(), verdicts.to_vec());
        let known = Known { clock, redactor, secrets: of_story, verdicts, stirred: None, calls };
        Ok((known.story(world).await?, secrets))
    }

    fn report(
        &self,
        world: Option<&Description>,
        clock: Clock,
        verdicts: &[Verdict],
        story: Story,
        secrets: Vec<SecretState>,
    ) -> Report {
        let Story { chain, timeline, left_out } = story;
        let verdicts_told: Vec<_> = verdicts.iter().map(gather::of_verdict).collect();
        let of_cloud = data::World {
            cloud: self.cloud,
            world: world.map(|world| world.name.clone()),
            phases: Vec::new(),
            memory: world.and_then(Description::memory_peak),
            secrets,
            chain,
            timeline,
            left_out,
        };
        Report {
            schema: data::SCHEMA,
            run: world.map_or_else(|| "journal".into(), |world| world.run.clone()),
            begun: clock.begun(),
            seconds: clock.elapsed().as_secs_f64(),
            version: env!("CARGO_PKG_VERSION").into(),
            headline: format!("what many ExternalSecrets cost, on {}", self.cloud),
            conclusion: Conclusion::of(verdicts),
            substituted: Vec::new(),
            time: String::new(),
            clouds: vec![of_cloud],
            phases: Vec::new(),
            counts: Counts::of(&verdicts_told),
            verdicts: verdicts_told,
            components: world.map_or_else(Vec::new, |world| world.components.clone()),
            queries: Vec::new(),
        }
    }
}

/// What happened, as far as the journal alone tells it.
fn of_journal(clock: Clock, verdicts: &[Verdict], calls: &[Line]) -> Story {
    let redactor = Redactor::default();
    let evidence =
        Evidence { accounts: &Ok(Vec::new()), writes: &Ok(Vec::new()), calls, secrets: &[], verdicts, stirred: None };
    let chain = evidence.chain(&redactor);
    let mut timeline = Timeline::new(clock, &redactor);
    timeline.requests(calls, None);
    let (timeline, left_out) = timeline.end();
    Story { chain, timeline, left_out }
}

/// Does `work`; its result with the time it took (s).
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let begun = Instant::now();
    Ok((work()?, begun.elapsed().as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::judge::verdict::Outcome;

    async fn judged(lines: &[&str]) -> (Judged, Report) {
        let folder = tempfile::tempdir().unwrap();
        let records = Records {
            journal: folder.path().join("gateway.jsonl"),
            cloud: Cloud::Aws,
            world: None,
            report: folder.path().join("report"),
        };
        fs::write(&records.journal, lines.join("\n")).unwrap();
        let judged = records.judge().await.unwrap();
        (judged, Report::read(&records.report).unwrap())
    }

    const READ: &str = r#"{"time":"2026-01-01T00:00:00Z","host":"secretsmanager.us-east-1.amazonaws.com","method":"POST","path":"/","status":200,"milliseconds":0,"action":"secretsmanager:GetSecretValue"}"#;
    const DELETE: &str = r#"{"time":"2026-01-01T00:00:09Z","host":"secretsmanager.us-east-1.amazonaws.com","method":"POST","path":"/","status":200,"milliseconds":0,"action":"secretsmanager:DeleteSecret"}"#;

    #[tokio::test]
    async fn a_journal_is_judged_and_told_by_its_own_time() {
        let (judged, report) = judged(&[READ, READ, DELETE]).await;
        assert_eq!((judged.entries, judged.values), (3, 2));
        let failed: Vec<&str> = judged.verdicts.iter().filter(|v| v.failed()).map(|v| v.group.as_str()).collect();
        assert_eq!(failed, ["lifecycle"]);
        let timeline: Vec<(f64, Option<u64>)> =
            report.clouds[0].timeline.iter().map(|moment| (moment.at, moment.count)).collect();
        assert_eq!(timeline, [(0.0, Some(2)), (9.0, None)]);
        assert!(judged.report > 0 && judged.used.peak > 0, "{judged:?}");
    }

    #[tokio::test]
    async fn a_journal_of_reads_is_no_finding() {
        let (judged, report) = judged(&[READ]).await;
        assert!(judged.verdicts.iter().all(|verdict| verdict.outcome == Outcome::Passed));
        assert_eq!((report.counts.passed, report.counts.failed), (2, 0));
    }
}
