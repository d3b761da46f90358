//! A Pod that no node of the running cluster has room for, and that will not get room by waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use futures::TryStreamExt;
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, Event},
    },
};

use super::{
    capacity::{Demand, Fit, Requests},
    cause::{Cause, Kind},
};
use crate::{
    failure::{Attempt, Failure, Result},
    observe::{key, wait},
    world::{Description, OWN},
};

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
}

/// What one node offers, and what is taken of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    node: String,
    offered: Requests,
    taken: Requests,
}

/// The Pod, the nodes that have no room for it, and what would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    pod: String,
    requests: Requests,
    short: Short,
    places: Vec<Place>,
    fit: Fit,
}

impl Shortage {
    /// The cause that it is.
    pub fn cause(&self) -> Cause {
        let kind = match self.short {
            Short::Cpu => Kind::InsufficientCpu,
            Short::Memory => Kind::InsufficientMemory,
        };
        Cause::new(kind, self.to_string()).next(self.next())
    }

    fn next(&self) -> String {
        let nodes = self.fit.nodes.map_or_else(String::new, |nodes| format!("{nodes} nodes of this size, or "));
        let single = self.fit.single;
        format!(
            "give the cluster {nodes}one that offers {single}, for the Pods that there are by now; `trinity-e2e capacity` \
             tells it for the whole platform"
        )
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, requests, short, places, .. } = self;
        write!(f, "Pod {pod} requests {requests}, and no node has room for it: ")?;
        for Place { node, offered, taken } in places {
            write!(f, "{node} offers {}, and {} is requested on it; ", short.of(*offered), short.of(*taken))?;
        }
        let lacks = places.iter().map(|place| requests.without(place.free()));
        let least = lacks.min_by_key(|lack| short.amount(*lack)).unwrap_or_default();
        write!(f, "{} more is needed", short.of(least))
    }
}

impl Short {
    fn of(self, requests: Requests) -> String {
        match self {
            Self::Cpu => format!("cpu {}", requests.cpu),
            Self::Memory => format!("memory {}", requests.memory),
        }
    }

    const fn amount(self, requests: Requests) -> u64 {
        match self {
            Self::Cpu => requests.cpu.0,
            Self::Memory => requests.memory.0,
        }
    }
}

impl Place {
    const fn free(&self) -> Requests {
        self.offered.without(self.taken)
    }

    const fn lacks(&self, short: Short, requests: Requests) -> bool {
        short.amount(requests) > short.amount(self.free())
    }
}

/// Watches the Pods of a world and returns the first shortage that is certain. It ends only then, or when the API refuses.
///
/// # Errors
/// When the API refuses a watch or a list, or a quantity cannot be read.
pub async fn first(client: &Client, world: &Description) -> Result<Shortage> {
    let attempted = || "watch the Pods".to_owned();
    let pods: Api<Pod> = Api::all(client.clone());
    let nodes: Api<Node> = Api::all(client.clone());
    let events = watcher::watcher(pods.clone(), Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut refused = BTreeSet::new();
    loop {
        match events.try_next().await {
            Ok(Some(Event::Apply(pod) | Event::InitApply(pod))) if is_refused(&pod) => refused.insert(key(&pod)),
            Ok(Some(Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod))) => refused.remove(&key(&pod)),
            Ok(Some(Event::Init)) => {
                refused.clear();
                false
            }
            Ok(Some(Event::InitDone)) => false,
            Ok(None) => return Err(Failure::new(attempted(), "the watch ended")),
            Err(e) if wait::passing(&e) => false,
            Err(e) => return Err(Failure::new(attempted(), e)),
        };
        if refused.is_empty() {
            continue;
        }
        // A watch tells what was; whether it is so still, the API says.
        let all = ListParams::default();
        let nodes = nodes.list(&all).await.attempting(|| "list the nodes".into())?.items;
        if nodes.len() < world.nodes.len() {
            continue;
        }
        let pods = pods.list(&all).await.attempting(|| "list the Pods".into())?.items;
        if let Some(shortage) = find(&pods, &nodes)? {
            return Ok(shortage);
        }
    }
}

/// The first Pod that the scheduler has refused and that has no room even when everything that may go is gone.
fn find(pods: &[Pod], nodes: &[Node]) -> Result<Option<Shortage>> {
    for pod in pods.iter().filter(|pod| is_refused(pod)) {
        let requests = requests(pod)?;
        let places = places(pod, pods, nodes)?;
        if places.is_empty() || places.iter().any(|place| requests.fit(place.free())) {
            continue;
        }
        let lacking = |short| places.iter().filter(|place| place.lacks(short, requests)).count();
        let short = if lacking(Short::Memory) > lacking(Short::Cpu) { Short::Memory } else { Short::Cpu };
        let fit = Fit::of(&demands(pod, pods)?, places[0].offered, places.len());
        return Ok(Some(Shortage { pod: key(pod), requests, short, places, fit }));
    }
    Ok(None)
}

