//! What the command `report` tells of runs that are over.

// A test that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

/// The report that the scripts of `.github` are tested with.
const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.github/tests");

fn trinity(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trinity-e2e")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The same run with something changed.
fn changed(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(Path::new(RUN).join("report.json")).unwrap();
    let mut report = serde_json::from_str(&text).unwrap();
    change(&mut report);
    fs::write(folder.path().join("report.json"), report.to_string()).unwrap();
    folder
}

#[test]
fn one_run_is_told_in_its_summary() {
    let told = trinity(&["report", RUN]);
    assert!(told.status.success());
    assert!(stdout(&told).starts_with("## trinity-e2e: failed\n"), "{}", stdout(&told));
}

#[test]
fn only_what_got_worse_fails() {
    let better = changed(|report| report["verdicts"][1]["outcome"] = "passed".into());
    let better = better.path().to_str().unwrap();
    let told = trinity(&["report", RUN, better]);
    assert_eq!(told.status.code(), Some(0));
    assert!(stdout(&told).contains("better  aws platform root and all"), "{}", stdout(&told));
    let told = trinity(&["report", better, RUN]);
    assert_eq!(told.status.code(), Some(1));
    assert!(stdout(&told).contains(" worse  aws platform root and all"), "{}", stdout(&told));
}

#[test]
fn what_is_no_report_is_refused() {
    let other = changed(|report| report["schema"] = 99.into());
    for folder in [other.path().to_str().unwrap(), "/absent"] {
        let told = trinity(&["report", folder]);
        assert!(!told.status.success() && told.stdout.is_empty(), "{told:?}");
        assert!(String::from_utf8_lossy(&told.stderr).contains("report.json"), "{told:?}");
    }
}

/// Whoever reads JSON there must not find anything else, whatever becomes of the run.
#[test]
fn nothing_but_the_report_is_on_the_standard_output_beside_json() {
    let told = trinity(&["e2e", "--output", "json", "--platform", "/absent"]);
    assert!(!told.status.success() && told.stdout.is_empty() && !told.stderr.is_empty(), "{told:?}");
}
