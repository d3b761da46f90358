//! PID 1 of a world: prepares mounts and network, starts the planned processes in order, reaps, and reports.
//!
//! It uses threads and no async runtime: waitpid(2) for any child, which PID 1 must call, and a runtime's own
//! child handling would take each other's children.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufRead, Write},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sys::{
        signal::{Signal::SIGTERM, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{Pid, sethostname},
};

use super::plan::{Event, Order, Plan, Process, Ready};
use crate::failure::{Attempt, Failure, Result};

/// Lines of a dead process's log in its report.
const TAIL: usize = 15;

/// Runs the world described by the plan in `file`, until the harness lets go of it.
///
/// # Errors
/// When the world cannot be prepared; the same is reported to the harness as [`Event::Failed`].
pub fn run(file: &Path) -> Result<()> {
    let outcome = supervise(file);
    if let Err(failure) = &outcome {
        report(&Event::Failed { reason: failure.to_string() });
    }
    outcome
}

/// What wakes the main loop.
enum Signal {
    Order(Order),
    LetGo,
    Ready(String),
    Exited(i32, String),
}

fn supervise(file: &Path) -> Result<()> {
    let plan: Plan = serde_json::from_slice(&fs::read(file).attempting(|| format!("read {}", file.display()))?)
        .attempting(|| format!("understand {}", file.display()))?;
    isolate(&plan)?;
    let (signals, inbox) = mpsc::channel();
    listen(signals.clone());
    report(&Event::Isolated);
    if !connected(&inbox) {
        return Ok(());
    }
    connect(&plan)?;
    let mut world = World::new(plan, signals);
    world.advance()?;
    world.reap();
    let mut kept = false;
    while let Ok(signal) = inbox.recv() {
        match signal {
            Signal::Order(Order::Keep) => kept = true,
            Signal::Order(Order::Connected) => {}
            Signal::Order(Order::Replace(process)) => world.replace(process)?,
            Signal::LetGo if kept => {}
            // Leaving PID 1 makes the kernel end every process of the world.
            Signal::LetGo => return Ok(()),
            Signal::Ready(name) => {
                report(&Event::Ready { name: name.clone() });
                world.ready.insert(name);
                world.advance()?;
            }
            Signal::Exited(pid, status) => world.exited(pid, status)?,
        }
    }
    Ok(())
}

struct World {
    plan: Plan,
    signals: Sender<Signal>,
    waiting: Vec<Process>,
    ready: BTreeSet<String>,
    running: BTreeMap<i32, String>,
    /// Processes that shall run instead of those of the same names, which are ending.
    successors: BTreeMap<String, Process>,
}

impl World {
    fn new(plan: Plan, signals: Sender<Signal>) -> Self {
        let waiting = plan.processes.clone();
        let (ready, running, successors) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { plan, signals, waiting, ready, running, successors }
    }

    /// Starts every process whose predecessors are ready.
    fn advance(&mut self) -> Result<()> {
        let (due, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|p| p.after.iter().all(|name| self.ready.contains(name)));
        self.waiting = waiting;
        for process in due {
            let pid = self.start(&process)?;
            self.running.insert(pid, process.name.clone());
            report(&Event::Started { name: process.name });
        }
        Ok(())
    }

