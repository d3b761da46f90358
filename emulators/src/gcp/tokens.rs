//! Access tokens that this cloud has issued: opaque texts, each with what it stands for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{declared::Declared, iam::Principal};
use crate::random;

/// How long an expired token is still told from one that never was.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// What a token stands for.
#[derive(Clone)]
pub(crate) struct Credential {
    /// Whose it is.
    pub principal: Principal,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// End of validity.
    pub expires: Timestamp,
    /// The set-up under which it was issued. A cloud that looks no further honours what has been revoked since.
    pub issued_under: Arc<Declared>,
}

/// All tokens.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<[u8; 8], Kept>>);

struct Kept {
    digest: [u8; 32],
    credential: Credential,
}

impl Tokens {
    /// A new token, beginning with `prefix`.
    pub fn issue(&self, prefix: &str, credential: Credential, now: Timestamp) -> String {
        let token = format!("{prefix}{}", random::text(96, 192));
        let digest: [u8; 32] = Sha256::digest(&token).into();
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, kept| kept.credential.expires.saturating_add(REMEMBERED).is_ok_and(|until| until > now));
        tokens.insert(key(&digest), Kept { digest, credential });
        token
    }

    /// What a token stands for, expired or not.
    pub fn find(&self, token: &str) -> Option<Credential> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = tokens.get(&key(&digest))?;
        bool::from(kept.digest.ct_eq(&digest)).then(|| kept.credential.clone())
    }
}

/// Place of a digest. Callers cannot choose digests, so that looking one up tells them nothing.
fn key(digest: &[u8; 32]) -> [u8; 8] {
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_until_it_has_long_expired() {
        let (tokens, now) = (Tokens::default(), Timestamp::now());
        let credential = |expires| Credential {
            principal: Principal::Administrator,
            scopes: Vec::new(),
            expires,
            issued_under: Arc::default(),
        };
        let token = tokens.issue("ya29.", credential(now), now);
        assert!(token.starts_with("ya29.") && tokens.find(&token).is_some());
        assert!(tokens.find(&token[1..]).is_none() && tokens.find("").is_none());
        let other = tokens.issue("ya29.", credential(now), now + SignedDuration::from_secs(3600));
        assert!(tokens.find(&token).is_none());
        assert_ne!(token, other);
    }
}
