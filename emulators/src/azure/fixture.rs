//! A tenant for tests: the declared one of `fixtures`, and a cluster's token key.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::BodyExt;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};
use serde_json::{Value, json};

use super::Tenant;
use crate::{
    Answer, Request,
    clock::Clock,
    cloud::{Cloud, Ground},
    config,
    issuer::{Issuer, Trust},
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
pub const POLICIES: &str = "trinity-dev-policies.vault.azure.net";
pub const LOGIN: &str = "login.microsoftonline.com";
pub const MANAGEMENT: &str = "management.azure.com";

/// One key for all tests, and one that is nobody's: to make them takes time.
static KEY: LazyLock<(RsaPrivateKey, EncodingKey)> = LazyLock::new(key);
static STRANGER: LazyLock<(RsaPrivateKey, EncodingKey)> = LazyLock::new(key);

fn key() -> (RsaPrivateKey, EncodingKey) {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    (key, EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap())
}

/// A cluster that issues tokens, and the tenant that knows it.
pub struct Cluster {
    pub tenant: Tenant,
}

/// The cluster's issuer, as the tenant knows it.
fn known() -> Issuer {
    let (url, _, public) = Cluster::issuer();
    Issuer::new(url, &format!("{url}openid/v1/jwks"), &public).unwrap()
}

fn signed(key: &EncodingKey, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = Cluster::claims();
    change(&mut claims);
    encode(&Header { kid: Some(known().key_id().into()), ..Header::new(Algorithm::RS256) }, &claims, key).unwrap()
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

/// Waits for what is there at once.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
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
        let ground = Ground { clock: Clock::default(), trust: Trust::new(known()) };
        let cluster = Self { tenant: Tenant::open(&config, ground).unwrap() };
        wait(cluster.tenant.apply(&Self::values())).unwrap();
        cluster
    }

    /// Values of the declared secrets.
    pub fn values() -> BTreeMap<String, String> {
        [("canary", "canary's value"), ("provider_test", "platform's value")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// The declared tenant.
    pub fn declared() -> String {
        seed::example("azure")
    }

    /// Claims of the platform's service account.
    pub fn claims() -> Value {
        let now = Timestamp::now().as_second();
        json!({
            "iss": ISSUER, "aud": ["api://AzureADTokenExchange"], "iat": now, "nbf": now, "exp": now + 3600,
            "sub": "system:serviceaccount:external-secrets:external-secrets",
        })
    }

    /// The cluster's issuer: URL, private and public key (PEM).
    pub fn issuer() -> (&'static str, String, String) {
        let private = KEY.0.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
        (ISSUER, private, KEY.0.to_public_key().to_public_key_pem(LineEnding::LF).unwrap())
    }

    /// A token of the cluster with changed claims.
    pub fn issued(change: impl FnOnce(&mut Value)) -> String {
        signed(&KEY.1, change)
    }

    /// A token under the cluster's key id that another key has signed.
    pub fn forged(change: impl FnOnce(&mut Value)) -> String {
        signed(&STRANGER.1, change)
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
