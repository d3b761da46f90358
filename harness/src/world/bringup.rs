//! Bringing a world up: cluster, gateway, clouds and Argo CD, as much at once as the order allows.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::try_join_all;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{self, ServiceAccount},
};
use kube::{
    Api, Client,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use trinity_emulators::{
    authority,
    canary::{Outcome, Probe},
    config, control, git, grafana,
};

use super::{
    Cloud, Description, Nodes, Parts, description, machine,
    ownership::{Claim, Estate},
    sweep,
};
use crate::{
    clock::Clock,
    cluster::{
        self, Cluster, Inputs,
        embedded::{cgroups::Hierarchies, network::Network, node::Node, settings},
    },
    components::{Chart, Store, cache::hash_bytes},
    failure::{Attempt, Failure, Result},
    folder,
    gitops::{argocd, layout::Layout, render::Renderer, rendered::Rendered, roots},
    observe::{answered, condition, until},
    workspace,
};

/// Where a machine of Google's cloud finds its metadata server.
const METADATA: (Ipv4Addr, u16) = (Ipv4Addr::new(169, 254, 169, 254), 80);
/// Time for a step of the bring-up; the slowest, Argo CD's first start, takes 20 s on two cores.
const STEP: Duration = Duration::from_secs(120);
/// Applications of the suites' own, below the workspace.
pub(crate) const SUITES: &str = "fixtures/suites";
/// Where Argo CD finds them, in every world.
pub const SUITES_URL: &str = "https://github.com/trinity/suites.git";
/// Time for a platform to come up, from its root application to all Synced and Healthy. An ExternalSecret that is there before
/// its store is tried again after 1 s, 2 s, 4 s and so on: one that finds it missing after two minutes is looked at after four.
pub const PLATFORM: Duration = Duration::from_secs(480);
/// What a world shall be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The cloud.
    pub cloud: Cloud,
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// Where things are in it.
    pub layout: Layout,
    /// File with the cloud's declared set-up.
    pub declared: PathBuf,
    /// File with Grafana Cloud's declared set-up.
    pub grafana: PathBuf,
    /// Its nodes.
    pub nodes: Nodes,
}

impl Wish {
    /// The platform rendered: that of a copy which was changed, which is another one than the run's. `cell` is the release of
    /// the operator whose root it has, where that is another one than the pinned.
    ///
    /// # Errors
    /// When the platform has no such root, or its root or settings cannot be read, or a program does not run.
    pub async fn rendered(&self, store: &Store, cell: Option<&str>) -> Result<Rendered> {
        let root = self.layout.root(&self.platform, self.cloud, cell)?;
        let renderer = Renderer::find(store, &self.platform, &self.platform.join(&self.layout.settings)).await?;
        renderer.all(&[(self.cloud, root)]).await
    }
}

/// A world that this process owns.
#[derive(Debug)]
pub struct World {
    /// What it is.
    pub description: Description,
    claim: Claim,
    cluster: Cluster,
}

impl World {
    /// Starts cluster, gateway and cloud; returns when the API server serves. `engine` is the socket of the Prometheus
    /// behind Grafana Cloud.
    ///
    /// # Errors
    /// What could not be started. What was made until then is removed; the logs are kept in `report`.
    pub async fn start(
        estate: &Estate,
        parts: &Parts,
        wish: &Wish,
        engine: &Path,
        run: &str,
        report: &Path,
    ) -> Result<Self> {
        let (claim, network) = estate.claim_world(wish.cloud.name(), run)?;
        match Self::build(&claim, network, parts, wish, engine, run).await {
            Ok((description, cluster)) => Ok(Self { description, claim, cluster }),
            Err(failure) => Err(abandon(&claim, report, &failure)),
        }
    }

