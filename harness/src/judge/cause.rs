//! Causes, from events (the conditions of External Secrets say the same for all) and the gateway's journal.

use std::fmt;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher, watcher::Config},
};
use trinity_emulators::journal;

use super::{
    drift,
    remote_write::Violation,
    shortage::{self, Shortage},
    start,
};
use crate::{
    failure::{Attempt, Failure, Result},
    observe::{kinds::Kind, wait},
    world::{Cloud, Description, OWN},
};

/// A cause that waiting does not cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The cloud does not let the operator in, or not to this secret.
    IdentityRefused {
        /// The cloud.
        cloud: Cloud,
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
    /// The backend has the secret, and no version of it that can be read.
    NoEnabledVersion {
        /// The object that wants it.
        object: String,
        /// What the cloud says.
        seen: String,
    },
    /// No registry has an image.
    ImageUnavailable {
        /// Its reference.
        image: String,
        /// The Pod that wants it.
        pod: String,
    },
    /// A Pod waits for a Secret that nothing makes.
    SecretAbsent {
        /// The Pod.
        pod: String,
        /// Name of the Secret.
        secret: String,
    },
    /// Prometheus does not run with the configuration that was meant.
    RenderedConfigWrong {
        /// The Pod or Deployment.
        pod: String,
        /// What is wrong, without values.
        seen: String,
    },
    /// Grafana Cloud does not take what Prometheus writes.
    RemoteWriteRefused {
        /// HTTP status.
        status: u16,
        /// Why.
        code: String,
    },
    /// Samples arrive with labels that are not this world's.
    Labels(Violation),
    /// Prometheus does not reach what it shall scrape.
    TargetDown {
        /// Job.
        job: String,
        /// Address.
        instance: String,
        /// Scrapes that have failed in a row.
        scrapes: usize,
    },
    /// No node has room for a Pod.
    NoRoom(Shortage),
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
            Self::IdentityRefused { cloud, link, seen } => {
                let (what, next) = link.explained(*cloud);
                write!(f, "{what}: {seen}\n  next: {next}")
            }
            Self::ValueMissing { object, key } => write!(
                f,
                "{object} wants {key:?}, and the backend has no such secret (Secret does not exist)\n  next: create it in the backend, or correct remoteRef.key"
            ),
            Self::NoEnabledVersion { object, seen } => write!(
                f,
                "{object} wants a secret whose current version is disabled or destroyed: {seen}\n  next: enable the version, or add a new one"
            ),
            Self::ImageUnavailable { image, pod } => write!(
                f,
                "{pod} wants {image}, which neither the component lock nor its own registry has\n  next: correct the reference, put the image into a mirror folder, or run where its registry can be reached"
            ),
            Self::SecretAbsent { pod, secret } => write!(
                f,
                "{pod} waits for Secret {secret}, and no ExternalSecret of its namespace makes one of that name\n  next: compare the name of the Secret in the Pod with spec.target.name of the ExternalSecret"
            ),
            Self::RenderedConfigWrong { pod, seen } => write!(
                f,
                "{pod}: {seen}\n  next: compare the template's placeholder with the init container's command, which has to quote what sed interprets (&, \\ and its delimiter)"
            ),
            Self::RemoteWriteRefused { status, code } => write!(
                f,
                "Grafana Cloud answers {status} ({code}) to what Prometheus writes\n  next: {}",
                refused_write(*status)
            ),
            Self::Labels(violation) => write!(
                f,
                "{violation}\n  next: correct global.external_labels in this cloud's Prometheus configuration, or what adds the label"
            ),
            Self::TargetDown { job, instance, scrapes } => write!(
                f,
                "Prometheus does not reach {instance} of job {job}: {scrapes} scrapes in a row have failed\n  next: compare the target with the Service's name and port, and look at the Pods behind it"
            ),
            Self::NoRoom(shortage) => shortage.fmt(f),
            Self::Drift { application, fields } => write!(
                f,
                "{application} stays OutOfSync, because the API server fills in list defaults that Git does not pin: {}\n  next: write these fields into Git with the values that the cluster has",
                fields.join(", ")
            ),
        }
    }
}

