//! Causes, from the events of External Secrets (its conditions say the same for all) and the gateway's journal.

use std::{fmt, path::Path};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher, watcher::Config},
};
use trinity_emulators::journal;

use super::drift;
use crate::{
    failure::{Attempt, Failure, Result},
    observe::{kinds::Kind, wait},
    world::Description,
};

/// A cause that waiting does not cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The cloud does not trust the operator's token.
    IdentityRefused {
        /// The cloud's error code.
        code: String,
        /// What exactly was refused.
        reason: String,
    },
    /// The cloud knows the operator and does not let it read this secret.
    AccessDenied {
        /// The cloud's message.
        reason: String,
    },
    /// The backend has no such secret.
    SecretMissing {
        /// The object that wants it.
        object: String,
        /// Key in the backend.
        key: String,
    },
    /// The operator's service account has no cloud identity.
    ServiceAccountUnannotated {
        /// The operator's message.
        reason: String,
    },
    /// Git and the cluster differ for ever.
    Drift {
        /// Application.
        application: String,
        /// Object and the fields that the cluster has and Git has not.
        fields: Vec<String>,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdentityRefused { code, reason } => write!(f, "identity refused ({code}): {reason}"),
            Self::AccessDenied { reason } => write!(f, "access denied: {reason}"),
            Self::SecretMissing { object, key } => {
                write!(f, "secret missing in the backend: {object} wants {key:?} (Secret does not exist)")
            }
            Self::ServiceAccountUnannotated { reason } => {
                write!(f, "service account without cloud identity (eks.amazonaws.com/role-arn): {reason}")
            }
            Self::Drift { application, fields } => write!(
                f,
                "drift: {application} stays OutOfSync because Git does not pin list defaults that the API server fills in: {}",
                fields.join(", ")
            ),
        }
    }
}

impl Cause {
    /// One word for it, for machines.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::IdentityRefused { .. } => "identity-refused",
            Self::AccessDenied { .. } => "access-denied",
            Self::SecretMissing { .. } => "secret-missing",
            Self::ServiceAccountUnannotated { .. } => "service-account-unannotated",
            Self::Drift { .. } => "drift",
        }
    }
}

/// The cause that a message of the operator names for certain. Ordering problems ("store not ready") pass and are none.
pub fn classify(object: &str, message: &str, refusal: Option<&journal::Line>) -> Option<Cause> {
    let code = |line: &journal::Line| line.note.code.clone().unwrap_or_default();
    if message.contains("an IAM role must be associated with service account") {
        return Some(Cause::ServiceAccountUnannotated {
            reason: message.to_owned(),
        });
    }
    if message.contains("AssumeRoleWithWebIdentity") {
        let (code, reason) = match refusal {
            Some(line) => (code(line), line.note.reason.clone().unwrap_or_default()),
            None => ("unknown".into(), message.to_owned()),
        };
        return Some(Cause::IdentityRefused { code, reason });
    }
    if message.contains("AccessDeniedException") {
        return Some(Cause::AccessDenied {
            reason: message.to_owned(),
        });
    }
    if message.contains("Secret does not exist") {
        let key = message.split_once("(key: ").and_then(|(_, rest)| rest.split_once(')')).map_or("", |(key, _)| key);
        return Some(Cause::SecretMissing {
            object: object.to_owned(),
            key: key.to_owned(),
        });
    }
    None
}

/// Watches the world and returns the first cause that is certain. It ends only then, or when a watch is refused.
///
/// # Errors
/// When the API refuses a watch.
pub async fn first(client: &Client, world: &Description) -> Result<Cause> {
    tokio::select! {
        cause = from_events(client, &world.journal) => cause,
        cause = from_applications(client, world) => cause,
    }
}

async fn from_events(client: &Client, gateway: &Path) -> Result<Cause> {
    let attempted = || "watch the operator's events".to_owned();
    let config = Config::default().fields("type=Warning");
    let events = watcher(Api::<Event>::all(client.clone()), config).default_backoff().applied_objects();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(e) if wait::passing(&e) => continue,
            Err(e) => return Err(Failure::new(attempted(), e)),
        };
        let kind = event.involved_object.kind.clone().unwrap_or_default();
        if kind != "ExternalSecret" && kind != "ClusterSecretStore" {
            continue;
        }
        let object = format!("{kind} {}", event.involved_object.name.clone().unwrap_or_default());
        let refusals = journal::read(gateway).attempting(attempted)?;
        let refusal = refusals.iter().rev().find(|l| l.note.code.is_some() && l.note.action.as_deref() == Some("sts:AssumeRoleWithWebIdentity"));
        if let Some(cause) = classify(&object, &event.message.unwrap_or_default(), refusal) {
            return Ok(cause);
        }
    }
    Err(Failure::new(attempted(), "the watch ended"))
}

async fn from_applications(client: &Client, world: &Description) -> Result<Cause> {
    let attempted = || "watch the applications".to_owned();
    let applications = watcher(Kind::Application.all(client), Config::default()).default_backoff().applied_objects();
    let mut applications = std::pin::pin!(applications);
    loop {
        match applications.try_next().await {
            Ok(Some(application)) => {
                if let Some(cause) = drift::of(client, world, &application).await? {
                    return Ok(cause);
                }
            }
            Ok(None) => return Err(Failure::new(attempted(), "the watch ended")),
            Err(e) if wait::passing(&e) => {}
            Err(e) => return Err(Failure::new(attempted(), e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_operator_name_their_cause() {
        let absent = "error processing spec.data[0] (key: provider-test-secret), err: Secret does not exist";
        assert_eq!(
            classify("ExternalSecret a", absent, None),
            Some(Cause::SecretMissing {
                object: "ExternalSecret a".into(),
                key: "provider-test-secret".into()
            })
        );
        let refused = "operation error STS: AssumeRoleWithWebIdentity, https response error StatusCode: 403";
        assert_eq!(classify("x", refused, None).unwrap().name(), "identity-refused");
        let bare = "unable to create session: an IAM role must be associated with service account external-secrets (namespace: external-secrets)";
        assert_eq!(classify("x", bare, None).unwrap().name(), "service-account-unannotated");
        assert_eq!(classify("x", "could not get ClusterSecretStore \"trinity-aws\", not found", None), None);
    }
}
