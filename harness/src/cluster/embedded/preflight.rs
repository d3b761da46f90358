//! What this machine must offer, checked before anything is made.

use std::{fs, path::Path, process::Command};

use nix::{
    sys::{
        statfs::{OVERLAYFS_SUPER_MAGIC, statfs},
        statvfs::statvfs,
    },
    unistd::geteuid,
};

use super::{
    cgroups::Hierarchies,
    network::{Network, SLOTS},
};
use crate::{
    failure::{Attempt, Failure, Result},
    proc,
};

/// Memory that one world takes at its peak (measured: 1.9 GiB with Argo CD, 0.13 of them etcd's data), in bytes.
const MEMORY: u64 = 2 << 30;
/// Memory that kubelet and containerd of each further node of a world take (measured: 140 MiB), in bytes.
const NODE: u64 = 192 << 20;
/// Disk that one world takes: unpacked images, etcd and logs, in bytes.
const DISK: u64 = 3 << 30;
/// inotify instances that the kubelet, containerd and the Pods of one world need together.
const INOTIFY: u64 = 512;
/// Where the kernel says how many a user may have, and is told another number.
pub const INSTANCES: &str = "/proc/sys/fs/inotify/max_user_instances";

/// Checks the machine for so many more worlds whose folders will be below `state`, with so many further nodes beside the
/// first of each; images are unpacked below `cache`.
///
/// # Errors
/// The first thing that is missing, and how to get it.
pub fn check(state: &Path, cache: &Path, worlds: u64, nodes: u64) -> Result<()> {
    root()?;
    Hierarchies::find()?;
    namespaces()?;
    for (folder, variable) in [(state, "TRINITY_STATE"), (cache, "XDG_CACHE_HOME")] {
        layered(folder, variable)?;
    }
    memory(worlds, nodes)?;
    disk(state, worlds)?;
    inotify(INOTIFY * (worlds + nodes))
}

/// Whether this user is root.
///
/// # Errors
/// When not.
pub fn root() -> Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new("make an embedded cluster", "this user is not root").next("run it with sudo"))
}

/// All routes of this machine, one on a line: worlds take addresses that lead nowhere yet.
///
/// # Errors
/// When `ip` cannot be run.
pub fn routes() -> Result<String> {
    let listed = Command::new("ip").args(["-4", "-o", "route", "show", "table", "all"]).output();
    let listed = listed
        .attempting(|| "list this machine's routes by ip".into())
        .map_err(|failure| failure.next("install iproute2, as a run does"))?;
    Ok(String::from_utf8_lossy(&listed.stdout).into_owned())
}

/// Whether the kernel has the namespaces that a world is in.
///
/// # Errors
/// The first that it has not.
pub fn namespaces() -> Result<()> {
    for namespace in ["mnt", "net", "pid", "uts", "ipc"] {
        if !Path::new("/proc/self/ns").join(namespace).exists() {
            return Err(Failure::new("make an embedded cluster", format!("this kernel has no {namespace} namespaces"))
                .next("use a kernel with CONFIG_NAMESPACES"));
        }
    }
    Ok(())
}

/// Whether there is memory for so many more worlds with so many further nodes; returns the bytes that are available.
///
/// # Errors
/// When there is not.
pub fn memory(worlds: u64, nodes: u64) -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").attempting(|| "read /proc/meminfo".into())?;
    let (seen, needed) = (proc::memory(&meminfo, "MemAvailable").unwrap_or_default(), MEMORY * worlds + NODE * nodes);
    enough(worlds, "memory", "MemAvailable of /proc/meminfo", seen, needed).map(|()| seen)
}

/// Whether there is disk space for so many more worlds in a folder; returns the bytes that are free.
///
/// # Errors
/// When there is not.
pub fn disk(state: &Path, worlds: u64) -> Result<u64> {
    let disk = statvfs(state).attempting(|| format!("measure the free space of {}", state.display()))?;
    let free = disk.blocks_available() * disk.fragment_size();
    enough(worlds, "disk space", &state.display().to_string(), free, DISK * worlds).map(|()| free)
}

