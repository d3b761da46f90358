//! `secrets apply` and `secrets delete` against every cloud, played here, and the judge of destructive calls against the
//! real journal.

// A test that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{collections::BTreeMap, net::TcpListener, path::PathBuf, time::Duration};

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;
use trinity_e2e::{
    alone::{Alone, PLACE},
    backend::{Backend, Place},
    failure::Result,
    judge::destructive,
    secrets::{apply, delete},
    world::Cloud,
};
use trinity_emulators::{control, journal};

const DAY: i64 = 24 * 3600;

/// A cloud that is played on the loopback, with everything that stands in it.
struct Played {
    folder: TempDir,
    cloud: Cloud,
}

impl Played {
    async fn start(cloud: Cloud) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let alone = Alone {
            cloud,
            port,
            metadata: None,
            seed: None,
            values: None,
            issuer: None,
            folder: folder.path().to_owned(),
        };
        let serving = tokio::spawn(alone.play());
        let played = Self { folder, cloud };
        // It is the last file, and it is whole when everything is there.
        while serde_json::from_slice::<Place>(&std::fs::read(played.file(PLACE)).unwrap_or_default()).is_err() {
            assert!(!serving.is_finished(), "{:?}", serving.await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        played
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn place(&self) -> Place {
        serde_json::from_slice(&std::fs::read(self.file(PLACE)).unwrap()).unwrap()
    }

    fn values(&self) -> BTreeMap<String, String> {
        serde_json::from_slice(&std::fs::read(self.file("values.json")).unwrap()).unwrap()
    }

    fn control(&self) -> control::Client {
        control::Client::connect(&self.file("control.sock"), self.cloud.name()).unwrap()
    }

    async fn apply(&self, values: &BTreeMap<String, String>) -> Result<Vec<String>> {
        let mut told = Vec::new();
        apply(&self.place(), values, |line| told.push(line)).await.map(|()| told)
    }

    async fn delete(&self, confirm: Option<&str>) -> Result<Vec<String>> {
        let mut told = Vec::new();
        delete(&self.place(), confirm, |line| told.push(line)).await.map(|()| told)
    }

    /// A call that the command itself never makes.
    async fn call(&self, method: Method, url: &str) -> u16 {
        let backend = Backend::open(&self.place()).await.unwrap();
        backend.call(method, url, &Value::Null).await.unwrap().status
    }
}

const NAME: &str = "provider-test-secret";

fn all(told: &[String], words: &str) -> bool {
    told.len() == 4 && told.iter().all(|line| line.contains(words))
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn apply_adds_versions_where_values_differ_and_nothing_else(#[case] cloud: Cloud) {
    let played = Played::start(cloud).await;
    let mut values = played.values();
    // Without values everything keeps its own, and the same values change nothing.
    for same in [&BTreeMap::new(), &values] {
        let told = played.apply(same).await.unwrap();
        assert!(all(&told, ": stays as it is"), "{told:?}");
    }
    values.insert("provider_test".into(), "another".into());
    let told = played.apply(&values).await.unwrap();
    assert_eq!(told.iter().filter(|line| line.contains("stays")).count(), 3, "{told:?}");
    assert!(told.contains(&format!("{NAME}: has a new version")), "{told:?}");
    assert_eq!(played.control().secret(NAME).await.unwrap(), "another");
    // Secrets of canaries are in the same cloud and not the platform's.
    assert!(!told.iter().any(|line| line.contains("canary") || line.contains("denial")), "{told:?}");
}

#[rstest]
#[case::aws(Cloud::Aws, "is scheduled for deletion")]
#[case::gcp(Cloud::Gcp, "is deleted for good")]
#[case::azure(Cloud::Azure, "is soft-deleted")]
#[tokio::test]
async fn delete_wants_to_be_confirmed_and_tells_what_would_go(#[case] cloud: Cloud, #[case] fate: &str) {
    let played = Played::start(cloud).await;
    for word in [None, Some("yes")] {
        let refused = played.delete(word).await.unwrap_err().to_string();
        assert!(refused.contains(fate) && refused.contains(NAME), "{refused}");
        assert!(refused.contains("next: repeat it with --confirm delete"), "{refused}");
        assert!(played.control().secret(NAME).await.is_ok(), "it is there all the same");
    }
    assert_eq!(played.delete(Some("delete")).await.unwrap().len(), 4);
    assert!(played.control().secret(NAME).await.is_err());
    assert!(played.control().secret("trinity-canary").await.is_ok(), "which is not the platform's");
}

#[rstest]
#[case::aws(Cloud::Aws, "scheduled for deletion on ")]
#[case::azure(Cloud::Azure, "soft-deleted until ")]
#[tokio::test]
async fn apply_leaves_tombstones_to_people(#[case] cloud: Cloud, #[case] seen: &str) {
    let played = Played::start(cloud).await;
    let told = played.delete(Some("delete")).await.unwrap();
    assert!(all(&told, seen), "{told:?}");
    // To delete again changes nothing: the date stays.
    let again = played.delete(Some("delete")).await.unwrap();
    assert!(all(&again, seen), "{again:?}");
    let refused = played.apply(&played.values()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("{NAME} is {seen}")), "{refused}");
    assert!(["restore", "recover"].iter().any(|way| refused.contains(way)), "{refused}");
    for value in played.values().values() {
        assert!(!refused.contains(value.as_str()), "a value is in the message");
    }
    assert!(played.control().secret(NAME).await.is_err(), "it has been restored");
    // When the tombstones are gone, the names are free.
    played.control().advance(8 * DAY).await.unwrap();
    let told = played.apply(&played.values()).await.unwrap();
    assert!(all(&told, ": created"), "{told:?}");
    assert!(destroyed(&played).is_empty(), "the administrator's calls are not the platform's");
}

#[tokio::test]
async fn what_is_deleted_for_good_is_made_again_when_there_are_values() {
    let played = Played::start(Cloud::Gcp).await;
    let told = played.delete(Some("delete")).await.unwrap();
    assert!(all(&told, "deleted for good"), "{told:?}");
    assert!(all(&played.delete(Some("delete")).await.unwrap(), "is not there"));
    let refused = played.apply(&BTreeMap::new()).await.unwrap_err().to_string();
    assert!(refused.contains("${value:provider_test}") && refused.contains("--values"), "{refused}");
    let told = played.apply(&played.values()).await.unwrap();
    assert!(all(&told, ": created"), "{told:?}");
    assert_eq!(played.control().secret(NAME).await.unwrap(), played.values()["provider_test"]);
}

#[tokio::test]
async fn a_purge_by_hand_frees_a_name() {
    let played = Played::start(Cloud::Azure).await;
    played.delete(Some("delete")).await.unwrap();
    assert!(played.apply(&played.values()).await.unwrap_err().to_string().contains("secret purge"));
    let told: Vec<String> = played.delete(Some("delete")).await.unwrap();
    for name in told.iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name) {
        let url = format!("https://trinity-dev-azure.vault.azure.net/deletedsecrets/{name}?api-version=7.6");
        assert_eq!(played.call(Method::DELETE, &url).await, 204);
    }
    assert!(all(&played.apply(&played.values()).await.unwrap(), ": created"));
}

/// What the judge of destructive calls finds; nothing when it passes.
fn destroyed(played: &Played) -> String {
    let verdict = destructive::verdict(&journal::read(&played.file("gateway.jsonl")).unwrap());
    match verdict.outcome {
        trinity_e2e::judge::verdict::Outcome::Failed(why) => why,
        _ => String::new(),
    }
}

/// The platform's role, with credentials for the token of its own service account, deletes a secret.
#[tokio::test]
async fn the_judge_finds_what_the_platforms_role_deletes() {
    let played = Played::start(Cloud::Aws).await;
    let issuer: Value = serde_json::from_slice(&std::fs::read(played.file("issuer.json")).unwrap()).unwrap();
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": issuer["url"], "aud": [issuer["audience"]], "iat": now, "nbf": now, "exp": now + 3600,
        "sub": "system:serviceaccount:external-secrets:external-secrets",
    });
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    header.kid = issuer["kid"].as_str().map(Into::into);
    let key = std::fs::read(played.file("issuer.key")).unwrap();
    let token =
        jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_rsa_pem(&key).unwrap()).unwrap();
    let place = played.place();
    let trinity_emulators::config::Cloud::Aws(aws) = &place.cloud else { panic!("it is another cloud") };
    let hosts = ["sts", "secretsmanager"].map(|service| format!("{service}.{}.amazonaws.com", aws.region));
    let pem = std::fs::read(&place.authority).unwrap();
    let http = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .resolve(&hosts[0], place.gateway)
        .resolve(&hosts[1], place.gateway)
        .build()
        .unwrap();
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", &format!("arn:aws:iam::{}:role/trinity-external-secrets", aws.account))
        .append_pair("RoleSessionName", "platform")
        .append_pair("WebIdentityToken", &token)
        .finish();
    let media = "application/x-www-form-urlencoded";
    let sts = http.post(format!("https://{}/", hosts[0])).header("content-type", media).body(form);
    let xml = sts.send().await.unwrap().text().await.unwrap();
    let element = |name: &str| {
        let rest = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no credentials: {xml}")).1;
        rest.split_once('<').unwrap().0.to_owned()
    };
    let credentials = trinity_emulators::aws::sigv4::Credentials {
        key: element("AccessKeyId"),
        secret: element("SecretAccessKey"),
        token: Some(element("SessionToken")),
    };
    assert_eq!(destroyed(&played), "", "to assume a role is nothing destructive");
    let body = json!({"SecretId": NAME}).to_string();
    let request = credentials.request(&hosts[1], &aws.region, Some("secretsmanager.DeleteSecret"), body).unwrap();
    let answer = http.execute(request.try_into().unwrap()).await.unwrap();
    assert_eq!(answer.status(), 400, "the role may not");
    let found = destroyed(&played);
    assert!(
        found.contains("assumed-role/trinity-external-secrets/platform called secretsmanager:DeleteSecret"),
        "{found}"
    );
    assert!(found.contains("refused with AccessDeniedException"), "{found}");
}
