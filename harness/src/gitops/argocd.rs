//! Argo CD's installation from its own core manifests, with the platform's settings.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{ConfigMap, Secret},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use tracing::debug;

use super::manifest::{Applier, parse};
use crate::{
    failure::{Attempt, Result},
    observe::{condition, kinds::Kind, until},
};

/// Name of upstream's manifests of a whole installation.
pub const MANIFESTS: &str = "core-install.yaml";
/// Namespace of Argo CD; its cluster role bindings name it.
pub const NAMESPACE: &str = "argocd";
/// Time for CRDs to be established.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// Installs Argo CD from `manifests` (upstream's core-install.yaml) with the platform's `settings` folder merged in, or puts
/// that release in the place of another. `run` labels what the harness itself adds.
///
/// # Errors
/// When a manifest cannot be read or the API server refuses one.
pub async fn install(client: &Client, manifests: &Path, settings: &Path, run: &str) -> Result<()> {
    let text = fs::read_to_string(manifests).attempting(|| format!("read {}", manifests.display()))?;
    let mut objects = parse(&text, "Argo CD")?;
    for object in &mut objects {
        hasten(object);
        merge(object, settings)?;
    }
    let labels = json!({crate::world::RUN_LABEL: run, "app.kubernetes.io/part-of": "argocd"});
    let own = |mut value: Value| -> Result<DynamicObject> {
        value["metadata"]["labels"] = labels.clone();
        serde_json::from_value(value).attempting(|| "write Argo CD's initial objects".into())
    };
    let secret = |name: &str, key: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: random_key()}});
    // What argocd-server and the Redis pod would make, once for all releases. Made before the controllers, none of them has to
    // wait for it.
    objects.retain(|o| o.metadata.name.as_deref() != Some("argocd-secret"));
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    for (name, key) in [("argocd-secret", "server.secretkey"), ("argocd-redis", "auth")] {
        let made = secrets.get_metadata_opt(name).await.attempting(|| format!("look for Secret {NAMESPACE}/{name}"))?;
        if made.is_none() {
            objects.push(own(secret(name, key))?);
        }
    }

    debug!("Argo CD: discovery");
    let applier = Applier::new(client).await?;
    let namespace = own(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))?;
    applier.apply(vec![namespace], NAMESPACE).await?;
    let (crds, objects): (Vec<_>, Vec<_>) = objects.into_iter().partition(|o| kind(o) == "CustomResourceDefinition");
    let (last, first): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|o| matches!(kind(o), "Deployment" | "StatefulSet"));
    let names: Vec<String> = crds.iter().filter_map(|o| o.metadata.name.clone()).collect();
    // The settings come before the controllers: a change of them later makes Argo CD list the whole cluster again.
    debug!("Argo CD: definitions and settings");
    tokio::try_join!(applier.apply(crds, NAMESPACE), applier.apply(first, NAMESPACE))?;
    debug!("Argo CD: controllers");
    applier.apply(last, NAMESPACE).await?;
    debug!("Argo CD: its definitions become established");
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in names {
        let what = format!("CRD {name} is established");
        until(api.clone(), &name, &what, ESTABLISHED, condition::established).await?;
    }
    let project = own(
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"}, "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        }}),
    )?;
    Applier::new(client).await?.apply(vec![project], NAMESPACE).await
}

/// Waits until Argo CD's own Pods are ready: an application that is applied before is compared in vain, and not again
/// for minutes.
///
/// # Errors
/// What did not become ready in time.
pub async fn ready(client: &Client, deadline: Duration) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    for name in ["argocd-redis", "argocd-repo-server"] {
        until(deployments.clone(), name, &format!("deployment {name} is Available"), deadline, condition::available)
            .await?;
    }
    let name = "argocd-application-controller";
    let controllers: Api<StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);
    until(controllers, name, &format!("stateful set {name} is ready"), deadline, condition::ready_set).await?;
    Ok(())
}

/// Ends the operations that are under way, also those that wait for their next try: they are about commits of before.
///
/// # Errors
/// When the API server refuses.
pub async fn end_operations(client: &Client) -> Result<()> {
    let attempted = || "end the running operations".to_owned();
    let all = Kind::Application.all(client).list(&ListParams::default()).await.attempting(attempted)?;
    for application in all.items.iter().filter(|a| a.data["status"]["operationState"]["phase"] == "Running") {
        let api = Kind::Application.within(client, application.metadata.namespace.as_deref().unwrap_or_default());
        let name = application.metadata.name.as_deref().unwrap_or_default();
        let end = json!({"status": {"operationState": {"phase": "Terminating"}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&end)).await.attempting(attempted)?;
    }
    Ok(())
}

/// The data of `argocd-cm` as the manifests of an installation and the folder of a platform's settings make it.
///
/// # Errors
/// When the platform's file cannot be read.
pub fn settings(installed: &[DynamicObject], settings: &Path) -> Result<BTreeMap<String, String>> {
    let own = |o: &&DynamicObject| kind(o) == "ConfigMap" && o.metadata.name.as_deref() == Some("argocd-cm");
    let Some(mut map) = installed.iter().find(own).cloned() else { return Ok(BTreeMap::new()) };
    merge(&mut map, settings)?;
    let data = map.data["data"].as_object().into_iter().flatten();
    Ok(data.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
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
    for (key, value) in own.data.unwrap_or_default() {
        object.data["data"][key] = Value::String(value);
    }
    Ok(())
}

/// Argo CD's own Pods are asked every second whether they are ready, and at once: upstream's ten seconds would be a third
/// of a run. And Argo CD compares every application every ten seconds, not once in two to three minutes: on a busy machine it
/// misses that definitions have become established, and the next wave waits until the next comparison. It also says of
/// every resource how healthy it is, not of the application only. Nothing else of the installation differs from
/// upstream, and the platform's own settings come after.
fn hasten(object: &mut DynamicObject) {
    if kind(object) == "ConfigMap" && object.metadata.name.as_deref() == Some("argocd-cm") {
        object.data["data"]["timeout.reconciliation"] = json!("10s");
        object.data["data"]["timeout.reconciliation.jitter"] = json!("0s");
    }
    if kind(object) == "ConfigMap" && object.metadata.name.as_deref() == Some("argocd-cmd-params-cm") {
        object.data["data"]["controller.resource.health.persist"] = json!("true");
    }
    let containers = object.data.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
    for probe in containers.into_iter().flatten().filter_map(|c| c.get_mut("readinessProbe")) {
        probe["initialDelaySeconds"] = json!(0);
        probe["periodSeconds"] = json!(1);
    }
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
