//! Removing secret values from text that leaves a run.

use std::collections::BTreeMap;

use serde_json::Value;

/// Replaces known values.
#[derive(Clone, Default)]
pub struct Redactor {
    values: Vec<String>,
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
        Self { values: all }
    }

    /// The text without the values, nor anything that looks like a signed token.
    pub fn clean(&self, text: &str) -> String {
        let text = self.values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), "[redacted]"));
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
    fn values_tokens_and_base64_go() {
        let redactor = Redactor::new([r#"{"message":"hunter22"}"#.to_owned()]);
        let text = "got hunter22 and aHVudGVyMjI= with \"eyJhbGciOi.eyJzdWIi.c2ln\" done";
        assert_eq!(redactor.clean(text), "got [redacted] and [redacted]= with \"[redacted token]\" done");
        assert_eq!(redactor.clean("plain text, two. dots."), "plain text, two. dots.");
    }
}
