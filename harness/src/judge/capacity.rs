//! Whether Pods fit on nodes: arithmetic on what Pods request and what nodes offer.
//!
//! It counts CPU and memory only: what else a node has, its disk for example, is the whole machine's on every node here. Node
//! selectors, taints, affinities, ports and volumes can only take places away; what does not fit here fits nowhere.

use std::{cmp::Reverse, fmt, iter::Sum, ops::Add};

use k8s_openapi::{
    api::core::v1::{Container, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use serde::Serialize;

use super::quantity::{Cpu, Memory};
use crate::failure::{Attempt, Result};

/// CPU and memory: what a Pod requests, or what a node offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// CPU.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
}

/// A Pod, or one of the equal Pods of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Demand {
    /// What it is, for example `workloads/hello`.
    pub name: String,
    /// What it requests.
    pub requests: Requests,
    /// Whether each node has one, as it has of a DaemonSet.
    pub everywhere: bool,
}

/// Some Pods on so many nodes of one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// What the Pods request together.
    pub requested: Requests,
    /// What the nodes offer together.
    pub offered: Requests,
    /// Whether all have a place.
    pub fits: bool,
    /// The smallest number of nodes of this size that fits; none when a Pod is larger than a node.
    pub nodes: Option<usize>,
    /// The smallest single node that fits.
    pub single: Requests,
}

impl Requests {
    /// What a Pod requests, by Kubernetes' own rule: its containers and sidecars together, or more when an init container
    /// beside the sidecars that run already wants more, or what it requests as a whole; and its overhead.
    ///
    /// # Errors
    /// When a quantity cannot be read.
    pub fn of(pod: &PodSpec) -> Result<Self> {
        Ok(Self {
            cpu: Cpu(effective(pod, "cpu", |text| text.parse::<Cpu>().map(|cpu| cpu.0))?),
            memory: Memory(effective(pod, "memory", |text| text.parse::<Memory>().map(|memory| memory.0))?),
        })
    }

    /// Reads CPU and memory of a node's list of resources, in which a missing one is zero.
    ///
    /// # Errors
    /// When a quantity cannot be read.
    pub fn read(resources: &std::collections::BTreeMap<String, Quantity>) -> Result<Self> {
        let text = |name: &str| resources.get(name).map_or("0", |quantity| quantity.0.as_str());
        Ok(Self { cpu: text("cpu").parse()?, memory: text("memory").parse()? })
    }

    /// Whether so much is within `offered`. What is not requested needs no room.
    pub fn fit(self, offered: Self) -> bool {
        let within = |wanted: u64, there: u64| wanted == 0 || wanted <= there;
        within(self.cpu.0, offered.cpu.0) && within(self.memory.0, offered.memory.0)
    }

    /// What is left without `taken`, or nothing.
    #[must_use]
    pub const fn without(self, taken: Self) -> Self {
        Self {
            cpu: Cpu(self.cpu.0.saturating_sub(taken.cpu.0)),
            memory: Memory(self.memory.0.saturating_sub(taken.memory.0)),
        }
    }

    fn times(self, count: usize) -> Self {
        let times = |amount: u64| amount.saturating_mul(count as u64);
        Self { cpu: Cpu(times(self.cpu.0)), memory: Memory(times(self.memory.0)) }
    }
}

impl Add for Requests {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }
}

impl Sum for Requests {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu {}, memory {}", self.cpu, self.memory)
    }
}

/// What a Pod requests of one resource.
fn effective(pod: &PodSpec, name: &str, read: impl Fn(&str) -> Result<u64>) -> Result<u64> {
    let read = |quantity: Option<&Quantity>| match quantity {
        Some(Quantity(text)) => read(text).attempting(|| format!("read a request of {name}")).map(Some),
        None => Ok(None),
    };
    let asked = |resources: Option<&ResourceRequirements>| read(resources.and_then(|r| r.requests.as_ref()?.get(name)));
    let limit = |resources: Option<&ResourceRequirements>| read(resources.and_then(|r| r.limits.as_ref()?.get(name)));
    // The API server writes a limit without a request as a request too.
    let either = |resources: Option<&ResourceRequirements>| Ok(asked(resources)?.or(limit(resources)?));
    let one = |container: &Container| either(container.resources.as_ref());
    let (mut containers, mut sidecars, mut starting, mut any) = (0_u64, 0_u64, 0_u64, false);
    for container in &pod.containers {
        let request = one(container)?;
        any |= request.is_some();
        containers = containers.saturating_add(request.unwrap_or(0));
    }
    for container in pod.init_containers.iter().flatten() {
        let request = one(container)?;
        any |= request.is_some();
        let beside = sidecars.saturating_add(request.unwrap_or(0));
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = beside;
        }
        starting = starting.max(beside);
    }
    let parts = containers.saturating_add(sidecars).max(starting);
    let whole = match asked(pod.resources.as_ref())? {
        Some(whole) => whole,
        None if any => parts,
        None => limit(pod.resources.as_ref())?.unwrap_or(parts),
    };
    let overhead = read(pod.overhead.as_ref().and_then(|overhead| overhead.get(name)))?;
    Ok(whole.saturating_add(overhead.unwrap_or(0)))
}

