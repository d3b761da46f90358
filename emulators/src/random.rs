//! Identifiers and secrets that clouds make up.

use base64::{Engine, engine::general_purpose::STANDARD};
use rsa::rand_core::{OsRng, RngCore};

/// Text of `length` letters and digits, made from pieces of `bytes` random bytes each.
pub(crate) fn text(bytes: usize, length: usize) -> String {
    let mut text = String::new();
    while text.len() < length {
        let mut raw = vec![0; bytes];
        OsRng.fill_bytes(&mut raw);
        text.extend(STANDARD.encode(raw).chars().filter(char::is_ascii_alphanumeric));
    }
    text.truncate(length);
    text
}

/// A UUID, as most clouds number requests and versions.
pub(crate) fn uuid() -> String {
    let mut raw = [0; 16];
    OsRng.fill_bytes(&mut raw);
    // Version 4, variant 1 (RFC 9562).
    raw[6] = raw[6] & 0x0f | 0x40;
    raw[8] = raw[8] & 0x3f | 0x80;
    let hex: String = raw.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_their_shape_and_differ() {
        assert_eq!(text(10, 16).len(), 16);
        assert_ne!(text(10, 16), text(10, 16));
        let id = uuid();
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
    }
}
