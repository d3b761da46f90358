//! Configuration of every process of an embedded cluster: files in the world's folder, and the [`Plan`].

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use trinity_emulators::config;

use super::{
    cgroups::Hierarchies,
    network::Network,
    node::Node,
    pki,
    plan::{Plan, Process},
};
use crate::{
    components::{image, unpacked},
    failure::{Attempt, Failure, Result},
    judge::quantity::Cpu,
    observe::audit,
};

/// Where containers, and the programs in them, look for trusted authorities (Debian, Alpine and distroless agree).
const TRUST: &str = "/etc/ssl/certs/ca-certificates.crt";
/// File in a world's folder that holds the machine's network namespace.
pub const OUTSIDE: &str = "outside";
/// File in a world's folder with the gateway's configuration.
pub const GATEWAY: &str = "gateway.json";
/// File in a world's folder that holds the API server's audit log.
pub const AUDIT: &str = "audit.jsonl";
/// Folder of etcd's data in a world's folder, as the world sees it: it is in memory, so that no Secret is on a disk.
const ETCD: &str = "etcd";
/// The sandbox image; containerd has to be told, no manifest names it.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10";

/// What a cluster is made from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The world's name.
    pub world: &'a str,
    /// The world's folder.
    pub folder: &'a Path,
    /// The world's addresses.
    pub network: Network,
    /// Its nodes, the first one first.
    pub nodes: &'a [Node],
    /// Processors of each that Pods do not get.
    pub reserved: Cpu,
    /// Folder with kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy and kubelet.
    pub kubernetes: &'a Path,
    /// The etcd program.
    pub etcd: &'a Path,
    /// The CoreDNS program.
    pub coredns: &'a Path,
    /// Issuer URL of service-account tokens.
    pub issuer: &'a str,
    /// URL of the issuer's key set.
    pub jwks: &'a str,
    /// Folder of unpacked images.
    pub images: &'a Path,
    /// Certificate authorities that every container trusts (PEM file).
    pub trust: &'a Path,
    /// The gateway's configuration, which is in the world's folder under the name [`GATEWAY`].
    pub gateway: &'a config::Config,
}

impl Inputs<'_> {
    /// The gateway's address beside that of the first node.
    pub fn metadata(&self) -> Option<IpAddr> {
        self.gateway.metadata.map(|address| address.ip())
    }
}

/// Writes the configuration files and returns what PID 1 has to run.
///
/// # Errors
/// When a file cannot be written or containerd's tool cannot print its default container.
pub fn write(inputs: &Inputs) -> Result<Plan> {
    let settings = Settings(inputs);
    settings.any_cluster()?;
    pki::write(&inputs.folder.join("pki"), inputs.network, inputs.nodes)?;
    for node in inputs.nodes {
        settings.save(&format!("{}.json", node.process("kubelet")), &settings.kubelet(*node).to_string())?;
    }
    settings.pod_network(|_| inputs.network.pods())?;
    settings.save("kube-proxy.json", &settings.kube_proxy().to_string())?;
    settings.save("Corefile", &settings.dns())?;
    let program = std::env::current_exe().attempting(|| "find the harness's own program".into())?;
    let mut processes = settings.processes();
    processes.push(
        Process::new("gateway", program)
            .args(["gateway".into(), "--outside".into(), settings.text(OUTSIDE), settings.text(GATEWAY)])
            .notifies(),
    );
    Ok(Plan {
        world: inputs.world.into(),
        logs: inputs.folder.join("logs"),
        hostname: Node::FIRST.name(),
        network: inputs.network,
        nodes: inputs.nodes.iter().map(|node| node.address(inputs.network)).collect(),
        addresses: inputs.metadata().into_iter().collect(),
        scratch: ["/run", "/var/log", "/var/lib/cni"]
            .map(PathBuf::from)
            .into_iter()
            .chain([settings.path(ETCD)])
            .collect(),
        aliases: inputs.nodes.iter().map(|node| (root(*node).into(), settings.of(*node, "kubelet"))).collect(),
        outside: inputs.folder.join(OUTSIDE),
        sysctls: vec![("net/ipv4/ip_forward".into(), "1".into())],
        processes,
    })
}

/// The files of a cluster, whatever makes it.
pub struct Settings<'a>(pub &'a Inputs<'a>);

