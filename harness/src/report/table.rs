//! The tables at the end of a run.

use std::time::Duration;

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, core::DynamicObject};

use super::digest::Digester;
use crate::{
    observe::kinds::Kind,
    world::{Description, description::Provenance},
};

/// One line per ExternalSecret: cloud, store, external secret and Kubernetes Secret, as they are now. What cannot be
/// read is said in its cell.
pub async fn secrets(client: &Client, world: &Description) -> String {
    let digest = Digester::new(&world.digest_key);
    let mut table = table(["cloud", "store", "external secret", "kubernetes secret"]);
    match Kind::ExternalSecret.all(client).list(&kube::api::ListParams::default()).await {
        Ok(list) if list.items.is_empty() => {
            table.add_row([world.cloud.as_str(), "none", "none", "none"]);
        }
        Ok(list) => {
            for object in list {
                let namespace = object.metadata.namespace.clone().unwrap_or_default();
                let store = object.data["spec"]["secretStoreRef"]["name"].as_str().unwrap_or_default().to_owned();
                let state = match Kind::ClusterSecretStore.all(client).get_opt(&store).await {
                    Ok(Some(store)) => ready(&store),
                    Ok(None) => "missing".into(),
                    Err(e) => e.to_string(),
                };
                let name = object.metadata.name.clone().unwrap_or_default();
                let target = object.data["spec"]["target"]["name"].as_str().unwrap_or(&name).to_owned();
                let secret = match Api::<Secret>::namespaced(client.clone(), &namespace).get_opt(&target).await {
                    Ok(Some(secret)) => secret
                        .data
                        .unwrap_or_default()
                        .iter()
                        .map(|(key, value)| format!("{key} {}", digest.of(&value.0)))
                        .collect::<Vec<_>>()
                        .join(", "),
                    Ok(None) => "missing".into(),
                    Err(e) => e.to_string(),
                };
                table.add_row([
                    world.cloud.clone(),
                    format!("{store}: {state}"),
                    format!("{namespace}/{name}: {}", ready(&object)),
                    format!("{namespace}/{target}: {secret}"),
                ]);
            }
        }
        Err(e) => {
            table.add_row([world.cloud.clone(), "unknown".into(), e.to_string(), "unknown".into()]);
        }
    }
    table.to_string()
}

/// Components by where they came from.
pub fn components(components: &[Provenance]) -> String {
    let mut table = table(["component", "version", "source"]);
    for part in components {
        table.add_row([&part.name, &part.version, &part.origin]);
    }
    table.to_string()
}

/// Phases with their times.
pub fn phases(phases: &[(&'static str, Duration)]) -> String {
    let mut table = table(["phase", "seconds"]);
    for (name, took) in phases {
        table.add_row([(*name).to_owned(), format!("{:.1}", took.as_secs_f64())]);
    }
    let total: Duration = phases.iter().map(|(_, took)| *took).sum();
    table.add_row(["all".to_owned(), format!("{:.1}", total.as_secs_f64())]);
    table.to_string()
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    table
}

/// Reason of the condition Ready.
fn ready(object: &DynamicObject) -> String {
    let conditions = object.data["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|c| c["type"] == "Ready");
    ready.and_then(|c| c["reason"].as_str()).unwrap_or("no condition").to_owned()
}
