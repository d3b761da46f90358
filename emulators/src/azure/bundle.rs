//! Secrets as the data plane shows them.

use serde_json::{Value, json};

use super::{
    secrets::{Secret, Tombstone, Version},
    vaults::Vault,
};

/// A version as every answer shows it; `exactly` with its id, else under the id of the secret.
pub(super) fn item(vault: &Vault, secret: &Secret, version: &Version, exactly: bool) -> Value {
    let mut id = format!("{}secrets/{}", vault.url(), secret.name);
    if exactly {
        id = format!("{id}/{}", version.id);
    }
    let mut attributes = json!({"enabled": version.enabled});
    for (name, time) in [("nbf", version.not_before), ("exp", version.expires)] {
        if let Some(time) = time {
            attributes[name] = json!(time);
        }
    }
    attributes["created"] = json!(version.created);
    attributes["updated"] = json!(version.updated);
    attributes["recoveryLevel"] = json!(vault.recovery_level());
    attributes["recoverableDays"] = json!(vault.retention);
    let mut item = json!({"id": id, "attributes": attributes});
    if let Some(content_type) = &version.content_type {
        item["contentType"] = json!(content_type);
    }
    if let Some(tags) = &version.tags {
        item["tags"] = json!(tags);
    }
    item
}

/// A version with its value.
pub(super) fn valued(vault: &Vault, secret: &Secret, version: &Version) -> Value {
    let mut item = item(vault, secret, version, true);
    item["value"] = json!(version.value);
    item
}

/// A deleted secret.
pub(super) fn deleted(vault: &Vault, tombstone: &Tombstone, exactly: bool) -> Value {
    let secret = &tombstone.secret;
    let mut shown = secret.versions.last().map(|version| item(vault, secret, version, exactly)).unwrap_or_default();
    shown["recoveryId"] = json!(format!("{}deletedsecrets/{}", vault.url(), secret.name));
    shown["deletedDate"] = json!(tombstone.deleted);
    shown["scheduledPurgeDate"] = json!(tombstone.purge);
    shown
}
