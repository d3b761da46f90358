//! What a run concludes about one claim.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Outcome of one claim. What was substituted or could not be run is never a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "reason")]
pub enum Outcome {
    /// Seen to hold.
    Passed,
    /// Seen not to hold, with the cause.
    Failed(String),
    /// Not tried, with the reason.
    NotRun(String),
}

/// One claim and its outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Group, for example `canaries` or `secret_path`.
    pub group: String,
    /// The claim.
    pub claim: String,
    /// Its outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Time it took.
    pub took: Duration,
}

impl Verdict {
    /// A verdict that took no time of its own.
    pub fn new(group: &str, claim: impl Into<String>, outcome: Outcome) -> Self {
        Self { group: group.into(), claim: claim.into(), outcome, took: Duration::ZERO }
    }

    /// With the time that the claim took.
    #[must_use]
    pub const fn took(mut self, took: Duration) -> Self {
        self.took = took;
        self
    }

    /// Whether it was seen not to hold.
    pub const fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}
