//! How long after a condition has changed in a cluster `observe::until` answers, beside a loop of `kubectl get`.
//!
//! It needs a kept world: `TRINITY_WORLD` names its `world.json`. It changes a condition of an object of its own, waits
//! for it in both ways, and reads in the audit log when the API server received the change. That is before it was in
//! etcd, so the latencies are upper bounds.

// A bench that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use rsa::rand_core::{OsRng, RngCore};
use serde_json::json;
use tokio::{process::Command, sync::Notify, time::sleep};
use trinity_e2e::{
    observe::{
        Expectation,
        audit::{self, Write},
        condition, until,
    },
    world::Description,
};

/// Changes that are only watched for.
const WATCHED: usize = 300;
/// Changes that are polled for, too: each takes seconds.
const POLLED: usize = 30;
/// Pause of the loop.
const PAUSE: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(30);
const GROUP: &str = "bench.trinity-e2e.dev";
const NAME: &str = "probe";

/// The object whose condition changes, and what it takes to change and see it.
struct Probe {
    world: Description,
    api: Api<DynamicObject>,
    resource: String,
}

/// One change: the resource version that it made, and when it was seen.
struct Change {
    version: u64,
    watched: Timestamp,
    polled: Option<Timestamp>,
}

fn reason(number: usize) -> String {
    format!("Change{number}")
}

impl Probe {
    /// Changes the condition when everybody waits for it, and waits until everybody has seen it.
    async fn change(&self, number: usize, poll: bool) -> Change {
        let watching = Notify::new();
        let claim = |probe: Option<&DynamicObject>| {
            watching.notify_one();
            match probe.is_some_and(|p| p.data["status"]["conditions"][0]["reason"] == reason(number)) {
                true => Expectation::Held,
                false => Expectation::pending("not yet"),
            }
        };
        let watch = async {
            until(self.api.clone(), NAME, "the condition changes", DEADLINE, claim).await.unwrap();
            Timestamp::now()
        };
        let write = async {
            watching.notified().await;
            if poll {
                // At any moment of the loop, and not at the same one each time.
                sleep(PAUSE + Duration::from_millis(OsRng.next_u64() % 2000)).await;
            }
            let condition = json!({"type": "Ready", "status": "True", "reason": reason(number)});
            let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
            let changed = self.api.patch_status(NAME, &PatchParams::default(), &patch).await.unwrap();
            changed.metadata.resource_version.unwrap().parse().unwrap()
        };
        let poll = async { if poll { Some(self.poll(number).await) } else { None } };
        let (watched, version, polled) = tokio::join!(watch, write, poll);
        Change { version, watched, polled }
    }

    /// The loop that people write.
    async fn poll(&self, number: usize) -> Timestamp {
        loop {
            let mut kubectl = Command::new(&self.world.kubectl);
            kubectl.args(["get", &self.resource, NAME, "-o", "jsonpath={.status.conditions[0].reason}"]);
            let output = kubectl.env("KUBECONFIG", &self.world.kubeconfig).output().await.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            if String::from_utf8_lossy(&output.stdout) == reason(number) {
                return Timestamp::now();
            }
            sleep(PAUSE).await;
        }
    }
}

/// A kind without a controller: nobody else writes to it.
fn definition() -> CustomResourceDefinition {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"status": open}}});
    let version =
        json!({"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": schema});
    serde_json::from_value(json!({
        "metadata": {"name": format!("probes.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": "Cluster", "versions": [version],
            "names": {"kind": "Probe", "plural": "probes", "singular": "probe"},
        },
    }))
    .unwrap()
}

/// Median, 99th percentile and maximum (ms).
fn spread(mut latencies: Vec<f64>) -> [String; 4] {
    latencies.sort_by(f64::total_cmp);
    let at = |percent: usize| latencies[(latencies.len() * percent).div_ceil(100) - 1];
    let [half, most, all] = [50, 99, 100].map(|percent| format!("{:.1}", at(percent)));
    [latencies.len().to_string(), half, most, all]
}

#[tokio::main]
async fn main() {
    let file = std::env::var_os("TRINITY_WORLD").map(PathBuf::from);
    let Some(file) = file else {
        println!("detection: not run, TRINITY_WORLD is not set; `trinity-e2e e2e --keep` leaves a world running");
        return;
    };
    let world = Description::read(&file).unwrap();
    let client = world.client().await.unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = definitions.create(&PostParams::default(), &definition()).await.unwrap();
    let resource = definition.metadata.name.unwrap();
    until(definitions.clone(), &resource, "the kind is established", DEADLINE, condition::established).await.unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "Probe"));
    let probe = Probe { api: Api::all_with(client, &kind), world, resource: resource.clone() };
    probe.api.create(&PostParams::default(), &DynamicObject::new(NAME, &kind)).await.unwrap();

    let mut changes = Vec::new();
    for number in 0..WATCHED + POLLED {
        changes.push(probe.change(number, number >= WATCHED).await);
    }
    definitions.delete(&resource, &DeleteParams::default()).await.unwrap();

    let log = audit::read(&probe.world.audit).unwrap();
    let written: BTreeMap<u64, &Write> =
        log.iter().filter(|write| write.target.name == NAME).filter_map(|w| Some((w.version?, w))).collect();
    let since = |seen: Timestamp, begun: Timestamp| seen.duration_since(begun).as_secs_f64() * 1000.0;
    let latencies = |of: &[Change], seen: fn(&Change) -> Timestamp, from: fn(&Write) -> Timestamp| {
        spread(of.iter().map(|change| since(seen(change), from(written[&change.version]))).collect())
    };
    let (watched, both) = changes.split_at(WATCHED);
    let polled = |change: &Change| change.polled.unwrap();
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["seen by", "changes", "p50 (ms)", "p99 (ms)", "worst (ms)"]);
    for (name, [count, half, most, all]) in [
        ("until", latencies(watched, |c| c.watched, |w| w.begun)),
        ("until, since the answer to the writer", latencies(watched, |c| c.watched, |w| w.done)),
        ("until, while kubectl polls", latencies(both, |c| c.watched, |w| w.begun)),
        ("kubectl get every 1 s, same changes", latencies(both, polled, |w| w.begun)),
    ] {
        table.add_row([name, &count, &half, &most, &all]);
    }
    println!("from the arrival of a change at the API server, {}", Timestamp::now().strftime("%F"));
    println!("{table}");
}
