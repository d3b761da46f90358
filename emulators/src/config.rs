//! What a gateway plays, and where it listens: the file that `--config` names.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Attempt, Result};

/// Configuration of one gateway process, JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// TLS listener; the server name decides which host is played.
    pub https: SocketAddr,
    /// Plain listener of the read-only image registry; without one, no images are served.
    #[serde(default)]
    pub registry: Option<SocketAddr>,
    /// Plain listener of the machine's metadata server.
    #[serde(default)]
    pub metadata: Option<SocketAddr>,
    /// Unix socket of the control interface.
    pub control: PathBuf,
    /// File that gets one JSON line per request.
    pub journal: PathBuf,
    /// Certificate and key of the authority (PEM files).
    pub authority: Pair,
    /// Git repositories.
    #[serde(default)]
    pub git: Vec<Repository>,
    /// Helm repositories.
    #[serde(default)]
    pub charts: Vec<Charts>,
    /// Images.
    #[serde(default)]
    pub images: Images,
    /// The cluster's issuer of service-account tokens.
    pub issuer: Issuer,
    /// The clouds.
    pub clouds: Vec<Cloud>,
    /// Grafana Cloud; without it, nobody answers under its host.
    #[serde(default)]
    pub grafana: Option<Grafana>,
}

/// A stack of Grafana Cloud.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grafana {
    /// File with the declared set-up, see [`crate::grafana::declared`].
    pub declared: PathBuf,
    /// Unix socket of the Prometheus that keeps what is received and evaluates queries; without one, writes are only
    /// checked and recorded.
    #[serde(default)]
    pub engine: Option<PathBuf>,
}

/// PEM files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// Certificate.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// A Git repository that is served over smart HTTP, read-only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Repository {
    /// Host name.
    pub host: String,
    /// Path on that host, with or without `.git`, for example `/trinity/platform`.
    pub path: String,
    /// Bare repository.
    pub folder: PathBuf,
}

/// A Helm repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Charts {
    /// Host name.
    pub host: String,
    /// Path on that host, without a slash at its end; empty when it has the whole host.
    #[serde(default)]
    pub path: String,
    /// Chart archives (`.tgz`).
    pub archives: Vec<PathBuf>,
}

/// Images by the references that manifests use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Images {
    /// Folder of blobs: `<folder>/<sha256>`.
    pub blobs: PathBuf,
    /// Reference → manifest digest (`sha256:…`).
    pub refs: BTreeMap<String, String>,
}

/// Issuer of a cluster's service-account tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issuer {
    /// URL in the tokens' `iss`.
    pub url: String,
    /// URL of its key set, below `url`.
    pub jwks: String,
    /// Public RSA key (PEM file).
    pub key: PathBuf,
}

/// A cloud.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cloud")]
pub enum Cloud {
    /// Amazon Web Services.
    Aws(Aws),
    /// Google Cloud.
    Gcp(Gcp),
    /// Microsoft Azure.
    Azure(Azure),
}

impl Cloud {
    /// The cloud that a file declares: its `locals` are the fields of this type.
    ///
    /// # Errors
    /// When the file cannot be read or lacks one of them.
    pub fn read(name: &str, declared: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Locals {
            locals: serde_yaml::Mapping,
        }
        let attempted = || format!("read the locals of {}", declared.display());
        let text = std::fs::read_to_string(declared).attempting(attempted)?;
        let first = serde_yaml::Deserializer::from_str(&text).next();
        let first = first.ok_or_else(|| crate::Error::new(attempted(), "it is empty"))?;
        let Locals { mut locals } = Locals::deserialize(first).attempting(attempted)?;
        locals.insert("cloud".into(), name.into());
        locals.insert("declared".into(), declared.display().to_string().into());
        serde_yaml::from_value(locals.into()).attempting(attempted)
    }

    /// `aws`, `gcp` or `azure`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Aws(_) => "aws",
            Self::Gcp(_) => "gcp",
            Self::Azure(_) => "azure",
        }
    }

    /// File with the declared set-up.
    pub fn declared(&self) -> &Path {
        match self {
            Self::Aws(aws) => &aws.declared,
            Self::Gcp(gcp) => &gcp.declared,
            Self::Azure(azure) => &azure.declared,
        }
    }

    /// Audience that the cloud wants in service-account tokens.
    pub fn audience(&self) -> String {
        match self {
            Self::Aws(_) => "sts.amazonaws.com".into(),
            Self::Gcp(gcp) => gcp.pool(),
            Self::Azure(_) => "api://AzureADTokenExchange".into(),
        }
    }

    /// Host names that the cloud answers; `*` stands for any one label.
    pub fn hosts(&self) -> Vec<String> {
        match self {
            Self::Aws(aws) => ["sts", "secretsmanager"]
                .map(|service| format!("{service}.{}.amazonaws.com", aws.region))
                .into_iter()
                .chain(["sts.amazonaws.com".into()])
                .collect(),
            Self::Gcp(gcp) => [
                "securetoken.googleapis.com",
                "sts.googleapis.com",
                "iamcredentials.googleapis.com",
                "secretmanager.googleapis.com",
            ]
            .map(Into::into)
            .into_iter()
            .chain([format!("secretmanager.{}.rep.googleapis.com", gcp.location)])
            .collect(),
            Self::Azure(_) => {
                ["login.microsoftonline.com", "management.azure.com", "*.vault.azure.net"].map(Into::into).into()
            }
        }
    }

    /// URLs of issuer and key set of a cluster of EKS, GKE or AKS in this cloud; `id`, 32 hexadecimal digits, tells
    /// clusters apart where the URL does.
    pub fn issuer(&self, id: &str) -> (String, String) {
        match self {
            Self::Aws(aws) => {
                let url = format!("https://oidc.eks.{}.amazonaws.com/id/{}", aws.region, id.to_uppercase());
                (url.clone(), format!("{url}/keys"))
            }
            Self::Gcp(gcp) => {
                let url = gcp.issuer();
                (url.clone(), format!("{url}/jwks"))
            }
            Self::Azure(azure) => {
                let id = Uuid::try_parse(id).unwrap_or_default();
                let url = format!("https://{}.oic.prod-aks.azure.com/{}/{id}/", azure.location, azure.tenant);
                (url.clone(), format!("{url}openid/v1/jwks"))
            }
        }
    }
}

/// An AWS account in one region.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Aws {
    /// Account id, 12 digits.
    pub account: String,
    /// Region.
    pub region: String,
    /// File with the declared set-up, see [`crate::aws::declared`].
    pub declared: PathBuf,
}

/// A Google Cloud project with one cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gcp {
    /// Project id.
    pub project: String,
    /// Project number.
    pub number: String,
    /// Location of the cluster, for example `us-central1`.
    pub location: String,
    /// Name of the cluster.
    pub cluster: String,
    /// File with the declared set-up, see [`crate::gcp::declared`].
    pub declared: PathBuf,
}

impl Gcp {
    /// Issuer URL of the cluster's tokens, which is also how the token service names the cluster.
    pub fn issuer(&self) -> String {
        let Self { project, location, cluster, .. } = self;
        format!("https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{cluster}")
    }

    /// Workload identity pool of the project's clusters, the audience of their tokens.
    pub fn pool(&self) -> String {
        format!("{}.svc.id.goog", self.project)
    }
}

/// An Azure tenant with one subscription.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Azure {
    /// Tenant id, a UUID.
    pub tenant: String,
    /// Subscription id, a UUID.
    pub subscription: String,
    /// Location of the cluster, for example `eastus`.
    pub location: String,
    /// File with the declared set-up, see [`crate::azure::declared`].
    pub declared: PathBuf,
}
