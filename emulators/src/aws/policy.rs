//! Policy documents of IAM, as they are written.
//!
//! An element that is not evaluated here (`NotAction`, `NotResource`, `NotPrincipal`, policy variables, unknown
//! condition operators and keys) is refused when a policy is read, so that none is silently ignored.

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

use super::condition::Condition;

/// `Effect` of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Effect {
    /// Permits.
    Allow,
    /// Forbids, whatever permits.
    Deny,
}

/// `Principal` of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// `*`, account ids, and ARNs of accounts, roles, sessions and users.
    pub aws: Vec<String>,
    /// ARNs of identity providers.
    pub federated: Vec<String>,
    /// AWS's own services, none of which ever calls here.
    pub service: Vec<String>,
}

/// A statement of any kind of policy.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it does.
    pub effect: Effect,
    /// Whom it is about. Nobody in an identity policy, which is about whoever has it.
    pub principal: Principal,
    /// Actions in lower case, with wildcards.
    pub actions: Vec<String>,
    /// Resource ARNs, with wildcards. Just `*` in a trust policy, which is about the role that has it.
    pub resources: Vec<String>,
    /// When it counts.
    pub condition: Condition,
}

/// What a role or a user may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct IdentityPolicy(pub Vec<Statement>);

/// Who may assume a role.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct TrustPolicy(pub Vec<Statement>);

/// Who may do what with a resource, on the resource itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct ResourcePolicy(pub Vec<Statement>);

/// A document as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Written {
    #[serde(default)]
    version: Option<String>,
    #[serde(default, rename = "Id")]
    _id: Option<String>,
    #[serde(deserialize_with = "one_or_many")]
    statement: Vec<WrittenStatement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WrittenStatement {
    #[serde(default, rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    #[serde(default)]
    principal: Option<Principal>,
    #[serde(deserialize_with = "one_or_many")]
    action: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    resource: Vec<String>,
    #[serde(default)]
    condition: Condition,
}

impl TryFrom<Written> for IdentityPolicy {
    type Error = String;

    fn try_from(document: Written) -> Result<Self, String> {
        document.statements(false, true).map(Self)
    }
}

impl TryFrom<Written> for TrustPolicy {
    type Error = String;

    fn try_from(document: Written) -> Result<Self, String> {
        document.statements(true, false).map(Self)
    }
}

impl TryFrom<Written> for ResourcePolicy {
    type Error = String;

    fn try_from(document: Written) -> Result<Self, String> {
        document.statements(true, true).map(Self)
    }
}

impl Written {
    fn statements(self, principals: bool, resources: bool) -> Result<Vec<Statement>, String> {
        if let Some(version) = self.version.filter(|v| v != "2012-10-17" && v != "2008-10-17") {
            return Err(format!("there is no policy language of version {version}"));
        }
        let kind = |has: bool, wanted: bool, what: &str| match (has, wanted) {
            (true, false) => Err(format!("a policy of this kind has no {what}")),
            (false, true) => Err(format!("a policy of this kind needs a {what} in every statement")),
            _ => Ok(()),
        };
        self.statement
            .into_iter()
            .map(|s| {
                kind(s.principal.is_some(), principals, "Principal")?;
                kind(!s.resource.is_empty(), resources, "Resource")?;
                if let Some(action) = s.action.iter().find(|a| *a != "*" && !a.contains(':')) {
                    return Err(format!("{action} is no action of a service"));
                }
                if let Some(resource) = s.resource.iter().find(|r| r.contains("${")) {
                    return Err(format!("policy variables, as in {resource}, are not evaluated here"));
                }
                Ok(Statement {
                    effect: s.effect,
                    principal: s.principal.unwrap_or_default(),
                    actions: s.action.iter().map(|a| a.to_lowercase()).collect(),
                    resources: if resources { s.resource } else { vec!["*".into()] },
                    condition: s.condition,
                })
            })
            .collect()
    }
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[derive(Default)]
        struct Named {
            #[serde(rename = "AWS", deserialize_with = "one_or_many")]
            aws: Vec<String>,
            #[serde(rename = "Federated", deserialize_with = "one_or_many")]
            federated: Vec<String>,
            #[serde(rename = "Service", deserialize_with = "one_or_many")]
            service: Vec<String>,
        }
        let named: Named = match Value::deserialize(from)? {
            Value::String(text) if text == "*" => Named { aws: vec![text], ..Named::default() },
            other => serde_json::from_value(other).map_err(D::Error::custom)?,
        };
        if let Some(wrong) = named.aws.iter().find(|p| !is_principal(p)) {
            return Err(D::Error::custom(format!("{wrong} is no account, role, session or user")));
        }
        Ok(Self { aws: named.aws, federated: named.federated, service: named.service })
    }
}

