//! A tenant for tests: the declared one of `fixtures`, and a cluster's token key.

use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::Tenant;
use crate::{
    Answer, Request,
    cloud::Cloud,
    config,
    fixture::{CLUSTER, STRANGER, claims, ground, values, wait},
    journal::Note,
    seed,
};

pub const TENANT: &str = "22222222-2222-4222-8222-222222222222";
pub const SUBSCRIPTION: &str = "33333333-3333-4333-8333-333333333333";
const ISSUER: &str =
    "https://eastus.oic.prod-aks.azure.com/22222222-2222-4222-8222-222222222222/00000000-0000-4000-8000-000000000000/";

/// Client ids in the declared set-up.
pub const PLATFORM: &str = "11111111-1111-4111-8111-111111111111";
pub const CANARY: &str = "11111111-1111-4111-8111-000000000001";
pub const POWERLESS: &str = "11111111-1111-4111-8111-000000000002";
pub const DISABLED: &str = "11111111-1111-4111-8111-000000000003";
pub const UNBOUND: &str = "11111111-1111-4111-8111-000000000004";
pub const LIFECYCLE: &str = "11111111-1111-4111-8111-000000000005";

pub const VAULT: &str = "trinity-dev-azure.vault.azure.net";
pub const CANARIES: &str = "trinity-canaries.vault.azure.net";
pub const POLICIES: &str = "trinity-canary-policies.vault.azure.net";
pub const LOGIN: &str = "login.microsoftonline.com";
pub const MANAGEMENT: &str = "management.azure.com";

/// A cluster that issues tokens, and the tenant that knows it.
pub struct Cluster {
    pub tenant: Tenant,
}

/// What a host said.
#[derive(Debug)]
pub struct Said {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Value,
    pub note: Note,
}

impl Said {
    /// The code that tells causes apart: the inner one, or Entra ID's.
    pub fn code(&self) -> String {
        let error = &self.body["error"];
        let code = error["innererror"]["code"].as_str().or(error["code"].as_str()).map(Into::into);
        let entra = self.body["error_codes"][0].as_u64().map(|code| format!("AADSTS{code}"));
        code.or(entra).unwrap_or_else(|| self.status.to_string())
    }
}

impl Cluster {
    /// With the declared secrets in their vaults.
    pub fn new() -> Self {
        let declared = seed::example_file("azure");
        let config = config::Azure {
            tenant: TENANT.into(),
            subscription: SUBSCRIPTION.into(),
            location: "eastus".into(),
            declared: declared.path().into(),
        };
        let ground = ground(ISSUER, &format!("{ISSUER}openid/v1/jwks"));
        let cluster = Self { tenant: Tenant::open(&config, ground).unwrap() };
        wait(cluster.tenant.apply(&values())).unwrap();
        cluster
    }

    /// The declared tenant.
    pub fn declared() -> String {
        seed::example("azure")
    }

    /// A token of the platform's service account with changed claims.
    pub fn issued(change: impl FnOnce(&mut Value)) -> String {
        CLUSTER.sign(&Self::claims(change))
    }

    /// The same under the cluster's key id, which another key has signed.
    pub fn forged(change: impl FnOnce(&mut Value)) -> String {
        STRANGER.sign(&Self::claims(change))
    }

    fn claims(change: impl FnOnce(&mut Value)) -> Value {
        claims(ISSUER, "api://AzureADTokenExchange", "external-secrets:external-secrets", change)
    }

    /// Sends a request to a host of the cloud.
    pub fn send(&self, host: &str, request: Request) -> Said {
        assert!(self.tenant.plays(host), "{host}");
        let Answer { response, note } = wait(self.tenant.answer(host, request));
        let (parts, body) = response.into_parts();
        let bytes = wait(body.collect()).unwrap().to_bytes();
        Said {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            note,
        }
    }

    /// Posts a form to the token endpoint.
    pub fn post(&self, form: &[(&str, &str)]) -> Said {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = axum::http::Request::builder().method("POST").uri(format!("/{TENANT}/oauth2/v2.0/token"));
        self.send(LOGIN, request.body(Bytes::from(body)).unwrap())
    }

    /// Exchanges a service account's token for an access token, or for an error code.
    pub fn exchange(&self, client: &str, token: &str, scope: &str) -> Result<String, String> {
        let said = self.post(&[
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", token),
            ("client_info", "1"),
            ("scope", &format!("{scope} openid offline_access profile")),
        ]);
        said.body["access_token"].as_str().map(Into::into).ok_or_else(|| said.code())
    }

    /// An access token of the identity that may do everything.
    pub fn master(&self, scope: &str) -> String {
        let token = Self::issued(|c| c["sub"] = json!("system:serviceaccount:trinity-suites:lifecycle"));
        self.exchange(LIFECYCLE, &token, scope).unwrap()
    }

    /// Sends a request with an access token and a JSON body, which may be nothing.
    pub fn call(&self, token: &str, method: &str, host: &str, path: &str, body: &Value) -> Said {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", host)
            .header("authorization", format!("Bearer {token}"));
        self.send(host, request.body(body).unwrap())
    }

    /// The value of a secret, or an error code; asked as the platform's operator asks.
    pub fn read(&self, token: &str, host: &str, secret: &str) -> Result<String, String> {
        let said = self.call(token, "GET", host, &format!("/secrets/{secret}/?api-version=7.0"), &Value::Null);
        said.body["value"].as_str().map(Into::into).ok_or_else(|| said.code())
    }
}
