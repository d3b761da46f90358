//! AWS STS: `AssumeRoleWithWebIdentity`, `AssumeRole` and `GetCallerIdentity`, query protocol with XML answers.
//! Source: the service's API reference; the model of botocore (`sts/2011-06-15`).

mod parameters;
mod refusal;
mod role;
mod web_identity;
mod xml;

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use self::{parameters::Parameters, refusal::Refusal, xml::Element};
use super::{
    account::Account,
    caller::Caller,
    session::Session,
    setup::{Role, Setup},
};
use crate::{Answer, Request, cloud::Trouble, issuer::subject, journal::Note, random};

/// The one host that is not of a region.
pub(super) const GLOBAL: &str = "sts.amazonaws.com";

/// What the real STS does and this one does not.
const OTHERS: [&str; 7] = [
    "AssumeRoleWithSAML",
    "AssumeRoot",
    "DecodeAuthorizationMessage",
    "GetAccessKeyInfo",
    "GetFederationToken",
    "GetSessionToken",
    "GetWebIdentityToken",
];

/// The action that a request asks for.
pub(super) fn action(request: &Request) -> String {
    Parameters::of(request).get("Action").unwrap_or_default().to_owned()
}

/// Answers one request to `host`.
pub(crate) fn answer(account: &Account, host: &str, request: &Request) -> Answer {
    let parameters = Parameters::of(request);
    let action = parameters.get("Action").unwrap_or_default();
    let mut note = Note::default();
    let mut caller = || {
        // The global host is in us-east-1.
        let region = if host == GLOBAL { "us-east-1" } else { &account.region };
        let caller = Caller::of(account, request, region, "sts").map_err(Refusal::from)?;
        note.caller = Some(caller.arn.clone());
        Ok(caller)
    };
    let outcome = match action {
        "AssumeRole" => caller().and_then(|caller| role::assume(account, &caller, &parameters)),
        "GetCallerIdentity" => caller().map(|caller| role::identity(account, &caller)),
        "AssumeRoleWithWebIdentity" => {
            note.caller = parameters.get("WebIdentityToken").and_then(subject);
            web_identity::assume(account, &parameters)
        }
        _ => Err(Refusal {
            finding: OTHERS.contains(&action),
            ..Refusal::plain(
                StatusCode::BAD_REQUEST,
                "InvalidAction",
                format!("Could not find operation {action:.64} for version 2011-06-15"),
            )
        }),
    };
    let id = Uuid::new_v4().to_string();
    match outcome {
        Ok(result) => {
            let metadata = Element::of("ResponseMetadata", vec![Element::text("RequestId", &id)]);
            let body = Element::document(&format!("{action}Response"), vec![result, metadata]);
            reply(StatusCode::OK, &id, body, note)
        }
        Err(refusal) => {
            note.finding = refusal.finding;
            note.reason = Some(refusal.reason);
            failure(refusal.status, refusal.code, &refusal.message, &id, note)
        }
    }
}

/// What befalls any caller.
pub(super) fn trouble(trouble: Trouble) -> Answer {
    let id = Uuid::new_v4().to_string();
    let (status, code, message) = match trouble {
        Trouble::Throttled => (StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded"),
        Trouble::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            "The request processing has failed because of an unknown error, exception or failure.",
        ),
    };
    failure(status, code, message, &id, Note::default())
}

fn failure(status: StatusCode, code: &str, message: &str, id: &str, note: Note) -> Answer {
    let side = if status.is_server_error() { "Receiver" } else { "Sender" };
    let parts = [("Type", side), ("Code", code), ("Message", message)];
    let error = Element::of("Error", parts.map(|(name, text)| Element::text(name, text)).into());
    let body = Element::document("ErrorResponse", vec![error, Element::text("RequestId", id)]);
    reply(status, id, body, Note { code: Some(code.into()), ..note })
}

fn reply(status: StatusCode, id: &str, body: String, note: Note) -> Answer {
    let mut answer = Answer::body(status, "text/xml", body).noting(note);
    if let Ok(id) = HeaderValue::from_str(id) {
        answer.response.headers_mut().insert("x-amzn-requestid", id);
    }
    answer
}

/// The role of an ARN, with its name.
fn role<'a, 'b>(account: &Account, setup: &'a Setup, arn: &'b str) -> Option<(&'b str, &'a Role)> {
    let name = arn.strip_prefix(&account.role_arn(""))?;
    Some((name, setup.role(name)?))
}

/// Makes a session of a role, and the elements that tell its caller.
fn issue(account: &Account, setup: &Arc<Setup>, role: &str, name: &str, expires: Timestamp) -> [Element; 2] {
    let key = format!("ASIA{}", random::text(10, 16).to_uppercase());
    let session = Session {
        secret: random::text(30, 40),
        token: STANDARD.encode(format!("{key}{}", random::text(64, 80))),
        role: role.into(),
        arn: format!("arn:aws:sts::{}:assumed-role/{role}/{name}", account.id),
        issued: account.ground.clock.now(),
        expires,
        setup: setup.clone(),
    };
    let user = vec![
        Element::text("AssumedRoleId", &format!("{}:{name}", unique("AROA", role))),
        Element::text("Arn", &session.arn),
    ];
    let credentials = vec![
        Element::text("AccessKeyId", &key),
        Element::text("SecretAccessKey", &session.secret),
        Element::text("SessionToken", &session.token),
        Element::text("Expiration", &expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    ];
    let issued = session.issued;
    account.sessions.admit(key, session, issued);
    [Element::of("AssumedRoleUser", user), Element::of("Credentials", credentials)]
}

/// The unique id of a role or user, which does not change; derived from the name it needs no storage.
fn unique(prefix: &str, name: &str) -> String {
    let digits: String = Sha256::digest(name).iter().take(8).map(|b| format!("{b:02X}")).collect();
    format!("{prefix}{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_in_the_services_own_form() {
        for (trouble, status, code) in [
            (Trouble::Throttled, 400, "<Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message>"),
            (Trouble::Internal, 500, "<Type>Receiver</Type><Code>InternalFailure</Code>"),
        ] {
            let answer = super::trouble(trouble);
            assert_eq!(answer.response.status().as_u16(), status);
            let body = super::super::fixture::body(answer);
            assert!(body.contains(code), "{body}");
        }
    }
}
