//! What happens to secrets in their life, called by Google's own client and over REST.

use bytes::Bytes;
use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1::{
    AddSecretVersionRequest, ListSecretVersionsRequest, ListSecretsRequest, SecretPayload,
};
use serde_json::{Value, json};

use super::{
    SECRETMANAGER,
    fixture::{Cluster, NUMBER, PROJECT, REGIONAL, Rest, bearing, code},
};

fn refused(status: u16, code: &str, message: &str) -> (u16, String, String) {
    (status, code.into(), message.into())
}

#[tokio::test]
async fn a_version_is_enabled_disabled_and_destroyed() {
    let cluster = Cluster::new();
    let rest = Rest(&cluster);
    let secret = rest.create("s").await;
    assert_eq!(secret["name"], format!("projects/{NUMBER}/secrets/s"));
    let name = format!("projects/{NUMBER}/secrets/s/versions/1");
    assert_eq!(
        rest.bad("GET", "secrets/s/versions/latest:access", Value::Null).await,
        refused(404, "NOT_FOUND", &format!("Secret [projects/{NUMBER}/secrets/s] not found or has no versions."))
    );
    let version = rest.add("s", "b25l").await;
    assert_eq!((version["name"].as_str(), version["state"].as_str()), (Some(name.as_str()), Some("ENABLED")));
    let value = rest.good("GET", "secrets/s/versions/latest:access", Value::Null).await;
    assert_eq!(value["name"], name);
    assert_eq!(value["payload"], json!({"data": "b25l", "dataCrc32c": crc32c::crc32c(b"one").to_string()}));

    assert_eq!(rest.good("POST", "secrets/s/versions/1:disable", json!({})).await["state"], "DISABLED");
    assert_eq!(
        rest.bad("GET", "secrets/s/versions/1:access", Value::Null).await,
        refused(400, "FAILED_PRECONDITION", &format!("Secret Version [{name}] is in DISABLED state."))
    );
    assert_eq!(rest.good("POST", "secrets/s/versions/1:enable", json!({})).await["state"], "ENABLED");
    assert_eq!(rest.good("GET", "secrets/s/versions/1:access", Value::Null).await["payload"]["data"], "b25l");

    // The newest is the newest, even when it cannot be read.
    rest.add("s", "dHdv").await;
    rest.good("POST", "secrets/s/versions/2:disable", json!({})).await;
    let (status, _, message) = rest.bad("GET", "secrets/s/versions/latest:access", Value::Null).await;
    assert!(status == 400 && message.contains("versions/2] is in DISABLED state."));

    let gone = rest.good("POST", "secrets/s/versions/1:destroy", json!({})).await;
    assert_eq!(gone["state"], "DESTROYED");
    assert!(gone["destroyTime"].is_string());
    for verb in ["enable", "disable", "destroy"] {
        assert_eq!(
            rest.bad("POST", &format!("secrets/s/versions/1:{verb}"), json!({})).await,
            refused(400, "FAILED_PRECONDITION", &format!("Secret Version [{name}] is in DESTROYED state.")),
            "{verb}"
        );
    }
    let (status, _, message) = rest.bad("GET", "secrets/s/versions/1:access", Value::Null).await;
    assert_eq!((status, message), (400, format!("Secret Version [{name}] is in DESTROYED state.")));
    // Its number is used for ever.
    assert_eq!(rest.add("s", "eA==").await["name"], format!("projects/{NUMBER}/secrets/s/versions/3"));
    assert_eq!(rest.good("GET", "secrets/s/versions/1", Value::Null).await["state"], "DESTROYED");
    assert_eq!(
        rest.bad("GET", "secrets/s/versions/4", Value::Null).await,
        refused(404, "NOT_FOUND", &format!("Secret Version [projects/{NUMBER}/secrets/s/versions/4] not found."))
    );
}