impl Link {
    /// What is broken, in the cloud's words, and what to do about it.
    const fn explained(self, cloud: Cloud) -> (&'static str, &'static str) {
        match (self, cloud) {
            (Self::Annotation, Cloud::Aws) => {
                ("the service account names no role", "annotate it with eks.amazonaws.com/role-arn")
            }
            (Self::Annotation, Cloud::Gcp) => (
                "the Kubernetes service account calls as itself, because it names no Google service account",
                "annotate it with iam.gke.io/gcp-service-account, or grant the role to the Kubernetes service account",
            ),
            (Self::Annotation, Cloud::Azure) => {
                ("the service account names no client id", "annotate it with azure.workload.identity/client-id")
            }
            (Self::Trust, Cloud::Aws) => (
                "the role does not trust the operator's token",
                "compare the role's trust policy with the token's issuer, audience and subject",
            ),
            (Self::Trust, Cloud::Gcp) => (
                "Google does not let the operator's token become the service account",
                "compare the member of roles/iam.workloadIdentityUser on the service account with the token's subject, and \
                 the cluster's workload pool with its audience",
            ),
            (Self::Trust, Cloud::Azure) => (
                "Entra ID does not accept the operator's token for the identity",
                "compare the identity's federated credential with the token's issuer, audience and subject",
            ),
            (Self::Permission, Cloud::Aws) => {
                ("the role may not read the secret", "allow it in a policy of the role, by the secret's ARN")
            }
            (Self::Permission, Cloud::Gcp) => (
                "the service account may not read the secret",
                "grant it roles/secretmanager.secretAccessor on the secret",
            ),
            (Self::Permission, Cloud::Azure) => (
                "the identity may not read the secret",
                "assign it Key Vault Secrets User on the secret, or an access policy with get",
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
            Self::NoEnabledVersion { .. } => "no-enabled-version",
            Self::ImageUnavailable { .. } => "image-unavailable",
            Self::SecretAbsent { .. } => "secret-absent",
            Self::RenderedConfigWrong { .. } => "rendered-config-wrong",
            Self::RemoteWriteRefused { .. } => "remote-write-refused",
            Self::Labels(violation) => violation.cause(),
            Self::TargetDown { .. } => "scrape-target-down",
            Self::NoRoom(shortage) => shortage.cause(),
            Self::Drift { .. } => "drift",
        }
    }
}

/// What to do about a refused remote write.
const fn refused_write(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "compare username and password in the backend with the stack's user and its token, and the token's scopes"
        }
        404 => "compare the path of the url in the backend with the stack's remote write endpoint",
        _ => "the message names the limit that the samples break",
    }
}

/// Operations in which a cluster's token becomes a cloud's credentials.
const EXCHANGES: [&str; 4] = [
    "iamcredentials:GenerateAccessToken",
    "login:Token",
    "securetoken:IdentityBindingToken",
    "sts:AssumeRoleWithWebIdentity",
];

/// The latest call of the platform that the cloud refused, among some operations; its journal line knows more than the
/// operator was told.
fn refusal<'a>(requests: &'a [journal::Line], operations: &[&str]) -> Option<&'a journal::Line> {
    let among = |l: &&journal::Line| l.note.action.as_deref().is_some_and(|action| operations.contains(&action));
    requests.iter().rev().filter(among).find(|l| !l.note.canary && l.note.code.is_some())
}

