//! Policy evaluation: explicit deny, then allow, else an implicit deny; wildcards in actions and resources.
//!
//! Elements that are not evaluated here are refused when a policy is read, so that none is silently ignored.

use serde::Deserialize;
use std::{collections::BTreeMap, fmt};

/// One string or a list of them, as policy documents allow.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Many.
    Many(Vec<String>),
}

impl fmt::Display for OneOrMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => f.write_str(text),
            Self::Many(texts) => f.write_str(&texts.join(" or ")),
        }
    }
}

impl OneOrMany {
    fn any(&self, accepts: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(text) => accepts(text),
            Self::Many(texts) => texts.iter().any(|t| accepts(t)),
        }
    }
}

/// `Effect` of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Effect {
    /// Permits.
    Allow,
    /// Forbids, whatever permits.
    Deny,
}

/// An identity policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Document {
    /// Language version.
    pub version: String,
    /// Statements.
    pub statement: Vec<Statement>,
}

/// A statement of an identity policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Statement {
    /// Name, for people.
    pub sid: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// Actions, with wildcards.
    pub action: OneOrMany,
    /// Resource ARNs, with wildcards.
    pub resource: OneOrMany,
}

/// A trust policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TrustDocument {
    /// Language version.
    pub version: String,
    /// Statements.
    pub statement: Vec<TrustStatement>,
}

/// A statement of a trust policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TrustStatement {
    /// Name, for people.
    pub sid: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// Who.
    pub principal: Principal,
    /// Actions.
    pub action: OneOrMany,
    /// Operator → key → values.
    #[serde(default)]
    pub condition: BTreeMap<Operator, BTreeMap<String, OneOrMany>>,
}

/// `Principal` of a trust policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Principal {
    /// ARNs of identity providers.
    pub federated: OneOrMany,
}

/// Condition operators that are evaluated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Operator {
    /// Equal, with case.
    StringEquals,
    /// Equal with wildcards, with case.
    StringLike,
}

/// What a policy decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Permitted.
    Allowed,
    /// A statement forbids it.
    ExplicitDeny,
    /// No statement permits it.
    ImplicitDeny,
}

/// Evaluates identity policies for one action on one resource.
pub fn evaluate<'a>(policies: impl IntoIterator<Item = &'a Document>, action: &str, resource: &str) -> Decision {
    let effects = policies
        .into_iter()
        .flat_map(|p| &p.statement)
        .filter(|s| s.action.any(|a| like(&a.to_lowercase(), &action.to_lowercase())))
        .filter(|s| s.resource.any(|r| like(r, resource)))
        .map(|s| s.effect);
    decide(effects)
}

/// Evaluates a trust policy for `sts:AssumeRoleWithWebIdentity`. `keys` are the condition keys of the request.
pub fn trusts(policy: &TrustDocument, provider: &str, keys: &BTreeMap<String, String>) -> Decision {
    let effects = policy
        .statement
        .iter()
        .filter(|s| s.action.any(|a| like(&a.to_lowercase(), "sts:assumerolewithwebidentity")))
        .filter(|s| s.principal.federated.any(|arn| arn == provider))
        .filter(|s| {
            s.condition
                .iter()
                .all(|(operator, tests)| tests.iter().all(|(key, wanted)| holds(*operator, keys.get(key), wanted)))
        })
        .map(|s| s.effect);
    decide(effects)
}

/// The first condition of a trust policy that the request does not meet, in words for the journal.
pub fn unmet(policy: &TrustDocument, provider: &str, keys: &BTreeMap<String, String>) -> String {
    for statement in &policy.statement {
        if !statement.principal.federated.any(|arn| arn == provider) {
            continue;
        }
        for (operator, tests) in &statement.condition {
            for (key, wanted) in tests {
                if !holds(*operator, keys.get(key), wanted) {
                    let seen = keys.get(key).map_or("nothing", String::as_str);
                    return format!(
                        "the trust policy wants {key} to be {wanted} ({operator:?}), and the token has {seen}"
                    );
                }
            }
        }
    }
    format!("no statement of the trust policy allows {provider}")
}

