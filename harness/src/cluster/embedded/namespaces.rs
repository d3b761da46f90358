//! The process between the harness and PID 1: it enters the world's control groups and namespaces, starts
//! [`super::init`] as PID 1 and ends with it.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::{cgroups::Hierarchies, plan::Plan};
use crate::failure::{Attempt, Failure, Result};

/// Isolates this process and runs PID 1 from `plan`. It must have one thread only: a PID namespace is for children.
///
/// # Errors
/// When the control groups or namespaces are refused, or PID 1 cannot be started.
pub fn run(file: &Path) -> Result<ExitCode> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(file).attempting(|| format!("read {}", file.display()))?)
        .attempting(|| format!("understand {}", file.display()))?;
    Hierarchies::find()?.enter(&plan.world)?;
    let refused = |e| {
        Failure::new("make mount, network, PID, UTS and IPC namespaces", e)
            .next("run as root, outside a sandbox that forbids unshare(2)")
    };
    unshare(CloneFlags::CLONE_NEWNS).map_err(refused)?;
    hold_network(&plan.outside)?;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
        .map_err(refused)?;
    let program = std::env::current_exe().attempting(|| "find the harness's own program".into())?;
    let status =
        Command::new(program).args(["init".as_ref(), file]).status().attempting(|| "run PID 1 of the world".into())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the machine's network namespace a file of the world's own mounts, for [`crate::world::outside`].
fn hold_network(file: &Path) -> Result<()> {
    let attempted = || format!("hold the machine's network in {}", file.display());
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).attempting(attempted)?;
    std::fs::write(file, "").attempting(attempted)?;
    mount(Some("/proc/self/ns/net"), file, none, MsFlags::MS_BIND, none).attempting(attempted)
}
