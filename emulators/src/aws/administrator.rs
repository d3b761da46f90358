//! The account's administrator: an IAM user with a long-lived access key, made at random for this process. What the
//! harness does to secrets it does as this user, through the public API.

use std::collections::BTreeMap;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    account::Account,
    policy::IdentityPolicy,
    secretsmanager,
    setup::{Secret, administrator},
    sigv4::Credentials,
};
use crate::{Attempt, Error, Result, random};

/// An IAM user who may do everything.
pub struct Administrator {
    /// The long-lived access key.
    pub credentials: Credentials,
    /// ARN of the user.
    pub arn: String,
    /// The user's policy.
    pub policy: IdentityPolicy,
}

/// An answer of Secrets Manager to the administrator.
type Reply = Result<Value, Refused>;

/// AWS's error code and message.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
struct Refused {
    code: String,
    message: String,
}

impl Administrator {
    /// Makes the user of an account.
    ///
    /// # Errors
    /// When its policy cannot be made.
    pub fn new(account: &str) -> Result<Self> {
        Ok(Self {
            credentials: Credentials {
                key: format!("AKIA{}", random::text(10, 16).to_uppercase()),
                secret: random::text(30, 40),
                token: None,
            },
            arn: format!("arn:aws:iam::{account}:user/trinity-administrator"),
            policy: administrator()?,
        })
    }
}

impl Account {
    /// Creates the declared secrets with the run's values. What is there already gets a new version when its value is
    /// another. A secret that is scheduled for deletion is neither restored nor purged.
    ///
    /// # Errors
    /// When a value is missing or Secrets Manager refuses.
    pub async fn apply(&self, values: &BTreeMap<String, String>) -> Result<()> {
        let setup = self.setup();
        let values = setup.values(values)?;
        for (name, secret) in &setup.secrets {
            let attempted = || format!("apply secret {name}");
            let value = values.get(name.as_str()).map(String::as_str);
            self.create_or_change(name, secret, value).await.map_err(|refused| {
                let next = match refused.message.contains("deletion") {
                    true => "; restore it (RestoreSecret), or wait until its recovery window is over",
                    false => "",
                };
                Error::new(attempted(), format!("{refused}{next}"))
            })?;
        }
        Ok(())
    }

    async fn create_or_change(&self, name: &str, secret: &Secret, value: Option<&str>) -> Result<(), Refused> {
        let tags: Vec<Value> = secret.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        let description = secret.description.as_deref().unwrap_or_default();
        let create = json!({
            "Name": name, "Description": description, "SecretString": value, "Tags": tags,
            "ClientRequestToken": Uuid::new_v4(),
        });
        match self.send("CreateSecret", create).await {
            Err(refused) if refused.code == "ResourceExistsException" => {
                let describe =
                    json!({"SecretId": name, "Description": description, "ClientRequestToken": Uuid::new_v4()});
                self.send("UpdateSecret", describe).await?;
                if !tags.is_empty() {
                    self.send("TagResource", json!({"SecretId": name, "Tags": tags})).await?;
                }
                if let Some(value) = value {
                    self.put(name, value).await?;
                }
            }
            created => drop(created?),
        }
        if let Some(policy) = &secret.policy {
            self.send("PutResourcePolicy", json!({"SecretId": name, "ResourcePolicy": policy})).await?;
        }
        Ok(())
    }

    /// Adds a version unless the current one has this value.
    async fn put(&self, name: &str, value: &str) -> Result<(), Refused> {
        match self.send("GetSecretValue", json!({"SecretId": name})).await {
            Ok(current) if current["SecretString"] == value => return Ok(()),
            Err(refused) if refused.code != "ResourceNotFoundException" => return Err(refused),
            _ => {}
        }
        let version = json!({"SecretId": name, "SecretString": value, "ClientRequestToken": Uuid::new_v4()});
        self.send("PutSecretValue", version).await.map(drop)
    }

    /// The current value of a secret.
    ///
    /// # Errors
    /// When Secrets Manager refuses.
    pub async fn read(&self, name: &str) -> Result<String> {
        let attempted = || format!("read secret {name}");
        let answer = self.send("GetSecretValue", json!({"SecretId": name})).await.attempting(attempted)?;
        let value = answer["SecretString"].as_str().map(Into::into);
        value.ok_or_else(|| Error::new(attempted(), "its value is binary"))
    }

    /// Sets the value of a secret, which is made when it does not exist.
    ///
    /// # Errors
    /// When Secrets Manager refuses.
    pub async fn write(&self, name: &str, value: &str) -> Result<()> {
        let create = json!({"Name": name, "SecretString": value, "ClientRequestToken": Uuid::new_v4()});
        let written = match self.send("CreateSecret", create).await {
            Err(refused) if refused.code == "ResourceExistsException" => self.put(name, value).await,
            other => other.map(drop),
        };
        written.attempting(|| format!("write secret {name}"))
    }

    /// Schedules a secret for deletion, with the recovery window that is declared for it.
    ///
    /// # Errors
    /// When Secrets Manager refuses.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let window = self.setup().secrets.get(name).and_then(|secret| secret.window).filter(|days| *days > 0);
        let body = json!({"SecretId": name, "RecoveryWindowInDays": window});
        self.send("DeleteSecret", body).await.map(drop).attempting(|| format!("delete secret {name}"))
    }

    async fn send(&self, action: &str, body: Value) -> Reply {
        let broken = |e: String| Refused { code: "no answer".into(), message: e };
        let (host, target) = (self.host("secretsmanager"), format!("secretsmanager.{action}"));
        let signed = self.administrator.credentials.request(&host, &self.region, Some(&target), body.to_string());
        let request = signed.map_err(|e| broken(e.to_string()))?;
        let response = secretsmanager::answer(self, &request).response;
        let success = response.status().is_success();
        let bytes = response.into_body().collect().await.map_err(|e| broken(e.to_string()))?.to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        let text = |member: &str| answer[member].as_str().unwrap_or_default().to_owned();
        if success { Ok(answer) } else { Err(Refused { code: text("__type"), message: text("Message") }) }
    }
}
