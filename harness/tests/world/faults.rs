//! Every fault of the catalogue fails the run, and the message names it.

use std::{fs, path::PathBuf};

use rstest::rstest;
use serde::Deserialize;
use walkdir::WalkDir;

use crate::machine::Machine;

/// What a fault says about itself; the harness reads the rest.
#[derive(Deserialize)]
struct Fault {
    cause: String,
    names: String,
}

#[rstest]
fn is_found_and_named(#[files("../fixtures/faults/aws/*.yaml")] file: PathBuf) {
    let fault: Fault = serde_yaml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let machine = Machine::new();
    let told = machine.run_e2e(&["--fault", name]);
    assert!(!told.success, "{name} was not noticed:\n{}", told.all());
    let verdicts: Vec<&str> = told.stdout.lines().skip_while(|line| !line.contains("FAILED")).collect();
    assert!(
        verdicts.iter().any(|line| line.trim().starts_with(&format!("{}: ", fault.cause))),
        "{name}:\n{}",
        told.all()
    );
    assert!(verdicts.iter().any(|line| line.contains(&fault.names)), "{name}:\n{}", told.all());
    assert!(told.stdout.contains(", 1 failed"), "{}", told.all());
    let report = fs::read_dir(machine.reports()).unwrap().flatten().next().unwrap().path();
    for evidence in ["bundle/applications.yaml", "bundle/events.txt", "gateway.jsonl", "junit.xml"] {
        assert!(report.join(evidence).metadata().is_ok_and(|m| m.len() > 0), "{evidence} is missing");
    }
    // Every value begins with this, and its base64 with that.
    for file in WalkDir::new(&report).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
        let leaks = text.contains("hello-from-aws-") || text.contains("aGVsbG8tZnJvbS1hd3Mt");
        assert!(!leaks, "a value is in {}", file.path().display());
    }
    machine.assert_clean();
}