/// Principals have no wildcards but `*` itself.
fn is_principal(text: &str) -> bool {
    let account = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    if text == "*" || account(text) {
        return true;
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts[..] {
        ["arn", "aws", "iam", "", id, who] => {
            account(id) && !who.contains('*') && (who == "root" || who.starts_with("role/") || who.starts_with("user/"))
        }
        ["arn", "aws", "sts", "", id, who] => account(id) && !who.contains('*') && who.starts_with("assumed-role/"),
        _ => false,
    }
}

/// One value or a list of them, as policy documents allow.
pub(super) fn one_or_many<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Vec<T>, D::Error> {
    let list = match Value::deserialize(from)? {
        Value::Array(list) => list,
        other => vec![other],
    };
    list.into_iter().map(|item| serde_json::from_value(item).map_err(D::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn identity(statement: &Value) -> Result<IdentityPolicy, String> {
        serde_json::from_value(json!({"Version": "2012-10-17", "Statement": statement})).map_err(|e| e.to_string())
    }

    #[test]
    fn one_statement_or_many_one_action_or_many() {
        let one = identity(&json!({"Effect": "Allow", "Action": "secretsmanager:Get*", "Resource": "*"})).unwrap();
        assert_eq!(one.0[0].actions, ["secretsmanager:get*"]);
        let many = identity(&json!([{"Effect": "Deny", "Action": ["*"], "Resource": ["a", "b"]}])).unwrap();
        assert_eq!(many.0[0].resources, ["a", "b"]);
    }

    #[test]
    fn an_element_that_is_not_evaluated_is_refused() {
        for (element, value) in [
            ("NotAction", json!("iam:*")),
            ("NotResource", json!("*")),
            ("NotPrincipal", json!("*")),
            ("Principal", json!("*")),
            ("Condition", json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})),
            ("Condition", json!({"StringEquals": {"aws:PrincipalTag/team": "a"}})),
            ("Condition", json!({"StringEquals": {"aws:PrincipalArn": "${aws:username}"}})),
            ("Condition", json!({"DateLessThan": {"aws:TokenIssueTime": "soon"}})),
            ("Condition", json!({"StringEquals": {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"}})),
            ("Action", json!("Get*")),
            ("Resource", json!("arn:aws:secretsmanager:us-east-1:111122223333:secret:${aws:username}-*")),
        ] {
            let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
            statement[element] = value.clone();
            assert!(identity(&statement).is_err(), "{element}: {value}");
        }
        let old = json!({"Version": "2020-01-01", "Statement": []});
        assert!(serde_json::from_value::<IdentityPolicy>(old).is_err());
    }

    #[test]
    fn principals_are_named_whole() {
        let principal = |value: Value| serde_json::from_value::<Principal>(value);
        assert_eq!(principal(json!("*")).unwrap().aws, ["*"]);
        for good in ["*", "111122223333", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:role/a/b"] {
            assert!(principal(json!({"AWS": good})).is_ok(), "{good}");
        }
        for wrong in ["", "role", "11112222333", "arn:aws:iam::111122223333:role/*", "arn:aws:iam::1:root"] {
            assert!(principal(json!({"AWS": wrong})).is_err(), "{wrong}");
        }
        assert!(principal(json!({"CanonicalUser": "x"})).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,200}") {
            let _ = serde_json::from_str::<ResourcePolicy>(&text);
            let _ = serde_json::from_value::<Principal>(json!({"AWS": text}));
            let _ = identity(&json!({"Effect": "Allow", "Action": text, "Resource": "*"}));
        }
    }
}
