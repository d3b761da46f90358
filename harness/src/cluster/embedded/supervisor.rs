//! The harness's side of a world's PID 1: starts it, gives it its network, and hears when a process dies.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{Mutex, watch},
    time::timeout,
};

use super::plan::{Event, Order, Plan, Process, Ready};
use crate::failure::{Attempt, Failure, Result};

/// Time for a process to give way to another. The API server waits up to a minute for requests that are under way.
const REPLACED: Duration = Duration::from_secs(120);

/// What has been heard from PID 1.
#[derive(Clone, Debug, Default)]
struct Heard {
    isolated: bool,
    /// Processes that were started, each as often as it was.
    started: Vec<String>,
    /// Processes that said that they are ready, each as often as it did.
    ready: Vec<String>,
    broken: Option<String>,
}

/// A running world. Dropping it ends the world, unless it was told to keep.
#[derive(Debug)]
pub struct Supervisor {
    child: Child,
    orders: Mutex<ChildStdin>,
    heard: watch::Receiver<Heard>,
    /// What it was started with.
    processes: Vec<Process>,
}

impl Supervisor {
    /// Starts PID 1 with the plan, which is written to `file`, and connects its network.
    ///
    /// # Errors
    /// When namespaces are refused, the cable cannot be made, or PID 1 fails on the way.
    pub async fn start(plan: &Plan, file: &Path) -> Result<Self> {
        let json = serde_json::to_vec_pretty(plan).attempting(|| "write the plan of the world".into())?;
        std::fs::write(file, json).attempting(|| format!("write {}", file.display()))?;
        let log = std::fs::File::create(plan.logs.join("init.log"))
            .attempting(|| format!("make a log in {}", plan.logs.display()))?;
        let program = std::env::current_exe().attempting(|| "find the harness's own program".into())?;
        let mut child = Command::new(program)
            .args(["namespaces".as_ref(), file])
            // Ctrl-C is for the harness, which ends its worlds in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .attempting(|| "start the world's first process".into())?;
        let (Some(orders), Some(output), Some(id)) = (child.stdin.take(), child.stdout.take(), child.id()) else {
            return Err(Failure::new("start the world's first process", "it has no pipes"));
        };
        let (tell, heard) = watch::channel(Heard::default());
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(event) = serde_json::from_str::<Event>(&line) {
                    tracing::debug!(?event, "world");
                    tell.send_modify(|heard| heard.note(event));
                }
            }
            tell.send_modify(|heard| {
                heard.broken.get_or_insert_with(|| "its first process ended".into());
            });
        });
        let world = Self { child, orders: orders.into(), heard, processes: plan.processes.clone() };
        if let Err(failure) = world.wait("enter its namespaces", |heard| heard.isolated).await {
            let log = std::fs::read_to_string(plan.logs.join("init.log")).unwrap_or_default();
            return Err(Failure::new("isolate the world", format!("{failure}\n{}", log.trim())));
        }
        cable(plan, id).await?;
        world.order(Order::Connected).await?;
        Ok(world)
    }

    /// Waits until a process of the plan says that it is ready.
    ///
    /// # Errors
    /// When any process of the world dies before.
    pub async fn ready(&self, name: &str) -> Result<()> {
        let attempted = format!("start {name}");
        self.wait(&attempted, |heard| heard.ready.iter().any(|n| n == name)).await
    }

    /// Replaces every process whose program is in the folder `old` by the program of the same name in `new`, one after the other
    /// in the order of the plan: the next one gives way when its successor is up, and what has to be `settled` by then.
    ///
    /// # Errors
    /// When a process does not give way, a successor dies, or something does not settle.
    pub async fn replace(&self, old: &Path, new: &Path, settled: impl AsyncFn() -> Result<()>) -> Result<()> {
        for process in &self.processes {
            let Ok(program) = process.program.strip_prefix(old) else { continue };
            self.succeed(Process { program: new.join(program), ..process.clone() }).await?;
            settled().await?;
        }
        Ok(())
    }

    /// Puts a process in the place of the one of its name; returns when it runs, or is ready if it says so.
    async fn succeed(&self, process: Process) -> Result<()> {
        let attempted = format!("replace {} by {}", process.name, process.program.display());
        let (name, ready) = (process.name.clone(), process.ready);
        let before = self.heard.borrow().up(&name, ready);
        self.order(Order::Replace(process)).await?;
        let up = self.wait(&attempted, |heard| heard.up(&name, ready) > before);
        timeout(REPLACED, up).await.unwrap_or_else(|_| {
            let seen = format!("it does not run after {} s", REPLACED.as_secs());
            Err(Failure::new(&attempted, seen).next(format!("logs/{name}.log in the world's folder has both")))
        })
    }

    /// A future that ends only when the world breaks, with the reason. Race it against every wait.
    pub fn broken(&self) -> impl Future<Output = Failure> + use<> {
        let mut heard = self.heard.clone();
        async move {
            let reason = match heard.wait_for(|h| h.broken.is_some()).await {
                Ok(heard) => heard.broken.clone().unwrap_or_default(),
                Err(_) => "nobody supervises it any more".into(),
            };
            Failure::new("keep the world running", reason)
        }
    }

    /// Lets the world outlive the harness.
    ///
    /// # Errors
    /// When PID 1 is gone.
    pub async fn keep(self) -> Result<()> {
        self.order(Order::Keep).await
    }

    /// Ends the world and waits until it has ended.
    ///
    /// # Errors
    /// When its first process cannot be waited for.
    pub async fn stop(self) -> Result<()> {
        let Self { mut child, orders, .. } = self;
        drop(orders);
        child.wait().await.attempting(|| "end the world".into())?;
        Ok(())
    }

    async fn order(&self, order: Order) -> Result<()> {
        let mut line = serde_json::to_vec(&order).attempting(|| "write an order".into())?;
        line.push(b'\n');
        let mut orders = self.orders.lock().await;
        orders.write_all(&line).await.attempting(|| format!("tell the world {order:?}"))?;
        orders.flush().await.attempting(|| format!("tell the world {order:?}"))
    }

    async fn wait(&self, attempted: &str, done: impl Fn(&Heard) -> bool) -> Result<()> {
        match self.heard.clone().wait_for(|heard| done(heard) || heard.broken.is_some()).await {
            Ok(heard) => match &heard.broken {
                Some(reason) => Err(Failure::new(attempted, reason)),
                None => Ok(()),
            },
            Err(_) => Err(Failure::new(attempted, "the world's first process is gone")),
        }
    }
}

