//! The claims about a cluster of which there is a client and nothing else. Each names what it has seen; what the client may
//! not read is not run.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt, api::ListParams, core::DynamicObject};
use serde_json::Value;
use tokio::time::timeout;

use super::history;
use crate::{
    failure::{Attempt, Result},
    gitops::argocd,
    judge::{
        cause::{application, message},
        metrics,
        quiescence::Baseline,
        verdict::{Outcome, Verdict},
        waves,
    },
    observe::{
        Expectation,
        condition::{self, is_ready},
        key,
        kinds::Kind,
        promql,
    },
    world::Cloud,
};

/// Ends of the names of the operator's API groups.
const GROUP: &str = "external-secrets.io";
/// How far Prometheus' sender may be behind what is scraped (seconds).
const BEHIND: f64 = 120.0;
/// Time in which nothing that was sent may have failed.
const RECENT: &str = "10m";

/// What was seen of a claim: how much, and what speaks against it.
struct Seen {
    much: String,
    against: Vec<String>,
}

/// Judges everything.
pub(super) async fn all(client: &Client, cloud: Cloud, watch: Duration) -> Vec<Verdict> {
    let applications = Kind::Application.within(client, argocd::NAMESPACE).list(&ListParams::default()).await;
    let applications = applications.map(|list| list.items).map_err(said);
    let listed = || applications.as_deref().map_err(Clone::clone);
    let (operator, definitions, stores, secrets, there, metrics) = tokio::join!(
        operator(client),
        definitions(client),
        ready(client, cloud, &[Kind::ClusterSecretStore, Kind::SecretStore]),
        ready(client, cloud, &[Kind::ExternalSecret]),
        secrets(client),
        remote_write(client, cloud),
    );
    vec![
        verdict("platform", "all applications are Synced and Healthy", of_applications(listed())),
        verdict("operator", "the operator and its webhook are available", operator),
        verdict("operator", "its definitions are established", definitions),
        verdict("secrets", "every store is ready", stores),
        verdict("secrets", "every ExternalSecret is ready", secrets),
        verdict("secrets", "every ExternalSecret's Secret is there", there),
        verdict(waves::GROUP, "every application was made after the waves before its own", of_waves(listed())),
        verdict("metrics", "Prometheus' remote write keeps up and loses nothing", metrics),
        verdict("rest", format!("no application moves in {} s", watch.as_secs()), at_rest(client, watch).await),
    ]
}

fn verdict(group: &str, claim: impl Into<String>, seen: Result<Seen, String>) -> Verdict {
    match seen {
        Ok(Seen { much, against }) if against.is_empty() => Verdict::new(group, claim, Outcome::Passed).noting(much),
        Ok(Seen { much, against }) => Verdict::new(group, claim, Outcome::Failed(against.join("\n"))).noting(much),
        Err(why) => Verdict::new(group, claim, Outcome::NotRun(why)),
    }
}

fn of_applications(applications: Result<&[DynamicObject], String>) -> Result<Seen, String> {
    let applications = some(applications?, "Argo CD has no application here")?;
    let against = applications.iter().filter_map(|a| match condition::synced_and_healthy(Some(a)) {
        Expectation::Held => None,
        Expectation::Pending(why) | Expectation::Refuted(why) => {
            let named = application::of(a, Timestamp::UNIX_EPOCH).into_iter().next();
            Some(named.map_or_else(|| format!("application {}: {why}", key(a)), |cause| cause.to_string()))
        }
    });
    Ok(Seen { much: format!("{} applications", applications.len()), against: against.collect() })
}

fn of_waves(applications: Result<&[DynamicObject], String>) -> Result<Seen, String> {
    let order = history::of(some(applications?, "Argo CD has no application here")?);
    if order.pairs == 0 {
        return Err(format!("no application's history goes back to its beginning ({} in waves)", order.applications));
    }
    Ok(Seen { much: format!("{} pairs of {} applications", order.pairs, order.applications), against: order.wrong })
}

