//! Access tokens: Entra ID issues them with a key of its own, and the vaults and the resource manager verify them with
//! the public half.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, dangerous::insecure_decode, decode_header, encode};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, LineEnding},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    Attempt, Error, Result,
    check::{Check, made},
    rs256::Key,
};

/// What an access token says of its bearer, in the words of version 1.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The API that it is for.
    pub aud: String,
    /// `https://sts.windows.net/<tenant>/`.
    pub iss: String,
    /// Time of issue.
    pub iat: i64,
    /// Begin of validity.
    pub nbf: i64,
    /// End of validity.
    pub exp: i64,
    /// Client id.
    pub appid: String,
    /// How the client proved who it is: `1` a secret, `2` an assertion.
    pub appidacr: String,
    /// Who vouched for it.
    pub idp: String,
    /// Object id.
    pub oid: String,
    /// Subject, for an application its object id.
    pub sub: String,
    /// Tenant.
    pub tid: String,
    /// Unique identifier of the token.
    pub uti: String,
    /// Version.
    pub ver: String,
}

/// Why a token opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Malformed,
    Key,
    Signature,
    Issuer(String),
    Audience(String),
    Expired,
    NotYetValid,
}

/// Entra ID's signing key.
pub(super) struct Mint {
    signing: EncodingKey,
    verifying: Key,
    id: String,
    modulus: String,
    exponent: String,
}

/// One key for the process: to make one takes most of a second, and all tenants of Entra ID share theirs too.
static MINT: LazyLock<Result<Mint>> = LazyLock::new(Mint::new);

impl Mint {
    fn new() -> Result<Self> {
        let attempted = || "make Entra ID's signing key".to_owned();
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).attempting(attempted)?;
        let pem = key.to_pkcs8_pem(LineEnding::LF).attempting(attempted)?;
        let verifying = Key::new(&key.to_public_key());
        let (modulus, exponent) = verifying.components();
        Ok(Self {
            signing: EncodingKey::from_rsa_pem(pem.as_bytes()).attempting(attempted)?,
            verifying,
            id: URL_SAFE_NO_PAD.encode(&Sha256::digest(&modulus)[..20]),
            modulus,
            exponent,
        })
    }

    /// The process's.
    ///
    /// # Errors
    /// When it could not be made.
    pub(super) fn get() -> Result<&'static Self> {
        MINT.as_ref().map_err(|e| Error::new("issue tokens", e))
    }

    /// The public half as a key set.
    pub(super) fn keys(&self) -> Value {
        json!({"keys": [{
            "kty": "RSA", "use": "sig", "kid": self.id, "x5t": self.id, "n": self.modulus, "e": self.exponent,
        }]})
    }

    /// Signs claims.
    ///
    /// # Errors
    /// When they cannot be encoded.
    pub(super) fn issue(&self, claims: &Claims) -> Result<String> {
        let header = Header { kid: Some(self.id.clone()), x5t: Some(self.id.clone()), ..Header::new(Algorithm::RS256) };
        encode(&header, claims, &self.signing).attempting(|| "sign an access token".into())
    }

    /// Verifies a token for one of `audiences`, from the tenant that `issuer` names, at the time `now`.
    ///
    /// # Errors
    /// The first that does not hold.
    pub(super) fn verify(&self, token: &str, issuer: &str, audiences: &[&str], now: i64) -> Result<Claims, Invalid> {
        let header = decode_header(token).map_err(|_| Invalid::Malformed)?;
        let claims = insecure_decode::<Claims>(token).map_err(|_| Invalid::Malformed)?.claims;
        if header.kid.as_deref() != Some(self.id.as_str()) || header.alg != Algorithm::RS256 {
            return Err(Invalid::Key);
        }
        if !self.verifying.signed(token) && made(Check::Signature) {
            return Err(Invalid::Signature);
        }
        if claims.iss != issuer && made(Check::Issuer) {
            return Err(Invalid::Issuer(claims.iss));
        }
        if !audiences.contains(&claims.aud.as_str()) && made(Check::Audience) {
            return Err(Invalid::Audience(claims.aud));
        }
        if claims.exp <= now && made(Check::Expiry) {
            return Err(Invalid::Expired);
        }
        if claims.nbf > now && made(Check::NotBefore) {
            return Err(Invalid::NotYetValid);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ISSUER: &str = "https://sts.windows.net/t/";

    fn claims() -> Claims {
        Claims {
            aud: "a".into(),
            iss: ISSUER.into(),
            iat: 100,
            nbf: 100,
            exp: 200,
            appid: "c".into(),
            appidacr: "2".into(),
            idp: ISSUER.into(),
            oid: "o".into(),
            sub: "o".into(),
            tid: "t".into(),
            uti: "u".into(),
            ver: "1.0".into(),
        }
    }

    fn verify(token: &str, now: i64) -> Result<Claims, Invalid> {
        Mint::get().unwrap().verify(token, ISSUER, &["a"], now)
    }

    #[test]
    fn an_issued_token_verifies_while_it_is_valid() {
        let token = Mint::get().unwrap().issue(&claims()).unwrap();
        assert_eq!(verify(&token, 100).unwrap(), claims());
        assert_eq!(verify(&token, 99), Err(Invalid::NotYetValid));
        assert_eq!(verify(&token, 200), Err(Invalid::Expired));
    }

    #[test]
    fn what_entra_id_has_not_signed_for_this_api_is_refused() {
        let mint = Mint::get().unwrap();
        let with = |change: fn(&mut Claims)| {
            let mut claims = claims();
            change(&mut claims);
            mint.issue(&claims).unwrap()
        };
        assert_eq!(verify(&with(|c| c.aud = "b".into()), 150), Err(Invalid::Audience("b".into())));
        assert_eq!(verify(&with(|c| c.iss = "x".into()), 150), Err(Invalid::Issuer("x".into())));
        let (good, other) = (with(|_| {}), with(|c| c.oid = "another".into()));
        let parts: Vec<&str> = good.split('.').collect();
        let mixed = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
        assert_eq!(verify(&mixed, 150), Err(Invalid::Signature));
        // The public key as an HMAC secret.
        let header = Header { kid: Some(mint.id.clone()), ..Header::new(Algorithm::HS256) };
        let confused = encode(&header, &claims(), &EncodingKey::from_secret(mint.modulus.as_bytes())).unwrap();
        assert_eq!(verify(&confused, 150), Err(Invalid::Key));
    }

    proptest! {
        #[test]
        fn no_text_authenticates(text in ".{0,200}", a in "[A-Za-z0-9_-]{0,40}", b in "[A-Za-z0-9_-]{0,40}") {
            prop_assert!(verify(&text, 150).is_err());
            let dotted = format!("{a}.{b}.{a}");
            prop_assert!(verify(&dotted, 150).is_err());
        }
    }
}
