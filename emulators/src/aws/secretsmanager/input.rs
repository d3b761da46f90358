//! Requests of Secrets Manager, as they are on the wire, and the constraints that the service's model puts on them.
//!
//! What the model has and this service does not play is read too, so that it is refused and not ignored.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{refusal::Refusal, secret::Content};

/// Largest value (bytes).
const VALUE: usize = 65_536;
/// Most tags of a secret.
pub const TAGS: usize = 50;

/// A request's body as `T`.
///
/// # Errors
/// When it is no JSON object, or a member is missing or has another type.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|e| {
        let text = e.to_string();
        match text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            Some(member) => Refusal::constraint(&decapitalised(member), "Member must not be null"),
            // The text could quote a value.
            None => Refusal::new("SerializationException", format!("the body is not well-formed ({:?})", e.classify())),
        }
    })
}

/// AWS names members in its errors as its models do.
fn decapitalised(member: &str) -> String {
    let mut letters = member.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// A tag.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

/// `SecretString` and `SecretBinary`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Given {
    secret_string: Option<String>,
    secret_binary: Option<String>,
    kms_key_id: Option<String>,
}

/// `CreateSecret`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateSecret {
    pub name: String,
    pub client_request_token: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub tags: Option<Vec<Tag>>,
    #[serde(default)]
    pub add_replica_regions: Option<Vec<Value>>,
    #[serde(default, rename = "CrossAccountPrimaryARN")]
    pub primary: Option<String>,
    #[serde(default, rename = "Type")]
    pub kind: Option<String>,
    #[serde(flatten)]
    pub given: Given,
}

/// `GetSecretValue`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSecretValue {
    pub secret_id: String,
    pub version_id: Option<String>,
    pub version_stage: Option<String>,
}

/// `BatchGetSecretValue`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchGetSecretValue {
    pub secret_id_list: Option<Vec<String>>,
    pub filters: Option<Vec<Filter>>,
    pub max_results: Option<i64>,
    pub next_token: Option<String>,
}

/// `PutSecretValue`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutSecretValue {
    pub secret_id: String,
    pub client_request_token: Option<String>,
    pub version_stages: Option<Vec<String>>,
    pub rotation_token: Option<String>,
    #[serde(flatten)]
    pub given: Given,
}

/// `UpdateSecret`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateSecret {
    pub secret_id: String,
    pub client_request_token: Option<String>,
    pub description: Option<String>,
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    #[serde(flatten)]
    pub given: Given,
}

/// `UpdateSecretVersionStage`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateSecretVersionStage {
    pub secret_id: String,
    pub version_stage: String,
    pub remove_from_version_id: Option<String>,
    pub move_to_version_id: Option<String>,
}

/// Requests that have no more than a secret: `DescribeSecret`, `RestoreSecret`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OfSecret {
    pub secret_id: String,
}

/// `GetResourcePolicy` and `DeleteResourcePolicy`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OfPolicy {
    pub secret_id: String,
    pub policy_name: Option<String>,
}

/// `ListSecrets`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListSecrets {
    pub include_planned_deletion: Option<bool>,
    pub filters: Option<Vec<Filter>>,
    pub max_results: Option<i64>,
    pub next_token: Option<String>,
    pub sort_order: Option<String>,
    pub sort_by: Option<String>,
}

/// A filter of `ListSecrets`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Filter {
    pub key: String,
    pub values: Vec<String>,
}

/// `ListSecretVersionIds`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListSecretVersionIds {
    pub secret_id: String,
    pub include_deprecated: Option<bool>,
    pub max_results: Option<i64>,
    pub next_token: Option<String>,
}

/// `DeleteSecret`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteSecret {
    pub secret_id: String,
    pub recovery_window_in_days: Option<i64>,
    pub force_delete_without_recovery: Option<bool>,
}

/// `TagResource`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagResource {
    pub secret_id: String,
    pub tags: Vec<Tag>,
}

/// `UntagResource`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagResource {
    pub secret_id: String,
    pub tag_keys: Vec<String>,
}

