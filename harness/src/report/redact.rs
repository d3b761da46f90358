//! Removing secret values from text that leaves a run.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use serde_json::Value;

use crate::judge::leaks::{sentinel, sources::Values};

/// Replaces known values.
#[derive(Clone, Default)]
pub struct Redactor {
    values: Vec<String>,
    /// Tells in one pass whether a text has any of them: nearly all have none.
    any: Option<AhoCorasick>,
}

impl Redactor {
    /// For these values and, where a value is a JSON object, for its strings, each as it is and in base64.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for value in values {
            if let Ok(fields) = serde_json::from_str::<BTreeMap<String, Value>>(&value) {
                all.extend(fields.values().filter_map(Value::as_str).map(ToOwned::to_owned));
            }
            all.push(value);
        }
        let encoded: Vec<String> = all
            .iter()
            .filter_map(|v| serde_json::to_value(k8s_openapi::ByteString(v.as_bytes().to_vec())).ok())
            .filter_map(|v| v.as_str().map(|v| v.trim_end_matches('=').to_owned()))
            .collect();
        all.extend(encoded);
        all.retain(|value| !value.is_empty());
        // A value that contains another is replaced first.
        all.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self { any: AhoCorasick::new(&all).ok(), values: all }
    }

    /// For those of all values of a world that are secret: what a suite has set without a random part is told as it is.
    pub fn knowing(values: &Values) -> Self {
        let parts = sentinel::all(values);
        let secret = |value: &&String| parts.keys().any(|part| value.contains(part.as_str()));
        Self::new(values.values().flatten().filter(secret).chain(parts.keys()).cloned())
    }

    /// The text cleaned, on one line, and then cut to so many characters: what is cut first may end within a value, which
    /// nobody finds any more.
    pub fn brief(&self, text: &str, longest: usize) -> String {
        let clean = self.clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
        match clean.char_indices().nth(longest) {
            Some((end, _)) => format!("{}…", &clean[..end]),
            None => clean,
        }
    }

    /// The text without the values, nor anything that looks like a signed token.
    pub fn clean(&self, text: &str) -> String {
        let found = self.any.as_ref().is_none_or(|any| any.is_match(text));
        let values = if found { self.values.as_slice() } else { &[] };
        let text = values.iter().fold(text.to_owned(), |text, value| match text.contains(value.as_str()) {
            true => text.replace(value.as_str(), "[redacted]"),
            false => text,
        });
        if !text.contains("eyJ") {
            return text;
        }
        text.split_inclusive(|c: char| c.is_whitespace() || c == '"' || c == '&')
            .map(|word| {
                let bare = word.trim_end_matches(|c: char| c.is_whitespace() || c == '"' || c == '&');
                match bare.find("eyJ") {
                    Some(at) if bare[at..].matches('.').count() >= 2 => {
                        format!("{}[redacted token]{}", &bare[..at], &word[bare.len()..])
                    }
                    _ => word.to_owned(),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_cut_in_two() {
        let redactor = Redactor::new(["hunter22-and-more".to_owned()]);
        for longest in 0..30 {
            let brief = redactor.brief("it was hunter22-and-more\n  and ü", longest);
            assert!(!brief.contains("hun"), "{longest}: {brief}");
            assert!(brief.trim_end_matches('…').chars().count() <= longest, "{longest}: {brief}");
        }
        assert_eq!(redactor.brief("it was hunter22-and-more\n  and ü", 80), "it was [redacted] and ü");
        assert_eq!(redactor.brief("hunter22-and-more", 4), "[red…");
    }

    #[test]
    fn what_a_suite_has_set_is_secret_when_it_is_random() {
        let values = ["x", "glc_0123456789abcdef"].map(ToOwned::to_owned).into();
        let redactor = Redactor::knowing(&[("a".to_owned(), values)].into());
        let text = "exact, glc_0123456789abcdef and 0123456789abcdef";
        assert_eq!(redactor.clean(text), "exact, [redacted] and [redacted]");
    }

    #[test]
    fn values_tokens_and_base64_go() {
        let redactor = Redactor::new([r#"{"message":"hunter22"}"#.to_owned()]);
        let text = "got hunter22 and aHVudGVyMjI= with \"eyJhbGciOi.eyJzdWIi.c2ln\" done";
        assert_eq!(redactor.clean(text), "got [redacted] and [redacted]= with \"[redacted token]\" done");
        assert_eq!(redactor.clean("plain text, two. dots."), "plain text, two. dots.");
    }
}