#[tokio::test]
async fn a_deleted_secret_is_gone_and_its_name_is_free() {
    let cluster = Cluster::new();
    let rest = Rest(&cluster);
    rest.create("s").await;
    rest.add("s", "b25l").await;
    let (status, code, message) =
        rest.bad("POST", "secrets?secretId=s", json!({"replication": {"automatic": {}}})).await;
    assert_eq!((status, code.as_str()), (409, "ALREADY_EXISTS"));
    assert_eq!(message, format!("Secret [projects/{NUMBER}/secrets/s] already exists."));
    assert_eq!(rest.good("DELETE", "secrets/s", Value::Null).await, json!({}));
    assert_eq!(
        rest.bad("GET", "secrets/s", Value::Null).await,
        refused(404, "NOT_FOUND", &format!("Secret [projects/{NUMBER}/secrets/s] not found."))
    );
    assert_eq!(rest.bad("DELETE", "secrets/s", Value::Null).await.0, 404);
    rest.create("s").await;
    assert_eq!(rest.bad("GET", "secrets/s/versions/1:access", Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_secret_expires_by_the_clock() {
    let cluster = Cluster::new();
    let rest = Rest(&cluster);
    let asked = json!({"replication": {"automatic": {}}, "ttl": "3600s"});
    let secret = rest.good("POST", "secrets?secretId=s", asked).await;
    assert!(secret["expireTime"].is_string() && secret.get("ttl").is_none());
    cluster.project.ground.clock.advance(3599);
    rest.good("GET", "secrets/s", Value::Null).await;
    rest.good("PATCH", "secrets/s?updateMask=ttl", json!({"ttl": "7200s"})).await;
    cluster.project.ground.clock.advance(3600);
    rest.good("GET", "secrets/s", Value::Null).await;
    cluster.project.ground.clock.advance(3601);
    assert_eq!(rest.bad("GET", "secrets/s", Value::Null).await.0, 404);
    for expiration in [json!({"ttl": "-1s"}), json!({"expireTime": "2001-01-01T00:00:00Z"}), json!({"ttl": "soon"})] {
        let mut asked = json!({"replication": {"automatic": {}}});
        asked.as_object_mut().unwrap().extend(expiration.as_object().unwrap().clone());
        assert_eq!(rest.bad("POST", "secrets?secretId=x", asked).await.1, "INVALID_ARGUMENT", "{expiration}");
    }
}

#[tokio::test]
async fn an_old_etag_changes_nothing() {
    let cluster = Cluster::new();
    let rest = Rest(&cluster);
    let old = rest.create("s").await["etag"].as_str().unwrap().to_owned();
    assert!(old.starts_with('"') && old.ends_with('"'));
    let updated = rest.good("PATCH", "secrets/s?updateMask=labels", json!({"labels": {"a": "b"}, "etag": old})).await;
    let new = updated["etag"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    let (status, code, _) = rest.bad("PATCH", "secrets/s?updateMask=labels", json!({"labels": {}, "etag": old})).await;
    assert_eq!((status, code.as_str()), (400, "FAILED_PRECONDITION"));
    let version = rest.add("s", "b25l").await;
    assert_eq!(rest.good("GET", "secrets/s", Value::Null).await["etag"], new);
    // Enabling what is enabled changes the tag, as documented.
    let first = version["etag"].clone();
    rest.good("POST", "secrets/s/versions/1:enable", json!({"etag": first})).await;
    let stale = rest.bad("POST", "secrets/s/versions/1:disable", json!({"etag": first})).await;
    assert_eq!((stale.0, stale.1.as_str()), (400, "FAILED_PRECONDITION"));
    let escaped = |etag: &str| etag.replace('"', "%22");
    assert_eq!(rest.bad("DELETE", &format!("secrets/s?etag={}", escaped(&old)), Value::Null).await.0, 400);
    rest.good("DELETE", &format!("secrets/s?etag={}", escaped(&new)), Value::Null).await;
}

#[tokio::test]
async fn aliases_name_versions() {
    let cluster = Cluster::new();
    let rest = Rest(&cluster);
    rest.create("s").await;
    rest.add("s", "b25l").await;
    rest.add("s", "dHdv").await;
    let alias = |aliases: Value| json!({"versionAliases": aliases});
    rest.good("PATCH", "secrets/s?updateMask=versionAliases", alias(json!({"stable": "1"}))).await;
    let value = rest.good("GET", "secrets/s/versions/stable:access", Value::Null).await;
    assert_eq!(value["name"], format!("projects/{NUMBER}/secrets/s/versions/1"));
    assert_eq!(rest.bad("GET", "secrets/s/versions/absent:access", Value::Null).await.1, "NOT_FOUND");
    for wrong in [json!({"a": "3"}), json!({"a": "0"}), json!({"latest": "1"}), json!({"1a": "1"}), json!({"a b": "1"})]
    {
        let (status, code, _) = rest.bad("PATCH", "secrets/s?updateMask=versionAliases", alias(wrong.clone())).await;
        assert_eq!((status, code.as_str()), (400, "INVALID_ARGUMENT"), "{wrong}");
    }
}

#[tokio::test]
async fn arguments_that_cannot_be_right_are_refused() {
    let cluster = Cluster::new();
    let rest = Rest(&cluster);
    rest.create("s").await;
    let automatic = || json!({"replication": {"automatic": {}}});
    let with = |key: &str, value: Value| {
        let mut secret = automatic();
        secret[key] = value;
        secret
    };
    for (method, path, body) in [
        ("POST", "secrets?secretId=a%20b", automatic()),
        ("POST", "secrets", automatic()),
        ("POST", "secrets?secretId=x", json!({})),
        ("POST", "secrets?secretId=x", json!({"replication": {"userManaged": {"replicas": []}}})),
        ("POST", "secrets?secretId=x", json!({"unknown": 1})),
        ("POST", "secrets?secretId=x&unknown=1", automatic()),
        ("POST", "secrets?secretId=x", with("labels", json!({"Upper": "a"}))),
        ("POST", "secrets?secretId=x", with("labels", json!({"a": "x".repeat(64)}))),
        ("POST", "secrets?secretId=x", with("annotations", json!({"a": "x".repeat(16 << 10)}))),
        ("PATCH", "secrets/s", json!({"labels": {}})),
        ("PATCH", "secrets/s?updateMask=replication", json!({})),
        ("PATCH", "secrets/s?updateMask=unknown", json!({})),
        ("POST", "secrets/s:addVersion", json!({})),
        ("POST", "secrets/s:addVersion", json!({"payload": {"data": ""}})),
        ("POST", "secrets/s:addVersion", json!({"payload": {"data": "!"}})),
        ("POST", "secrets/s:addVersion", json!({"payload": {"data": "b25l", "dataCrc32c": "1"}})),
        ("GET", "secrets?pageSize=-1", Value::Null),
        ("GET", "secrets?pageToken=x", Value::Null),
        ("GET", "secrets?filter=x", Value::Null),
        ("POST", "secrets/s:testIamPermissions", json!({"permissions": ["secretmanager.*"]})),
    ] {
        let (status, code, _) = rest.bad(method, path, body.clone()).await;
        assert_eq!((status, code.as_str()), (400, "INVALID_ARGUMENT"), "{method} {path} {body:.80}");
    }
    for field in ["topics", "rotation", "versionDestroyTtl", "customerManagedEncryption"] {
        let body = with(field, if field == "topics" { json!([{"name": "t"}]) } else { json!({}) });
        assert_eq!(rest.bad("POST", "secrets?secretId=x", body).await.1, "UNIMPLEMENTED", "{field}");
    }
}

#[tokio::test]
async fn a_value_has_a_largest_size_and_its_checksum_is_kept() {
    let cluster = Cluster::new();
    Rest(&cluster).create("s").await;
    let token = cluster.project.administrator.clone();
    let mut client = cluster.secrets(SECRETMANAGER);
    let mut add = async |data: Vec<u8>, sum: Option<i64>| {
        let payload = Some(SecretPayload { data: Bytes::from(data), data_crc32c: sum });
        let request = AddSecretVersionRequest { parent: format!("projects/{PROJECT}/secrets/s"), payload };
        client.add_secret_version(bearing(&token, request)).await
    };
    let largest = vec![0; 64 << 10];
    let sum = i64::from(crc32c::crc32c(&largest));
    let added = add(largest.clone(), Some(sum)).await.unwrap().into_inner();
    assert!(added.client_specified_payload_checksum);
    assert!(!add(largest.clone(), None).await.unwrap().into_inner().client_specified_payload_checksum);
    assert_eq!(code(&add(largest, Some(sum + 1)).await.unwrap_err()), "INVALID_ARGUMENT");
    assert_eq!(code(&add(vec![0; (64 << 10) + 1], None).await.unwrap_err()), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn lists_are_newest_first_in_pages_and_filtered() {
    let cluster = Cluster::new();
    let rest = Rest(&cluster);
    for id in ["a", "b", "c"] {
        rest.create(id).await;
    }
    rest.good("PATCH", "secrets/b?updateMask=labels", json!({"labels": {"env": "dev"}})).await;
    let token = cluster.project.administrator.clone();
    let mut client = cluster.secrets(SECRETMANAGER);
    let mut list = async |page_size: i32, page_token: &str, filter: &str| {
        let request = ListSecretsRequest {
            // By number it is the same project.
            parent: format!("projects/{NUMBER}"),
            page_size,
            page_token: page_token.into(),
            filter: filter.into(),
        };
        let answer = client.list_secrets(bearing(&token, request)).await.unwrap().into_inner();
        let id = |name: &str| name.rsplit('/').next().unwrap().to_owned();
        let ids: Vec<String> = answer.secrets.iter().map(|s| id(&s.name)).collect();
        (ids.join(","), answer.next_page_token, answer.total_size)
    };
    let (ids, next, total) = list(2, "", "").await;
    assert_eq!((ids.as_str(), total), ("c,b", 3));
    rest.create("d").await;
    assert_eq!(list(2, &next, "").await.0, "a");
    assert_eq!(list(0, "", "").await.0, "d,c,b,a");
    assert_eq!(list(0, "", "labels.env=dev").await, ("b".into(), String::new(), 0));
    assert_eq!(list(0, "", "name:A").await.0, "a");

    for data in ["MQ==", "Mg==", "Mw=="] {
        rest.add("a", data).await;
    }
    rest.good("POST", "secrets/a/versions/3:disable", json!({})).await;
    let request = ListSecretVersionsRequest {
        parent: format!("projects/{PROJECT}/secrets/a"),
        filter: "state:ENABLED".into(),
        ..ListSecretVersionsRequest::default()
    };
    let versions = client_versions(&cluster, request).await;
    assert_eq!(versions, ["2", "1"]);
    let all = rest.good("GET", "secrets/a/versions?pageSize=1", Value::Null).await;
    assert_eq!(all["totalSize"], 3);
    let rest_of = format!("secrets/a/versions?pageToken={}", all["nextPageToken"].as_str().unwrap());
    assert_eq!(rest.good("GET", &rest_of, Value::Null).await["versions"].as_array().unwrap().len(), 2);
}

async fn client_versions(cluster: &Cluster, request: ListSecretVersionsRequest) -> Vec<String> {
    let request = bearing(&cluster.project.administrator, request);
    let answer = cluster.secrets(SECRETMANAGER).list_secret_versions(request).await.unwrap().into_inner();
    answer.versions.iter().map(|v| v.name.rsplit('/').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_regional_secret_is_in_its_region_only() {
    let cluster = Cluster::new();
    let rest = Rest(&cluster);
    let (global, place) = (format!("/v1/projects/{PROJECT}"), format!("/v1/projects/{PROJECT}/locations/us-central1"));
    let create = |host, parent: &str, body| {
        let path = format!("{parent}/secrets?secretId=s");
        let rest = &rest;
        async move { rest.call_at(host, "POST", &path, body).await }
    };
    let (status, secret) = create(REGIONAL, &place, json!({})).await;
    assert_eq!((status, &secret["name"]), (200, &json!(format!("projects/{NUMBER}/locations/us-central1/secrets/s"))));
    assert_eq!(create(REGIONAL, &place, json!({"replication": {"automatic": {}}})).await.0, 400);
    let found = async |host, path: &str| rest.call_at(host, "GET", path, Value::Null).await.0;
    assert_eq!(found(REGIONAL, &format!("{place}/secrets/s")).await, 200);
    assert_eq!(found(SECRETMANAGER, &format!("{global}/secrets/s")).await, 404);
    assert_eq!(found(SECRETMANAGER, &format!("{place}/secrets/s")).await, 400);
    assert_eq!(found(REGIONAL, &format!("{global}/secrets/s")).await, 400);
    assert_eq!(rest.good("GET", "secrets", Value::Null).await, json!({}));
    // The same name elsewhere is another secret.
    assert_eq!(create(SECRETMANAGER, &global, json!({"replication": {"automatic": {}}})).await.0, 200);
    rest.good("DELETE", "secrets/s", Value::Null).await;
    assert_eq!(found(REGIONAL, &format!("{place}/secrets/s")).await, 200);
}
