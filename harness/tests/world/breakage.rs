//! A world in which a process dies is reported at once, with the process's last words.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::machine::{Machine, start_until};

#[test]
fn a_dead_process_ends_the_run_and_is_named() {
    let machine = Machine::new();
    // Pods have been scheduled by then. A process that was only just started may not show its arguments yet.
    let running = start_until(&mut machine.e2e(&["-v", "--cloud", "aws"]), "platform …");
    let (scheduler, _) =
        machine.processes().into_iter().find(|(_, command)| command.contains("kube-scheduler --kubeconfig")).unwrap();
    kill(Pid::from_raw(scheduler), Signal::SIGKILL).unwrap();
    let told = running.end();
    assert!(!told.success);
    told.assert_says("kube-scheduler died (signal SIGKILL); its last lines:");
    machine.assert_clean();
}
