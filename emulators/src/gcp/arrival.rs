//! Requests as they arrive: what they are called, what befalls them, and those that make no sense.

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    SECRETMANAGER,
    fixture::{Cluster, REGIONAL, SHARED},
    iamcredentials,
};
use crate::cloud::{Cloud, Trouble};

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
