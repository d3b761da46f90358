//! `observe` by itself: waiting for claims about objects of any cluster, without sleeps. It waits until a Deployment is rolled out
//! with as many replicas as are wanted, and says what it waits for.
//!
//! `cargo run --release --example observe -- NAMESPACE NAME REPLICAS`, with `KUBECONFIG` for the cluster.

use std::{error::Error, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use trinity_e2e::observe::{Expectation, condition, until};

/// A claim of your own, as a pure function of what is observed: so many replicas are wanted. A Deployment that is being deleted
/// will not come to it, and ends the wait at once.
fn wants(replicas: i32) -> impl Fn(Option<&Deployment>) -> Expectation {
    move |deployment| {
        let Some(deployment) = deployment else { return Expectation::pending("it does not exist") };
        if deployment.metadata.deletion_timestamp.is_some() {
            return Expectation::refuted("it is being deleted");
        }
        match deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1) {
            wanted if wanted == replicas => Expectation::Held,
            wanted => Expectation::pending(format!("it wants {wanted} replicas, and not {replicas}")),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [namespace, name, replicas] = arguments.as_slice() else {
        return Err("name a namespace, a Deployment in it, and a number of replicas".into());
    };
    // Chosen once for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api: Api<Deployment> = Api::namespaced(Client::try_default().await?, namespace);
    let (wants, what) = (wants(replicas.parse()?), format!("Deployment {namespace}/{name} runs {replicas} times"));
    let both = |deployment: Option<&Deployment>| wants(deployment).and(condition::available(deployment));
    // Ends when it holds, at once when it cannot hold any more, or at the deadline with the last reason.
    until(api, name, &what, Duration::from_secs(60), both).await?;
    println!("{what}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_held_pending_or_refuted() {
        let deployment = |fields| -> Deployment { serde_json::from_value(fields).unwrap() };
        let two = deployment(json!({"metadata": {}, "spec": {"replicas": 2, "selector": {}, "template": {}}}));
        assert_eq!(wants(2)(Some(&two)), Expectation::Held);
        assert_eq!(wants(3)(Some(&two)), Expectation::pending("it wants 2 replicas, and not 3"));
        assert_eq!(wants(2)(None), Expectation::pending("it does not exist"));
        let gone = deployment(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        assert_eq!(wants(2)(Some(&gone)), Expectation::refuted("it is being deleted"));
    }
}
