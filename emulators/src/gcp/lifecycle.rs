//! What happens to secrets in their life, called by Google's own client and over REST.

use std::collections::BTreeMap;

use bytes::Bytes;
use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1::{
    AccessSecretVersionRequest, AddSecretVersionRequest, ListSecretVersionsRequest, ListSecretsRequest, SecretPayload,
};
use googleapis_tonic_google_iam_credentials_v1::google::iam::credentials::v1::GenerateAccessTokenRequest;
use proptest::prelude::*;
use serde_json::{Value, json};
use tonic_types::StatusExt;

use super::{
    SECRETMANAGER,
    caller::CLOUD_PLATFORM,
    fixture::{CANARY, Cluster, NUMBER, PROJECT, SHARED, bearing, code},
    iamcredentials,
};
use crate::cloud::{Cloud, Trouble};

const REGIONAL: &str = "secretmanager.us-central1.rep.googleapis.com";

/// Secret Manager's REST interface, for the administrator.
struct Rest<'a>(&'a Cluster);

impl Rest<'_> {
    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.call_at(SECRETMANAGER, method, &format!("/v1/projects/{PROJECT}/{path}"), body).await
    }

    async fn call_at(&self, host: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = (!body.is_null()).then(|| body.to_string());
        self.0.send(host, method, path, &self.0.project.administrator, body).await
    }

    /// A call that succeeds.
    async fn good(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// A call that is refused: HTTP status, code and message.
    async fn bad(&self, method: &str, path: &str, body: Value) -> (u16, String, String) {
        let (status, answer) = self.call(method, path, body).await;
        let text = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer["error"]["code"], status);
        (status, text("status"), text("message"))
    }

    async fn create(&self, id: &str) -> Value {
        self.good("POST", &format!("secrets?secretId={id}"), json!({"replication": {"automatic": {}}})).await
    }

    async fn add(&self, id: &str, data: &str) -> Value {
        self.good("POST", &format!("secrets/{id}:addVersion"), json!({"payload": {"data": data}})).await
    }
}

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

/// Access tokens of the canary's account.
async fn canary(cluster: &Cluster) -> String {
    let federated = cluster.federated(&cluster.token(|_| {})).await.unwrap();
    cluster.impersonated(&federated, CANARY).await.unwrap()
}

