//! A vault as a resource of the resource manager: its name, and its body, read and written.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    access::Permission,
    refusal::Refusal,
    scope,
    secrets::Secrets,
    tenant::Tenant,
    vaults::{Grave, Policy, Vault, Vaults},
};

/// Versions of the vaults' interface from this one on make vaults with RBAC when nothing else is asked.
/// <https://learn.microsoft.com/azure/key-vault/general/access-control-default>
const RBAC_SINCE: &str = "2026-02-01";

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}

/// Whether a vault has a name, or had it and can come back.
pub(super) fn taken(vaults: &Vaults, name: &str) -> bool {
    let key = name.to_lowercase();
    vaults.live.contains_key(&key) || vaults.deleted.contains_key(&key)
}

/// Whether a vault can have a name.
pub(super) fn valid(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
}

pub(super) fn invalid_name(name: &str) -> String {
    format!(
        "The vault name '{name:.64}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name \
         must begin with a letter, end with a letter or digit, and not contain consecutive hyphens. Follow this link for \
         more information: https://go.microsoft.com/fwlink/?linkid=2147742"
    )
}

pub(super) fn name_in_use(name: &str) -> String {
    format!(
        "The vault name '{name:.64}' is already in use. Vault names are globaly unique so it is possible that the name is \
         already taken. If you are sure that the vault name was not taken then it is possible that a vault with the same \
         name was recently deleted but not purged after being placed in a recoverable state. If the vault is in a \
         recoverable state then the vault will need to be purged before reusing the name. For more information on soft \
         delete and purging a vault follow this link https://go.microsoft.com/fwlink/?linkid=2147740."
    )
}

/// Makes a vault, changes one, or recovers one when asked to.
pub(super) fn create(
    tenant: &Tenant,
    vaults: &mut Vaults,
    group: &str,
    name: &str,
    version: &str,
    body: &Value,
) -> Result<Value, Refusal> {
    if !valid(name) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "VaultNameNotValid", invalid_name(name)));
    }
    if !tenant.declared().azurerm_resource_group.values().any(|g| g.name.eq_ignore_ascii_case(group)) {
        let message = format!("Resource group '{group:.90}' could not be found.");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "ResourceGroupNotFound", message));
    }
    let key = name.to_lowercase();
    if body["properties"]["createMode"] == "recover" {
        // Another group's vault is not the caller's to recover.
        let own = |grave: &Grave| grave.vault.group.eq_ignore_ascii_case(group);
        let Some(grave) = vaults.deleted.get(&key).filter(|grave| own(grave)).cloned() else {
            // wording not verified
            let message = format!("A soft deleted vault with the name '{name}' does not exist.");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "DeletedVaultNotFound", message));
        };
        vaults.deleted.remove(&key);
        let vault = vaults.live.entry(key).or_insert(grave.vault);
        return Ok(shown(tenant, vault, "Succeeded"));
    }
    if vaults.deleted.contains_key(&key) {
        let message = "A vault with the same name already exists in deleted state. You need to either recover or purge \
                       existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more \
                       information on soft delete.";
        return Err(Refusal::new(StatusCode::CONFLICT, "ConflictError", message));
    }
    let mut vault = match vaults.live.get(&key) {
        Some(vault) if vault.group.eq_ignore_ascii_case(group) => vault.clone(),
        Some(_) => return Err(Refusal::new(StatusCode::CONFLICT, "VaultAlreadyExists", name_in_use(name))),
        None => {
            let location = body["location"].as_str().unwrap_or_default();
            if location.is_empty() {
                let message = "The location property is required for this definition.";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "LocationRequired", message));
            }
            Vault {
                name: name.to_owned(),
                group: group.to_owned(),
                location: location.to_lowercase().replace(' ', ""),
                sku: "standard".into(),
                rbac: version >= RBAC_SINCE,
                purge_protection: false,
                retention: retention(&body["properties"])?.unwrap_or(90),
                policies: Vec::new(),
                tags: Map::new(),
                secrets: Secrets::default(),
            }
        }
    };
    if body["properties"]["tenantId"].as_str().is_none_or(|id| !id.eq_ignore_ascii_case(&tenant.id)) {
        // wording not verified
        return Err(bad("An invalid value was provided for 'tenantId'."));
    }
    change(tenant, &mut vault, body)?;
    // A new vault has no name in the DNS yet; here it has one at once, and the first look at it says so.
    let state = if vaults.live.contains_key(&key) { "Succeeded" } else { "RegisteringDns" };
    let body = shown(tenant, &vault, state);
    vaults.live.insert(key, vault);
    Ok(body)
}

