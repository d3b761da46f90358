//! The control groups of a world, or of a run's own children: one subtree per hierarchy, on cgroup v1 and v2 alike.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{AccessFlags, access};

use super::node::Node;
use crate::failure::{Attempt, Failure, Result};

/// Parent of the groups of all worlds, below the root of each hierarchy.
const PARENT: &str = "trinity-e2e";
/// Controllers that kubelet and runc cannot do without.
const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

/// The mounted cgroup hierarchies of this machine.
#[derive(Clone, Debug)]
pub struct Hierarchies {
    mounts: Vec<PathBuf>,
    unified: bool,
}

impl Hierarchies {
    /// Reads them from `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// When a controller that a kubelet needs is not available.
    pub fn find() -> Result<Self> {
        let text = fs::read_to_string("/proc/self/mountinfo").attempting(|| "read /proc/self/mountinfo".into())?;
        let mounts = parse(&text);
        let unified = mounts.iter().all(|m| m.kind == "cgroup2");
        let found = Self { unified, mounts: mounts.into_iter().map(|m| m.point).collect() };
        let read = |file: PathBuf| fs::read_to_string(&file).attempting(|| format!("read {}", file.display()));
        // Newer kernels list in /proc/cgroups only what version 1 could mount.
        let available = match found.mounts.first().filter(|_| unified) {
            Some(mount) => read(mount.join("cgroup.controllers"))?.split_whitespace().map(Into::into).collect(),
            None => enabled(&read("/proc/cgroups".into())?),
        };
        let missing: Vec<&str> = NEEDED.into_iter().filter(|need| !available.iter().any(|a| a == need)).collect();
        if found.mounts.is_empty() || !missing.is_empty() {
            return Err(Failure::new(
                "use control groups",
                format!(
                    "{} hierarchies are mounted and these controllers are missing: {}",
                    found.mounts.len(),
                    missing.join(", ")
                ),
            )
            .next("boot with the controllers enabled (kernel parameter cgroup_enable=…), or mount /sys/fs/cgroup"));
        }
        Ok(found)
    }

    /// Whether groups can be made, without making one.
    ///
    /// # Errors
    /// The first hierarchy in which they cannot.
    pub fn writable(&self) -> Result<()> {
        for mount in &self.mounts {
            access(mount, AccessFlags::W_OK).map_err(|e| {
                Failure::new("use control groups", format!("none can be made in {}: {e}", mount.display()))
                    .next("run it as root; in a container, with --privileged --cgroupns=host")
            })?;
        }
        Ok(())
    }

    /// Path of a node's Pods below the root of every hierarchy, as the kubelet's `cgroupRoot` wants it. A kubelet removes
    /// the groups there of Pods that it does not know.
    pub fn pods(world: &str, node: Node) -> String {
        format!("/{PARENT}/{world}/pods/{}", node.name())
    }

    /// Makes the groups of a world, empty.
    ///
    /// # Errors
    /// When a group cannot be made.
    pub fn create(&self, world: &str) -> Result<()> {
        for mount in &self.mounts {
            for below in [PARENT.to_owned(), format!("{PARENT}/{world}")] {
                self.make(mount, &mount.join(below))?;
            }
            for leaf in ["init", "pods"] {
                self.make(mount, &mount.join(PARENT).join(world).join(leaf))?;
            }
        }
        Ok(())
    }

