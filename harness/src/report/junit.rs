//! The JUnit file: the suites' own report from nextest, and the harness's verdicts beside it.

use std::{fs, path::Path};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::{
    failure::{Attempt, Result},
    judge::verdict::{Outcome, Verdict},
    world::description::Provenance,
};

/// Writes `target`: the `suites` from those of nextest's files that are there, and `verdicts`. Every suite of the verdicts has
/// the components and their sources as properties.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(target: &Path, suites: &[&Path], verdicts: &[Verdict], components: &[Provenance]) -> Result<()> {
    let mut report = Report::new("trinity-e2e");
    for nextest in suites.iter().filter(|file| file.exists()) {
        report.add_test_suites(read(nextest)?.test_suites);
    }
    for group in verdicts.chunk_by(|a, b| a.subject() == b.subject()) {
        let mut suite = TestSuite::new(group[0].subject());
        for part in components {
            suite.add_property((part.name.as_str(), format!("{} from {}", part.version, part.origin).as_str()));
        }
        for verdict in group {
            let status = match &verdict.outcome {
                Outcome::Passed => TestCaseStatus::success(),
                Outcome::Failed(why) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(why.as_str());
                    status
                }
                Outcome::Unproven(why) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
                    status.set_message(format!("unproven: {why}"));
                    status
                }
                Outcome::NotRun(why) => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(why.as_str());
                    status
                }
            };
            let mut case = TestCase::new(verdict.claim.as_str(), status);
            case.set_time(verdict.took);
            if !verdict.note.is_empty() {
                case.set_system_out(verdict.note.as_str());
            }
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    let text = report.to_string().attempting(|| "write the JUnit report".into())?;
    fs::write(target, text).attempting(|| format!("write {}", target.display()))
}

/// Reads a JUnit file.
///
/// # Errors
/// When it is not there or is none.
pub fn read(file: &Path) -> Result<Report> {
    let text = fs::read_to_string(file).attempting(|| format!("read {}", file.display()))?;
    Report::deserialize_from_str(&text).attempting(|| format!("understand {}", file.display()))
}

/// What a test that did not pass has said, its panic's message first of all; nothing when it passed or was not run.
pub fn said(status: &TestCaseStatus) -> Option<&str> {
    let TestCaseStatus::NonSuccess { message, description, .. } = status else { return None };
    let said = description.as_ref().or(message.as_ref()).map(|said| said.as_str().trim());
    Some(said.filter(|said| !said.is_empty()).unwrap_or("it says nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_run_is_skipped_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("junit.xml");
        let verdicts = [
            Verdict::new("canaries", "forged signature is refused", Outcome::Passed),
            Verdict::new("platform", "it comes up", Outcome::Failed("drift".into())),
            Verdict::new("suites", "secret_path", Outcome::NotRun("the platform is not up".into())),
        ];
        let components = [Provenance { name: "etcd".into(), version: "3.6.4".into(), origin: "build".into() }];
        write(&file, &[&folder.path().join("absent.xml")], &verdicts, &components).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("tests=\"3\"") && text.contains("failures=\"1\""), "{text}");
        assert!(text.contains("3.6.4 from build"), "{text}");
        assert!(text.contains("the platform is not up") && text.contains("<skipped"), "{text}");
    }
}
