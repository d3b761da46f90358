//! The life of secrets and vaults, transition by transition, with the clock moved across the windows.

use axum::http::StatusCode;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    fixture::{CANARY, Cluster, LIFECYCLE, LOGIN, MANAGEMENT, POLICIES, SUBSCRIPTION, Said, TENANT, VAULT, wait},
    secrets::DAY,
};
use crate::{
    Request,
    cloud::{Cloud, Trouble},
};

/// Versions of the two interfaces.
const SECRETS: &str = "api-version=7.6";
const VAULTS: &str = "api-version=2023-07-01";

/// The one who may do everything, with tokens for both interfaces.
struct Master {
    cluster: Cluster,
    secrets: String,
    vaults: String,
}

impl Master {
    fn new() -> Self {
        let cluster = Cluster::new();
        let [secrets, vaults] =
            ["https://vault.azure.net/.default", "https://management.azure.com/.default"].map(|s| cluster.master(s));
        Self { cluster, secrets, vaults }
    }

    fn at(&self, host: &str, method: &str, path: &str, body: Value) -> Said {
        let sign = if path.contains('?') { '&' } else { '?' };
        self.cluster.call(&self.secrets, method, host, &format!("{path}{sign}{SECRETS}"), &body)
    }

    fn secret(&self, method: &str, path: &str, body: Value) -> Said {
        self.at(VAULT, method, path, body)
    }

    fn vault(&self, method: &str, path: &str, body: Value) -> Said {
        let path = format!("/subscriptions/{SUBSCRIPTION}{path}?{VAULTS}");
        self.cluster.call(&self.vaults, method, MANAGEMENT, &path, &body)
    }

    fn create(&self, name: &str, properties: Value) -> Said {
        let mut body = json!({"location": "East US", "properties": {
            "tenantId": TENANT, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": true,
        }});
        for (key, value) in properties.as_object().unwrap() {
            body["properties"][key] = value.clone();
        }
        self.vault("PUT", &format!("{GROUP}/{name}"), body)
    }

    /// New tokens, after the clock was moved.
    fn later(mut self, seconds: i64) -> Self {
        self.cluster.tenant.ground.clock.advance(seconds);
        let (object, now) = (LIFECYCLE, self.cluster.tenant.now());
        let fresh = self.cluster.token(|c| {
            c["sub"] = json!("system:serviceaccount:trinity-suites:lifecycle");
            c["nbf"] = json!(now);
            c["exp"] = json!(now + 3600);
        });
        self.secrets = self.cluster.exchange(object, &fresh, "https://vault.azure.net/.default").unwrap();
        self.vaults = self.cluster.exchange(object, &fresh, "https://management.azure.com/.default").unwrap();
        self
    }
}

const GROUP: &str = "/resourceGroups/trinity-dev/providers/Microsoft.KeyVault/vaults";
const NOTHING: Value = Value::Null;

fn seen(said: &Said) -> (u16, String) {
    (said.status.as_u16(), said.code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.into())
}

#[test]
fn every_value_is_a_version_and_the_last_is_current() {
    let m = Master::new();
    let first = m.secret("PUT", "/secrets/Life", json!({"value": "1", "contentType": "t", "tags": {"a": "b"}}));
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.body["attributes"]["recoveryLevel"], "CustomizedRecoverable+Purgeable");
    assert_eq!(first.body["attributes"]["recoverableDays"], 7);
    let id = first.body["id"].as_str().unwrap().to_owned();
    let version = id.strip_prefix("https://trinity-dev-azure.vault.azure.net/secrets/Life/").unwrap();
    let second = m.secret("PUT", "/secrets/life", json!({"value": "2"}));
    assert_ne!(second.body["id"], id.as_str());
    // The name is the same in any case, and a version keeps its value and what was said of it.
    assert_eq!(m.secret("GET", "/secrets/LIFE", NOTHING).body["value"], "2");
    assert_eq!(m.secret("GET", "/secrets/life/", NOTHING).body["value"], "2");
    let old = m.secret("GET", &format!("/secrets/life/{version}"), NOTHING);
    assert_eq!(
        (&old.body["value"], &old.body["contentType"], &old.body["tags"]["a"]),
        (&json!("1"), &json!("t"), &json!("b"))
    );
    let versions = m.secret("GET", "/secrets/life/versions", NOTHING);
    assert_eq!(versions.body["value"].as_array().unwrap().len(), 2);
    assert!(versions.body["value"].as_array().unwrap().iter().all(|v| v.get("value").is_none()));
    assert_eq!(seen(&m.secret("GET", "/secrets/life/0123", NOTHING)), refused(404, "SecretNotFound"));
    assert_eq!(seen(&m.secret("GET", "/secrets/none", NOTHING)), refused(404, "SecretNotFound"));
    assert_eq!(seen(&m.secret("GET", "/secrets/none/versions", NOTHING)), refused(404, "SecretNotFound"));
}

