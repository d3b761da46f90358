//! A project for tests: the declared one of `fixtures/worlds/gcp.yaml`, a cluster's token key, and Google's own
//! generated clients, which reach the project without a network.

use std::{path::Path, sync::LazyLock};

use axum::{http::Uri, response::Response};
use bytes::Bytes;
use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1::{
    AccessSecretVersionRequest, secret_manager_service_client::SecretManagerServiceClient,
};
use googleapis_tonic_google_iam_credentials_v1::google::iam::credentials::v1::{
    GenerateAccessTokenRequest, iam_credentials_client::IamCredentialsClient,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tonic::Status;

use super::{Project, SECRETMANAGER, caller::CLOUD_PLATFORM, refusal::name, securetoken::SECURETOKEN};
use crate::{
    cloud::Cloud,
    config,
    fixture::{CLUSTER, STRANGER, claims, ground, values, wait},
    seed,
};

pub const PROJECT: &str = "trinity-dev";
pub const NUMBER: &str = "123456789012";
pub const REGIONAL: &str = "secretmanager.us-central1.rep.googleapis.com";
pub const POOL: &str = "trinity-dev.svc.id.goog";
pub const ISSUER: &str =
    "https://container.googleapis.com/v1/projects/trinity-dev/locations/us-central1/clusters/trinity";
pub const CANARY: &str = "trinity-canary@trinity-dev.iam.gserviceaccount.com";

/// A cluster for tests that leave it as it is.
pub static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::new);

/// A cluster that issues tokens, and the project that knows it.
pub struct Cluster {
    pub project: Project,
}

impl Cluster {
    pub fn new() -> Self {
        let declared = seed::example_file("gcp");
        let project = Project::open(&Self::config(declared.path()), ground(ISSUER, &format!("{ISSUER}/jwks")));
        Self { project: project.unwrap() }
    }

    /// The configured project.
    pub fn config(declared: &Path) -> config::Gcp {
        config::Gcp {
            project: PROJECT.into(),
            number: NUMBER.into(),
            location: "us-central1".into(),
            cluster: "trinity".into(),
            declared: declared.into(),
        }
    }

    /// With the declared secrets and their values.
    pub async fn applied() -> Self {
        let cluster = Self::new();
        cluster.project.apply(&values()).await.unwrap();
        cluster
    }

    /// The declared project.
    pub fn declared() -> String {
        seed::example("gcp")
    }

    /// A token of `default/default` with changed claims.
    pub fn token(change: impl FnOnce(&mut Value)) -> String {
        CLUSTER.sign(&Self::claims(change))
    }

    /// The same, signed by somebody else under this cluster's key id.
    pub fn forged(change: impl FnOnce(&mut Value)) -> String {
        STRANGER.sign(&Self::claims(change))
    }

    fn claims(change: impl FnOnce(&mut Value)) -> Value {
        claims(ISSUER, POOL, "default:default", change)
    }

