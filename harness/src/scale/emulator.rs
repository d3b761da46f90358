//! A cloud that a process of its own plays without a world, and somebody who reads its secret again and again.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{
    cost::{Process, Used},
    sample::{self, Sample},
};
use crate::{
    alone,
    backend::{
        Backend, Place,
        plan::{Seen, Wanted},
    },
    failure::{Attempt, Failure, Result},
    world::Cloud,
};

/// Requests that are under way at once.
const AT_ONCE: usize = 8;
/// Time until it plays: it makes keys.
const BEGUN: Duration = Duration::from_secs(60);

/// A cloud that is played.
#[derive(Debug)]
pub struct Emulator {
    /// The cloud.
    pub cloud: Cloud,
    /// Its journal.
    pub journal: PathBuf,
    child: Child,
    process: Process,
    backend: Backend,
    wanted: Wanted,
}

impl Emulator {
    /// Begins to play a cloud, with all of it in this folder.
    ///
    /// # Errors
    /// When it is not played, or its seed declares no secret with a value.
    pub async fn start(cloud: Cloud, folder: &Path) -> Result<Self> {
        let attempted = || format!("play {cloud}");
        let program = std::env::current_exe().attempting(attempted)?;
        let free =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).attempting(attempted)?;
        let mut child = Command::new(program)
            .args(["emulators", "--cloud", cloud.name(), "--port", &free.port().to_string(), "--folder"])
            .arg(folder)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .attempting(attempted)?;
        let (Some(id), Some(output)) = (child.id(), child.stdout.take()) else {
            return Err(Failure::new(attempted(), "it has ended at once"));
        };
        let mut lines = BufReader::new(output).lines();
        let ready = timeout(BEGUN, async {
            while let Some(line) = lines.next_line().await? {
                if line == "ready" {
                    return Ok(true);
                }
            }
            Ok::<bool, std::io::Error>(false)
        });
        if !ready.await.attempting(attempted)?.attempting(attempted)? {
            return Err(Failure::new(attempted(), "it has ended before it was ready"));
        }
        let place = fs::read(folder.join(alone::PLACE)).attempting(attempted)?;
        let place: Place = serde_json::from_slice(&place).attempting(attempted)?;
        let seed = fs::read_to_string(folder.join("seed.yaml")).attempting(attempted)?;
        let wanted = Backend::wanted(&place.cloud, &seed)?.into_iter().find(|wanted| wanted.reference.is_some());
        let wanted = wanted.ok_or_else(|| Failure::new(attempted(), "its seed declares no secret with a value"))?;
        let (backend, journal) = (Backend::open(&place).await?, folder.join("gateway.jsonl"));
        Ok(Self { cloud, journal, child, process: Process::alone(id), backend, wanted })
    }

    /// Reads the secret so often. Returns when each answer was there (s).
    ///
    /// # Errors
    /// When the cloud refuses, or has no value.
    pub async fn ask(&self, times: usize) -> Result<Vec<f64>> {
        let begun = Instant::now();
        let one = async |_| match self.backend.look(&self.wanted).await? {
            Seen::Live(Some(_)) => Ok(begun.elapsed().as_secs_f64()),
            _ => Err(Failure::new(format!("read {} of {}", self.wanted.name, self.cloud), "it has no value")),
        };
        stream::iter(0..times).map(one).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// What was used until now: of the run, by this process alone; of a world, by the cloud alone.
    ///
    /// # Errors
    /// When the kernel does not tell, or the cloud is not played any more.
    pub fn read(&self) -> Result<Sample> {
        let ended = || Failure::new(format!("tell what {} has used", self.cloud), "it is not played any more");
        let emulators: Used = self.process.used()?.ok_or_else(ended)?;
        let own = sample::own()?;
        let journal = sample::size(&self.journal)?;
        Ok(Sample { own, run: own.processor, emulators, world: emulators.processor, journal, audit: 0 })
    }

    /// From now on, the most memory is that of what comes.
    pub fn forget_peaks(&self) {
        self.process.forget_peak();
        Process::own().forget_peak();
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop(mut self) -> Result<()> {
        self.child.kill().await.attempting(|| format!("end {}", self.cloud))
    }
}
