//! A declared set-up with its references resolved: what a request is held against.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::{
    declared::{Declared, Provider, SecretPolicy},
    policy::{IdentityPolicy, ResourcePolicy, TrustPolicy},
};
use crate::{
    Attempt, Error, Result,
    check::{Check, made},
    seed,
};

/// What IAM of an account holds, and what secrets it shall have.
#[derive(Debug, Default)]
pub struct Setup {
    providers: Vec<Provider>,
    roles: HashMap<String, Role>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
}

/// A role with its policies.
#[derive(Debug)]
pub struct Role {
    /// Who may assume it.
    pub trust: TrustPolicy,
    /// Longest session, in seconds.
    pub longest: i64,
    policies: Vec<IdentityPolicy>,
    /// The policy `AWSDenyAll` that is attached to identities that shall do nothing any more.
    disabled: Option<IdentityPolicy>,
}

/// A secret that shall exist.
#[derive(Debug)]
pub struct Secret {
    /// Description.
    pub description: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Days between deletion and oblivion, as the platform's routine deletion asks for.
    pub window: Option<u8>,
    /// Policy, as written.
    pub policy: Option<String>,
    /// `${value:<name>}`.
    pub value: Option<String>,
}

impl Setup {
    /// Resolves the references of a declared set-up.
    ///
    /// # Errors
    /// When one leads nowhere.
    pub fn new(declared: Declared, account: &str) -> Result<Self> {
        let refused = |why: String| Error::new("use the declared set-up of aws", why);
        let mut roles: HashMap<String, Role> = declared
            .aws_iam_role
            .into_values()
            .map(|role| {
                let (trust, longest) = (role.assume_role_policy, role.max_session_duration);
                (role.name, Role { trust, longest, policies: Vec::new(), disabled: None })
            })
            .collect();
        let nowhere = |role: &str| refused(format!("a policy is attached to the role {role}, which is not declared"));
        for attachment in declared.aws_iam_role_policy_attachment.into_values() {
            let role = roles.get_mut(&attachment.role).ok_or_else(|| nowhere(&attachment.role))?;
            let own = attachment.policy_arn.strip_prefix(&format!("arn:aws:iam::{account}:policy/"));
            let own = own.and_then(|name| declared.aws_iam_policy.values().find(|p| p.name == name));
            match (own, attachment.policy_arn.as_str()) {
                (Some(own), _) => role.policies.push(own.policy.clone()),
                (None, "arn:aws:iam::aws:policy/AWSDenyAll") => role.disabled = Some(everything("Deny")?),
                (None, "arn:aws:iam::aws:policy/AdministratorAccess") => role.policies.push(administrator()?),
                (None, other) => return Err(refused(format!("the policy {other} is not declared"))),
            }
        }
        for own in declared.aws_iam_role_policy.into_values() {
            roles.get_mut(&own.role).ok_or_else(|| nowhere(&own.role))?.policies.push(own.policy);
        }
        let mut secrets: BTreeMap<String, Secret> = declared
            .aws_secretsmanager_secret
            .into_values()
            .map(|secret| {
                let (description, tags, window) = (secret.description, secret.tags, secret.recovery_window_in_days);
                (secret.name, Secret { description, tags, window, policy: None, value: None })
            })
            .collect();
        for version in declared.aws_secretsmanager_secret_version.into_values() {
            let secret = secrets.get_mut(&version.secret_id);
            let missing =
                || refused(format!("a value is given to the secret {}, which is not declared", version.secret_id));
            secret.ok_or_else(missing)?.value = Some(version.secret_string);
        }
        for SecretPolicy { secret_arn, policy } in declared.aws_secretsmanager_secret_policy.into_values() {
            let name = secret_arn.rsplit_once(":secret:").map_or(secret_arn.as_str(), |(_, name)| name);
            let secret = secrets.get_mut(name);
            let missing = || refused(format!("a policy is put on the secret {name}, which is not declared"));
            let secret = secret.ok_or_else(missing)?;
            serde_json::from_value::<ResourcePolicy>(policy.clone())
                .attempting(|| format!("read the policy of the secret {name}"))?;
            secret.policy = Some(policy.to_string());
        }
        let providers = declared.aws_iam_openid_connect_provider.into_values().collect();
        Ok(Self { providers, roles, secrets })
    }

    /// The provider that is registered for an issuer.
    pub fn provider(&self, issuer: &str) -> Option<&Provider> {
        let registered = self.providers.iter().find(|p| p.name() == issuer.trim_start_matches("https://"));
        match registered {
            None if !made(Check::Issuer) || !made(Check::World) => self.providers.first(),
            found => found,
        }
    }

    /// A role by name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// The secrets' values, from the run's values by name.
    ///
    /// # Errors
    /// When a value is not supplied.
    pub fn values(&self, values: &BTreeMap<String, String>) -> Result<BTreeMap<&str, String>> {
        let valued = self.secrets.iter().filter_map(|(name, secret)| Some((name, secret.value.as_ref()?)));
        valued.map(|(name, reference)| Ok((name.as_str(), seed::value(reference, name, values)?))).collect()
    }
}

impl Provider {
    /// URL without `https://`, as IAM names a provider.
    pub fn name(&self) -> &str {
        self.url.trim_start_matches("https://")
    }
}

impl Role {
    /// Its policies.
    pub fn policies(&self) -> impl Iterator<Item = &IdentityPolicy> {
        self.policies.iter().chain(self.disabled.as_ref().filter(|_| made(Check::Disabled)))
    }
}

/// AWS's own policy `AdministratorAccess`.
pub fn administrator() -> Result<IdentityPolicy> {
    everything("Allow")
}

fn everything(effect: &str) -> Result<IdentityPolicy> {
    let policy = json!({"Version": "2012-10-17", "Statement": {"Effect": effect, "Action": "*", "Resource": "*"}});
    serde_json::from_value(policy).attempting(|| "make a policy on everything".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(text: &str) -> Result<Setup> {
        Setup::new(serde_yaml::from_str(text).unwrap(), "111122223333")
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_refused() {
        let role = "aws_iam_role: {r: {name: r, assume_role_policy: {Statement: []}}}\n";
        for text in [
            "aws_iam_role_policy_attachment: {a: {role: r, policy_arn: 'arn:aws:iam::aws:policy/AWSDenyAll'}}",
            "aws_iam_role_policy: {a: {name: p, role: r, policy: {Statement: []}}}",
            "aws_secretsmanager_secret_version: {a: {secret_id: s, secret_string: '${value:x}'}}",
            "aws_secretsmanager_secret_policy: {a: {secret_arn: s, policy: {Statement: []}}}",
            &format!(
                "{role}aws_iam_role_policy_attachment: {{a: {{role: r, policy_arn: 'arn:aws:iam::aws:policy/IAMFullAccess'}}}}"
            ),
            &format!(
                "{role}aws_iam_role_policy_attachment: {{a: {{role: r, policy_arn: 'arn:aws:iam::111122223333:policy/p'}}}}"
            ),
        ] {
            assert!(setup(text).is_err(), "{text}");
        }
        let denied = format!(
            "{role}aws_iam_role_policy_attachment: {{a: {{role: r, policy_arn: 'arn:aws:iam::aws:policy/AWSDenyAll'}}}}"
        );
        assert_eq!(setup(&denied).unwrap().role("r").unwrap().policies().count(), 1);
    }
}
