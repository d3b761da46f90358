//! The suites: compiled while a world comes up, run by nextest against it.

use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use quick_junit::TestCase;
use tokio::process::Command;

use crate::{
    cargo,
    failure::{Attempt, Failure, Result},
    report::{junit, terminal::show},
    world::Description,
};

/// nextest's exit code for "tests ran and some failed".
const FAILED: i32 = 100;

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
        let output = self.nextest().arg("--no-run").env("TMPDIR", temporary).output().await.attempting(attempted)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(attempted(), String::from_utf8_lossy(&output.stderr)))
    }

    /// Runs those of the compiled suites that `filter` (nextest's language) selects against a world, and tells which of them
    /// failed, with what each has said. All of it is printed, too.
    ///
    /// # Errors
    /// When they could not be run.
    pub async fn run(&self, world: &Description, filter: &str) -> Result<Vec<String>> {
        let attempted = || "run the suites".to_owned();
        let mut command = self.nextest();
        command.env("TRINITY_WORLD", world.folder.join("world.json"));
        // The cases of the other clouds have worlds of their own.
        command.args(["--filterset", &format!("test(/::case_[0-9]+_{}$/) and {filter}", world.cloud)]);
        // A claim that fails says what was seen; where in the test it stands is in the message too.
        command.env("RUST_BACKTRACE", "0");
        // What they say is remembered, as all that is shown.
        let color = if std::io::stderr().is_terminal() { "always" } else { "never" };
        let status = show(command.args(["--color", color])).await.attempting(attempted)?;
        match status.code() {
            Some(0) => Ok(Vec::new()),
            Some(FAILED) => self.failed(),
            _ => Err(Failure::new(attempted(), format!("nextest ended with {status}"))),
        }
    }

    /// The tests that failed, by nextest's own report.
    fn failed(&self) -> Result<Vec<String>> {
        let report = junit::read(&self.junit)?;
        Ok(report.test_suites.iter().flat_map(|suite| &suite.test_cases).filter_map(failure).collect())
    }

    fn nextest(&self) -> Command {
        let mut command = cargo::command(&self.nextest);
        command
            .args(["nextest", "run", "--package", "suites", "--release", "--cargo-quiet", "--profile", "e2e"])
            .arg("--config-file")
            .arg(&self.config);
        command
    }
}

/// A test that failed, and its panic's message.
fn failure(case: &TestCase) -> Option<String> {
    let said = match junit::said(&case.status)? {
        "" => "it says nothing",
        said => said,
    };
    Some(format!("{}: {said}", case.name.as_str()))
}