#[test]
fn a_disabled_version_is_not_read_and_dates_only_inform() {
    let m = Master::new();
    m.secret("PUT", "/secrets/a", json!({"value": "1"}));
    let off = m.secret("PATCH", "/secrets/a", json!({"attributes": {"enabled": false}}));
    assert_eq!((off.status, &off.body["attributes"]["enabled"]), (StatusCode::OK, &json!(false)));
    let read = m.secret("GET", "/secrets/a", NOTHING);
    assert_eq!(seen(&read), refused(403, "SecretDisabled"));
    assert_eq!(read.body["error"]["code"], "Forbidden");
    m.secret("PATCH", "/secrets/a/", json!({"attributes": {"enabled": true, "nbf": 1, "exp": 2}, "contentType": "x"}));
    let read = m.secret("GET", "/secrets/a", NOTHING);
    assert_eq!((&read.body["value"], &read.body["attributes"]["exp"]), (&json!("1"), &json!(2)));
    assert_eq!(read.body["contentType"], "x");
    m.secret("PATCH", "/secrets/a", json!({"attributes": {"nbf": i64::MAX, "exp": i64::MAX}}));
    assert_eq!(m.secret("GET", "/secrets/a", NOTHING).status, StatusCode::OK);
    assert_eq!(seen(&m.secret("PATCH", "/secrets/none", json!({}))), refused(404, "SecretNotFound"));
    // A deleted secret that is disabled is not shown.
    m.secret("PATCH", "/secrets/a", json!({"attributes": {"enabled": false}}));
    assert_eq!(m.secret("DELETE", "/secrets/a", NOTHING).status, StatusCode::OK);
    assert_eq!(seen(&m.secret("GET", "/deletedsecrets/a", NOTHING)), refused(403, "SecretDisabled"));
}

#[test]
fn a_deleted_secret_reserves_its_name_until_it_is_recovered() {
    let m = Master::new();
    m.secret("PUT", "/secrets/a", json!({"value": "1"}));
    m.secret("PUT", "/secrets/a", json!({"value": "2"}));
    assert_eq!(seen(&m.secret("GET", "/deletedsecrets/a", NOTHING)), refused(404, "SecretNotFound"));
    let deleted = m.secret("DELETE", "/secrets/a", NOTHING);
    assert_eq!(deleted.body["recoveryId"], "https://trinity-dev-azure.vault.azure.net/deletedsecrets/a");
    let times = |key: &str| deleted.body[key].as_i64().unwrap();
    assert_eq!(times("scheduledPurgeDate") - times("deletedDate"), 7 * DAY);
    assert_eq!(seen(&m.secret("GET", "/secrets/a", NOTHING)), refused(404, "SecretNotFound"));
    assert_eq!(seen(&m.secret("DELETE", "/secrets/a", NOTHING)), refused(404, "SecretNotFound"));
    let reuse = m.secret("PUT", "/secrets/A", json!({"value": "3"}));
    assert_eq!(seen(&reuse), refused(409, "ObjectIsDeletedButRecoverable"));
    assert_eq!(reuse.body["error"]["code"], "Conflict");
    assert_eq!(m.secret("GET", "/deletedsecrets/a", NOTHING).status, StatusCode::OK);
    let listed = m.secret("GET", "/deletedsecrets", NOTHING);
    assert_eq!(listed.body["value"].as_array().unwrap().len(), 1);
    assert_eq!(m.secret("POST", "/deletedsecrets/a/recover", NOTHING).status, StatusCode::OK);
    assert_eq!(m.secret("GET", "/secrets/a", NOTHING).body["value"], "2");
    assert_eq!(m.secret("GET", "/secrets/a/versions", NOTHING).body["value"].as_array().unwrap().len(), 2);
    assert_eq!(seen(&m.secret("POST", "/deletedsecrets/a/recover", NOTHING)), refused(404, "SecretNotFound"));
}

