//! What an API server had, kind by kind: taken from one that runs, and kept in files. There are no Secrets among it.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Event, Node, Pod, ServiceAccount},
};
use kube::{
    Api, Client,
    api::ListParams,
    core::{ApiResource, DynamicObject, Status, TypeMeta},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::recording::cleaned;
use crate::{
    failure::{Attempt, Result},
    observe::kinds::Kind,
    report::redact::Redactor,
};

/// Time in which the API server has to list a kind; a part of a second is usual.
const PATIENCE: Duration = Duration::from_secs(20);
/// Annotation in which `kubectl apply` repeats the whole object.
const REPEATED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The custom kinds.
const OWN: [Kind; 5] =
    [Kind::Application, Kind::ApplicationSet, Kind::ClusterSecretStore, Kind::ExternalSecret, Kind::SecretStore];

/// Answers to lists by `<plural>.<group>`, or `<plural>` of the core group: the list, or the status that refused it.
#[derive(Clone, Debug, Default)]
pub struct Objects(BTreeMap<String, Value>);

/// A kind, and which of its objects.
type Wanted = (ApiResource, ListParams);

/// What the judges of a platform read.
pub fn of_platform() -> Vec<Wanted> {
    let all = ListParams::default;
    let mut wanted = vec![
        // The settings of Argo CD; others may be large, and nobody judges them.
        (ApiResource::erase::<ConfigMap>(&()), all().fields("metadata.name=argocd-cm")),
        (ApiResource::erase::<Event>(&()), all().fields("type=Warning")),
    ];
    let whole = [
        ApiResource::erase::<DaemonSet>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<Node>(&()),
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<StatefulSet>(&()),
    ];
    wanted.extend(whole.into_iter().chain(OWN.map(Kind::resource)).map(|kind| (kind, all())));
    wanted
}

/// What the chain of identity is read from.
pub fn of_chain() -> Vec<Wanted> {
    let own = [Kind::ClusterSecretStore, Kind::ExternalSecret, Kind::SecretStore].map(Kind::resource);
    let kinds = own.into_iter().chain([ApiResource::erase::<ServiceAccount>(&())]);
    kinds.map(|kind| (kind, ListParams::default())).collect()
}

/// Name of a kind, as its definition has it.
pub fn name(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.into() } else { format!("{plural}.{group}") }
}

impl Objects {
    /// Lists what is wanted. A refusal is an answer, too.
    pub async fn take(client: &Client, wanted: Vec<Wanted>) -> Self {
        let lists = wanted.into_iter().map(async |(kind, which)| {
            let listed = listed(client, &kind, &which).await;
            (name(&kind.group, &kind.plural), listed)
        });
        Self(join_all(lists).await.into_iter().collect())
    }

    /// The answer to a list of a kind; nothing when it was never asked for.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All objects of a kind.
    pub fn items(&self, name: &str) -> &[Value] {
        self.get(name).and_then(|list| list["items"].as_array()).map(Vec::as_slice).unwrap_or_default()
    }

    /// Kinds of which nobody knows what there was, each with the reason. One that was not defined is no such kind.
    pub fn unknown(&self) -> Vec<String> {
        let refused = |list: &Value| list["items"].is_null() && list["code"] != 404;
        let told =
            |(name, status): (&String, &Value)| format!("{name}: {}", status["message"].as_str().unwrap_or_default());
        self.0.iter().filter(|(_, list)| refused(list)).map(told).collect()
    }