/// `PutResourcePolicy`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutResourcePolicy {
    pub secret_id: String,
    pub resource_policy: String,
    pub block_public_policy: Option<bool>,
    pub policy_name: Option<String>,
}

/// `ValidateResourcePolicy`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ValidateResourcePolicy {
    pub secret_id: Option<String>,
    pub resource_policy: String,
}

impl Given {
    /// The value, if there is one.
    ///
    /// # Errors
    /// When there are two, or it is too long or no base64, or it shall be encrypted with a key of the caller's.
    pub fn content(self) -> Result<Option<Content>, Refusal> {
        if self.kms_key_id.is_some_and(|key| key != "alias/aws/secretsmanager") {
            return Err(Refusal::not_played("keys of KMS other than alias/aws/secretsmanager"));
        }
        let too_long = |member: &str| {
            Refusal::constraint(member, &format!("Member must have length less than or equal to {VALUE}"))
        };
        match (self.secret_string, self.secret_binary) {
            (Some(_), Some(_)) => Err(Refusal::parameter(
                // wording not verified
                "You can't specify both a binary secret value and a string secret value in the same secret.",
            )),
            (Some(text), None) if text.len() > VALUE => Err(too_long("secretString")),
            (Some(text), None) => Ok(Some(Content::Text(text))),
            (None, Some(text)) => match STANDARD.decode(text) {
                Ok(bytes) if bytes.len() > VALUE => Err(too_long("secretBinary")),
                Ok(bytes) => Ok(Some(Content::Binary(bytes))),
                Err(_) => Err(Refusal::new("SerializationException", "SecretBinary is not base64")),
            },
            (None, None) => Ok(None),
        }
    }
}

/// A text of so many characters.
///
/// # Errors
/// When it is shorter or longer.
pub fn length(member: &str, text: &str, from: usize, to: usize) -> Result<(), Refusal> {
    match text.chars().count() {
        short if short < from => {
            Err(Refusal::constraint(member, &format!("Member must have length greater than or equal to {from}")))
        }
        long if long > to => {
            Err(Refusal::constraint(member, &format!("Member must have length less than or equal to {to}")))
        }
        _ => Ok(()),
    }
}

/// Name or ARN of a secret.
///
/// # Errors
/// When it is empty or longer than any.
pub fn secret_id(text: &str) -> Result<(), Refusal> {
    length("secretId", text, 1, 2048)
}

/// The name of a new secret.
///
/// # Errors
/// When it is none.
pub fn name(text: &str) -> Result<(), Refusal> {
    length("name", text, 1, 512)?;
    let valid = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b));
    valid.then_some(()).ok_or_else(|| {
        Refusal::new(
            "ValidationException",
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
        )
    })
}

/// The token that makes a request idempotent and names its version. SDKs make one up; the service demands it.
///
/// # Errors
/// When there is none, or it is too short or too long.
pub fn client_request_token(token: Option<String>) -> Result<String, Refusal> {
    let token = token.ok_or_else(|| {
        Refusal::request("You must provide a ClientRequestToken value. We recommend a UUID-type value.")
    })?;
    match token.chars().count() {
        32..=64 => Ok(token),
        _ => Err(Refusal::parameter("ClientRequestToken must be 32-64 characters long.")),
    }
}

/// Staging labels.
///
/// # Errors
/// When one is empty or too long, or there are too many or none.
pub fn stages(stages: &[String]) -> Result<(), Refusal> {
    if !(1..=20).contains(&stages.len()) {
        return Err(Refusal::constraint("versionStages", "Member must have length between 1 and 20"));
    }
    stages.iter().try_for_each(|stage| length("versionStage", stage, 1, 256))
}

/// Tags by key.
///
/// # Errors
/// When one is not well-formed.
pub fn tags(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut by_key = BTreeMap::new();
    for Tag { key, value } in tags {
        length("tags.member.key", &key, 1, 128)?;
        length("tags.member.value", &value, 0, 256)?;
        if key.to_lowercase().starts_with("aws:") {
            // wording not verified
            return Err(Refusal::parameter("Tag keys that begin with aws: are reserved."));
        }
        by_key.insert(key, value);
    }
    Ok(by_key)
}

