//! The last lines of a run: phases, one line per verdict, and what was tested with the counts.

use std::{path::Path, time::Duration};

use super::table;
use crate::judge::verdict::{Outcome, Verdict};

/// Prints the conclusion on standard output.
pub fn print(headline: &str, report: &Path, verdicts: &[Verdict], times: &[(&'static str, Duration)]) {
    println!("{}", table::phases(times));
    let mut counts = [0; 3];
    for verdict in verdicts {
        let (place, word, why) = match &verdict.outcome {
            Outcome::Passed => (0, "passed", String::new()),
            Outcome::Failed(why) => (1, "FAILED", format!("\n        {}", why.replace('\n', "\n        "))),
            Outcome::NotRun(why) => (2, "not run", format!(": {why}")),
        };
        counts[place] += 1;
        println!("{word:>8}  {} {}{why}", verdict.group, verdict.claim);
    }
    println!("report: {}", report.display());
    println!("{headline}: {} passed, {} failed, {} not run", counts[0], counts[1], counts[2]);
}
