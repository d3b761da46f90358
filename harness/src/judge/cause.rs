//! Causes, from events (the conditions of External Secrets say the same for all) and the gateway's journal.

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
    /// The cloud does not let the operator in, or not to this secret.
    IdentityRefused {
        /// Which link of the chain from service account to secret is broken.
        link: Link,
        /// What the cloud or the operator says.
        seen: String,
    },
    /// The backend has no such secret.
    ValueMissing {
        /// The object that wants it.
        object: String,
        /// Key in the backend.
        key: String,
    },
    /// No registry has an image.
    ImageUnavailable {
        /// Its reference.
        image: String,
        /// The Pod that wants it.
        pod: String,
    },
    /// Git and the cluster differ for ever.
    Drift {
        /// Application.
        application: String,
        /// Object and the fields that the cluster has and Git has not.
        fields: Vec<String>,
    },
}

/// A link of the chain of identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The service account says which cloud identity it has.
    Annotation,
    /// The cloud trusts the cluster's token for that identity.
    Trust,
    /// The identity may read the secret.
    Permission,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Self::IdentityRefused { link, seen } => {
                let (what, next) = match link {
                    Link::Annotation => {
                        ("the service account names no role", "annotate it with eks.amazonaws.com/role-arn")
                    }
                    Link::Trust => (
                        "the role does not trust the operator's token",
                        "compare the role's trust policy with the token's issuer, audience and subject",
                    ),
                    Link::Permission => {
                        ("the role may not read the secret", "allow it in a policy of the role, by the secret's ARN")
                    }
                };
                write!(f, "{what}: {seen}\n  next: {next}")
            }
            Self::ValueMissing { object, key } => write!(
                f,
                "{object} wants {key:?}, and the backend has no such secret (Secret does not exist)\n  next: create it in the backend, or correct remoteRef.key"
            ),
            Self::ImageUnavailable { image, pod } => write!(
                f,
                "{pod} wants {image}, which neither the component lock nor its own registry has\n  next: correct the reference, put the image into a mirror folder, or run where its registry can be reached"
            ),
            Self::Drift { application, fields } => write!(
                f,
                "{application} stays OutOfSync, because the API server fills in list defaults that Git does not pin: {}\n  next: write these fields into Git with the values that the cluster has",
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
            Self::ValueMissing { .. } => "value-missing",
            Self::ImageUnavailable { .. } => "image-unavailable",
            Self::Drift { .. } => "drift",
        }
    }
}

/// The cause that a message of the operator names for certain. Ordering problems ("store not ready") pass and are none.
/// `refusal` is the latest refusal of the cloud, which knows more than it told the operator.
pub fn classify(object: &str, message: &str, refusal: Option<&journal::Line>) -> Option<Cause> {
    let refused = |link, seen: &str| Some(Cause::IdentityRefused { link, seen: seen.to_owned() });
    if message.contains("an IAM role must be associated with service account") {
        return refused(Link::Annotation, message);
    }
    if message.contains("AssumeRoleWithWebIdentity") {
        let Some(line) = refusal else { return refused(Link::Trust, message) };
        let (code, reason) = (line.note.code.clone().unwrap_or_default(), line.note.reason.clone().unwrap_or_default());
        return refused(Link::Trust, &format!("{code}: {reason}"));
    }
    if message.contains("AccessDeniedException") {
        return refused(Link::Permission, message);
    }
    if message.contains("Secret does not exist") {
        let key = message.split_once("(key: ").and_then(|(_, rest)| rest.split_once(')')).map_or("", |(key, _)| key);
        return Some(Cause::ValueMissing { object: object.to_owned(), key: key.to_owned() });
    }
    None
}

/// The image that a Pod's event complains about.
fn not_pulled(message: &str) -> Option<&str> {
    message.strip_prefix("Failed to pull image \"")?.split('"').next()
}

/// Whether the registry has said that nobody has the image. Any other failure to pull may pass.
fn nobody_has(image: &str, requests: &[journal::Line]) -> bool {
    requests.iter().any(|l| {
        l.note.code.as_deref() == Some("MANIFEST_UNKNOWN")
            && l.note.reason.as_ref().is_some_and(|reason| reason.contains(image))
    })
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
        let object = format!("{kind} {}", event.involved_object.name.clone().unwrap_or_default());
        let message = event.message.unwrap_or_default();
        let requests = || journal::read(gateway).attempting(attempted);
        let cause = match kind.as_str() {
            "ClusterSecretStore" | "ExternalSecret" => {
                let requests = requests()?;
                let assumed = |l: &&journal::Line| l.note.action.as_deref() == Some("sts:AssumeRoleWithWebIdentity");
                let refusal = requests.iter().rev().filter(assumed).find(|l| !l.note.canary && l.note.code.is_some());
                classify(&object, &message, refusal)
            }
            "Pod" => match not_pulled(&message) {
                Some(image) if nobody_has(image, &requests()?) => {
                    Some(Cause::ImageUnavailable { image: image.to_owned(), pod: object })
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(cause) = cause {
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
            Some(Cause::ValueMissing { object: "ExternalSecret a".into(), key: "provider-test-secret".into() })
        );
        let link = |message: &str| match classify("x", message, None) {
            Some(Cause::IdentityRefused { link, .. }) => Some(link),
            _ => None,
        };
        assert_eq!(
            link("operation error STS: AssumeRoleWithWebIdentity, https response error StatusCode: 403"),
            Some(Link::Trust)
        );
        assert_eq!(
            link("unable to create session: an IAM role must be associated with service account a (namespace: b)"),
            Some(Link::Annotation)
        );
        assert_eq!(link("api error AccessDeniedException: User is not authorized"), Some(Link::Permission));
        assert_eq!(classify("x", "could not get ClusterSecretStore \"trinity-aws\", not found", None), None);
    }

    #[test]
    fn an_image_is_unavailable_only_when_nobody_has_it() {
        let line = |reason: &str| {
            let text = format!(
                r#"{{"time":"2026-01-01T00:00:00Z","host":"registry","method":"GET","path":"/","status":404,"milliseconds":0,"code":"MANIFEST_UNKNOWN","reason":"{reason}"}}"#
            );
            serde_json::from_str::<journal::Line>(&text).unwrap()
        };
        let image = not_pulled("Failed to pull image \"docker.io/some/app:2\": not found").unwrap();
        assert!(nobody_has(image, &[line("nobody here has the image docker.io/some/app:2")]));
        assert!(!nobody_has(image, &[line("nobody here has the image docker.io/some/app:1")]));
        assert!(!nobody_has(image, &[]));
        assert_eq!(not_pulled("Back-off pulling image \"docker.io/some/app:2\""), None);
    }
}
