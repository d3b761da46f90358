//! `AssumeRole` and `GetCallerIdentity`: operations for callers who have credentials.

use super::{
    super::{
        account::Account,
        caller::Caller,
        condition::Context,
        iam::{self, Decision, Wish},
    },
    parameters::Parameters,
    refusal::Refusal,
    xml::Element,
};

const ACTION: &str = "sts:AssumeRole";
/// Longest session of a role that a role assumes, in seconds.
const CHAINED: i64 = 3600;

/// `AssumeRole`: the role must trust the caller; when it trusts the caller's account, the caller's own policies must
/// allow it too.
pub fn assume(account: &Account, caller: &Caller, parameters: &Parameters) -> Result<Element, Refusal> {
    let (arn, name) = (parameters.needed("RoleArn")?, parameters.session_name()?);
    parameters.without(&[
        "Policy",
        "PolicyArns",
        "Tags",
        "TransitiveTagKeys",
        "SerialNumber",
        "TokenCode",
        "SourceIdentity",
        "ProvidedContexts",
    ])?;
    let denied = |reason: String| {
        let message = format!("User: {} is not authorized to perform: {ACTION} on resource: {arn}", caller.arn);
        Refusal::denied(message, reason)
    };
    let setup = account.setup();
    let (role, found) = super::role(account, &setup, arn).ok_or_else(|| denied(format!("there is no role {arn}")))?;
    let (external_id, session_name) = (parameters.get("ExternalId"), Some(name));
    let wish =
        Wish { action: ACTION, resource: arn, context: Context { external_id, session_name, ..caller.context() } };
    let who = caller.who(account);
    match (iam::trust(&found.trust, &who, &wish), caller.may(&setup, &wish)) {
        (_, Decision::ExplicitDeny) => return Err(denied("a policy of the caller denies it".into())),
        (Decision::Allowed, _) | (Decision::Delegated, Decision::Allowed) => {}
        (Decision::Delegated, _) => return Err(denied("no policy of the caller allows it".into())),
        _ => return Err(denied(format!("role {role}: {}", iam::unmet(&found.trust, &who, &wish)))),
    }
    if caller.role().is_some() && parameters.get("DurationSeconds").is_some() && parameters.duration(CHAINED).is_err() {
        return Err(Refusal::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    let expires = account.ground.clock.now() + parameters.duration(found.longest)?;
    Ok(Element::of("AssumeRoleResult", super::issue(account, &setup, role, name, expires).into()))
}

/// `GetCallerIdentity`, which needs no permission.
pub fn identity(account: &Account, caller: &Caller) -> Element {
    let id = match (caller.role(), caller.arn.rsplit_once('/')) {
        (Some(role), Some((_, session))) => format!("{}:{session}", super::unique("AROA", role)),
        _ => super::unique("AIDA", &caller.arn),
    };
    let answer = [("Arn", caller.arn.as_str()), ("UserId", &id), ("Account", &account.id)];
    Element::of("GetCallerIdentityResult", answer.map(|(name, text)| Element::text(name, text)).into())
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{ACCOUNT, Cluster};
    use crate::aws::sigv4::Credentials;

    const ROLES: &str = r#"
aws_iam_role:
  first:
    name: first
    assume_role_policy:
      Statement:
        Effect: Allow
        Principal: {Federated: "arn:aws:iam::${account}:oidc-provider/${issuer}"}
        Action: sts:AssumeRoleWithWebIdentity
  named:
    name: named
    assume_role_policy:
      Statement:
        Effect: Allow
        Principal: {AWS: "arn:aws:iam::${account}:role/first"}
        Action: sts:AssumeRole
        Condition: {StringEquals: {"sts:ExternalId": "shared"}}
  delegated:
    name: delegated
    assume_role_policy:
      Statement: {Effect: Allow, Principal: {AWS: "${account}"}, Action: "sts:AssumeRole"}
  delegated_and_allowed:
    name: allowed
    assume_role_policy:
      Statement: {Effect: Allow, Principal: {AWS: "arn:aws:iam::${account}:root"}, Action: "sts:AssumeRole"}
  denied:
    name: denied
    assume_role_policy:
      Statement: {Effect: Allow, Principal: "*", Action: "sts:AssumeRole"}
aws_iam_role_policy:
  first:
    name: first
    role: first
    policy:
      Statement:
        - {Effect: Allow, Action: "sts:AssumeRole", Resource: "arn:aws:iam::${account}:role/allowed"}
        - {Effect: Deny, Action: "sts:AssumeRole", Resource: "arn:aws:iam::${account}:role/denied"}
aws_iam_openid_connect_provider: {cluster: {url: "https://${issuer}", client_id_list: [sts.amazonaws.com]}}
"#;

    fn code(outcome: Result<Credentials, String>) -> String {
        outcome.map_or_else(|code| code, |_| "success".into())
    }

    #[test]
    fn a_role_is_assumed_by_whom_it_trusts() {
        let cluster = Cluster::new();
        cluster.account.declare(ROLES).unwrap();
        let first = cluster.assume("first", &Cluster::token(|_| {})).unwrap();
        let assume = |role: &str, more: &str| code(cluster.assume_by(&first, role, more));
        assert_eq!(assume("named", "&ExternalId=shared"), "success");
        assert_eq!(assume("named", "&ExternalId=other"), "AccessDenied");
        assert_eq!(assume("named", ""), "AccessDenied");
        assert_eq!(assume("delegated", ""), "AccessDenied");
        assert_eq!(assume("allowed", ""), "success");
        assert_eq!(assume("denied", ""), "AccessDenied");
        assert_eq!(assume("absent", ""), "AccessDenied");
        assert_eq!(assume("allowed", "&DurationSeconds=3601"), "ValidationError");
        assert_eq!(assume("allowed", "&Policy=%7B%7D"), "ValidationError");
        let second = cluster.assume_by(&first, "allowed", "").unwrap();
        assert!(cluster.identity(&second).contains(&format!("arn:aws:sts::{ACCOUNT}:assumed-role/allowed/test")));
        let forged = Credentials { secret: "0".repeat(40), ..first.clone() };
        assert_eq!(code(cluster.assume_by(&forged, "allowed", "")), "SignatureDoesNotMatch");
        let forged = Credentials { token: Some("other".into()), ..first.clone() };
        assert_eq!(code(cluster.assume_by(&forged, "allowed", "")), "InvalidClientTokenId");
        cluster.account.ground.clock.advance(3600);
        assert_eq!(code(cluster.assume_by(&first, "allowed", "")), "ExpiredToken");
    }
}