    async fn build(
        claim: &Claim,
        network: Network,
        parts: &Parts,
        wish: &Wish,
        engine: &Path,
        run: &str,
    ) -> Result<(Description, Cluster)> {
        let folder = &claim.folder;
        let path = |name: &str| folder.join(name);
        let cloud = config::Cloud::read(wish.cloud.name(), &wish.declared)
            .attempting(|| format!("find out which {} it is", wish.cloud))?;
        let (issuer, jwks) = cloud.issuer(&hash_bytes(claim.name.as_bytes())[..32]);
        folder::in_memory(&path(description::KEYS))
            .attempting(|| format!("keep the keys of {} in memory", claim.name))?;
        let minted = authority::mint("trinity-e2e gateway").attempting(|| "mint the gateway's authority".into())?;
        write(&path("gateway.crt"), &minted.certificate, 0o644)?;
        write(&path("pki/gateway.key"), &minted.key, 0o600)?;
        let root = wish.layout.root(&wish.platform, wish.cloud, parts.operator.cell())?;
        let mut repositories = Vec::new();
        for (tree, bare, url) in [
            (wish.platform.clone(), path(description::PLATFORM), roots::repository(&root)?),
            (workspace().join(SUITES), path(description::SUITES), SUITES_URL.into()),
        ] {
            git::snapshot(&tree, &bare).await.attempting(|| format!("take a snapshot of {}", tree.display()))?;
            repositories.push(repository(&url, bare)?);
        }
        for revision in roots::revisions(&root)? {
            let named = git::alias(&path(description::PLATFORM), &revision).await;
            named.attempting(|| format!("serve the platform as {revision}, which its root follows"))?;
        }
        let gateway = config::Config {
            https: (network.node(), 443).into(),
            registry: Some(network.registry()),
            metadata: matches!(cloud, config::Cloud::Gcp(_)).then(|| METADATA.into()),
            control: path("control.sock"),
            journal: path("gateway.jsonl"),
            authority: config::Pair { certificate: path("gateway.crt"), key: path("pki/gateway.key") },
            git: repositories,
            charts: charts(&parts.charts)?,
            images: config::Images { blobs: parts.images.blobs.clone(), refs: parts.images.refs.clone() },
            issuer: config::Issuer { url: issuer.clone(), jwks: jwks.clone(), key: path("pki/sa.pub") },
            clouds: vec![cloud.clone()],
            grafana: Some(config::Grafana { declared: wish.grafana.clone(), engine: Some(engine.to_owned()) }),
        };
        write(
            &path(settings::GATEWAY),
            &serde_json::to_string_pretty(&gateway).attempting(|| "write the gateway's configuration".into())?,
            0o600,
        )?;
        let nodes = wish.nodes.each();
        let description = Description {
            run: run.into(),
            name: claim.name.clone(),
            cloud: wish.cloud,
            emulated: cloud,
            grafana: wish.grafana.clone(),
            folder: folder.clone(),
            kubectl: parts.kubernetes.join("kubectl"),
            nodes: nodes.iter().copied().map(Node::name).collect(),
            kubeconfig: path("pki/admin.conf"),
            control: path("control.sock"),
            journal: path("gateway.jsonl"),
            audit: path(settings::AUDIT),
            gateway: gateway.https,
            authority: path("gateway.crt"),
            issuer,
            jwks,
            token_key: path("pki/sa.key"),
            platform: wish.platform.clone(),
            settings: wish.platform.join(&wish.layout.settings),
            root,
            argocd_version: parts.argocd_version.clone(),
            operator: parts.operator.clone(),
            missing: parts.missing.iter().filter(|missing| missing.concerns(wish.cloud)).cloned().collect(),
            substituted: parts.substituted.clone(),
            components: parts.provenance.clone(),
            digest_key: hash_bytes(format!("{run}{}", minted.key).as_bytes()),
        };
        write(
            &path("world.json"),
            &serde_json::to_string_pretty(&description).attempting(|| "describe the world".into())?,
            0o600,
        )?;
        let inputs = Inputs {
            world: &claim.name,
            folder,
            network,
            nodes: &nodes,
            reserved: wish.nodes.reserved()?,
            kubernetes: &parts.kubernetes,
            etcd: &parts.etcd,
            coredns: &parts.coredns,
            issuer: &description.issuer,
            jwks: &description.jwks,
            images: &parts.unpacked,
            trust: &description.authority,
            gateway: &gateway,
        };
        let cluster = Cluster::start(&inputs, parts.kind.as_ref()).await?;
        Ok((description, cluster))
    }

