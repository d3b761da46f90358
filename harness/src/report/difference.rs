//! Whether two runs came to the same verdicts, from what they have published: their JUnit files.

use std::{collections::BTreeMap, path::Path};

use quick_junit::{NonSuccessKind, Report, TestCaseStatus};

use super::junit;
use crate::failure::{Failure, Result};

/// Outcomes by what they are about. What several worlds of a run try has one for each, in the order of the clouds.
type Outcomes = BTreeMap<(String, String), Vec<&'static str>>;

/// Compares the reports in two folders; returns how many claims are in either, and a line for each that came out
/// differently.
///
/// # Errors
/// When a report cannot be read, or has no verdict.
pub fn between(one: &Path, other: &Path) -> Result<(usize, Vec<String>)> {
    let (one, other) = (read(one)?, read(other)?);
    let mut claims: Vec<_> = one.keys().chain(other.keys()).collect();
    claims.sort();
    claims.dedup();
    let lines = claims.iter().filter_map(|claim| {
        let told = |outcomes: &Outcomes| outcomes.get(*claim).map_or("absent".into(), |all| all.join(", "));
        let (here, there) = (told(&one), told(&other));
        (here != there).then(|| format!("{} {}: {here} / {there}", claim.0, claim.1))
    });
    Ok((claims.len(), lines.collect()))
}

fn read(folder: &Path) -> Result<Outcomes> {
    let file = folder.join("junit.xml");
    let report =
        junit::read(&file).map_err(|failure| failure.next("name the folder of a run, as its last lines tell it"))?;
    let outcomes = outcomes(report);
    if outcomes.is_empty() {
        return Err(Failure::new(format!("read the verdicts in {}", file.display()), "there are none"));
    }
    Ok(outcomes)
}

fn outcomes(report: Report) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for suite in report.test_suites {
        for case in suite.test_cases {
            let outcome = match case.status {
                TestCaseStatus::Success { .. } => "passed",
                TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. } => "FAILED",
                TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. } => "unproven",
                TestCaseStatus::Skipped { .. } => "not run",
            };
            let claim = (suite.name.as_str().to_owned(), case.name.as_str().to_owned());
            outcomes.entry(claim).or_default().push(outcome);
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        judge::verdict::{Outcome, Verdict},
        world::Cloud,
    };

    fn run(verdicts: &[Verdict]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        junit::write(&folder.path().join("junit.xml"), &[], verdicts, &[]).unwrap();
        folder
    }

    #[test]
    fn only_what_differs_is_told() {
        let verdict = |claim: &str, outcome| Verdict::new("suites", claim, outcome).of(Cloud::Gcp);
        let one = run(&[verdict("a", Outcome::Passed), verdict("b", Outcome::Passed), verdict("c", Outcome::Passed)]);
        let other = run(&[verdict("a", Outcome::Passed), verdict("b", Outcome::NotRun("no".into()))]);
        let (claims, differences) = between(one.path(), other.path()).unwrap();
        assert_eq!(claims, 3);
        assert_eq!(differences, ["gcp suites b: passed / not run", "gcp suites c: passed / absent"]);
        assert_eq!(between(one.path(), one.path()).unwrap(), (3, Vec::new()));
    }

    #[test]
    fn worlds_are_compared_one_by_one() {
        let twice = |first, second| run(&[Verdict::new("g", "c", first), Verdict::new("g", "c", second)]);
        let one = twice(Outcome::Passed, Outcome::Failed("why".into()));
        let other = twice(Outcome::Failed("why".into()), Outcome::Passed);
        assert_eq!(between(one.path(), other.path()).unwrap().1, ["g c: passed, FAILED / FAILED, passed"]);
    }

    #[test]
    fn nothing_is_no_agreement() {
        assert!(between(run(&[]).path(), run(&[]).path()).is_err());
        assert!(
            between(Path::new("/absent"), Path::new("/absent")).unwrap_err().to_string().contains("/absent/junit.xml")
        );
    }
}
