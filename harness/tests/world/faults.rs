//! The catalogue of faults: each one is found on running worlds as what it is, and the main job tells a broken platform's
//! cause with evidence.

use std::{fs, path::Path};

use rstest::rstest;
use serde::Deserialize;
use trinity_e2e::workspace;
use walkdir::WalkDir;

use crate::machine::{Machine, Told};

/// What a fault says about itself; the harness reads the rest.
#[derive(Deserialize)]
struct Fault {
    cause: String,
    names: String,
}

/// One for each cloud: before the platform counts, in the platform, and in the samples.
const BROKEN: [&str; 3] = ["aws/wrong-audience", "gcp/no-enabled-version", "azure/label-foreign"];

#[rstest]
#[case::of_each_cause(&["--brief"])]
#[ignore = "nightly: takes a quarter of an hour"]
#[case::all(&["--spread", "--clean", "7"])]
fn are_found_and_named_on_running_worlds(#[case] which: &[&str]) {
    let machine = Machine::new();
    let mut faults = machine.harness(&[&["faults"], which, &["--report"]].concat());
    let told = Told::from(faults.arg(machine.reports()).output().unwrap());
    told.assert_success();
    no_value_is_in(told.report());
    machine.assert_clean();
}

#[test]
fn fail_the_main_job_with_their_cause_and_evidence() {
    let machine = Machine::new();
    let told = machine.run_e2e(&BROKEN.map(|fault| ["--fault", fault]).concat());
    assert!(!told.success, "nothing was noticed:\n{}", told.all());
    assert!(told.stdout.contains(", 3 failed"), "{}", told.all());
    let reports = told.report();
    for name in BROKEN {
        let file = workspace().join(format!("fixtures/faults/{name}.yaml"));
        let fault: Fault = serde_yaml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let (cloud, _) = name.split_once('/').unwrap();
        let head = format!("FAILED  {cloud} ");
        let mut verdict = told.stdout.lines().skip_while(|line| !line.trim().starts_with(&head)).skip(1);
        let cause = verdict.next().unwrap_or_default().trim();
        assert!(cause.starts_with(&format!("{}: ", fault.cause)), "{name}:\n{}", told.all());
        let explained = cause.contains(&fault.names) || verdict.take(2).any(|line| line.contains(&fault.names));
        assert!(explained, "{name} does not say {}:\n{}", fault.names, told.all());
        for evidence in ["bundle/applications.yaml", "bundle/events.txt", "gateway.jsonl"] {
            let file = reports.join(cloud).join(evidence);
            assert!(file.metadata().is_ok_and(|m| m.len() > 0), "{} is missing", file.display());
        }
    }
    no_value_is_in(reports);
    assert!(reports.join("junit.xml").metadata().is_ok_and(|m| m.len() > 0));
    machine.assert_clean();
}

/// Neither what values begin with nor what their base64 begins with is in a report.
fn no_value_is_in(reports: &Path) {
    let values = ["hello-from-aws-", "aGVsbG8tZnJvbS1", "hello-from-gcp-", "hello-from-azure-", "glc_", "Z2xjX"];
    for file in WalkDir::new(reports).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
        let leak = values.iter().find(|value| text.contains(**value));
        assert_eq!(leak, None, "a value is in {}", file.path().display());
    }
}
