//! The search for a cause while something is awaited: what is certain ends the wait, what may pass is remembered, and
//! explains the wait if it does not end well.

use std::{cell::RefCell, collections::BTreeMap};

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject},
    runtime::{WatchStreamExt, watcher, watcher::Config},
};
use trinity_emulators::journal;

use super::{Cause, Kind, application, message, operator};
use crate::{
    failure::{Attempt, Failure, Result},
    judge::{drift, shortage, start},
    observe::{condition, key, kinds, wait},
    world::{Description, OWN},
};

/// Does `wait`, and says why it did not end well: at once when the cause is certain, otherwise when `wait` gives up. What was
/// seen before `since` is past.
///
/// # Errors
/// The cause.
pub async fn explained<T>(
    client: &Client,
    world: &Description,
    since: Timestamp,
    wait: impl Future<Output = Result<T>>,
) -> Result<T, Cause> {
    let search = Search { client, world, since, suspects: RefCell::default() };
    tokio::select! {
        outcome = wait => match outcome {
            Ok(outcome) => Ok(outcome),
            Err(failure) => Err(search.explain(&failure).await),
        },
        found = search.certain() => Err(found.unwrap_or_else(|failure| Cause::new(Kind::Unknown, failure.to_string()))),
    }
}

struct Search<'a> {
    client: &'a Client,
    world: &'a Description,
    since: Timestamp,
    /// By what is accused.
    suspects: RefCell<BTreeMap<String, Suspect>>,
}

/// What may be the cause, and may pass.
struct Suspect {
    object: ObjectReference,
    cause: Cause,
}

