//! Platforms on clusters that somebody else runs: what their API servers show to one who may only read.

mod claims;
mod history;

use std::{path::PathBuf, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{
    failure::{Attempt, Failure, Result},
    judge::verdict::{Conclusion, Outcome, Verdict},
    report::{self, Phases, conclusion, junit, terminal},
    world::Cloud,
};

/// Which clusters to look at.
#[derive(Clone, Debug)]
pub struct Question {
    /// Each cluster's cloud and kubeconfig, of which the current context counts.
    pub clusters: Vec<(Cloud, PathBuf)>,
    /// How long nothing may move.
    pub watch: Duration,
    /// Folder for reports; the run makes one of its own in it.
    pub report: PathBuf,
}

/// What only a world of the harness's own can show, and why.
const UNPROVEN: [(&str, &str, &str); 5] = [
    ("canaries", "the cloud refuses who must not read", "a real cloud is not asked what it should refuse"),
    ("metrics", "Grafana Cloud has the samples", "only Prometheus' side is seen: Grafana Cloud is not asked"),
    ("outside", "the platform calls no host that nobody declared", "nobody stands between this cluster and the world"),
    ("lifecycle", "the platform deletes nothing in its backend", "the cloud's own log is not read"),
    ("leaks", "no secret value is outside of where it belongs", "no value is read"),
];

/// Reads a cluster of the command line, `<cloud>=<kubeconfig>`.
///
/// # Errors
/// When it has another form, or the cloud is none.
pub fn cluster(text: &str) -> Result<(Cloud, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("it is not of the form <cloud>=<kubeconfig>")?;
    let cloud = Cloud::ALL.into_iter().find(|cloud| cloud.name() == name);
    let cloud = cloud.ok_or_else(|| format!("{name} is none of aws, gcp and azure"))?;
    Ok((cloud, path.into()))
}

/// Judges the platforms on these clusters, without a write to any of them.
///
/// # Errors
/// When a cluster cannot be reached at all, or the report cannot be written.
pub async fn run(question: &Question) -> Result<Conclusion> {
    let mut phases = Phases::begin("verify", "connect");
    let names: Vec<&str> = question.clusters.iter().map(|(cloud, _)| cloud.name()).collect();
    let headline = format!("clusters of {}, read-only", names.join(", "));
    let run = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let report = report::folder(&question.report, &run)?;
    let clients = question.clusters.iter().map(async |(cloud, kubeconfig)| Ok((*cloud, client(kubeconfig).await?)));
    let clients: Vec<(Cloud, Client)> = join_all(clients).await.into_iter().collect::<Result<_>>()?;
    terminal::print(&headline);
    phases.next("judge");
    let judged = clients.iter().map(async |(cloud, client)| {
        let verdicts = claims::all(client, *cloud, question.watch).await;
        verdicts.into_iter().map(|verdict| verdict.of(*cloud)).collect::<Vec<_>>()
    });
    let mut verdicts: Vec<Verdict> = join_all(judged).await.concat();
    let unproven = |(group, claim, why): (&str, &str, &str)| Verdict::new(group, claim, Outcome::NotRun(why.into()));
    verdicts.extend(UNPROVEN.map(unproven));
    phases.next("report");
    junit::write(&report.join("junit.xml"), &[], &verdicts, &[])?;
    Ok(conclusion::print(&headline, &report, &verdicts, &phases.end()))
}

/// A client of a cluster that answers.
async fn client(kubeconfig: &std::path::Path) -> Result<Client> {
    let attempted = || format!("reach the cluster of {}", kubeconfig.display());
    // Chosen once for the process; a second choice would be the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Kubeconfig::read_from(kubeconfig).attempting(attempted).map_err(Failure::misused)?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.attempting(attempted)?).attempting(attempted)?;
    match client.apiserver_version().await {
        Ok(_) => Ok(client),
        Err(e) => Err(Failure::new(attempted(), e).next("`kubectl --kubeconfig … version` should work from here, too")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_with_its_cloud() {
        assert_eq!(cluster("gcp=/tmp/a=b"), Ok((Cloud::Gcp, "/tmp/a=b".into())));
        assert_eq!(cluster("gke=/tmp/a").unwrap_err(), "gke is none of aws, gcp and azure");
        assert!(cluster("/tmp/a").unwrap_err().contains("<cloud>=<kubeconfig>"));
    }
}
