//! What a run concludes about one claim.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{report::redact::Redactor, world::Cloud};

/// Outcome of one claim. What was substituted or could not be run is never a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "reason")]
pub enum Outcome {
    /// Seen to hold.
    Passed,
    /// Seen not to hold, with the cause.
    Failed(String),
    /// Seen, and worth nothing, with the reason.
    Unproven(String),
    /// Not tried, with the reason.
    NotRun(String),
}

/// One claim and its outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The world's cloud; nothing when it is about the whole run.
    pub cloud: Option<Cloud>,
    /// Group, for example `canaries` or `secret_path`.
    pub group: String,
    /// The claim.
    pub claim: String,
    /// Its outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What else is to be said, for example how much was seen; empty when there is nothing.
    pub note: String,
    /// Time it took.
    pub took: Duration,
}

impl Verdict {
    /// A verdict that took no time of its own.
    pub fn new(group: &str, claim: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            cloud: None,
            group: group.into(),
            claim: claim.into(),
            outcome,
            note: String::new(),
            took: Duration::ZERO,
        }
    }

    /// With the time that the claim took.
    #[must_use]
    pub const fn took(mut self, took: Duration) -> Self {
        self.took = took;
        self
    }

    /// With something else to be said.
    #[must_use]
    pub fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// About the world of a cloud.
    #[must_use]
    pub const fn of(mut self, cloud: Cloud) -> Self {
        self.cloud = Some(cloud);
        self
    }

    /// With its text made free of secret values.
    #[must_use]
    pub fn cleaned(mut self, redactor: &Redactor) -> Self {
        if let Outcome::Failed(text) | Outcome::Unproven(text) | Outcome::NotRun(text) = &mut self.outcome {
            *text = redactor.clean(text);
        }
        self
    }

    /// Cloud and group, for people.
    pub fn subject(&self) -> String {
        self.cloud.map_or_else(|| self.group.clone(), |cloud| format!("{cloud} {}", self.group))
    }

    /// Whether it was seen not to hold.
    pub const fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

/// What a whole run concludes, the worse the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Nothing failed.
    Passed,
    /// Nothing failed, and that proves nothing.
    Unproven,
    /// Something failed.
    Failed,
}

impl Conclusion {
    /// From all verdicts of a run.
    pub fn of(verdicts: &[Verdict]) -> Self {
        if verdicts.iter().any(Verdict::failed) {
            Self::Failed
        } else if verdicts.iter().any(|v| matches!(v.outcome, Outcome::Unproven(_))) {
            Self::Unproven
        } else {
            Self::Passed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unproven_is_no_pass_and_a_failure_is_told_first() {
        let verdicts = |outcomes: &[Outcome]| -> Vec<Verdict> {
            outcomes.iter().map(|o| Verdict::new("group", "claim", o.clone())).collect()
        };
        let (passed, failed) = (Outcome::Passed, Outcome::Failed("why".into()));
        let (unproven, not_run) = (Outcome::Unproven("why".into()), Outcome::NotRun("why".into()));
        assert_eq!(Conclusion::of(&verdicts(&[passed.clone(), not_run])), Conclusion::Passed);
        assert_eq!(Conclusion::of(&verdicts(&[passed, unproven.clone()])), Conclusion::Unproven);
        assert_eq!(Conclusion::of(&verdicts(&[unproven, failed])), Conclusion::Failed);
    }
}
