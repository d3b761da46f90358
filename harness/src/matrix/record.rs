//! What the cells have concluded, in a file that outlives the runs.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use crate::{
    failure::{Attempt, Result},
    judge::verdict::Conclusion,
};

/// One run of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The cell.
    pub cell: Cell,
    /// The platform.
    pub platform: String,
    /// The clouds.
    pub clouds: Vec<String>,
    /// What the run concluded.
    pub verdict: Conclusion,
    /// What it found: the claims that failed or were unproven, each with its reason.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub seconds: u64,
    /// When it began (RFC 3339).
    pub date: String,
    /// The harness's commit, with `-dirty` when it had changes.
    pub revision: String,
}

/// A claim that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The claim.
    pub claim: String,
    /// Why it did not pass.
    pub why: String,
}

/// The last run of every cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// One for each cell, platform and choice of clouds.
    pub records: Vec<Record>,
}

/// What has become of a cell since its last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has not been run before.
    First,
    /// It concludes what it concluded.
    Same,
    /// It concludes less than it did, or claims fail that did not.
    Worse,
    /// It concludes more than it did, or claims pass that did not, and none fails that did not.
    Better,
}

impl Results {
    /// Reads the results; there are none when the file is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(file: &Path) -> Result<Self> {
        match fs::read(file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            read => {
                let bytes = read.attempting(|| format!("read {}", file.display()))?;
                serde_json::from_slice(&bytes).attempting(|| format!("understand {}", file.display()))
            }
        }
    }

    /// Writes the results, whole or not at all.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let attempted = || format!("write {}", file.display());
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).attempting(attempted)?;
        }
        let text = serde_json::to_string_pretty(self).attempting(attempted)?;
        let new = file.with_extension("json.new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, file)).attempting(attempted)
    }

    /// Puts a run in the place of the last one of its cell, and tells what has changed.
    pub fn put(&mut self, record: Record) -> Change {
        let same = |other: &&mut Record| {
            (&other.cell, &other.platform, &other.clouds) == (&record.cell, &record.platform, &record.clouds)
        };
        match self.records.iter_mut().find(same) {
            Some(last) => {
                let change = Change::between(last, &record);
                *last = record;
                change
            }
            None => {
                self.records.push(record);
                Change::First
            }
        }
    }
}

impl Change {
    /// By verdict, and when that is the same by the claims. Reasons have times and names in them that differ between runs.
    fn between(last: &Record, record: &Record) -> Self {
        let lacks = |all: &Record, finding: &Finding| all.findings.iter().all(|other| other.claim != finding.claim);
        let fresh = record.findings.iter().any(|finding| lacks(last, finding));
        let mended = last.findings.iter().any(|finding| lacks(record, finding));
        match record.verdict.cmp(&last.verdict) {
            std::cmp::Ordering::Greater => Self::Worse,
            std::cmp::Ordering::Less => Self::Better,
            std::cmp::Ordering::Equal if fresh => Self::Worse,
            std::cmp::Ordering::Equal if mended => Self::Better,
            std::cmp::Ordering::Equal => Self::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(verdict: Conclusion, claims: &[&str]) -> Record {
        let cell = Cell { kubernetes: "1.34.4".into(), argocd: "3.2.11".into(), operator: "2.4.1".into() };
        let finding = |claim: &&str| Finding { claim: (*claim).into(), why: "because".into() };
        Record {
            cell,
            platform: "p".into(),
            clouds: vec!["gcp".into()],
            verdict,
            findings: claims.iter().map(finding).collect(),
            seconds: 200,
            date: "2026-11-27T21:00:00Z".into(),
            revision: "abc".into(),
        }
    }

    fn changes(last: Record, record: Record) -> Change {
        let mut results = Results::default();
        assert_eq!(results.put(last), Change::First);
        let change = results.put(record.clone());
        assert_eq!(results.records, [record]);
        change
    }

    #[test]
    fn what_passed_and_fails_is_worse_and_what_failed_and_passes_is_better() {
        let (passed, failed) = (record(Conclusion::Passed, &[]), record(Conclusion::Failed, &["a"]));
        let unproven = record(Conclusion::Unproven, &["b"]);
        assert_eq!(changes(passed.clone(), passed.clone()), Change::Same);
        assert_eq!(changes(passed.clone(), failed.clone()), Change::Worse);
        assert_eq!(changes(passed.clone(), unproven.clone()), Change::Worse);
        assert_eq!(changes(failed.clone(), unproven), Change::Better);
        assert_eq!(changes(failed, passed), Change::Better);
    }

    #[test]
    fn a_claim_that_fails_anew_is_worse_whatever_else_was_mended() {
        let failed = |claims: &[&str]| record(Conclusion::Failed, claims);
        assert_eq!(changes(failed(&["a", "b"]), failed(&["a"])), Change::Better);
        assert_eq!(changes(failed(&["a", "b"]), failed(&["a", "c"])), Change::Worse);
        let other_words = Record { findings: vec![Finding { claim: "a".into(), why: "later".into() }], ..failed(&[]) };
        assert_eq!(changes(failed(&["a"]), other_words), Change::Same);
    }

    #[test]
    fn another_choice_of_clouds_is_another_record() {
        let mut results = Results::default();
        results.put(record(Conclusion::Passed, &[]));
        let other = Record { clouds: vec!["aws".into()], ..record(Conclusion::Failed, &["a"]) };
        assert_eq!(results.put(other), Change::First);
        assert_eq!(results.records.len(), 2);
    }

    #[test]
    fn results_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("matrix/results.json");
        assert_eq!(Results::read(&file).unwrap(), Results::default());
        let results = Results { records: vec![record(Conclusion::Failed, &["a"])] };
        results.write(&file).unwrap();
        assert_eq!(Results::read(&file).unwrap(), results);
        fs::write(&file, "{").unwrap();
        assert!(Results::read(&file).unwrap_err().to_string().starts_with("could not understand "));
    }
}
