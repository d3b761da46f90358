//! Every fault of the catalogue fails the run in every cloud that it can break, and the message names it.

use std::{collections::BTreeSet, fs, path::Path};

use rstest::rstest;
use serde::Deserialize;
use trinity_e2e::{workspace, world::Cloud};
use walkdir::WalkDir;

use crate::machine::Machine;

/// What a fault says about itself; the harness reads the rest.
#[derive(Deserialize)]
struct Fault {
    cause: String,
    names: String,
}

/// The fault in each cloud that has it.
fn catalogue(name: &str) -> Vec<(Cloud, Fault)> {
    let file = |cloud: Cloud| workspace().join(format!("fixtures/faults/{cloud}/{name}.yaml"));
    let read = |cloud| Some((cloud, serde_yaml::from_str(&fs::read_to_string(file(cloud)).ok()?).unwrap()));
    Cloud::ALL.into_iter().filter_map(read).collect()
}

/// Names of all faults, of which each has a case below.
const NAMES: [&str; 7] = [
    "missing-annotation",
    "missing-secret",
    "no-enabled-version",
    "no-permission",
    "unpinned-default",
    "wrong-audience",
    "wrong-binding",
];

#[test]
fn every_fault_of_the_catalogue_is_tried() {
    let files = WalkDir::new(workspace().join("fixtures/faults")).into_iter().flatten();
    let names = files.filter(|e| e.file_type().is_file());
    let names: BTreeSet<String> = names.map(|e| e.path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, NAMES.map(Into::into).into());
}

#[rstest]
#[case::missing_annotation(NAMES[0])]
#[case::missing_secret(NAMES[1])]
#[case::no_enabled_version(NAMES[2])]
#[case::no_permission(NAMES[3])]
#[case::unpinned_default(NAMES[4])]
#[case::wrong_audience(NAMES[5])]
#[case::wrong_binding(NAMES[6])]
fn is_found_and_named(#[case] name: &str) {
    let faults = catalogue(name);
    let machine = Machine::new();
    let told = machine.run_e2e(&["--fault", name]);
    assert!(!told.success, "{name} was not noticed:\n{}", told.all());
    assert!(told.stdout.contains(&format!(", {} failed", faults.len())), "{}", told.all());
    let report = fs::read_dir(machine.reports()).unwrap().flatten().next().unwrap().path();
    for (cloud, fault) in faults {
        let head = format!("FAILED  {cloud} platform");
        let mut verdict = told.stdout.lines().skip_while(|line| !line.trim().starts_with(&head)).skip(1);
        let cause = verdict.next().unwrap_or_default().trim();
        assert!(cause.starts_with(&format!("{}: ", fault.cause)), "{cloud} {name}:\n{}", told.all());
        let explained = cause.contains(&fault.names) || verdict.take(2).any(|line| line.contains(&fault.names));
        assert!(explained, "{cloud} {name} does not name {}:\n{}", fault.names, told.all());
        for evidence in ["bundle/applications.yaml", "bundle/events.txt", "gateway.jsonl"] {
            let file = report.join(cloud.name()).join(evidence);
            assert!(file.metadata().is_ok_and(|m| m.len() > 0), "{} is missing", file.display());
        }
        no_value_is_in(&report, cloud);
    }
    assert!(report.join("junit.xml").metadata().is_ok_and(|m| m.len() > 0));
    machine.assert_clean();
}

/// Neither the beginning of a cloud's value nor what its base64 begins with is in a report.
fn no_value_is_in(report: &Path, cloud: Cloud) {
    let (plain, encoded) = match cloud {
        Cloud::Aws => ("hello-from-aws-", "aGVsbG8tZnJvbS1hd3Mt"),
        Cloud::Gcp => ("hello-from-gcp-", "aGVsbG8tZnJvbS1nY3At"),
        Cloud::Azure => ("hello-from-azure-", "aGVsbG8tZnJvbS1henVyZS"),
    };
    for file in WalkDir::new(report).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
        let leaks = text.contains(plain) || text.contains(encoded);
        assert!(!leaks, "a value is in {}", file.path().display());
    }
}