    /// Ends only when a process of the world dies, with its last words, or when the machine fails it by the clock of its run.
    pub async fn broken(&self, clock: Clock) -> Failure {
        tokio::select! {
            failure = self.cluster.broken() => failure,
            failure = machine::fails(&self.description.folder, clock) => failure,
        }
    }

    /// Puts another release of Kubernetes, whose programs are in the folder `new`, in the place of that in `old`, in upstream's
    /// order: the API server, what else the control plane has, kube-proxy, the kubelets. Everything else goes on.
    ///
    /// The next program gives way when Pods are `served` by the API server again: a kube-proxy that ends while the Service
    /// `kubernetes` is without its endpoint leaves that endpoint's rules empty, and the one that follows takes what it finds for
    /// right, so that no Pod would reach the API server any more.
    ///
    /// # Errors
    /// When a program cannot be replaced, or does not become ready.
    pub async fn replace_kubernetes(
        &self,
        client: &Client,
        [old, new]: [&Path; 2],
        release: &str,
        served: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let Self { description, cluster, .. } = self;
        let settled = async || {
            description.api_ready(client).await?;
            served().await
        };
        cluster.replace(old, new, settled).await?;
        let nodes = description.nodes.iter().map(async |name| {
            let what = format!("{name} is Ready with the kubelet of {release}");
            until(Api::<v1::Node>::all(client.clone()), name, &what, STEP, condition::ready_node_of(release)).await
        });
        try_join_all(nodes).await.map(drop)
    }

    /// Ends the world and removes every trace of it.
    ///
    /// # Errors
    /// What is left.
    pub async fn stop(self) -> Result<()> {
        self.cluster.stop().await?;
        sweep::remove(&Hierarchies::find()?, &self.claim.folder, &self.claim.name)
    }

    /// Lets the world outlive this process.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn keep(self) -> Result<()> {
        self.cluster.keep().await?;
        self.claim.keep()
    }
}

impl Description {
    /// The most memory that all processes of the world have used at once (bytes), if the kernel tells.
    pub fn memory_peak(&self) -> Option<u64> {
        cluster::memory_peak(&Hierarchies::find().ok()?, &self.folder, &self.name)
    }

