//! The command line as a script meets it: exit codes, help, completions, and commands that only look. No world is made.

// A test that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use rstest::rstest;
use tempfile::TempDir;

/// The harness with a state folder and a cache of its own, neither of which is there yet.
struct Harness {
    folder: TempDir,
}

impl Harness {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trinity-e2e"));
        command.args(args).env("TRINITY_STATE", self.path().join("state"));
        command
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .env_remove("TRINITY_KEEP")
            .env_remove("TRINITY_MIRROR");
        command.output().unwrap()
    }

    /// What it says when it ends with this code.
    #[track_caller]
    fn ends_with(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        told
    }
}

#[rstest]
#[case::command(&["nonsense"])]
#[case::nothing(&[])]
#[case::option(&["e2e", "--nonsense"])]
#[case::cloud(&["e2e", "--cloud", "alibaba"])]
#[case::keep(&["e2e", "--keep=sometimes"])]
#[case::quantity(&["e2e", "--node-cpu", "much"])]
#[case::nodes(&["e2e", "--nodes", "0"])]
#[case::platform(&["e2e", "--platform", "/nonexistent"])]
#[case::no_platform(&["e2e", "--platform", "/etc/apt"])]
#[case::fault(&["e2e", "--fault", "nonsense"])]
#[case::two_faults(&["e2e", "--cloud", "aws", "--fault", "wrong-audience", "--fault", "aws/target-down"])]
#[case::live_fault(&["faults", "--filter", "nonsense"])]
#[case::operator(&["e2e", "--operator", "0.0.1"])]
#[case::kubernetes(&["e2e", "--kubernetes", "1.0.0"])]
#[case::upgrade(&["upgrade", "--to", "2.4.1"])]
#[case::soak(&["soak"])]
#[case::one_run(&["soak", "--runs", "1"])]
#[case::soaked_platform(&["soak", "--runs", "2", "--platform", "/nonexistent"])]
#[case::scale(&["scale", "--external-secrets", "11"])]
#[case::lint(&["lint", "/nonexistent"])]
#[case::plan(&["plan", "/nonexistent"])]
#[case::mirror(&["--mirror", "/nonexistent", "components", "list"])]
#[case::world(&["kubeconfig", "aws-00000000"])]
#[case::folder(&["secrets", "apply", "--cloud", "aws", "--folder", "/nonexistent"])]
#[case::report(&["report", "/nonexistent"])]
#[case::reports(&["report", "/nonexistent", "/nonexistent"])]
#[case::suite(&["e2e", "--suite", "nonsense"])]
#[case::filter(&["e2e", "--filter", "a) or all("])]
#[case::shard(&["e2e", "--shard", "2/1"])]
#[case::parts(&["e2e", "--suite", "leaks", "--shard", "1/2"])]
#[case::kubeconfig(&["verify", "--kubeconfig", "aws=/nonexistent"])]
#[case::metadata(&["emulators", "--cloud", "gcp", "--metadata", "0.0.0.0:8080"])]
#[case::shell(&["completions", "nonsense"])]
fn what_means_nothing_is_wrong_usage(#[case] args: &[&str]) {
    let harness = Harness::new();
    let mut args = args.to_vec();
    let report = harness.path().join("report");
    if args.first() == Some(&"verify") {
        args.extend(["--report", report.to_str().unwrap()]);
    }
    let told = harness.ends_with(3, &args);
    assert!(!told.is_empty());
    // A case whose command has gone would pass for another reason.
    assert_eq!(told.contains("unrecognized subcommand"), args.first() == Some(&"nonsense"), "{told}");
}

#[test]
fn what_the_machine_does_not_allow_is_the_environments() {
    let harness = Harness::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trinity-e2e"));
    command.arg("kubeconfig").env("TRINITY_STATE", "/proc/trinity-e2e");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("could not make /proc/trinity-e2e") && told.contains("next: "), "{told}");
    fs::write(harness.path().join("cache"), "a file").unwrap();
    harness.ends_with(4, &["components", "list"]);
}

