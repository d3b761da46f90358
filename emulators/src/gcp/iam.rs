//! IAM as far as secrets need it: roles, members and conditions of allow policies.

use serde::Deserialize;

use crate::check::{Check, made};

/// Permissions that service-account roles give.
pub(crate) const GET_ACCESS_TOKEN: &str = "iam.serviceAccounts.getAccessToken";
pub(crate) const IMPLICIT_DELEGATION: &str = "iam.serviceAccounts.implicitDelegation";

/// Predefined roles and the permissions that are evaluated here.
const ROLES: &[(&str, &[&str])] = &[
    ("roles/iam.serviceAccountTokenCreator", &[GET_ACCESS_TOKEN, IMPLICIT_DELEGATION]),
    ("roles/iam.workloadIdentityUser", &[GET_ACCESS_TOKEN]),
    (
        "roles/secretmanager.admin",
        &[
            "secretmanager.secrets.create",
            "secretmanager.secrets.delete",
            "secretmanager.secrets.get",
            "secretmanager.secrets.getIamPolicy",
            "secretmanager.secrets.list",
            "secretmanager.secrets.setIamPolicy",
            "secretmanager.secrets.update",
            "secretmanager.versions.access",
            "secretmanager.versions.add",
            "secretmanager.versions.destroy",
            "secretmanager.versions.disable",
            "secretmanager.versions.enable",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
        ],
    ),
    ("roles/secretmanager.secretAccessor", &["secretmanager.versions.access"]),
    ("roles/secretmanager.secretVersionAdder", &["secretmanager.versions.add"]),
    (
        "roles/secretmanager.secretVersionManager",
        &[
            "secretmanager.versions.add",
            "secretmanager.versions.destroy",
            "secretmanager.versions.disable",
            "secretmanager.versions.enable",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
        ],
    ),
    (
        "roles/secretmanager.viewer",
        &[
            "secretmanager.secrets.get",
            "secretmanager.secrets.getIamPolicy",
            "secretmanager.secrets.list",
            "secretmanager.versions.get",
            "secretmanager.versions.list",
        ],
    ),
];

/// Why a binding is none that is evaluated here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Not one of the predefined roles above.
    #[error("role {0} is not evaluated here")]
    Role(String),
    /// Neither a service account nor a Kubernetes service account of a workload identity pool.
    #[error("member {0} is not evaluated here")]
    Member(String),
    /// Not of the one form that is evaluated.
    #[error("condition {0} is not evaluated here; what is: resource.name.startsWith(\"…\")")]
    Condition(String),
}

/// A predefined role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Role(&'static (&'static str, &'static [&'static str]));

impl Role {
    /// `roles/…`.
    pub fn name(&self) -> &'static str {
        self.0.0
    }

    /// Whether it gives a permission.
    pub fn gives(&self, permission: &str) -> bool {
        self.0.1.contains(&permission)
    }
}

impl TryFrom<String> for Role {
    type Error = Unread;

    fn try_from(name: String) -> Result<Self, Unread> {
        ROLES.iter().find(|role| role.0 == name).map(Role).ok_or(Unread::Role(name))
    }
}

/// A Kubernetes service account of a workload identity pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Pool: `<project>.svc.id.goog`.
    pub pool: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}/{}]", self.pool, self.namespace, self.name)
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Whoever manages this project; only the control interface tells its credential.
    Administrator,
    /// A service account, by its email address.
    Account(String),
    /// A Kubernetes service account with a federated token.
    Workload(Workload),
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Administrator => f.write_str("administrator"),
            Self::Account(email) => f.write_str(email),
            Self::Workload(workload) => workload.fmt(f),
        }
    }
}

/// Whom a binding is for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Member {
    text: String,
    principal: Principal,
}

impl Member {
    /// As policies write it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is this principal.
    pub fn is(&self, principal: &Principal) -> bool {
        match (&self.principal, principal) {
            (Principal::Workload(bound), Principal::Workload(caller)) => {
                bound.pool == caller.pool
                    && (bound.namespace == caller.namespace || !made(Check::Namespace))
                    && (bound.name == caller.name || !made(Check::Name))
            }
            (bound, caller) => bound == caller,
        }
    }
}

impl TryFrom<String> for Member {
    type Error = Unread;

    fn try_from(text: String) -> Result<Self, Unread> {
        match principal(&text) {
            Some(principal) => Ok(Self { text, principal }),
            None => Err(Unread::Member(text)),
        }
    }
}

fn principal(text: &str) -> Option<Principal> {
    let workload = |pool: &str, namespace: &str, name: &str| {
        let plain = |part: &str| !part.is_empty() && !part.contains(['/', '[', ']']);
        (pool.ends_with(".svc.id.goog") && plain(namespace) && plain(name)).then(|| {
            let [pool, namespace, name] = [pool, namespace, name].map(str::to_owned);
            Principal::Workload(Workload { pool, namespace, name })
        })
    };
    // The project's number is not compared: a pool's name has the project's id in it and is the only one of its kind.
    if let Some(rest) = text.strip_prefix("principal://iam.googleapis.com/projects/") {
        let (_, rest) = rest.split_once("/locations/global/workloadIdentityPools/")?;
        let (pool, rest) = rest.split_once("/subject/ns/")?;
        let (namespace, name) = rest.split_once("/sa/")?;
        return workload(pool, namespace, name);
    }
    let account = text.strip_prefix("serviceAccount:")?;
    match account.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        Some((pool, subject)) => subject.split_once('/').and_then(|(namespace, name)| workload(pool, namespace, name)),
        None => account
            .split_once('@')
            .filter(|(user, domain)| !user.is_empty() && domain.ends_with(".gserviceaccount.com"))
            .map(|_| Principal::Account(account.to_owned())),
    }
}

