//! One of the runs, and its line in the file that outlives the soak.

use std::{fs::File, io::Write, path::Path};

use serde::{Deserialize, Serialize};

use super::{claims::Claims, measure::Measures};
use crate::{
    failure::{Attempt, Result},
    report::data::Outcome,
};

/// The file in the folder of a soak: one JSON object a line, one line for each run.
pub const FILE: &str = "soak.json";

/// How a run has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It passed.
    #[default]
    Passed,
    /// It found something.
    Failed,
    /// It proves nothing.
    Unproven,
    /// It could not be run, or not to its end, or it died.
    Broken,
    /// Somebody has broken it off.
    Interrupted,
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Its number, from 1.
    pub number: usize,
    /// Its own name; nothing when it could not begin.
    pub run: Option<String>,
    /// How it has ended.
    pub ended: Ended,
    /// The same in the kernel's words, with the exit code or the signal.
    pub status: String,
    /// When it began (RFC 3339).
    pub begun: String,
    /// How long it took.
    pub seconds: f64,
    /// Its claims that have failed, or are unproven.
    pub findings: Vec<Finding>,
    /// What was measured before it; only of the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Measures>,
    /// What was measured after it.
    pub after: Measures,
    /// What a sweep would have removed after it.
    pub leftovers: Vec<String>,
    /// All its claims. They are in its report.
    #[serde(skip)]
    pub claims: Claims,
}

/// A claim that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The claim, with what it is about.
    pub claim: String,
    /// How it came out.
    pub outcome: Outcome,
    /// Why.
    pub why: String,
}

impl Ended {
    /// By the exit code; nothing stands for a signal. A run that was told to end and has nothing against the platform says
    /// only that.
    pub const fn of(code: Option<i32>, interrupted: bool) -> Self {
        match (code, interrupted) {
            (Some(0), _) => Self::Passed,
            (Some(1), _) => Self::Failed,
            (_, true) => Self::Interrupted,
            (Some(2), false) => Self::Unproven,
            (_, false) => Self::Broken,
        }
    }

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Unproven => "UNPROVEN",
            Self::Broken => "BROKEN",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether it came to its end, and promises to have left nothing.
    pub const fn in_order(self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::Unproven)
    }
}

impl Round {
    /// What its claims say against the platform, failures first.
    pub fn finding(&mut self, claims: Claims) {
        for wanted in [Outcome::Failed, Outcome::Unproven] {
            let bad = claims.iter().filter(|(_, (outcome, _))| *outcome == wanted);
            self.findings.extend(bad.map(|(claim, (outcome, why))| Finding {
                claim: claim.clone(),
                outcome: *outcome,
                why: why.clone().unwrap_or_default(),
            }));
        }
        self.claims = claims;
    }

    /// Adds its line to a file. A soak that is killed later loses nothing of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, file: &Path) -> Result<()> {
        let attempted = || format!("write {}", file.display());
        let mut line = serde_json::to_vec(self).attempting(attempted)?;
        line.push(b'\n');
        let mut file = File::options().create(true).append(true).open(file).attempting(attempted)?;
        file.write_all(&line).and_then(|()| file.sync_data()).attempting(attempted)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::soak::measure::Measure;

    #[test]
    fn a_run_ends_as_its_exit_code_says() {
        for (code, ended) in [(0, Ended::Passed), (1, Ended::Failed), (2, Ended::Unproven), (4, Ended::Broken)] {
            assert_eq!(Ended::of(Some(code), false), ended);
        }
        assert_eq!(Ended::of(None, false), Ended::Broken, "a signal that nobody has sent");
        assert_eq!(Ended::of(Some(101), false), Ended::Broken, "a panic");
        assert_eq!(Ended::of(Some(2), true), Ended::Interrupted);
        assert_eq!(Ended::of(None, true), Ended::Interrupted);
        assert_eq!(Ended::of(Some(0), true), Ended::Passed, "it was faster than the signal");
        assert_eq!(Ended::of(Some(1), true), Ended::Failed, "what was found stays found");
    }

    #[test]
    fn failures_are_told_before_what_is_unproven() {
        let came = |outcome, why: &str| (outcome, Some(why.to_owned()));
        let mut round = Round::default();
        round.finding(Claims::from([
            ("a".into(), came(Outcome::Unproven, "let in")),
            ("b".into(), came(Outcome::Failed, "drift")),
            ("c".into(), (Outcome::Passed, None)),
            ("d".into(), came(Outcome::NotRun, "none")),
        ]));
        let told: Vec<&str> = round.findings.iter().map(|finding| finding.why.as_str()).collect();
        assert_eq!(told, ["drift", "let in"]);
        assert_eq!(round.claims.len(), 4);
    }

    #[test]
    fn every_run_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let measures = Measures::from([(Measure::Mounts, 30)]);
        let first = Round { number: 1, before: Some(measures.clone()), after: measures, ..Round::default() };
        let why = "late\nby 2 s".to_owned();
        let finding = Finding { claim: "aws metrics labels".into(), outcome: Outcome::Failed, why };
        let second = Round {
            number: 2,
            ended: Ended::Failed,
            run: Some("1a2b3c4d".into()),
            findings: vec![finding],
            ..Round::default()
        };
        first.append(&file).unwrap();
        second.append(&file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let read: Vec<Round> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, [first, second]);
    }
}
