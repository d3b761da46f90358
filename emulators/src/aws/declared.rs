//! The set-up of an AWS account as a platform's infrastructure code declares it: resource types and attributes have
//! the names of the Terraform AWS provider, policies are the JSON documents themselves, written in YAML.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::iam::{Document, TrustDocument};
use crate::{Result, seed};

/// All resources by type and name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declared {
    /// Registered issuers of web identities.
    pub aws_iam_openid_connect_provider: BTreeMap<String, Provider>,
    /// Roles.
    pub aws_iam_role: BTreeMap<String, Role>,
    /// Managed policies.
    pub aws_iam_policy: BTreeMap<String, Policy>,
    /// Which role has which policy.
    pub aws_iam_role_policy_attachment: BTreeMap<String, Attachment>,
    /// Secrets, without values.
    pub aws_secretsmanager_secret: BTreeMap<String, Secret>,
    /// Values of secrets: never in this file, only the name of a value that the run supplies.
    pub aws_secretsmanager_secret_version: BTreeMap<String, SecretVersion>,
}

/// An IAM OIDC provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Issuer URL.
    pub url: String,
    /// Accepted audiences.
    pub client_id_list: Vec<String>,
}

/// An IAM role.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Name.
    pub name: String,
    /// Trust policy.
    pub assume_role_policy: TrustDocument,
    /// Longest session, in seconds.
    #[serde(default = "hour")]
    pub max_session_duration: i64,
}

/// The default of IAM.
const fn hour() -> i64 {
    3600
}

/// A managed policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Name.
    pub name: String,
    /// The policy.
    pub policy: Document,
}

/// A policy on a role.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Role name.
    pub role: String,
    /// ARN of the policy.
    pub policy_arn: String,
}

/// A secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Name.
    pub name: String,
    /// Days between deletion and oblivion, 7 to 30.
    #[serde(default)]
    pub recovery_window_in_days: Option<u8>,
}

/// The value of a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretVersion {
    /// Name of the secret.
    pub secret_id: String,
    /// `${value:<name>}`: the value of that name that the run supplies.
    pub secret_string: String,
}

impl Declared {
    /// The values of all secrets: secret name → value, from the run's values by name.
    ///
    /// # Errors
    /// When a value is not supplied.
    pub fn secrets(&self, values: &BTreeMap<String, String>) -> Result<Vec<(String, Option<String>)>> {
        self.aws_secretsmanager_secret
            .values()
            .map(|secret| {
                let version = self.aws_secretsmanager_secret_version.values().find(|v| v.secret_id == secret.name);
                let value = version.map(|v| seed::value(&v.secret_string, &secret.name, values)).transpose()?;
                Ok((secret.name.clone(), value))
            })
            .collect()
    }
}
