//! Who gets in, with which token, and what those are told who do not.

use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1::AccessSecretVersionRequest;
use googleapis_tonic_google_iam_credentials_v1::google::iam::credentials::v1::GenerateAccessTokenRequest;
use serde_json::{Value, json};
use tonic_types::StatusExt;

use super::{
    SECRETMANAGER,
    caller::CLOUD_PLATFORM,
    fixture::{CANARY, Cluster, NUMBER, PROJECT, Rest, bearing, code},
    iamcredentials,
};
use crate::cloud::Cloud;

/// Access tokens of the canary's account.
async fn canary(cluster: &Cluster) -> String {
    let federated = cluster.federated(&Cluster::token(|_| {})).await.unwrap();
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
    assert_eq!(cluster.value(&token, "forbidden").await.unwrap(), "value of canary");
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
    let federated = cluster.federated(&Cluster::token(|_| {})).await.unwrap();
    assert_eq!(cluster.value(&federated, "forbidden").await.unwrap_err(), "PERMISSION_DENIED");
    for member in [
        format!("serviceAccount:{PROJECT}.svc.id.goog[default/default]"),
        format!(
            "principal://iam.googleapis.com/projects/{NUMBER}/locations/global/workloadIdentityPools/{PROJECT}.svc.id.goog/subject/ns/default/sa/default"
        ),
    ] {
        let binding = json!({"role": "roles/secretmanager.secretAccessor", "members": [member]});
        rest.good("POST", "secrets/forbidden:setIamPolicy", json!({"policy": {"bindings": [binding]}})).await;
        assert_eq!(cluster.value(&federated, "forbidden").await.unwrap(), "value of canary");
    }
    let other = Cluster::token(|c| c["sub"] = json!("system:serviceaccount:default:other"));
    let other = cluster.federated(&other).await.unwrap();
    assert_eq!(cluster.value(&other, "forbidden").await.unwrap_err(), "PERMISSION_DENIED");
}

#[tokio::test]
async fn tokens_last_an_hour_at_most() {
    let cluster = Cluster::applied().await;
    let federated = cluster.federated(&Cluster::token(|_| {})).await.unwrap();
    let token = cluster.impersonated(&federated, CANARY).await.unwrap();
    cluster.project.ground.clock.advance(3599);
    assert_eq!(cluster.value(&token, "trinity-canary").await.unwrap(), "value of canary");
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
    assert_eq!(cluster.value(&token, "trinity-canary").await.unwrap(), "value of canary");
}

#[tokio::test]
async fn what_is_asked_of_a_service_account_must_be_right() {
    let cluster = Cluster::new();
    let federated = cluster.federated(&Cluster::token(|_| {})).await.unwrap();
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
    let federated = cluster.federated(&Cluster::token(|_| {})).await.unwrap();
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
