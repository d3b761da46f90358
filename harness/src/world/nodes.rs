//! How many nodes a world has, and how large they are: `nodes` of the file that declares its cloud, for example
//! `{count: 2, cpu: 940m}`, unless the command line says otherwise.

use std::{fmt, fs, path::Path};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    cluster::embedded::node::Node,
    failure::{Attempt, Failure, Result},
    judge::{
        capacity::Requests,
        quantity::{Cpu, Memory},
    },
    proc,
};

/// What the command line says about nodes.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Asked {
    /// CPU that each node offers to Pods, for example 940m; by default that of the world's file, or all of the machine.
    #[arg(long, help_heading = "Worlds")]
    pub node_cpu: Option<Cpu>,
    /// Number of nodes; by default that of the world's file, or one.
    #[arg(long, help_heading = "Worlds")]
    pub nodes: Option<u8>,
}

impl Asked {
    /// The arguments that say the same to another process.
    pub fn again(&self) -> Vec<String> {
        let cpu = self.node_cpu.map(|cpu| format!("--node-cpu={cpu}"));
        cpu.into_iter().chain(self.nodes.map(|nodes| format!("--nodes={nodes}"))).collect()
    }
}

impl fmt::Display for Asked {
    /// What to add to the description of a run; nothing when nothing was asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(nodes) = self.nodes {
            write!(f, ", nodes {nodes}")?;
        }
        self.node_cpu.map_or(Ok(()), |cpu| write!(f, ", {cpu} CPU a node"))
    }
}

/// The nodes of a world. They are all of one size, and share the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// How many.
    #[serde(default = "one")]
    pub count: u8,
    /// CPU that each offers to Pods; without, all of the machine.
    pub cpu: Option<Cpu>,
}

const fn one() -> u8 {
    1
}

impl Default for Nodes {
    fn default() -> Self {
        Self { count: one(), cpu: None }
    }
}

impl Nodes {
    /// The nodes that the world in `file` has, unless something else is asked for.
    ///
    /// # Errors
    /// When the file cannot be understood, or no world has so many nodes or such small ones.
    pub fn find(file: &Path, asked: Asked) -> Result<Self> {
        let text = fs::read_to_string(file).attempting(|| format!("read {}", file.display()))?;
        let declared = Self::declared(&text).attempting(|| format!("read the nodes of {}", file.display()))?;
        let nodes = Self { count: asked.nodes.unwrap_or(declared.count), cpu: asked.node_cpu.or(declared.cpu) };
        nodes.check()?;
        Ok(nodes)
    }

    fn declared(text: &str) -> std::result::Result<Self, serde_yaml::Error> {
        #[derive(Deserialize)]
        struct World {
            #[serde(default)]
            nodes: Nodes,
        }
        let first = serde_yaml::Deserializer::from_str(text).next();
        first.map_or_else(|| Ok(Self::default()), |first| World::deserialize(first).map(|world| world.nodes))
    }

    fn check(self) -> Result<()> {
        let Self { count, cpu } = self;
        if count == 0 || count > Node::MOST {
            return Err(Failure::new(
                format!("make a world of {count} nodes"),
                format!("a world has 1 to {}", Node::MOST),
            )
            .next("correct --nodes, or nodes.count in the world's file")
            .misused());
        }
        if cpu == Some(Cpu(0)) {
            return Err(Failure::new("make nodes without CPU", "no Pod could request any")
                .next("correct --node-cpu, or nodes.cpu in the world's file")
                .misused());
        }
        Ok(())
    }

    /// Checks that this machine can have such nodes.
    ///
    /// # Errors
    /// When they are larger than the machine.
    pub fn possible(self) -> Result<()> {
        self.within(machine()?.cpu)
    }

    fn within(self, machine: Cpu) -> Result<()> {
        let Some(cpu) = self.cpu.filter(|cpu| *cpu > machine) else {
            return Ok(());
        };
        Err(Failure::new(format!("make nodes with {cpu} CPU"), format!("a node of this machine has up to {machine}"))
            .next("correct --node-cpu, or nodes.cpu in the world's file, or run on a larger machine"))
    }

