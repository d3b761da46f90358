//! One run of the main job as a process of its own: its memory is that of a fresh run, and when it dies that is seen.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Instant,
};

use clap::ValueEnum;
use jiff::Timestamp;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use super::{
    Question, claims,
    round::{Ended, Round},
};
use crate::{
    failure::{Attempt, Failure, Kind, Result},
    interrupt::{end_with, uninterrupted},
    report::data::{self, Report},
    subject::Subject,
};

/// What a run shows, in the folder of its report; of one that could not begin, beside those.
const LOG: &str = "output.log";
/// Exit code of a command that means nothing.
const USAGE: i32 = 3;
/// Lines of a run's output that an error quotes.
const LINES: usize = 10;

/// What every run is given.
pub struct Trial<'a> {
    /// What was asked.
    pub question: &'a Question,
    /// What that means.
    pub(crate) subject: &'a Subject,
    /// The harness's own executable.
    pub program: PathBuf,
    /// Folder for the reports.
    pub reports: &'a Path,
}

/// A run that has ended.
pub struct Tried {
    /// What is known of it, but for what is measured.
    pub round: Round,
    /// Folder of its report; nothing when it could not begin.
    pub report: Option<PathBuf>,
    /// What it has shown.
    pub log: PathBuf,
    /// Whether somebody wants no further one.
    pub interrupted: bool,
}

impl Trial<'_> {
    /// Runs the main job once; nothing when somebody wants no further run. One that is interrupted is waited for: it takes its
    /// worlds down in order.
    ///
    /// # Errors
    /// When it cannot be started, or its arguments mean nothing.
    pub async fn run(&self, number: usize) -> Result<Option<Tried>> {
        let attempted = || format!("run the main job, number {number}");
        let log = self.reports.join(format!("{number}-{LOG}"));
        let output = File::create(&log).attempting(|| format!("write {}", log.display()))?;
        let before = runs(self.reports);
        let (begun, clock) = (Timestamp::now(), Instant::now());
        let Some((status, interrupted)) = ended(self.command(output), &attempted).await? else {
            fs::remove_file(&log).attempting(|| format!("remove {}", log.display()))?;
            return Ok(None);
        };
        let seconds = clock.elapsed().as_secs_f64();
        if status.code() == Some(USAGE) {
            let next = "correct the arguments: each run has those of the soak";
            return Err(Failure::new(attempted(), last_lines(&log)).next(next).misused());
        }
        let report = runs(self.reports).into_iter().find(|folder| !before.contains(folder));
        let log = match &report {
            Some(folder) => {
                let place = folder.join(LOG);
                fs::rename(&log, &place).attempting(|| format!("move {} to {}", log.display(), place.display()))?;
                place
            }
            None => log,
        };
        let name = |folder: &PathBuf| Some(folder.file_name()?.to_string_lossy().into_owned());
        let mut round = Round {
            number,
            run: report.as_ref().and_then(name),
            ended: Ended::of(status.code(), interrupted),
            status: status.to_string(),
            begun: begun.to_string(),
            seconds,
            ..Round::default()
        };
        let written = report.as_deref().filter(|folder| folder.join(data::FILE).exists());
        match (written.map(Report::read), round.ended) {
            (Some(Ok(read)), _) => round.finding(claims::of(&read.verdicts)),
            // It may have died while it wrote, or before.
            (Some(Err(_)) | None, Ended::Broken | Ended::Interrupted) | (None, Ended::Unproven) => {}
            (Some(Err(failure)), _) => return Err(failure),
            (None, Ended::Passed | Ended::Failed) => {
                let seen = format!("it ended with {status} and without a report");
                return Err(Failure::new(attempted(), seen).next(format!("see what it said in {}", log.display())));
            }
        }
        Ok(Some(Tried { round, report, log, interrupted }))
    }

    /// The report that it prints is in its folder, too.
    fn command(&self, output: File) -> Command {
        let Question { operator, kubernetes, argocd, choice, nodes, backend, common, .. } = self.question;
        let mut command = Command::new(&self.program);
        command.args(common).args(["e2e", "--output", "json", "--keep=never"]);
        command.arg("--platform").arg(&self.subject.platform).arg("--report").arg(self.reports);
        for cloud in &self.subject.clouds {
            command.args(["--cloud", cloud.name()]);
        }
        let releases = [("--operator", operator), ("--kubernetes", kubernetes), ("--argocd", argocd)];
        for (option, release) in releases {
            command.args(release.iter().flat_map(|release| [option, release]));
        }
        command.args(choice.again()).args(nodes.again());
        if let Some(backend) = backend.to_possible_value() {
            command.args(["--backend", backend.get_name()]);
        }
        // In a process group of its own it gets no Ctrl-C of the terminal, but what this process passes on: one, and not two.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).process_group(0).kill_on_drop(true);
        command
    }
}

/// How a program has ended, and whether that was asked for; nothing when it was before it began.
async fn ended(mut command: Command, attempted: &impl Fn() -> String) -> Result<Option<(ExitStatus, bool)>> {
    let mut child: Option<Child> = None;
    let waited = uninterrupted(async {
        let started = child.insert(command.spawn().attempting(attempted)?);
        end_with(process(started));
        started.wait().await.attempting(attempted)
    })
    .await;
    let ended = match (waited, &mut child) {
        (Err(failure), None) if failure.kind() == Kind::Interruption => None,
        (Err(failure), Some(child)) if failure.kind() == Kind::Interruption => {
            if let Some(process) = process(child) {
                kill(process, Signal::SIGINT).attempting(|| format!("interrupt process {process}"))?;
            }
            Some((child.wait().await.attempting(attempted)?, true))
        }
        (waited, _) => Some((waited?, false)),
    };
    end_with(None);
    Ok(ended)
}

/// The process, unless it has ended.
fn process(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
}

/// Folders of the runs that have a report in a folder, or will have.
fn runs(reports: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(reports).into_iter().flatten().flatten();
    all.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The end of a file, for people.
pub(super) fn last_lines(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_output_the_end_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(LOG);
        assert_eq!(last_lines(&file), "");
        let text: String = (1..=12).map(|line| format!("line {line}\n")).collect();
        fs::write(&file, text).unwrap();
        let told = last_lines(&file);
        assert!(told.starts_with("line 3\n") && told.ends_with("\nline 12"), "{told}");
    }

    #[test]
    fn only_folders_are_runs() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("soak.json"), "").unwrap();
        fs::create_dir(folder.path().join("1a2b3c4d")).unwrap();
        assert_eq!(runs(folder.path()), [folder.path().join("1a2b3c4d")]);
    }
}
