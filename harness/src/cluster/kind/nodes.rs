//! The nodes: what kind and kubeadm are told, and what a node gets that they do not give it.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use super::{Inputs, Tools, docker::docker};
use crate::{
    cluster::embedded::{
        node::Node,
        settings::{AUDIT, Settings},
    },
    command::Run,
    failure::{Attempt, Result},
};

/// Folder of patches for the control plane's Pods, in `settings`.
const PATCHES: &str = "kubeadm";
/// The Pods of the control plane.
const CONTROL_PLANE: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/// Folder of etcd's data on the node: kind has `/run` in memory.
const ETCD: &str = "/run/etcd";
/// Folder of the Docker CLI that kind runs, in `settings`.
const PROGRAMS: &str = "programs";
/// Programs of a node that write logs.
const LOGGING: [&str; 2] = ["containerd", "kubelet"];

/// Name of a node's container, which is kind's choice.
pub fn container(cluster: &str, node: Node) -> String {
    match node.number() {
        0 => format!("{cluster}-control-plane"),
        1 => format!("{cluster}-worker"),
        further => format!("{cluster}-worker{further}"),
    }
}

/// Subnet of a node's Pods. Each node has a network of its own, so that it has to be known where a Pod is.
pub fn pods(node: Node, inputs: &Inputs<'_>) -> String {
    // There are no more than `Node::MOST`.
    let nodes = u8::try_from(inputs.nodes.len()).unwrap_or(Node::MOST);
    inputs.network.pods_of(node.number(), nodes)
}

/// Writes the configuration of the cluster.
///
/// # Errors
/// When a file cannot be written.
pub fn write(settings: &Settings<'_>, cluster: &str, tools: &Tools) -> Result<()> {
    let own = settings.path("settings");
    for folder in [own.join(PATCHES), own.join(PROGRAMS)] {
        fs::create_dir_all(&folder).attempting(|| format!("make {}", folder.display()))?;
    }
    // What is mounted as a file has to be one before.
    let nodes = settings.0.nodes.iter();
    let logs = nodes.flat_map(|node| LOGGING.map(|program| log(*node, program)));
    for file in logs.chain([AUDIT.to_owned()]) {
        fs::write(settings.path(&file), "").attempting(|| format!("make {file}"))?;
    }
    let program = format!("{PROGRAMS}/docker");
    settings.save(&program, &addressing(cluster, settings.0))?;
    fs::set_permissions(own.join(&program), fs::Permissions::from_mode(0o755))
        .attempting(|| format!("make {program} a program"))?;
    // In an embedded cluster the control plane takes no room from Pods, and neither it does where a cloud runs it.
    let free = json!([{"op": "remove", "path": "/spec/containers/0/resources"}]).to_string();
    for pod in CONTROL_PLANE {
        settings.save(&format!("{PATCHES}/{pod}+json.json"), &free)?;
    }
    let unpacked = settings.0.images.display().to_string();
    settings.save("kind.json", &config(settings, cluster, tools, &unpacked).to_string())
}

/// Runs kind. When it fails, what it made stays, to be looked at and then removed with the world.
///
/// # Errors
/// What kind says.
pub async fn create(settings: &Settings<'_>, cluster: &str, tools: &Tools) -> Result<()> {
    let path = std::env::var("PATH").attempting(|| "find the folders of programs (PATH)".into())?;
    Run::new(&tools.kind)
        .env("PATH", format!("{}:{path}", settings.text(&format!("settings/{PROGRAMS}"))))
        .args(["create", "cluster", "--retain", "--name", cluster, "--config"])
        .arg(settings.path("settings/kind.json"))
        // Not the user's own: the world has the administrator's kubeconfig already.
        .arg("--kubeconfig")
        .arg(settings.path("kind.conf"))
        .env("KIND_EXPERIMENTAL_DOCKER_NETWORK", cluster)
        .output()
        .await
        .map(|_| ())
}

