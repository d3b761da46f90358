//! What is measured of the machine, and how much more of it there may be after many runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What other programs of a quiet machine write meanwhile, their logs above all (bytes).
const DISK: u64 = 64 << 20;
/// Files that they make.
const INODES: u64 = 1_000;
/// By how much the memory of other programs and of the kernel goes up and down on a quiet machine (bytes). No process of a run
/// outlives it, so what runs take for good is the kernel's.
const MEMORY: u64 = 256 << 20;
/// What the kernel frees only later of the namespaces and control groups of the last run (bytes).
const PINNED: u64 = 64 << 20;
/// Connections of the last run that the kernel has not forgotten yet.
const CONNECTIONS: u64 = 512;

/// What is measured, by what it is.
pub type Measures = BTreeMap<Measure, u64>;

/// Something of the machine that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Bytes in use on the file system of the state folder, without the reports.
    StateDisk,
    /// Inodes in use there, without the reports'.
    StateInodes,
    /// Bytes in use on the file system of the cache, where that is another one, without the reports.
    CacheDisk,
    /// Inodes in use there, without the reports'.
    CacheInodes,
    /// Bytes of the reports.
    Reports,
    /// Inodes of the reports.
    ReportInodes,
    /// Bytes of memory that the kernel could not give to a new program. The page cache is none of them.
    Memory,
    /// Bytes of the kernel's own objects.
    Slab,
    /// Bytes of those that it cannot give back.
    PinnedSlab,
    /// Connections that the kernel tracks in the machine's own network.
    Connections,
    /// Control groups of the harness, in all hierarchies.
    Cgroups,
    /// Network namespaces in which a process is, or that have a name.
    Namespaces,
    /// Network interfaces of the machine.
    Interfaces,
    /// Mounts that this process sees.
    Mounts,
    /// Processes in control groups of the harness, or that a run has started.
    Processes,
    /// Worlds that are running, or were kept.
    Worlds,
    /// What a sweep would remove.
    Leftovers,
}

/// How much more there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It is the harness's own: after no run is there more of it than before the first one.
    Own,
    /// The first run may bring some, for example with a module of the kernel; at the end there is no more than after that.
    Level,
    /// From the first run to the end so much more, however many runs there are.
    Within(u64),
    /// It is only told, with the reason.
    Told(&'static str),
}