/// How many results an answer may have.
///
/// # Errors
/// When it is less than one or more than `most`.
pub fn page(asked: Option<i64>, most: usize) -> Result<usize, Refusal> {
    let Some(asked) = asked else { return Ok(most) };
    match usize::try_from(asked) {
        Ok(size) if (1..=most).contains(&size) => Ok(size),
        Ok(size) if size > most => {
            Err(Refusal::constraint("maxResults", &format!("Member must have value less than or equal to {most}")))
        }
        _ => Err(Refusal::constraint("maxResults", "Member must have value greater than or equal to 1")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_missing_or_of_another_type_has_its_error() {
        let code = |body: &str| read::<GetSecretValue>(body.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(code("{}").code, "ValidationException");
        assert!(code("{}").message.contains("'secretId'"));
        for body in ["", "[]", "1", "{\"SecretId\": 1}", "{\"SecretId\": \"top\"", "\u{0}"] {
            assert_eq!(code(body).code, "SerializationException", "{body}");
        }
        assert!(!code("{\"SecretId\": {\"k\": \"hidden\"}}").message.contains("hidden"));
    }

    #[test]
    fn a_value_is_text_or_bytes_of_at_most_64_kib() {
        let content = |body: Value| read::<Given>(body.to_string().as_bytes()).unwrap().content();
        let long = "x".repeat(VALUE + 1);
        let (fits, bytes) = ("x".repeat(VALUE), STANDARD.encode(&long));
        assert_eq!(content(serde_json::json!({})), Ok(None));
        assert_eq!(content(serde_json::json!({"SecretString": fits})), Ok(Some(Content::Text(fits.clone()))));
        assert_eq!(content(serde_json::json!({"SecretBinary": "AAE="})), Ok(Some(Content::Binary(vec![0, 1]))));
        for (body, code) in [
            (serde_json::json!({"SecretString": long}), "ValidationException"),
            (serde_json::json!({"SecretBinary": bytes}), "ValidationException"),
            (serde_json::json!({"SecretBinary": "?"}), "SerializationException"),
            (serde_json::json!({"SecretString": "a", "SecretBinary": "AAE="}), "InvalidParameterException"),
            (serde_json::json!({"SecretString": "a", "KmsKeyId": "mine"}), "UnknownOperationException"),
        ] {
            assert_eq!(content(body).unwrap_err().code, code);
        }
    }

    #[test]
    fn names_tokens_tags_and_pages_have_limits() {
        assert!(name("a/B_+=.@-9").is_ok() && name(&"n".repeat(512)).is_ok());
        for wrong in ["", "a b", "ä", "a!b", "a:b", &"n".repeat(513)] {
            assert_eq!(name(wrong).unwrap_err().code, "ValidationException", "{wrong:.9}");
        }
        assert_eq!(client_request_token(None).unwrap_err().code, "InvalidRequestException");
        assert_eq!(client_request_token(Some("x".repeat(31))).unwrap_err().code, "InvalidParameterException");
        assert!(client_request_token(Some("x".repeat(64))).is_ok());
        let tag = |key: &str| tags(vec![Tag { key: key.into(), value: String::new() }]);
        assert!(tag("team").is_ok() && tag("").is_err() && tag("AWS:x").is_err() && tag(&"k".repeat(129)).is_err());
        assert_eq!(page(None, 100), Ok(100));
        assert_eq!(page(Some(1), 100), Ok(1));
        for wrong in [0, -1, 101, i64::MAX] {
            assert_eq!(page(Some(wrong), 100).unwrap_err().code, "ValidationException");
        }
    }

    proptest! {
        #[test]
        fn no_body_breaks_the_reader(body in any::<Vec<u8>>(), text in ".{0,80}") {
            let _ = read::<CreateSecret>(&body);
            let _ = read::<ListSecrets>(&body);
            let _ = read::<PutSecretValue>(text.as_bytes());
            let quoted = serde_json::json!({"SecretId": text, "SecretBinary": text, "MaxResults": text}).to_string();
            let _ = read::<ListSecretVersionIds>(quoted.as_bytes());
            let _ = read::<PutSecretValue>(quoted.as_bytes()).map(|put| put.given.content());
        }
    }
}
