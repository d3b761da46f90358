//! An upgrade of the operator, there and back, on a world of one cloud.

use std::{fs, path::PathBuf};

use crate::machine::Machine;

#[test]
#[ignore = "nightly: takes minutes, and a release that nothing else here needs"]
fn a_safe_upgrade_needs_its_pin_alone() {
    let machine = Machine::new();
    let reports = machine.reports();
    let told = machine.run(&["upgrade", "--cloud", "gcp", "--to", "2.9.0", "--report", reports.to_str().unwrap()]);
    told.assert_success();
    told.assert_says("passed  gcp upgrade external-secrets 2.4.1 to 2.9.0 is safe");
    let runs = fs::read_dir(reports).unwrap().flatten();
    let patches: Vec<PathBuf> = runs.map(|run| run.path().join("gcp/upgrade.patch")).collect();
    let [patch] = patches.as_slice() else { panic!("there is not one run: {patches:?}") };
    let patch = fs::read_to_string(patch).unwrap();
    let added: Vec<&str> = patch.lines().filter(|line| line.starts_with("+ ")).map(|line| line[1..].trim()).collect();
    assert_eq!(added, ["targetRevision: 2.9.0"], "{patch}");
    machine.assert_clean();
}
