//! What a run tells: tables for people, and a file for programs.

use std::{fs, path::Path};

use serde::Serialize;

use super::{limits, row::Row, sample::Spent, table};
use crate::{
    failure::{Attempt, Result},
    judge::verdict::Verdict,
    report::terminal,
};

/// Name of the file in the folder of a run.
pub const FILE: &str = "scale.json";

/// What is told. Times are seconds, and sizes bytes.
#[derive(Debug, Serialize)]
pub struct Told<'a> {
    /// What was tried.
    pub headline: &'a str,
    /// The steps; the first is that before the first secret.
    pub rows: &'a [Row],
    /// What was found.
    pub verdicts: &'a [Verdict],
}

/// The same with what follows from it.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    told: &'a Told<'a>,
    /// Processor time of all steps and one judgement at their end.
    spent: Option<Spent>,
    /// The harness's part of it (%).
    harness: Option<f64>,
}

impl Told<'_> {
    /// Prints the tables, and writes the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn tell(&self, report: &Path) -> Result<()> {
        terminal::print(table::times(self.rows));
        terminal::print(table::records(self.rows));
        let spent = limits::whole(self.rows);
        let whole = Whole { told: self, spent, harness: spent.and_then(Spent::share) };
        let file = report.join(FILE);
        let attempted = || format!("write {}", file.display());
        let text = serde_json::to_string_pretty(&whole).attempting(attempted)?;
        fs::write(&file, text + "\n").attempting(attempted)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::row::tests::with_peaks, *};
    use crate::judge::verdict::Outcome;

    #[test]
    fn the_file_has_every_step_and_what_all_of_them_cost() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts = [Verdict::new("memory", "it is flat", Outcome::Passed)];
        Told { headline: "h", rows: &with_peaks(&[1 << 20; 5]), verdicts: &verdicts }.tell(folder.path()).unwrap();
        let text = fs::read(folder.path().join(FILE)).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&told["headline"], told["rows"].as_array().unwrap().len()), (&json!("h"), 5));
        assert_eq!(told["rows"][4]["secrets"], 40);
        assert_eq!((&told["spent"]["cluster"], &told["verdicts"][0]["outcome"]), (&json!(485.0), &json!("passed")));
    }
}
