//! What a platform's files alone tell.

use std::{fs, path::Path};

use tempfile::TempDir;
use trinity_e2e::workspace;
use walkdir::WalkDir;

use crate::machine::{Machine, Told};

const SECRET: &str = "secrets-demo/base/external-secret.yaml";

/// Without the pinned release, whose chart not every machine can have.
fn lint(machine: &Machine, platform: &Path) -> Told {
    machine.run(&["lint", platform.to_str().unwrap(), "--cloud", "aws", "--operator", "0.20.4"])
}

/// A copy of a platform, to be broken.
fn copy(platform: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in WalkDir::new(platform).into_iter().flatten() {
        let target = copy.path().join(entry.path().strip_prefix(platform).unwrap());
        match entry.file_type().is_dir() {
            true => fs::create_dir_all(target).unwrap(),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
    copy
}

/// Every command names it, and none gives up because of it.
#[test]
fn an_application_that_cannot_be_rendered_is_named() {
    let machine = Machine::new();
    let broken = copy(&workspace().join("fixtures/platforms/trinity"));
    let file = broken.path().join("secrets-demo/overlays/aws/kustomization.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("  - store.yaml\n", "  - stores.yaml\n")).unwrap();
    let why = "could not render application trinity-secrets-demo-aws: could not run `";
    let told = lint(&machine, broken.path());
    assert!(!told.success, "{}", told.all());
    told.assert_says(&format!("Application argocd/trinity-secrets-demo-aws: {why}"));
    told.assert_says("stores.yaml");
    told.assert_says("next: correct the kustomization secrets-demo/overlays/aws");
    let platform = broken.path().to_str().unwrap();
    let told = machine.run(&["plan", platform, "--cloud", "aws"]);
    assert!(!told.success, "{}", told.all());
    told.assert_says(&format!("FAILED      application trinity-secrets-demo-aws: {why}"));
    told.assert_says("| trinity-workloads-aws ");
    let told = machine.run(&["capacity", "--platform", platform, "--cloud", "aws"]);
    told.assert_success();
    told.assert_says(&format!("not counted: application trinity-secrets-demo-aws: {why}"));
    machine.assert_clean();
}

#[test]
fn a_default_that_git_does_not_pin_is_found_with_its_line() {
    let machine = Machine::new();
    let platform = workspace().join("fixtures/platforms/trinity");
    lint(&machine, &platform).assert_success();

    let broken = copy(&platform);
    let text = fs::read_to_string(broken.path().join(SECRET)).unwrap();
    let (line, _) = text.lines().enumerate().find(|(_, line)| line.contains("nullBytePolicy")).unwrap();
    fs::write(broken.path().join(SECRET), text.replace("        metadataPolicy: None\n", "")).unwrap();
    let told = lint(&machine, broken.path());
    assert_eq!(told.code, Some(1), "{}", told.all());
    // Its last field is now a line higher.
    told.assert_says(
        "ExternalSecret secrets-demo/provider-test-secret: Git does not pin what external-secrets 0.20.4 fills in",
    );
    told.assert_says(": spec.data[0].remoteRef.metadataPolicy = \"None\"\n");
    told.assert_says(&format!("next: {SECRET}:{line}: add below this line\n            metadataPolicy: None\n"));
    machine.assert_clean();
}
