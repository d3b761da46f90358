//! The report in Markdown, for a pull request or the summary of a job: the conclusion first, then what is wrong and what to
//! do about it.

use std::fmt::Write;

use super::data::{Claim, Counts, Outcome, Report};
use crate::judge::verdict::Conclusion;

/// The file in the folder of a run.
pub const FILE: &str = "summary.md";
/// Claims of one outcome that are told. GitHub takes 1 MiB for a step and 64 KiB for a comment; the report has all.
const CLAIMS: usize = 15;
/// Characters of a reason.
const LETTERS: usize = 1500;

/// The text.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = written(&mut text, report);
    text
}

fn written(text: &mut String, report: &Report) -> std::fmt::Result {
    let word = match report.conclusion {
        Conclusion::Passed => "passed",
        Conclusion::Failed => "failed",
        Conclusion::Unproven => "unproven",
    };
    writeln!(text, "## trinity-e2e: {word}\n\n{}\n\n{}", counts(report.counts), plain(&report.headline))?;
    if !report.substituted.is_empty() {
        writeln!(text, "\nSomething that only answers stood in for {}.", plain(&report.substituted.join(", ")))?;
    }
    writeln!(text, "\n| | passed | failed | unproven | not run | took |\n|---|--:|--:|--:|--:|--:|")?;
    let clouds = report.clouds.iter().map(|world| {
        let seconds = world.phases.iter().map(|phase| phase.seconds).sum::<f64>();
        (Some(world.cloud), world.cloud.to_string(), seconds)
    });
    for (cloud, name, seconds) in clouds.chain([(None, "the whole run".to_owned(), report.seconds)]) {
        let of = Counts::of(report.verdicts.iter().filter(|claim| claim.cloud == cloud));
        let cells = Outcome::ALL.map(|outcome| match of.get(outcome) {
            0 => String::new(),
            number => number.to_string(),
        });
        writeln!(text, "| {name} | {} | {seconds:.0} s |", cells.join(" | "))?;
    }
    writeln!(text, "\nTime: {}.", plain(&report.time))?;
    let of = |outcome| report.verdicts.iter().filter(move |claim| claim.outcome == outcome).collect::<Vec<_>>();
    let (failed, unproven, not_run) = (of(Outcome::Failed), of(Outcome::Unproven), of(Outcome::NotRun));
    if !failed.is_empty() {
        writeln!(text, "\n### Failed")?;
        told(text, &failed)?;
    }
    if !unproven.is_empty() {
        writeln!(text, "\n### Unproven\n\nIt takes the proof from all that passed with it.")?;
        told(text, &unproven)?;
    }
    if !not_run.is_empty() {
        writeln!(text, "\n<details><summary>Not run: {}</summary>", not_run.len())?;
        told(text, &not_run)?;
        writeln!(text, "\n</details>")?;
    }
    Ok(())
}

fn counts(counts: Counts) -> String {
    let one = |outcome: Outcome| format!("{} {}", counts.get(outcome), outcome.name());
    Outcome::ALL.map(one).join(", ")
}

/// Claims with their causes.
fn told(text: &mut String, claims: &[&Claim]) -> std::fmt::Result {
    for claim in claims.iter().take(CLAIMS) {
        writeln!(text, "\n**{}** {}", plain(&claim.about()), plain(&claim.claim))?;
        match (&claim.cause, &claim.reason) {
            (Some(cause), _) => {
                if let Some(kind) = &cause.kind {
                    writeln!(text, "\nCause: `{kind}`")?;
                }
                writeln!(text, "\n{}", fenced(&cause.evidence.join("\n")))?;
                if let Some(next) = &cause.next {
                    writeln!(text, "\nNext:\n\n{}", fenced(next))?;
                }
            }
            (None, Some(reason)) => writeln!(text, "\n{}", fenced(reason))?,
            (None, None) => {}
        }
    }
    match claims.len().checked_sub(CLAIMS).filter(|more| *more > 0) {
        Some(more) => writeln!(text, "\n… and {more} more, in the report."),
        None => Ok(()),
    }
}

/// Text that is neither markup nor mention, wherever it came from, on one line.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match character {
            '&' | '<' | '>' | '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '~' | '#' | '@' => {
                plain += &format!("&#{};", u32::from(character));
            }
            other => plain.push(other),
        }
    }
    plain
}

/// Text with its lines; the fence is longer than any in it.
fn fenced(text: &str) -> String {
    let cut: String = text.chars().take(LETTERS).collect();
    let more = if cut.len() < text.len() { " …" } else { "" };
    let longest = cut.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{cut}{more}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::gather::example;

    #[test]
    fn the_conclusion_comes_first_and_findings_have_their_cause_and_next_step() {
        let text = text(&example());
        assert!(text.starts_with("## trinity-e2e: failed\n\n1 passed, 1 failed, 1 unproven, 1 not run\n"), "{text}");
        assert!(text.contains("| aws | 1 | 1 |  |  | 90 s |\n| gcp |  |  |  |  | 24 s |\n"), "{text}");
        assert!(text.contains("| the whole run |  |  | 1 | 1 | 92 s |"), "{text}");
        assert!(text.contains("Cause: `identity-refused`\n\n```text\nthe role does not trust the token"), "{text}");
        assert!(text.contains("Next:\n\n```text\ncompare the policy\n```"), "{text}");
        assert!(
            text.contains("<details><summary>Not run: 1</summary>\n\n**images** what needs grafana works"),
            "{text}"
        );
        let place = |part: &str| text.find(part).unwrap();
        assert!(place("### Failed") < place("### Unproven") && place("### Unproven") < place("Not run: 1"));
    }

    #[test]
    fn what_passed_has_no_sections() {
        let mut report = example();
        report.verdicts.retain(|claim| claim.outcome == Outcome::Passed);
        let text = text(&report);
        assert!(!text.contains("###") && !text.contains("<details>"), "{text}");
    }

    #[test]
    fn text_of_others_is_no_markup_and_long_text_is_cut() {
        assert_eq!(plain("a|b <b>\n@me"), "a&#124;b &#60;b&#62; &#64;me");
        assert!(fenced("```\nescaped").starts_with("````text\n"));
        let mut report = example();
        let claim = report.verdicts.iter().find(|claim| claim.cause.is_some()).unwrap().clone();
        for _ in 0..CLAIMS + 5 {
            let mut claim = claim.clone();
            claim.cause.as_mut().unwrap().evidence = vec!["ü".repeat(100_000)];
            report.verdicts.push(claim);
        }
        let text = text(&report);
        assert!(text.len() < 60_000 && text.contains("… and 6 more"), "{}", text.len());
    }
}
