//! What a gateway plays, and where it listens: the file that `--config` names.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

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

/// An Azure tenant with one subscription.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Azure {
    /// Tenant id, a UUID.
    pub tenant: String,
    /// Subscription id, a UUID.
    pub subscription: String,
    /// File with the declared set-up, see [`crate::azure::declared`].
    pub declared: PathBuf,
}
