//! What a run has found, as data: the file `report.json`. All other reports of a run are made from it, but for JUnit's.
//!
//! Times are seconds since the run began. No text has a secret value in it.

use std::{fs, path::Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{openmetrics, page, summary};
use crate::{
    failure::{Attempt, Failure, Result},
    judge::{cause::Told, verdict::Conclusion},
    world::{Cloud, description::Provenance},
};

/// The file in the folder of a run.
pub const FILE: &str = "report.json";
/// The version of its form. Keys may be added without another one.
pub const SCHEMA: u32 = 1;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Version of this form.
    pub schema: u32,
    /// The run's name.
    pub run: String,
    /// When it began.
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    pub begun: Timestamp,
    /// How long it took (s).
    pub seconds: f64,
    /// Version of trinity-e2e.
    pub version: String,
    /// What was tested.
    pub headline: String,
    /// What it concludes.
    pub conclusion: Conclusion,
    /// Images for which something stood in that only answers.
    pub substituted: Vec<String>,
    /// Where the time went, in one line.
    pub time: String,
    /// One entry for each cloud, in the order of reports.
    pub clouds: Vec<World>,
    /// Phases of the run itself; those of its worlds fall into `worlds`.
    pub phases: Vec<Phase>,
    /// All claims.
    pub verdicts: Vec<Claim>,
    /// How many claims came out how.
    pub counts: Counts,
    /// Third-party parts and where they came from.
    pub components: Vec<Provenance>,
    /// The platform's queries over all clouds.
    pub queries: Vec<Query>,
}

/// A cloud's world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct World {
    /// The cloud.
    pub cloud: Cloud,
    /// The world's name; nothing when it never came up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<String>,
    /// Its phases.
    pub phases: Vec<Phase>,
    /// Most memory that it used at once (bytes); nothing when that was never measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The platform's ExternalSecrets, as they were at the end.
    pub secrets: Vec<SecretState>,
    /// The links from service account to value, in their order.
    pub chain: Vec<Link>,
    /// What happened, in the order of time.
    pub timeline: Vec<Moment>,
    /// How many entries of the timeline there was no room for.
    pub left_out: usize,
}

/// A phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it began (s).
    pub begun: f64,
    /// How long it took (s).
    pub seconds: f64,
    /// Whether the run would have been shorter if this phase had been.
    pub critical: bool,
}

/// An ExternalSecret with its store and its Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SecretState {
    /// The store's name.
    pub store: String,
    /// Reason of its condition Ready, or that it is missing.
    pub store_state: String,
    /// The ExternalSecret, `<namespace>/<name>`.
    pub external_secret: String,
    /// Reason of its condition Ready.
    pub state: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// The Secret, `<namespace>/<name>`.
    pub secret: String,
    /// Its keys with digests of their values, or that it is missing.
    pub holds: String,
}

/// A link between a service account and a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Link {
    /// `service account`, `token`, `exchange`, `permission` or `value`.
    pub link: String,
    /// Whether it was seen to hold.
    pub outcome: Outcome,
    /// What was seen of it, or why nothing was.
    pub seen: String,
}

/// Something that happened in a world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Moment {
    /// When (s).
    pub at: f64,
    /// When the same happened for the last time in a row (s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
    /// How often, when it was more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What kind of thing it is.
    pub lane: Lane,
    /// To what it happened.
    pub object: String,
    /// What happened.
    pub what: String,
    /// Whether that is well.
    pub outcome: Tone,
}

/// Kinds of what happens in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// An application's sync and health.
    Applications,
    /// Objects of a sync wave are made, or a wave is waited for.
    Waves,
    /// A Pod's phase and readiness.
    Pods,
    /// A store's or an ExternalSecret's condition.
    Stores,
    /// A Secret is written.
    Secrets,
    /// A request to the outside.
    Requests,
}

/// Whether something is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// It is what was wanted.
    Good,
    /// It is not.
    Bad,
    /// It is neither.
    Neutral,
}

/// A claim and how it came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Claim {
    /// The cloud; nothing when it is about the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// What it is about, for example `canaries`, or the suite.
    pub subject: String,
    /// The claim.
    pub claim: String,
    /// How it came out.
    pub outcome: Outcome,
    /// How long that took (s).
    pub seconds: f64,
    /// What else is to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it has not passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is known of the cause, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Told>,
}

/// How a claim came out, the worse the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It was not tried.
    NotRun,
    /// What was seen is worth nothing.
    Unproven,
    /// It does not hold.
    Failed,
}

impl Outcome {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Unproven, Self::NotRun];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NotRun => "not run",
            Self::Unproven => "unproven",
            Self::Failed => "failed",
        }
    }
}

/// How many claims came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Those that hold.
    pub passed: usize,
    /// Those that do not.
    pub failed: usize,
    /// Those about which what was seen is worth nothing.
    pub unproven: usize,
    /// Those that were not tried.
    pub not_run: usize,
}

impl Counts {
    /// Of these claims.
    pub fn of<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Self {
        let mut counts = Self::default();
        for claim in claims {
            *counts.place(claim.outcome) += 1;
        }
        counts
    }

    /// The number for an outcome.
    pub fn get(mut self, outcome: Outcome) -> usize {
        *self.place(outcome)
    }

    const fn place(&mut self, outcome: Outcome) -> &mut usize {
        match outcome {
            Outcome::Passed => &mut self.passed,
            Outcome::Failed => &mut self.failed,
            Outcome::Unproven => &mut self.unproven,
            Outcome::NotRun => &mut self.not_run,
        }
    }
}

/// A query of the platform and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Query {
    /// In PromQL.
    pub query: String,
    /// Its series with their values.
    pub answers: Vec<String>,
}

impl Claim {
    /// Cloud and subject, for people.
    pub fn about(&self) -> String {
        self.cloud.map_or_else(|| self.subject.clone(), |cloud| format!("{cloud} {}", self.subject))
    }
}

impl Report {
    /// Reads the report in the folder of a run.
    ///
    /// # Errors
    /// When it is not there, or has another form.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE);
        let attempted = || format!("read {}", file.display());
        let text = fs::read(&file).attempting(attempted).map_err(|failure| failure.next(FOLDER).misused())?;
        let report: Self = serde_json::from_slice(&text).attempting(attempted)?;
        match report.schema {
            SCHEMA => Ok(report),
            other => Err(Failure::new(attempted(), format!("it has version {other} of its form, and not {SCHEMA}"))
                .next("read it with the trinity-e2e that wrote it")),
        }
    }

    /// Writes it and what is made from it to the folder of the run.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let files = [
            (FILE, self.json()?),
            (page::FILE, page::text(self)?),
            (summary::FILE, summary::text(self)),
            (openmetrics::FILE, openmetrics::text(self)?),
        ];
        for (name, text) in files {
            let file = folder.join(name);
            fs::write(&file, text).attempting(|| format!("write {}", file.display()))?;
        }
        Ok(())
    }

    /// As text.
    ///
    /// # Errors
    /// When a number in it is none.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).attempting(|| "write the report".into())
    }
}

const FOLDER: &str = "name the folder of a run, as its last lines tell it";
