//! Drift: which fields make an application OutOfSync although its last sync succeeded.

use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;

use super::Cause;
use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
    world::Description,
};

/// The drift of an application: its sync succeeded, Argo CD has corrected it at least once since, and it is OutOfSync all
/// the same, because the cluster has a field inside a list of a custom resource that Git has not. Argo CD compares such
/// lists as a whole; of Kubernetes' own kinds it knows the defaults.
///
/// # Errors
/// When Git's manifests cannot be rendered or a live object cannot be read.
pub async fn of(client: &Client, world: &Description, application: &DynamicObject) -> Result<Option<Cause>> {
    let status = &application.data["status"];
    let operation = &status["operationState"];
    // Alone it would prove nothing: the first correction may have compared with a state from before the sync.
    let corrected = operation["operation"]["sync"]["autoHealAttemptsCount"].as_u64().is_some_and(|n| n > 0);
    let drifts = status["sync"]["status"] == "OutOfSync" && operation["phase"] == "Succeeded" && corrected;
    let Some(path) = application.data["spec"]["source"]["path"].as_str().filter(|_| drifts) else {
        return Ok(None);
    };
    let desired = render(world, path).await?;
    let mut fields = Vec::new();
    for resource in
        status["resources"].as_array().into_iter().flatten().filter(|r| r["status"] == "OutOfSync" && custom(r))
    {
        let text = |field: &str| resource[field].as_str().unwrap_or_default();
        let matches = |d: &&Value| d["kind"] == resource["kind"] && d["metadata"]["name"] == resource["name"];
        let Some(wanted) = desired.iter().find(matches) else { continue };
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(text("group"), text("version"), text("kind")));
        let api: Api<DynamicObject> = match resource["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
            None => Api::all_with(client.clone(), &kind),
        };
        let live = api.get_opt(text("name")).await.attempting(|| format!("read {} {}", text("kind"), text("name")))?;
        let Some(live) = live else { continue };
        fields.extend(
            added(&wanted["spec"], &live.data["spec"], "spec", false)
                .iter()
                .map(|f| format!("{} {} {f}", text("kind"), text("name"))),
        );
    }
    let application = application.metadata.name.clone().unwrap_or_default();
    Ok((!fields.is_empty()).then_some(Cause::Drift { application, fields }))
}

/// The platform's own manifests below `path`, rendered by kustomize as Argo CD does.
async fn render(world: &Description, path: &str) -> Result<Vec<Value>> {
    let yaml = Run::new(&world.kubectl).arg("kustomize").arg(world.platform.join(path)).text().await?;
    serde_yaml::Deserializer::from_str(&yaml)
        .map(|document| {
            serde::Deserialize::deserialize(document).map_err(|e| Failure::new(format!("render {path}"), e))
        })
        .collect()
}

/// Whether a resource of an application's status is of a kind that Kubernetes itself does not have.
fn custom(resource: &Value) -> bool {
    resource["group"].as_str().is_some_and(|group| group.contains('.') && !group.ends_with(".k8s.io"))
}

/// Paths below list elements that `live` has and `wanted` has not.
fn added(wanted: &Value, live: &Value, path: &str, in_list: bool) -> Vec<String> {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => live
            .iter()
            .flat_map(|(key, value)| {
                let path = format!("{path}.{key}");
                match wanted.get(key) {
                    Some(own) => added(own, value, &path, in_list),
                    None if in_list => vec![path],
                    None => Vec::new(),
                }
            })
            .collect(),
        (Value::Array(wanted), Value::Array(live)) => wanted
            .iter()
            .zip(live)
            .enumerate()
            .flat_map(|(i, (w, l))| added(w, l, &format!("{path}[{i}]"), true))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_fields_inside_lists_drift() {
        let wanted = json!({"data": [{"remoteRef": {"key": "a"}}], "target": {}});
        let live = json!({"data": [{"remoteRef": {"key": "a", "nullBytePolicy": "Ignore"}}], "target": {"creationPolicy": "Owner"}});
        assert_eq!(added(&wanted, &live, "spec", false), ["spec.data[0].remoteRef.nullBytePolicy"]);
        assert!(added(&live, &live, "spec", false).is_empty());
    }
}
