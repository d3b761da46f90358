//! A world in which a process dies, or which has no disk any more, is reported at once, with the reason, and says nothing about the platform.

use std::{
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        statvfs::statvfs,
    },
    unistd::Pid,
};
use rstest::rstest;

use crate::machine::{Machine, start_until};

/// Room that a world may still take between two looks at its disk (bytes).
const MARGIN: u64 = 16 << 20;

/// Kills the process of a running world that is called so, as its program or as a part of the harness; waits for it first.
fn end(machine: &Machine, name: &str) {
    let is = |command: &str| {
        let mut words = command.split(' ').map(|word| word.rsplit('/').next().unwrap_or_default());
        words.next() == Some(name) || words.next() == Some(name)
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let id = loop {
        if let Some((id, _)) = machine.processes().into_iter().find(|(_, command)| is(command)) {
            break id;
        }
        assert!(Instant::now() < deadline, "there is no {name}: {:#?}", machine.processes());
        // Nothing tells of a new process.
        sleep(Duration::from_millis(5));
    };
    kill(Pid::from_raw(id), Signal::SIGKILL).unwrap();
}

/// Whichever it is, and while Argo CD is still being set up: what goes wrong without it is nobody else's fault.
#[rstest]
#[case("etcd")]
#[case("kubelet")]
#[case("gateway")]
#[ignore = "nightly: it goes as with the others"]
#[case("kube-apiserver")]
#[ignore = "nightly: it goes as with the others"]
#[case("kube-controller-manager")]
#[ignore = "nightly: it goes as with the others"]
#[case("containerd")]
#[ignore = "nightly: it goes as with the others"]
#[case("coredns")]
fn a_dead_process_is_no_failure_of_the_platform(#[case] name: &str) {
    let machine = Machine::new();
    let running = start_until(&mut machine.e2e(&["-v", "--cloud", "gcp"]), "is up, its folder");
    end(&machine, name);
    let told = running.end();
    told.assert_unproven();
    told.assert_says(&format!("{name} died (signal SIGKILL); its last lines:"));
    assert!(machine.evidence("gcp").join(format!("logs/{name}.log")).exists());
    machine.assert_clean();
}

/// It fills while Argo CD is being set up: the file system becomes as large as what is on it.
#[test]
fn a_full_disk_is_no_failure_of_the_platform() {
    let machine = Machine::new();
    let running =
        start_until(&mut machine.e2e_on("tmpfs", "size=3200m", &["-v", "--cloud", "gcp"]), "is up, its folder");
    let (harness, state) = (running.id(), machine.state().display().to_string());
    let seen = statvfs(format!("/proc/{harness}/root{state}").as_str()).unwrap();
    let used = (seen.blocks() - seen.blocks_free()) * seen.fragment_size();
    let status = Command::new("nsenter")
        .arg(format!("--mount=/proc/{harness}/ns/mnt"))
        .args(["mount", "-o", &format!("remount,size={}", used + MARGIN), &state])
        .status();
    assert!(status.unwrap().success());
    let told = running.end();
    told.assert_unproven();
    told.assert_says(&format!("the file system of {state}/worlds/gcp-"));
    told.assert_says(" is full: ");
    told.assert_says("next: free some of it");
    machine.assert_clean();
}

#[test]
fn a_dead_process_ends_the_run_and_leaves_evidence() {
    let machine = Machine::new();
    // Pods have been scheduled by then. A process that was only just started may not show its arguments yet.
    let running = start_until(&mut machine.e2e(&["-v", "--cloud", "aws"]), "platform …");
    end(&machine, "kube-scheduler");
    let told = running.end();
    told.assert_unproven();
    told.assert_says("UNPROVEN  aws run phase \"platform\" completes: could not keep the world running");
    told.assert_says("kube-scheduler died (signal SIGKILL); its last lines:");
    // The API server still answers, so that the evidence is whole.
    let evidence = machine.evidence("aws");
    for file in ["applications.yaml", "events.txt", "logs/kube-scheduler.log"] {
        assert!(evidence.join(file).exists(), "{file}");
    }
    machine.assert_clean();
}
