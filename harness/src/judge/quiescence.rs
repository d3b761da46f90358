//! Whether a platform that has settled stays as it is: no application moves, and nobody writes to what Git manages.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt, watcher, watcher::Config},
};
use serde_json::Value;

use crate::{
    failure::{Attempt, Failure, Result},
    gitops::{argocd, field::FieldPath, refresh},
    observe::{
        Objects,
        audit::{self, Target, Write},
        comparison::differ,
        forced, key,
        kinds::{self, Kind},
        wait,
    },
    world::{Description, OWN},
};

/// Time for one refresh of the operator.
const REFRESHED: Duration = Duration::from_secs(30);
/// Annotations by which the harness asks for a comparison or a refresh; they change nothing.
const ASKING: [&str; 2] = [refresh::ANNOTATION, forced::ANNOTATION];
/// What differs after every write, whatever was written.
const COUNTERS: [&str; 3] = ["generation", "managedFields", "resourceVersion"];
/// Subresources by which controllers tell what they see, and by which a service account gets tokens: no change of an object.
const REPORTS: [&str; 2] = ["status", "token"];

/// A platform at rest: its applications, and every object that they manage.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// When it was taken.
    pub taken: Timestamp,
    /// The applications, by `namespace/name`.
    pub applications: Objects,
    /// Every managed object, and the applications themselves.
    objects: BTreeMap<Target, Object>,
}

/// A managed object as it was read.
#[derive(Clone, Debug)]
struct Object {
    /// Without what may change while it is at rest.
    still: Value,
    /// Its resource version.
    version: Option<String>,
}

/// What was seen of a platform at rest.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// What moved.
    pub disturbances: Vec<Disturbance>,
    /// How many applications were looked at.
    pub applications: usize,
    /// How often each manager wrote to managed objects, whatever it wrote.
    pub managers: BTreeMap<String, usize>,
}

impl Rest {
    /// Lets Argo CD render and compare every application of the platform anew, so many times, and the operator read every
    /// secret again each time, and sees what moves meanwhile.
    ///
    /// # Errors
    /// When an object or the audit log cannot be read, or a comparison does not end.
    pub async fn see(client: &Client, world: &Description, rounds: usize) -> Result<Self> {
        let platform = |name: &str| !name.starts_with(OWN) && !world.is_without(name);
        let before = Baseline::take(client, platform).await?;
        let moved = tokio::select! {
            moved = before.disturbed(client) => Some(moved?),
            moved = before.looked_at_again(client, rounds) => moved?,
        };
        let after = Baseline::take(client, platform).await?;
        let writes = audit::read(&world.audit)?;
        Ok(Self {
            disturbances: moved.into_iter().chain(before.written(&after, &writes)).collect(),
            applications: before.applications.len(),
            managers: before.managers(&writes),
        })
    }
}

/// Something that moved although it should have been at rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disturbance {
    /// The application or object.
    pub object: String,
    /// What happened to it, and by whom.
    pub what: String,
}

impl std::fmt::Display for Disturbance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.what)
    }
}

impl Baseline {
    /// Takes the baseline of the applications whose name is `ours`.
    ///
    /// # Errors
    /// When an object cannot be read.
    pub async fn take(client: &Client, ours: impl Fn(&str) -> bool) -> Result<Self> {
        let Self { taken, mut applications, .. } = Self::of_applications(client).await?;
        applications.retain(|_, a| a.metadata.name.as_deref().is_some_and(&ours));
        let resources = applications.values().flat_map(|a| a.data["status"]["resources"].as_array()).flatten();
        let managed = resources.map(|resource| Managed::of(client, resource));
        let itself = applications.values().map(|a| Managed::application(client, a));
        let managed: BTreeMap<Target, Managed> = managed.chain(itself).map(|m| (m.target.clone(), m)).collect();
        let objects = stream::iter(managed.into_values())
            .map(|Managed { target, api }| async move {
                let attempted = || format!("read {} {}/{}", target.resource, target.namespace, target.name);
                let object = api.get(&target.name).await.attempting(attempted)?;
                let version = object.metadata.resource_version.clone();
                let still = still(serde_json::to_value(object).attempting(attempted)?);
                Ok::<_, Failure>((target, Object { still, version }))
            })
            .buffer_unordered(8)
            .try_collect()
            .await?;
        Ok(Self { taken, applications, objects })
    }

    /// Has everything compared anew and read again, until an application moves.
    async fn looked_at_again(&self, client: &Client, rounds: usize) -> Result<Option<Disturbance>> {
        for _ in 0..rounds {
            let names = self.applications.values().map(ResourceExt::name_any);
            let compared = try_join_all(names.map(async |name| refresh::hard(client, &name).await)).await?;
            if let Some(moved) = compared.iter().flatten().find_map(|application| self.moved(application)) {
                return Ok(Some(moved));
            }
            let all = Kind::ExternalSecret.all(client).list(&ListParams::default()).await;
            let all = all.attempting(|| "list the ExternalSecrets".into())?;
            let ours: Vec<_> = all.into_iter().filter(|s| !key(s).starts_with(OWN)).collect();
            forced::read_again(client, &ours, REFRESHED).await?;
        }
        Ok(None)
    }