/// Docker's CLI for kind, which starts nodes in any order and has no setting for their addresses: each gets that which it has in
/// an embedded cluster.
fn addressing(cluster: &str, inputs: &Inputs<'_>) -> String {
    let address = |node: &Node| {
        let (container, address) = (container(cluster, *node), node.address(inputs.network));
        format!("\"run --name {container}\") shift; set -- run --ip {address} \"$@\" ;;\n")
    };
    let addresses: String = inputs.nodes.iter().map(address).collect();
    format!("#!/bin/sh\nPATH=${{PATH#*:}}\ncase \"$1 $2 $3\" in\n{addresses}esac\nexec docker \"$@\"\n")
}

/// Routes of a node as those of an embedded cluster: Services have one, as kube-proxy translates their addresses after the kernel
/// has chosen it, and what else a Pod calls does not exist. The other nodes' Pods are with them, and what the gateway answers
/// beside its own address is on the first node.
///
/// # Errors
/// When the node refuses.
pub async fn route(cluster: &str, node: Node, inputs: &Inputs<'_>) -> Result<()> {
    for arguments in routes(node, inputs) {
        docker(["exec", &container(cluster, node), "ip"]).args(arguments.split(' ')).output().await?;
    }
    Ok(())
}

/// The same as arguments of ip(8).
fn routes(node: Node, inputs: &Inputs<'_>) -> Vec<String> {
    let network = inputs.network;
    let others = inputs.nodes.iter().filter(|other| **other != node);
    let pods = others.map(|other| format!("route add {} via {}", pods(*other, inputs), other.address(network)));
    let metadata = inputs.metadata().map(|address| match node == Node::FIRST {
        true => format!("addr add {address} dev lo"),
        false => format!("route add {address} via {}", network.node()),
    });
    let fixed = [
        format!("route add {} via {}", network.services(), network.machine()),
        "route replace unreachable default".to_owned(),
    ];
    fixed.into_iter().chain(pods).chain(metadata).collect()
}

/// A log of a node, in the world's folder.
fn log(node: Node, program: &str) -> String {
    format!("logs/{}.log", node.process(program))
}

/// A node in kind's configuration. The world's folder is at the same place on it as on the machine, but for the folder of the
/// first node, in which each sees its own: so one configuration of containerd is that of all.
fn node(settings: &Settings<'_>, node: Node, tools: &Tools, unpacked: &str) -> Value {
    let same = |path: &str| json!({"hostPath": path, "containerPath": path});
    let at = |name: &str, path: &str| json!({"hostPath": settings.text(name), "containerPath": path});
    let mut mounts = vec![
        same(&settings.0.folder.display().to_string()),
        json!({"hostPath": unpacked, "containerPath": unpacked, "readOnly": true}),
        at("settings/containerd.toml", "/etc/containerd/config.toml"),
        json!({"hostPath": settings.of(node, "kubelet"), "containerPath": "/var/lib/kubelet"}),
    ];
    mounts.extend(LOGGING.map(|program| at(&log(node, program), &format!("/var/log/trinity-e2e/{program}.log"))));
    let mut registration = json!({"name": node.name()});
    if settings.0.nodes.len() > 1 {
        // Pods may use every node, as where a cloud runs the control plane. Of a single node kind removes the taint itself, and
        // fails when there is none.
        registration["taints"] = json!([]);
    }
    let (role, kind) = match node == Node::FIRST {
        true => {
            mounts.push(at("pki", "/etc/kubernetes/pki"));
            ("control-plane", "InitConfiguration")
        }
        false => {
            let all = |node: Node| format!("nodes/{}", node.name());
            mounts.push(at(&all(node), &settings.text(&all(Node::FIRST))));
            ("worker", "JoinConfiguration")
        }
    };
    json!({
        "role": role,
        "image": tools.image,
        "extraMounts": mounts,
        "kubeadmConfigPatches": [json!({"kind": kind, "nodeRegistration": registration}).to_string()],
    })
}

