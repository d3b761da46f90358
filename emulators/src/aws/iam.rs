//! What policies decide: an explicit deny, then an allow, else an implicit deny.

use super::{
    condition::{Context, like},
    policy::{Effect, IdentityPolicy, Principal, ResourcePolicy, Statement, TrustPolicy},
};
use crate::check::{Check, made};

/// Who calls, by all the names that a policy can have for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Who<'a> {
    /// Account id.
    pub account: &'a str,
    /// ARN of the role or user.
    pub principal: &'a str,
    /// ARN of the role's session.
    pub session: Option<&'a str>,
    /// ARN of the identity provider that vouches for the caller.
    pub provider: Option<&'a str>,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Action, for example `secretsmanager:GetSecretValue`.
    pub action: &'a str,
    /// ARN of the resource, or `*`.
    pub resource: &'a str,
    /// What conditions look at.
    pub context: Context<'a>,
}

/// What policies of one kind decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement permits it.
    Allowed,
    /// The account is permitted to permit it: a policy of the caller's own must do so too.
    Delegated,
    /// A statement forbids it.
    ExplicitDeny,
    /// No statement permits it.
    ImplicitDeny,
}

/// How a statement names somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Directly,
    ByAccount,
}

/// Evaluates the policies of a caller.
pub fn identity<'a>(policies: impl IntoIterator<Item = &'a IdentityPolicy>, wish: &Wish<'_>) -> Decision {
    let action = wish.action.to_ascii_lowercase();
    let (mut at_all, mut this) = (false, false);
    for statement in policies.into_iter().flat_map(|policy| &policy.0).filter(|s| s.is_about(&action, &wish.context)) {
        let covers = statement.covers(wish.resource);
        match statement.effect {
            Effect::Deny if covers => return Decision::ExplicitDeny,
            Effect::Deny => {}
            Effect::Allow => {
                at_all = true;
                this |= covers || !made(Check::Resource);
            }
        }
    }
    if this || (!at_all && !made(Check::Permission)) { Decision::Allowed } else { Decision::ImplicitDeny }
}

/// Evaluates the policy of a resource.
pub fn resource(policy: &ResourcePolicy, who: &Who<'_>, wish: &Wish<'_>) -> Decision {
    decide(policy.0.iter().filter_map(|s| Some((s, s.principal.names(who)?))), wish)
}

/// Evaluates the trust policy of a role.
pub fn trust(policy: &TrustPolicy, who: &Who<'_>, wish: &Wish<'_>) -> Decision {
    let bound = |s: &Statement| s.principal.names(who).or((!made(Check::Binding)).then_some(Named::Directly));
    decide(policy.0.iter().filter_map(|s| Some((s, bound(s)?))), wish)
}

/// Why a trust policy does not let somebody in, in words for the journal.
pub fn unmet(policy: &TrustPolicy, who: &Who<'_>, wish: &Wish<'_>) -> String {
    let near = policy.0.iter().filter(|s| s.effect == Effect::Allow && s.principal.names(who).is_some());
    near.filter_map(|s| s.condition.unmet(&wish.context))
        .next()
        .unwrap_or_else(|| format!("no statement allows {} to {}", who.provider.unwrap_or(who.principal), wish.action))
}

fn decide<'a>(statements: impl Iterator<Item = (&'a Statement, Named)>, wish: &Wish<'_>) -> Decision {
    let action = wish.action.to_ascii_lowercase();
    let about = statements.filter(|(s, _)| s.is_about(&action, &wish.context) && s.covers(wish.resource));
    about.fold(Decision::ImplicitDeny, |decision, (statement, named)| match (statement.effect, named, decision) {
        (Effect::Deny, ..) | (.., Decision::ExplicitDeny) => Decision::ExplicitDeny,
        (Effect::Allow, Named::Directly, _) | (.., Decision::Allowed) => Decision::Allowed,
        (Effect::Allow, Named::ByAccount, _) => Decision::Delegated,
    })
}

impl Statement {
    fn is_about(&self, action: &str, context: &Context<'_>) -> bool {
        self.actions.iter().any(|a| like(a, action)) && self.condition.holds(context)
    }

    fn covers(&self, resource: &str) -> bool {
        self.resources.iter().any(|r| like(r, resource))
    }
}

impl Principal {
    fn names(&self, who: &Who<'_>) -> Option<Named> {
        if self.federated.iter().any(|arn| Some(arn.as_str()) == who.provider) {
            return Some(Named::Directly);
        }
        let directly = |p: &String| p == "*" || p == who.principal || Some(p.as_str()) == who.session;
        if !who.principal.is_empty() && self.aws.iter().any(directly) {
            return Some(Named::Directly);
        }
        let root =
            |p: &String| p == who.account || p.strip_prefix("arn:aws:iam::") == Some(&format!("{}:root", who.account));
        (!who.principal.is_empty() && self.aws.iter().any(root)).then_some(Named::ByAccount)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:111122223333:secret:app-AbCdEf";
    const ROLE: &str = "arn:aws:iam::111122223333:role/app";
    const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/app/one";
    const PROVIDER: &str = "arn:aws:iam::111122223333:oidc-provider/issuer.example/id/1";

    fn policy<T: serde::de::DeserializeOwned>(statement: Value) -> T {
        serde_json::from_value(json!({"Version": "2012-10-17", "Statement": statement})).unwrap()
    }

    fn get(resource: &str) -> Wish<'_> {
        Wish { action: "secretsmanager:GetSecretValue", resource, context: Context::default() }
    }

