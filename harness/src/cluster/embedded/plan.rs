//! What PID 1 of a world has to do: the hand-over from the harness to [`super::init`], as a JSON file.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::network::Network;

/// Everything [`super::init`] needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The world's name, also of its control groups.
    pub world: String,
    /// Folder for logs (`logs/<process>.log`).
    pub logs: PathBuf,
    /// Host name inside the world: the first node's name.
    pub hostname: String,
    /// Addresses.
    pub network: Network,
    /// The nodes' addresses on the cable.
    pub nodes: Vec<Ipv4Addr>,
    /// Further addresses that the world itself answers, reachable from its Pods.
    pub addresses: Vec<IpAddr>,
    /// Folders of the machine that get an empty memory file system, private to the world.
    pub scratch: Vec<PathBuf>,
    /// Short paths, private to the world, and the folders that they show. They are mounted after the scratch folders.
    pub aliases: Vec<(PathBuf, PathBuf)>,
    /// File that holds the machine's network namespace, in the world's mounts only.
    pub outside: PathBuf,
    /// Kernel settings of the world's network namespace: path below /proc/sys, value.
    pub sysctls: Vec<(String, String)>,
    /// The processes; each starts as soon as all it comes `after` are ready.
    pub processes: Vec<Process>,
}

/// One supervised process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Name in reports and of the log file.
    pub name: String,
    /// Program.
    pub program: PathBuf,
    /// Arguments; never a secret.
    pub args: Vec<String>,
    /// Environment in addition to the harness's own, in which TMPDIR is the /run of the world.
    pub env: Vec<(String, String)>,
    /// Processes that must be ready before.
    pub after: Vec<String>,
    /// How it says that it is ready.
    pub ready: Ready,
}

/// How a process says that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ready {
    /// `READY=1` on `$NOTIFY_SOCKET`, the systemd protocol sd_notify(3).
    Notify,
    /// It does not say; nobody may wait for it.
    Silent,
}

impl Process {
    /// A process that nobody waits for.
    pub fn new(name: &str, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            after: Vec::new(),
            ready: Ready::Silent,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Waits for another process.
    #[must_use]
    pub fn after(mut self, name: &str) -> Self {
        self.after.push(name.into());
        self
    }

    /// Says that it is ready by sd_notify(3).
    #[must_use]
    pub const fn notifies(mut self) -> Self {
        self.ready = Ready::Notify;
        self
    }
}

/// What PID 1 reports on its standard output, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The namespaces exist; PID 1 waits for its network cable.
    Isolated,
    /// A process was started.
    Started {
        /// Name in the plan.
        name: String,
    },
    /// A process said that it is ready.
    Ready {
        /// Name in the plan.
        name: String,
    },
    /// A process ended, which none should.
    Died {
        /// Name in the plan.
        name: String,
        /// Exit code or signal.
        status: String,
        /// Last lines of its log.
        tail: Vec<String>,
    },
    /// PID 1 cannot go on.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// What the harness tells PID 1 on its standard input, one JSON value a line. End of input without `Keep` ends the world.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The network cable is in place.
    Connected,
    /// Outlive the harness.
    Keep,
    /// End the process of that name, which is no death then, and start this one in its place.
    Replace(Process),
}
