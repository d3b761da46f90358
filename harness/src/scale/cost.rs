//! What processes have cost until now, as the kernel tells it in `/proc`.

use std::{fs, io, os::unix::fs::MetadataExt, time::Duration};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::{
    cluster::{self, embedded::cgroups::Hierarchies},
    failure::{Attempt, Failure, Result},
    proc,
    world::Description,
};

/// A tick of proc_pid_stat(5) on every Linux that Rust runs on (ms).
const TICK: u64 = 10;
/// The most resident memory in the `status` of a process.
const PEAK: &str = "VmHWM";
/// What makes clear_refs forget the most memory that a process has had; proc_pid_clear_refs(5).
const FORGET: &str = "5";
/// The argument with which a program of the harness plays a world's clouds.
const GATEWAY: &str = "gateway";

/// What a process has used, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// Processor time since it began (s).
    pub processor: f64,
    /// The most resident memory that it has had, since that was last forgotten (bytes).
    pub peak: u64,
}

/// A process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its id.
    id: u32,
    /// Whether what its children have used, as far as they have ended, is its own.
    with_children: bool,
}

impl Process {
    /// This one, without its children.
    pub fn own() -> Self {
        Self::alone(std::process::id())
    }

    /// The process with this id, without its children.
    pub const fn alone(id: u32) -> Self {
        Self { id, with_children: false }
    }

    /// What it has used; nothing when it has ended.
    ///
    /// # Errors
    /// When the kernel says something else.
    pub fn used(self) -> Result<Option<Used>> {
        let (Some(stat), Some(status)) = (self.read("stat")?, self.read("status")?) else { return Ok(None) };
        let used =
            || Some(Used { processor: processor(&stat, self.with_children)?, peak: proc::memory(&status, PEAK)? });
        // One that has ended and was not waited for has no memory.
        let ended = status.lines().any(|line| line.starts_with("State:") && line.contains('Z'));
        match used() {
            None if ended => Ok(None),
            None => Err(Failure::new(format!("tell what process {} has used", self.id), status)),
            used => Ok(used),
        }
    }

    /// Forgets the most memory that it has had. Where the kernel cannot, that is since it began, and no less.
    pub fn forget_peak(self) {
        let _ = fs::write(self.file("clear_refs"), FORGET);
    }

    fn file(self, name: &str) -> String {
        format!("/proc/{}/{name}", self.id)
    }

    fn read(self, name: &str) -> Result<Option<String>> {
        let file = self.file(name);
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text)),
            Err(e) if gone(&e) => Ok(None),
            Err(e) => Err(e).attempting(|| format!("read {file}")),
        }
    }
}

/// Whether this says that there is no such process any more.
fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// The processes of a world that are the harness's own: what plays its clouds, and its first process.
///
/// # Errors
/// When the harness's own program cannot be found.
pub fn emulators(hierarchies: &Hierarchies, world: &Description) -> Result<Vec<Process>> {
    let program = |id: &str| fs::metadata(format!("/proc/{id}/exe")).map(|file| (file.dev(), file.ino()));
    let own = program("self").attempting(|| "find the harness's own program".into())?;
    let ids = cluster::processes(hierarchies, &world.folder, &world.name);
    let ours = ids.into_iter().filter(|id| program(&id.to_string()).is_ok_and(|file| file == own));
    // The first process has every other one of its world among its children; the gateway has what serves Git.
    let process = |id| {
        let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        Process { id, with_children: arguments.split(|byte| *byte == 0).nth(1) == Some(GATEWAY.as_bytes()) }
    };
    Ok(ours.filter_map(|id| u32::try_from(id).ok()).map(process).collect())
}

/// What these have used together, as far as they are there.
///
/// # Errors
/// When the kernel says something else.
pub fn together(processes: &[Process]) -> Result<Used> {
    let mut all = Used::default();
    for process in processes {
        let used = process.used()?.unwrap_or_default();
        all = Used { processor: all.processor + used.processor, peak: all.peak + used.peak };
    }
    Ok(all)
}

/// Processor time in a `stat` (s).
fn processor(stat: &str, with_children: bool) -> Option<f64> {
    let fields: Vec<&str> = proc::fields(stat)?.collect();
    // utime, stime, cutime and cstime.
    let times = fields.get(11..if with_children { 15 } else { 13 })?;
    let ticks: u64 = times.iter().map(|time| time.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks * TICK).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_behind_the_name_of_the_program() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 200 0 0 150 50 1000 23 20 0 8 0 99 1 2";
        assert_eq!(processor(stat, false), Some(2.0));
        assert_eq!(processor(stat, true), Some(12.23));
        assert_eq!(processor("7 (a) S 1 7", false), None);
        assert_eq!(processor("7 a S", false), None);
    }

    #[test]
    fn a_status_tells_the_most_memory() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t   48 kB\nVmRSS:\t   16 kB\n";
        assert_eq!(proc::memory(status, PEAK), Some(48 * 1024));
        assert_eq!(proc::memory("Name:\tkthreadd\n", PEAK), None);
    }

    #[test]
    fn this_process_has_used_something_and_one_that_is_not_there_nothing() {
        let used = Process::own().used().unwrap().unwrap();
        assert!(used.peak > 0 && used.processor >= 0.0, "{used:?}");
        // Larger than any id that Linux gives.
        assert_eq!(Process::alone(u32::MAX).used().unwrap(), None);
        assert_eq!(together(&[Process::alone(u32::MAX)]).unwrap(), Used::default());
    }
}