    fn start(&self, process: &Process) -> Result<i32> {
        let attempted = || format!("start {} ({})", process.name, process.program.display());
        // What a process said stays when another one takes its place.
        let log = File::options().create(true).append(true).open(self.log(&process.name)).attempting(attempted)?;
        let errors = log.try_clone().attempting(attempted)?;
        let mut command = Command::new(&process.program);
        command
            .args(&process.args)
            // What a process that is killed leaves there goes with the world, whose /run is in memory and its own.
            .env("TMPDIR", "/run")
            .envs(process.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        match process.ready {
            Ready::Notify => command.env("NOTIFY_SOCKET", self.await_notice(&process.name).attempting(attempted)?),
            Ready::Silent => command.env_remove("NOTIFY_SOCKET"),
        };
        let child = command.spawn().attempting(attempted)?;
        Ok(child.id().cast_signed())
    }

    /// A notify socket for one process, and the thread that waits for `READY=1` on it.
    fn await_notice(&self, name: &str) -> io::Result<PathBuf> {
        let path = Path::new("/run").join(format!("notify-{name}"));
        if path.exists() {
            // That of a process that was replaced.
            fs::remove_file(&path)?;
        }
        let socket = UnixDatagram::bind(&path)?;
        let (name, signals) = (name.to_owned(), self.signals.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                if text.lines().any(|line| line == "READY=1") {
                    let _ = signals.send(Signal::Ready(name));
                    return;
                }
            }
        });
        Ok(path)
    }

    /// Collects every process that ends, planned or orphaned. Starts after the first children exist, so that
    /// running out of children means that the world is over.
    fn reap(&self) {
        let signals = self.signals.clone();
        thread::spawn(move || {
            loop {
                let ended = match waitpid(None, None) {
                    Ok(WaitStatus::Exited(pid, code)) => Signal::Exited(pid.as_raw(), format!("exit code {code}")),
                    Ok(WaitStatus::Signaled(pid, signal, _)) => {
                        Signal::Exited(pid.as_raw(), format!("signal {signal}"))
                    }
                    Ok(_) | Err(Errno::EINTR) => continue,
                    Err(_) => return,
                };
                if signals.send(ended).is_err() {
                    return;
                }
            }
        });
    }

    /// Asks the process of that name to end; when it has, this one takes its place.
    fn replace(&mut self, successor: Process) -> Result<()> {
        let attempted = || format!("end {}, for another one to take its place", successor.name);
        let Some((pid, _)) = self.running.iter().find(|(_, name)| **name == successor.name) else {
            return Err(Failure::new(attempted(), "it does not run"));
        };
        kill(Pid::from_raw(*pid), SIGTERM).attempting(attempted)?;
        self.successors.insert(successor.name.clone(), successor);
        Ok(())
    }

    /// Starts what takes the place of a planned process that has ended, or reports its death; any other process was an orphan
    /// of a container.
    fn exited(&mut self, pid: i32, status: String) -> Result<()> {
        let Some(name) = self.running.remove(&pid) else { return Ok(()) };
        if let Some(successor) = self.successors.remove(&name) {
            self.ready.remove(&name);
            self.waiting.push(successor);
            return self.advance();
        }
        let text = fs::read(self.log(&name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].iter().map(|l| (*l).to_owned()).collect();
        report(&Event::Died { name, status, tail });
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.plan.logs.join(format!("{name}.log"))
    }
}

/// Orders arrive on standard input, and its end means that the harness is gone.
fn listen(signals: Sender<Signal>) {
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(io::Result::ok) {
            if let Ok(order) = serde_json::from_str(&line) {
                let _ = signals.send(Signal::Order(order));
            }
        }
        let _ = signals.send(Signal::LetGo);
    });
}