impl Search<'_> {
    /// The first cause that is certain.
    async fn certain(&self) -> Result<Cause> {
        tokio::select! {
            cause = self.among_events() => cause,
            cause = self.among_applications() => cause,
            shortage = shortage::first(self.client, self.world) => shortage.map(|shortage| shortage.cause()),
        }
    }

    async fn among_events(&self) -> Result<Cause> {
        let attempted = || "watch the warnings".to_owned();
        let config = Config::default().fields("type=Warning");
        let events = watcher(Api::<Event>::all(self.client.clone()), config).default_backoff().applied_objects();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(e) if wait::passing(&e) => continue,
                Err(e) => return Err(Failure::new(attempted(), e)),
            };
            // Times of events are whole seconds.
            let past = time(&event).is_some_and(|time| time.as_second() < self.since.as_second());
            if past || own(event.metadata.namespace.as_deref()) {
                continue;
            }
            let Some(mut cause) = self.of_event(&event).await? else { continue };
            // The operator tells it before it writes the condition: what is well now may not be so in a moment.
            let object = event.involved_object;
            if !self.healed(&object).await? {
                if depends_on_others(&cause) && self.all_applied().await? {
                    cause = cause.certain();
                }
                if cause.heals.is_none() {
                    return Ok(cause);
                }
            }
            let name = format!("{:?} {:?} {:?}", object.kind, object.namespace, object.name);
            self.suspects.borrow_mut().insert(name, Suspect { object, cause });
        }
        Err(Failure::new(attempted(), "the watch ended"))
    }

    async fn of_event(&self, event: &Event) -> Result<Option<Cause>> {
        let kind = event.involved_object.kind.as_deref().unwrap_or_default();
        let object = format!("{kind} {}", named(&event.involved_object));
        let message = event.message.as_deref().unwrap_or_default();
        let seen = |kind| Some(Cause::new(kind, format!("{object}: {message}")));
        Ok(match kind {
            "ClusterSecretStore" | "ExternalSecret" | "SecretStore" => {
                let cause = message::classify(self.world.cloud, &object, message, &self.requests()?);
                let otherwise = if kind == "ExternalSecret" { Kind::Unknown } else { Kind::StoreNotReady };
                cause.or_else(|| seen(otherwise))
            }
            "Pod" => match not_pulled(message) {
                Some(image) if self.world.lacks(image) => None,
                Some(image) if nobody_has(image, &self.requests()?) => {
                    let seen =
                        format!("{object} wants {image}, which neither the component lock nor its own registry has");
                    Some(Cause::new(Kind::ImageUnavailable, seen))
                }
                Some(_) => None,
                None => match (event.reason.as_deref(), start::of(self.client, event).await?) {
                    (_, Some(cause)) => Some(cause),
                    (Some("FailedScheduling"), None) if unsuitable(message) => seen(Kind::NoSuitableNode),
                    (Some("FailedScheduling"), None) if lacks_another(message) => {
                        seen(Kind::NoSuitableNode).map(|cause| {
                            cause.passing("another Pod may give it back").next(
                                "compare what the Pod requests beside CPU and memory with what the nodes offer of it",
                            )
                        })
                    }
                    (Some("BackOff" | "Unhealthy" | "Failed"), None) if !pulls(message) => seen(Kind::WorkloadFails),
                    _ => None,
                },
            },
            "ReplicaSet" | "StatefulSet" | "DaemonSet" if message.contains("exceeded quota") => {
                seen(Kind::QuotaExceeded)
            }
            "ReplicaSet" if message.contains("error looking up service account") => {
                let operator = named(&event.involved_object).contains("/external-secrets-");
                let kind = if operator { Kind::OperatorAbsent } else { Kind::WorkloadFails };
                seen(kind).map(|cause| cause.passing("the service account may come with the rest of the sync"))
            }
            _ => None,
        })
    }

    async fn among_applications(&self) -> Result<Cause> {
        let attempted = || "watch the applications".to_owned();
        let api = kinds::Kind::Application.all(self.client);
        let applications = watcher(api, Config::default()).default_backoff().applied_objects();
        let mut applications = std::pin::pin!(applications);
        loop {
            let application = match applications.try_next().await {
                Ok(Some(application)) => application,
                Ok(None) => return Err(Failure::new(attempted(), "the watch ended")),
                Err(e) if wait::passing(&e) => continue,
                Err(e) => return Err(Failure::new(attempted(), e)),
            };
            if of_suites(&application) || self.world.is_without(&application.name_any()) {
                continue;
            }
            let drift = drift::of(self.client, self.world, &application).await?;
            let said = application::of(&application, self.since);
            let absent = match self.all_applied().await? {
                true => operator::of(self.client).await?,
                false => None,
            };
            let (certain, passing): (Vec<Cause>, Vec<Cause>) =
                drift.into_iter().chain(absent).chain(said).partition(|cause| cause.heals.is_none());
            if let Some(cause) = certain.into_iter().next() {
                return Ok(cause);
            }
            let name = format!("Application {}", key(&application));
            let mut suspects = self.suspects.borrow_mut();
            match passing.into_iter().next() {
                Some(cause) => suspects.insert(name, Suspect { object: ObjectReference::default(), cause }),
                // What it said is past.
                None => suspects.remove(&name),
            };
        }
    }

    /// The cause of a wait that has given up.
    async fn explain(&self, failure: &Failure) -> Cause {
        if let Some(cause) = application::classify("the wait", failure.seen()) {
            return cause;
        }
        let mut found = Vec::new();
        let suspects = std::mem::take(&mut *self.suspects.borrow_mut());
        for suspect in suspects.into_values() {
            // What cannot be looked at has not healed as far as anybody knows.
            if !self.healed(&suspect.object).await.unwrap_or(false) {
                found.push(suspect.cause);
            }
        }
        found.extend(operator::undefined(self.client).await.ok().flatten());
        // The most basic one explains the others.
        let cause = found.into_iter().min_by_key(|cause| basic(cause.kind));
        cause.unwrap_or_else(|| Cause::new(Kind::Unknown, failure.to_string()))
    }

    /// Whether Argo CD has applied everything: what is missing then does not come by itself.
    async fn all_applied(&self) -> Result<bool> {
        let applications = kinds::Kind::Application.all(self.client).list(&ListParams::default()).await;
        let applications = applications.attempting(|| "list the applications".into())?.items;
        let had = |a: &&DynamicObject| !self.world.is_without(&a.name_any());
        let mut own = applications.iter().filter(|a| !of_suites(a)).filter(had).peekable();
        Ok(own.peek().is_some() && own.all(application::applied))
    }

    fn requests(&self) -> Result<Vec<journal::Line>> {
        let mut lines = journal::read(&self.world.journal).attempting(|| "look for the cloud's answers".into())?;
        lines.retain(|line| line.time >= self.since);
        Ok(lines)
    }

    /// Whether an object is well now, whatever its events say of the past.
    async fn healed(&self, object: &ObjectReference) -> Result<bool> {
        let (namespace, name) =
            (object.namespace.as_deref().unwrap_or_default(), object.name.as_deref().unwrap_or_default());
        let kind = match object.kind.as_deref() {
            Some("ExternalSecret") => kinds::Kind::ExternalSecret,
            Some("ClusterSecretStore") => kinds::Kind::ClusterSecretStore,
            Some("SecretStore") => kinds::Kind::SecretStore,
            Some("Pod") => {
                let api = kinds::objects(self.client, &ApiResource::erase::<Pod>(&()), namespace);
                return well(&api, name).await;
            }
            _ => return Ok(false),
        };
        well(&kind.within(self.client, namespace), name).await
    }
}