#[tokio::test]
async fn a_policy_adds_to_what_is_declared() {
    let cluster = Cluster::applied().await;
    let rest = Rest(&cluster);
    let token = canary(&cluster).await;
    assert_eq!(cluster.value(&token, "forbidden").await.unwrap_err(), "PERMISSION_DENIED");
    let member = format!("serviceAccount:{CANARY}");
    let binding = json!({"role": "roles/secretmanager.secretAccessor", "members": [member]});
    let policy = rest.good("GET", "secrets/forbidden:getIamPolicy", Value::Null).await;
    let etag = policy["etag"].clone();
    let set = json!({"policy": {"bindings": [binding], "etag": etag}});
    let policy = rest.good("POST", "secrets/forbidden:setIamPolicy", set.clone()).await;
    assert_eq!(policy["bindings"], json!([binding]));
    assert_eq!(cluster.value(&token, "forbidden").await.unwrap(), "canary value");
    assert_eq!(rest.bad("POST", "secrets/forbidden:setIamPolicy", set).await.1, "ABORTED");
    let asked = json!({"permissions": ["secretmanager.versions.access", "secretmanager.secrets.get"]});
    let tested = cluster
        .send(
            SECRETMANAGER,
            "POST",
            &format!("/v1/projects/{PROJECT}/secrets/forbidden:testIamPermissions"),
            &token,
            Some(asked.to_string()),
        )
        .await;
    assert_eq!(tested, (200, json!({"permissions": ["secretmanager.versions.access"]})));
    rest.good("POST", "secrets/forbidden:setIamPolicy", json!({"policy": {}})).await;
    assert_eq!(cluster.value(&token, "forbidden").await.unwrap_err(), "PERMISSION_DENIED");

    // What is declared is there and stays there.
    let declared = rest.good("GET", "secrets/provider-test-secret:getIamPolicy", Value::Null).await;
    assert_eq!(declared["bindings"].as_array().unwrap().len(), 1);
    let policy = rest.good("POST", "secrets/provider-test-secret:setIamPolicy", json!({"policy": {}})).await;
    assert_eq!(policy["bindings"], declared["bindings"]);
    for member in ["allUsers", "user:a@example.com"] {
        let set = json!({"policy": {"bindings": [{"role": "roles/secretmanager.viewer", "members": [member]}]}});
        assert_eq!(rest.bad("POST", "secrets/forbidden:setIamPolicy", set).await.1, "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn a_kubernetes_service_account_may_be_granted_a_role_itself() {
    let cluster = Cluster::applied().await;
    let rest = Rest(&cluster);
    let federated = cluster.federated(&cluster.token(|_| {})).await.unwrap();
    assert_eq!(cluster.value(&federated, "forbidden").await.unwrap_err(), "PERMISSION_DENIED");
    for member in [
        format!("serviceAccount:{PROJECT}.svc.id.goog[default/default]"),
        format!(
            "principal://iam.googleapis.com/projects/{NUMBER}/locations/global/workloadIdentityPools/{PROJECT}.svc.id.goog/subject/ns/default/sa/default"
        ),
    ] {
        let binding = json!({"role": "roles/secretmanager.secretAccessor", "members": [member]});
        rest.good("POST", "secrets/forbidden:setIamPolicy", json!({"policy": {"bindings": [binding]}})).await;
        assert_eq!(cluster.value(&federated, "forbidden").await.unwrap(), "canary value");
    }
    let other = cluster.token(|c| c["sub"] = json!("system:serviceaccount:default:other"));
    let other = cluster.federated(&other).await.unwrap();
    assert_eq!(cluster.value(&other, "forbidden").await.unwrap_err(), "PERMISSION_DENIED");
}

#[tokio::test]
async fn tokens_last_an_hour_at_most() {
    let cluster = Cluster::applied().await;
    let federated = cluster.federated(&cluster.token(|_| {})).await.unwrap();
    let token = cluster.impersonated(&federated, CANARY).await.unwrap();
    cluster.project.ground.clock.advance(3599);
    assert_eq!(cluster.value(&token, "trinity-canary").await.unwrap(), "canary value");
    cluster.project.ground.clock.advance(1);
    assert_eq!(cluster.value(&token, "trinity-canary").await.unwrap_err(), "UNAUTHENTICATED");
    assert_eq!(cluster.impersonated(&federated, CANARY).await.unwrap_err(), "UNAUTHENTICATED");
}

#[tokio::test]
async fn an_account_that_is_disabled_later_is_refused_with_the_token_it_has() {
    let cluster = Cluster::applied().await;
    let token = canary(&cluster).await;
    let account = "account_id: trinity-canary\n";
    let declared = Cluster::declared().replace(account, &format!("{account}    disabled: true\n"));
    cluster.project.declare(&declared).unwrap();
    let request =
        AccessSecretVersionRequest { name: format!("projects/{PROJECT}/secrets/trinity-canary/versions/latest") };
    let status = cluster.secrets(SECRETMANAGER).access_secret_version(bearing(&token, request)).await.unwrap_err();
    assert_eq!(code(&status), "UNAUTHENTICATED");
    assert_eq!(status.get_details_error_info().unwrap().reason, "ACCOUNT_STATE_INVALID");
    // Enabled again, its tokens are accepted again.
    cluster.project.declare(&Cluster::declared()).unwrap();
    assert_eq!(cluster.value(&token, "trinity-canary").await.unwrap(), "canary value");
}

#[tokio::test]
async fn what_is_asked_of_a_service_account_must_be_right() {
    let cluster = Cluster::new();
    let federated = cluster.federated(&cluster.token(|_| {})).await.unwrap();
    let generate = async |change: fn(&mut GenerateAccessTokenRequest)| {
        let mut request = GenerateAccessTokenRequest {
            name: format!("projects/-/serviceAccounts/{CANARY}"),
            scope: vec![CLOUD_PLATFORM.into()],
            ..GenerateAccessTokenRequest::default()
        };
        change(&mut request);
        let answer = cluster.credentials().generate_access_token(bearing(&federated, request)).await;
        answer.map(|answer| answer.into_inner().access_token).map_err(|status| code(&status))
    };
    let lifetime = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    assert!(generate(|_| {}).await.unwrap().starts_with("ya29."));
    assert_eq!(generate(|r| r.scope.clear()).await.unwrap_err(), "INVALID_ARGUMENT");
    assert_eq!(generate(|r| r.name = "projects/p/serviceAccounts/x".into()).await.unwrap_err(), "INVALID_ARGUMENT");
    assert_eq!(generate(|r| r.name.push('x')).await.unwrap_err(), "NOT_FOUND");
    for seconds in [0, -1, 3601, i64::MAX] {
        let request = GenerateAccessTokenRequest {
            name: format!("projects/-/serviceAccounts/{CANARY}"),
            scope: vec![CLOUD_PLATFORM.into()],
            lifetime: lifetime(seconds),
            ..GenerateAccessTokenRequest::default()
        };
        let status = cluster.credentials().generate_access_token(bearing(&federated, request)).await.unwrap_err();
        assert_eq!(code(&status), "INVALID_ARGUMENT", "{seconds}");
    }
    let delegated = generate(|r| {
        r.delegates.push("projects/-/serviceAccounts/trinity-powerless@trinity-dev.iam.gserviceaccount.com".into());
    });
    assert_eq!(delegated.await.unwrap_err(), "PERMISSION_DENIED");
    // A token for another scope opens nothing.
    let narrow = generate(|r| r.scope = vec!["https://www.googleapis.com/auth/devstorage.read_only".into()]).await;
    let (status, answer) = cluster
        .send(
            SECRETMANAGER,
            "GET",
            &format!("/v1/projects/{PROJECT}/secrets/trinity-canary/versions/1:access"),
            &narrow.unwrap(),
            None,
        )
        .await;
    assert_eq!((status, &answer["error"]["details"][0]["reason"]), (403, &json!("ACCESS_TOKEN_SCOPE_INSUFFICIENT")));
    let path = format!("/v1/projects/-/serviceAccounts/{CANARY}:generateAccessToken");
    let body = json!({"scope": [CLOUD_PLATFORM], "lifetime": "600s"}).to_string();
    let (status, answer) = cluster.send(iamcredentials::HOST, "POST", &path, &federated, Some(body)).await;
    assert!(status == 200 && answer["accessToken"].is_string() && answer["expireTime"].is_string());
}

#[tokio::test]
async fn a_chain_of_delegation_needs_every_link() {
    let cluster = Cluster::new();
    let (first, last) = ("trinity-canary", "trinity-unbound");
    let account = |id: &str| format!("{id}@{PROJECT}.iam.gserviceaccount.com");
    let linked = format!(
        r#"
google_service_account:
  first: {{account_id: {first}}}
  last: {{account_id: {last}}}
google_service_account_iam_member:
  first:
    service_account_id: projects/{PROJECT}/serviceAccounts/{}
    role: roles/iam.serviceAccountTokenCreator
    member: serviceAccount:{PROJECT}.svc.id.goog[default/default]
  last:
    service_account_id: projects/{PROJECT}/serviceAccounts/{}
    role: roles/iam.serviceAccountTokenCreator
    member: serviceAccount:{}
"#,
        account(first),
        account(last),
        account(first)
    );
    let federated = cluster.federated(&cluster.token(|_| {})).await.unwrap();
    let chained = async |delegates: &[&str]| {
        let request = GenerateAccessTokenRequest {
            name: format!("projects/-/serviceAccounts/{}", account(last)),
            delegates: delegates.iter().map(|id| format!("projects/-/serviceAccounts/{}", account(id))).collect(),
            scope: vec![CLOUD_PLATFORM.into()],
            ..GenerateAccessTokenRequest::default()
        };
        let answer = cluster.credentials().generate_access_token(bearing(&federated, request)).await;
        answer.map_or_else(|status| code(&status), |_| "success".into())
    };
    cluster.project.declare(&linked).unwrap();
    assert_eq!(chained(&[first]).await, "success");
    assert_eq!(chained(&[]).await, "PERMISSION_DENIED");
    assert_eq!(chained(&[first, last]).await, "PERMISSION_DENIED");
    let user = linked.replacen("serviceAccountTokenCreator", "workloadIdentityUser", 1);
    cluster.project.declare(&user).unwrap();
    assert_eq!(chained(&[first]).await, "PERMISSION_DENIED");
}

#[tokio::test]
async fn refusals_tell_programs_why() {
    let cluster = Cluster::applied().await;
    let token = canary(&cluster).await;
    let request =
        || AccessSecretVersionRequest { name: format!("projects/{PROJECT}/secrets/forbidden/versions/latest") };
    let mut client = cluster.secrets(SECRETMANAGER);
    let status = client.access_secret_version(bearing(&token, request())).await.unwrap_err();
    assert_eq!(
        status.message(),
        "Permission 'secretmanager.versions.access' denied for resource 'projects/trinity-dev/secrets/forbidden/versions/latest' (or it may not exist)."
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("IAM_PERMISSION_DENIED", "iam.googleapis.com"));
    assert_eq!(info.metadata["permission"], "secretmanager.versions.access");
    let status = client.access_secret_version(bearing("", request())).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "CREDENTIALS_MISSING");
    let path = format!("/v1/projects/{PROJECT}/secrets/forbidden/versions/latest:access");
    let (status, answer) = cluster.send(SECRETMANAGER, "GET", &path, &token, None).await;
    assert_eq!(status, 403);
    assert_eq!(answer["error"]["status"], "PERMISSION_DENIED");
    assert_eq!(answer["error"]["details"][0]["reason"], "IAM_PERMISSION_DENIED");
    // Another project is no different from a secret that one may not read.
    let path = "/v1/projects/another/secrets/trinity-canary/versions/latest:access";
    assert_eq!(cluster.send(SECRETMANAGER, "GET", path, &token, None).await.0, 403);
}

#[tokio::test]
async fn trouble_has_googles_form() {
    let cluster = Cluster::new();
    let trouble = |media: &str, trouble| {
        let path = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion";
        let request = axum::http::Request::post(path).header("content-type", media).body(Bytes::new()).unwrap();
        cluster.project.trouble(SECRETMANAGER, &request, trouble)
    };
    let answer = trouble("application/grpc", Trouble::Throttled);
    assert_eq!(answer.response.headers()["grpc-status"], "8");
    assert_eq!(answer.note.code.as_deref(), Some("RESOURCE_EXHAUSTED"));
    assert_eq!(trouble("application/grpc", Trouble::Internal).response.headers()["grpc-status"], "13");
    assert_eq!(trouble("application/json", Trouble::Throttled).response.status(), 429);
    assert_eq!(trouble("application/json", Trouble::Internal).response.status(), 500);
}

#[tokio::test]
async fn what_is_declared_is_applied_again_and_again() {
    let cluster = Cluster::applied().await;
    let rest = Rest(&cluster);
    cluster.project.apply(&Cluster::values()).await.unwrap();
    let versions = rest.good("GET", "secrets/trinity-canary/versions", Value::Null).await;
    assert_eq!(versions["totalSize"], 1);
    let secret = rest.good("GET", "secrets/trinity-canary", Value::Null).await;
    assert_eq!(secret["labels"], json!({"purpose": "canary"}));
    let mut values = Cluster::values();
    values.insert("canary".into(), "another".into());
    cluster.project.apply(&values).await.unwrap();
    assert_eq!(cluster.project.read("trinity-canary").await.unwrap(), "another");
    assert_eq!(rest.good("GET", "secrets/trinity-canary/versions", Value::Null).await["totalSize"], 2);
    assert!(cluster.project.apply(&BTreeMap::new()).await.is_err());

    cluster.project.write("new", "value").await.unwrap();
    cluster.project.write("new", "value 2").await.unwrap();
    assert_eq!(cluster.project.read("new").await.unwrap(), "value 2");
    cluster.project.delete("new").await.unwrap();
    assert!(cluster.project.read("new").await.is_err());
    assert!(cluster.project.delete("new").await.is_err());
}

#[tokio::test]
async fn a_declared_version_may_be_disabled_and_a_secret_regional() {
    let cluster = Cluster::new();
    let declared = r#"
google_secret_manager_secret:
  s: {secret_id: s, replication: {user_managed: {replicas: [{location: us-central1}]}}}
google_secret_manager_secret_version:
  s: {secret: "projects/${project}/secrets/s", secret_data: "${value:canary}", enabled: false}
google_secret_manager_regional_secret:
  r: {secret_id: r, location: us-central1, labels: {a: b}}
google_secret_manager_regional_secret_version:
  r: {secret: "projects/${project}/locations/us-central1/secrets/r", secret_data: "${value:canary}"}
"#;
    cluster.project.declare(declared).unwrap();
    for _ in 0..2 {
        cluster.project.apply(&Cluster::values()).await.unwrap();
    }
    let rest = Rest(&cluster);
    let versions = rest.good("GET", "secrets/s/versions", Value::Null).await;
    assert_eq!((&versions["totalSize"], &versions["versions"][0]["state"]), (&json!(1), &json!("DISABLED")));
    let path = format!("/v1/projects/{PROJECT}/locations/us-central1/secrets/r/versions");
    let (status, versions) = rest.call_at(REGIONAL, "GET", &path, Value::Null).await;
    assert_eq!((status, &versions["totalSize"]), (200, &json!(1)));
}

#[test]
fn a_declaration_that_is_wrong_leaves_the_old_one() {
    let cluster = Cluster::new();
    let before = cluster.project.declared().google_service_account.len();
    for (from, to) in [
        ("roles/iam.workloadIdentityUser", "roles/owner"),
        ("resource.name.startsWith(", "resource.name.endsWith("),
        ("member: serviceAccount:", "member: user:"),
        ("account_id: trinity-canary", "account_id: misspelt"),
        ("project: ${project}\n", "project: another\n"),
        ("secret: projects/${project}/secrets/forbidden", "secret: projects/${project}/secrets/misspelt"),
        ("secret_id: forbidden", "secret_id: trinity-canary"),
        ("secret_id: provider-test-secret\n    role", "secret_id: misspelt\n    role"),
        ("replication: {auto: {}}", "replication: {}"),
        ("disabled: true", "off: true"),
    ] {
        let declared = Cluster::declared();
        assert!(declared.contains(from), "{from}");
        assert!(cluster.project.declare(&declared.replace(from, to)).is_err(), "{from} -> {to}");
        assert_eq!(cluster.project.declared().google_service_account.len(), before);
    }
}

#[test]
fn requests_are_named_alike_on_both_transports() {
    let operation = |host: &str, method: &str, path: &str, media: &str| {
        let request = axum::http::Request::builder().method(method).uri(path).header("content-type", media);
        SHARED.project.operation(host, &request.body(Bytes::new()).unwrap())
    };
    let (grpc, json) = ("application/grpc", "application/json");
    let access = "secretmanager:AccessSecretVersion";
    let path = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion";
    assert_eq!(operation(SECRETMANAGER, "POST", path, grpc), access);
    assert_eq!(operation(REGIONAL, "POST", path, "application/grpc+proto"), access);
    let path = "/v1/projects/p/secrets/s/versions/latest:access";
    assert_eq!(operation(SECRETMANAGER, "GET", path, json), access);
    let generate = "iamcredentials:GenerateAccessToken";
    let host = iamcredentials::HOST;
    let path = "/google.iam.credentials.v1.IAMCredentials/GenerateAccessToken";
    assert_eq!(operation(host, "POST", path, grpc), generate);
    assert_eq!(operation(host, "POST", "/v1/projects/-/serviceAccounts/a@b:generateAccessToken", json), generate);
    let exchange = operation("securetoken.googleapis.com", "POST", "/v1/identitybindingtoken", json);
    assert_eq!(exchange, "securetoken:IdentityBindingToken");
    let metadata = operation("169.254.169.254", "GET", "/computeMetadata/v1/project/project-id", json);
    assert_eq!(metadata, "metadata:project/project-id");
    for host in ["container.googleapis.com", "oauth2.googleapis.com", "secretmanager.a.b.rep.googleapis.com", ""] {
        assert!(!SHARED.project.plays(host), "{host}");
    }
}

proptest! {
    /// Whatever arrives at whichever host has a name of one line, and nobody is taken for anybody.
    #[test]
    fn no_request_is_too_strange(
        host in "secretmanager|iamcredentials|securetoken|sts|secretmanager\\.us-central1\\.rep|metadata",
        method in "GET|POST|PATCH|DELETE|PUT",
        path in "/(v1/projects/-/serviceAccounts/a:generateAccessToken|v1/token|v1/identitybindingtoken|computeMetadata/v1/[a-z/]{0,20}|v1/[!-~]{0,40})(\\?[!-~]{0,20})?",
        flavor in "Google|other",
        media in "application/(json|grpc|x-www-form-urlencoded)",
        body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let host = if host == "metadata" { host } else { format!("{host}.googleapis.com") };
        let request = axum::http::Request::builder()
            .method(method.as_str())
            .uri(path)
            .header("metadata-flavor", flavor)
            .header("content-type", media)
            .header("authorization", "Bearer ya29.made-up")
            .body(Bytes::from(body));
        prop_assume!(request.is_ok());
        let request = request.unwrap();
        let operation = SHARED.project.operation(&host, &request);
        prop_assert!(operation.len() < 200 && !operation.contains('\n'), "{operation}");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(SHARED.project.answer(&host, request));
        prop_assert!(answer.note.caller.is_none());
    }

    /// Whatever arrives at Secret Manager, nobody gets in who has no token, and the process stays.
    #[test]
    fn nothing_made_up_is_let_in(
        path in "/(v1/projects/trinity-dev/secrets/[a-z]{0,3}(:[a-zA-Z]{0,12})?|google\\.cloud\\.secretmanager\\.v1\\.SecretManagerService/(AccessSecretVersion|ListSecrets|[A-Z]{3}))",
        authorization in "(Bearer |bearer |Basic |)[ -~]{0,40}",
        grpc: bool,
        body in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let media = if grpc { "application/grpc" } else { "application/json" };
        let request = axum::http::Request::post(path)
            .header("content-type", media)
            .header("authorization", authorization)
            .body(Bytes::from(body))
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(SHARED.project.answer(SECRETMANAGER, request));
        prop_assert!(answer.note.code.is_some() || answer.response.status() == 404);
        prop_assert!(answer.note.caller.is_none());
    }

    /// What is no message is refused by the caller's own transport, also of those who may.
    #[test]
    fn no_message_is_too_strange(body in proptest::collection::vec(any::<u8>(), 0..60), method in "AccessSecretVersion|SetIamPolicy|CreateSecret|UpdateSecret|ListSecrets") {
        let request = axum::http::Request::post(format!("/google.cloud.secretmanager.v1.SecretManagerService/{method}"))
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {}", SHARED.project.administrator))
            .body(Bytes::from(body))
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(SHARED.project.answer(SECRETMANAGER, request));
        prop_assert!(answer.note.code.is_some());
        prop_assert_eq!(answer.response.status(), 200);
    }
}