async fn operator(client: &Client) -> Result<Seen, String> {
    let api: Api<Deployment> = Api::all(client.clone());
    let parts = ListParams::default().labels("app.kubernetes.io/name in (external-secrets,external-secrets-webhook)");
    let parts = api.list(&parts).await.map_err(said)?.items;
    let against = parts.iter().filter_map(|part| match condition::available(Some(part)) {
        Expectation::Held => None,
        Expectation::Pending(why) | Expectation::Refuted(why) => Some(format!("Deployment {}: {why}", key(part))),
    });
    let mut against: Vec<String> = against.collect();
    if parts.is_empty() {
        against.push("no Deployment has the label app.kubernetes.io/name of the operator's chart".into());
    }
    Ok(Seen { much: format!("{} Deployments", parts.len()), against })
}

async fn definitions(client: &Client) -> Result<Seen, String> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let all = api.list(&ListParams::default()).await.map_err(said)?.items;
    let own: Vec<_> = all.iter().filter(|crd| crd.spec.group.ends_with(GROUP)).collect();
    let against = own.iter().filter_map(|crd| match condition::established(Some(crd)) {
        Expectation::Held => None,
        Expectation::Pending(why) | Expectation::Refuted(why) => Some(format!("{}: {why}", crd.name_any())),
    });
    let mut against: Vec<String> = against.collect();
    if own.is_empty() {
        against.push(format!("there is none of {GROUP}"));
    }
    Ok(Seen { much: format!("{} definitions", own.len()), against })
}

/// Whether all objects of kinds are ready, by their own conditions.
async fn ready(client: &Client, cloud: Cloud, kinds: &[Kind]) -> Result<Seen, String> {
    let (mut count, mut against) = (0, Vec::new());
    for kind in kinds {
        for object in kind.all(client).list(&ListParams::default()).await.map_err(said)?.items {
            count += 1;
            if !is_ready(&object.data) {
                against.push(why(cloud, &format!("{} {}", kind.resource().kind, key(&object)), &object.data));
            }
        }
    }
    match count {
        0 => Err("there is none".into()),
        _ => Ok(Seen { much: format!("{count} objects"), against }),
    }
}

/// What an object that is not ready says of itself, and the cause that it names.
fn why(cloud: Cloud, object: &str, data: &Value) -> String {
    let conditions = data["status"]["conditions"].as_array();
    let said = conditions.into_iter().flatten().find(|c| c["type"] == "Ready");
    let said = said.and_then(|c| c["message"].as_str()).unwrap_or("it has no condition Ready");
    // The operator's condition says less than its event; the gateway's journal, which says more, is not there.
    message::classify(cloud, object, said, &[]).map_or_else(|| format!("{object}: {said}"), |cause| cause.to_string())
}

/// Whether the Secrets are there, by their metadata: no value leaves the API server.
async fn secrets(client: &Client) -> Result<Seen, String> {
    let all = Kind::ExternalSecret.all(client).list(&ListParams::default()).await.map_err(said)?.items;
    let (mut count, mut against) = (0, Vec::new());
    for external in all {
        let (namespace, own) = (external.namespace().unwrap_or_default(), external.name_any());
        let name = external.data["spec"]["target"]["name"].as_str().unwrap_or(&own).to_owned();
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        match api.get_metadata_opt(&name).await {
            Ok(Some(_)) => count += 1,
            Ok(None) => against.push(format!("Secret {namespace}/{name} of ExternalSecret {own} does not exist")),
            Err(e) => return Err(format!("{}; the operator's own word is in the claim before this one", said(e))),
        }
    }
    match (count, against.is_empty()) {
        (0, true) => Err("there is none".into()),
        _ => Ok(Seen { much: format!("{count} Secrets"), against }),
    }
}

