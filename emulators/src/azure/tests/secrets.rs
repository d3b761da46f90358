//! The life of secrets, transition by transition, with the clock moved across the windows.

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::json;

use super::{super::fixture::POLICIES, *};

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
