//! Measures the machine between two runs.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::statvfs::statvfs;
use walkdir::WalkDir;

use super::{
    growth,
    measure::{Measure, Measures},
    processes,
};
use crate::{
    cluster::embedded::cgroups::Hierarchies,
    components::cache::Cache,
    failure::{Attempt, Result},
    proc,
    status::Status,
    world::ownership::Estate,
};

/// How long the kernel may take to remove what a run has let go of.
const DISSOLVING: Duration = Duration::from_secs(10);
/// How soon it is asked again.
const AGAIN: Duration = Duration::from_millis(100);
/// Bytes of a block, by which a file says how large it is on its disk.
const BLOCK: u64 = 512;
/// Where the kernel says how many connections it tracks.
const CONNECTIONS: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// What is measured.
pub struct Machine<'a> {
    /// Where worlds live.
    pub estate: &'a Estate,
    /// Where artifacts are kept.
    pub cache: &'a Cache,
    /// Folder of the soak's reports.
    pub reports: &'a Path,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The measures.
    pub measures: Measures,
    /// What a sweep would remove.
    pub leftovers: Vec<String>,
}

/// What files take of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Space {
    bytes: u64,
    /// Nothing where the file system does not count them.
    inodes: Option<u64>,
}

impl Machine<'_> {
    /// Measures, as soon as no level is exceeded. The kernel takes a network namespace apart some time after its last process has
    /// ended, and offers no event for that: it is asked again until it has had time enough.
    ///
    /// # Errors
    /// When something cannot be measured that always can.
    pub async fn settled(&self, levels: &Measures) -> Result<Seen> {
        let begun = Instant::now();
        loop {
            let seen = self.measure()?;
            if !growth::exceeded(levels, &seen.measures) || begun.elapsed() > DISSOLVING {
                return Ok(seen);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Measures the machine as it is now, while no run goes on.
    ///
    /// # Errors
    /// When something cannot be measured that always can.
    pub fn measure(&self) -> Result<Seen> {
        let mut measures = self.disks()?;
        let mut put = |measure, amount: Option<u64>| measures.extend(amount.map(|amount| (measure, amount)));
        let memory = read("/proc/meminfo")?;
        let kernel = |name| proc::memory(&memory, name);
        put(
            Measure::Memory,
            kernel("MemTotal").zip(kernel("MemAvailable")).map(|(all, free)| all.saturating_sub(free)),
        );
        put(Measure::Slab, kernel("Slab"));
        put(Measure::PinnedSlab, kernel("SUnreclaim"));
        put(Measure::Connections, fs::read_to_string(CONNECTIONS).ok().and_then(|text| text.trim().parse().ok()));
        let hierarchies = Hierarchies::find()?;
        put(Measure::Cgroups, count(hierarchies.count()));
        put(Measure::Interfaces, count(interfaces(&read("/proc/net/dev")?)));
        put(Measure::Mounts, count(read("/proc/self/mountinfo")?.lines().count()));
        processes::bury();
        let mut living = processes::below(nix::unistd::getpid().as_raw());
        living.extend(hierarchies.names().iter().flat_map(|name| hierarchies.processes(name)));
        put(Measure::Processes, count(living.len()));
        put(Measure::Namespaces, count(processes::networks().len()));
        let status = Status::look(self.cache)?;
        put(Measure::Worlds, count(status.worlds.len()));
        put(Measure::Leftovers, count(status.leftovers.len()));
        Ok(Seen { measures, leftovers: status.leftovers })
    }

    /// What is in use of the file systems, and by the reports, which are none of it.
    fn disks(&self) -> Result<Measures> {
        let device = |folder: &Path| {
            fs::metadata(folder).map(|data| data.dev()).attempting(|| format!("look at {}", folder.display()))
        };
        let reports = files(self.reports).attempting(|| format!("measure {}", self.reports.display()))?;
        let (state, cache, of_reports) =
            (device(self.estate.root())?, device(self.cache.root())?, device(self.reports)?);
        let own = |device| if device == of_reports { reports } else { Space::default() };
        let mut measures = Measures::from([(Measure::Reports, reports.bytes)]);
        measures.extend(reports.inodes.map(|inodes| (Measure::ReportInodes, inodes)));
        let mut put = |disk, inodes, space: Space| {
            measures.insert(disk, space.bytes);
            measures.extend(space.inodes.map(|number| (inodes, number)));
        };
        put(Measure::StateDisk, Measure::StateInodes, used(self.estate.root())?.without(own(state)));
        if cache != state {
            put(Measure::CacheDisk, Measure::CacheInodes, used(self.cache.root())?.without(own(cache)));
        }
        Ok(measures)
    }
}

impl Space {
    fn without(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            inodes: self.inodes.map(|inodes| inodes.saturating_sub(other.inodes.unwrap_or_default())),
        }
    }
}

/// What is in use on the file system of a folder.
fn used(folder: &Path) -> Result<Space> {
    let disk = statvfs(folder).attempting(|| format!("measure the file system of {}", folder.display()))?;
    let inodes = disk.files().saturating_sub(disk.files_free());
    Ok(Space {
        bytes: disk.blocks().saturating_sub(disk.blocks_free()) * disk.fragment_size(),
        inodes: (disk.files() > 0).then_some(inodes),
    })
}

/// What a folder and all that is in it takes.
fn files(folder: &Path) -> io::Result<Space> {
    let (mut bytes, mut inodes) = (0, 0);
    for entry in WalkDir::new(folder) {
        let data = entry.map_err(io::Error::from)?.metadata().map_err(io::Error::from)?;
        bytes += data.blocks() * BLOCK;
        inodes += 1;
    }
    Ok(Space { bytes, inodes: Some(inodes) })
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).attempting(|| format!("read {file}"))
}

