//! Digests that stand for secret values: equal values have equal digests within a run, and nobody can test guesses
//! without the run's key.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::components::cache::hex;

/// Makes digests with one run's key.
#[derive(Clone)]
pub struct Digester {
    mac: Option<Hmac<Sha256>>,
}

impl Digester {
    /// With the key of a run.
    pub fn new(key: &str) -> Self {
        Self {
            // An HMAC takes keys of any length.
            mac: Hmac::new_from_slice(key.as_bytes()).ok(),
        }
    }

    /// `digest:` and twelve hexadecimal digits.
    pub fn of(&self, value: &[u8]) -> String {
        let bytes =
            self.mac.clone().map(|mac| mac.chain_update(value).finalize().into_bytes().to_vec()).unwrap_or_default();
        format!("digest:{}", hex(&bytes).get(..12).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_and_only_they_have_equal_digests() {
        let (one, other) = (Digester::new("one"), Digester::new("other"));
        assert_eq!(one.of(b"a"), one.of(b"a"));
        assert_ne!(one.of(b"a"), one.of(b"b"));
        assert_ne!(one.of(b"a"), other.of(b"a"));
        assert!(!one.of(b"secret").contains("secret"));
    }
}