impl Settings<'_> {
    /// Folders, unpacked images, and the settings of containerd, of the audit log and of name resolution.
    ///
    /// # Errors
    /// When a file cannot be written or containerd's tool cannot print its default container.
    pub fn any_cluster(&self) -> Result<()> {
        let Inputs { nodes, images, network, .. } = self.0;
        let own = nodes.iter().flat_map(|node| ["cni", "kubelet", "tmp"].map(|folder| self.of(*node, folder)));
        let shared = ["logs", "settings/registry/_default"].map(|folder| self.path(folder));
        for folder in shared.into_iter().chain(own) {
            fs::create_dir_all(&folder).attempting(|| format!("make {}", folder.display()))?;
        }
        self.container()?;
        for node in *nodes {
            unpacked::furnish(images, &self.of(*node, "containerd"))?;
            self.save(&format!("{}.toml", node.process("containerd")), &self.containerd(*node))?;
        }
        self.save("registry/_default/hosts.toml", &image::mirror(&network.registry().to_string()))?;
        self.save("audit.json", &audit::policy().to_string())?;
        self.save("resolv.conf", &format!("nameserver {}\n", network.dns()))
    }

    /// Path of a file or folder of the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.folder.join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A node's own file or folder.
    pub fn of(&self, node: Node, name: &str) -> PathBuf {
        self.path("nodes").join(node.name()).join(name)
    }

    /// Writes a file of the folder `settings`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path("settings").join(name);
        fs::write(&path, text).attempting(|| format!("write {}", path.display()))
    }

    /// The container every container starts from: containerd's default, and the authorities that this world trusts.
    fn container(&self) -> Result<()> {
        let attempted = || "read containerd's default container (`ctr oci spec`)".to_owned();
        let output = Command::new("ctr").args(["oci", "spec"]).output().attempting(attempted)?;
        if !output.status.success() {
            return Err(Failure::new(attempted(), String::from_utf8_lossy(&output.stderr)));
        }
        let mut spec: Value = serde_json::from_slice(&output.stdout).attempting(attempted)?;
        let Some(mounts) = spec["mounts"].as_array_mut() else {
            return Err(Failure::new(attempted(), "it has no mounts"));
        };
        mounts.push(json!({
            "destination": TRUST, "type": "bind", "source": self.0.trust, "options": ["rbind", "ro"],
        }));
        self.save("container.json", &spec.to_string())
    }

    fn containerd(&self, node: Node) -> String {
        let [root, opt, cni] = ["containerd", "opt", "cni"].map(|name| self.of(node, name).display().to_string());
        let (state, socket) = (state(node), socket(node));
        let (container, registry) = (self.text("settings/container.json"), self.text("settings/registry"));
        format!(
            r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [
  "io.containerd.internal.v1.tracing", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# A machine that is itself confined may not lower a process's OOM score.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{cni}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
base_runtime_spec = "{container}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{registry}"
"#
        )
    }

    /// Connects the Pods of each node, whose addresses are in a `subnet`; the node is Ready when this is written. Every Pod has
    /// its own cable to the node, so that all its traffic is routed and Services work for neighbours without bridge netfilter.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn pod_network(&self, subnet: impl Fn(Node) -> String) -> Result<()> {
        for node in self.0.nodes {
            let network = json!({
                "cniVersion": "0.4.0",
                "name": "pods",
                "plugins": [{
                    "type": "ptp",
                    "ipam": {
                        "type": "host-local",
                        "dataDir": "/run/cni",
                        "ranges": [[{"subnet": subnet(*node)}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }],
            });
            let path = self.of(*node, "cni/10-pods.conflist");
            fs::write(&path, network.to_string()).attempting(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// How a kubelet treats the machine and its Pods, whoever started it.
    pub fn habits(&self) -> Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "cgroupfs",
            // The machine is the user's: the kubelet neither reserves it nor clears Pods or images off it.
            "enforceNodeAllocatable": [],
            "evictionHard": {
                "imagefs.available": "0%", "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            "failCgroupV1": false,
            "failSwapOn": false,
            "makeIPTablesUtilChains": false,
            "oomScoreAdj": 0,
            "protectKernelDefaults": false,
            "resolvConf": self.path("settings/resolv.conf"),
            "serializeImagePulls": false,
            // A Pod that was faster than the Secret it mounts (the operator's webhook is, now and then) sees it after this time,
            // by default a minute.
            "syncFrequency": "5s",
            "systemReserved": {"cpu": self.0.reserved},
        })
    }

    fn kubelet(&self, node: Node) -> Value {
        let address = node.address(self.0.network);
        let pki = |suffix: &str| self.path(&format!("pki/{}.{suffix}", node.process("kubelet")));
        let mut config = self.habits();
        let own = json!({
            "address": address,
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": self.path("pki/ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupRoot": Hierarchies::pods(self.0.world, node),
            "clusterDNS": [self.0.network.dns()],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": format!("unix://{}", socket(node)),
            "healthzBindAddress": address,
            // A kubelet removes the logs there of Pods that it does not know.
            "podLogsDir": format!("/var/log/{}", node.process("pods")),
            "tlsCertFile": pki("crt"),
            "tlsPrivateKeyFile": pki("key"),
            "volumePluginDir": format!("{}/plugins", root(node)),
        });
        if let (Some(config), Value::Object(own)) = (config.as_object_mut(), own) {
            config.extend(own);
        }
        config
    }

    fn kube_proxy(&self) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": self.path("pki/proxy.conf")},
            "clusterCIDR": self.0.network.pods(),
            // Zero leaves the machine's connection tracking limits alone.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
            // Its rules are for the namespace, so they serve the Pods of all nodes.
            "hostnameOverride": Node::FIRST.name(),
            "mode": "nftables",
        })
    }

    fn dns(&self) -> String {
        let (bind, admin) = (format!("  bind {}\n", self.0.network.dns()), self.text("pki/admin.conf"));
        corefile(self.0.network, [&bind, &bind], &format!("    kubeconfig {admin}\n"))
    }

    fn processes(&self) -> Vec<Process> {
        let Inputs { network, kubernetes, .. } = *self.0;
        let pki = |name: &str| self.text(&format!("pki/{name}"));
        let node = network.node();
        let mut processes = vec![
            Process::new("etcd", self.0.etcd)
                .args([
                    format!("--data-dir={}", self.text(ETCD)),
                    "--listen-client-urls=http://127.0.0.1:2379".into(),
                    "--advertise-client-urls=http://127.0.0.1:2379".into(),
                    "--listen-peer-urls=http://127.0.0.1:2380".into(),
                    "--log-level=warn".into(),
                    // A world does not outlive a power cut.
                    "--unsafe-no-fsync".into(),
                ])
                .notifies(),
            Process::new("kube-apiserver", kubernetes.join("kube-apiserver"))
                .args([
                    format!("--advertise-address={node}"),
                    "--allow-privileged=true".into(),
                    format!("--audit-log-path={}", self.text(AUDIT)),
                    format!("--audit-policy-file={}", self.text("settings/audit.json")),
                    format!("--api-audiences=https://kubernetes.default.svc,{}", self.0.issuer),
                    "--authorization-mode=Node,RBAC".into(),
                    format!("--client-ca-file={}", pki("ca.crt")),
                    "--enable-aggregator-routing=true".into(),
                    "--etcd-servers=http://127.0.0.1:2379".into(),
                    format!("--kubelet-certificate-authority={}", pki("ca.crt")),
                    format!("--kubelet-client-certificate={}", pki("apiserver-kubelet-client.crt")),
                    format!("--kubelet-client-key={}", pki("apiserver-kubelet-client.key")),
                    "--kubelet-preferred-address-types=InternalIP".into(),
                    format!("--proxy-client-cert-file={}", pki("front-proxy-client.crt")),
                    format!("--proxy-client-key-file={}", pki("front-proxy-client.key")),
                    "--requestheader-allowed-names=front-proxy-client".into(),
                    format!("--requestheader-client-ca-file={}", pki("ca.crt")),
                    "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
                    "--requestheader-group-headers=X-Remote-Group".into(),
                    "--requestheader-username-headers=X-Remote-User".into(),
                    format!("--service-account-issuer={}", self.0.issuer),
                    format!("--service-account-jwks-uri={}", self.0.jwks),
                    format!("--service-account-key-file={}", pki("sa.pub")),
                    format!("--service-account-signing-key-file={}", pki("sa.key")),
                    format!("--service-cluster-ip-range={}", network.services()),
                    // Without a time for watches, one that is told to end waits a minute for them, and takes no request meanwhile.
                    "--shutdown-watch-termination-grace-period=5s".into(),
                    format!("--tls-cert-file={}", pki("apiserver.crt")),
                    format!("--tls-private-key-file={}", pki("apiserver.key")),
                ])
                .after("etcd")
                .notifies(),
            Process::new("kube-controller-manager", kubernetes.join("kube-controller-manager"))
                .args([
                    "--allocate-node-cidrs=false".into(),
                    format!("--cluster-signing-cert-file={}", pki("ca.crt")),
                    format!("--cluster-signing-key-file={}", pki("ca.key")),
                    // It makes a client with its own account for each controller: a hundred requests that the default of
                    // twenty a second holds up for five seconds.
                    "--kube-api-burst=1000".into(),
                    "--kube-api-qps=500".into(),
                    format!("--kubeconfig={}", pki("controller-manager.conf")),
                    "--leader-elect=false".into(),
                    format!("--root-ca-file={}", pki("ca.crt")),
                    format!("--service-account-private-key-file={}", pki("sa.key")),
                    "--use-service-account-credentials=true".into(),
                ])
                .after("kube-apiserver"),
            Process::new("kube-scheduler", kubernetes.join("kube-scheduler"))
                .args([format!("--kubeconfig={}", pki("scheduler.conf")), "--leader-elect=false".into()])
                .after("kube-apiserver"),
            Process::new("kube-proxy", kubernetes.join("kube-proxy"))
                .args([format!("--config={}", self.text("settings/kube-proxy.json"))])
                .after("kube-apiserver"),
            Process::new("coredns", self.0.coredns)
                .args(["-conf".into(), self.text("settings/Corefile")])
                .after("kube-apiserver"),
        ];
        processes.extend(self.0.nodes.iter().flat_map(|node| self.own(*node)));
        processes
    }

    /// The processes of one node. Wherever its root is, a kubelet clears `/var/lib/kubelet/device-plugins` and listens there;
    /// of two that do so at once, one would find the address in use and die. So each waits for the one before.
    fn own(&self, node: Node) -> [Process; 2] {
        let before =
            self.0.nodes.iter().take_while(|other| **other != node).last().map(|other| other.process("kubelet"));
        let [containerd, kubelet] = ["containerd", "kubelet"].map(|program| node.process(program));
        [
            Process::new(&containerd, "containerd")
                .args([format!("--config={}", self.text(&format!("settings/{containerd}.toml")))])
                // Each containerd begins by unmounting whatever is in the folder for its temporary mounts.
                .env("TMPDIR", self.of(node, "tmp").display().to_string())
                .notifies(),
            Process::new(&kubelet, self.0.kubernetes.join("kubelet"))
                .args([
                    format!("--config={}", self.text(&format!("settings/{kubelet}.json"))),
                    format!("--hostname-override={}", node.name()),
                    format!("--kubeconfig={}", self.text(&format!("pki/{kubelet}.conf"))),
                    format!("--node-ip={}", node.address(self.0.network)),
                    format!("--root-dir={}", root(node)),
                ])
                .after(&containerd)
                .after(before.as_deref().unwrap_or("kube-apiserver"))
                .notifies(),
        ]
    }
}