    /// A client with the administrator's rights.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client> {
        Client::try_from(self.access().await?).attempting(|| format!("use {}", self.kubeconfig.display()))
    }

    /// How to reach the API server with the administrator's rights.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn access(&self) -> Result<kube::Config> {
        // Chosen once for the process; a second choice would be the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let attempted = || format!("use {}", self.kubeconfig.display());
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).attempting(attempted)?;
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.attempting(attempted)
    }

    /// Waits until every part of the API server is up; it serves, incompletely, before.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn api_ready(&self, client: &Client) -> Result<()> {
        answered("the API server ready", STEP, async || {
            let request = http::Request::get("/readyz").body(Vec::new()).attempting(|| "ask for /readyz".into())?;
            client.request_text(request).await.map(|_| ()).attempting(|| "ask for /readyz".into())
        })
        .await
    }

    /// A client of the gateway's control interface.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn control(&self) -> Result<control::Client> {
        control::Client::connect(&self.control, self.cloud.name()).attempting(|| "reach the gateway".into())
    }

    /// A client of the gateway's control interface, for Grafana Cloud.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn grafana_control(&self) -> Result<control::Client> {
        control::Client::connect(&self.control, grafana::NAME).attempting(|| "reach the gateway".into())
    }

    /// Creates the declared secrets and tokens with these values.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn fill_cloud(&self, values: &BTreeMap<String, String>) -> Result<()> {
        self.control()?.apply(values.clone()).await.attempting(|| format!("set up cloud {}", self.cloud))?;
        self.grafana_control()?.apply(values.clone()).await.attempting(|| "set up Grafana Cloud".into())
    }

    /// Waits for API server and nodes, installs Argo CD, and waits until it is ready.
    ///
    /// # Errors
    /// What did not become ready.
    pub async fn install_argocd(&self, client: &Client, manifests: &Path) -> Result<()> {
        self.api_ready(client).await?;
        tracing::debug!("the API server is ready");
        let nodes = self.nodes.iter().map(async |name| {
            let api: Api<v1::Node> = Api::all(client.clone());
            until(api, name, &format!("{name} is Ready"), STEP, condition::ready_node).await
        });
        let install = argocd::install(client, manifests, &self.settings, &self.run);
        tokio::try_join!(try_join_all(nodes), install)?;
        argocd::ready(client, STEP).await
    }

    /// Sends the canaries, with a token that the cluster issues to a service account that every cluster has.
    ///
    /// # Errors
    /// When the account does not appear, or the gateway cannot be reached.
    pub async fn canaries(&self, client: &Client) -> Result<Vec<Outcome>> {
        let (namespace, account) = ("default", "default");
        let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        until(api.clone(), account, "the default service account exists", STEP, condition::exists).await?;
        let request = TokenRequest {
            spec: TokenRequestSpec { audiences: vec![self.emulated.audience()], ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let issued = api
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .attempting(|| format!("get a token of service account {namespace}/{account}"))?;
        let probe = Probe {
            gateway: self.gateway,
            authority: self.authority.clone(),
            cloud: self.emulated.clone(),
            issuer: self.issuer.clone(),
            token: issued.status.map(|s| s.token).unwrap_or_default(),
            token_key: self.token_key.clone(),
        };
        let attempted = || "send the canaries".to_owned();
        let mut outcomes = probe.run().await.attempting(attempted)?;
        let declared = grafana::declared::Declared::read(&self.grafana).attempting(attempted)?;
        let grafana = self.grafana_control()?;
        // Where suites have rotated the password, the first of the two tokens that may write is revoked.
        let writer = match grafana.secret("write").await {
            Ok(writer) => Ok(writer),
            Err(_) => grafana.secret("next").await,
        };
        let (writer, reader) = (writer.attempting(attempted)?, grafana.secret("read").await.attempting(attempted)?);
        outcomes.extend(grafana::canaries::run(&probe, &declared, &writer, &reader).await.attempting(attempted)?);
        Ok(outcomes)
    }
}

/// The bare repository `folder`, to be served under `url`.
fn repository(url: &str, folder: PathBuf) -> Result<config::Repository> {
    let (host, path) = place(url)?;
    if path.is_empty() {
        return Err(Failure::new(format!("serve the repository {url}"), "it has no path"));
    }
    Ok(config::Repository { host, path, folder })
}

/// The charts by their repositories, to be served under the URLs of these.
fn charts(charts: &[Chart]) -> Result<Vec<config::Charts>> {
    let mut repositories: BTreeMap<(String, String), Vec<PathBuf>> = BTreeMap::new();
    for Chart { repository, archive } in charts {
        repositories.entry(place(repository)?).or_default().push(archive.clone());
    }
    Ok(repositories.into_iter().map(|((host, path), archives)| config::Charts { host, path, archives }).collect())
}

/// Host and path of an https URL; the path has no slash at its end.
fn place(url: &str) -> Result<(String, String)> {
    let rest = url.strip_prefix("https://");
    let rest = rest.ok_or_else(|| Failure::new(format!("serve the repository {url}"), "it is not an https URL"))?;
    let rest = rest.trim_end_matches('/');
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Ok((host.into(), path.into()))
}

/// Writes a new file.
///
/// # Errors
/// When it is there already, or cannot be written.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .attempting(|| format!("write {}", path.display()))
}

/// Removes what there is of a world that did not come up, and says where its logs are.
pub(super) fn abandon(claim: &Claim, report: &Path, failure: &Failure) -> Failure {
    let logs = report.join("logs");
    let kept = copy_logs(&claim.folder.join("logs"), &logs)
        .map_or_else(|e| e.to_string(), |()| format!("its logs are in {}", logs.display()));
    let left = Hierarchies::find().and_then(|h| sweep::remove(&h, &claim.folder, &claim.name));
    let left = left.map_or_else(|e| format!("and {e}"), |()| "nothing else is left of it".to_owned());
    Failure::new(format!("bring up world {}", claim.name), format!("{failure} ({kept}, {left})"))
}

/// Copies the logs of a world's processes.
fn copy_logs(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).attempting(|| format!("make {}", to.display()))?;
    for log in fs::read_dir(from).into_iter().flatten().flatten() {
        fs::copy(log.path(), to.join(log.file_name())).attempting(|| format!("copy {}", log.path().display()))?;
    }
    Ok(())
}
