//! What a gateway needs of a cloud, whichever it is.

use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Answer, Request, Result, aws, azure, clock::Clock, config, gcp, issuer::Trust};

/// What is under a cloud: its time, and the cluster's issuer that it knows. Clones share both.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Time.
    pub clock: Clock,
    /// The issuer of the cluster's tokens.
    pub trust: Trust,
}

/// An error that befalls any caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Too many calls.
    Throttled,
    /// The cloud's own fault.
    Internal,
}

/// What proves that a caller of a cloud's public API administers it. It is made at random for each process and is told
/// through the control interface only.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Credential {
    /// The long-lived access key of an IAM user.
    AccessKey {
        /// Access key id.
        key: String,
        /// Secret access key.
        secret: String,
    },
    /// An OAuth 2.0 access token.
    Bearer {
        /// The token.
        token: String,
    },
    /// A client secret of an application.
    Client {
        /// Client id.
        id: String,
        /// Client secret.
        secret: String,
    },
}

/// So that no secret gets into a log.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessKey { .. } => "AccessKey",
            Self::Bearer { .. } => "Bearer",
            Self::Client { .. } => "Client",
        })
    }
}

/// What will be there.
pub(crate) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One emulated cloud.
pub(crate) trait Cloud: Send + Sync {
    /// `aws`, `gcp`, `azure` or `grafana`.
    fn name(&self) -> &'static str;

    /// Whether a host name is this cloud's. Of several clouds that are asked in turn, the first wins.
    fn plays(&self, host: &str) -> bool;

    /// The operation that a request asks for, as the journal and the fault port name it, for example
    /// `secretsmanager:GetSecretValue`. Whatever the request is, this is no longer than a line.
    fn operation(&self, host: &str, request: &Request) -> String;

    /// Answers a request to one of its hosts. The journal gets the note; its `action` is filled in by the gateway.
    fn answer<'a>(&'a self, host: &'a str, request: Request) -> Later<'a, Answer>;

    /// The answer when something befalls the request before anybody looks at it, in the cloud's own form.
    fn trouble(&self, host: &str, request: &Request, trouble: Trouble) -> Answer;

    /// Replaces the declared identities and permissions, at once; secrets follow with [`Self::apply`].
    fn declare(&self, text: &str) -> Result<()>;

    /// Creates the declared secrets with the run's values (by the names in `${value:…}`) through the public API, as an
    /// administrator.
    fn apply<'a>(&'a self, values: &'a BTreeMap<String, String>) -> Later<'a, Result<()>>;

    /// Forgets every secret, also the deleted ones, as if none had ever been made.
    fn forget(&self);

    /// The administrator's credential; nothing when this cloud has no such caller.
    fn administrator(&self) -> Option<Credential>;

    /// The current value of a secret, by an administrator through the public API.
    fn read<'a>(&'a self, name: &'a str) -> Later<'a, Result<String>>;

    /// A new value of a secret, which is made when it does not exist.
    fn write<'a>(&'a self, name: &'a str, value: &'a str) -> Later<'a, Result<()>>;

    /// Deletes a secret as a routine deletion does: what the cloud can keep for recovery, it keeps.
    fn delete<'a>(&'a self, name: &'a str) -> Later<'a, Result<()>>;
}

/// Opens a configured cloud.
pub(crate) fn open(config: &config::Cloud, ground: &Ground) -> Result<Arc<dyn Cloud>> {
    Ok(match config {
        config::Cloud::Aws(config) => Arc::new(aws::Account::open(config, ground.clone())?),
        config::Cloud::Gcp(config) => Arc::new(gcp::Project::open(config, ground.clone())?),
        config::Cloud::Azure(config) => Arc::new(azure::Tenant::open(config, ground.clone())?),
    })
}