fn holds(operator: Operator, seen: Option<&String>, wanted: &OneOrMany) -> bool {
    seen.is_some_and(|seen| match operator {
        Operator::StringEquals => wanted.any(|w| w == seen),
        Operator::StringLike => wanted.any(|w| like(w, seen)),
    })
}

fn decide(effects: impl Iterator<Item = Effect>) -> Decision {
    effects.fold(Decision::ImplicitDeny, |decision, effect| match (decision, effect) {
        (Decision::ExplicitDeny, _) | (_, Effect::Deny) => Decision::ExplicitDeny,
        _ => Decision::Allowed,
    })
}

/// Wildcard match: `*` is any text, `?` any one character.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Document {
        serde_yaml::from_str(text).unwrap()
    }

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:111122223333:secret:app-AbCdEf";

    #[test]
    fn allow_deny_and_nothing() {
        let allow = policy(
            "{Version: '2012-10-17', Statement: [{Effect: Allow, Action: 'secretsmanager:Get*', Resource: 'arn:aws:secretsmanager:*:111122223333:secret:app-??????'}]}",
        );
        let deny = policy("{Version: '2012-10-17', Statement: [{Effect: Deny, Action: '*', Resource: '*'}]}");
        let get = "secretsmanager:GetSecretValue";
        assert_eq!(evaluate([&allow], get, ARN), Decision::Allowed);
        assert_eq!(evaluate([&allow, &deny], get, ARN), Decision::ExplicitDeny);
        assert_eq!(evaluate([&deny, &allow], get, ARN), Decision::ExplicitDeny);
        assert_eq!(evaluate([&allow], "secretsmanager:PutSecretValue", ARN), Decision::ImplicitDeny);
        assert_eq!(
            evaluate([&allow], get, "arn:aws:secretsmanager:us-east-1:111122223333:secret:application-AbCdEf"),
            Decision::ImplicitDeny
        );
        assert_eq!(evaluate([], get, ARN), Decision::ImplicitDeny);
    }

    #[test]
    fn an_element_that_is_not_evaluated_is_refused() {
        let text = "{Version: '2012-10-17', Statement: [{Effect: Allow, Action: '*', Resource: '*', Condition: {}}]}";
        assert!(serde_yaml::from_str::<Document>(text).is_err());
    }

    #[test]
    fn trust_needs_every_condition() {
        let policy: TrustDocument = serde_yaml::from_str(
            "{Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Federated: P}, Action: 'sts:AssumeRoleWithWebIdentity', \
             Condition: {StringEquals: {'i:aud': sts.amazonaws.com}, StringLike: {'i:sub': 'system:serviceaccount:ns:*'}}}]}",
        )
        .unwrap();
        let keys = |aud: &str, sub: &str| {
            BTreeMap::from([("i:aud".to_owned(), aud.to_owned()), ("i:sub".to_owned(), sub.to_owned())])
        };
        let good = keys("sts.amazonaws.com", "system:serviceaccount:ns:app");
        assert_eq!(trusts(&policy, "P", &good), Decision::Allowed);
        assert_eq!(trusts(&policy, "Q", &good), Decision::ImplicitDeny);
        assert_eq!(trusts(&policy, "P", &keys("other", "system:serviceaccount:ns:app")), Decision::ImplicitDeny);
        let elsewhere = keys("sts.amazonaws.com", "system:serviceaccount:other:app");
        assert_eq!(trusts(&policy, "P", &elsewhere), Decision::ImplicitDeny);
        assert!(unmet(&policy, "P", &elsewhere).contains("i:sub"));
    }

    #[test]
    fn wildcards() {
        assert!(like("*", ""));
        assert!(like("a*c", "abbc") && !like("a*c", "abbd"));
        assert!(like("a?c", "abc") && !like("a?c", "ac"));
    }
}
