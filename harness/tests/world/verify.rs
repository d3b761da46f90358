//! Looking at a cluster that somebody else runs: a kept world is one.

use std::fs;

use crate::{kept::Cluster, machine::Machine};

/// What reads, as the API server knows it.
const READER: &str = "system:serviceaccount:argocd:trinity-e2e-verify";

/// With no more than the documented rights, everything is judged that a reader can judge; and nothing is written.
pub fn reads_and_writes_nothing(machine: &Machine, name: &str, cluster: &Cluster) {
    let rights = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/verify.yaml");
    cluster.kubectl(&["apply", "-f", rights]);
    let token = cluster.kubectl(&["create", "token", "-n", "argocd", "trinity-e2e-verify"]);
    let context = cluster.kubectl(&["config", "current-context"]);
    let kubeconfig = machine.folder().join("reader.conf");
    fs::copy(cluster.kubeconfig(), &kubeconfig).unwrap();
    let reader = Cluster::with(cluster, kubeconfig.clone());
    reader.kubectl(&["config", "set-credentials", "reader", "--token", token.trim()]);
    reader.kubectl(&["config", "set-context", context.trim(), "--user", "reader"]);
    assert_eq!(reader.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]), READER);

    let cloud = name.split('-').next().unwrap();
    let cluster_of = format!("{cloud}={}", kubeconfig.display());
    let reports = machine.reports().join("verify");
    let reports = reports.to_str().unwrap();
    let told = machine.run(&["verify", "--kubeconfig", &cluster_of, "--watch", "5", "--report", reports]);
    for claim in [
        "operator: 2 claims",
        "secrets every store is ready",
        "secrets every ExternalSecret is ready",
        "waves every application was made after the waves before its own",
        "metrics Prometheus' remote write keeps up and loses nothing",
        "rest no application moves in 5 s",
    ] {
        told.assert_says(&format!("  passed  {cloud} {claim}"));
    }
    // Where nobody has Grafana's image, an application that waits for it is not Healthy, and a reader cannot excuse it.
    let failed: Vec<&str> = told.stdout.lines().filter(|line| line.contains("FAILED")).collect();
    assert!(failed.iter().all(|line| line.contains("platform all applications are Synced and Healthy")), "{failed:?}");
    // To see a Secret is a further right.
    told.assert_says("every ExternalSecret's Secret is there: secrets ");

    // The audit log has all writes and no reads.
    let audit = fs::read_to_string(cluster.file("audit.jsonl")).unwrap();
    let wrote: Vec<&str> =
        audit.lines().filter(|line| line.contains(READER) && !line.contains("selfsubjectreviews")).collect();
    assert!(wrote.is_empty(), "it wrote:\n{}", wrote.join("\n"));
    assert!(audit.contains("serviceaccounts/trinity-e2e-verify/token"), "the audit log does not record writes");
    fs::remove_file(kubeconfig).unwrap();
}
