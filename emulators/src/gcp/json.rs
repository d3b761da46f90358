//! Secret Manager's messages in the JSON of protocol buffers: lowerCamelCase names or the original ones, 64-bit numbers
//! as text, bytes in base64, and nothing for a value that is the default.

use std::collections::BTreeMap;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use bytes::Bytes;
use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1 as pb;
use googleapis_tonic_google_iam_v1::google::{iam::v1 as iam_pb, r#type::Expr};
use jiff::Timestamp;
use prost_types::FieldMask;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value, json};

use super::{refusal::Refusal, time};

/// Callers may leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret as callers write it. What the service fills in is read and ignored, as the real one does.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Secret {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "createTime", alias = "create_time")]
    _create_time: Option<String>,
    replication: Option<Replication>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    etag: String,
    #[serde(alias = "version_aliases")]
    version_aliases: BTreeMap<String, Integer>,
    #[serde(alias = "expire_time")]
    expire_time: Option<String>,
    ttl: Option<String>,
    topics: Vec<Value>,
    rotation: Option<Value>,
    #[serde(alias = "version_destroy_ttl")]
    version_destroy_ttl: Option<Value>,
    #[serde(alias = "customer_managed_encryption")]
    customer_managed_encryption: Option<Value>,
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum Replication {
    Automatic(Place),
    #[serde(alias = "user_managed")]
    UserManaged(UserManaged),
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UserManaged {
    replicas: Vec<Place>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Place {
    location: String,
    #[serde(alias = "customer_managed_encryption")]
    customer_managed_encryption: Option<Value>,
}

/// A 64-bit number, which is text in JSON.
struct Integer(i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(from)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.map(Self).ok_or_else(|| D::Error::custom("no 64-bit number"))
    }
}

/// A new version.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Added {
    payload: Option<Payload>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Payload {
    data: String,
    #[serde(alias = "data_crc32c")]
    data_crc32c: Option<Integer>,
}

/// An entity tag.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tagged {
    /// The tag.
    pub etag: String,
}

/// Permissions to test.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Permissions {
    /// The permissions.
    pub permissions: Vec<String>,
}