#[test]
fn a_changed_file_of_the_cache_is_a_finding_once() {
    let harness = Harness::new();
    let cache = harness.path().join("cache/trinity-e2e");
    let sha256 = "0".repeat(64);
    fs::create_dir_all(cache.join("blobs/sha256")).unwrap();
    fs::create_dir_all(cache.join("entries")).unwrap();
    fs::write(cache.join("blobs/sha256").join(&sha256), "something else").unwrap();
    let entry = format!(
        r#"{{"name": "etcd", "version": "1", "origin": "build", "files": {{"etcd": "{sha256}"}}, "manifest": null}}"#
    );
    fs::write(cache.join("entries/etcd-1.json"), entry).unwrap();
    assert!(harness.ends_with(1, &["components", "verify"]).contains("etcd: etcd"));
    harness.ends_with(0, &["components", "verify"]);
}

#[test]
fn the_help_tells_all_commands_in_order_and_the_exit_codes() {
    let harness = Harness::new();
    let help = harness.ends_with(0, &["--help"]);
    harness.ends_with(0, &["--version"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, rest) = commands.split_once("\n\n").unwrap();
    let names: Vec<&str> = commands.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    let place = |name: &str| names.iter().position(|other| *other == name).unwrap_or_else(|| panic!("{name}: {help}"));
    assert_eq!(place("e2e"), 0);
    let order =
        ["e2e", "upgrade", "plan", "lint", "status", "kubeconfig", "down", "sweep", "doctor", "secrets", "completions"];
    assert!(order.map(place).is_sorted(), "{help}");
    assert!(!["gateway", "init", "namespaces", "relay"].iter().any(|name| names.contains(name)), "{help}");
    for line in commands.lines() {
        assert!(!line.ends_with('.') && line.len() <= 120, "{line}");
    }
    for code in ["  0  passed", "  1  findings", "  2  unproven", "  3  wrong usage", "  4  environment"] {
        assert!(rest.contains(code), "{help}");
    }
    let help = harness.ends_with(0, &["e2e", "--help"]);
    for heading in ["\nPlatform:\n", "\nWorlds:\n", "\nOptions:\n"] {
        assert!(help.contains(heading), "{help}");
    }
    assert!(help.contains("--keep[=<WHEN>]") && help.contains("on-failure"), "{help}");
}

#[test]
fn every_shell_gets_completions_of_what_people_use() {
    let harness = Harness::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = harness.ends_with(0, &["completions", shell]);
        assert!(script.contains("doctor") && script.contains("node-image"), "{shell}");
        assert!(!script.contains("namespaces"), "{shell} completes what is for the harness itself");
    }
    let script = harness.path().join("completions.bash");
    fs::write(&script, harness.ends_with(0, &["completions", "bash"])).unwrap();
    let parsed = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(parsed.status.success() && parsed.stderr.is_empty(), "{}", String::from_utf8_lossy(&parsed.stderr));
}

/// A report with one claim, which failed.
fn report(folder: &Path) {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"trinity-e2e\" tests=\"1\" failures=\"1\" errors=\"0\">\
         <testsuite name=\"aws platform\" tests=\"1\" disabled=\"0\" errors=\"0\" failures=\"1\">\
         <testcase name=\"it comes up\"><failure message=\"drift\" type=\"failure\"/></testcase></testsuite></testsuites>";
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("junit.xml"), text).unwrap();
}

#[test]
fn status_tells_what_is_there_and_changes_nothing() {
    let harness = Harness::new();
    let reports = harness.path().join("reports");
    let status = || harness.ends_with(0, &["status", "--report", reports.to_str().unwrap()]);
    let told = status();
    for line in ["no world is running\n", "nothing is left of killed runs\n", "no run has a report in "] {
        assert!(told.contains(line), "{told}");
    }
    assert!(!harness.path().join("state").exists() && !harness.path().join("cache").exists());

    let state = harness.path().join("state");
    let kept = state.join("worlds/gcp-00000001");
    for folder in [&state.join("runs/run-00000001"), &state.join("worlds/aws-00000001"), &kept] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(kept.join("kept"), "").unwrap();
    report(&reports.join("00000001"));
    let told = status();
    assert!(told.contains("| gcp-00000001 ") && told.contains("| kept "), "{told}");
    assert!(told.contains("`trinity-e2e sweep` would remove run-00000001, aws-00000001\n"), "{told}");
    assert!(told.contains("last run: FAILED, 0 passed, 1 failed, "), "{told}");
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 1);
    assert_eq!(fs::read_dir(state.join("runs/run-00000001")).unwrap().count(), 0);
}