/// kind's configuration.
fn config(settings: &Settings<'_>, cluster: &str, tools: &Tools, unpacked: &str) -> Value {
    let Inputs { network, nodes, issuer, jwks, .. } = *settings.0;
    let text = |name: &str| settings.text(name);
    // Not by name: a node has nobody to ask for names.
    let endpoint = format!("{}:6443", network.node());
    let nodes: Vec<Value> = nodes.iter().map(|number| node(settings, *number, tools, unpacked)).collect();
    let patches = [
        settings.habits(),
        json!({
            "kind": "InitConfiguration",
            "patches": {"directory": text(&format!("settings/{PATCHES}"))},
        }),
        json!({
            "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": {"apiServerEndpoint": endpoint}},
        }),
        json!({
            "kind": "ClusterConfiguration",
            "controlPlaneEndpoint": endpoint,
            "apiServer": {
                "extraArgs": {
                    "api-audiences": format!("https://kubernetes.default.svc,{issuer}"),
                    "audit-log-path": text(AUDIT),
                    "audit-policy-file": text("settings/audit.json"),
                    "enable-aggregator-routing": "true",
                    "kubelet-preferred-address-types": "InternalIP",
                    "service-account-issuer": issuer,
                    "service-account-jwks-uri": jwks,
                },
                "extraVolumes": [
                    {"name": "audit-log", "hostPath": text(AUDIT), "mountPath": text(AUDIT), "pathType": "File"},
                    {
                        "name": "audit-policy",
                        "hostPath": text("settings/audit.json"),
                        "mountPath": text("settings/audit.json"),
                        "pathType": "File",
                        "readOnly": true,
                    },
                ],
            },
            "controllerManager": {"extraArgs": {
                // The network of Pods is not its business.
                "allocate-node-cidrs": "false",
                "kube-api-burst": "1000",
                "kube-api-qps": "500",
                "leader-elect": "false",
            }},
            "scheduler": {"extraArgs": {"leader-elect": "false"}},
            "etcd": {"local": {
                "dataDir": ETCD,
                "imageTag": tools.etcd,
                // A world does not outlive a power cut.
                "extraArgs": {"unsafe-no-fsync": "true"},
            }},
        }),
    ];
    json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": cluster,
        "networking": {
            "podSubnet": network.pods(),
            "serviceSubnet": network.services(),
            "disableDefaultCNI": true,
            "kubeProxyMode": "nftables",
            "dnsSearch": [],
        },
        "kubeadmConfigPatches": patches.map(|patch| patch.to_string()),
        "nodes": nodes,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::from_str;

    use super::*;
    use crate::{cluster::embedded::network::Network, judge::quantity::Cpu};

    /// What becomes of a cluster with so many nodes.
    fn with<T>(nodes: u8, check: impl Fn(&Settings<'_>, &Tools) -> T) -> T {
        let folder = Path::new("/w/gcp-1");
        let pair = json!({"certificate": "/c", "key": "/k"});
        let issuer = json!({"url": "https://issuer", "jwks": "https://issuer/keys", "key": "/k"});
        let gateway = json!({
            "https": "10.200.3.2:443", "metadata": "169.254.169.254:80", "control": "/s", "journal": "/j", "authority": pair,
            "issuer": issuer, "clouds": [],
        });
        let tools = Tools {
            kind: folder.into(),
            image: "localhost/node:1".into(),
            etcd: "3".into(),
            cache: folder.into(),
            artifacts: Vec::new(),
        };
        let inputs = Inputs {
            world: "gcp-1",
            folder,
            network: Network::new(3),
            nodes: &Node::all(nodes).collect::<Vec<Node>>(),
            reserved: Cpu(1060),
            kubernetes: folder,
            etcd: folder,
            coredns: folder,
            issuer: "https://issuer",
            jwks: "https://issuer/keys",
            images: folder,
            trust: folder,
            gateway: &serde_json::from_value(gateway).unwrap(),
        };
        check(&Settings(&inputs), &tools)
    }

    fn config_of(nodes: u8) -> Value {
        with(nodes, |settings, tools| config(settings, "trinity-e2e-gcp-1", tools, "/cache/unpacked"))
    }

    fn patches(of: &Value) -> Vec<Value> {
        let patches = of["kubeadmConfigPatches"].as_array().unwrap();
        patches.iter().map(|patch| from_str(patch.as_str().unwrap()).unwrap()).collect()
    }

    fn has_mount(node: &Value, from: &str, to: &str) -> bool {
        node["extraMounts"].as_array().unwrap().contains(&json!({"hostPath": from, "containerPath": to}))
    }

    #[test]
    fn kubeadm_is_told_what_an_embedded_cluster_is() {
        let config = config_of(1);
        assert_eq!(config["networking"]["podSubnet"], "10.201.3.0/24");
        let node = &config["nodes"][0];
        assert!(has_mount(node, "/w/gcp-1/pki", "/etc/kubernetes/pki"), "{config}");
        assert_eq!(patches(node), [json!({"kind": "InitConfiguration", "nodeRegistration": {"name": "node"}})]);
        let patches = patches(&config);
        assert_eq!(patches[0]["systemReserved"]["cpu"], "1060m");
        assert_eq!(patches[3]["controlPlaneEndpoint"], "10.200.3.2:6443");
        let api = &patches[3]["apiServer"]["extraArgs"];
        assert_eq!(api["service-account-issuer"], "https://issuer");
        assert_eq!(api["audit-log-path"], "/w/gcp-1/audit.jsonl");
        // This release of kubeadm's settings has arguments that are all texts.
        assert!(api.as_object().unwrap().values().all(Value::is_string), "{api}");
    }

    #[test]
    fn every_node_is_of_the_same_making() {
        let config = config_of(3);
        let nodes = config["nodes"].as_array().unwrap();
        let roles: Vec<&Value> = nodes.iter().map(|node| &node["role"]).collect();
        assert_eq!(roles, ["control-plane", "worker", "worker"]);
        for (node, kind, name) in [
            (&nodes[0], "InitConfiguration", "node"),
            (&nodes[1], "JoinConfiguration", "node-2"),
            (&nodes[2], "JoinConfiguration", "node-3"),
        ] {
            let registration = json!({"name": name, "taints": []});
            assert_eq!(patches(node), [json!({"kind": kind, "nodeRegistration": registration})]);
            assert!(has_mount(node, &format!("/w/gcp-1/nodes/{name}/kubelet"), "/var/lib/kubelet"), "{node}");
            assert!(has_mount(node, "/w/gcp-1/settings/containerd.toml", "/etc/containerd/config.toml"), "{node}");
        }
        assert!(has_mount(&nodes[2], "/w/gcp-1/logs/kubelet-3.log", "/var/log/trinity-e2e/kubelet.log"), "{config}");
        // There is what containerd is told of the first node's folder; the certificates there are kubeadm's business.
        assert!(has_mount(&nodes[1], "/w/gcp-1/nodes/node-2", "/w/gcp-1/nodes/node"), "{config}");
        assert!(!has_mount(&nodes[1], "/w/gcp-1/pki", "/etc/kubernetes/pki"), "{config}");
    }

    #[test]
    fn kind_starts_nodes_with_the_addresses_of_an_embedded_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let programs = ["shim", "real"].map(|name| folder.path().join(name));
        let shim = with(3, |settings, _| addressing("c", settings.0));
        for (program, text) in programs.iter().zip([shim.as_str(), "#!/bin/sh\necho \"$@\"\n"]) {
            fs::create_dir(program).unwrap();
            fs::write(program.join("docker"), text).unwrap();
            fs::set_permissions(program.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}:/usr/bin:/bin", programs[0].display(), programs[1].display());
        let told = |args: &[&str]| {
            let output = std::process::Command::new(programs[0].join("docker")).args(args).env("PATH", &path).output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        };
        for (node, address) in [("c-control-plane", 2), ("c-worker", 3), ("c-worker2", 4)] {
            let run = told(&["run", "--name", node, "--detach", "image"]);
            assert_eq!(run, format!("run --ip 10.200.3.{address} --name {node} --detach image\n"));
        }
        assert_eq!(told(&["ps", "--all"]), "ps --all\n");
    }

    #[test]
    fn a_node_finds_the_pods_of_the_others_and_the_gateway() {
        let routes = |number| with(2, |settings, _| routes(settings.0.nodes[number], settings.0));
        let [first, second] = [routes(0), routes(1)];
        for (routes, own, other) in [
            (&first, "addr add 169.254.169.254 dev lo", "route add 10.201.3.128/25 via 10.200.3.3"),
            (&second, "route add 169.254.169.254 via 10.200.3.2", "route add 10.201.3.0/25 via 10.200.3.2"),
        ] {
            let services = "route add 10.202.3.0/24 via 10.200.3.1";
            assert_eq!(routes[..], [services, "route replace unreachable default", other, own]);
        }
    }
}