/// Containers are layers of overlayfs, which the kernel does not stack on another overlayfs.
///
/// # Errors
/// When the folder is on one.
pub fn layered(folder: &Path, variable: &str) -> Result<()> {
    let kind = statfs(folder).attempting(|| format!("find the file system of {}", folder.display()))?.filesystem_type();
    if kind != OVERLAYFS_SUPER_MAGIC {
        return Ok(());
    }
    Err(Failure::new("make an embedded cluster", format!("{} is itself on overlayfs", folder.display()))
        .next(format!("set {variable} to a folder on a disk or on tmpfs; in a container, on a volume")))
}

fn enough(worlds: u64, what: &str, place: &str, seen: u64, needed: u64) -> Result<()> {
    let mib = |bytes: u64| bytes >> 20;
    if seen >= needed {
        return Ok(());
    }
    Err(Failure::new(
        format!("make {worlds} worlds: they need {} MiB of {what}", mib(needed)),
        format!("{place} has {} MiB", mib(seen)),
    )
    .next("free some, end other worlds with `trinity-e2e down`, or put TRINITY_STATE on a larger file system"))
}

/// Raises a machine-wide limit that has no namespace; the kernel's default stops a second kubelet.
fn inotify(needed: u64) -> Result<()> {
    let file = INSTANCES;
    let seen = fs::read_to_string(file).attempting(|| format!("read {file}"))?;
    if seen.trim().parse::<u64>().is_ok_and(|n| n >= needed) {
        return Ok(());
    }
    fs::write(file, needed.to_string()).attempting(|| format!("raise {file} from {} to {needed}", seen.trim()))?;
    tracing::info!("raised fs.inotify.max_user_instances from {} to {needed} until the next boot", seen.trim());
    Ok(())
}

/// The first slot, from those that no world holds, whose subnets nothing on this machine uses.
/// `routes` is the output of `ip -4 -o route show table all`.
///
/// # Errors
/// When all are taken, with what takes them.
pub fn free_slot(held: &[u8], routes: &str) -> Result<Network> {
    let taken = |network: Network| {
        let slot = network.slot();
        routes
            .split_whitespace()
            .any(|word| (200..=202).any(|second| word.starts_with(&format!("10.{second}.{slot}."))))
    };
    (0..SLOTS)
        .filter(|slot| !held.contains(slot))
        .map(Network::new)
        .find(|network| !taken(*network))
        .ok_or_else(|| {
            Failure::new(
                "find free subnets for a world",
                format!(
                    "all of 10.200.0.0/24 to 10.200.{}.0/24 (with 10.201 and 10.202) are taken: {} by worlds, the others by routes of this machine",
                    SLOTS - 1,
                    held.len()
                ),
            )
            .next("`trinity-e2e down` ends kept worlds; `ip route` shows the others")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_is_said_in_numbers() {
        let failure = enough(1, "memory", "MemAvailable", 1 << 30, 2 << 30).unwrap_err().to_string();
        assert!(failure.contains("2048 MiB") && failure.contains("1024 MiB"), "{failure}");
        enough(1, "memory", "MemAvailable", 2 << 30, 2 << 30).unwrap();
        let failure = enough(3, "memory", "MemAvailable", 2 << 30, 6 << 30).unwrap_err().to_string();
        assert!(failure.contains("3 worlds") && failure.contains("6144 MiB"), "{failure}");
    }

    #[test]
    fn a_slot_in_use_is_skipped() {
        let routes = "10.200.1.0/24 dev eth7 proto kernel scope link src 10.200.1.9\n";
        assert_eq!(free_slot(&[0], routes).unwrap().slot(), 2);
        let all: Vec<u8> = (0..SLOTS).collect();
        assert!(free_slot(&all, "").unwrap_err().to_string().contains("down"));
    }
}
