//! An account for tests: the declared one of the example platform, and a cluster's token key.

use std::{collections::BTreeMap, sync::LazyLock};

use http_body_util::BodyExt;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};
use serde_json::{Value, json};

use super::{Account, sigv4::Credentials};
use crate::{
    Answer, Request,
    clock::Clock,
    cloud::{Cloud, Ground},
    config,
    issuer::{Issuer, Trust},
    seed,
};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "us-east-1";
pub const STS: &str = "sts.us-east-1.amazonaws.com";
pub const SECRETS_MANAGER: &str = "secretsmanager.us-east-1.amazonaws.com";
pub const ISSUER: &str = "https://oidc.eks.us-east-1.amazonaws.com/id/TEST";

/// The values of a run.
pub fn values() -> BTreeMap<String, String> {
    [("canary", "tweet"), ("provider_test", "tested")].map(|(name, value)| (name.into(), value.into())).into()
}

/// A cluster that issues tokens, and the account that knows it.
pub struct Cluster {
    pub account: Account,
    /// Its token key, private and public (PEM).
    pub pem: (String, String),
    key: EncodingKey,
    kid: String,
}

/// A new RSA key, private as PKCS#8 PEM.
pub fn key() -> (RsaPrivateKey, String) {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    (key, pem)
}

/// A key that no cluster has. Making one takes longer than all else here.
static STRANGER: LazyLock<EncodingKey> = LazyLock::new(|| EncodingKey::from_rsa_pem(key().1.as_bytes()).unwrap());

/// Waits for an answer on this thread, so that [`crate::check::without`] holds for it.
fn waited<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// The body of an answer.
pub fn body(answer: Answer) -> String {
    let bytes = waited(answer.response.into_body().collect()).unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The text in an element of an XML answer.
fn element(body: &str, name: &str) -> Option<String> {
    let rest = body.split_once(&format!("<{name}>"))?.1;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value.to_owned())
}

impl Cluster {
    /// One whose declared secrets are there.
    pub fn filled() -> Self {
        let cluster = Self::new();
        waited(cluster.account.apply(&values())).unwrap();
        cluster
    }

    pub fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (private, pem) = key();
        let public = private.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let issuer = Issuer::new(ISSUER, &format!("{ISSUER}/keys"), &public).unwrap();
        let kid = issuer.key_id().to_owned();
        let declared = seed::example_file("aws");
        let config = config::Aws { account: ACCOUNT.into(), region: REGION.into(), declared: declared.path().into() };
        Self {
            account: Account::open(&config, Ground { clock: Clock::default(), trust: Trust::new(issuer) }).unwrap(),
            key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            pem: (pem, public),
            kid,
        }
    }

    /// The declared account.
    pub fn declared() -> String {
        seed::example("aws")
    }

    /// Answers a request as the gateway asks for it.
    pub fn answer(&self, host: &str, request: Request) -> Answer {
        waited(Cloud::answer(&self.account, host, request))
    }

    /// The credentials of a role for a token, or AWS's error code.
    pub fn assume(&self, role: &str, token: &str) -> Result<Credentials, String> {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        let form: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", "2011-06-15"),
                ("RoleSessionName", "test"),
                ("RoleArn", &arn),
                ("WebIdentityToken", token),
            ])
            .finish();
        self.credentials(axum::http::Request::post("/").body(form.into()).unwrap())
    }

    /// The credentials of a role for those of another, or AWS's error code.
    pub fn assume_by(&self, by: &Credentials, role: &str, more: &str) -> Result<Credentials, String> {
        let form = format!("Action=AssumeRole&RoleSessionName=test&RoleArn=arn:aws:iam::{ACCOUNT}:role/{role}{more}");
        self.credentials(by.request(STS, REGION, None, form).unwrap())
    }

    /// What STS says about credentials.
    pub fn identity(&self, of: &Credentials) -> String {
        body(self.answer(STS, of.request(STS, REGION, None, "Action=GetCallerIdentity".into()).unwrap()))
    }

    fn credentials(&self, request: Request) -> Result<Credentials, String> {
        let text = body(self.answer(STS, request));
        let part = |name: &str| element(&text, name);
        match (part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken")) {
            (Some(key), Some(secret), token) => Ok(Credentials { key, secret, token }),
            _ => Err(part("Code").unwrap()),
        }
    }

    /// Secrets Manager's answer, or AWS's error code.
    pub fn call(&self, by: &Credentials, action: &str, request: Value) -> Result<Value, String> {
        let target = format!("secretsmanager.{action}");
        let request = by.request(SECRETS_MANAGER, REGION, Some(&target), request.to_string()).unwrap();
        let answer = self.answer(SECRETS_MANAGER, request);
        let success = answer.response.status().is_success();
        let body: Value = serde_json::from_str(&body(answer)).unwrap();
        if success { Ok(body) } else { Err(body["__type"].as_str().unwrap().to_owned()) }
    }

    /// The same by the administrator.
    pub fn ask(&self, action: &str, request: Value) -> Result<Value, String> {
        self.call(&self.account.administrator.credentials, action, request)
    }

    /// Claims that the role `trinity-external-secrets` trusts.
    pub fn claims() -> Value {
        let now = Timestamp::now().as_second();
        json!({
            "iss": ISSUER, "aud": ["sts.amazonaws.com"], "iat": now, "nbf": now, "exp": now + 3600,
            "sub": "system:serviceaccount:external-secrets:external-secrets",
        })
    }

    /// A token of this cluster with changed claims.
    pub fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = Self::claims();
        change(&mut claims);
        self.signed(Algorithm::RS256, &self.kid, &self.key, &claims)
    }

    /// A token under this cluster's key id that was signed with another key or algorithm.
    pub fn forged(&self, algorithm: Algorithm, key: &EncodingKey) -> String {
        self.signed(algorithm, &self.kid, key, &Self::claims())
    }

    /// A token that somebody else signed under this cluster's key id, with changed claims.
    pub fn strange(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = Self::claims();
        change(&mut claims);
        self.signed(Algorithm::RS256, &self.kid, &STRANGER, &claims)
    }

    /// A token under another key id.
    pub fn under(&self, kid: &str) -> String {
        self.signed(Algorithm::RS256, kid, &self.key, &Self::claims())
    }

    fn signed(&self, algorithm: Algorithm, kid: &str, key: &EncodingKey, claims: &Value) -> String {
        encode(&Header { kid: Some(kid.into()), ..Header::new(algorithm) }, claims, key).unwrap()
    }
}
