//! The set-up of an AWS account as a platform's infrastructure code declares it: resource types and attributes have
//! the names of the Terraform AWS provider, policies are the JSON documents themselves, written in YAML.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::policy::{IdentityPolicy, TrustPolicy};

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
    /// Which role has which managed policy.
    pub aws_iam_role_policy_attachment: BTreeMap<String, Attachment>,
    /// Policies that are a role's own.
    pub aws_iam_role_policy: BTreeMap<String, RolePolicy>,
    /// Secrets, without values.
    pub aws_secretsmanager_secret: BTreeMap<String, Secret>,
    /// Policies on secrets.
    pub aws_secretsmanager_secret_policy: BTreeMap<String, SecretPolicy>,
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
    pub assume_role_policy: TrustPolicy,
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
    pub policy: IdentityPolicy,
}

/// A managed policy on a role.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Role name.
    pub role: String,
    /// ARN of the policy.
    pub policy_arn: String,
}

/// A policy of one role.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolePolicy {
    /// Name.
    pub name: String,
    /// Role name.
    pub role: String,
    /// The policy.
    pub policy: IdentityPolicy,
}

/// A secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Name.
    pub name: String,
    /// Description.
    #[serde(default)]
    pub description: Option<String>,
    /// Days between deletion and oblivion, 7 to 30.
    #[serde(default)]
    pub recovery_window_in_days: Option<u8>,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// The policy of a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretPolicy {
    /// Name of the secret, or its ARN with or without the random end.
    pub secret_arn: String,
    /// The policy, which the secret keeps as it is written.
    pub policy: Value,
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