impl Measure {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 17] = [
        Self::StateDisk,
        Self::StateInodes,
        Self::CacheDisk,
        Self::CacheInodes,
        Self::Reports,
        Self::ReportInodes,
        Self::Memory,
        Self::Slab,
        Self::PinnedSlab,
        Self::Connections,
        Self::Cgroups,
        Self::Namespaces,
        Self::Interfaces,
        Self::Mounts,
        Self::Processes,
        Self::Worlds,
        Self::Leftovers,
    ];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StateDisk => "disk, state folder's",
            Self::StateInodes => "inodes, state folder's",
            Self::CacheDisk => "disk, cache's",
            Self::CacheInodes => "inodes, cache's",
            Self::Reports => "reports",
            Self::ReportInodes => "inodes, reports'",
            Self::Memory => "memory in use, without page cache",
            Self::Slab => "kernel's objects (Slab)",
            Self::PinnedSlab => "of these not to be had back",
            Self::Connections => "connections tracked",
            Self::Cgroups => "control groups",
            Self::Namespaces => "network namespaces",
            Self::Interfaces => "network interfaces",
            Self::Mounts => "mounts",
            Self::Processes => "processes of runs",
            Self::Worlds => "worlds",
            Self::Leftovers => "leftovers",
        }
    }

    /// Whether it is bytes; otherwise it is a number of things.
    pub const fn is_bytes(self) -> bool {
        matches!(self, Self::StateDisk | Self::CacheDisk | Self::Reports | Self::Memory | Self::Slab | Self::PinnedSlab)
    }

    /// How much more of it there may be.
    pub const fn limit(self) -> Limit {
        match self {
            Self::StateDisk | Self::CacheDisk => Limit::Within(DISK),
            Self::StateInodes | Self::CacheInodes => Limit::Within(INODES),
            Self::Memory => Limit::Within(MEMORY),
            Self::PinnedSlab => Limit::Within(PINNED),
            Self::Connections => Limit::Within(CONNECTIONS),
            Self::Reports | Self::ReportInodes => Limit::Told("they stay on purpose"),
            Self::Slab => Limit::Told("caches of files are in it"),
            Self::Namespaces | Self::Interfaces | Self::Mounts => Limit::Level,
            Self::Cgroups | Self::Processes | Self::Worlds | Self::Leftovers => Limit::Own,
        }
    }

    /// Why it was not measured.
    pub const fn absent(self) -> &'static str {
        match self {
            Self::StateInodes => "its file system does not count them",
            Self::CacheDisk => "its file system is the state folder's",
            Self::CacheInodes => "its file system is the state folder's, or does not count them",
            Self::Connections => "the kernel tracks none",
            _ => "the kernel does not tell",
        }
    }

    /// Where to look when there is more and more of it.
    pub const fn next(self) -> &'static str {
        match self {
            Self::StateDisk | Self::StateInodes | Self::CacheDisk | Self::CacheInodes => {
                "find with du what has grown; other programs of the machine write there, too"
            }
            Self::Reports | Self::ReportInodes => "remove the reports that nobody needs",
            Self::Memory => "compare /proc/meminfo and ps over some runs; other programs of the machine count, too",
            Self::Slab | Self::PinnedSlab => "compare /proc/slabinfo over some runs",
            Self::Connections => "look at /proc/net/nf_conntrack for addresses of 10.200 to 10.202",
            Self::Cgroups => "list the folders below trinity-e2e in each hierarchy of /sys/fs/cgroup",
            Self::Namespaces => "lsns --type net tells the process of each",
            Self::Interfaces => "ip link lists them; those of worlds are named trinity and a number",
            Self::Mounts => "compare /proc/self/mountinfo over some runs",
            Self::Processes => "ps --forest shows who they are",
            Self::Worlds => "`trinity-e2e status` names them",
            Self::Leftovers => "`trinity-e2e status` names them, and `trinity-e2e sweep` removes them",
        }
    }

    /// An amount of it, for people.
    pub fn told(self, amount: u64) -> String {
        if self.is_bytes() { format!("{:.1} MiB", amount as f64 / MIB) } else { amount.to_string() }
    }

    /// A change of it, for people.
    pub fn change(self, amount: f64) -> String {
        if self.is_bytes() { format!("{:+.2} MiB", amount / MIB) } else { format!("{amount:+.2}") }
    }
}

const MIB: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_measures_are_told_once_and_in_their_order() {
        assert!(Measure::ALL.is_sorted());
        let names: BTreeSet<&str> = Measure::ALL.iter().map(|measure| measure.name()).collect();
        assert_eq!(names.len(), Measure::ALL.len());
        let last = Measure::ALL.last().copied();
        assert_eq!(last, Some(Measure::Leftovers), "the last variant is the last of all");
        assert_eq!(Measure::Leftovers as usize + 1, Measure::ALL.len());
    }

    #[test]
    fn amounts_have_their_unit() {
        assert_eq!(Measure::Memory.told(3 << 19), "1.5 MiB");
        assert_eq!(Measure::Mounts.told(31), "31");
        assert_eq!(Measure::Memory.change(-1_048_576.0), "-1.00 MiB");
        assert_eq!(Measure::Mounts.change(0.5), "+0.50");
    }

    #[test]
    fn measures_are_keys_of_an_object() {
        let measures = Measures::from([(Measure::PinnedSlab, 7), (Measure::StateDisk, 9)]);
        let text = serde_json::to_string(&measures).unwrap();
        assert_eq!(text, r#"{"state-disk":9,"pinned-slab":7}"#);
        assert_eq!(serde_json::from_str::<Measures>(&text).unwrap(), measures);
    }
}
