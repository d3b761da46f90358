//! One cell, run as an `e2e` of its own: a process, so that whatever it does, the other cells are run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use jiff::Timestamp;
use quick_junit::{NonSuccessKind, TestCaseStatus};
use tokio::process::Command;

use super::{
    Question,
    cell::Cell,
    record::{Finding, Record},
};
use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
    judge::verdict::Conclusion,
    report::{junit, terminal::show},
    workspace,
};

/// What every cell is run on.
pub(super) struct Trial<'a> {
    /// What was asked.
    pub question: &'a Question,
    /// Working tree of the platform.
    pub platform: &'a Path,
    /// The clouds.
    pub clouds: &'a [String],
}

impl Trial<'_> {
    /// Runs a cell, and shows all that it says.
    ///
    /// # Errors
    /// When the run could not be started, or was killed.
    pub async fn run(&self, cell: &Cell) -> Result<Record> {
        let attempted = || format!("run {cell}");
        let report = self.question.report.join(format!("{}-{}-{}", cell.kubernetes, cell.argocd, cell.operator));
        let (date, begun) = (Timestamp::now(), Instant::now());
        let before = reports(&report);
        let mut command = Command::new(std::env::current_exe().attempting(attempted)?);
        command.args(&self.question.common).arg("e2e").arg("--platform").arg(self.platform);
        command.args(self.clouds.iter().flat_map(|cloud| ["--cloud", cloud]));
        command.args(["--kubernetes", &cell.kubernetes, "--argocd", &cell.argocd, "--operator", &cell.operator]);
        command.arg("--report").arg(&report).kill_on_drop(true);
        let status = show(&mut command).await.attempting(attempted)?;
        let Some(code) = status.code() else {
            return Err(Failure::new(attempted(), format!("it ended with {status}")).next("run the matrix again"));
        };
        // A run that could not even begin has no report.
        let file = reports(&report).into_iter().find(|file| !before.contains(file));
        let mut findings = file.as_deref().map(findings).transpose()?.unwrap_or_default();
        // Whatever else a run ends with says nothing about the cell.
        let verdict = match code {
            0 => Conclusion::Passed,
            1 => Conclusion::Failed,
            _ => Conclusion::Unproven,
        };
        if verdict != Conclusion::Passed && findings.is_empty() {
            let why = format!("it ended with {status} and without verdicts; what it said is above");
            findings.push(Finding { claim: "the run came to an end".into(), why });
        }
        Ok(Record {
            cell: cell.clone(),
            platform: self.platform.display().to_string(),
            clouds: self.clouds.to_vec(),
            verdict,
            findings,
            seconds: begun.elapsed().as_secs(),
            date: date.to_string(),
            revision: revision().await,
        })
    }
}

/// The reports of the runs in a folder.
fn reports(folder: &Path) -> Vec<PathBuf> {
    let runs = fs::read_dir(folder).into_iter().flatten().flatten();
    runs.map(|run| run.path().join("junit.xml")).filter(|file| file.exists()).collect()
}

/// The claims of a report that did not pass.
fn findings(file: &Path) -> Result<Vec<Finding>> {
    let report = junit::read(file)?;
    let mut found = Vec::new();
    for suite in &report.test_suites {
        for case in &suite.test_cases {
            if let TestCaseStatus::NonSuccess { kind, .. } = &case.status {
                let claim = format!("{} {}", suite.name.as_str(), case.name.as_str());
                let why = junit::said(&case.status).unwrap_or_default().to_owned();
                found.push((*kind == NonSuccessKind::Error, Finding { claim, why }));
            }
        }
    }
    // A failure is told before what is unproven.
    found.sort_by_key(|(unproven, _)| *unproven);
    Ok(found.into_iter().map(|(_, finding)| finding).collect())
}

/// The harness's own commit.
async fn revision() -> String {
    let described = Run::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).folder(&workspace());
    described.text().await.map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::verdict::{Outcome, Verdict};

    #[test]
    fn failures_are_found_before_what_is_unproven_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        let file = run.join("junit.xml");
        let verdicts = [
            Verdict::new("canaries", "refused", Outcome::Unproven("it was let in".into())),
            Verdict::new("platform", "it comes up", Outcome::Failed("drift\nin a".into())),
            Verdict::new("waves", "in order", Outcome::Passed),
            Verdict::new("operator", "pinned", Outcome::NotRun("asked for another".into())),
        ];
        junit::write(&file, &[], &verdicts, &[]).unwrap();
        assert_eq!(reports(folder.path()), std::slice::from_ref(&file));
        let found = findings(&file).unwrap();
        let told: Vec<&str> = found.iter().map(|finding| finding.claim.as_str()).collect();
        assert_eq!(told, ["platform it comes up", "canaries refused"]);
        assert_eq!(found[1].why, "unproven: it was let in");
    }
}