#[test]
fn a_purged_secret_is_gone_and_its_name_is_free() {
    let m = Master::new();
    m.secret("PUT", "/secrets/a", json!({"value": "1"}));
    assert_eq!(seen(&m.secret("DELETE", "/deletedsecrets/a", NOTHING)), refused(404, "SecretNotFound"));
    m.secret("DELETE", "/secrets/a", NOTHING);
    assert_eq!(m.secret("DELETE", "/deletedsecrets/a", NOTHING).status, StatusCode::NO_CONTENT);
    assert_eq!(seen(&m.secret("POST", "/deletedsecrets/a/recover", NOTHING)), refused(404, "SecretNotFound"));
    assert_eq!(m.secret("PUT", "/secrets/a", json!({"value": "2"})).status, StatusCode::OK);
    assert_eq!(m.secret("GET", "/secrets/a/versions", NOTHING).body["value"].as_array().unwrap().len(), 1);
}

#[test]
fn a_deleted_secret_is_purged_when_its_retention_is_over_and_not_before() {
    let m = Master::new();
    m.secret("PUT", "/secrets/a", json!({"value": "1"}));
    m.secret("DELETE", "/secrets/a", NOTHING);
    let m = m.later(7 * DAY - 60);
    assert_eq!(m.secret("GET", "/deletedsecrets/a", NOTHING).status, StatusCode::OK);
    let m = m.later(60);
    assert_eq!(seen(&m.secret("GET", "/deletedsecrets/a", NOTHING)), refused(404, "SecretNotFound"));
    assert_eq!(m.secret("PUT", "/secrets/a", json!({"value": "2"})).status, StatusCode::OK);
}

#[test]
fn purge_protection_keeps_a_deleted_secret_until_its_retention_is_over() {
    let m = Master::new();
    m.at(POLICIES, "PUT", "/secrets/a", json!({"value": "1"}));
    let deleted = m.at(POLICIES, "DELETE", "/secrets/a", NOTHING);
    assert_eq!(deleted.body["attributes"]["recoveryLevel"], "Recoverable");
    let purge = m.at(POLICIES, "DELETE", "/deletedsecrets/a", NOTHING);
    assert_eq!(seen(&purge), refused(403, "Forbidden"));
    assert!(purge.body["error"]["message"].as_str().unwrap().contains("purge protection is enabled"));
    let m = m.later(90 * DAY);
    assert_eq!(seen(&m.at(POLICIES, "GET", "/deletedsecrets/a", NOTHING)), refused(404, "SecretNotFound"));
}

#[test]
fn a_backup_brings_all_versions_back_and_never_over_another_secret() {
    let m = Master::new();
    m.secret("PUT", "/secrets/a", json!({"value": "1"}));
    m.secret("PUT", "/secrets/a", json!({"value": "2"}));
    let blob = m.secret("POST", "/secrets/a/backup", NOTHING).body;
    assert!(!blob.to_string().contains("\"2\""));
    assert_eq!(seen(&m.secret("POST", "/secrets/restore", blob.clone())), refused(409, "Conflict"));
    m.secret("DELETE", "/secrets/a", NOTHING);
    let restored = m.secret("POST", "/secrets/restore", blob.clone());
    assert_eq!(seen(&restored), refused(409, "ObjectIsDeletedButRecoverable"));
    m.secret("DELETE", "/deletedsecrets/a", NOTHING);
    assert_eq!(m.secret("POST", "/secrets/restore", blob).status, StatusCode::OK);
    assert_eq!(m.secret("GET", "/secrets/a", NOTHING).body["value"], "2");
    assert_eq!(m.secret("GET", "/secrets/a/versions", NOTHING).body["value"].as_array().unwrap().len(), 2);
    assert_eq!(seen(&m.secret("POST", "/secrets/restore", json!({"value": "x"}))), refused(400, "BadParameter"));
}