/// An IAM condition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Expression")]
pub struct Condition {
    /// As it was written.
    pub expression: Expression,
    /// What the name of the resource must begin with.
    prefix: String,
}

/// A condition as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// Title.
    pub title: String,
    /// Description.
    #[serde(default)]
    pub description: String,
    /// Expression in the Common Expression Language.
    pub expression: String,
}

impl TryFrom<Expression> for Condition {
    type Error = Unread;

    fn try_from(written: Expression) -> Result<Self, Unread> {
        let prefix = written
            .expression
            .trim()
            .strip_prefix("resource.name.startsWith(\"")
            .and_then(|rest| rest.strip_suffix("\")"))
            // A quote or an escape would end the text or mean another one.
            .filter(|prefix| !prefix.is_empty() && !prefix.contains(['"', '\\']))
            .map(str::to_owned);
        match prefix {
            Some(prefix) => Ok(Self { expression: written, prefix }),
            None => Err(Unread::Condition(written.expression)),
        }
    }
}

/// A role for a member, on whatever the policy belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Role.
    pub role: Role,
    /// Member.
    pub member: Member,
    /// When it counts.
    pub condition: Option<Condition>,
}

impl Binding {
    /// Whether it gives the principal the permission on anything.
    pub fn gives(&self, permission: &str, principal: &Principal) -> bool {
        self.role.gives(permission) && self.member.is(principal)
    }

    /// Whether it counts for a resource.
    pub fn covers(&self, resource: &str) -> bool {
        self.condition.as_ref().is_none_or(|c| resource.starts_with(&c.prefix))
    }
}

/// Whether the administrator has a permission.
pub(crate) fn administers(permission: &str) -> bool {
    ROLES.iter().any(|(name, permissions)| *name == "roles/secretmanager.admin" && permissions.contains(&permission))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POOL: &str = "p.svc.id.goog";

    fn workload(namespace: &str, name: &str) -> Principal {
        Principal::Workload(Workload { pool: POOL.into(), namespace: namespace.into(), name: name.into() })
    }

    #[test]
    fn members_are_read() {
        let member = |text: &str| Member::try_from(text.to_owned());
        assert!(member("serviceAccount:p.svc.id.goog[ns/sa]").unwrap().is(&workload("ns", "sa")));
        let principal = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p.svc.id.goog/subject/ns/ns/sa/sa";
        assert!(member(principal).unwrap().is(&workload("ns", "sa")));
        assert!(!member(principal).unwrap().is(&workload("ns", "other")));
        assert!(!member(principal).unwrap().is(&workload("other", "sa")));
        let email = "a@p.iam.gserviceaccount.com";
        assert!(member(&format!("serviceAccount:{email}")).unwrap().is(&Principal::Account(email.into())));
        for text in [
            "",
            "allUsers",
            "user:a@example.com",
            "serviceAccount:",
            "serviceAccount:@p.iam.gserviceaccount.com",
            "serviceAccount:p.svc.id.goog[ns]",
            "serviceAccount:p.svc.id.goog[ns/sa/x]",
            "serviceAccount:p.svc.id.goog[/]",
            "serviceAccount:example.com[ns/sa]",
            "principal://iam.googleapis.com/projects/1",
        ] {
            assert_eq!(member(text), Err(Unread::Member(text.into())));
        }
    }

    #[test]
    fn only_the_one_form_of_condition_is_read() {
        let condition = |expression: &str| {
            Condition::try_from(Expression { expression: expression.into(), ..Expression::default() })
        };
        let read = condition("resource.name.startsWith(\"projects/1/secrets/a\")").unwrap();
        assert_eq!(read.prefix, "projects/1/secrets/a");
        for text in [
            "",
            "true",
            "resource.name.startsWith(\"\")",
            "resource.name.startsWith(\"a\") || true",
            "resource.name.startsWith(\"a\") || resource.name.startsWith(\"b\")",
            "!resource.name.startsWith(\"a\")",
            "resource.name.endsWith(\"a\")",
        ] {
            assert!(condition(text).is_err(), "{text}");
        }
    }

    #[test]
    fn roles_give_what_they_are_documented_to_give() {
        let role = |name: &str| Role::try_from(name.to_owned());
        assert!(role("roles/secretmanager.secretAccessor").unwrap().gives("secretmanager.versions.access"));
        assert!(!role("roles/secretmanager.secretAccessor").unwrap().gives("secretmanager.versions.get"));
        assert!(!role("roles/secretmanager.viewer").unwrap().gives("secretmanager.versions.access"));
        assert!(!role("roles/secretmanager.secretVersionManager").unwrap().gives("secretmanager.versions.access"));
        assert_eq!(role("roles/owner"), Err(Unread::Role("roles/owner".into())));
        assert!(administers("secretmanager.versions.access") && !administers(GET_ACCESS_TOKEN));
    }

    proptest! {
        #[test]
        fn no_member_but_the_right_one_is_the_caller(text in "\\PC{0,80}") {
            if let Ok(member) = Member::try_from(text.clone()) {
                prop_assert!(!member.is(&Principal::Administrator));
                prop_assert!(!member.is(&workload("ns", "sa")) || text.contains("ns"));
            }
        }
    }
}
