//! What the operator's events say: the conditions of External Secrets say the same for all.

use trinity_emulators::journal;

use super::{Cause, Kind, identity::Link};
use crate::world::Cloud;

/// Operations in which a cluster's token becomes a cloud's credentials.
pub(crate) const EXCHANGES: [&str; 4] = [
    "iamcredentials:GenerateAccessToken",
    "login:Token",
    "securetoken:IdentityBindingToken",
    "sts:AssumeRoleWithWebIdentity",
];
/// Operations that read a secret's value.
pub(crate) const READS: [&str; 3] =
    ["secretmanager:AccessSecretVersion", "secretsmanager:GetSecretValue", "vault:GetSecret"];

/// The latest call of the platform that the cloud refused, among some operations; its journal line knows more than the
/// operator was told.
fn refusal<'a>(requests: &'a [journal::Line], operations: &[&str]) -> Option<&'a journal::Line> {
    let among = |l: &&journal::Line| l.note.action.as_deref().is_some_and(|action| operations.contains(&action));
    requests.iter().rev().filter(among).find(|l| !l.note.canary && l.note.code.is_some())
}

/// The cause that a message of the operator about `object` names, if it names one. `requests` are what the cloud was asked
/// and answered.
pub fn classify(cloud: Cloud, object: &str, message: &str, requests: &[journal::Line]) -> Option<Cause> {
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    let of = |kind, what: &str| Some(Cause::new(kind, format!("{object} {what}")));
    let refused = |link: Link, line: Option<&journal::Line>| {
        let told = |line: &journal::Line| {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            format!("{}: {}", text(&line.note.code), text(&line.note.reason))
        };
        Some(link.broken(cloud, &line.map_or_else(|| message.to_owned(), told)))
    };
    let key = || message.split_once("(key: ").and_then(|(_, rest)| rest.split_once(')')).map_or("", |(key, _)| key);
    if says(&["an IAM role must be associated with service account", "azure.workload.identity/client-id' is missing"]) {
        return refused(Link::Annotation, None);
    }
    if says(&["ServiceAccount \"", "serviceaccounts \""]) && says(&["not found"]) {
        return refused(Link::Token, None)
            .map(|cause| cause.passing("the service account may come with another application"));
    }
    // Before identity: a cloud that fails says so in the words of any operation.
    if says(&[
        "ThrottlingException",
        "Throttling: ",
        "code = ResourceExhausted",
        "StatusCode=429",
        "StatusCode: 500",
        "code = Internal",
        "code = Unavailable",
        "StatusCode=500",
        "InternalFailure",
        "AADSTS90033",
        "AADSTS90055",
        "AADSTS50196",
        "connection reset by peer",
    ]) {
        return of(Kind::CloudUnavailable, &format!("cannot be read: {message}"));
    }
    // A client that has tried until its time was over tells that alone; the cloud said why.
    if says(&["context deadline exceeded"])
        && let Some(code) = refusal(requests, &READS).and_then(|line| line.note.code.as_deref())
    {
        return of(Kind::CloudUnavailable, &format!("cannot be read: the cloud answers {code} until {message}"));
    }
    if says(&[
        "AssumeRoleWithWebIdentity",
        "unable to fetch identitybindingtoken",
        "unable to generate gcp access token",
        "AADSTS",
    ]) {
        return refused(Link::Trust, refusal(requests, &EXCHANGES));
    }
    if says(&["marked for deletion"]) {
        return of(Kind::PendingDeletion, &format!("wants {:?}, which is scheduled for deletion: {message}", key()));
    }
    if says(&["is in DISABLED state", "is in DESTROYED state", "SecretDisabled", "disabled secret"]) {
        return of(
            Kind::NoEnabledVersion,
            &format!("wants a secret whose current version is disabled or destroyed: {message}"),
        );
    }
    if says(&["code = PermissionDenied"]) {
        let line = refusal(requests, &READS);
        // Without an annotation ESO calls with the pool's own token, whose principal has the pool in its name.
        let itself = line.is_some_and(|l| l.note.caller.as_ref().is_some_and(|c| c.contains(".svc.id.goog")));
        return refused(if itself { Link::Annotation } else { Link::Permission }, line);
    }
    if says(&["AccessDeniedException", "Code=\"Forbidden\"", "ERROR CODE: Forbidden"]) {
        return refused(Link::Permission, None);
    }
    if says(&["Secret does not exist"]) {
        return Some(absent(object, key(), refusal(requests, &READS)));
    }
    if says(&["does not exist in secret", "does not exist in key"]) {
        let what = message.rsplit("err: ").next().unwrap_or(message);
        return of(Kind::ValueMissing, &format!("wants a property that the value has not: {what}"));
    }
    if let Some(rest) = message.split_once("could not get ").map(|(_, rest)| rest)
        && rest.contains("Store")
        && rest.contains("not found")
    {
        let store = rest.split('"').nth(1).unwrap_or_default();
        return of(Kind::StoreMissing, &format!("wants the store {store:?}, and there is none"));
    }
    if says(&["is not allowed from namespace"]) {
        return of(Kind::StoreNotPermitted, &format!("may not use its store: {message}"));
    }
    if says(&["\" is not ready"]) {
        return of(Kind::StoreNotReady, &format!("waits for its store: {message}"));
    }
    if says(&[
        "could not apply template",
        "unable to parse template",
        "unable to execute template",
        "error applying template",
    ]) {
        return of(Kind::TemplateWrong, &format!("cannot fill its template: {message}"));
    }
    if says(&["target is owned by another ExternalSecret", "is owned by another"]) {
        return of(Kind::TargetConflict, &format!("does not get its Secret: {message}"));
    }
    None
}

