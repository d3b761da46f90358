//! The issuer of a cluster's service-account tokens: its public documents, as EKS, GKE and AKS publish them, and the
//! verification of its tokens, which all clouds share.

use std::{
    path::Path,
    sync::{Arc, RwLock},
};

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, dangerous::insecure_decode, decode_header};
use rsa::{
    BigUint, RsaPublicKey,
    pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding},
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    Answer, Attempt, Error, Result,
    check::{Check, made},
    rs256::Key,
};

/// What the subject of every service account begins with.
pub(crate) const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// Longer tokens are none of a cluster (bytes).
const TOKEN: usize = 16 << 10;

/// An issuer's URL and public key.
#[derive(Clone, Debug)]
pub struct Issuer {
    url: String,
    jwks: String,
    /// Key id in the header of its tokens.
    kid: String,
    /// RSA modulus and exponent, base64url.
    components: (String, String),
    key: Key,
}

/// Claims of a token whose signature, issuer and times were verified; audience and subject are the cloud's to judge.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    /// Issuer URL.
    pub iss: String,
    /// `system:serviceaccount:<namespace>:<name>`.
    pub sub: String,
    /// Audiences.
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// End of validity, seconds since 1970.
    pub exp: i64,
    /// Begin of validity, seconds since 1970.
    #[serde(default)]
    pub nbf: Option<i64>,
}

/// Why a token proves nothing, in the order in which it is found out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// It is no JSON Web Token, or lacks a claim.
    #[error("it is no service-account token: {0}")]
    Malformed(String),
    /// Nobody registered its issuer.
    #[error("nobody registered its issuer {0}")]
    Issuer(String),
    /// Its issuer publishes no such key.
    #[error("its issuer publishes no key {0}")]
    Key(String),
    /// The signature does not fit.
    #[error("its signature does not verify")]
    Signature,
    /// It is over.
    #[error("it expired at {exp} and it is {now}")]
    Expired {
        /// Time of the cloud, seconds since 1970.
        now: i64,
        /// The token's end.
        exp: i64,
    },
    /// It has not begun.
    #[error("it is valid from {nbf} and it is {now}")]
    NotYetValid {
        /// Time of the cloud, seconds since 1970.
        now: i64,
        /// The token's begin.
        nbf: i64,
    },
}

impl Issuer {
    /// Reads the public key (PEM); `jwks` is the URL of the key set, below `url`.
    ///
    /// # Errors
    /// When it cannot be read or is no RSA key.
    pub fn read(url: &str, jwks: &str, key: &Path) -> Result<Self> {
        let pem = std::fs::read_to_string(key).attempting(|| format!("read the issuer's key {}", key.display()))?;
        Self::new(url, jwks, &pem)
    }

    /// An issuer with a public key (PEM).
    ///
    /// # Errors
    /// When it is no RSA key.
    pub fn new(url: &str, jwks: &str, pem: &str) -> Result<Self> {
        let attempted = || format!("use the key of issuer {url}");
        let public = RsaPublicKey::from_public_key_pem(pem).attempting(attempted)?;
        let der = public.to_public_key_der().attempting(attempted)?;
        let key = Key::new(&public);
        Ok(Self {
            url: url.to_owned(),
            jwks: jwks.to_owned(),
            kid: URL_SAFE_NO_PAD.encode(Sha256::digest(der.as_bytes())),
            components: key.components(),
            key,
        })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
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
    pub fn key_id(&self) -> &str {
        &self.kid
    }

    /// RSA modulus and exponent, base64url.
    pub const fn components(&self) -> &(String, String) {
        &self.components
    }

    /// Answers a request for `path` on the issuer's host; nothing when it is none of the issuer's documents.
    pub(crate) fn answer(&self, path: &str) -> Option<Answer> {
        let below =
            |url: &str| url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|i| rest[i..].to_owned()));
        let base = below(&self.url).unwrap_or_default();
        let document = if path == format!("{}/.well-known/openid-configuration", base.trim_end_matches('/')) {
            json!({
                "issuer": self.url,
                "jwks_uri": self.jwks,
                "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "claims_supported": ["sub", "iss"],
                "id_token_signing_alg_values_supported": ["RS256"],
            })
        } else if below(&self.jwks).as_deref() == Some(path) {
            let (n, e) = &self.components;
            json!({"keys": [{"kty": "RSA", "e": e, "n": n, "kid": self.kid, "use": "sig", "alg": "RS256"}]})
        } else {
            return None;
        };
        Some(Answer::body(StatusCode::OK, "application/json", document.to_string()))
    }

    /// The public key (PEM) of a key set such as `kubectl get --raw /openid/v1/jwks` prints; of several, the first.
    ///
    /// # Errors
    /// When it has no RSA key.
    pub fn pem_of(jwks: &str) -> Result<String> {
        let attempted = || "read the issuer's key set".to_owned();
        let set: Value = serde_json::from_str(jwks).attempting(attempted)?;
        let key = &set["keys"][0];
        let number = |part: &str| -> Result<BigUint> {
            let text =
                key[part].as_str().ok_or_else(|| Error::new(attempted(), format!("its first key has no {part}")))?;
            Ok(BigUint::from_bytes_be(&URL_SAFE_NO_PAD.decode(text).attempting(attempted)?))
        };
        let key = RsaPublicKey::new(number("n")?, number("e")?).attempting(attempted)?;
        key.to_public_key_pem(LineEnding::LF).attempting(attempted)
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Unverified> {
        let malformed = |e: String| Unverified::Malformed(e);
        if token.len() > TOKEN {
            return Err(malformed(format!("it has {} bytes", token.len())));
        }
        let claims = insecure_decode::<Claims>(token).map_err(|e| malformed(e.to_string()))?.claims;
        let known = claims.iss == self.url || !made(Check::Issuer);
        match known {
            true => self.verify_signature(token)?,
            false if made(Check::World) => return Err(Unverified::Issuer(claims.iss)),
            false => {}
        }
        let now = now.as_second();
        if claims.exp <= now && made(Check::Expiry) {
            return Err(Unverified::Expired { now, exp: claims.exp });
        }
        match claims.nbf {
            Some(nbf) if nbf > now && made(Check::NotBefore) => Err(Unverified::NotYetValid { now, nbf }),
            _ => Ok(claims),
        }
    }

    fn verify_signature(&self, token: &str) -> Result<(), Unverified> {
        let header = decode_header(token).map_err(|e| Unverified::Malformed(e.to_string()))?;
        if header.kid.as_deref() != Some(self.kid.as_str()) || header.alg != Algorithm::RS256 {
            let kid = header.kid.unwrap_or_default();
            return Err(Unverified::Key(format!("{kid} for {:?}", header.alg)));
        }
        match self.key.signed(token) {
            false if made(Check::Signature) => Err(Unverified::Signature),
            _ => Ok(()),
        }
    }
}