impl Fit {
    /// Puts the Pods on `count` nodes of `size`, the largest first and each on the first node that has room. The
    /// scheduler, which spreads Pods in the order in which they come, may need more nodes than this; a cleverer order
    /// could, rarely, do with fewer.
    pub fn of(demands: &[Demand], size: Requests, count: usize) -> Self {
        let (everywhere, single): (Vec<_>, Vec<_>) = demands.iter().partition(|demand| demand.everywhere);
        let each: Requests = everywhere.iter().map(|demand| demand.requests).sum();
        let own: Requests = single.iter().map(|demand| demand.requests).sum();
        let pods: Vec<Requests> = single.iter().map(|demand| demand.requests).collect();
        let nodes = if each.fit(size) { pack(pods, size.without(each)) } else { None };
        Self {
            requested: own + each.times(count),
            offered: size.times(count),
            fits: nodes.is_some_and(|nodes| nodes <= count),
            nodes,
            single: own + each,
        }
    }

    /// What all nodes together lack. Nothing may be missing in sum although some Pod has no place.
    pub const fn missing(&self) -> Requests {
        self.requested.without(self.offered)
    }
}

/// Number of nodes with so much room that first-fit decreasing needs, at least one.
fn pack(mut pods: Vec<Requests>, room: Requests) -> Option<usize> {
    // Large is what takes a large part of a node, of either resource; both sides of a comparison have the same factors.
    let share = |pod: &Requests| {
        let part = |wanted: u64, of: u64| u128::from(wanted) * (u128::from(u64::MAX) / u128::from(of.max(1)));
        part(pod.cpu.0, room.cpu.0).max(part(pod.memory.0, room.memory.0))
    };
    pods.sort_by_key(|pod| Reverse(share(pod)));
    let mut nodes = vec![room];
    for pod in pods {
        match nodes.iter_mut().find(|node| pod.fit(**node)) {
            Some(node) => *node = node.without(pod),
            None if pod.fit(room) => nodes.push(room.without(pod)),
            None => return None,
        }
    }
    Some(nodes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const MI: u64 = 1 << 20;

    fn requests(cpu: u64, mebibytes: u64) -> Requests {
        Requests { cpu: Cpu(cpu), memory: Memory(mebibytes * MI) }
    }

    fn pod(cpu: u64, mebibytes: u64) -> Demand {
        Demand { name: "a/b".into(), requests: requests(cpu, mebibytes), everywhere: false }
    }

    fn read(spec: Value) -> Requests {
        Requests::of(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    fn container(cpu: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn containers_are_added_and_a_limit_is_a_request() {
        let resources = json!({"requests": {"cpu": "10m"}, "limits": {"cpu": "1", "memory": "1Mi"}});
        let limited = json!({"name": "d", "resources": resources});
        assert_eq!(read(json!({"containers": [container("100m"), limited, {"name": "e"}]})), requests(110, 1));
        assert_eq!(read(json!({"containers": [{"name": "c"}]})), Requests::default());
    }

    #[test]
    fn an_init_container_counts_when_it_is_larger() {
        let with = |first: &[&str], then: &str| {
            let first: Vec<Value> = first.iter().map(|cpu| container(cpu)).collect();
            read(json!({"initContainers": first, "containers": [container(then)]})).cpu
        };
        assert_eq!(with(&["300m", "200m"], "100m"), Cpu(300));
        assert_eq!(with(&["50m", "50m"], "100m"), Cpu(100));
    }

    #[test]
    fn a_sidecar_runs_beside_all_that_comes_after_it() {
        let mut sidecar = container("30m");
        sidecar["restartPolicy"] = json!("Always");
        let with = |init: [Value; 2]| read(json!({"initContainers": init, "containers": [container("100m")]})).cpu;
        assert_eq!(with([sidecar.clone(), container("200m")]), Cpu(230));
        assert_eq!(with([container("200m"), sidecar.clone()]), Cpu(200));
        assert_eq!(with([container("10m"), sidecar]), Cpu(130));
    }

    #[test]
    fn a_pod_may_request_as_a_whole() {
        let with = |resources: Value| read(json!({"resources": resources, "containers": [container("100m")]})).cpu;
        assert_eq!(with(json!({"requests": {"cpu": "1"}})), Cpu(1000));
        assert_eq!(with(json!({"limits": {"cpu": "1"}})), Cpu(100));
        let alone = json!({"resources": {"limits": {"cpu": "1"}}, "containers": [{"name": "c"}]});
        assert_eq!(read(alone).cpu, Cpu(1000));
        assert_eq!(read(json!({"overhead": {"cpu": "5m"}, "containers": [container("1m")]})).cpu, Cpu(6));
    }

    #[test]
    fn what_is_wanted_and_what_would_do_are_told() {
        let pods = [pod(200, 256), pod(50, 32), pod(50, 32), pod(10, 16)];
        let fit = Fit::of(&pods, requests(250, 1024), 1);
        assert!(!fit.fits);
        assert_eq!((fit.requested, fit.single), (requests(310, 336), requests(310, 336)));
        assert_eq!(fit.missing(), requests(60, 0));
        assert_eq!(fit.nodes, Some(2));
        assert!(Fit::of(&pods, requests(250, 1024), 2).fits);
        assert!(Fit::of(&pods, fit.single, 1).fits);
    }

    #[test]
    fn memory_can_be_what_is_short() {
        let pods = [pod(1, 600), pod(1, 600)];
        assert_eq!(Fit::of(&pods, requests(1000, 1024), 1).nodes, Some(2));
    }

    #[test]
    fn a_pod_larger_than_a_node_needs_another_size() {
        let fit = Fit::of(&[pod(10, 0)], requests(5, 1024), 7);
        assert!(!fit.fits && fit.nodes.is_none());
        assert_eq!(fit.single, requests(10, 0));
    }

    #[test]
    fn every_node_has_its_own_of_a_daemon_set() {
        let daemon = Demand { everywhere: true, ..pod(40, 0) };
        let fit = Fit::of(&[daemon.clone(), pod(60, 0), pod(60, 0)], requests(100, 1024), 2);
        assert!(fit.fits);
        assert_eq!((fit.requested, fit.single), (requests(200, 0), requests(160, 0)));
        assert_eq!(Fit::of(&[daemon], requests(30, 1024), 1).nodes, None);
    }

    #[test]
    fn what_requests_nothing_fits_on_a_full_node() {
        let fit = Fit::of(&[pod(100, 0), pod(0, 0), pod(0, 0)], requests(100, 0), 1);
        assert!(fit.fits);
        assert!(Fit::of(&[], requests(0, 0), 1).fits);
    }

    fn some() -> impl Strategy<Value = Vec<Demand>> {
        let one = (0_u64..500, 0_u64..500, prop::bool::weighted(0.1));
        let one = one.prop_map(|(cpu, memory, everywhere)| Demand { everywhere, ..pod(cpu, memory) });
        prop::collection::vec(one, 0..20)
    }

    proptest! {
        #[test]
        fn the_answers_agree(pods in some(), cpu in 1_u64..1000, memory in 1_u64..1000, count in 1_usize..10) {
            let size = requests(cpu, memory);
            let fit = Fit::of(&pods, size, count);
            let nodes = fit.nodes;
            prop_assert_eq!(fit.fits, nodes.is_some_and(|nodes| nodes <= count));
            // Both ways out can be taken, and a smaller single node is none.
            prop_assert!(nodes.is_none_or(|nodes| Fit::of(&pods, size, nodes).fits));
            prop_assert!(nodes.is_none_or(|nodes| nodes <= pods.len().max(1)));
            prop_assert!(Fit::of(&pods, fit.single, 1).fits);
            let smaller = Requests { cpu: Cpu(fit.single.cpu.0.saturating_sub(1)), ..fit.single };
            prop_assert!(fit.single.cpu.0 == 0 || !Fit::of(&pods, smaller, 1).fits);
            // What fits lacks nothing.
            prop_assert!(!fit.fits || fit.missing() == Requests::default());
        }
    }
}