    /// What ESO sends for a token.
    pub fn exchange(&self, token: &str) -> Value {
        json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": token,
            "audience": format!("identitynamespace:{POOL}:{ISSUER}"),
            "scope": CLOUD_PLATFORM,
        })
    }

    /// The federated token for a cluster's token, or the service's error.
    pub async fn federated(&self, token: &str) -> Result<String, String> {
        let body = self.exchange(token).to_string();
        let (_, answer) = self.send(SECURETOKEN, "POST", "/v1/identitybindingtoken", "", Some(body)).await;
        match answer["access_token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(answer["error"].as_str().unwrap().to_owned()),
        }
    }

    /// A service account's access token by a federated one, or the code of the refusal.
    pub async fn impersonated(&self, federated: &str, email: &str) -> Result<String, String> {
        let request = GenerateAccessTokenRequest {
            name: format!("projects/-/serviceAccounts/{email}"),
            scope: vec![CLOUD_PLATFORM.into()],
            ..GenerateAccessTokenRequest::default()
        };
        let answer = self.credentials().generate_access_token(bearing(federated, request)).await;
        answer.map(|answer| answer.into_inner().access_token).map_err(|status| code(&status))
    }

    /// The value of a secret's newest version by an access token, or the code of the refusal.
    pub async fn value(&self, token: &str, secret: &str) -> Result<String, String> {
        let request =
            AccessSecretVersionRequest { name: format!("projects/{PROJECT}/secrets/{secret}/versions/latest") };
        let answer = self.secrets(SECRETMANAGER).access_secret_version(bearing(token, request)).await;
        let data = answer.map_err(|status| code(&status))?.into_inner().payload.unwrap().data;
        Ok(String::from_utf8(data.to_vec()).unwrap())
    }

    pub fn credentials(&self) -> IamCredentialsClient<impl Wire + '_> {
        IamCredentialsClient::with_origin(self.wire(super::iamcredentials::HOST), origin(super::iamcredentials::HOST))
    }

    pub fn secrets<'a>(&'a self, host: &'a str) -> SecretManagerServiceClient<impl Wire + 'a> {
        SecretManagerServiceClient::with_origin(self.wire(host), origin(host))
    }

    fn wire<'a>(&'a self, host: &'a str) -> impl Wire + 'a {
        tower::service_fn(move |request: axum::http::Request<tonic::body::Body>| async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await?.to_bytes();
            let request = axum::http::Request::from_parts(parts, bytes);
            Ok::<_, Status>(self.project.answer(host, request).await.response)
        })
    }

    /// A REST call: the HTTP status, and the JSON.
    pub async fn send(&self, host: &str, method: &str, path: &str, token: &str, body: Option<String>) -> (u16, Value) {
        let mut request = axum::http::Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request =
            request.header("content-type", "application/json").body(body.map(Bytes::from).unwrap_or_default()).unwrap();
        let response = self.project.answer(host, request).await.response;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// The text of an answer.
    pub fn text(response: Response) -> String {
        let bytes = wait(response.into_body().collect()).unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }
}

/// Secret Manager's REST interface, for the administrator.
pub struct Rest<'a>(pub &'a Cluster);

impl Rest<'_> {
    pub async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.call_at(SECRETMANAGER, method, &format!("/v1/projects/{PROJECT}/{path}"), body).await
    }

    pub async fn call_at(&self, host: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = (!body.is_null()).then(|| body.to_string());
        self.0.send(host, method, path, &self.0.project.administrator, body).await
    }

    /// A call that succeeds.
    pub async fn good(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// A call that is refused: HTTP status, code and message.
    pub async fn bad(&self, method: &str, path: &str, body: Value) -> (u16, String, String) {
        let (status, answer) = self.call(method, path, body).await;
        let text = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer["error"]["code"], status);
        (status, text("status"), text("message"))
    }

    pub async fn create(&self, id: &str) -> Value {
        self.good("POST", &format!("secrets?secretId={id}"), json!({"replication": {"automatic": {}}})).await
    }

    pub async fn add(&self, id: &str, data: &str) -> Value {
        self.good("POST", &format!("secrets/{id}:addVersion"), json!({"payload": {"data": data}})).await
    }
}

/// What generated clients send their requests with.
pub trait Wire:
    tower::Service<axum::http::Request<tonic::body::Body>, Response = Response, Error = Status, Future: Send> + Clone
{
}

impl<T> Wire for T where
    T: tower::Service<axum::http::Request<tonic::body::Body>, Response = Response, Error = Status, Future: Send>
        + Clone
{
}

fn origin(host: &str) -> Uri {
    format!("https://{host}").parse().unwrap()
}

/// A message with an access token.
pub fn bearing<T>(token: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if !token.is_empty() {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// The name of a status' code.
pub fn code(status: &Status) -> String {
    name(status.code()).0.to_owned()
}
