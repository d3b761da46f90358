//! The scripts behind the action and the workflows of `.github`, by their own tests.

// A test that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::process::Command;

#[test]
fn the_scripts_do_what_they_say() {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/../.github/tests");
    let mut python = Command::new("python3");
    python.args(["-m", "unittest", "discover", "--start-directory", tests, "--pattern", "*_test.py"]);
    let output = python.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("\nOK"), "{told}");
    // None found would be a success, too.
    assert!(!told.contains("Ran 0 tests"), "{told}");
}
