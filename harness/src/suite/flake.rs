//! Tests that fail in some rounds of a run and not in others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use jiff::Timestamp;
use quick_junit::{Report, TestCase};
use trinity_emulators::journal::Line;

use crate::{
    judge::verdict::{Outcome, Verdict},
    report::junit,
};

/// When a test began, and when it ended.
type Span = (Timestamp, Timestamp);

/// One test in one round.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// What it said, when it failed.
    failed: Option<String>,
    /// Its time, when the report tells it.
    span: Option<Span>,
}

/// What became of the tests of one round, by their names.
pub type Round = BTreeMap<String, Tried>;

/// What nextest's reports tell about one round.
pub fn round(reports: &[Report]) -> Round {
    let suites = reports.iter().flat_map(|report| &report.test_suites);
    suites.flat_map(|suite| suite.test_cases.iter().map(|case| (suite.name.as_str(), case))).filter_map(tried).collect()
}

fn tried((suite, case): (&str, &TestCase)) -> Option<(String, Tried)> {
    if matches!(case.status, quick_junit::TestCaseStatus::Skipped { .. }) {
        return None;
    }
    let begun = case.timestamp.and_then(|time| Timestamp::from_millisecond(time.timestamp_millis()).ok());
    let span = begun.zip(case.time).and_then(|(begun, took)| Some((begun, begun.checked_add(took).ok()?)));
    let failed = junit::said(&case.status).map(Into::into);
    Some((format!("{suite} {}", case.name.as_str()), Tried { failed, span }))
}

/// Whether every test came out the same in all rounds; `calls` are all that the world's gateway has answered.
pub fn verdict(rounds: &[Round], calls: &[Line]) -> Verdict {
    let claim = format!("every test comes out the same in {} rounds", rounds.len());
    let names: BTreeSet<&String> = rounds.iter().flat_map(Round::keys).collect();
    let told: Vec<String> = names.iter().filter_map(|name| flaky(name, rounds, calls)).collect();
    let outcome = match (names.is_empty(), told.is_empty()) {
        (true, _) => Outcome::NotRun("no test has run".into()),
        (false, true) => Outcome::Passed,
        (false, false) => Outcome::Failed(told.join("\n")),
    };
    Verdict::new("rounds", claim, outcome).noting(format!("{} tests", names.len()))
}

/// What is to be said of a test that failed in some rounds and passed in others.
fn flaky(name: &str, rounds: &[Round], calls: &[Line]) -> Option<String> {
    let tried: Vec<(usize, &Tried)> =
        rounds.iter().enumerate().filter_map(|(n, round)| Some((n + 1, round.get(name)?))).collect();
    let (failed, passed): (Vec<_>, Vec<_>) = tried.into_iter().partition(|(_, tried)| tried.failed.is_some());
    let ((bad, one), (good, other)) = (failed.first()?, passed.first()?);
    let numbers: Vec<String> = failed.iter().map(|(n, _)| n.to_string()).collect();
    let mut told = format!("{name} failed in round {} of {}", numbers.join(", "), rounds.len());
    let mut said: BTreeSet<&str> = BTreeSet::new();
    for (n, tried) in &failed {
        let words = tried.failed.as_deref().unwrap_or_default();
        if said.insert(words) {
            let _ = write!(told, "\n  round {n}: {}", words.replace('\n', "\n    "));
        }
    }
    let Some((one, other)) = one.span.zip(other.span) else { return Some(told) };
    let differences = differences(calls, one, other);
    if !differences.is_empty() {
        let _ = write!(told, "\n  calls to the outside while it ran, in round {bad}, which failed / in round {good}:");
        for line in differences {
            let _ = write!(told, "\n    {line}");
        }
    }
    Some(told)
}

/// Operations with their statuses that were called in one span more often than in the other, and how often in each.
fn differences(calls: &[Line], one: Span, other: Span) -> Vec<String> {
    let (one, other) = (counts(calls, one), counts(calls, other));
    let all: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let count = |counts: &BTreeMap<(String, u16), usize>, of| counts.get(of).copied().unwrap_or_default();
    let lines = all.into_iter().map(|call| (call, count(&one, call), count(&other, call)));
    let differ = lines.filter(|(_, here, there)| here != there);
    differ.map(|((operation, status), here, there)| format!("{operation} {status}: {here} / {there}")).collect()
}

