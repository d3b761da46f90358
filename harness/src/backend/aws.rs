//! AWS Secrets Manager.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use trinity_emulators::{
    aws::declared::{Secret, SecretVersion},
    config, seed,
};
use uuid::Uuid;

use super::{
    Backend,
    plan::{Seen, Tombstone, Wanted},
};
use crate::failure::{Attempt, Result};

/// What of a declaration is about secrets.
#[derive(Deserialize)]
struct Declared {
    #[serde(default)]
    aws_secretsmanager_secret: BTreeMap<String, Secret>,
    #[serde(default)]
    aws_secretsmanager_secret_version: BTreeMap<String, SecretVersion>,
}

pub(super) fn wanted(text: &str, aws: &config::Aws) -> Result<Vec<Wanted>> {
    let facts = [("account", aws.account.as_str()), ("region", &aws.region)];
    let declared: Declared = seed::read(text, "aws", &facts).attempting(|| "find the declared secrets".into())?;
    let versions = declared.aws_secretsmanager_secret_version;
    Ok(declared
        .aws_secretsmanager_secret
        .into_values()
        .map(|secret| {
            let tags: Vec<Value> = secret.tags.iter().map(|(k, v)| json!({"Key": k, "Value": v})).collect();
            let version = versions.values().find(|version| version.secret_id == secret.name);
            Wanted {
                about: json!({"Description": secret.description.unwrap_or_default(), "Tags": tags}),
                place: None,
                window: secret.recovery_window_in_days,
                reference: version.map(|version| version.secret_string.clone()),
                name: secret.name,
            }
        })
        .collect())
}

pub(super) async fn look(backend: &Backend, wanted: &Wanted) -> Result<Seen> {
    let id = json!({"SecretId": wanted.name});
    let described = backend.act("DescribeSecret", &id).await?;
    if described.code() == "ResourceNotFoundException" {
        return Ok(Seen::Absent);
    }
    let described = described.good(format!("describe secret {}", wanted.name))?;
    if let Some(date) = described["DeletedDate"].as_f64() {
        return Ok(Seen::Buried(Tombstone {
            seen: format!("is scheduled for deletion on {}", day(date)),
            ways: "restore it (aws secretsmanager restore-secret), wait until then, delete it at once by hand (delete-secret \
                   --force-delete-without-recovery), or use another name"
                .into(),
        }));
    }
    let value = backend.act("GetSecretValue", &id).await?;
    if value.code() == "ResourceNotFoundException" {
        return Ok(Seen::Live(None));
    }
    let value = value.good(format!("read secret {}", wanted.name))?;
    Ok(Seen::Live(value["SecretString"].as_str().map(Into::into)))
}

pub(super) async fn create(backend: &Backend, wanted: &Wanted, value: Option<&str>) -> Result<()> {
    let mut request = wanted.about.clone();
    request["Name"] = json!(wanted.name);
    request["ClientRequestToken"] = json!(Uuid::new_v4());
    if let Some(value) = value {
        request["SecretString"] = json!(value);
    }
    backend.act("CreateSecret", &request).await?.good(format!("create secret {}", wanted.name)).map(drop)
}

pub(super) async fn renew(backend: &Backend, wanted: &Wanted, value: &str) -> Result<()> {
    let request = json!({"SecretId": wanted.name, "SecretString": value, "ClientRequestToken": Uuid::new_v4()});
    backend.act("PutSecretValue", &request).await?.good(format!("add a version to secret {}", wanted.name)).map(drop)
}

pub(super) async fn delete(backend: &Backend, wanted: &Wanted) -> Result<String> {
    // Terraform's window of no days is a deletion for good, which is not what a workflow does here.
    let window = wanted.window.filter(|days| *days > 0);
    let request = json!({"SecretId": wanted.name, "RecoveryWindowInDays": window});
    let answer = backend.act("DeleteSecret", &request).await?.good(format!("delete secret {}", wanted.name))?;
    let date = day(answer["DeletionDate"].as_f64().unwrap_or_default());
    Ok(format!("scheduled for deletion on {date}; until then restore-secret brings it back"))
}

/// The time of so many seconds since 1970.
fn day(seconds: f64) -> String {
    // Dates of clouds have less than 53 bits, and what is smaller than a second says nothing here.
    #[allow(clippy::cast_possible_truncation)]
    let time = Timestamp::from_second(seconds as i64);
    time.map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
