//! A cluster in Docker, made by the kind CLI: systemd, kubeadm, kubelet and containerd in a container for each node, and the
//! gateway in one more that shares the first node's network. Addresses, files of the world's folder, tokens and audit log are
//! those of an embedded cluster, so that nobody else has to know the difference.
//!
//! kind's label is on everything in Docker: by it, a sweep finds what a dead harness has left.

mod docker;
pub mod doctor;
mod gateway;
pub mod image;
mod nodes;

use std::{
    fs,
    path::{Path, PathBuf},
};

use docker::docker;
pub use docker::{groups, orphans, remove, remove_orphans};
use futures::{
    FutureExt,
    future::{select_all, try_join_all},
};
pub use image::Tools;
use serde_json::json;

use super::{
    Inputs,
    embedded::{
        node::Node,
        pki,
        settings::{Settings, corefile},
    },
};
use crate::{
    command::Run,
    failure::{Failure, Result},
};

/// A running cluster. It outlives this process; removing the world removes it.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    nodes: Vec<Node>,
    logs: PathBuf,
}

impl Cluster {
    /// Starts the nodes, then everything that needs it; returns when the API server and the gateway serve.
    ///
    /// # Errors
    /// What could not be started.
    pub async fn start(inputs: &Inputs<'_>, tools: &Tools) -> Result<Self> {
        let settings = Settings(inputs);
        let name = docker::cluster(inputs.world);
        let cluster = Self { name, nodes: inputs.nodes.into(), logs: settings.path("logs") };
        docker::claim(inputs.folder, &cluster.name)?;
        settings.any_cluster()?;
        pki::core(&settings.path("pki"), inputs.network)?;
        nodes::write(&settings, &cluster.name, tools)?;
        docker::network(&cluster.name, inputs).await?;
        if let Err(failure) = nodes::create(&settings, &cluster.name, tools).await {
            return Err(Failure::new("create the cluster", format!("{failure}\n{}", cluster.last_words().await)));
        }
        try_join_all(inputs.nodes.iter().map(|node| nodes::route(&cluster.name, *node, inputs))).await?;
        settle(&settings).await?;
        // Only now the nodes become Ready: no CoreDNS has started with other settings than these.
        settings.pod_network(|node| nodes::pods(node, inputs))?;
        gateway::run(inputs, &cluster, tools).await?;
        let containers: Vec<String> = cluster.containers().into_iter().map(|(container, _)| container).collect();
        docker::remember_groups(inputs.folder, &containers).await?;
        Ok(cluster)
    }

    /// Name of a node's container.
    fn node(&self, node: Node) -> String {
        nodes::container(&self.name, node)
    }

    /// Name of the gateway's container.
    fn gateway(&self) -> String {
        format!("{}-gateway", self.name)
    }

    /// All containers, and the log of each that tells most.
    fn containers(&self) -> Vec<(String, PathBuf)> {
        let log = |process: &str| self.logs.join(format!("{process}.log"));
        let nodes = self.nodes.iter().map(|node| (self.node(*node), log(&node.process("kubelet"))));
        nodes.chain([(self.gateway(), log("gateway"))]).collect()
    }

    /// A future that ends only when a container ends, with its last words.
    pub fn broken(&self) -> impl Future<Output = Failure> + use<> {
        let containers = self.containers();
        async move { select_all(containers.iter().map(|(name, log)| ended(name, log).boxed())).await.0 }
    }

    /// The end of what the nodes said, for a cluster that did not come up.
    async fn last_words(&self) -> String {
        let mut words = String::new();
        for (container, log) in self.containers().iter().take(self.nodes.len()) {
            let console = docker(["logs", "--tail", "15", container]).text().await.unwrap_or_else(|e| e.to_string());
            words += &format!("the last words of {container}:\n{console}\n{}\n", tail(log));
        }
        words
    }
}

/// Waits until a container that runs ends.
async fn ended(container: &str, log: &Path) -> Failure {
    let seen = match docker(["wait", container]).text().await {
        Ok(status) => format!("container {container} ended ({status})\n{}", tail(log)),
        Err(failure) => failure.to_string(),
    };
    Failure::new("keep the world running", seen)
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(15)..];
    format!("the last lines of {}:\n    {}", log.display(), last.join("\n    "))
}

/// Makes of kubeadm's cluster what an embedded one is: CoreDNS knows the names of this world and takes no room on a node, and
/// there is no storage class.
async fn settle(settings: &Settings<'_>) -> Result<()> {
    let names = corefile(settings.0.network, ["  health\n  ready\n  prometheus :9153\n", ""], "");
    settings.save("coredns.json", &json!({"data": {"Corefile": names}}).to_string())?;
    let room = json!([
        {"op": "replace", "path": "/spec/replicas", "value": 1},
        {"op": "remove", "path": "/spec/template/spec/containers/0/resources"},
    ]);
    settings.save("coredns-room.json", &room.to_string())?;
    let (names, room) = (settings.text("settings/coredns.json"), settings.text("settings/coredns-room.json"));
    let patch = ["--namespace", "kube-system", "patch"];
    for arguments in [
        &[&patch[..], &["configmap", "coredns", "--type", "merge", "--patch-file", &names]].concat(),
        &[&patch[..], &["deployment", "coredns", "--type", "json", "--patch-file", &room]].concat(),
        &["delete", "storageclass", "standard"][..],
    ] {
        let kubectl = Run::new(settings.0.kubernetes.join("kubectl")).arg("--kubeconfig");
        kubectl.arg(settings.path("pki/admin.conf")).args(arguments).output().await?;
    }
    Ok(())
}
