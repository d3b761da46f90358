//! What a gateway plays, and where it listens: the file that `--config` names.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Configuration of one gateway process, JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// TLS listener; the server name decides which host is played.
    pub https: SocketAddr,
    /// Plain listener of the read-only image registry.
    pub registry: SocketAddr,
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
    pub images: Images,
    /// The cluster's issuer of service-account tokens.
    pub issuer: Issuer,
    /// The AWS account.
    pub aws: Aws,
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
    /// Public RSA key (PEM file).
    pub key: PathBuf,
}

/// An AWS account in one region.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Aws {
    /// Account id, 12 digits.
    pub account: String,
    /// Region.
    pub region: String,
    /// Base URL of the LocalStack that keeps the values.
    pub backend: String,
    /// File with the declared set-up, see [`crate::aws::declared`].
    pub declared: PathBuf,
}