    /// Makes the group of a node's Pods in a world that has groups.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn join(&self, world: &str, node: Node) -> Result<()> {
        let group = Self::pods(world, node);
        self.mounts.iter().try_for_each(|mount| self.make(mount, &mount.join(group.trim_start_matches('/'))))
    }

    fn make(&self, mount: &Path, group: &Path) -> Result<()> {
        fs::create_dir_all(group).attempting(|| format!("make the control group {}", group.display()))?;
        let parent = group.parent().unwrap_or(mount);
        if self.unified {
            // A child sees only the controllers that its parent hands down.
            for controller in ["cpuset", "cpu", "io", "memory", "pids"] {
                ignore_missing(fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}")))
                    .attempting(|| format!("hand controller {controller} down from {}", parent.display()))?;
            }
        } else {
            // A new cpuset has no processors and no memory, and refuses processes until it has.
            for file in ["cpuset.mems", "cpuset.cpus"] {
                if let Ok(value) = fs::read_to_string(parent.join(file)) {
                    fs::write(group.join(file), value.trim())
                        .attempting(|| format!("copy {file} to {}", group.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Moves the calling process to the world's `init` group in every hierarchy.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter(&self, world: &str) -> Result<()> {
        for mount in &self.mounts {
            let file = mount.join(PARENT).join(world).join("init/cgroup.procs");
            fs::write(&file, "0").attempting(|| format!("enter {}", file.display()))?;
        }
        Ok(())
    }

    /// Moves the calling process to the roots of the hierarchies, so that its groups can be removed.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn leave(&self) -> Result<()> {
        for mount in &self.mounts {
            let file = mount.join("cgroup.procs");
            fs::write(&file, "0").attempting(|| format!("enter {}", file.display()))?;
        }
        Ok(())
    }

    /// Names of the worlds and runs that have groups.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .mounts
            .iter()
            .filter_map(|mount| fs::read_dir(mount.join(PARENT)).ok())
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Number of groups of all worlds and runs, in all hierarchies together.
    pub fn count(&self) -> usize {
        self.mounts.iter().map(|mount| groups(&mount.join(PARENT)).len()).sum()
    }

    /// Process ids in the world's groups.
    pub fn processes(&self, world: &str) -> Vec<i32> {
        self.processes_in(&format!("{PARENT}/{world}"))
    }

    /// Process ids in the groups at a path below the roots of the hierarchies.
    pub fn processes_in(&self, path: &str) -> Vec<i32> {
        let mut ids: Vec<i32> = self
            .mounts
            .iter()
            .flat_map(|mount| groups(&mount.join(path)))
            .filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok())
            .flat_map(|text| text.lines().filter_map(|l| l.parse().ok()).collect::<Vec<_>>())
            // Zero stands for a process that this PID namespace cannot see.
            .filter(|id| *id > 0)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The most memory that the world's processes have used at once (bytes), if the kernel tells.
    pub fn memory_peak(&self, world: &str) -> Option<u64> {
        self.memory_peak_in(&format!("{PARENT}/{world}"))
    }

    /// The memory that the world's processes use now (bytes), if the kernel tells.
    pub fn memory_in_use(&self, world: &str) -> Option<u64> {
        self.memory_in_use_in(&format!("{PARENT}/{world}"))
    }

    /// The most memory that the processes in the groups at a path have used at once (bytes), if the kernel tells.
    pub fn memory_peak_in(&self, path: &str) -> Option<u64> {
        self.memory(path, ["memory.max_usage_in_bytes", "memory.peak"])
    }

    /// The memory that the processes in the groups at a path use now (bytes), if the kernel tells.
    pub fn memory_in_use_in(&self, path: &str) -> Option<u64> {
        self.memory(path, ["memory.usage_in_bytes", "memory.current"])
    }

    /// Processor time that the processes of a world, or of a run, have used until now, those that have ended included; if the
    /// kernel tells.
    pub fn processor_time(&self, name: &str) -> Option<Duration> {
        let read = |file: &str| {
            let groups = self.mounts.iter().map(|mount| mount.join(PARENT).join(name));
            groups.map(|group| group.join(file)).filter_map(|file| fs::read_to_string(file).ok()).collect::<Vec<_>>()
        };
        // Where both versions are mounted, processes need not be in the groups of the second.
        let first = read("cpuacct.usage").iter().find_map(|text| nanoseconds(text));
        first.or_else(|| read("cpu.stat").iter().find_map(|text| microseconds(text)))
    }

    /// What the kernel says in the first of these files that it has.
    fn memory(&self, path: &str, files: [&str; 2]) -> Option<u64> {
        self.mounts
            .iter()
            .map(|mount| mount.join(path))
            .flat_map(|group| files.map(|file| group.join(file)))
            .find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
    }

    /// Removes the world's groups, and the common parent when it is empty. They hold no process any more.
    ///
    /// # Errors
    /// When a group is still in use.
    pub fn remove(&self, world: &str) -> Result<()> {
        for mount in &self.mounts {
            let parent = mount.join(PARENT);
            for group in groups(&parent.join(world)) {
                ignore_missing(fs::remove_dir(&group))
                    .attempting(|| format!("remove the control group {}", group.display()))?;
            }
            // Another world may still be in it, which is no error.
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }
}

/// Processor time in version 1's `cpuacct.usage`.
fn nanoseconds(usage: &str) -> Option<Duration> {
    usage.trim().parse().ok().map(Duration::from_nanos)
}

/// Processor time in version 2's `cpu.stat`; version 1 has a file of that name without it.
fn microseconds(stat: &str) -> Option<Duration> {
    let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    usage.trim().parse().ok().map(Duration::from_micros)
}

/// A group and all groups below it, children before parents.
fn groups(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .flat_map(|path| groups(&path))
        .collect();
    if root.is_dir() {
        found.push(root.to_owned());
    }
    found
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

struct Mount {
    point: PathBuf,
    kind: String,
}

/// Mount points of file systems `cgroup` and `cgroup2`; mountinfo's fields are in proc_pid_mountinfo(5).
fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let kind = after.split(' ').next()?;
            let point = before.split(' ').nth(4)?;
            (kind == "cgroup" || kind == "cgroup2").then(|| Mount { point: point.into(), kind: kind.into() })
        })
        .collect()
}

/// The controllers that `/proc/cgroups` lists as enabled.
fn enabled(controllers: &str) -> Vec<String> {
    controllers.lines().filter(|l| l.ends_with("\t1")).filter_map(|l| l.split('\t').next()).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_of_both_versions() {
        let text = "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                    31 25 0:27 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n\
                    32 25 0:28 / /proc rw - proc proc rw\n";
        let kinds: Vec<String> = parse(text).into_iter().map(|m| m.kind).collect();
        assert_eq!(kinds, ["cgroup2", "cgroup"]);
    }

    #[test]
    fn processor_time_of_both_versions() {
        assert_eq!(nanoseconds("1500000000\n"), Some(Duration::from_millis(1500)));
        assert_eq!(nanoseconds("\n"), None);
        let stat = "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n";
        assert_eq!(microseconds(stat), Some(Duration::from_millis(2500)));
        assert_eq!(microseconds("nr_periods 0\nnr_throttled 0\nthrottled_time 0\n"), None);
    }

    #[test]
    fn processor_time_is_taken_where_it_is_counted() {
        let root = tempfile::tempdir().unwrap();
        let file = |mount: &str, name: &str, text: &str| {
            let group = root.path().join(mount).join(PARENT).join("aws-1");
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join(name), text).unwrap();
        };
        let mounts = ["cpu", "cpuacct", "unified"].map(|mount| root.path().join(mount)).to_vec();
        let hierarchies = Hierarchies { mounts, unified: false };
        assert_eq!(hierarchies.processor_time("aws-1"), None);
        file("cpu", "cpu.stat", "nr_periods 0\n");
        file("unified", "cpu.stat", "usage_usec 1000000\n");
        assert_eq!(hierarchies.processor_time("aws-1"), Some(Duration::from_secs(1)));
        file("cpuacct", "cpuacct.usage", "7000000000\n");
        assert_eq!(hierarchies.processor_time("aws-1"), Some(Duration::from_secs(7)));
        assert_eq!(hierarchies.processor_time("aws-2"), None);
    }

    #[test]
    fn a_disabled_controller_is_not_enabled() {
        let text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t2\t1\ncpuset\t2\t2\t1\nmemory\t3\t1\t0\npids\t8\t3\t1\n";
        assert_eq!(enabled(text), ["cpu", "cpuset", "pids"]);
    }
}
