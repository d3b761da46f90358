//! Evidence of a failed run: events, objects, logs and gateway requests, redacted.

use std::{fs, path::Path};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};

use super::redact::Redactor;
use crate::{
    failure::{Attempt, Result},
    observe::kinds::Kind,
    world::Description,
};

/// Writes the gateway's requests to `folder`.
///
/// # Errors
/// When the file cannot be written.
pub fn journal(folder: &Path, world: &Description, redactor: &Redactor) -> Result<()> {
    let path = folder.join("gateway.jsonl");
    let journal = fs::read_to_string(&world.journal).unwrap_or_else(|e| format!("{}: {e}\n", world.journal.display()));
    fs::write(&path, redactor.clean(&journal)).attempting(|| format!("write {}", path.display()))
}

/// Writes the bundle to `folder`. A part that cannot be had is replaced by the reason.
///
/// # Errors
/// When the folder cannot be written.
pub async fn write(folder: &Path, client: &Client, world: &Description, redactor: &Redactor) -> Result<()> {
    fs::create_dir_all(folder.join("logs")).attempting(|| format!("make {}", folder.display()))?;
    let save = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, redactor.clean(&text)).attempting(|| format!("write {}", path.display()))
    };
    for (kind, name) in [
        (Kind::Application, "applications.yaml"),
        (Kind::ClusterSecretStore, "cluster-secret-stores.yaml"),
        (Kind::ExternalSecret, "external-secrets.yaml"),
    ] {
        let list = kind.all(client).list(&ListParams::default()).await;
        save(name, list.map_or_else(|e| e.to_string(), |l| yaml(&l.items)))?;
    }
    let events = Api::<Event>::all(client.clone()).list(&ListParams::default()).await;
    let events = events.map_or_else(|e| e.to_string(), |list| list.iter().map(line).collect());
    save("events.txt", events)?;
    match Api::<Pod>::all(client.clone()).list(&ListParams::default()).await {
        Ok(pods) => {
            for pod in pods {
                let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
                let api = Api::<Pod>::namespaced(client.clone(), &namespace);
                for container in pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers)) {
                    let params = LogParams {
                        container: Some(container.name.clone()),
                        tail_lines: Some(2000),
                        ..LogParams::default()
                    };
                    let log = api.logs(&name, &params).await.unwrap_or_else(|e| e.to_string());
                    save(&format!("logs/{namespace}.{name}.{}.log", container.name), log)?;
                }
            }
        }
        Err(e) => save("logs/pods.txt", e.to_string())?,
    }
    for log in fs::read_dir(world.folder.join("logs")).into_iter().flatten().flatten() {
        let text =
            fs::read(log.path()).map_or_else(|e| e.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
        save(&format!("logs/{}", log.file_name().to_string_lossy()), text)?;
    }
    Ok(())
}

fn yaml<T: serde::Serialize>(items: &T) -> String {
    serde_yaml::to_string(items).unwrap_or_else(|e| e.to_string())
}

fn line(event: &Event) -> String {
    let time = event.last_timestamp.as_ref().map(|t| t.0.to_string()).unwrap_or_default();
    let object = &event.involved_object;
    format!(
        "{time} {} {}/{} {}: {}\n",
        event.type_.clone().unwrap_or_default(),
        object.kind.clone().unwrap_or_default(),
        object.name.clone().unwrap_or_default(),
        event.reason.clone().unwrap_or_default(),
        event.message.clone().unwrap_or_default()
    )
}