/// Names of the cluster, and the gateway's address for every other host name: a call to a host that the gateway does not
/// play then arrives there, is refused, and is found in its journal. A name without a dot is no host. What CoreDNS needs
/// beside that are lines for the names of the cluster and for the others, and for how it reaches the API server.
pub fn corefile(network: Network, own: [&str; 2], access: &str) -> String {
    let (gateway, [cluster, others]) = (network.node(), own);
    format!(
        r#"cluster.local:53 in-addr.arpa:53 {{
{cluster}  errors
  kubernetes cluster.local in-addr.arpa {{
{access}    pods insecure
    ttl 5
  }}
}}
.:53 {{
{others}  errors
  template IN A . {{
    match "[^.][.][^.]"
    answer "{{{{ .Name }}}} 60 IN A {gateway}"
    fallthrough
  }}
  template IN ANY . {{
    match "[^.][.][^.]"
    rcode NOERROR
    fallthrough
  }}
  template ANY ANY . {{
    rcode NXDOMAIN
  }}
}}
"#
    )
}

/// Where a node's containerd keeps what does not outlive it; the world's /run is in memory.
fn state(node: Node) -> String {
    format!("/run/{}", node.process("containerd"))
}

/// A node's kubelet knows its folder by this path: it makes Unix sockets below, whose paths the kernel limits to 107
/// bytes, and the world's folder is as deep as the user likes.
fn root(node: Node) -> String {
    format!("/run/{}", node.process("kubelet"))
}

fn socket(node: Node) -> String {
    format!("{}/containerd.sock", state(node))
}