#[test]
fn pages_have_every_secret_once() {
    let m = Master::new();
    for i in 0..30 {
        m.at(POLICIES, "PUT", &format!("/secrets/s{i:02}"), json!({"value": "v"}));
    }
    let mut names = Vec::new();
    let mut sizes = Vec::new();
    let mut next = Some("/secrets?maxresults=12".to_owned());
    while let Some(path) = next {
        let said = match path.split_once(".net") {
            Some((_, path)) => m.cluster.call(&m.secrets, "GET", POLICIES, path, &NOTHING),
            None => m.at(POLICIES, "GET", &path, NOTHING),
        };
        let page = said.body["value"].as_array().unwrap().clone();
        sizes.push(page.len());
        names.extend(page.iter().map(|s| s["id"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned()));
        assert!(page.iter().all(|s| s.get("value").is_none()));
        next = said.body["nextLink"].as_str().map(Into::into);
    }
    assert_eq!(sizes, [12, 12, 7]);
    names.dedup();
    assert_eq!(names.len(), 31);
    for wrong in ["maxresults=0", "maxresults=26", "maxresults=x", "$skiptoken=%C3%A4"] {
        let said = m.at(POLICIES, "GET", &format!("/secrets?{wrong}"), NOTHING);
        assert_eq!(seen(&said), refused(400, "BadParameter"), "{wrong}");
    }
}

#[test]
fn what_a_vault_cannot_take_is_a_bad_parameter() {
    let m = Master::new();
    let long = "x".repeat((25 << 10) + 1);
    for (path, body) in [
        ("/secrets/a_b", json!({"value": "1"})),
        ("/secrets/a%2Fb", json!({"value": "1"})),
        (&*format!("/secrets/{}", "n".repeat(128)), json!({"value": "1"})),
        ("/secrets/a", json!({})),
        ("/secrets/a", json!({"value": 1})),
        ("/secrets/a", json!({"value": long})),
        ("/secrets/a", json!({"value": "1", "contentType": "c".repeat(256)})),
        (
            "/secrets/a",
            json!({"value": "1", "tags": (0..16).map(|i| (i.to_string(), "t")).collect::<std::collections::BTreeMap<_, _>>()}),
        ),
    ] {
        assert_eq!(seen(&m.secret("PUT", path, body)), refused(400, "BadParameter"), "{path:.40}");
    }
    for version in ["api-version=2016-10-01", "api-version=", "x=y"] {
        let said = m.cluster.call(&m.secrets, "GET", VAULT, &format!("/secrets/trinity-canary?{version}"), &NOTHING);
        assert_eq!(seen(&said), refused(400, "BadParameter"), "{version}");
    }
    for path in ["/certificates/a/", "/keys/a/", "/secrets/a/b/c"] {
        let said = m.secret("GET", path, NOTHING);
        assert_eq!((seen(&said), said.note.finding), (refused(400, "BadParameter"), true), "{path}");
    }
}

#[test]
fn without_a_token_the_vault_says_where_to_get_one() {
    let cluster = Cluster::new();
    let request = axum::http::Request::builder().uri(format!("/secrets/trinity-canary/?{SECRETS}"));
    let said = cluster.send(VAULT, request.body(Bytes::new()).unwrap());
    assert_eq!(seen(&said), refused(401, "Unauthorized"));
    let challenge = said.headers["www-authenticate"].to_str().unwrap();
    let expected = format!(
        "Bearer authorization=\"https://login.microsoftonline.com/{TENANT}\", resource=\"https://vault.azure.net\""
    );
    assert_eq!(challenge, expected);
    assert_eq!(said.body["error"]["message"], "AKV10000: Request is missing a Bearer or PoP token.");
}

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
    // It comes back with what was in it.
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
    let token = m.cluster.token(|c| c["sub"] = json!("system:serviceaccount:default:default"));
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

#[test]
fn the_set_up_can_be_applied_again_and_restores_nothing() {
    let m = Master::new();
    let (tenant, values) = (&m.cluster.tenant, Cluster::values());
    let versions = |m: &Master| {
        m.secret("GET", "/secrets/trinity-canary/versions", NOTHING).body["value"].as_array().unwrap().len()
    };
    wait(tenant.apply(&values)).unwrap();
    assert_eq!(versions(&m), 1);
    let mut changed = values.clone();
    changed.insert("canary".into(), "another".into());
    wait(tenant.apply(&changed)).unwrap();
    assert_eq!(versions(&m), 2);
    assert_eq!(wait(tenant.read("trinity-canary")).unwrap(), "another");
    wait(tenant.write("trinity-canary", "third")).unwrap();
    assert_eq!(wait(tenant.read("trinity-canary")).unwrap(), "third");
    wait(tenant.delete("trinity-canary")).unwrap();
    let told = wait(tenant.apply(&values)).unwrap_err().to_string();
    assert!(told.contains("recover it or purge it"), "{told}");
    assert!(wait(tenant.read("trinity-canary")).is_err());
    assert!(wait(tenant.apply(&std::collections::BTreeMap::new())).is_err());
}

#[test]
fn a_declaration_with_an_error_leaves_the_old_one() {
    let cluster = Cluster::new();
    let good = Cluster::declared();
    for (from, to) in [
        ("Key Vault Secrets User", "Key Vault Secrets Guesser"),
        ("azurerm_role_assignment:", "azurerm_role_assignments:"),
        ("userAssignedIdentities/trinity-canary", "userAssignedIdentities/none"),
        ("tenant_id: ${tenant}", "tenant_id: another"),
        ("secret_permissions: [Get]", "secret_permissions: [Look]"),
        ("use_existing: true", "use_existing: false"),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(cluster.tenant.declare(&good.replace(from, to)).is_err(), "{to}");
    }
    let token = cluster.token(|_| {});
    assert!(cluster.exchange(super::fixture::PLATFORM, &token, "https://vault.azure.net/.default").is_ok());
}

#[test]
fn the_token_endpoint_refuses_with_the_code_for_it() {
    let cluster = Cluster::new();
    let token = cluster.token(|c| c["sub"] = json!("system:serviceaccount:default:default"));
    let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let base = [
        ("grant_type", "client_credentials"),
        ("client_id", CANARY),
        ("client_assertion_type", jwt),
        ("client_assertion", &token),
        ("scope", "https://vault.azure.net/.default"),
    ];
    let with = |name: &str, value: &str| {
        let changed: Vec<_> = base.iter().map(|(n, v)| (*n, if *n == name { value } else { *v })).collect();
        let said = cluster.post(&changed);
        (said.status.as_u16(), said.body["error"].as_str().unwrap_or_default().to_owned(), said.code())
    };
    let expected = |status, error: &str, code: &str| (status, error.to_owned(), code.to_owned());
    assert_eq!(with("scope", "https://vault.azure.net/.default").0, 200);
    assert_eq!(with("grant_type", ""), expected(400, "invalid_request", "AADSTS900144"));
    assert_eq!(with("grant_type", "password"), expected(400, "unsupported_grant_type", "AADSTS70003"));
    assert_eq!(with("client_id", ""), expected(400, "invalid_request", "AADSTS900144"));
    assert_eq!(with("client_id", "none"), expected(400, "unauthorized_client", "AADSTS700016"));
    assert_eq!(with("client_assertion_type", "saml"), expected(400, "invalid_request", "AADSTS90014"));
    assert_eq!(with("client_assertion", "x"), expected(400, "invalid_request", "AADSTS50027"));
    assert_eq!(with("scope", "openid"), expected(400, "invalid_scope", "AADSTS70011"));
    assert_eq!(with("scope", "https://vault.azure.net/x"), expected(400, "invalid_scope", "AADSTS1002012"));
    assert_eq!(
        with("scope", "https://graph.microsoft.com/.default"),
        expected(400, "invalid_resource", "AADSTS500011")
    );
    let secret = [base[0], base[1], base[4], ("client_secret", "guess")];
    assert_eq!(cluster.post(&secret).code(), "AADSTS7000215");
    assert_eq!(cluster.post(&[base[0], base[1], base[4]]).code(), "AADSTS7000218");
    let administrator = &cluster.tenant.administrator.client_id;
    let secret = [base[0], ("client_id", administrator), base[4], ("client_secret", "guess")];
    assert_eq!(cluster.post(&secret).code(), "AADSTS7000215");
    let case = cluster.token(|c| c["sub"] = json!("system:serviceaccount:default:Default"));
    assert_eq!(with("client_assertion", &case).2, "AADSTS7002138");
}

#[test]
fn the_directory_publishes_where_tokens_come_from() {
    let cluster = Cluster::new();
    let get = |path: &str| cluster.send(LOGIN, axum::http::Request::builder().uri(path).body(Bytes::new()).unwrap());
    let document = get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).body;
    assert_eq!(document["issuer"], format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
    assert_eq!(document["token_endpoint"], format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"));
    let keys = document["jwks_uri"].as_str().unwrap().strip_prefix("https://login.microsoftonline.com").unwrap();
    assert_eq!(get(keys).body["keys"][0]["kty"], "RSA");
    let first = get(&format!("/{TENANT}/.well-known/openid-configuration")).body;
    assert_eq!(first["issuer"], format!("https://sts.windows.net/{TENANT}/"));
    let discovery = get("/common/discovery/instance?api-version=1.1&authorization_endpoint=x").body;
    assert_eq!(discovery["metadata"][0]["preferred_network"], "login.microsoftonline.com");
    assert_eq!(get("/another/v2.0/.well-known/openid-configuration").code(), "AADSTS90002");
    let nowhere = get("/nowhere");
    assert_eq!((nowhere.status, nowhere.note.finding), (StatusCode::NOT_FOUND, true));
}

#[test]
fn trouble_has_the_form_of_its_service() {
    let cluster = Cluster::new();
    for (host, code) in [(VAULT, "Throttled"), (MANAGEMENT, "TooManyRequests")] {
        let request = axum::http::Request::builder().uri("/").body(Bytes::new()).unwrap();
        let answer = cluster.tenant.trouble(host, &request, Trouble::Throttled);
        assert_eq!((answer.response.status().as_u16(), answer.note.code.as_deref()), (429, Some(code)));
        assert!(answer.response.headers().contains_key("retry-after"));
    }
    let request = axum::http::Request::builder().uri("/").body(Bytes::new()).unwrap();
    let answer = cluster.tenant.trouble(LOGIN, &request, Trouble::Internal);
    assert_eq!(answer.response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn no_value_is_in_a_note() {
    let m = Master::new();
    for (method, path, body) in [
        ("PUT", "/secrets/a", json!({"value": "sesame"})),
        ("PUT", "/secrets/a_b", json!({"value": "sesame"})),
        ("PUT", "/secrets/a", json!({"value": "sesame", "attributes": "sesame"})),
        ("GET", "/secrets/a", NOTHING),
        ("POST", "/secrets/restore", json!({"value": "sesame"})),
    ] {
        let note = format!("{:?}", m.secret(method, path, body).note);
        assert!(!note.contains("sesame"), "{note}");
    }
}

/// A request of any method, to any path, with any query, header and body.
fn request() -> impl Strategy<Value = Request> {
    let method = prop::sample::select(vec!["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"]);
    let parts = prop::sample::select(vec![
        "",
        "secrets",
        "deletedsecrets",
        "restore",
        "backup",
        "versions",
        "recover",
        "trinity-canary",
        "subscriptions",
        SUBSCRIPTION,
        "providers",
        "Microsoft.KeyVault",
        "vaults",
        "oauth2",
        "v2.0",
        "token",
        TENANT,
        "%00",
        "..",
        "a?b",
    ]);
    let path = prop::collection::vec(parts, 0..7);
    let query = "[a-z$=&%0-9.-]{0,20}";
    let authorization = prop_oneof![Just(String::new()), "[ -~]{0,40}", "Bearer [A-Za-z0-9._-]{0,80}"];
    (method, path, query, authorization, prop::collection::vec(any::<u8>(), 0..200)).prop_filter_map(
        "only what a server would read",
        |(method, path, query, authorization, body)| {
            let uri = format!("/{}?api-version=7.6&{query}", path.join("/"));
            let request = axum::http::Request::builder().method(method).uri(uri).header("authorization", authorization);
            request.body(Bytes::from(body)).ok()
        },
    )
}

static CLUSTER: std::sync::LazyLock<Cluster> = std::sync::LazyLock::new(Cluster::new);

proptest! {
    #[test]
    fn no_made_up_request_gets_in(request in request()) {
        for host in [VAULT, POLICIES, MANAGEMENT, LOGIN] {
            prop_assert!(CLUSTER.tenant.operation(host, &request).len() < 80);
            let again = axum::http::Request::from_parts(request.clone().into_parts().0, request.body().clone());
            let said = CLUSTER.send(host, again);
            // Only the public documents of the directory are for everybody.
            prop_assert!(!said.status.is_success() || host == LOGIN, "{} {said:?}", request.uri());
            prop_assert!(said.body.get("access_token").is_none() && said.body.get("value").is_none());
        }
    }

    #[test]
    fn no_made_up_form_gets_a_token(id in "[ -~]{0,40}", proof in "[ -~]{0,80}", dotted in "[A-Za-z0-9_-]{1,20}") {
        let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let scope = ("scope", "https://vault.azure.net/.default");
        let token = format!("{dotted}.{dotted}.{dotted}");
        for assertion in [&proof, &token] {
            for client in [CANARY, LIFECYCLE, &id] {
                let said = CLUSTER.post(&[
                    ("grant_type", "client_credentials"), ("client_id", client), scope,
                    ("client_assertion_type", jwt), ("client_assertion", assertion), ("client_secret", &proof),
                ]);
                prop_assert!(said.status.is_client_error() && said.body.get("access_token").is_none());
            }
        }
    }
}