    fn session() -> Who<'static> {
        Who { account: "111122223333", principal: ROLE, session: Some(SESSION), provider: None }
    }

    #[test]
    fn allow_deny_and_nothing() {
        let allow: IdentityPolicy = policy(json!({
            "Effect": "Allow", "Action": "SecretsManager:Get*",
            "Resource": "arn:aws:secretsmanager:*:111122223333:secret:app-??????",
        }));
        let deny: IdentityPolicy = policy(json!({"Effect": "Deny", "Action": "*", "Resource": "*"}));
        assert_eq!(identity([&allow], &get(ARN)), Decision::Allowed);
        assert_eq!(identity([&allow, &deny], &get(ARN)), Decision::ExplicitDeny);
        assert_eq!(identity([&deny, &allow], &get(ARN)), Decision::ExplicitDeny);
        let put = Wish { action: "secretsmanager:PutSecretValue", ..get(ARN) };
        assert_eq!(identity([&allow], &put), Decision::ImplicitDeny);
        let longer = "arn:aws:secretsmanager:us-east-1:111122223333:secret:application-AbCdEf";
        assert_eq!(identity([&allow], &get(longer)), Decision::ImplicitDeny);
        assert_eq!(identity([], &get(ARN)), Decision::ImplicitDeny);
    }

    #[test]
    fn a_deny_elsewhere_is_none_here() {
        let allow: IdentityPolicy = policy(json!({"Effect": "Allow", "Action": "*", "Resource": "*"}));
        let deny: IdentityPolicy = policy(json!({"Effect": "Deny", "Action": "*", "Resource": "arn:other"}));
        assert_eq!(identity([&deny, &allow], &get(ARN)), Decision::Allowed);
    }

    #[test]
    fn a_resource_policy_names_the_role_the_session_everyone_or_the_account() {
        let who = session();
        for (principal, expected) in [
            (json!({"AWS": ROLE}), Decision::Allowed),
            (json!({"AWS": SESSION}), Decision::Allowed),
            (json!("*"), Decision::Allowed),
            (json!({"AWS": "*"}), Decision::Allowed),
            (json!({"AWS": "arn:aws:iam::111122223333:root"}), Decision::Delegated),
            (json!({"AWS": "111122223333"}), Decision::Delegated),
            (json!({"AWS": "arn:aws:iam::111122223333:role/other"}), Decision::ImplicitDeny),
            (json!({"AWS": "arn:aws:sts::111122223333:assumed-role/app/two"}), Decision::ImplicitDeny),
            (json!({"AWS": "444455556666"}), Decision::ImplicitDeny),
            (json!({"Service": "ecs.amazonaws.com"}), Decision::ImplicitDeny),
        ] {
            let statement = |effect: &str| json!({"Effect": effect, "Principal": principal, "Action": "secretsmanager:*", "Resource": "*"});
            assert_eq!(resource(&policy(statement("Allow")), &who, &get(ARN)), expected, "{principal}");
            let denied = resource(&policy(statement("Deny")), &who, &get(ARN));
            assert_eq!(denied == Decision::ExplicitDeny, expected != Decision::ImplicitDeny, "{principal}");
        }
    }

    #[test]
    fn trust_needs_the_provider_and_every_condition() {
        let policy: TrustPolicy = policy(json!({
            "Effect": "Allow", "Principal": {"Federated": PROVIDER}, "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {"issuer.example/id/1:aud": "sts.amazonaws.com"},
                "StringLike": {"issuer.example/id/1:sub": "system:serviceaccount:ns:*"},
            },
        }));
        let decision = |provider: &str, aud: &str, sub: &str| {
            let claims = [("aud", aud), ("sub", sub)]
                .map(|(name, value)| (format!("issuer.example/id/1:{name}"), value.to_owned()));
            let context = Context { claims: &claims, ..Context::default() };
            let wish = Wish { action: "sts:AssumeRoleWithWebIdentity", resource: "arn:role", context };
            let who = Who { account: "111122223333", provider: Some(provider), ..Who::default() };
            (trust(&policy, &who, &wish), unmet(&policy, &who, &wish))
        };
        let good = "system:serviceaccount:ns:app";
        assert_eq!(decision(PROVIDER, "sts.amazonaws.com", good).0, Decision::Allowed);
        assert_eq!(decision("arn:other", "sts.amazonaws.com", good).0, Decision::ImplicitDeny);
        assert_eq!(decision(PROVIDER, "other", good).0, Decision::ImplicitDeny);
        let (elsewhere, why) = decision(PROVIDER, "sts.amazonaws.com", "system:serviceaccount:other:app");
        assert_eq!(elsewhere, Decision::ImplicitDeny);
        assert!(why.contains("issuer.example/id/1:sub"), "{why}");
    }

    #[test]
    fn a_web_identity_is_not_everyone() {
        let policy: TrustPolicy = policy(json!({"Effect": "Allow", "Principal": "*", "Action": "sts:*"}));
        let who = Who { account: "111122223333", provider: Some(PROVIDER), ..Who::default() };
        let wish = Wish { action: "sts:AssumeRoleWithWebIdentity", resource: "arn:role", context: Context::default() };
        assert_eq!(trust(&policy, &who, &wish), Decision::ImplicitDeny);
    }
}