fn counts(calls: &[Line], (begun, ended): Span) -> BTreeMap<(String, u16), usize> {
    let mut counts = BTreeMap::new();
    for call in calls.iter().filter(|call| begun <= call.time && call.time <= ended) {
        let operation = call.note.action.clone().unwrap_or_else(|| format!("{} {}", call.method, call.host));
        *counts.entry((operation, call.status)).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quick_junit::{NonSuccessKind, TestCaseStatus, TestSuite};
    use trinity_emulators::journal::Note;

    use super::*;

    /// A round of one test that began at a second and took one.
    fn round_of(second: i64, failed: Option<&str>) -> Round {
        let mut status = TestCaseStatus::success();
        if let Some(said) = failed {
            status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(said);
        }
        let mut suite = TestSuite::new("suites::metrics");
        suite.add_test_case(TestCase::new("labels::case_2_gcp", status));
        let mut report = Report::new("nextest");
        report.add_test_suite(suite);
        let mut round = round(&[report]);
        let time = |second| Timestamp::from_second(second).unwrap();
        for tried in round.values_mut() {
            tried.span = Some((time(second), time(second + 1)));
        }
        round
    }

    fn call(second: i64, action: Option<&str>, status: u16) -> Line {
        Line {
            time: Timestamp::from_second(second).unwrap(),
            host: "grafana.net".into(),
            method: "POST".into(),
            path: "/push".into(),
            status,
            milliseconds: 1,
            note: Note { action: action.map(Into::into), ..Note::default() },
        }
    }

    #[test]
    fn a_test_that_fails_now_and_then_is_told_with_what_was_different() {
        let rounds = [round_of(10, None), round_of(20, Some("no sample")), round_of(30, Some("no sample"))];
        let calls =
            [call(10, None, 200), call(11, Some("vault:GetSecret"), 200), call(20, None, 429), call(15, None, 500)];
        let verdict = verdict(&rounds, &calls);
        let Outcome::Failed(why) = &verdict.outcome else { panic!("{verdict:?}") };
        let lines: Vec<&str> = why.lines().collect();
        assert_eq!(lines[0], "suites::metrics labels::case_2_gcp failed in round 2, 3 of 3");
        assert_eq!(lines[1], "  round 2: no sample");
        assert!(lines[2].contains("in round 2, which failed / in round 1"), "{why}");
        assert_eq!(
            lines[3..],
            ["    POST grafana.net 200: 0 / 1", "    POST grafana.net 429: 1 / 0", "    vault:GetSecret 200: 0 / 1"]
        );
    }

    #[test]
    fn a_test_that_comes_out_the_same_is_not_flaky() {
        let always = |failed| [round_of(10, failed), round_of(20, failed)];
        assert_eq!(verdict(&always(None), &[]).outcome, Outcome::Passed);
        // It fails the run in each of its rounds.
        assert_eq!(verdict(&always(Some("why")), &[]).outcome, Outcome::Passed);
        assert!(matches!(verdict(&[Round::new(), Round::new()], &[]).outcome, Outcome::NotRun(_)));
    }

    #[test]
    fn times_are_read_from_the_report() {
        let text = r#"<testsuites name="n" tests="1" failures="0" errors="0"><testsuite name="suites::a" tests="1" disabled="0" errors="0" failures="0">
            <testcase name="t" classname="suites::a" timestamp="2026-01-01T00:00:01.500+00:00" time="2.5"></testcase></testsuite></testsuites>"#;
        let round = round(&[Report::deserialize_from_str(text).unwrap()]);
        let (begun, ended) = round["suites::a t"].span.unwrap();
        assert_eq!(begun.to_string(), "2026-01-01T00:00:01.5Z");
        assert_eq!(ended.duration_since(begun).unsigned_abs(), Duration::from_millis(2500));
    }
}
