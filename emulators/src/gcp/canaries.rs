//! The canaries of a Google Cloud project, see [`crate::canary`]. Secrets are read by Google's generated gRPC client
//! and over REST.

use axum::http::Uri;
use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1::{
    AccessSecretVersionRequest, secret_manager_service_client::SecretManagerServiceClient,
};
use googleapis_tonic_google_iam_credentials_v1::google::iam::credentials::v1::{
    GenerateAccessTokenRequest, iam_credentials_client::IamCredentialsClient,
};
use http_body_util::BodyExt;
use reqwest::Client;
use serde_json::{Value, json};
use tonic::Status;

use super::{
    SECRETMANAGER,
    caller::CLOUD_PLATFORM,
    iamcredentials::HOST as IAMCREDENTIALS,
    refusal::name,
    securetoken::{SECURETOKEN, STS},
};
use crate::{
    Attempt, Error, Result,
    canary::{Outcome, Probe, SUCCESS},
    config,
};

/// Names that the declared set-up of every project gives to what canaries touch.
const ACCOUNT: &str = "trinity-canary";
const POWERLESS: &str = "trinity-powerless";
const DISABLED: &str = "trinity-disabled";
const UNBOUND: &str = "trinity-unbound";
const SECRET: &str = "trinity-canary";
const FORBIDDEN: &str = "forbidden";

/// Sends all canaries.
pub(crate) async fn run(probe: &Probe, project: &config::Gcp) -> Result<Vec<Outcome>> {
    let http = probe.client(&[SECURETOKEN, STS, IAMCREDENTIALS, SECRETMANAGER])?;
    let caller = Caller { project, http };
    let mut outcomes = Vec::new();
    let mut note = |name: &str, expected: &str, seen: String| {
        outcomes.push(Outcome { name: name.into(), expected: expected.into(), seen });
    };
    for forgery in probe.forgeries()? {
        note(forgery.name, "invalid_grant", told(caller.impersonate(&forgery.token, ACCOUNT).await?));
    }
    for stranger in probe.strangers()? {
        note(stranger.name, "PERMISSION_DENIED", told(caller.impersonate(&stranger.token, ACCOUNT).await?));
    }
    let good = caller.impersonate(&probe.token, ACCOUNT).await?;
    note("a token that is right", SUCCESS, told(good.clone()));
    if let Ok(token) = good {
        note("a secret that the identity may read", SUCCESS, caller.read(&token, SECRET).await?);
        note("a secret that the identity may read (REST)", SUCCESS, caller.read_rest(&token, SECRET).await?);
        note("permission on another secret", "PERMISSION_DENIED", caller.read(&token, FORBIDDEN).await?);
        note("permission on another secret (REST)", "PERMISSION_DENIED", caller.read_rest(&token, FORBIDDEN).await?);
        note("absent secret", "NOT_FOUND", caller.read(&token, "trinity-canary-absent").await?);
    }
    note("no access token", "UNAUTHENTICATED", caller.read("", SECRET).await?);
    note("made-up access token", "UNAUTHENTICATED", caller.read("ya29.made-up", SECRET).await?);
    let powerless = match caller.impersonate(&probe.token, POWERLESS).await? {
        Ok(token) => caller.read(&token, SECRET).await?,
        Err(code) => format!("{code} before any secret was asked for"),
    };
    note("identity without permission", "PERMISSION_DENIED", powerless);
    note("disabled identity", "PERMISSION_DENIED", told(caller.impersonate(&probe.token, DISABLED).await?));
    note("missing binding", "PERMISSION_DENIED", told(caller.impersonate(&probe.token, UNBOUND).await?));
    Ok(outcomes)
}

/// Success, or the cloud's code.
fn told<T>(outcome: std::result::Result<T, String>) -> String {
    outcome.err().unwrap_or_else(|| SUCCESS.into())
}

fn code(status: &Status) -> String {
    name(status.code()).0.to_owned()
}

struct Caller<'a> {
    project: &'a config::Gcp,
    http: Client,
}