/// The nodes on which a Pod may run, with what will stay on them.
fn places(pod: &Pod, pods: &[Pod], nodes: &[Node]) -> Result<Vec<Place>> {
    let only = bound(pod);
    let nodes = nodes.iter().filter(|node| only.is_none_or(|only| node.name_any() == only));
    let place = |node: &Node| {
        let here = |other: &&Pod| other.spec.as_ref().and_then(|s| s.node_name.as_ref()) == node.metadata.name.as_ref();
        let taken =
            pods.iter().filter(|other| stays(other, pod)).filter(here).map(requests).sum::<Result<Requests>>()?;
        let offered = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let offered = offered.map_or_else(|| Ok(Requests::default()), Requests::read)?;
        Ok(Place { node: node.name_any(), offered, taken })
    };
    nodes.map(place).collect()
}

/// Everything that has to have a place at the same time as `pod`.
fn demands(pod: &Pod, pods: &[Pod]) -> Result<Vec<Demand>> {
    let mut demands = BTreeMap::new();
    for other in pods.iter().filter(|other| lives(other) && !gives_way(other, pod)) {
        let set = owner(other).filter(|owner| owner.kind == "DaemonSet");
        let name = set.map_or_else(|| key(other), |set| format!("DaemonSet {}", set.uid));
        demands.insert(name.clone(), Demand { name, requests: requests(other)?, everywhere: set.is_some() });
    }
    Ok(demands.into_values().collect())
}

fn requests(pod: &Pod) -> Result<Requests> {
    pod.spec.as_ref().map_or_else(|| Ok(Requests::default()), Requests::of).attempting(|| format!("size {}", key(pod)))
}

/// Whether the scheduler has said of a Pod of the platform that nodes have too little.
fn is_refused(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let insufficient = |message: &str| ["Insufficient cpu", "Insufficient memory"].iter().any(|m| message.contains(m));
    lives(pod)
        && !pod.namespace().is_some_and(|namespace| namespace.starts_with(OWN))
        && pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none())
        && conditions.into_iter().flatten().any(|condition| {
            condition.type_ == "PodScheduled"
                && condition.status == "False"
                && condition.message.as_deref().is_some_and(insufficient)
        })
}

/// Whether a Pod takes its room for as long as `pod` waits. One that runs to an end does not; nor does one that `pod` may
/// drive out by its priority.
fn stays(other: &Pod, pod: &Pod) -> bool {
    let priority = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
    let ends = other.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).is_some_and(|p| p != "Always");
    lives(other) && !ends && !gives_way(other, pod) && priority(other) >= priority(pod)
}

