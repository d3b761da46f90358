//! The suites: compiled while a world comes up, run by nextest against it.

pub mod choice;
pub mod flake;

pub use choice::Choice;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use quick_junit::TestCase;
use serde::Deserialize;
use tokio::process::Command;

use crate::{
    cargo,
    failure::{Attempt, Failure, Result},
    report::{junit, screen::Screen, terminal::show},
    workspace,
    world::Description,
};

/// nextest's exit code for "tests ran and some failed".
const FAILED: i32 = 100;

/// The names of all suites, sorted: the files of `suites/tests`.
///
/// # Errors
/// When the folder cannot be read.
pub fn names() -> Result<Vec<String>> {
    let folder = workspace().join("suites/tests");
    let files = fs::read_dir(&folder).attempting(|| format!("find the suites in {}", folder.display()))?;
    let files = files.flatten().map(|file| file.path()).filter(|file| file.extension().is_some_and(|e| e == "rs"));
    let mut names: Vec<String> = files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// How a call of nextest went.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// Number of tests.
    pub tests: usize,
    /// Those that failed, with what each has said.
    pub failed: Vec<String>,
}

/// The suites and the program that runs them.
#[derive(Clone, Debug)]
pub struct Suites {
    nextest: PathBuf,
    config: PathBuf,
    junit: PathBuf,
}

impl Suites {
    /// Prepares to run the suites with nextest; its own report goes to `report`, so that runs do not share it.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub fn new(nextest: PathBuf, report: &Path) -> Result<Self> {
        fs::create_dir_all(report).attempting(|| format!("make {}", report.display()))?;
        let config = report.join("nextest.toml");
        let store = report.join("nextest");
        let text = format!("[store]\ndir = {store:?}\n\n{}", include_str!("../../suites/nextest.toml"));
        fs::write(&config, text).attempting(|| format!("write {}", config.display()))?;
        Ok(Self { nextest, config, junit: store.join("e2e/junit.xml") })
    }

    /// nextest's JUnit file; it exists when the suites have run.
    pub fn junit(&self) -> &Path {
        &self.junit
    }

    /// Compiles the suites, with temporary files in a folder: a compiler that is killed leaves its own.
    ///
    /// # Errors
    /// What the compiler says.
    pub async fn compile(&self, temporary: &Path) -> Result<()> {
        let attempted = || "compile the suites".to_owned();
        let output =
            self.nextest("run").arg("--no-run").env("TMPDIR", temporary).output().await.attempting(attempted)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(attempted(), String::from_utf8_lossy(&output.stderr)))
    }

    /// Whether any of the suites' tests is among those that `filter` (nextest's language) selects. Compiles the suites for it, as
    /// [`Self::compile`] does.
    ///
    /// # Errors
    /// What the compiler says, or when nextest does not tell.
    pub async fn have(&self, filter: &str, temporary: &Path) -> Result<bool> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(rename = "rust-suites")]
            suites: BTreeMap<String, Cases>,
        }
        #[derive(Deserialize)]
        struct Cases {
            testcases: BTreeMap<String, Case>,
        }
        #[derive(Deserialize)]
        struct Case {
            #[serde(rename = "filter-match")]
            matched: Match,
        }
        #[derive(Deserialize)]
        struct Match {
            status: String,
        }
        let attempted = || "list the suites' tests".to_owned();
        let mut command = self.nextest("list");
        command.args(["--message-format", "json", "--filterset", filter]).env("TMPDIR", temporary);
        let output = command.output().await.attempting(attempted)?;
        if !output.status.success() {
            return Err(Failure::new(attempted(), String::from_utf8_lossy(&output.stderr)));
        }
        let listed: Listed = serde_json::from_slice(&output.stdout).attempting(attempted)?;
        Ok(listed
            .suites
            .values()
            .flat_map(|suite| suite.testcases.values())
            .any(|case| case.matched.status == "matches"))
    }

    /// Runs those of the compiled suites' tests that `filter` (nextest's language) selects against a world, and tells how it went.
    /// What they say is printed, too.
    ///
    /// # Errors
    /// When they could not be run.
    pub async fn run(&self, world: &Description, filter: &str) -> Result<Ran> {
        let attempted = || "run the suites".to_owned();
        let mut command = self.nextest("run");
        command.env("TRINITY_WORLD", world.folder.join("world.json"));
        // That no test has a chosen name is no error of one world alone: the caller counts.
        command.args(["--no-tests", "pass", "--filterset", filter]);
        // A claim that fails says what was seen; where in the test it stands is in the message too.
        command.env("RUST_BACKTRACE", "0");
        // What they say is remembered, as all that is shown.
        let color = if Screen::find() == Screen::Coloured { "always" } else { "never" };
        let status = show(command.args(["--color", color])).await.attempting(attempted)?;
        match status.code() {
            Some(0 | FAILED) => self.ran(),
            _ => Err(Failure::new(attempted(), format!("nextest ended with {status}"))),
        }
    }

    /// How it went, by nextest's own report; without tests there is none.
    fn ran(&self) -> Result<Ran> {
        if !self.junit.exists() {
            return Ok(Ran::default());
        }
        let report = junit::read(&self.junit)?;
        let cases: Vec<&TestCase> = report.test_suites.iter().flat_map(|suite| &suite.test_cases).collect();
        Ok(Ran { tests: cases.len(), failed: cases.into_iter().filter_map(failure).collect() })
    }

    fn nextest(&self, task: &str) -> Command {
        let mut command = cargo::command(&self.nextest);
        command
            .args(["nextest", task, "--package", "suites", "--release", "--cargo-quiet", "--profile", "e2e"])
            .arg("--config-file")
            .arg(&self.config);
        command
    }
}

/// A test that failed, and its panic's message.
fn failure(case: &TestCase) -> Option<String> {
    Some(format!("{}: {}", case.name.as_str(), junit::said(&case.status)?))
}
