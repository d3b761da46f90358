//! Removes runs and worlds, whatever state they are in: containers, processes, mounts, cables,
//! control groups and folders.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::ownership::{Estate, State, slot};
use crate::{
    cluster::{
        embedded::{cgroups::Hierarchies, network::Network},
        kind,
    },
    failure::{Attempt, Failure, Result},
};

/// How long the kernel may take to end killed processes.
const DYING: Duration = Duration::from_secs(30);

/// What to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those whose owner is dead.
    Abandoned,
    /// Those too that were kept; never one that a living process owns.
    AbandonedAndKept,
}

/// Removes what dead runs have left, and the chosen worlds; returns their names.
///
/// # Errors
/// What could not be removed, and where it is.
pub fn sweep(estate: &Estate, which: Which) -> Result<Vec<String>> {
    let _guard = estate.lock()?;
    let hierarchies = Hierarchies::find()?;
    let mut removed = Vec::new();
    for folder in find(estate, which) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        remove(&hierarchies, &folder, &name)?;
        removed.push(name);
    }
    removed.extend(kind::remove_orphans()?);
    Ok(removed)
}

/// Folders of what a sweep would remove. Whoever asks holds the estate.
pub fn find(estate: &Estate, which: Which) -> Vec<PathBuf> {
    let wanted = |folder: &PathBuf| match Estate::state(folder) {
        State::Owned => false,
        State::Kept => which == Which::AbandonedAndKept,
        State::Abandoned => true,
    };
    estate.runs().into_iter().chain(estate.worlds()).filter(wanted).collect()
}

/// Removes one run or world, which nobody but the caller owns.
///
/// # Errors
/// What is left, and where.
pub fn remove(hierarchies: &Hierarchies, folder: &Path, name: &str) -> Result<()> {
    kind::remove(folder)?;
    end(hierarchies, name)?;
    for mount in mounts_below(folder)? {
        umount2(Path::new(&mount), MntFlags::MNT_DETACH).attempting(|| format!("unmount {mount}"))?;
    }
    if let Some(slot) = slot(folder) {
        cut(&Network::new(slot).interface())?;
    }
    hierarchies.remove(name)?;
    // The folder goes last: as long as it is there, the next sweep knows of the rest.
    fs::remove_dir_all(folder).attempting(|| format!("remove {}", folder.display()))
}

/// Kills every process in the groups and waits until the kernel has ended them.
fn end(hierarchies: &Hierarchies, name: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let processes = hierarchies.processes(name);
        if processes.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > DYING {
            return Err(Failure::new(
                format!("end the processes of {name}"),
                format!("{processes:?} are still there {} s after SIGKILL", DYING.as_secs()),
            )
            .next("look at them with ps; a process in state D waits for its disk"));
        }
        for id in processes {
            match kill(Pid::from_raw(id), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(e) => return Err(Failure::new(format!("kill process {id} of {name}"), e)),
            }
        }
        // The kernel offers no event for "the last process of a v1 group has gone"; its own work takes milliseconds.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Removes the machine's end of the cable when it outlived the world's network namespace.
fn cut(interface: &str) -> Result<()> {
    if !Path::new("/sys/class/net").join(interface).exists() {
        return Ok(());
    }
    let output = Command::new("ip")
        .args(["link", "delete", interface])
        .output()
        .attempting(|| format!("remove the interface {interface}"))?;
    // The kernel removes it too, together with the namespace, and may have been faster.
    if !output.status.success() && Path::new("/sys/class/net").join(interface).exists() {
        return Err(Failure::new(
            format!("remove the interface {interface}"),
            String::from_utf8_lossy(&output.stderr).trim(),
        ));
    }
    Ok(())
}

/// Mount points below a folder in this mount namespace, the deepest first.
fn mounts_below(folder: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string("/proc/self/mountinfo").attempting(|| "read /proc/self/mountinfo".into())?;
    let mut found: Vec<String> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| Path::new(point).starts_with(folder))
        .map(Into::into)
        .collect();
    found.sort_by_key(|point| std::cmp::Reverse(point.len()));
    Ok(found)
}