    /// Writes a file for each kind.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn save(&self, folder: &Path, redactor: &Redactor) -> Result<()> {
        fs::create_dir_all(folder).attempting(|| format!("make {}", folder.display()))?;
        for (name, list) in &self.0 {
            let file = folder.join(format!("{name}.json"));
            fs::write(&file, cleaned(list, redactor)).attempting(|| format!("write {}", file.display()))?;
        }
        Ok(())
    }

    /// Reads what was saved.
    ///
    /// # Errors
    /// When the folder or a file cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let attempted = || format!("read {}", folder.display());
        let mut objects = BTreeMap::new();
        for entry in fs::read_dir(folder).attempting(attempted)? {
            let file = entry.attempting(attempted)?.path();
            let attempted = || format!("read {}", file.display());
            if let Some(name) = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) {
                let text = fs::read(&file).attempting(attempted)?;
                objects.insert(name.to_owned(), serde_json::from_slice(&text).attempting(attempted)?);
            }
        }
        Ok(Self(objects))
    }

    /// These objects of these kinds, for tests; each gets a version, as an API server gives it.
    #[cfg(test)]
    pub(crate) fn new(kinds: impl IntoIterator<Item = (ApiResource, Vec<Value>)>) -> Self {
        let one = |(kind, mut items): (ApiResource, Vec<Value>)| {
            items.iter_mut().for_each(|item| item["metadata"]["resourceVersion"] = json!("1"));
            (name(&kind.group, &kind.plural), list(&kind, items))
        };
        Self(kinds.into_iter().map(one).collect())
    }
}

async fn listed(client: &Client, kind: &ApiResource, which: &ListParams) -> Value {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), kind);
    let refused = |code, message: &str| status(&Status::failure(message, "Unrecorded").with_code(code));
    match timeout(PATIENCE, api.list(which)).await {
        Ok(Ok(all)) => list(kind, all.items.into_iter().map(|object| bare(object, kind)).collect()),
        Ok(Err(kube::Error::Api(refusal))) => status(&refusal),
        Ok(Err(e)) => refused(500, &e.to_string()),
        Err(_) => refused(504, &format!("the API server did not list them in {} s", PATIENCE.as_secs())),
    }
}

fn list(kind: &ApiResource, items: Vec<Value>) -> Value {
    json!({"apiVersion": kind.api_version, "kind": format!("{}List", kind.kind), "metadata": {"resourceVersion": "1"}, "items": items})
}

fn status(status: &Status) -> Value {
    serde_json::to_value(status).unwrap_or_else(|e| json!({"code": 500, "message": e.to_string()}))
}

/// An object with its kind, which lists leave out, and without what only repeats it.
fn bare(mut object: DynamicObject, kind: &ApiResource) -> Value {
    object.types = Some(TypeMeta { api_version: kind.api_version.clone(), kind: kind.kind.clone() });
    object.metadata.managed_fields = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(REPEATED);
    }
    serde_json::to_value(object).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_asks_for_secrets() {
        let wanted = of_platform().into_iter().chain(of_chain());
        let kinds: Vec<String> = wanted.map(|(kind, _)| name(&kind.group, &kind.plural)).collect();
        assert!(kinds.contains(&"externalsecrets.external-secrets.io".to_owned()), "{kinds:?}");
        assert!(!kinds.contains(&"secrets".to_owned()), "{kinds:?}");
    }

    #[test]
    fn files_have_what_there_was_without_values() {
        let folder = tempfile::tempdir().unwrap();
        let pod = json!({"metadata": {"name": "a", "hunter22": "hunter22"}, "spec": {"args": ["--password=hunter22"]}});
        let mut objects = Objects::new([(ApiResource::erase::<Pod>(&()), vec![pod])]);
        objects
            .0
            .insert("externalsecrets.external-secrets.io".into(), json!({"code": 404, "message": "page not found"}));
        objects.0.insert("nodes".into(), json!({"code": 504, "message": "too slow"}));
        objects.save(folder.path(), &Redactor::new(["hunter22".to_owned()])).unwrap();
        let text = fs::read_to_string(folder.path().join("pods.json")).unwrap();
        assert!(text.contains("--password=[redacted]") && !text.contains("hunter22"), "{text}");
        let read = Objects::read(folder.path()).unwrap();
        assert_eq!(read.items("pods")[0]["metadata"]["name"], "a");
        assert_eq!(read.unknown(), ["nodes: too slow"]);
    }

    #[test]
    fn what_repeats_an_object_is_left_out() {
        let object = json!({"metadata": {"name": "a", "managedFields": [{"manager": "m"}],
            "annotations": {"kept": "1", REPEATED: "{}"}}, "spec": {"b": 1}});
        let bare = bare(serde_json::from_value(object).unwrap(), &ApiResource::erase::<Pod>(&()));
        let kept = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"kept": "1"}}, "spec": {"b": 1}});
        assert_eq!(bare, kept);
    }
}