/// Why the operator says that a secret does not exist: a cloud may say the same of several states, and the journal knows
/// which one it was.
fn absent(object: &str, key: &str, line: Option<&journal::Line>) -> Cause {
    let reason = line.and_then(|l| l.note.reason.as_deref()).unwrap_or_default();
    let says = |texts: &[&str]| texts.iter().any(|text| reason.contains(text));
    if says(&["deleted but recoverable", "soft-deleted", "scheduled for deletion"]) {
        return Cause::new(
            Kind::PendingDeletion,
            format!("{object} wants {key:?}, which is deleted and not yet purged: {reason}"),
        );
    }
    if says(&["staging label", "no versions", "has no value"]) {
        return Cause::new(
            Kind::NoEnabledVersion,
            format!("{object} wants {key:?}, which exists and has no value: {reason}"),
        );
    }
    Cause::new(
        Kind::ValueMissing,
        format!("{object} wants {key:?}, and the backend has no such secret (Secret does not exist)"),
    )
    .next("create it in the backend, or correct remoteRef.key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::cause::line;

    #[test]
    fn a_client_that_gave_up_was_refused_before() {
        let message = "unable to access Secret from SecretManager Client: context deadline exceeded";
        let refused = line(r#""action":"secretmanager:AccessSecretVersion","code":"RESOURCE_EXHAUSTED""#);
        let cause = classify(Cloud::Gcp, "ExternalSecret a", message, &[refused]).unwrap();
        assert_eq!(cause.kind, Kind::CloudUnavailable);
        assert!(cause.seen.contains("answers RESOURCE_EXHAUSTED until"), "{cause}");
        assert_eq!(classify(Cloud::Gcp, "ExternalSecret a", message, &[]), None);
    }

    #[test]
    fn messages_of_the_operator_name_their_cause() {
        let absent = "error processing spec.data[0] (key: provider-test-secret), err: Secret does not exist";
        let cause = classify(Cloud::Aws, "ExternalSecret a", absent, &[]).unwrap();
        assert_eq!(cause.kind, Kind::ValueMissing);
        assert!(cause.seen.starts_with("ExternalSecret a wants \"provider-test-secret\""), "{cause}");
        for (cloud, expected, message) in [
            (Cloud::Aws, Link::Annotation, "an IAM role must be associated with service account a (namespace: b)"),
            (Cloud::Aws, Link::Trust, "operation error STS: AssumeRoleWithWebIdentity, https response error"),
            (Cloud::Aws, Link::Permission, "api error AccessDeniedException: User is not authorized"),
            (
                Cloud::Gcp,
                Link::Trust,
                "unable to fetch identitybindingtoken: could not get idbindtoken token, status: 403",
            ),
            (
                Cloud::Gcp,
                Link::Trust,
                "unable to generate gcp access token: rpc error: code = PermissionDenied desc = x",
            ),
            (Cloud::Gcp, Link::Permission, "unable to access Secret: rpc error: code = PermissionDenied desc = x"),
            (
                Cloud::Azure,
                Link::Annotation,
                "missing clientID: either serviceAccountRef or service account annotation 'azure.workload.identity/client-id' is missing",
            ),
            (
                Cloud::Azure,
                Link::Trust,
                "FromAssertion(): http call(…)(POST) error: reply status code was 401: AADSTS700213: No",
            ),
            (
                Cloud::Azure,
                Link::Permission,
                "keyvault.BaseClient#GetSecret: StatusCode=403 Code=\"Forbidden\" Message=\"x\"",
            ),
        ] {
            let broken = expected.broken(cloud, message);
            assert_eq!(classify(cloud, "x", message, &[]), Some(broken), "{message}");
        }
        let disabled = "rpc error: code = FailedPrecondition desc = Secret Version [x] is in DISABLED state.";
        assert_eq!(classify(Cloud::Gcp, "x", disabled, &[]).unwrap().name(), "no-enabled-version");
        for (kind, message) in [
            (
                Kind::StoreMissing,
                "could not get ClusterSecretStore \"trinity-aws\", ClusterSecretStore.external-secrets.io \"trinity-aws\" not found",
            ),
            (Kind::StoreNotReady, "ClusterSecretStore \"trinity-aws\" is not ready"),
            (
                Kind::PendingDeletion,
                "InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion.",
            ),
            (Kind::CloudUnavailable, "api error ThrottlingException: Rate exceeded"),
            (Kind::ValueMissing, "error processing spec.data[0] (key: a), err: key b does not exist in secret a"),
            (
                Kind::StoreNotPermitted,
                "using cluster store \"a\" is not allowed from namespace \"b\": denied by spec.condition",
            ),
        ] {
            assert_eq!(classify(Cloud::Aws, "x", message, &[]).map(|c| c.kind), Some(kind), "{message}");
        }
        assert_eq!(classify(Cloud::Aws, "x", "something new", &[]), None);
    }

    #[test]
    fn a_refusal_is_told_as_the_cloud_knows_it() {
        let requests = [
            line(r#""action":"login:Token","code":"AADSTS700213","reason":"the subject is a:b""#),
            line(r#""action":"login:Token","code":"AADSTS50013","reason":"forged","canary":true"#),
        ];
        let cause = classify(Cloud::Azure, "x", "AADSTS700213: No matching", &requests).unwrap();
        assert!(cause.to_string().contains("AADSTS700213: the subject is a:b"), "{cause}");
        let denied = "rpc error: code = PermissionDenied desc = x";
        let call = |caller| {
            line(&format!(
                r#""action":"secretmanager:AccessSecretVersion","code":"PERMISSION_DENIED","caller":"{caller}""#
            ))
        };
        let next = |caller| classify(Cloud::Gcp, "x", denied, &[call(caller)]).unwrap().next;
        assert_eq!(next("p.svc.id.goog[ns/name]"), Link::Annotation.broken(Cloud::Gcp, "").next);
        assert_eq!(next("a@p.iam.gserviceaccount.com"), Link::Permission.broken(Cloud::Gcp, "").next);
    }

    #[test]
    fn what_does_not_exist_may_be_deleted_or_empty() {
        let kind = |reason: &str| {
            let line = line(&format!(r#""action":"vault:GetSecret","code":"SecretNotFound","reason":"{reason}""#));
            classify(Cloud::Azure, "x", "(key: a), err: Secret does not exist", &[line]).unwrap().kind
        };
        assert_eq!(kind("the secret a is deleted but recoverable"), Kind::PendingDeletion);
        assert_eq!(kind("the secret exists and has no versions"), Kind::NoEnabledVersion);
        assert_eq!(kind("A secret with (name/id) a was not found"), Kind::ValueMissing);
    }
}