/// The issuer that a cloud knows: one of a cluster's, whose keys it fetches. Clones share it, and tests replace it.
#[derive(Clone, Debug)]
pub struct Trust(Arc<RwLock<Arc<Issuer>>>);

impl Trust {
    /// Trusts an issuer.
    pub fn new(issuer: Issuer) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(issuer))))
    }

    /// The issuer.
    pub fn issuer(&self) -> Arc<Issuer> {
        match self.0.read() {
            Ok(issuer) => issuer.clone(),
            // Whoever panicked while replacing it has replaced it or not; both are issuers.
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    /// Trusts another issuer in its place.
    pub fn replace(&self, issuer: Issuer) {
        match self.0.write() {
            Ok(mut place) => *place = Arc::new(issuer),
            Err(poisoned) => *poisoned.into_inner() = Arc::new(issuer),
        }
    }

    /// Verifies a service-account token at the cloud's time `now`: issuer, signature, expiry, begin.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Unverified> {
        self.issuer().verify(token, now)
    }
}

/// The subject that a token claims, verified or not: for the journal.
pub fn subject(token: &str) -> Option<String> {
    (token.len() <= TOKEN).then(|| insecure_decode::<Claims>(token).ok().map(|data| data.claims.sub)).flatten()
}

/// Namespace and name of the service account that is a token's subject.
pub(crate) fn service_account(subject: &str) -> Option<(&str, &str)> {
    subject.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(Into::into).collect(),
        other => other.as_str().map(Into::into).into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALzSGzCqGTv2HdouMW7izOgkIRkkph59
p+1lhPa1i1g2tATPH7dptDk8EKQIrRI+M0ReH8UympB/JuDxdcGEo5UCAwEAAQ==
-----END PUBLIC KEY-----
";

    #[tokio::test]
    async fn its_documents_are_where_it_says_and_give_its_key() {
        for (url, jwks) in [
            ("https://oidc.example/id/A", "https://oidc.example/id/A/keys"),
            ("https://aks.example/t/i/", "https://aks.example/t/i/openid/v1/jwks"),
        ] {
            let issuer = Issuer::new(url, jwks, PEM).unwrap();
            let path = |url: &str| format!("/{}", url.splitn(4, '/').nth(3).unwrap());
            let body = async |path: String| {
                let body = issuer.answer(&path).unwrap().response.into_body();
                String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap()
            };
            let discovery = format!("{}/.well-known/openid-configuration", path(url).trim_end_matches('/'));
            let document: Value = serde_json::from_str(&body(discovery).await).unwrap();
            assert_eq!((&document["issuer"], &document["jwks_uri"]), (&json!(url), &json!(jwks)));
            assert_eq!(Issuer::pem_of(&body(path(jwks)).await).unwrap(), PEM);
            assert!(issuer.answer("/elsewhere").is_none());
        }
        assert!(Issuer::pem_of("{}").is_err());
    }

    #[test]
    fn audiences_are_one_or_many() {
        let of = |aud: Value| -> Vec<String> {
            serde_json::from_value::<Claims>(json!({"iss": "", "sub": "", "exp": 0, "aud": aud})).unwrap().aud
        };
        assert_eq!(of(json!("a")), ["a"]);
        assert_eq!(of(json!(["a", "b"])), ["a", "b"]);
        assert!(of(json!(1)).is_empty());
    }
}