    /// Takes the baseline of all applications, without what they manage.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn of_applications(client: &Client) -> Result<Self> {
        let taken = Timestamp::now();
        let all = Kind::Application.within(client, argocd::NAMESPACE).list(&ListParams::default()).await;
        let all = all.attempting(|| "list the applications".into())?;
        let applications = all.into_iter().map(|a| (key(&a), a)).collect();
        Ok(Self { taken, applications, objects: BTreeMap::new() })
    }

    /// How an application has moved; nothing when it has not, or is no part of the baseline.
    pub fn moved(&self, now: &DynamicObject) -> Option<Disturbance> {
        let before = self.applications.get(&key(now))?;
        let what = moved(&before.data, &now.data)?;
        Some(Disturbance { object: format!("Application {}", key(now)), what })
    }

    /// Watches the applications until one moves.
    ///
    /// # Errors
    /// When the API refuses the watch.
    pub async fn disturbed(&self, client: &Client) -> Result<Disturbance> {
        let attempted = || "watch the applications at rest".to_owned();
        let applications = Kind::Application.within(client, argocd::NAMESPACE);
        let events = watcher(applications, Config::default()).default_backoff().applied_objects();
        let mut events = std::pin::pin!(events);
        loop {
            match events.try_next().await {
                Ok(Some(application)) => {
                    if let Some(disturbance) = self.moved(&application) {
                        return Ok(disturbance);
                    }
                }
                Ok(None) => return Err(Failure::new(attempted(), "the watch ended")),
                Err(e) if wait::passing(&e) => {}
                Err(e) => return Err(Failure::new(attempted(), e)),
            }
        }
    }

    /// The writes since the baseline that changed a managed object, each with its manager. What controllers report as status
    /// is none, nor is a write that left the object as it was. `after` is a later baseline: it tells that of objects whose
    /// content the audit log does not record.
    pub fn written(&self, after: &Self, writes: &[Write]) -> Vec<Disturbance> {
        let since = writes.iter().filter(|w| w.done >= self.taken && w.code < 300);
        since.filter_map(|write| self.disturbance(after, write)).collect()
    }

    fn disturbance(&self, after: &Self, write: &Write) -> Option<Disturbance> {
        let target = Target { subresource: String::new(), ..write.target.clone() };
        let before = self.objects.get(&target)?;
        let Write { verb, user, manager, done, .. } = write;
        if REPORTS.contains(&write.target.subresource.as_str()) {
            return None;
        }
        let what = match &write.object {
            _ if verb == "delete" => "it was deleted".to_owned(),
            Some(object) => {
                let mut found = Vec::new();
                differ(Some(&still(object.clone())), Some(&before.still), &FieldPath::default(), &mut found);
                let paths: Vec<String> = found.iter().map(|difference| difference.path.to_string()).collect();
                if paths.is_empty() {
                    return None;
                }
                format!("{} changed", paths.join(", "))
            }
            None if after.objects.get(&target).is_some_and(|after| after.version == before.version) => return None,
            None => "it was changed".to_owned(),
        };
        let Target { resource, namespace, name, .. } = &target;
        let object =
            [resource, namespace, name].into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>();
        let by = format!("by {manager} ({verb} as {user} at {done})");
        Some(Disturbance { object: object.join("/"), what: format!("{what} {by}") })
    }

    /// How often each manager wrote to managed objects since the baseline, whatever it wrote.
    pub fn managers(&self, writes: &[Write]) -> BTreeMap<String, usize> {
        let mut managers = BTreeMap::new();
        let target = |w: &Write| Target { subresource: String::new(), ..w.target.clone() };
        for write in writes.iter().filter(|w| w.done >= self.taken && self.objects.contains_key(&target(w))) {
            let what = if write.target.subresource.is_empty() { "object" } else { &write.target.subresource };
            *managers.entry(format!("{} writes {} {what}", write.manager, write.target.resource)).or_default() += 1;
        }
        managers
    }
}

/// A managed object, to be read.
struct Managed {
    target: Target,
    api: Api<DynamicObject>,
}

impl Managed {
    /// A resource of an application's status.
    fn of(client: &Client, resource: &Value) -> Self {
        let text = |field: &str| resource[field].as_str().unwrap_or_default();
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(text("group"), text("version"), text("kind")));
        Self::new(client, &kind, text("namespace"), text("name"))
    }

    fn application(client: &Client, application: &DynamicObject) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (namespace, name) = (text(&application.metadata.namespace), text(&application.metadata.name));
        Self::new(client, &Kind::Application.resource(), &namespace, &name)
    }

    fn new(client: &Client, kind: &ApiResource, namespace: &str, name: &str) -> Self {
        let api = kinds::objects(client, kind, namespace);
        let target = Target {
            group: kind.group.clone(),
            resource: kind.plural.clone(),
            namespace: namespace.into(),
            name: name.into(),
            subresource: String::new(),
        };
        Self { target, api }
    }
}

