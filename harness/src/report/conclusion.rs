//! The last lines of a run: phases, verdicts, and what was tested with the counts.

use std::path::Path;

use super::{phases::Phase, table, terminal};
use crate::judge::verdict::{Conclusion, Outcome, Verdict};

/// Prints the conclusion on standard output: one line per verdict, but a group of which all passed is one line.
pub fn print(headline: &str, report: &Path, verdicts: &[Verdict], times: &[Phase]) -> Conclusion {
    terminal::print(table::phases(times));
    let mut counts = [0; 4];
    for group in verdicts.chunk_by(|a, b| a.subject() == b.subject()) {
        if let [_, _, ..] = group
            && group.iter().all(|v| v.outcome == Outcome::Passed)
        {
            counts[0] += group.len();
            terminal::print(format!("{:>8}  {}: {} claims", "passed", group[0].subject(), group.len()));
            continue;
        }
        for verdict in group {
            let (place, word, why) = match &verdict.outcome {
                Outcome::Passed => (0, "passed", String::new()),
                Outcome::Failed(why) => (1, "FAILED", format!("\n          {}", why.replace('\n', "\n          "))),
                Outcome::Unproven(why) => (2, "UNPROVEN", format!(": {}", why.replace('\n', "\n          "))),
                Outcome::NotRun(why) => (3, "not run", format!(": {why}")),
            };
            counts[place] += 1;
            let note = if verdict.note.is_empty() { String::new() } else { format!(" ({})", verdict.note) };
            terminal::print(format!("{word:>8}  {} {}{note}{why}", verdict.subject(), verdict.claim));
        }
    }
    let [passed, failed, unproven, not_run] = counts;
    terminal::print(format!("report: {}", report.display()));
    let conclusion = Conclusion::of(verdicts);
    match conclusion {
        Conclusion::Unproven => terminal::print(format!(
            "{headline}: UNPROVEN, {passed} passed, {failed} failed, {unproven} unproven, {not_run} not run: what is \
             unproven takes the proof from all that passed with it"
        )),
        _ => terminal::print(format!("{headline}: {passed} passed, {failed} failed, {not_run} not run")),
    }
    conclusion
}
