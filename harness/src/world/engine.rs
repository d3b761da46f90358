//! The real Prometheus behind Grafana Cloud: one for all worlds of a run, in namespaces of its own. It keeps what the
//! worlds have written and evaluates queries about all of them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Client;

use super::{
    bringup,
    ownership::{Claim, Estate},
    sweep,
};
use crate::{
    cluster::embedded::{
        cgroups::Hierarchies,
        network::Network,
        plan::{Plan, Process},
        supervisor::Supervisor,
    },
    failure::{Attempt, Failure, Result},
    observe::{
        answered,
        promql::{self, Sample},
    },
};

/// Where it listens, in its own network.
const ADDRESS: &str = "127.0.0.1:9090";
/// Time to become ready; an empty one takes a second.
const READY: Duration = Duration::from_secs(60);
/// Time for one answer; queries here take milliseconds.
const ANSWER: Duration = Duration::from_secs(30);
/// Grafana Cloud takes samples that are up to two hours late, which a sender's second attempt may be.
const SETTINGS: &str = "storage:\n  tsdb:\n    out_of_order_time_window: 2h\n";

/// An engine that this process owns.
#[derive(Debug)]
pub struct Engine {
    claim: Claim,
    supervisor: Supervisor,
    socket: PathBuf,
}

impl Engine {
    /// Starts the program `prometheus`; returns when it is ready.
    ///
    /// # Errors
    /// When it cannot be started. What was made until then is removed; the logs are kept in `report`.
    pub async fn start(estate: &Estate, prometheus: &Path, run: &str, report: &Path) -> Result<Self> {
        let (claim, network) = estate.claim_world("metrics", run)?;
        let built = Self::build(&claim, network, prometheus).await;
        match built {
            Ok((supervisor, socket)) => Ok(Self { claim, supervisor, socket }),
            Err(failure) => Err(bringup::abandon(&claim, report, &failure)),
        }
    }

    async fn build(claim: &Claim, network: Network, prometheus: &Path) -> Result<(Supervisor, PathBuf)> {
        let path = |name: &str| claim.folder.join(name);
        let text = |name: &str| path(name).display().to_string();
        fs::create_dir_all(path("logs")).attempting(|| format!("make {}", text("logs")))?;
        bringup::write(&path("prometheus.yml"), SETTINGS, 0o600)?;
        let program = std::env::current_exe().attempting(|| "find the harness's own program".into())?;
        let plan = Plan {
            world: claim.name.clone(),
            logs: path("logs"),
            hostname: "metrics".into(),
            network,
            nodes: vec![network.node()],
            addresses: Vec::new(),
            scratch: vec!["/run".into()],
            aliases: Vec::new(),
            outside: path("outside"),
            sysctls: Vec::new(),
            processes: vec![
                Process::new("prometheus", prometheus).args([
                    format!("--config.file={}", text("prometheus.yml")),
                    format!("--storage.tsdb.path={}", text("tsdb")),
                    format!("--web.listen-address={ADDRESS}"),
                    "--web.enable-remote-write-receiver".into(),
                ]),
                Process::new("relay", program).args(["relay".into(), text("engine.sock"), ADDRESS.into()]).notifies(),
            ],
        };
        let supervisor = Supervisor::start(&plan, &path("plan.json")).await?;
        supervisor.ready("relay").await?;
        let socket = path("engine.sock");
        tokio::select! {
            ready = ready(&socket) => ready?,
            failure = supervisor.broken() => return Err(failure),
        }
        Ok((supervisor, socket))
    }

    /// The Unix socket on which it speaks HTTP.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A future that ends only when it dies, with its last words.
    pub fn broken(&self) -> impl Future<Output = Failure> + use<> {
        self.supervisor.broken()
    }

    /// Ends it and removes every trace of it.
    ///
    /// # Errors
    /// What is left.
    pub async fn stop(self) -> Result<()> {
        self.supervisor.stop().await?;
        sweep::remove(&Hierarchies::find()?, &self.claim.folder, &self.claim.name)
    }

    /// Lets it outlive this process, for kept worlds.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn keep(self) -> Result<()> {
        self.supervisor.keep().await?;
        self.claim.keep()
    }
}

/// Evaluates an instant query by the engine that listens on a socket.
///
/// # Errors
/// When it cannot be asked, or does not understand.
pub async fn query(socket: &Path, query: &str) -> Result<Vec<Sample>> {
    let attempted = || format!("ask Grafana Cloud's Prometheus {query:?}");
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
    let call = client(socket)?.post("http://engine/api/v1/query").body(form);
    let call = call.header("content-type", "application/x-www-form-urlencoded");
    let answer = call.send().await.attempting(attempted)?.text().await.attempting(attempted)?;
    promql::vector(&answer)
}

fn client(socket: &Path) -> Result<Client> {
    Client::builder()
        .unix_socket(socket)
        .timeout(ANSWER)
        .build()
        .attempting(|| format!("use the socket {}", socket.display()))
}

async fn ready(socket: &Path) -> Result<()> {
    let client = client(socket)?;
    answered("Grafana Cloud's Prometheus ready", READY, async || {
        client.get("http://engine/-/ready").send().await.and_then(|answer| answer.error_for_status()).map(|_| ())
    })
    .await
}
