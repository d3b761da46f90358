//! The tables at the end of a run.

use std::time::Duration;

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, core::DynamicObject};

use super::{data::SecretState, digest::Digester, phases::Phase};
use crate::{
    judge::central::Answer,
    observe::{condition, kinds::Kind},
    trial::Record,
    world::{Description, OWN, description::Provenance},
};

/// The platform's ExternalSecrets in a world with their stores and Secrets, as they are now. What cannot be read is said in
/// its place.
pub async fn secrets(client: &Client, world: &Description) -> Vec<SecretState> {
    let digest = Digester::new(&world.digest_key);
    let list = match Kind::ExternalSecret.all(client).list(&kube::api::ListParams::default()).await {
        Ok(list) => list,
        Err(e) => {
            let unknown = || "unknown".to_owned();
            return vec![SecretState {
                store: unknown(),
                store_state: unknown(),
                external_secret: "all".into(),
                state: e.to_string(),
                ready: false,
                secret: unknown(),
                holds: unknown(),
            }];
        }
    };
    let mut states = Vec::new();
    let own = |namespace: &str| namespace.starts_with(OWN);
    for object in list.into_iter().filter(|o| !o.metadata.namespace.as_deref().is_some_and(own)) {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let reference = &object.data["spec"]["secretStoreRef"];
        let store = reference["name"].as_str().unwrap_or_default().to_owned();
        let kind = match reference["kind"].as_str() {
            Some("ClusterSecretStore") => Kind::ClusterSecretStore,
            _ => Kind::SecretStore,
        };
        let store_state = match kind.within(client, &namespace).get_opt(&store).await {
            Ok(Some(store)) => reason(&store),
            Ok(None) => "missing".into(),
            Err(e) => e.to_string(),
        };
        let name = object.metadata.name.clone().unwrap_or_default();
        let target = object.data["spec"]["target"]["name"].as_str().unwrap_or(&name).to_owned();
        let holds = match Api::<Secret>::namespaced(client.clone(), &namespace).get_opt(&target).await {
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
        states.push(SecretState {
            store,
            store_state,
            external_secret: format!("{namespace}/{name}"),
            state: reason(&object),
            ready: condition::is_ready(&object.data),
            secret: format!("{namespace}/{target}"),
            holds,
        });
    }
    states
}

/// The ExternalSecrets of all worlds that came up.
pub fn secret_rows(records: &[Record]) -> String {
    let mut table = table(["cloud", "store", "external secret", "kubernetes secret"]);
    for record in records.iter().filter(|record| record.world.is_some()) {
        if record.secrets.is_empty() {
            table.add_row([record.cloud.name(), "none", "none", "none"]);
        }
        for secret in &record.secrets {
            table.add_row([
                record.cloud.to_string(),
                format!("{}: {}", secret.store, secret.store_state),
                format!("{}: {}", secret.external_secret, secret.state),
                format!("{}: {}", secret.secret, secret.holds),
            ]);
        }
    }
    table.to_string()
}

/// Phases of all worlds side by side, and the most memory each has used.
pub fn worlds(records: &[Record]) -> String {
    let mut table = Table::new();
    let clouds = records.iter().map(|r| format!("{} (s)", r.cloud));
    table.load_style(ASCII_MARKDOWN).set_header(std::iter::once("world".to_owned()).chain(clouds));
    let names = records.iter().map(|r| &r.phases).max_by_key(|phases| phases.len());
    for Phase { name, .. } in names.into_iter().flatten() {
        let times = records.iter().map(|r| {
            let phase = r.phases.iter().find(|phase| phase.name == *name);
            phase.map_or_else(String::new, |phase| format!("{:.1}", phase.took.as_secs_f64()))
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
pub fn phases(phases: &[Phase]) -> String {
    let mut table = table(["phase", "seconds"]);
    for Phase { name, took, .. } in phases {
        table.add_row([(*name).to_owned(), format!("{:.1}", took.as_secs_f64())]);
    }
    let total: Duration = phases.iter().map(|phase| phase.took).sum();
    table.add_row(["all".to_owned(), format!("{:.1}", total.as_secs_f64())]);
    table.to_string()
}

/// A table without rows.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    table
}

/// Reason of the condition Ready.
fn reason(object: &DynamicObject) -> String {
    let conditions = object.data["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|c| c["type"] == "Ready");
    ready.and_then(|c| c["reason"].as_str()).unwrap_or("no condition").to_owned()
}
