//! Google Secret Manager, over REST.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use trinity_emulators::{
    config,
    gcp::declared::{RegionalSecret, Replication, Secret, SecretVersion},
    seed,
};

use super::{
    Backend,
    plan::{Seen, Wanted},
};
use crate::failure::{Attempt, Failure, Result};

/// What of a declaration is about secrets.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Declared {
    google_secret_manager_secret: BTreeMap<String, Secret>,
    google_secret_manager_secret_version: BTreeMap<String, SecretVersion>,
    google_secret_manager_regional_secret: BTreeMap<String, RegionalSecret>,
    google_secret_manager_regional_secret_version: BTreeMap<String, SecretVersion>,
}

pub(super) fn wanted(text: &str, gcp: &config::Gcp) -> Result<Vec<Wanted>> {
    let config::Gcp { project, number, location, cluster, .. } = gcp;
    let facts = [("project", project.as_str()), ("number", number), ("location", location), ("cluster", cluster)];
    let attempted = || "find the declared secrets".to_owned();
    let declared: Declared = seed::read(text, "gcp", &facts).attempting(attempted)?;
    let versions: Vec<SecretVersion> = declared
        .google_secret_manager_secret_version
        .into_values()
        .chain(declared.google_secret_manager_regional_secret_version.into_values())
        .collect();
    if let Some(version) = versions.iter().find(|version| !version.enabled) {
        let seen = format!("{} shall have a disabled version", version.secret);
        return Err(Failure::new(attempted(), seen).next("to disable one is destructive, and nothing routine does it"));
    }
    // A project has a number too, which names it as well.
    let named = |secret: &str| secret.replacen(&format!("projects/{number}/"), &format!("projects/{project}/"), 1);
    let wanted = |name: String, place: Option<String>, about: Value| {
        let full = parent(gcp, place.as_deref()) + "/secrets/" + &name;
        let version = versions.iter().find(|version| named(&version.secret) == full);
        Wanted { name, place, about, window: None, reference: version.map(|v| v.secret_data.clone()) }
    };
    let global = declared.google_secret_manager_secret.into_values().map(|secret| {
        let replication = match secret.replication {
            Replication::Auto {} => json!({"automatic": {}}),
            Replication::UserManaged { replicas } => {
                let replicas: Vec<Value> = replicas.iter().map(|r| json!({"location": r.location})).collect();
                json!({"userManaged": {"replicas": replicas}})
            }
        };
        wanted(secret.secret_id, None, json!({"labels": secret.labels, "replication": replication}))
    });
    let regional = declared
        .google_secret_manager_regional_secret
        .into_values()
        .map(|secret| wanted(secret.secret_id, Some(secret.location), json!({"labels": secret.labels})));
    Ok(global.chain(regional).collect())
}

pub(super) async fn look(backend: &Backend, gcp: &config::Gcp, wanted: &Wanted) -> Result<Seen> {
    let url = secret(gcp, wanted);
    let found = backend.call(Method::GET, &url, &Value::Null).await?;
    if found.code() == "NOT_FOUND" {
        return Ok(Seen::Absent);
    }
    found.good(format!("find secret {}", wanted.name))?;
    let value = backend.call(Method::GET, &format!("{url}/versions/latest:access"), &Value::Null).await?;
    // No version, or the newest is disabled or destroyed.
    if ["NOT_FOUND", "FAILED_PRECONDITION"].contains(&value.code()) {
        return Ok(Seen::Live(None));
    }
    let attempted = || format!("read secret {}", wanted.name);
    let value = value.good(attempted())?;
    let bytes = STANDARD.decode(value["payload"]["data"].as_str().unwrap_or_default()).attempting(attempted)?;
    Ok(Seen::Live(String::from_utf8(bytes).ok()))
}

pub(super) async fn create(backend: &Backend, gcp: &config::Gcp, wanted: &Wanted, value: Option<&str>) -> Result<()> {
    let url = format!("{}/secrets?secretId={}", collection(gcp, wanted), wanted.name);
    backend.call(Method::POST, &url, &wanted.about).await?.good(format!("create secret {}", wanted.name))?;
    match value {
        Some(value) => renew(backend, gcp, wanted, value).await,
        None => Ok(()),
    }
}

pub(super) async fn renew(backend: &Backend, gcp: &config::Gcp, wanted: &Wanted, value: &str) -> Result<()> {
    let url = format!("{}:addVersion", secret(gcp, wanted));
    let request = json!({"payload": {"data": STANDARD.encode(value)}});
    let added = backend.call(Method::POST, &url, &request).await?;
    added.good(format!("add a version to secret {}", wanted.name)).map(drop)
}

pub(super) async fn delete(backend: &Backend, gcp: &config::Gcp, wanted: &Wanted) -> Result<String> {
    let gone = backend.call(Method::DELETE, &secret(gcp, wanted), &Value::Null).await?;
    gone.good(format!("delete secret {}", wanted.name))?;
    Ok("deleted for good: Google Cloud keeps nothing".into())
}

/// What a secret is in, in names of resources.
fn parent(gcp: &config::Gcp, location: Option<&str>) -> String {
    let place = location.map(|location| format!("/locations/{location}")).unwrap_or_default();
    format!("projects/{}{place}", gcp.project)
}

fn collection(gcp: &config::Gcp, wanted: &Wanted) -> String {
    let location = wanted.place.as_deref();
    let host = location.map_or_else(
        || "secretmanager.googleapis.com".to_owned(),
        |location| format!("secretmanager.{location}.rep.googleapis.com"),
    );
    format!("https://{host}/v1/{}", parent(gcp, location))
}

/// URL of a secret.
fn secret(gcp: &config::Gcp, wanted: &Wanted) -> String {
    format!("{}/secrets/{}", collection(gcp, wanted), wanted.name)
}