impl Heard {
    /// How often the process of that name has come up.
    fn up(&self, name: &str, ready: Ready) -> usize {
        let seen = match ready {
            Ready::Notify => &self.ready,
            Ready::Silent => &self.started,
        };
        seen.iter().filter(|seen| *seen == name).count()
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Isolated => self.isolated = true,
            Event::Started { name } => self.started.push(name),
            Event::Ready { name } => self.ready.push(name),
            Event::Failed { reason } => self.broken = Some(reason),
            Event::Died { name, status, tail } => {
                self.broken.get_or_insert_with(|| {
                    format!("{name} died ({status}); its last lines:\n    {}", tail.join("\n    "))
                });
            }
        }
    }
}

/// Makes the cable between the machine and the world: it vanishes with the world's network namespace.
async fn cable(plan: &Plan, process: u32) -> Result<()> {
    let (name, machine) = (plan.network.interface(), plan.network.machine());
    for arguments in [
        format!("link add {name} type veth peer name eth0 netns {process}"),
        format!("addr add {machine}/24 dev {name}"),
        format!("link set {name} up"),
    ] {
        let output = Command::new("ip")
            .args(arguments.split(' '))
            .output()
            .await
            .attempting(|| format!("run `ip {arguments}`"))?;
        if !output.status.success() {
            let seen = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Failure::new(format!("connect the world (`ip {arguments}`)"), seen)
                .next("`trinity-e2e sweep` removes what an earlier run left; iproute2 and veth must be available"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_up_when_it_says_so_itself() {
        let mut heard = Heard::default();
        let name = || "one".to_owned();
        let up = |heard: &Heard| (heard.up("one", Ready::Silent), heard.up("one", Ready::Notify));
        heard.note(Event::Started { name: name() });
        heard.note(Event::Ready { name: name() });
        heard.note(Event::Started { name: "other".into() });
        assert_eq!(up(&heard), (1, 1));
        heard.note(Event::Started { name: name() });
        assert_eq!(up(&heard), (2, 1));
        heard.note(Event::Ready { name: name() });
        assert_eq!(up(&heard), (2, 2));
    }
}