/// The harness's memory is no matter of how many they are; nor does that need root.
#[test]
fn journals_of_many_secrets_are_judged_without_a_world() {
    let harness = Harness::new();
    let report = harness.path().join("report");
    let args = ["scale", "--external-secrets", "240", "--journal-only", "--report", report.to_str().unwrap()];
    let told = harness.ends_with(0, &args);
    for line in ["  passed  journal every read of a secret is in a journal\n", "  passed  memory: 3 claims\n", "| 240 "]
    {
        assert!(told.contains(line), "{told}");
    }
    let run = fs::read_dir(report).unwrap().flatten().next().unwrap().path();
    assert!(run.join("scale.json").exists());
    assert!(!harness.path().join("state").exists() && !harness.path().join("cache").exists());
}

/// Whether the main job would run depends on the machine that runs this.
#[test]
fn doctor_has_a_line_for_everything_and_changes_nothing() {
    let harness = Harness::new();
    let output = harness.run(&["doctor"]);
    let told = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = told.lines().collect();
    let conclusion = lines.pop().unwrap();
    for what in
        ["user", "control groups", "memory", "disk", "cargo", "go", "Docker", "ghcr.io", "components", "leftovers"]
    {
        let line =
            lines.iter().find(|line| line.starts_with(&format!("{what} "))).unwrap_or_else(|| panic!("{what}: {told}"));
        let state = line[28..].trim_start();
        assert!(["ok ", "missing ", "not usable "].iter().any(|word| state.starts_with(word)), "{line}");
    }
    match output.status.code() {
        Some(0) => assert_eq!(conclusion, "`trinity-e2e e2e` would run here"),
        Some(4) => assert!(conclusion.starts_with("`trinity-e2e e2e` would not run here: "), "{conclusion}"),
        code => panic!("{code:?}: {told}"),
    }
    assert_eq!(fs::read_dir(harness.path()).unwrap().count(), 0, "something was made");
}

/// What `command`, a shell's, shows on a terminal of this kind.
fn on_a_terminal(kind: &str, command: &str) -> String {
    let mut script = Command::new("script");
    script.args(["--quiet", "--command", command, "/dev/null"]).env("TERM", kind).env("NO_COLOR", "1");
    String::from_utf8(script.output().unwrap().stdout).unwrap()
}

#[test]
fn a_tree_is_drawn_on_a_terminal_and_nowhere_else() {
    let harness = Harness::new();
    let report = harness.path().join("report");
    let args = ["verify", "--kubeconfig", "aws=/nonexistent", "--report", report.to_str().unwrap()];
    let command = format!("{} {}", env!("CARGO_BIN_EXE_trinity-e2e"), args.join(" "));
    let drawn = on_a_terminal("xterm", &command);
    assert!(drawn.contains("verify  connect, ") && drawn.contains("\u{1b}[2K"), "{drawn:?}");
    let coloured = drawn
        .split("\u{1b}[")
        .skip(1)
        .any(|code| code.trim_start_matches(|c: char| !c.is_alphabetic()).starts_with('m'));
    assert!(!coloured, "NO_COLOR is set: {drawn:?}");
    for plain in [on_a_terminal("dumb", &command), harness.ends_with(3, &args)] {
        assert!(plain.contains("verify: connect …") && !plain.contains('\u{1b}'), "{plain:?}");
        assert!(!plain.contains("verify  connect"), "{plain:?}");
    }
}
