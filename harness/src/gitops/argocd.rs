//! Argo CD's installation from its own core manifests, with the platform's settings.

use std::{fs, path::Path, time::Duration};

use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::ObjectMeta,
    core::DynamicObject,
};
use serde_json::{Value, json};
use tracing::debug;

use super::manifest::{Applier, parse};
use crate::{
    failure::{Attempt, Result},
    observe::{condition, until},
};

/// Namespace of Argo CD; its cluster role bindings name it.
pub const NAMESPACE: &str = "argocd";
/// Time for CRDs to be established.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// Installs Argo CD from `manifests` (upstream's core-install.yaml) with the platform's `settings` folder merged in.
/// `run` labels what the harness itself adds.
///
/// # Errors
/// When a manifest cannot be read or the API server refuses one.
pub async fn install(client: &Client, manifests: &Path, settings: &Path, run: &str) -> Result<()> {
    let text = fs::read_to_string(manifests).attempting(|| format!("read {}", manifests.display()))?;
    let mut objects = parse(&text, "Argo CD")?;
    for object in &mut objects {
        merge(object, settings)?;
    }
    let applier = Applier::new(client).await?;
    let (crds, objects): (Vec<_>, Vec<_>) = objects.into_iter().partition(|o| kind(o) == "CustomResourceDefinition");
    let (first, last): (Vec<_>, Vec<_>) = objects.into_iter().partition(|o| !matches!(kind(o), "Deployment" | "StatefulSet"));
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(NAMESPACE.into()),
            labels: Some([(crate::world::RUN_LABEL.to_owned(), run.to_owned())].into()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let namespace = serde_json::to_value(namespace)
        .and_then(serde_json::from_value::<DynamicObject>)
        .attempting(|| "write the namespace of Argo CD".into())?;
    applier.apply(vec![namespace], NAMESPACE).await?;
    let names: Vec<String> = crds.iter().filter_map(|o| o.metadata.name.clone()).collect();
    applier.apply(crds, NAMESPACE).await?;
    // The settings come before the controllers: a change of them later makes Argo CD list the whole cluster again.
    applier.apply(first, NAMESPACE).await?;
    applier.apply(last, NAMESPACE).await?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in names {
        let what = format!("CRD {name} is established");
        until(api.clone(), &name, &what, ESTABLISHED, condition::established).await?;
    }
    // What argocd-server would make; the core installation has none.
    let extra = [
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"}, "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        }}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret"}, "stringData": {
            "server.secretkey": random_key(),
        }}),
    ];
    let extra = extra
        .into_iter()
        .map(|mut value| {
            value["metadata"]["labels"] = json!({crate::world::RUN_LABEL: run, "app.kubernetes.io/part-of": "argocd"});
            serde_json::from_value(value).attempting(|| "write Argo CD's initial objects".into())
        })
        .collect::<Result<Vec<DynamicObject>>>()?;
    Applier::new(client).await?.apply(extra, NAMESPACE).await
}

/// Applies the platform's root application, the one thing that a person applies.
///
/// # Errors
/// When it cannot be read or the API server refuses it.
pub async fn plant(client: &Client, root: &Path) -> Result<String> {
    let text = fs::read_to_string(root).attempting(|| format!("read the root application {}", root.display()))?;
    let objects = parse(&text, &root.display().to_string())?;
    let name = objects.iter().find_map(|o| o.metadata.name.clone()).unwrap_or_default();
    Applier::new(client).await?.apply(objects, NAMESPACE).await?;
    Ok(name)
}

/// Adds the data of the platform's ConfigMap of the same name.
fn merge(object: &mut DynamicObject, settings: &Path) -> Result<()> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let file = settings.join(format!("{name}.yaml"));
    if kind(object) != "ConfigMap" || !file.exists() {
        return Ok(());
    }
    let text = fs::read_to_string(&file).attempting(|| format!("read {}", file.display()))?;
    let own: ConfigMap = serde_yaml::from_str(&text).attempting(|| format!("understand {}", file.display()))?;
    debug!("Argo CD's {name} gets the platform's settings");
    if !object.data["data"].is_object() {
        object.data["data"] = json!({});
    }
    for (key, value) in own.data.unwrap_or_default() {
        object.data["data"][key] = Value::String(value);
    }
    Ok(())
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |t| &t.kind)
}

/// A key for Argo CD's sessions; nobody needs to know it.
fn random_key() -> String {
    use rsa::rand_core::{OsRng, RngCore};
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    crate::components::cache::hex(&bytes)
}
