//! Calls to the outside that nobody declared: what the platform asked the gateway for and the gateway does not play.

use std::collections::BTreeSet;

use trinity_emulators::journal;

use super::verdict::{Outcome, Verdict};
use crate::components::{Missing, Need};

/// A verdict on all calls of a world. Of what is `missing` it was known before that nobody has it.
pub fn verdict(lines: &[journal::Line], missing: &[Missing]) -> Verdict {
    let outcome = match findings(lines, missing) {
        findings if findings.is_empty() => Outcome::Passed,
        findings => {
            Outcome::Failed(format!("{}\n  next: declare the host, or find out what calls it", findings.join("\n")))
        }
    };
    Verdict::new("outside", "the platform calls no host that nobody declared", outcome)
}

/// What each unexpected call was, once.
fn findings(lines: &[journal::Line], missing: &[Missing]) -> Vec<String> {
    let known = |reason: &String| {
        missing.iter().any(|missing| match &missing.what {
            Need::Image(image) => reason.contains(image),
            Need::Application { repository, .. } => reason.contains(repository.trim_end_matches(".git")),
        })
    };
    let reasons = lines.iter().filter(|l| l.note.finding).map(|l| l.note.reason.clone().unwrap_or_default());
    let found: BTreeSet<String> = reasons.filter(|reason| !known(reason)).collect();
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Cloud;

    #[test]
    fn each_finding_is_told_once() {
        let line = r#"{"time":"2026-01-01T00:00:00Z","host":"example.com","method":"GET","path":"/","status":421,"milliseconds":0"#;
        let lines: Vec<journal::Line> = [
            format!("{line}}}"),
            format!(r#"{line},"finding":true,"reason":"nothing here plays https://example.com/"}}"#),
            format!(r#"{line},"finding":true,"reason":"nothing here plays https://example.com/"}}"#),
        ]
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
        assert_eq!(findings(&lines, &[]), ["nothing here plays https://example.com/"]);
        assert!(findings(&lines[..1], &[]).is_empty());
        let what = Need::Application { cloud: Cloud::Gcp, name: "a".into(), repository: "https://example.com".into() };
        let known = Missing { what, reason: String::new() };
        assert!(findings(&lines, &[known]).is_empty());
    }
}
