//! Nodes that are too small are found, before a run and in it, and a second node makes room.

use std::fs;

use trinity_e2e::judge::quantity::Memory;

use crate::{
    kept::Cluster,
    machine::{Machine, Told},
};

/// Like what the platform's first cluster left to it: with mandelbrot, the node has no room for Prometheus. Two such nodes
/// have, wherever Grafana goes.
const NODE: &str = "240m";
/// What the Pod's name begins with, and what it requests.
const POD: &str = "observability/prometheus-";
const REQUEST: &str = "cpu 200m, memory 256Mi";

const fn with<'a>() -> [&'a str; 4] {
    ["--cloud", "gcp", "--node-cpu", NODE]
}

/// What makes a world of two of them.
pub const fn two<'a>() -> [&'a str; 6] {
    ["--cloud", "gcp", "--node-cpu", NODE, "--nodes", "2"]
}

fn capacity(machine: &Machine, args: &[&str]) -> Told {
    machine.run(&[&["capacity"], args].concat())
}

#[test]
fn one_small_node_is_told_beforehand_and_found() {
    let machine = Machine::new();
    let told = capacity(&machine, &with());
    assert!(!told.success, "{}", told.all());
    told.assert_says("does not fit: cpu 30m, memory 0 missing");
    told.assert_says("smallest number of such nodes  2");
    told.assert_says("smallest single node           cpu 270m, memory 416Mi");

    let told = machine.run_e2e(&with());
    assert!(!told.success, "{}", told.all());
    told.assert_says(&format!("insufficient-cpu: Pod {POD}"));
    told.assert_says(&format!(" requests {REQUEST}, and no node has room for it: node offers cpu {NODE}, and cpu "));
    // Grafana may be there already, or not yet.
    assert!(["; cpu 10m more is needed", "; cpu 30m more is needed"].iter().any(|more| told.stdout.contains(more)));
    told.assert_says("next: give the cluster 2 nodes of this size, or one that offers cpu 2");
    machine.assert_clean();
}

#[test]
#[ignore = "nightly: takes minutes"]
fn a_second_node_makes_room() {
    let machine = Machine::new();
    let told = capacity(&machine, &two());
    told.assert_success();
    told.assert_says("verdict    fits");

    machine.run_e2e(&[&two()[..], &["--keep"]].concat()).assert_success();
    assert_a_second_node(&machine);
    machine.run(&["down"]).assert_success();
    machine.assert_clean();
}

/// Asserts that the kept world has two nodes, and that they are one cluster.
#[track_caller]
pub fn assert_a_second_node(machine: &Machine) {
    let worlds = fs::read_dir(machine.state().join("worlds")).unwrap().flatten();
    let world = worlds.map(|w| w.file_name()).find(|name| name.to_string_lossy().starts_with("gcp-")).unwrap();
    let cluster = Cluster::find(machine, &world.to_string_lossy());
    let template = "jsonpath={range .items[*]}{.metadata.name} {.status.allocatable.cpu}\n{end}";
    assert_eq!(cluster.kubectl(&["get", "nodes", "-o", template]), format!("node {NODE}\nnode-2 {NODE}\n"));
    // As a node of a cloud does, each offers its disk, too: a Pod may request `ephemeral-storage`.
    let template = "jsonpath={range .items[*]}{.status.allocatable.ephemeral-storage}\n{end}";
    let disks = cluster.kubectl(&["get", "nodes", "-o", template]);
    let disks: Vec<Memory> = disks.lines().map(|disk| disk.parse().unwrap()).collect();
    assert!(disks.len() == 2 && disks.iter().all(|disk| disk.0 > 1 << 30), "{disks:?}");
    let node = |namespace: &str, name: &str| {
        let label = format!("app.kubernetes.io/name={name}");
        cluster.kubectl(&["get", "pods", "-n", namespace, "-l", &label, "-o", "jsonpath={.items[*].spec.nodeName}"])
    };
    assert_ne!(node("workloads", "mandelbrot"), node("observability", "prometheus"));
    // Names and Services work from one node to the other, and so do logs and exec on both.
    let page = "http://mandelbrot.workloads/healthz";
    cluster.kubectl(&["exec", "-n", "observability", "deploy/prometheus", "--", "wget", "-qO-", page]);
    for (namespace, name) in [("workloads", "deploy/mandelbrot"), ("observability", "deploy/prometheus")] {
        cluster.kubectl(&["logs", "-n", namespace, name]);
    }
}