/// A new policy.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Policy {
    policy: Bindings,
    #[serde(alias = "update_mask")]
    update_mask: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Bindings {
    version: i32,
    bindings: Vec<Binding>,
    etag: String,
    #[serde(alias = "audit_configs")]
    audit_configs: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Binding {
    role: String,
    members: Vec<String>,
    condition: Option<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Condition {
    title: String,
    description: String,
    expression: String,
    location: String,
}

impl Secret {
    /// As a message.
    pub fn message(self) -> Result<pb::Secret, Refusal> {
        let invalid = |field: &str| Refusal::field(field, format!("Invalid value at '{field}'."));
        let expiration = match (self.expire_time, self.ttl) {
            (None, None) => None,
            (Some(end), None) => {
                let end: Timestamp = end.parse().map_err(|_| invalid("secret.expire_time"))?;
                Some(pb::secret::Expiration::ExpireTime(time::write(end)))
            }
            (None, Some(ttl)) => {
                let ttl = time::parse(&ttl).ok_or_else(|| invalid("secret.ttl"))?;
                Some(pb::secret::Expiration::Ttl(ttl))
            }
            (Some(_), Some(_)) => return Err(invalid("secret.expiration")),
        };
        let encryption = |set: Option<Value>| set.map(|_| pb::CustomerManagedEncryption::default());
        let replication = self.replication.map(|replication| {
            let replication = match replication {
                Replication::Automatic(place) => pb::replication::Replication::Automatic(pb::replication::Automatic {
                    customer_managed_encryption: encryption(place.customer_managed_encryption),
                }),
                Replication::UserManaged(managed) => {
                    let replica = |place: Place| pb::replication::user_managed::Replica {
                        location: place.location,
                        customer_managed_encryption: encryption(place.customer_managed_encryption),
                    };
                    pb::replication::Replication::UserManaged(pb::replication::UserManaged {
                        replicas: managed.replicas.into_iter().map(replica).collect(),
                    })
                }
            };
            pb::Replication { replication: Some(replication) }
        });
        Ok(pb::Secret {
            replication,
            labels: self.labels,
            annotations: self.annotations,
            etag: self.etag,
            version_aliases: self.version_aliases.into_iter().map(|(alias, n)| (alias, n.0)).collect(),
            expiration,
            // What these four say does not matter: that they are there is enough to refuse them.
            topics: self.topics.iter().map(|_| pb::Topic::default()).collect(),
            rotation: self.rotation.map(|_| pb::Rotation::default()),
            version_destroy_ttl: self.version_destroy_ttl.map(|_| prost_types::Duration::default()),
            customer_managed_encryption: encryption(self.customer_managed_encryption),
            tags: self.tags,
            ..pb::Secret::default()
        })
    }
}

impl Added {
    /// As a message.
    pub fn message(self) -> Result<Option<pb::SecretPayload>, Refusal> {
        let read = |payload: Payload| {
            let data = bytes(&payload.data, "payload.data")?;
            Ok(pb::SecretPayload { data, data_crc32c: payload.data_crc32c.map(|n| n.0) })
        };
        self.payload.map(read).transpose()
    }
}

impl Policy {
    /// As messages.
    pub fn message(self) -> Result<(iam_pb::Policy, Option<FieldMask>), Refusal> {
        let expression = |c: Condition| Expr {
            title: c.title,
            description: c.description,
            expression: c.expression,
            location: c.location,
        };
        let binding =
            |b: Binding| iam_pb::Binding { role: b.role, members: b.members, condition: b.condition.map(expression) };
        let Bindings { version, bindings, etag, audit_configs } = self.policy;
        let policy = iam_pb::Policy {
            version,
            bindings: bindings.into_iter().map(binding).collect(),
            etag: bytes(&etag, "policy.etag")?,
            audit_configs: audit_configs.iter().map(|_| iam_pb::AuditConfig::default()).collect(),
        };
        Ok((policy, self.update_mask.map(|text| FieldMask { paths: mask(&text) })))
    }
}

/// Bytes in either alphabet of base64.
fn bytes(text: &str, field: &str) -> Result<Bytes, Refusal> {
    let text = text.replace('-', "+").replace('_', "/");
    let bytes = BASE64.decode(text).map_err(|_| {
        Refusal::field(field, format!("Invalid value at '{field}' (TYPE_BYTES), Base64 decoding failed."))
    })?;
    Ok(bytes.into())
}

/// The paths of a field mask, in the messages' own names.
pub(crate) fn mask(text: &str) -> Vec<String> {
    let snake = |path: &str| {
        path.chars().fold(String::new(), |mut name, c| {
            if c.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
            name
        })
    };
    text.split(',').filter(|path| !path.is_empty()).map(snake).collect()
}

/// An object without members that are defaults.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let told = members.into_iter().filter(|(_, value)| match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    });
    Value::Object(told.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn map<T: Into<Value>>(entries: impl Iterator<Item = (String, T)>) -> Value {
    let entries: Map<String, Value> = entries.map(|(key, value)| (key, value.into())).collect();
    if entries.is_empty() { Value::Null } else { Value::Object(entries) }
}

fn moment(time: Option<prost_types::Timestamp>) -> Value {
    time.and_then(time::read).map_or(Value::Null, |time| time.to_string().into())
}

/// A secret.
pub(crate) fn secret(secret: &pb::Secret) -> Value {
    let replication = secret.replication.as_ref().and_then(|r| r.replication.as_ref()).map(|r| match r {
        pb::replication::Replication::Automatic(_) => json!({"automatic": {}}),
        pb::replication::Replication::UserManaged(managed) => {
            let replicas: Vec<_> = managed.replicas.iter().map(|r| json!({"location": r.location})).collect();
            json!({"userManaged": {"replicas": replicas}})
        }
    });
    let expires = match secret.expiration {
        Some(pb::secret::Expiration::ExpireTime(end)) => moment(Some(end)),
        _ => Value::Null,
    };
    object([
        ("name", secret.name.as_str().into()),
        ("replication", replication.into()),
        ("createTime", moment(secret.create_time)),
        ("labels", map(secret.labels.clone().into_iter())),
        ("expireTime", expires),
        ("etag", secret.etag.as_str().into()),
        ("versionAliases", map(secret.version_aliases.iter().map(|(alias, n)| (alias.clone(), n.to_string())))),
        ("annotations", map(secret.annotations.clone().into_iter())),
    ])
}

/// A version.
pub(crate) fn version(version: &pb::SecretVersion) -> Value {
    let status = version.replication_status.as_ref().and_then(|s| s.replication_status.as_ref()).map(|s| match s {
        pb::replication_status::ReplicationStatus::Automatic(_) => json!({"automatic": {}}),
        pb::replication_status::ReplicationStatus::UserManaged(managed) => {
            let replicas: Vec<_> = managed.replicas.iter().map(|r| json!({"location": r.location})).collect();
            json!({"userManaged": {"replicas": replicas}})
        }
    });
    object([
        ("name", version.name.as_str().into()),
        ("createTime", moment(version.create_time)),
        ("destroyTime", moment(version.destroy_time)),
        ("state", version.state().as_str_name().into()),
        ("replicationStatus", status.into()),
        ("etag", version.etag.as_str().into()),
        ("clientSpecifiedPayloadChecksum", version.client_specified_payload_checksum.into()),
    ])
}

/// A value.
pub(crate) fn access(answer: &pb::AccessSecretVersionResponse) -> Value {
    let payload = answer.payload.as_ref().map(|payload| {
        object([
            ("data", general_purpose::STANDARD.encode(&payload.data).into()),
            ("dataCrc32c", payload.data_crc32c.map(|sum| sum.to_string()).into()),
        ])
    });
    object([("name", answer.name.as_str().into()), ("payload", payload.into())])
}

/// A part of a list.
pub(crate) fn list(name: &str, entries: impl Iterator<Item = Value>, next: String, total: i32) -> Value {
    let total = if total == 0 { Value::Null } else { total.into() };
    object([(name, entries.collect::<Vec<_>>().into()), ("nextPageToken", next.into()), ("totalSize", total)])
}

/// A policy.
pub(crate) fn policy(policy: &iam_pb::Policy) -> Value {
    let binding = |b: &iam_pb::Binding| {
        let condition = b.condition.as_ref().map(|c| {
            object([
                ("title", c.title.as_str().into()),
                ("description", c.description.as_str().into()),
                ("expression", c.expression.as_str().into()),
            ])
        });
        object([
            ("role", b.role.as_str().into()),
            ("members", b.members.clone().into()),
            ("condition", condition.into()),
        ])
    };
    object([
        ("version", policy.version.into()),
        ("bindings", policy.bindings.iter().map(binding).collect::<Vec<_>>().into()),
        ("etag", general_purpose::STANDARD.encode(&policy.etag).into()),
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_spellings_are_read_and_unknown_names_are_not() {
        for text in [
            r#"{"replication": {"userManaged": {"replicas": [{"location": "l"}]}}, "versionAliases": {"a": "1"}}"#,
            r#"{"replication": {"user_managed": {"replicas": [{"location": "l"}]}}, "version_aliases": {"a": 1}}"#,
        ] {
            let message = serde_json::from_str::<Secret>(text).unwrap().message().unwrap();
            assert_eq!(message.version_aliases["a"], 1);
            assert_eq!(secret(&message)["replication"]["userManaged"]["replicas"][0]["location"], "l");
            assert_eq!(secret(&message)["versionAliases"]["a"], "1");
        }
        assert!(serde_json::from_str::<Secret>(r#"{"unknown": 1}"#).is_err());
        assert_eq!(mask("labels,versionAliases,,ttl"), ["labels", "version_aliases", "ttl"]);
    }

    #[test]
    fn bytes_are_read_in_either_alphabet() {
        for text in ["+/+/", "-_-_", "AA==", "AA"] {
            let added: Added = serde_json::from_value(json!({"payload": {"data": text}})).unwrap();
            assert!(added.message().unwrap().is_some(), "{text}");
        }
        let added: Added = serde_json::from_value(json!({"payload": {"data": "!"}})).unwrap();
        assert!(added.message().is_err());
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(text in "[\\[\\]{}\":, a-zA-Z0-9]{0,60}") {
            let _ = serde_json::from_str::<Secret>(&text).map(Secret::message);
            let _ = serde_json::from_str::<Added>(&text).map(Added::message);
            let _ = serde_json::from_str::<Policy>(&text).map(Policy::message);
            let _ = mask(&text);
        }
    }
}
