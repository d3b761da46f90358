//! The tables at the end of a run.

use std::time::Duration;

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, core::DynamicObject};

use super::digest::Digester;
use crate::{
    judge::central::Answer,
    observe::kinds::Kind,
    trial::Record,
    world::{Description, OWN, description::Provenance},
};

/// One row per ExternalSecret of a world: cloud, store, external secret and Kubernetes Secret, as they are now. What
/// cannot be read is said in its cell.
pub async fn secrets(client: &Client, world: &Description) -> Vec<[String; 4]> {
    let digest = Digester::new(&world.digest_key);
    let cloud = || world.cloud.to_string();
    let mut rows = Vec::new();
    match Kind::ExternalSecret.all(client).list(&kube::api::ListParams::default()).await {
        Ok(list) if list.items.is_empty() => {
            rows.push([cloud(), "none".into(), "none".into(), "none".into()]);
        }
        Ok(list) => {
            let own = |namespace: &str| namespace.starts_with(OWN);
            for object in list.into_iter().filter(|o| !o.metadata.namespace.as_deref().is_some_and(own)) {
                let namespace = object.metadata.namespace.clone().unwrap_or_default();
                let reference = &object.data["spec"]["secretStoreRef"];
                let store = reference["name"].as_str().unwrap_or_default().to_owned();
                let kind = match reference["kind"].as_str() {
                    Some("ClusterSecretStore") => Kind::ClusterSecretStore,
                    _ => Kind::SecretStore,
                };
                let state = match kind.within(client, &namespace).get_opt(&store).await {
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
                rows.push([
                    cloud(),
                    format!("{store}: {state}"),
                    format!("{namespace}/{name}: {}", ready(&object)),
                    format!("{namespace}/{target}: {secret}"),
                ]);
            }
        }
        Err(e) => {
            rows.push([cloud(), "unknown".into(), e.to_string(), "unknown".into()]);
        }
    }
    rows
}

/// The rows of all worlds.
pub fn secret_rows<'a>(rows: impl Iterator<Item = &'a [String; 4]>) -> String {
    let mut table = table(["cloud", "store", "external secret", "kubernetes secret"]);
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}

/// Phases of all worlds side by side, and the most memory each has used.
pub fn worlds(records: &[Record]) -> String {
    let mut table = Table::new();
    let clouds = records.iter().map(|r| format!("{} (s)", r.cloud));
    table.load_style(ASCII_MARKDOWN).set_header(std::iter::once("world".to_owned()).chain(clouds));
    let names = records.iter().map(|r| &r.phases).max_by_key(|phases| phases.len());
    for (name, _) in names.into_iter().flatten() {
        let times = records.iter().map(|r| {
            let took = r.phases.iter().find(|(phase, _)| phase == name);
            took.map_or_else(String::new, |(_, took)| format!("{:.1}", took.as_secs_f64()))
        });
        table.add_row(std::iter::once((*name).to_owned()).chain(times));
    }
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let peaks = records.iter().map(|r| r.memory.map_or_else(|| "unknown".into(), mib));
    table.add_row(std::iter::once("memory, peak".to_owned()).chain(peaks));
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

/// The platform's queries and what Grafana Cloud answers.
pub fn queries(answers: &[Answer]) -> String {
    let mut table = table(["query", "answer"]);
    for Answer { query, samples } in answers {
        let lines: Vec<String> = samples.iter().map(ToString::to_string).collect();
        table.add_row([(*query).to_owned(), lines.join("\n")]);
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