/// What Prometheus tells of its own sender, and the labels with which it sends.
async fn remote_write(client: &Client, cloud: Cloud) -> Result<Seen, String> {
    let ask = async |query: &str| {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        let answer = metrics::ask(client, &format!("api/v1/query?{query}")).await?;
        promql::vector(&answer)
    };
    let told = async {
        let sent = ask("sum(prometheus_remote_storage_samples_total)").await?;
        let failed = format!(
            "sum(increase(prometheus_remote_storage_samples_failed_total[{RECENT}])) + \
             sum(increase(prometheus_remote_storage_samples_dropped_total[{RECENT}]))"
        );
        let failed = ask(&failed).await?;
        let behind = ask("max(prometheus_remote_storage_highest_timestamp_in_seconds) - \
             min(prometheus_remote_storage_queue_highest_sent_timestamp_seconds)")
        .await?;
        let config = metrics::ask(client, "api/v1/status/config").await?;
        let config: Value = serde_json::from_str(&config).attempting(|| "read Prometheus' configuration".into())?;
        let text = config["data"]["yaml"].as_str().unwrap_or_default().to_owned();
        let config: Value = serde_yaml::from_str(&text).attempting(|| "read Prometheus' configuration".into())?;
        Ok::<_, crate::failure::Failure>((sent, failed, behind, config["global"]["external_labels"].clone()))
    };
    let (sent, failed, behind, labels) = told.await.map_err(|failure| failure.to_string())?;
    let value = |samples: &[promql::Sample]| samples.first().map(|sample| sample.value);
    let sent = value(&sent).filter(|sent| *sent > 0.0);
    let Some(sent) = sent else { return Err("Prometheus has sent nothing by remote write".into()) };
    let mut against = Vec::new();
    if let Some(failed) = value(&failed).filter(|failed| *failed > 0.0) {
        against.push(format!("{failed:.0} samples have failed or were dropped in {RECENT}"));
    }
    match value(&behind) {
        Some(behind) if behind > BEHIND => against.push(format!("it is {behind:.0} s behind what is scraped")),
        Some(_) => {}
        None => against.push("it does not tell how far it is behind".into()),
    }
    for (name, wanted) in [("cloud", cloud.name()), ("platform", "trinity")] {
        if labels[name] != wanted {
            against.push(format!("its external label {name} is {}, not {wanted:?}", labels[name]));
        }
    }
    if labels["cluster"].is_null() {
        against.push("it has no external label cluster".into());
    }
    Ok(Seen { much: format!("{sent:.0} samples sent"), against })
}

/// Whether the applications stay as they are. Nobody is asked to compare anything: that would be a write.
async fn at_rest(client: &Client, watch: Duration) -> Result<Seen, String> {
    let baseline = Baseline::of_applications(client).await.map_err(|failure| failure.to_string())?;
    if baseline.applications.is_empty() {
        return Err("Argo CD has no application here".into());
    }
    let against = match timeout(watch, baseline.disturbed(client)).await {
        // The time is over, and nothing has moved.
        Err(_) => Vec::new(),
        Ok(Ok(moved)) => vec![moved.to_string()],
        Ok(Err(failure)) => return Err(failure.to_string()),
    };
    Ok(Seen { much: format!("{} applications", baseline.applications.len()), against })
}

/// What the API server says against a request.
fn said(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => other.to_string(),
    }
}

fn some<'a, T>(all: &'a [T], otherwise: &str) -> Result<&'a [T], String> {
    if all.is_empty() { Err(otherwise.into()) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(seen: Result<Seen, String>) -> Outcome {
        verdict("group", "claim", seen).outcome
    }

    fn application(sync: &str, message: &str) -> DynamicObject {
        let status = json!({"sync": {"status": sync}, "health": {"status": "Healthy"},
            "operationState": {"phase": "Failed", "message": message, "finishedAt": "1"}, "reconciledAt": "2"});
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "argocd"}, "status": status})).unwrap()
    }

    #[test]
    fn applications_that_are_not_well_name_their_cause() {
        assert_eq!(outcome(of_applications(Ok(&[application("Synced", "")]))), Outcome::Passed);
        let Outcome::Failed(told) = outcome(of_applications(Ok(&[application("OutOfSync", "failed calling webhook")])))
        else {
            panic!("it passes")
        };
        assert!(told.starts_with("webhook-not-ready: "), "{told}");
        assert!(matches!(outcome(of_applications(Ok(&[]))), Outcome::NotRun(_)));
        assert_eq!(outcome(of_applications(Err("forbidden".into()))), Outcome::NotRun("forbidden".into()));
    }

    #[test]
    fn what_is_not_ready_is_told_as_the_cloud_knows_it() {
        let data = |message: &str| json!({"status": {"conditions": [{"type": "Ready", "status": "False", "message": message}]}});
        let told = why(Cloud::Gcp, "ClusterSecretStore s", &data("unable to fetch identitybindingtoken: 400"));
        assert!(told.starts_with("identity-refused: "), "{told}");
        assert_eq!(why(Cloud::Gcp, "ClusterSecretStore s", &data("odd")), "ClusterSecretStore s: odd");
        assert_eq!(why(Cloud::Gcp, "S s", &json!({})), "S s: it has no condition Ready");
    }
}
