//! What this machine cannot do is said in the first second, with what to do about it.

use std::{os::unix::process::CommandExt, process::Command};

use rstest::rstest;

use crate::{
    machine::{Machine, Told},
    platforms::FLEET,
};

/// `nobody`, on Debian.
const NOBODY: u32 = 65534;

#[test]
fn a_user_who_is_not_root_is_told_so() {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.state()).unwrap();
    std::os::unix::fs::chown(machine.state(), Some(NOBODY), None).unwrap();
    // The program must be where this user can read it.
    let copy = std::env::temp_dir().join(format!("trinity-e2e-{}", std::process::id()));
    std::fs::copy(env!("CARGO_BIN_EXE_trinity-e2e"), &copy).unwrap();
    let cache = machine.state().join("cache");
    let output = Command::new(&copy)
        .args(["e2e"])
        .uid(NOBODY)
        .env("TRINITY_STATE", machine.state())
        .env("XDG_CACHE_HOME", cache)
        .output();
    std::fs::remove_file(copy).unwrap();
    let told = Told::from(output.unwrap());
    assert!(!told.success);
    told.assert_says("not root");
    told.assert_says("next: ");
}

#[test]
fn a_full_disk_is_told_in_numbers() {
    let machine = Machine::new();
    let told = refused(machine.e2e_on("tmpfs", "size=16m", &[]));
    told.assert_says("MiB of disk space");
    told.assert_says("TRINITY_STATE on a larger file system");
    machine.assert_clean();
}

#[test]
fn a_state_folder_on_overlayfs_is_refused() {
    let machine = Machine::new();
    let folder = |name: &str| {
        let path = machine.state().with_file_name(name);
        std::fs::create_dir_all(&path).unwrap();
        path.display().to_string()
    };
    let layers = format!("lowerdir={},upperdir={},workdir={}", folder("lower"), folder("upper"), folder("work"));
    let told = refused(machine.e2e_on("overlay", &layers, &[]));
    told.assert_says("is itself on overlayfs");
    told.assert_says("set TRINITY_STATE");
    machine.assert_clean();
}

/// What the main job says that has to fail.
fn refused(mut job: Command) -> Told {
    let told = Told::from(job.output().unwrap());
    assert!(!told.success);
    told
}

/// What was asked for in vain is said at once, before anything is made.
#[rstest]
#[case::platform(&["--platform", "/nonexistent"], "find the platform /nonexistent")]
#[case::root(&["--platform", "/etc/apt"], "no file below /etc/apt has an Application")]
#[case::cloud(&["--cloud", "gcp", "--platform", FLEET], "it has one for aws only")]
#[case::fault(&["--fault", "nonsense"], "it has branch-missing, chart-not-permitted, ")]
#[case::no_node(&["--nodes", "0"], "a world has 1 to 8")]
#[case::node_size(&["--node-cpu", "999"], "a node of this machine has up to ")]
#[case::operator(&["--operator", "0.0.1"], "it lists 0.20.4 and 2.4.1")]
#[case::kubernetes(&["--kubernetes", "1.0.0"], "it lists 1.34.4 and ")]
#[case::argocd(&["--argocd", "1.0.0"], "it lists 3.2.11 and ")]
#[case::suite(&["--suite", "metrics", "--suite", "nonsense"], "these are there: denial, drift, ")]
#[case::filter(&["--filter", "x) or all("], "names of tests have letters")]
#[case::shard(&["--suite", "metrics", "--shard", "1/2"], "there are 1 suites")]
fn a_name_that_means_nothing_is_told(#[case] args: &[&str], #[case] said: &str) {
    let machine = Machine::new();
    let told = machine.run_e2e(args);
    assert!(!told.success);
    told.assert_says(said);
    told.assert_says("next: ");
    assert!(!machine.state().exists() && !machine.reports().exists());
    machine.assert_clean();
}

/// A rerun makes no world, and says what does.
#[test]
fn a_rerun_without_a_kept_world_is_refused() {
    let machine = Machine::new();
    let told = machine.run_e2e(&["--reuse"]);
    assert!(!told.success);
    told.assert_says("none is kept");
    told.assert_says("next: `trinity-e2e up`");
    assert!(!machine.reports().exists());
    machine.assert_clean();
}

/// An upgrade that nobody makes is refused as soon.
#[rstest]
#[case::same(&["--to", "2.4.1"], "they are the same release")]
#[case::operator(&["--to", "0.0.1"], "it lists 0.20.4 and 2.4.1")]
#[case::argocd(&["argocd", "--to", "1.0.0"], "it lists 3.2.11 and ")]
#[case::argocd_from(&["argocd", "--from", "1.0.0", "--to", "3.6.1"], "it lists 3.2.11 and ")]
#[case::minor(&["kubernetes", "--to", "1.36.3"], "try the step to 1.35.4 first")]
#[case::down(&["kubernetes", "--from", "1.35.4", "--to", "1.34.4"], "upstream supports no downgrade")]
fn an_upgrade_that_nobody_makes_is_told(#[case] args: &[&str], #[case] said: &str) {
    let machine = Machine::new();
    let reports = machine.reports();
    let told = machine.run(&[&["upgrade", "--report", reports.to_str().unwrap()], args].concat());
    assert!(!told.success);
    told.assert_says(said);
    told.assert_says("next: ");
    assert!(!machine.state().exists() && !reports.exists());
    machine.assert_clean();
}

/// An emulator by itself is for this machine only.
#[test]
fn an_emulator_that_others_could_reach_is_refused() {
    let machine = Machine::new();
    let told = machine.run(&["emulators", "--cloud", "gcp", "--metadata", "0.0.0.0:8080"]);
    assert!(!told.success);
    told.assert_says("other machines could reach it");
    told.assert_says("next: ");
    machine.assert_clean();
}
