//! A cluster in Docker, made by the kind CLI: systemd, kubeadm, kubelet and containerd in a container, and the gateway in a
//! second one that shares its network. Addresses, files of the world's folder, tokens and audit log are those of an
//! embedded cluster, so that nobody else has to know the difference.
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
pub use docker::{groups, remove, remove_orphans};
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
    logs: PathBuf,
}

impl Cluster {
    /// Starts the node, then everything that needs it; returns when the API server and the gateway serve.
    ///
    /// # Errors
    /// What could not be started.
    pub async fn start(inputs: &Inputs<'_>, tools: &Tools) -> Result<Self> {
        if inputs.nodes.len() > 1 {
            return Err(Failure::new(
                format!("make a cluster of {} nodes by kind", inputs.nodes.len()),
                "this backend makes clusters of one node",
            )
            .next("leave --nodes away, or use --backend embedded"));
        }
        let settings = Settings(inputs);
        let cluster = Self { name: docker::cluster(inputs.world), logs: settings.path("logs") };
        docker::claim(inputs.folder, &cluster.name)?;
        settings.any_cluster()?;
        pki::core(&settings.path("pki"), inputs.network)?;
        nodes::write(&settings, &cluster.name, tools)?;
        docker::network(&cluster.name, inputs).await?;
        if let Err(failure) = nodes::create(&settings, &cluster.name, tools).await {
            return Err(Failure::new("create the cluster", format!("{failure}\n{}", cluster.last_words().await)));
        }
        nodes::route(&cluster.node(), inputs).await?;
        settle(&settings).await?;
        // Only now the node becomes Ready: no CoreDNS has started with other settings than these.
        settings.pod_network()?;
        gateway::run(inputs, &cluster, tools).await?;
        docker::remember_groups(inputs.folder, &[cluster.node(), cluster.gateway()]).await?;
        Ok(cluster)
    }

    /// Name of the node's container.
    fn node(&self) -> String {
        format!("{}-control-plane", self.name)
    }

    /// Name of the gateway's container.
    fn gateway(&self) -> String {
        format!("{}-gateway", self.name)
    }

    /// A future that ends only when a container ends, with its last words.
    pub fn broken(&self) -> impl Future<Output = Failure> + use<> {
        let node = (self.node(), self.logs.join("kubelet.log"));
        let gateway = (self.gateway(), self.logs.join("gateway.log"));
        async move {
            tokio::select! {
                failure = ended(&node.0, &node.1) => failure,
                failure = ended(&gateway.0, &gateway.1) => failure,
            }
        }
    }

    /// The end of what the node said, for a cluster that did not come up.
    async fn last_words(&self) -> String {
        let console = docker(["logs", "--tail", "15", &self.node()]).text().await.unwrap_or_else(|e| e.to_string());
        format!("the node's last words:\n{console}\n{}", tail(&self.logs.join("kubelet.log")))
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

/// Makes of kubeadm's cluster what an embedded one is: CoreDNS knows the names of this world and takes no room on the node, and
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

/// The only node of a cluster.
const NODE: Node = Node::FIRST;