/// The cause that a message of the operator names for certain. Ordering problems ("store not ready") pass and are none.
/// `requests` are what the cloud was asked and answered.
pub fn classify(cloud: Cloud, object: &str, message: &str, requests: &[journal::Line]) -> Option<Cause> {
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    let refused = |link, line: Option<&journal::Line>| {
        let told = |line: &journal::Line| {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            format!("{}: {}", text(&line.note.code), text(&line.note.reason))
        };
        Some(Cause::IdentityRefused { cloud, link, seen: line.map_or_else(|| message.to_owned(), told) })
    };
    if says(&["an IAM role must be associated with service account", "azure.workload.identity/client-id' is missing"]) {
        return refused(Link::Annotation, None);
    }
    if says(&[
        "AssumeRoleWithWebIdentity",
        "unable to fetch identitybindingtoken",
        "unable to generate gcp access token",
        "AADSTS",
    ]) {
        return refused(Link::Trust, refusal(requests, &EXCHANGES));
    }
    if says(&["is in DISABLED state", "is in DESTROYED state", "SecretDisabled", "disabled secret"]) {
        return Some(Cause::NoEnabledVersion { object: object.to_owned(), seen: message.to_owned() });
    }
    if says(&["code = PermissionDenied"]) {
        let line = refusal(requests, &["secretmanager:AccessSecretVersion"]);
        // Without an annotation ESO calls with the pool's own token, whose principal has the pool in its name.
        let itself = line.is_some_and(|l| l.note.caller.as_ref().is_some_and(|c| c.contains(".svc.id.goog")));
        return refused(if itself { Link::Annotation } else { Link::Permission }, line);
    }
    if says(&["AccessDeniedException", "Code=\"Forbidden\"", "ERROR CODE: Forbidden"]) {
        return refused(Link::Permission, None);
    }
    if says(&["Secret does not exist"]) {
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
        cause = from_events(client, world) => cause,
        cause = from_applications(client, world) => cause,
        shortage = shortage::first(client, world) => shortage.map(Cause::NoRoom),
    }
}

async fn from_events(client: &Client, world: &Description) -> Result<Cause> {
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
        if event.metadata.namespace.as_deref().is_some_and(|namespace| namespace.starts_with(OWN)) {
            continue;
        }
        let kind = event.involved_object.kind.clone().unwrap_or_default();
        let object = format!("{kind} {}", event.involved_object.name.clone().unwrap_or_default());
        let message = event.message.clone().unwrap_or_default();
        let requests = || journal::read(&world.journal).attempting(attempted);
        let cause = match kind.as_str() {
            "ClusterSecretStore" | "ExternalSecret" => {
                let cause = classify(world.cloud, &object, &message, &requests()?);
                match cause.is_some() && healed(client, &event.involved_object).await? {
                    true => None,
                    false => cause,
                }
            }
            "Pod" => match not_pulled(&message) {
                Some(image) if world.lacks(image) => None,
                Some(image) if nobody_has(image, &requests()?) => {
                    Some(Cause::ImageUnavailable { image: image.to_owned(), pod: object })
                }
                Some(_) => None,
                None => start::of(client, &event).await?,
            },
            _ => None,
        };
        if let Some(cause) = cause {
            return Ok(cause);
        }
    }
    Err(Failure::new(attempted(), "the watch ended"))
}