/// Whether an object is ready now, or has gone.
async fn well(api: &Api<DynamicObject>, name: &str) -> Result<bool> {
    let now = api.get_opt(name).await.attempting(|| format!("read {name}"))?;
    Ok(now.is_none_or(|object| condition::is_ready(&object.data)))
}

/// Whether a cause is only one as long as nothing else comes that Git has.
const fn depends_on_others(cause: &Cause) -> bool {
    let kinds =
        matches!(cause.kind, Kind::StoreMissing | Kind::IdentityRefused | Kind::ConfigAbsent | Kind::OperatorAbsent);
    kinds && cause.heals.is_some()
}

/// How near to the root of things a kind of cause is: the least explains the others.
const fn basic(kind: Kind) -> u8 {
    match kind {
        Kind::NotPermitted | Kind::SourceUnavailable => 0,
        Kind::NamespaceMissing | Kind::CrdMissing | Kind::OperatorAbsent => 1,
        Kind::WebhookNotReady => 2,
        Kind::StoreMissing | Kind::IdentityRefused | Kind::CloudUnavailable => 3,
        Kind::StoreNotReady => 4,
        Kind::WorkloadFails => 6,
        Kind::Unknown => 7,
        _ => 5,
    }
}

/// When an event was last seen.
fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    series.or(last).or(first)
}

/// Whether a namespace is the suites' own: what they break is none of the platform's business.
fn own(namespace: Option<&str>) -> bool {
    namespace.is_some_and(|namespace| namespace.starts_with(OWN))
}

fn of_suites(application: &DynamicObject) -> bool {
    own(application.data["spec"]["destination"]["namespace"].as_str()) || own(application.metadata.name.as_deref())
}

fn named(object: &ObjectReference) -> String {
    let name = object.name.as_deref().unwrap_or_default();
    object.namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// Whether the scheduler has found no node for another reason than room. A taint may be that of a node that is not ready
/// yet, and the scheduler does not say which it is.
fn unsuitable(message: &str) -> bool {
    let passing = ["untolerated taint", "Insufficient"].iter().any(|m| message.contains(m));
    let refused = ["node affinity", "node selector", "were unschedulable"].iter().any(|m| message.contains(m));
    refused && !passing
}

/// Whether the scheduler has found too little of something else than CPU and memory, of which [`shortage`](super::super::shortage)
/// knows more: of a node's disk, or of devices.
fn lacks_another(message: &str) -> bool {
    let resources = message.split("Insufficient ").skip(1).filter_map(|rest| rest.split([',', ' ']).next());
    resources.map(|resource| resource.trim_end_matches('.')).any(|resource| !["cpu", "memory"].contains(&resource))
}

/// The image that a Pod's event complains about.
fn not_pulled(message: &str) -> Option<&str> {
    message.strip_prefix("Failed to pull image \"")?.split('"').next()
}

/// Whether a message is about pulling an image, which has causes of its own.
fn pulls(message: &str) -> bool {
    ["pull", "ErrImage", "ImagePull"].iter().any(|about| message.contains(about))
}

/// Whether the registry has said that nobody has the image. Any other failure to pull may pass.
fn nobody_has(image: &str, requests: &[journal::Line]) -> bool {
    requests.iter().any(|l| {
        l.note.code.as_deref() == Some("MANIFEST_UNKNOWN")
            && l.note.reason.as_ref().is_some_and(|reason| reason.contains(image))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::cause::line;

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

    #[test]
    fn a_node_that_is_not_ready_yet_may_become_suitable() {
        assert!(unsuitable("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."));
        assert!(!unsuitable("0/1 nodes are available: 1 node(s) had untolerated taint(s)."));
        assert!(!unsuitable("0/1 nodes are available: 1 Insufficient cpu."));
    }

    #[test]
    fn a_node_may_lack_something_else_than_cpu_and_memory() {
        let lacks = |what: &str| lacks_another(&format!("0/1 nodes are available: {what}. preemption: not eligible"));
        assert!(lacks("1 Insufficient ephemeral-storage"));
        assert!(lacks("1 Insufficient cpu, 1 Insufficient nvidia.com/gpu"));
        assert!(!lacks("1 Insufficient cpu, 1 Insufficient memory"));
        assert!(!lacks("1 node(s) had untolerated taint(s)"));
    }

    #[test]
    fn the_most_basic_suspect_explains_the_others() {
        let kinds = [Kind::WorkloadFails, Kind::StoreNotReady, Kind::WebhookNotReady, Kind::Unknown];
        assert_eq!(kinds.into_iter().min_by_key(|kind| basic(*kind)), Some(Kind::WebhookNotReady));
    }
}