/// How an application has moved between two states.
fn moved(before: &Value, now: &Value) -> Option<String> {
    let (was, is) = (&before["status"], &now["status"]);
    let sync = &is["sync"]["status"];
    if sync != "Synced" {
        return Some(format!("it left Synced and is {}", sync.as_str().unwrap_or("unknown")));
    }
    if !now["operation"].is_null() {
        return Some("a new operation was asked for".into());
    }
    let last = |status: &Value| status["history"].as_array().and_then(|h| h.last()).map(|entry| entry["id"].clone());
    let (started, heals) = ("/operationState/startedAt", "/operationState/operation/sync/autoHealAttemptsCount");
    if was.pointer(heals) != is.pointer(heals) {
        return Some(format!("it healed itself: {} attempts", is.pointer(heals).unwrap_or(&Value::Null)));
    }
    if was.pointer(started) != is.pointer(started) || last(was) != last(is) {
        return Some("a new operation ran".into());
    }
    None
}

/// An object without what may change while it is at rest.
fn still(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        COUNTERS.iter().for_each(|name| drop(metadata.remove(*name)));
        let mut annotations = metadata.remove("annotations").unwrap_or_default();
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.retain(|name, _| !ASKING.contains(&name.as_str()));
        }
        if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
            metadata.insert("annotations".into(), annotations);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn application(status: Value) -> DynamicObject {
        let metadata = json!({"namespace": "argocd", "name": "a"});
        serde_json::from_value(
            json!({"apiVersion": "v1", "kind": "Application", "metadata": metadata, "status": status}),
        )
        .unwrap()
    }

    fn status(sync: &str, started: &str, id: u64) -> Value {
        json!({"sync": {"status": sync}, "history": [{"id": 0}, {"id": id}], "operationState": {"startedAt": started}})
    }

    fn target(subresource: &str) -> Target {
        Target {
            group: "g".into(),
            resource: "things".into(),
            namespace: "n".into(),
            name: "a".into(),
            subresource: subresource.into(),
        }
    }

    fn baseline(version: &str) -> Baseline {
        let rest = application(status("Synced", "1", 1));
        let thing = json!({"metadata": {"name": "a"}, "spec": {"interval": "1h"}});
        Baseline {
            taken: "2026-01-01T00:00:00Z".parse().unwrap(),
            applications: [(key(&rest), rest)].into(),
            objects: [(target(""), Object { still: thing, version: Some(version.into()) })].into(),
        }
    }

    #[test]
    fn an_application_at_rest_does_not_move() {
        let told = |status: Value| baseline("1").moved(&application(status)).map(|d| d.what);
        assert_eq!(told(status("Synced", "1", 1)), None);
        assert_eq!(told(status("OutOfSync", "1", 1)).unwrap(), "it left Synced and is OutOfSync");
        assert_eq!(told(status("Synced", "2", 1)).unwrap(), "a new operation ran");
        assert_eq!(told(status("Synced", "1", 2)).unwrap(), "a new operation ran");
        let mut healed = status("Synced", "2", 2);
        healed["operationState"]["operation"] = json!({"sync": {"autoHealAttemptsCount": 1}});
        assert_eq!(told(healed).unwrap(), "it healed itself: 1 attempts");
    }

    fn written(subresource: &str, verb: &str, at: &str, object: Option<Value>) -> Vec<String> {
        let object_is_recorded = object.is_some();
        let write = Write {
            begun: at.parse().unwrap(),
            done: at.parse().unwrap(),
            verb: verb.into(),
            user: "someone".into(),
            manager: "kubectl-edit".into(),
            target: target(subresource),
            code: 200,
            version: Some(2),
            object,
        };
        let after = if object_is_recorded { "1" } else { "2" };
        baseline("1").written(&baseline(after), &[write]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_write_that_changes_an_object_is_attributed() {
        let thing = |interval: &str| {
            let metadata = json!({"name": "a", "resourceVersion": "9", "annotations": {"force-sync": "1"}});
            Some(json!({"metadata": metadata, "spec": {"interval": interval}, "status": {"x": 1}}))
        };
        let late = "2026-01-01T00:00:01Z";
        let told = written("", "patch", late, thing("2h"));
        let expected = "things/n/a: spec.interval changed by kubectl-edit (patch as someone at 2026-01-01T00:00:01Z)";
        assert_eq!(told, [expected]);
        assert_eq!(written("", "patch", late, thing("1h")), [""; 0], "what asks for a refresh changes nothing");
        assert_eq!(written("status", "patch", late, thing("2h")), [""; 0], "a report is no change");
        assert_eq!(written("", "patch", "2025-01-01T00:00:00Z", thing("2h")), [""; 0], "it was before");
        assert_eq!(written("", "delete", late, thing("1h")).len(), 1);
        assert_eq!(
            written("", "update", late, None).len(),
            1,
            "its content is not recorded, and its version is another"
        );
    }
}