/// Whether an External Secrets object is ready now, whatever its events say of the past.
async fn healed(client: &Client, object: &ObjectReference) -> Result<bool> {
    let (namespace, name) =
        (object.namespace.as_deref().unwrap_or_default(), object.name.as_deref().unwrap_or_default());
    let kind = match object.kind.as_deref() {
        Some("ExternalSecret") => Kind::ExternalSecret,
        _ => Kind::ClusterSecretStore,
    };
    let now = kind.within(client, namespace).get_opt(name).await.attempting(|| format!("read {name}"))?;
    let conditions = now.as_ref().and_then(|o| o.data["status"]["conditions"].as_array());
    Ok(conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True"))
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

    fn line(text: &str) -> journal::Line {
        let rest =
            r#""time":"2026-01-01T00:00:00Z","host":"h","method":"GET","path":"/","status":404,"milliseconds":0"#;
        serde_json::from_str(&format!("{{{rest},{text}}}")).unwrap()
    }

    #[test]
    fn messages_of_the_operator_name_their_cause() {
        let absent = "error processing spec.data[0] (key: provider-test-secret), err: Secret does not exist";
        assert_eq!(
            classify(Cloud::Aws, "ExternalSecret a", absent, &[]),
            Some(Cause::ValueMissing { object: "ExternalSecret a".into(), key: "provider-test-secret".into() })
        );
        let link = |cloud, message: &str| match classify(cloud, "x", message, &[]) {
            Some(Cause::IdentityRefused { link, .. }) => Some(link),
            _ => None,
        };
        for (cloud, expected, message) in [
            (Cloud::Aws, Link::Annotation, "an IAM role must be associated with service account a (namespace: b)"),
            (Cloud::Aws, Link::Trust, "operation error STS: AssumeRoleWithWebIdentity, https response error"),
            (Cloud::Aws, Link::Permission, "api error AccessDeniedException: User is not authorized"),
            (
                Cloud::Gcp,
                Link::Trust,
                "unable to fetch identitybindingtoken: could not get idbindtoken token, status: 403",
            ),
            (
                Cloud::Gcp,
                Link::Trust,
                "unable to generate gcp access token: rpc error: code = PermissionDenied desc = x",
            ),
            (Cloud::Gcp, Link::Permission, "unable to access Secret: rpc error: code = PermissionDenied desc = x"),
            (
                Cloud::Azure,
                Link::Annotation,
                "missing clientID: either serviceAccountRef or service account annotation 'azure.workload.identity/client-id' is missing",
            ),
            (
                Cloud::Azure,
                Link::Trust,
                "FromAssertion(): http call(…)(POST) error: reply status code was 401: AADSTS700213: No",
            ),
            (
                Cloud::Azure,
                Link::Permission,
                "keyvault.BaseClient#GetSecret: StatusCode=403 Code=\"Forbidden\" Message=\"x\"",
            ),
        ] {
            assert_eq!(link(cloud, message), Some(expected), "{message}");
        }
        let disabled = "rpc error: code = FailedPrecondition desc = Secret Version [x] is in DISABLED state.";
        assert_eq!(classify(Cloud::Gcp, "x", disabled, &[]).unwrap().name(), "no-enabled-version");
        assert_eq!(classify(Cloud::Aws, "x", "could not get ClusterSecretStore \"trinity-aws\", not found", &[]), None);
    }

    #[test]
    fn a_refusal_is_told_as_the_cloud_knows_it() {
        let requests = [
            line(r#""action":"login:Token","code":"AADSTS700213","reason":"the subject is a:b""#),
            line(r#""action":"login:Token","code":"AADSTS50013","reason":"forged","canary":true"#),
        ];
        let cause = classify(Cloud::Azure, "x", "AADSTS700213: No matching", &requests).unwrap();
        assert!(cause.to_string().contains("AADSTS700213: the subject is a:b"), "{cause}");
        let denied = "rpc error: code = PermissionDenied desc = x";
        let call = |caller| {
            line(&format!(
                r#""action":"secretmanager:AccessSecretVersion","code":"PERMISSION_DENIED","caller":"{caller}""#
            ))
        };
        let link = |caller| match classify(Cloud::Gcp, "x", denied, &[call(caller)]) {
            Some(Cause::IdentityRefused { link, .. }) => Some(link),
            _ => None,
        };
        assert_eq!(link("p.svc.id.goog[ns/name]"), Some(Link::Annotation));
        assert_eq!(link("a@p.iam.gserviceaccount.com"), Some(Link::Permission));
    }

    #[test]
    fn an_image_is_unavailable_only_when_nobody_has_it() {
        let refused =
            |image: &str| line(&format!(r#""code":"MANIFEST_UNKNOWN","reason":"nobody here has the image {image}""#));
        let image = not_pulled("Failed to pull image \"docker.io/some/app:2\": not found").unwrap();
        assert!(nobody_has(image, &[refused("docker.io/some/app:2")]));
        assert!(!nobody_has(image, &[refused("docker.io/some/app:1")]));
        assert!(!nobody_has(image, &[]));
        assert_eq!(not_pulled("Back-off pulling image \"docker.io/some/app:2\""), None);
    }
}
