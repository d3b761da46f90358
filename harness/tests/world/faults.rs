//! Every fault of the catalogue fails the run in every cloud that it can break, and the message names it.

use std::{collections::BTreeSet, fs, path::Path};

use rstest::rstest;
use serde::Deserialize;
use trinity_e2e::workspace;
use walkdir::WalkDir;

use crate::machine::Machine;

/// What a fault says about itself; the harness reads the rest.
#[derive(Deserialize)]
struct Fault {
    cause: String,
    names: String,
}

/// Rounds of one world per cloud, so that every fault of the catalogue is tried once.
const ROUNDS: [[&str; 3]; 7] = [
    ["aws/missing-annotation", "gcp/missing-annotation", "azure/missing-annotation"],
    ["aws/missing-secret", "gcp/missing-secret", "azure/no-permission"],
    ["aws/unpinned-default", "gcp/no-enabled-version", "azure/wrong-audience"],
    ["aws/wrong-audience", "gcp/wrong-binding", "azure/wrong-password"],
    ["aws/corrupted-url", "gcp/unrenderable-url", "azure/unrendered-template"],
    ["aws/label-missing", "gcp/label-foreign", "azure/wrong-username"],
    ["aws/target-down", "gcp/secret-absent", "azure/label-value"],
];

#[test]
fn every_fault_of_the_catalogue_is_tried() {
    let folder = workspace().join("fixtures/faults");
    let files = WalkDir::new(&folder).into_iter().flatten().filter(|e| e.file_type().is_file());
    let name = |path: &Path| path.strip_prefix(&folder).unwrap().with_extension("").to_string_lossy().into_owned();
    let names: BTreeSet<String> = files.map(|e| name(e.path())).collect();
    assert_eq!(names, ROUNDS.concat().into_iter().map(Into::into).collect());
}

#[rstest]
#[case::annotation(0)]
#[case::secret(1)]
#[case::drift(2)]
#[case::trust(3)]
#[case::rendering(4)]
#[case::labels(5)]
#[case::samples(6)]
fn are_found_and_named(#[case] round: usize) {
    let machine = Machine::new();
    let arguments = ROUNDS[round].map(|fault| ["--fault", fault]).concat();
    let told = machine.run_e2e(&arguments);
    assert!(!told.success, "nothing was noticed:\n{}", told.all());
    assert!(told.stdout.contains(", 3 failed"), "{}", told.all());
    let reports = fs::read_dir(machine.reports()).unwrap().flatten().next().unwrap().path();
    for name in ROUNDS[round] {
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
    no_value_is_in(&reports);
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