    /// Each node by its number.
    pub fn each(self) -> Vec<Node> {
        Node::all(self.count).collect()
    }

    /// CPU of the machine that a node does not offer.
    ///
    /// # Errors
    /// When the machine does not say how large it is.
    pub fn reserved(self) -> Result<Cpu> {
        let machine = machine()?;
        Ok(machine.without(self.size()?).cpu)
    }

    /// What one node offers to Pods. Memory is the machine's.
    ///
    /// # Errors
    /// When the machine does not say how large it is.
    pub fn size(self) -> Result<Requests> {
        let machine = machine()?;
        Ok(Requests { cpu: self.cpu.unwrap_or(machine.cpu), ..machine })
    }
}

/// The whole machine, as a kubelet counts it.
fn machine() -> Result<Requests> {
    let read = |file: &str| fs::read_to_string(file).attempting(|| format!("read {file}"));
    Ok(Requests { cpu: processors(&read("/proc/cpuinfo")?), memory: memory(&read("/proc/meminfo")?)? })
}

fn processors(cpuinfo: &str) -> Cpu {
    Cpu(1000 * cpuinfo.lines().filter(|line| line.starts_with("processor")).count() as u64)
}

fn memory(meminfo: &str) -> Result<Memory> {
    let total = proc::memory(meminfo, "MemTotal");
    let seen = "/proc/meminfo has no MemTotal";
    total.map(Memory).ok_or_else(|| Failure::new("measure this machine's memory", seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "locals: {a: b}\nnodes: {count: 2, cpu: 1m}\n---\nother: {}\n").unwrap();
        let find = |asked| Nodes::find(file.path(), asked).unwrap();
        assert_eq!(find(Asked::default()), Nodes { count: 2, cpu: Some(Cpu(1)) });
        let asked = Asked { node_cpu: Some(Cpu(2)), nodes: Some(3) };
        assert_eq!(find(asked), Nodes { count: 3, cpu: Some(Cpu(2)) });
    }

    #[test]
    fn another_process_is_asked_for_the_same() {
        let asked = Asked { node_cpu: Some(Cpu(940)), nodes: Some(2) };
        assert_eq!(asked.again(), ["--node-cpu=940m", "--nodes=2"]);
        assert!(Asked::default().again().is_empty());
    }

    #[test]
    fn a_file_may_say_little_but_nothing_else() {
        assert_eq!(Nodes::declared("locals: {a: b}\n").unwrap(), Nodes::default());
        assert_eq!(Nodes::declared("nodes: {cpu: 2}\n").unwrap(), Nodes { count: 1, cpu: Some(Cpu(2000)) });
        assert!(Nodes::declared("nodes: {cpus: 2}\n").unwrap_err().to_string().contains("cpus"));
        assert!(Nodes::declared("nodes: {cpu: two}\n").unwrap_err().to_string().contains("two"));
    }

    #[test]
    fn nodes_that_the_machine_cannot_have_are_refused() {
        let nodes = |count, cpu: Option<u64>| Nodes { count, cpu: cpu.map(Cpu) };
        for (count, cpu) in [(8, Some(2000)), (1, None)] {
            nodes(count, cpu).check().and_then(|()| nodes(count, cpu).within(Cpu(2000))).unwrap();
        }
        for (count, cpu) in [(0, None), (9, None), (1, Some(0))] {
            assert!(nodes(count, cpu).check().unwrap_err().to_string().contains("next: correct"), "{count} {cpu:?}");
        }
        let failure = nodes(1, Some(2500)).within(Cpu(2000)).unwrap_err().to_string();
        assert!(failure.contains("2500m") && failure.contains("up to 2\n"), "{failure}");
    }

    #[test]
    fn the_machine_is_read_as_the_kernel_writes_it() {
        assert_eq!(processors("processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\n"), Cpu(2000));
        assert_eq!(memory("MemTotal:       24640 kB\nMemFree: 1 kB\n").unwrap(), Memory(24640 << 10));
        assert!(memory("").is_err());
    }
}
