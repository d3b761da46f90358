//! What a running world is and where its parts are: the file `world.json` in the world's folder.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use trinity_emulators::config;

use super::Cloud;
use crate::{
    backend::Place,
    components::{Artifact, Missing, Need},
    judge::verdict::{Outcome, Verdict},
};

/// A world that is up, as its owner wrote it down. Suites, `kubeconfig` and `down` read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    /// Identifies the run that made the world; every object the harness creates carries it.
    pub run: String,
    /// Name of the world, unique on this machine, for example `aws-3f9c`.
    pub name: String,
    /// The cloud.
    pub cloud: Cloud,
    /// Which account, project or tenant of it is emulated.
    pub emulated: config::Cloud,
    /// File with Grafana Cloud's declared set-up.
    pub grafana: PathBuf,
    /// Folder that holds everything of the world.
    pub folder: PathBuf,
    /// The kubectl of the release under test.
    pub kubectl: PathBuf,
    /// Names of its nodes.
    pub nodes: Vec<String>,
    /// Administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Unix socket of the gateway's control interface.
    pub control: PathBuf,
    /// The gateway's request journal, JSON lines.
    pub journal: PathBuf,
    /// The API server's audit log, JSON lines.
    pub audit: PathBuf,
    /// Address of the gateway's TLS listener, reachable from the machine, for example `10.200.0.2:443`.
    pub gateway: std::net::SocketAddr,
    /// Certificate authority that signed the gateway's certificates (PEM).
    pub authority: PathBuf,
    /// Issuer URL of the cluster's service-account tokens.
    pub issuer: String,
    /// URL of the issuer's key set.
    pub jwks: String,
    /// Private key that signs service-account tokens (PEM): canaries forge with it.
    pub token_key: PathBuf,
    /// Working tree of the platform under test.
    pub platform: PathBuf,
    /// The platform's root, a file or a folder.
    pub root: PathBuf,
    /// Folder with the platform's settings of Argo CD.
    pub settings: PathBuf,
    /// Release of Argo CD that the world began with, for example `3.2.11`.
    pub argocd_version: String,
    /// The operator under test.
    pub operator: Operator,
    /// What no source has: what needs it cannot work in this world.
    pub missing: Vec<Missing>,
    /// Images for which something stands in that only answers.
    pub substituted: Vec<Missing>,
    /// Where each component came from.
    pub components: Vec<Provenance>,
    /// Key of the equality-preserving digests of this run (hex).
    pub digest_key: String,
}

/// The External Secrets Operator of a world.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Operator {
    /// Release under test, for example `2.4.1`.
    pub version: String,
    /// Release that the platform pins.
    pub pinned: String,
    /// Why another release stands in for the pinned one; nothing when it was asked for.
    pub stands_in: Option<String>,
}

impl Operator {
    /// Whether the platform's own pin is under test.
    pub fn is_pinned(&self) -> bool {
        self.version == self.pinned
    }

    /// The cell of the platform that has this release; nothing when it is the platform itself.
    pub fn cell(&self) -> Option<&str> {
        (!self.is_pinned()).then_some(&self.version)
    }

    /// A verdict about the pinned release, when this run cannot say anything about it.
    pub fn not_run(&self) -> Vec<Verdict> {
        if self.is_pinned() {
            return Vec::new();
        }
        let why = self.stands_in.as_deref().unwrap_or("another release was asked for");
        vec![Verdict::new(
            "operator",
            format!("the platform works with external-secrets {}", self.pinned),
            Outcome::NotRun(why.into()),
        )]
    }
}

impl Missing {
    /// Whether worlds of the cloud are without it.
    pub fn concerns(&self, cloud: Cloud) -> bool {
        match &self.what {
            Need::Image(_) => true,
            Need::Application { cloud: of, .. } => *of == cloud,
        }
    }

    /// A verdict about what needs it, about which this run cannot say anything.
    pub fn not_run(&self) -> Verdict {
        let verdict = |group, claim| Verdict::new(group, claim, Outcome::NotRun(self.reason.clone()));
        match &self.what {
            Need::Image(image) => verdict("images", format!("what needs {image} works")),
            Need::Application { cloud, name, .. } => {
                verdict("applications", format!("application {name} is Synced and Healthy")).of(*cloud)
            }
        }
    }

    /// A verdict about what needs an image that something stands in for.
    pub fn substituted(&self) -> Verdict {
        let Verdict { group, claim, .. } = self.not_run();
        let why =
            format!("substituted: something that only answers ran in its place, because of this: {}", self.reason);
        Verdict::new(&group, claim, Outcome::Unproven(why))
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "external-secrets {}", self.version)?;
        match &self.stands_in {
            Some(_) => {
                write!(f, " in the place of {0}, which no source has: this run says nothing about {0}", self.pinned)
            }
            None if self.is_pinned() => Ok(()),
            None => write!(f, " as asked for: this run says nothing about {}, which the platform pins", self.pinned),
        }
    }
}

/// Origin of what stands in for something that no source has.
pub const SUBSTITUTED: &str = "substituted";

/// Name, version and origin of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Provenance {
    /// Name in the component lock.
    pub name: String,
    /// Version in the component lock.
    pub version: String,
    /// Where it came from: mirror, download, pull, build, Debian or PyPI.
    pub origin: String,
}

impl Provenance {
    /// Where an artifact came from.
    pub fn of(artifact: &Artifact) -> Self {
        let Artifact { name, version, origin, .. } = artifact;
        Self { name: name.clone(), version: version.clone(), origin: origin.to_string() }
    }
}

/// Folder of the Git repository with the platform's snapshot, in a world's folder.
pub const PLATFORM: &str = "platform.git";
/// Folder of that with what the suites' own applications consist of.
pub const SUITES: &str = "suites.git";
/// Folder in a world's folder with its keys, certificates and kubeconfigs. It is in memory.
pub const KEYS: &str = "pki";

impl Description {
    /// The bare Git repository that Argo CD reads the platform from.
    pub fn repository(&self) -> PathBuf {
        self.folder.join(PLATFORM)
    }

    /// Whether it was known before the world began that nobody has an image.
    pub fn lacks(&self, image: &str) -> bool {
        self.missing.iter().any(|missing| matches!(&missing.what, Need::Image(lacking) if lacking == image))
    }

    /// Names of the applications of which it was known before the world began that nobody has what they are made from.
    pub fn without(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().filter_map(|missing| missing.what.application())
    }

    /// Whether an application is one of these.
    pub fn is_without(&self, application: &str) -> bool {
        self.without().any(|name| name == application)
    }

    /// How people reach it: two lines for a shell.
    pub fn reached(&self) -> String {
        let (kubeconfig, kubectl) = (self.kubeconfig.display(), self.kubectl.display());
        format!("export KUBECONFIG={kubeconfig}\n{kubectl} get applications -A")
    }

    /// Where its cloud is played.
    pub fn place(&self) -> Place {
        let (authority, control) = (self.authority.clone(), self.control.clone());
        Place { cloud: self.emulated.clone(), gateway: self.gateway, authority, control }
    }

    /// Reads a world's `world.json`.
    ///
    /// # Errors
    /// When the file cannot be read or is not a world description.
    pub fn read(file: &Path) -> std::io::Result<Self> {
        serde_json::from_slice(&std::fs::read(file)?).map_err(std::io::Error::other)
    }
}