impl Caller<'_> {
    /// An access token of a service account for a cluster's token; the inner error is the cloud's code.
    async fn impersonate(&self, token: &str, account: &str) -> Result<std::result::Result<String, String>> {
        let federated = match self.exchange(token).await? {
            Ok(federated) => federated,
            refused => return Ok(refused),
        };
        let request = GenerateAccessTokenRequest {
            name: format!("projects/-/serviceAccounts/{account}@{}.iam.gserviceaccount.com", self.project.project),
            scope: vec![CLOUD_PLATFORM.into()],
            ..GenerateAccessTokenRequest::default()
        };
        let mut client = IamCredentialsClient::with_origin(self.wire(), origin(IAMCREDENTIALS)?);
        let answer = client.generate_access_token(bearing(&federated, request)?).await;
        Ok(answer.map(|answer| answer.into_inner().access_token).map_err(|status| code(&status)))
    }

    async fn exchange(&self, token: &str) -> Result<std::result::Result<String, String>> {
        let url = format!("https://{SECURETOKEN}/v1/identitybindingtoken");
        let attempted = || format!("call {url}");
        let body = json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": token,
            "audience": format!("identitynamespace:{}:{}", self.project.pool(), self.project.issuer()),
            "scope": CLOUD_PLATFORM,
        });
        let response = self.http.post(&url).json(&body).send().await.attempting(attempted)?;
        let answer: Value = response.json().await.attempting(attempted)?;
        Ok(match answer["access_token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(answer["error"].as_str().unwrap_or("an answer without error code").to_owned()),
        })
    }

    /// AccessSecretVersion over gRPC: `success`, or the cloud's code.
    async fn read(&self, token: &str, secret: &str) -> Result<String> {
        let request = AccessSecretVersionRequest { name: self.latest(secret) };
        let mut client = SecretManagerServiceClient::with_origin(self.wire(), origin(SECRETMANAGER)?);
        let answer = client.access_secret_version(bearing(token, request)?).await;
        Ok(told(answer.map_err(|status| code(&status))))
    }

    /// AccessSecretVersion over REST: `success`, or the cloud's code.
    async fn read_rest(&self, token: &str, secret: &str) -> Result<String> {
        let url = format!("https://{SECRETMANAGER}/v1/{}:access", self.latest(secret));
        let attempted = || format!("call {url}");
        let response = self.http.get(&url).bearer_auth(token).send().await.attempting(attempted)?;
        if response.status().is_success() {
            return Ok(SUCCESS.into());
        }
        let error: Value = response.json().await.attempting(attempted)?;
        Ok(error["error"]["status"].as_str().unwrap_or("an answer without error code").to_owned())
    }

    fn latest(&self, secret: &str) -> String {
        format!("projects/{}/secrets/{secret}/versions/latest", self.project.project)
    }

    /// What generated clients send their requests with: this caller's HTTP client.
    fn wire(
        &self,
    ) -> impl tower::Service<
        axum::http::Request<tonic::body::Body>,
        Response = axum::http::Response<reqwest::Body>,
        Error = Status,
        Future: Send,
    > + '_ {
        tower::service_fn(|request: axum::http::Request<tonic::body::Body>| async {
            let unavailable = |e: reqwest::Error| Status::unavailable(e.to_string());
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await?.to_bytes();
            let request = axum::http::Request::from_parts(parts, bytes);
            let request = reqwest::Request::try_from(request).map_err(unavailable)?;
            self.http.execute(request).await.map(Into::into).map_err(unavailable)
        })
    }
}

fn origin(host: &str) -> Result<Uri> {
    format!("https://{host}").parse().attempting(|| format!("call {host}"))
}

/// A message with an access token, if there is one.
fn bearing<T>(token: &str, message: T) -> Result<tonic::Request<T>> {
    let mut request = tonic::Request::new(message);
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse();
        let value = value.map_err(|_| Error::new("send an access token", "it is none that a header can have"))?;
        request.metadata_mut().insert("authorization", value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use crate::{fixture::Gateway, gcp::fixture::CANARY, journal};

    /// The whole way, through TLS and HTTP/2, as in a world.
    #[tokio::test(flavor = "multi_thread")]
    async fn every_canary_meets_what_it_expects() {
        let gateway = Gateway::start("gcp").await;
        gateway.withstands_canaries(19).await;
        let lines = gateway.journal();
        let refused = |line: &&journal::Line| line.note.action.as_deref() == Some("secretmanager:AccessSecretVersion");
        let line = lines.iter().filter(refused).find(|l| l.note.code.as_deref() == Some("PERMISSION_DENIED")).unwrap();
        assert_eq!(line.note.caller.as_deref(), Some(CANARY));
        assert!(line.note.canary && line.note.reason.as_ref().unwrap().contains("does not cover"));
    }
}