fn retention(properties: &Value) -> Result<Option<u8>, Refusal> {
    let Some(days) = properties.get("softDeleteRetentionInDays").filter(|v| !v.is_null()) else { return Ok(None) };
    let days = days.as_u64().and_then(|days| u8::try_from(days).ok()).filter(|days| (7..=90).contains(days));
    // wording not verified
    days.map(Some).ok_or_else(|| bad("The property \"softDeleteRetentionInDays\" must be between 7 and 90."))
}

/// Sets what a body asks for.
pub(super) fn change(tenant: &Tenant, vault: &mut Vault, body: &Value) -> Result<(), Refusal> {
    let properties = &body["properties"];
    if let Some(tags) = body["tags"].as_object() {
        vault.tags = tags.clone();
    }
    if let Some(sku) = properties["sku"]["name"].as_str() {
        vault.sku = sku.to_lowercase();
    }
    if let Some(rbac) = properties["enableRbacAuthorization"].as_bool() {
        vault.rbac = rbac;
    }
    if properties["enableSoftDelete"] == false {
        // wording not verified
        return Err(bad("The property \"enableSoftDelete\" cannot be set to false. Enabling the 'soft delete' \
                        functionality for a vault is an irreversible action."));
    }
    match properties["enablePurgeProtection"].as_bool() {
        Some(true) => vault.purge_protection = true,
        Some(false) => {
            return Err(bad("The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge \
                            protection for a vault is an irreversible action."));
        }
        None => {}
    }
    if retention(properties)?.is_some_and(|days| days != vault.retention) {
        return Err(bad("The property \"softDeleteRetentionInDays\" has been set already and it can't be modified."));
    }
    if let Some(policies) = properties["accessPolicies"].as_array() {
        vault.policies = policies.iter().map(|policy| self::policy(tenant, policy)).collect::<Result<_, _>>()?;
    }
    Ok(())
}

fn policy(tenant: &Tenant, policy: &Value) -> Result<Policy, Refusal> {
    let object_id = policy["objectId"].as_str().unwrap_or_default();
    if object_id.is_empty() || !policy["tenantId"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(&tenant.id)) {
        // wording not verified
        return Err(bad("An invalid value was provided for 'accessPolicies'."));
    }
    let mut permissions = Vec::new();
    for permission in policy["permissions"]["secrets"].as_array().into_iter().flatten() {
        let name = permission.as_str().unwrap_or_default().to_lowercase();
        let found: Vec<_> = Permission::ALL.into_iter().filter(|p| name == "all" || p.name() == name).collect();
        if found.is_empty() {
            // wording not verified
            return Err(bad(format!("An invalid value was provided for 'accessPolicies': the permission {name:.20}.")));
        }
        permissions.extend(found);
    }
    Ok(Policy { object_id: object_id.to_owned(), permissions })
}

/// A vault as the resource manager shows it.
pub(super) fn shown(tenant: &Tenant, vault: &Vault, state: &str) -> Value {
    let policies = vault.policies.iter().map(|policy| {
        let permissions: Vec<_> = policy.permissions.iter().map(|p| p.name()).collect();
        json!({"tenantId": tenant.id, "objectId": policy.object_id, "permissions": {"secrets": permissions}})
    });
    let mut properties = json!({
        "sku": {"family": "A", "name": vault.sku},
        "tenantId": tenant.id,
        "accessPolicies": policies.collect::<Vec<_>>(),
        "enabledForDeployment": false,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": vault.retention,
        "enableRbacAuthorization": vault.rbac,
        "vaultUri": vault.url(),
        "provisioningState": state,
        "publicNetworkAccess": "Enabled",
    });
    // It is there or true, never false.
    if vault.purge_protection {
        properties["enablePurgeProtection"] = json!(true);
    }
    json!({
        "id": vault.id(&tenant.subscription),
        "name": vault.name,
        "type": "Microsoft.KeyVault/vaults",
        "location": vault.location,
        "tags": vault.tags,
        "properties": properties,
    })
}

/// A deleted vault as the resource manager shows it.
pub(super) fn buried(tenant: &Tenant, grave: &Grave) -> Value {
    let time = |seconds| Timestamp::from_second(seconds).unwrap_or_default().to_string();
    let Grave { vault, deleted, purge } = grave;
    let mut properties = json!({
        "vaultId": vault.id(&tenant.subscription),
        "location": vault.location,
        "tags": vault.tags,
        "deletionDate": time(*deleted),
        "scheduledPurgeDate": time(*purge),
    });
    if vault.purge_protection {
        properties["purgeProtectionEnabled"] = json!(true);
    }
    json!({
        "id": format!(
            "{}/providers/Microsoft.KeyVault/locations/{}/deletedVaults/{}",
            scope::subscription(&tenant.subscription), vault.location, vault.name
        ),
        "name": vault.name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": properties,
    })
}
