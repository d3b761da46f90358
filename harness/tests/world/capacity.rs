//! Nodes that are too small are found, before a run and in it, and a second node makes room.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use trinity_e2e::workspace;

use crate::{
    kept::Cluster,
    machine::{Machine, Told},
};

/// Size of a node that has room for one Pod of the workload and not for two.
const NODE: &str = "15m";
/// What the Pods' names begin with, and what each requests.
const POD: &str = "workloads/hello-";
const REQUEST: &str = "cpu 10m, memory 16Mi";
/// What two Pods request together, and what the node lacks for them.
const SINGLE: &str = "cpu 20m, memory 32Mi";
const LACK: &str = "cpu 5m";

/// The example platform with two Pods of the workload.
fn platform(machine: &Machine) -> PathBuf {
    let folder = machine.reports().with_file_name("platform");
    let example = workspace().join("fixtures/platforms/trinity");
    let copied = Command::new("cp").args(["--recursive", "--no-target-directory"]).arg(example).arg(&folder).status();
    assert!(copied.unwrap().success());
    let file = folder.join("workloads/base/deployment.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nspec:\n  selector:"), "{text}");
    fs::write(file, text.replacen("\nspec:\n", "\nspec:\n  replicas: 2\n", 1)).unwrap();
    folder
}

fn with<'a>(platform: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["--cloud", "gcp", "--node-cpu", NODE, "--platform", platform.to_str().unwrap()], more].concat()
}

fn capacity(machine: &Machine, args: &[&str]) -> Told {
    machine.run(&[&["capacity"], args].concat())
}

#[test]
fn one_small_node_is_told_beforehand_and_found() {
    let machine = Machine::new();
    let platform = platform(&machine);
    let told = capacity(&machine, &with(&platform, &[]));
    assert!(!told.success, "{}", told.all());
    told.assert_says(&format!("does not fit: {LACK}, memory 0 missing"));
    told.assert_says("smallest number of such nodes  2");
    told.assert_says(&format!("smallest single node           {SINGLE}"));

    let told = machine.run_e2e(&with(&platform, &[]));
    assert!(!told.success, "{}", told.all());
    told.assert_says(&format!("insufficient-cpu: Pod {POD}"));
    told.assert_says(&format!(" requests {REQUEST}, and no node has room for it: node offers cpu {NODE}, and "));
    told.assert_says(&format!("; {LACK} more is needed"));
    told.assert_says(&format!("next: give the cluster 2 nodes of this size, or one that offers {SINGLE}, "));
    machine.assert_clean();
}

#[test]
fn a_second_node_makes_room() {
    let machine = Machine::new();
    let platform = platform(&machine);
    let told = capacity(&machine, &with(&platform, &["--nodes", "2"]));
    told.assert_success();
    told.assert_says("verdict    fits");

    machine.run_e2e(&with(&platform, &["--nodes", "2", "--keep"])).assert_success();
    let world = fs::read_dir(machine.state().join("worlds")).unwrap().flatten().next().unwrap().file_name();
    let cluster = Cluster::find(&machine, &world.to_string_lossy());
    let template = "jsonpath={range .items[*]}{.metadata.name} {.status.allocatable.cpu}\n{end}";
    assert_eq!(cluster.kubectl(&["get", "nodes", "-o", template]), format!("node {NODE}\nnode-2 {NODE}\n"));
    let template = "jsonpath={range .items[*]}{.spec.nodeName} {.metadata.name}\n{end}";
    let pods = cluster.kubectl(&["get", "pods", "-n", "workloads", "-o", template]);
    let mut pods: Vec<(&str, &str)> = pods.lines().filter_map(|line| line.split_once(' ')).collect();
    pods.sort_unstable();
    assert_eq!(pods.iter().map(|(node, _)| *node).collect::<Vec<_>>(), ["node", "node-2"]);
    for (node, pod) in pods {
        let inside = |command: &[&str]| cluster.kubectl(&[&["exec", "-n", "workloads", pod, "--"], command].concat());
        assert_eq!(inside(&["cat", "/www/index.html"]), "hello from trinity\n", "{node}");
        // Names and Services work on every node, and the answer may come from the other one.
        assert_eq!(inside(&["wget", "-qO-", "http://hello/index.html"]), "hello from trinity\n", "{node}");
        cluster.kubectl(&["logs", "-n", "workloads", pod]);
    }
    machine.run(&["down"]).assert_success();
    machine.assert_clean();
}
