//! The life of vaults, transition by transition, with the clock moved across the windows.

use axum::http::StatusCode;
use serde_json::json;

use super::{super::fixture::CANARY, *};
use crate::cloud::Cloud;

#[test]
fn a_vault_that_nobody_has_is_no_absent_secret() {
    let m = Master::new();
    let said = m.at("another.vault.azure.net", "GET", "/secrets/a", NOTHING);
    assert_eq!((said.status, said.note.finding), (StatusCode::MISDIRECTED_REQUEST, true));
    assert!(!m.cluster.tenant.plays("a.b.vault.azure.net"));
}

#[test]
fn a_vault_lives_is_deleted_recovered_and_purged() {
    let m = Master::new();
    let name = format!("{GROUP}/Life-Vault");
    let created = m.create("Life-Vault", json!({"softDeleteRetentionInDays": 7}));
    assert_eq!(
        (created.status, &created.body["properties"]["provisioningState"]),
        (StatusCode::OK, &json!("RegisteringDns"))
    );
    let shown = m.vault("GET", &name, NOTHING);
    assert_eq!(shown.body["properties"]["provisioningState"], "Succeeded");
    assert_eq!(
        (&shown.body["location"], &shown.body["properties"]["softDeleteRetentionInDays"]),
        (&json!("eastus"), &json!(7))
    );
    assert_eq!(shown.body["properties"]["vaultUri"], "https://life-vault.vault.azure.net/");
    let host = "life-vault.vault.azure.net";
    m.at(host, "PUT", "/secrets/a", json!({"value": "1"}));
    assert_eq!(m.vault("DELETE", &name, NOTHING).status, StatusCode::OK);
    assert_eq!(m.vault("DELETE", &name, NOTHING).status, StatusCode::NO_CONTENT);
    assert_eq!(seen(&m.vault("GET", &name, NOTHING)), refused(404, "ResourceNotFound"));
    assert_eq!(m.at(host, "GET", "/secrets/a", NOTHING).status, StatusCode::MISDIRECTED_REQUEST);
    let grave = "/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/life-vault";
    let buried = m.vault("GET", grave, NOTHING);
    assert_eq!((buried.status, &buried.body["name"]), (StatusCode::OK, &json!("Life-Vault")));
    let elsewhere = "/providers/Microsoft.KeyVault/locations/westus/deletedVaults/life-vault";
    assert_eq!(seen(&m.vault("GET", elsewhere, NOTHING)), refused(404, "DeletedVaultNotFound"));
    let all = m.vault("GET", "/providers/Microsoft.KeyVault/deletedVaults", NOTHING);
    assert_eq!(all.body["value"].as_array().unwrap().len(), 1);
    // The name is taken, for everybody.
    assert_eq!(seen(&m.create("life-vault", json!({}))), refused(409, "ConflictError"));
    let available = |m: &Master, name: &str| {
        let body = json!({"name": name, "type": "Microsoft.KeyVault/vaults"});
        m.vault("POST", "/providers/Microsoft.KeyVault/checkNameAvailability", body).body
    };
    assert_eq!(available(&m, "life-vault")["reason"], "AlreadyExists");
    assert_eq!(available(&m, "1")["reason"], "AccountNameInvalid");
    assert_eq!(available(&m, "unheard-of")["nameAvailable"], true);
    // It comes back with what was in it, to where it was.
    let elsewhere = "/resourceGroups/other/providers/Microsoft.KeyVault/vaults/life-vault";
    let body = json!({"location": "eastus", "properties": {"tenantId": TENANT, "createMode": "recover"}});
    assert_eq!(seen(&m.vault("PUT", elsewhere, body)), refused(404, "ResourceGroupNotFound"));
    assert_eq!(seen(&m.create("unheard-of", json!({"createMode": "recover"}))), refused(404, "DeletedVaultNotFound"));
    assert_eq!(m.create("life-vault", json!({"createMode": "recover"})).status, StatusCode::OK);
    assert_eq!(m.at(host, "GET", "/secrets/a", NOTHING).body["value"], "1");
    m.vault("DELETE", &name, NOTHING);
    let purged = m.vault("POST", &format!("{grave}/purge"), NOTHING);
    assert_eq!(purged.status, StatusCode::ACCEPTED);
    let location = purged.headers["location"].to_str().unwrap().strip_prefix("https://management.azure.com").unwrap();
    let polled = m.cluster.call(&m.vaults, "GET", MANAGEMENT, location, &NOTHING);
    assert_eq!(polled.status, StatusCode::NO_CONTENT);
    assert_eq!(seen(&m.vault("POST", &format!("{grave}/purge"), NOTHING)), refused(404, "DeletedVaultNotFound"));
    assert_eq!(m.create("life-vault", json!({})).status, StatusCode::OK);
    assert_eq!(seen(&m.at(host, "GET", "/secrets/a", NOTHING)), refused(404, "SecretNotFound"));
}

