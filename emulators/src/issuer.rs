//! The public face of a cluster's token issuer: discovery document and key set, as EKS publishes them.

use std::path::Path;

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    RsaPublicKey,
    pkcs8::{DecodePublicKey, EncodePublicKey},
    traits::PublicKeyParts,
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Answer, Attempt, Result};

/// The issuer's URL and public key.
#[derive(Clone, Debug)]
pub struct Issuer {
    url: String,
    key: RsaPublicKey,
}

impl Issuer {
    /// Reads the public key (PEM).
    ///
    /// # Errors
    /// When it cannot be read or is no RSA key.
    pub fn read(url: &str, key: &Path) -> Result<Self> {
        let attempted = || format!("read the issuer's key {}", key.display());
        let pem = std::fs::read_to_string(key).attempting(attempted)?;
        Ok(Self { url: url.to_owned(), key: RsaPublicKey::from_public_key_pem(&pem).attempting(attempted)? })
    }

    /// URL without `https://`, as IAM names a provider.
    pub fn provider(&self) -> &str {
        self.url.trim_start_matches("https://")
    }

    /// Its host name.
    pub fn host(&self) -> &str {
        self.provider().split('/').next().unwrap_or_default()
    }

    /// Key id in the header of its tokens: kube-apiserver derives it from the key (SHA-256 of the DER).
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn key_id(&self) -> Result<String> {
        let der = self.key.to_public_key_der().attempting(|| "encode the issuer's key".into())?;
        Ok(URL_SAFE_NO_PAD.encode(Sha256::digest(der.as_bytes())))
    }

    /// RSA modulus and exponent, base64url.
    pub fn components(&self) -> (String, String) {
        (URL_SAFE_NO_PAD.encode(self.key.n().to_bytes_be()), URL_SAFE_NO_PAD.encode(self.key.e().to_bytes_be()))
    }

    /// Answers a request for `path` on the issuer's host.
    pub(crate) fn answer(&self, path: &str) -> Result<Answer> {
        let base = self.provider().split_once('/').map_or(String::new(), |(_, path)| format!("/{path}"));
        let document = match path.strip_prefix(&base) {
            Some("/.well-known/openid-configuration") => json!({
                "issuer": self.url,
                "jwks_uri": format!("{}/keys", self.url),
                "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "claims_supported": ["sub", "iss"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }),
            Some("/keys") => {
                let (n, e) = self.components();
                json!({"keys": [{"kty": "RSA", "e": e, "n": n, "kid": self.key_id()?, "use": "sig", "alg": "RS256"}]})
            }
            _ => return Ok(Answer::text(StatusCode::NOT_FOUND, "this issuer has no such document\n")),
        };
        Ok(Answer::body(StatusCode::OK, "application/json", document.to_string()))
    }
}
