//! The node: what kind and kubeadm are told, and what a node gets that they do not give it.

use std::fs;

use serde_json::{Value, json};

use super::{Inputs, NODE, Tools, docker::docker};
use crate::{
    cluster::embedded::settings::{AUDIT, Settings},
    command::Run,
    failure::{Attempt, Result},
};

/// Folder of patches for the control plane's Pods, in `settings`.
const PATCHES: &str = "kubeadm";
/// The Pods of the control plane.
const CONTROL_PLANE: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// Writes the configuration of the cluster.
///
/// # Errors
/// When a file cannot be written.
pub fn write(settings: &Settings<'_>, cluster: &str, tools: &Tools) -> Result<()> {
    for folder in [settings.path("etcd"), settings.path("settings").join(PATCHES)] {
        fs::create_dir_all(&folder).attempting(|| format!("make {}", folder.display()))?;
    }
    fs::write(settings.path(AUDIT), "").attempting(|| format!("make {AUDIT}"))?;
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
    Run::new(&tools.kind)
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

/// Routes of a node as those of an embedded cluster: Services have one, as kube-proxy translates their addresses after the kernel
/// has chosen it, and what else a Pod calls does not exist.
///
/// # Errors
/// When the node refuses.
pub async fn route(node: &str, inputs: &Inputs<'_>) -> Result<()> {
    let network = inputs.network;
    let metadata = inputs.metadata().map(|address| format!("addr add {address} dev lo"));
    let routes = [
        format!("route add {} via {}", network.services(), network.machine()),
        "route replace unreachable default".to_owned(),
    ];
    for arguments in routes.into_iter().chain(metadata) {
        docker(["exec", node, "ip"]).args(arguments.split(' ')).output().await?;
    }
    Ok(())
}

/// kind's configuration. The world's folder is at the same place on the node as on the machine.
fn config(settings: &Settings<'_>, cluster: &str, tools: &Tools, unpacked: &str) -> Value {
    let Inputs { network, issuer, jwks, folder, .. } = *settings.0;
    let text = |name: &str| settings.text(name);
    let same = |path: &str| json!({"hostPath": path, "containerPath": path});
    let at = |name: &str, path: &str| json!({"hostPath": text(name), "containerPath": path});
    let own = |name: &str| settings.of(NODE, name).display().to_string();
    let patches = [
        settings.habits(),
        json!({
            "kind": "InitConfiguration",
            "nodeRegistration": {"name": NODE.name()},
            "patches": {"directory": text(&format!("settings/{PATCHES}"))},
        }),
        json!({
            "kind": "ClusterConfiguration",
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
                "kube-api-burst": "1000",
                "kube-api-qps": "500",
                "leader-elect": "false",
            }},
            "scheduler": {"extraArgs": {"leader-elect": "false"}},
            "etcd": {"local": {
                "dataDir": text("etcd"),
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
        "nodes": [{
            "role": "control-plane",
            "image": tools.image,
            "extraMounts": [
                same(&folder.display().to_string()),
                {"hostPath": unpacked, "containerPath": unpacked, "readOnly": true},
                at("pki", "/etc/kubernetes/pki"),
                at("settings/containerd.toml", "/etc/containerd/config.toml"),
                at("logs", "/var/log/trinity-e2e"),
                {"hostPath": own("kubelet"), "containerPath": "/var/lib/kubelet"},
            ],
        }],
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::from_str;

    use super::*;
    use crate::{cluster::embedded::network::Network, judge::quantity::Cpu};

    #[test]
    fn kubeadm_is_told_what_an_embedded_cluster_is() {
        let folder = Path::new("/w/gcp-1");
        let pair = json!({"certificate": "/c", "key": "/k"});
        let issuer = json!({"url": "https://issuer", "jwks": "https://issuer/keys", "key": "/k"});
        let gateway = json!({
            "https": "10.200.3.2:443", "control": "/s", "journal": "/j", "authority": pair, "issuer": issuer, "clouds": [],
        });
        let settings = Settings(&Inputs {
            world: "gcp-1",
            folder,
            network: Network::new(3),
            nodes: &[NODE],
            reserved: Cpu(1060),
            kubernetes: folder,
            etcd: folder,
            coredns: folder,
            issuer: "https://issuer",
            jwks: "https://issuer/keys",
            images: folder,
            trust: folder,
            gateway: &serde_json::from_value(gateway).unwrap(),
        });
        let tools = Tools {
            kind: folder.into(),
            image: "localhost/node:1".into(),
            etcd: "3".into(),
            cache: folder.into(),
            artifacts: Vec::new(),
        };
        let config = config(&settings, "trinity-e2e-gcp-1", &tools, "/cache/unpacked");
        assert_eq!(config["networking"]["podSubnet"], "10.201.3.0/24");
        let mounts = config["nodes"][0]["extraMounts"].as_array().unwrap();
        assert!(
            mounts.contains(&json!({"hostPath": "/w/gcp-1/pki", "containerPath": "/etc/kubernetes/pki"})),
            "{mounts:?}"
        );
        let patches = config["kubeadmConfigPatches"].as_array().unwrap();
        let patches: Vec<Value> = patches.iter().map(|patch| from_str(patch.as_str().unwrap()).unwrap()).collect();
        assert_eq!(patches[0]["systemReserved"]["cpu"], "1060m");
        let api = &patches[2]["apiServer"]["extraArgs"];
        assert_eq!(api["service-account-issuer"], "https://issuer");
        assert_eq!(api["audit-log-path"], "/w/gcp-1/audit.jsonl");
        // This release of kubeadm's settings has arguments that are all texts.
        assert!(api.as_object().unwrap().values().all(Value::is_string), "{api}");
    }
}
