//! The declared set-up: applied, replaced, refused. And trouble on demand.

use axum::http::StatusCode;
use bytes::Bytes;

use super::{
    super::fixture::{CANARIES, LOGIN, PLATFORM},
    *,
};
use crate::{
    cloud::{Cloud, Trouble},
    fixture::{values, wait},
};

#[test]
fn the_set_up_can_be_applied_again_and_restores_nothing() {
    let m = Master::new();
    let (tenant, values) = (&m.cluster.tenant, values());
    let versions = |m: &Master| {
        m.at(CANARIES, "GET", "/secrets/trinity-canary/versions", NOTHING).body["value"].as_array().unwrap().len()
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
    let token = Cluster::issued(|_| {});
    assert!(cluster.exchange(PLATFORM, &token, "https://vault.azure.net/.default").is_ok());
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