fn connected(inbox: &Receiver<Signal>) -> bool {
    loop {
        match inbox.recv() {
            Ok(Signal::Order(Order::Connected)) => return true,
            Ok(Signal::LetGo) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

/// Shares the mounts, which are private already, among the world's own containers, empties the scratch folders, and
/// mounts the aliases.
fn isolate(plan: &Plan) -> Result<()> {
    let none: Option<&str> = None;
    let attempted = || "separate the world's mounts from the machine's".to_owned();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SHARED, none).attempting(attempted)?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).attempting(|| "mount /proc".into())?;
    // On many machines it is a link to /run, which is about to be empty.
    let resolver = fs::canonicalize("/etc/resolv.conf").and_then(|path| Ok((fs::read(&path)?, path)));
    for folder in &plan.scratch {
        fs::create_dir_all(folder).attempting(|| format!("make {}", folder.display()))?;
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .attempting(|| format!("mount a private {}", folder.display()))?;
    }
    for (alias, folder) in &plan.aliases {
        let attempted = || format!("show {} as {}", folder.display(), alias.display());
        fs::create_dir_all(alias).attempting(attempted)?;
        mount(Some(folder), alias, none, MsFlags::MS_BIND, none).attempting(attempted)?;
    }
    if let Ok((text, path)) = resolver.as_ref().map(|(text, path)| (text, path.as_path()))
        && !path.exists()
    {
        let attempted = || format!("keep {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(path)).attempting(attempted)?;
        fs::write(path, text).attempting(attempted)?;
    }
    sethostname(&plan.hostname).attempting(|| format!("set the host name {}", plan.hostname))
}

/// Brings up the world's end of the cable and its kernel settings.
fn connect(plan: &Plan) -> Result<()> {
    let network = plan.network;
    let (dns, machine) = (network.dns(), network.machine());
    let nodes = plan.nodes.iter().map(|node| format!("addr add {node}/24 dev eth0"));
    let further = plan.addresses.iter().map(|address| format!("addr add {address} dev lo"));
    let commands = [
        "link set lo up".to_owned(),
        "link set eth0 up".into(),
        format!("addr add {dns}/32 dev lo"),
        // kube-proxy translates Service addresses after the kernel has chosen a route, so the node needs one for them.
        format!("route add {} via {machine}", network.services()),
        // Whatever else a Pod calls does not exist, and it learns that at once instead of by a timeout.
        "route add unreachable default".into(),
    ];
    for arguments in nodes.chain(commands).chain(further) {
        let output =
            Command::new("ip").args(arguments.split(' ')).output().attempting(|| format!("run `ip {arguments}`"))?;
        if !output.status.success() {
            let seen = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Failure::new(format!("run `ip {arguments}` in the world"), seen));
        }
    }
    for (name, value) in &plan.sysctls {
        fs::write(Path::new("/proc/sys").join(name), value).attempting(|| format!("set {name} to {value}"))?;
    }
    Ok(())
}

/// Tells the harness. When it is gone nobody listens, and that is no reason to stop a kept world.
fn report(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::embedded::network::Network;

    /// The end of the only child, as PID 1 is told of it.
    fn end(world: &World) -> (i32, String) {
        let pid = *world.running.keys().next().unwrap();
        (pid, format!("{:?}", waitpid(Pid::from_raw(pid), None).unwrap()))
    }

    #[test]
    fn a_process_whose_place_is_taken_has_not_died() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().to_owned();
        let talks = |script: &str| Process::new("talker", "sh").args(["-c", script]);
        let plan = Plan {
            world: "w".into(),
            logs: logs.clone(),
            hostname: "node".into(),
            network: Network::new(7),
            nodes: Vec::new(),
            addresses: Vec::new(),
            scratch: Vec::new(),
            aliases: Vec::new(),
            outside: PathBuf::new(),
            sysctls: Vec::new(),
            processes: vec![talks("exec sleep 600")],
        };
        let (signals, _inbox) = mpsc::channel();
        let mut world = World::new(plan, signals);
        world.advance().unwrap();
        world.ready.insert("talker".into());
        assert!(world.replace(Process::new("other", "true")).unwrap_err().to_string().contains("it does not run"));

        world.replace(talks("echo second").after("talker")).unwrap();
        let (pid, status) = end(&world);
        assert!(status.contains("SIGTERM"), "{status}");
        world.exited(pid, status).unwrap();
        assert!(world.running.is_empty() && world.waiting.len() == 1, "what was ready is not so any more");

        world.ready.insert("talker".into());
        world.advance().unwrap();
        let (pid, status) = end(&world);
        world.exited(pid, status).unwrap();
        assert!(world.running.is_empty() && world.waiting.is_empty(), "a death starts nothing");
        assert_eq!(fs::read_to_string(logs.join("talker.log")).unwrap(), "second\n");
    }
}
