//! An account for tests: the declared one of `fixtures/worlds/aws.yaml`, and a cluster's token key.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};
use serde_json::{Value, json};

use super::Account;
use crate::{
    clock::Clock,
    cloud::Ground,
    config,
    issuer::{Issuer, Trust},
};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "us-east-1";
pub const ISSUER: &str = "https://oidc.eks.us-east-1.amazonaws.com/id/TEST";

const DECLARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/worlds/aws.yaml");

/// A cluster that issues tokens, and the account that knows it.
pub struct Cluster {
    pub account: Account,
    key: EncodingKey,
    kid: String,
}

/// A new RSA key, private as PKCS#8 PEM.
pub fn key() -> (RsaPrivateKey, String) {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    (key, pem)
}

impl Cluster {
    pub fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (private, pem) = key();
        let public = private.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let issuer = Issuer::new(ISSUER, &format!("{ISSUER}/keys"), &public).unwrap();
        let kid = issuer.key_id().unwrap();
        let config = config::Aws { account: ACCOUNT.into(), region: REGION.into(), declared: DECLARED.into() };
        Self {
            account: Account::open(&config, Ground { clock: Clock::default(), trust: Trust::new(issuer) }).unwrap(),
            key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            kid,
        }
    }

    /// The declared account.
    pub fn declared() -> String {
        std::fs::read_to_string(DECLARED).unwrap()
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

    /// A token under another key id.
    pub fn under(&self, kid: &str) -> String {
        self.signed(Algorithm::RS256, kid, &self.key, &Self::claims())
    }

    fn signed(&self, algorithm: Algorithm, kid: &str, key: &EncodingKey, claims: &Value) -> String {
        encode(&Header { kid: Some(kid.into()), ..Header::new(algorithm) }, claims, key).unwrap()
    }
}