#[test]
fn purge_protection_keeps_a_deleted_vault_until_its_retention_is_over() {
    let m = Master::new();
    m.create("kept", json!({"enablePurgeProtection": true, "softDeleteRetentionInDays": 7}));
    let off = m.create("kept", json!({"enablePurgeProtection": false}));
    assert_eq!(seen(&off), refused(400, "BadRequest"));
    m.vault("DELETE", &format!("{GROUP}/kept"), NOTHING);
    let grave = "/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kept";
    let purge = m.vault("POST", &format!("{grave}/purge"), NOTHING);
    assert_eq!(seen(&purge), refused(405, "MethodNotAllowed"));
    let m = m.later(7 * DAY - 60);
    assert_eq!(m.vault("GET", grave, NOTHING).status, StatusCode::OK);
    let m = m.later(60);
    assert_eq!(seen(&m.vault("GET", grave, NOTHING)), refused(404, "DeletedVaultNotFound"));
    assert_eq!(m.create("kept", json!({})).status, StatusCode::OK);
}

#[test]
fn what_the_resource_manager_cannot_make_is_refused() {
    let m = Master::new();
    assert_eq!(seen(&m.create("ab", json!({}))), refused(400, "VaultNameNotValid"));
    assert_eq!(seen(&m.create("a--b", json!({}))), refused(400, "VaultNameNotValid"));
    assert_eq!(seen(&m.create("good", json!({"softDeleteRetentionInDays": 6}))), refused(400, "BadRequest"));
    assert_eq!(seen(&m.create("good", json!({"enableSoftDelete": false}))), refused(400, "BadRequest"));
    assert_eq!(seen(&m.create("good", json!({"tenantId": "another"}))), refused(400, "BadRequest"));
    let policy = json!([{"tenantId": TENANT, "objectId": "o", "permissions": {"secrets": ["eat"]}}]);
    assert_eq!(seen(&m.create("good", json!({"accessPolicies": policy}))), refused(400, "BadRequest"));
    assert_eq!(m.create("good", json!({})).status, StatusCode::OK);
    assert_eq!(seen(&m.create("good", json!({"softDeleteRetentionInDays": 7}))), refused(400, "BadRequest"));
    let group = "/resourceGroups/none/providers/Microsoft.KeyVault/vaults/good";
    assert_eq!(seen(&m.vault("PUT", group, json!({"location": "x"}))), refused(404, "ResourceGroupNotFound"));
    let said = m.vault("GET", "/resourceGroups/trinity-dev/providers/Microsoft.Compute/virtualMachines", NOTHING);
    assert_eq!((seen(&said), said.note.finding), (refused(404, "InvalidResourceType"), true));
    let other = format!("/subscriptions/other{GROUP}/good?{VAULTS}");
    assert_eq!(
        seen(&m.cluster.call(&m.vaults, "GET", MANAGEMENT, &other, &NOTHING)),
        refused(404, "SubscriptionNotFound")
    );
    let unversioned = format!("/subscriptions/{SUBSCRIPTION}{GROUP}/good");
    let said = m.cluster.call(&m.vaults, "GET", MANAGEMENT, &unversioned, &NOTHING);
    assert_eq!(seen(&said), refused(400, "MissingApiVersionParameter"));
    // A token for vaults manages none, and the canary manages nothing.
    let said = m.cluster.call(&m.secrets, "GET", MANAGEMENT, &format!("{unversioned}?{VAULTS}"), &NOTHING);
    assert_eq!(seen(&said), refused(401, "InvalidAuthenticationTokenAudience"));
    let token = Cluster::issued(|c| c["sub"] = json!("system:serviceaccount:default:default"));
    let canary = m.cluster.exchange(CANARY, &token, "https://management.azure.com/.default").unwrap();
    let said = m.cluster.call(&canary, "GET", MANAGEMENT, &format!("{unversioned}?{VAULTS}"), &NOTHING);
    assert_eq!(seen(&said), refused(403, "AuthorizationFailed"));
}

#[test]
fn newer_interfaces_make_vaults_with_rbac() {
    let m = Master::new();
    let rbac = |name: &str, version: &str| {
        let path = format!("/subscriptions/{SUBSCRIPTION}{GROUP}/{name}?api-version={version}");
        let body = json!({"location": "eastus", "properties": {"tenantId": TENANT}});
        m.cluster.call(&m.vaults, "PUT", MANAGEMENT, &path, &body).body["properties"]["enableRbacAuthorization"].clone()
    };
    assert_eq!(rbac("older", "2023-07-01"), json!(false));
    assert_eq!(rbac("newer", "2026-02-01"), json!(true));
}