fn count(number: usize) -> Option<u64> {
    u64::try_from(number).ok()
}

/// Number of interfaces in /proc/net/dev, which has two lines of headings.
fn interfaces(dev: &str) -> usize {
    dev.lines().skip(2).filter(|line| line.contains(':')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes_by_its_whole_name() {
        let text = "MemTotal:       24684084 kB\nKReclaimable:     140512 kB\nSlab:             168228 kB\n\
                    SReclaimable:     140512 kB\nSUnreclaim:        27716 kB\nHugePages_Total:       0\n";
        assert_eq!(proc::memory(text, "Slab"), Some(168_228 << 10));
        assert_eq!(proc::memory(text, "SUnreclaim"), Some(27_716 << 10));
        assert_eq!(proc::memory(text, "Mem"), None);
        assert_eq!(proc::memory(text, "HugePages_Total"), None);
    }

    #[test]
    fn headings_are_no_interfaces() {
        let text = "Inter-|   Receive                |  Transmit\n face |bytes    packets errs |bytes    packets\n    \
                    lo:    3193      29    0     3193      29\n  eth0: 101169018    4327    0   277884    2718\ntrinity3:0 0 0 0 0\n";
        assert_eq!(interfaces(text), 3);
        assert_eq!(interfaces(""), 0);
    }

    #[test]
    fn a_folder_takes_what_its_files_take() {
        let folder = tempfile::tempdir().unwrap();
        let empty = files(folder.path()).unwrap();
        assert_eq!(empty.inodes, Some(1));
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/file"), vec![1; 100_000]).unwrap();
        let space = files(folder.path()).unwrap();
        assert_eq!(space.inodes, Some(3));
        assert!(space.bytes >= empty.bytes + 100_000, "{space:?}");
        assert!(files(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn reports_are_none_of_the_disk() {
        let all = Space { bytes: 100, inodes: Some(10) };
        assert_eq!(all.without(Space { bytes: 30, inodes: Some(3) }), Space { bytes: 70, inodes: Some(7) });
        let uncounted = Space { bytes: 100, inodes: None };
        assert_eq!(uncounted.without(all), Space { bytes: 0, inodes: None });
    }
}