/// Whether a Pod is neither finished nor on its way out.
fn lives(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether `other` is of an earlier state of the Deployment that `pod` is of, which replaces the one by the other.
fn gives_way(other: &Pod, pod: &Pod) -> bool {
    match (deployment(other), deployment(pod)) {
        (Some((namespace, name, hash)), Some(own)) => (namespace, name) == (own.0, own.1) && hash != own.2,
        _ => false,
    }
}

/// Namespace, name and template of the Deployment of a Pod; the ReplicaSet in between is named after the two.
fn deployment(pod: &Pod) -> Option<(&str, &str, &str)> {
    let set = owner(pod).filter(|owner| owner.kind == "ReplicaSet")?;
    let hash = pod.metadata.labels.as_ref()?.get("pod-template-hash")?;
    let name = set.name.strip_suffix(hash)?.strip_suffix('-')?;
    Some((pod.metadata.namespace.as_deref()?, name, hash))
}

fn owner(pod: &Pod) -> Option<&OwnerReference> {
    pod.metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

/// The one node that a Pod of a DaemonSet is for.
fn bound(pod: &Pod) -> Option<&str> {
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let mut fields = terms.iter().filter_map(|term| term.match_fields.as_ref()).flatten();
    Some(fields.find(|field| field.key == "metadata.name")?.values.as_ref()?.first()?.as_str())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const REFUSED: &str = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate";

    fn node(name: &str, cpu: &str) -> Node {
        let status = json!({"allocatable": {"cpu": cpu, "memory": "1Gi"}});
        serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap()
    }

    /// A Pod that runs on a node, or waits with what the scheduler says.
    fn pod(name: &str, cpu: &str, place: Result<&str, &str>) -> Value {
        let condition = json!({"type": "PodScheduled", "status": if place.is_ok() { "True" } else { "False" },
            "reason": "Unschedulable", "message": place.err()});
        json!({
            "metadata": {"name": name, "namespace": "a"},
            "spec": {
                "nodeName": place.ok(), "restartPolicy": "Always",
                "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}}],
            },
            "status": {"phase": if place.is_ok() { "Running" } else { "Pending" }, "conditions": [condition]},
        })
    }

    fn found(pods: &[Value], nodes: &[Node]) -> Option<Shortage> {
        let pods: Vec<Pod> = pods.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect();
        find(&pods, nodes).unwrap()
    }

    #[test]
    fn the_message_has_all_numbers() {
        let pods = [pod("old", "60m", Ok("node")), pod("new", "50m", Err(REFUSED))];
        let told = found(&pods, &[node("node", "100m")]).unwrap();
        assert_eq!(told.cause().name(), "insufficient-cpu");
        let told = told.cause().to_string();
        for part in [
            "Pod a/new requests cpu 50m, memory 1Mi, and no node has room for it: ",
            "node offers cpu 100m, and cpu 60m is requested on it; cpu 10m more is needed",
            "next: give the cluster 2 nodes of this size, or one that offers cpu 110m, memory 2Mi, for",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn a_pod_larger_than_every_node_needs_a_larger_one() {
        let told = found(&[pod("new", "50m", Err(REFUSED))], &[node("node", "20m"), node("node-2", "20m")]).unwrap();
        assert!(told.cause().to_string().contains("give the cluster one that offers cpu 50m"), "{told}");
    }

    #[test]
    fn memory_is_told_as_memory() {
        let mut large = pod("new", "1m", Err("0/1 nodes are available: 1 Insufficient memory."));
        large["spec"]["containers"][0]["resources"]["requests"]["memory"] = json!("2Gi");
        let told = found(&[large], &[node("node", "1")]).unwrap();
        assert_eq!(told.cause().name(), "insufficient-memory");
        assert!(told.cause().to_string().contains("memory 1Gi more is needed"), "{told}");
    }

    #[test]
    fn a_pod_with_room_will_get_it() {
        let waits = || pod("new", "50m", Err(REFUSED));
        let full = || pod("old", "60m", Ok("node"));
        assert!(found(&[full(), waits()], &[node("node", "100m"), node("node-2", "100m")]).is_none());
        assert!(found(&[pod("new", "50m", Err("0/1 nodes: 1 had a taint"))], &[node("node", "10m")]).is_none());
        assert!(found(&[pod("new", "50m", Ok("node"))], &[node("node", "10m")]).is_none(), "it has a place");
        assert!(found(&[waits()], &[]).is_none(), "no node has come yet");
    }

    /// What makes an occupant go without anybody's help.
    #[rstest]
    #[case::terminating("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"))]
    #[case::finished("/status/phase", json!("Succeeded"))]
    #[case::job("/spec/restartPolicy", json!("OnFailure"))]
    #[case::less_important("/spec/priority", json!(-1))]
    fn an_occupant_that_goes_leaves_room(#[case] field: &str, #[case] value: Value) {
        let mut old = pod("old", "60m", Ok("node"));
        let waits = pod("new", "50m", Err(REFUSED));
        assert!(found(&[old.clone(), waits.clone()], &[node("node", "100m")]).is_some());
        let (parent, name) = field.rsplit_once('/').unwrap();
        old.pointer_mut(parent).unwrap()[name] = value;
        assert!(found(&[old, waits], &[node("node", "100m")]).is_none());
    }

    #[test]
    fn an_update_makes_room_for_itself() {
        let of = |hash: &str, place| {
            let mut pod = pod(hash, "60m", place);
            let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("app-{hash}"), "uid": hash,
                "controller": true});
            pod["metadata"]["ownerReferences"] = json!([owner]);
            pod["metadata"]["labels"] = json!({"pod-template-hash": hash});
            pod
        };
        let nodes = [node("node", "100m")];
        assert!(found(&[of("1", Ok("node")), of("2", Err(REFUSED))], &nodes).is_none());
        // A second replica of the same state is another matter.
        let mut second = of("1", Err(REFUSED));
        second["metadata"]["name"] = json!("second");
        assert!(found(&[of("1", Ok("node")), second], &nodes).is_some());
    }

    #[test]
    fn a_daemon_is_for_one_node() {
        let mut daemon = pod("daemon", "50m", Err(REFUSED));
        let field = json!({"key": "metadata.name", "operator": "In", "values": ["node"]});
        let terms = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
        daemon["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
        let pods = [pod("old", "60m", Ok("node")), daemon];
        assert!(found(&pods, &[node("node", "100m"), node("node-2", "100m")]).is_some());
    }
}
