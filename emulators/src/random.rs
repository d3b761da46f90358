//! Keys and secrets that clouds make up.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_length_and_differ() {
        assert_eq!(text(10, 16).len(), 16);
        assert_ne!(text(10, 16), text(10, 16));
    }
}
