//! IAM Service Account Credentials: access tokens of service accounts for those who may impersonate them.

use axum::http::StatusCode;
use googleapis_tonic_google_iam_credentials_v1::google::iam::credentials::v1::{
    GenerateAccessTokenRequest, GenerateAccessTokenResponse,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use tonic::Code;

use super::{
    caller::{Api, Caller, authenticate},
    iam::{GET_ACCESS_TOKEN, IMPLICIT_DELEGATION, Principal},
    project::Project,
    refusal::Refusal,
    time,
    tokens::Credential,
    transport,
};
use crate::{
    Answer, Request,
    check::{Check, made},
};

/// Host.
pub(crate) const HOST: &str = "iamcredentials.googleapis.com";

const SERVICE: &str = "/google.iam.credentials.v1.IAMCredentials/";
/// Longest life of a token (seconds), which is also the default.
const LIFETIME: i64 = 3600;
/// Members of a chain of delegation.
const DELEGATES: usize = 4;

/// A request's JSON.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    delegates: Vec<String>,
    scope: Vec<String>,
    lifetime: Option<String>,
}

/// The method that a request asks for, and the resource in a REST path.
fn method(request: &Request) -> Option<(&'static str, &str)> {
    let path = request.uri().path();
    let (called, resource) = match path.strip_prefix(SERVICE) {
        Some(method) => (method, ""),
        None => {
            let (resource, verb) = path.strip_prefix("/v1/")?.rsplit_once(':')?;
            (verb, resource)
        }
    };
    let methods = ["GenerateAccessToken", "GenerateIdToken", "SignBlob", "SignJwt"];
    let method = methods.into_iter().find(|method| method.eq_ignore_ascii_case(called))?;
    Some((method, resource))
}

/// The operation that a request asks for.
pub(crate) fn operation(request: &Request) -> String {
    format!("iamcredentials:{}", method(request).map_or("unknown", |(method, _)| method))
}

/// Answers one call.
pub(crate) async fn answer(project: &Project, request: Request) -> Answer {
    let grpc = transport::is_grpc(&request);
    let Some((method, resource)) = method(&request) else {
        return transport::unknown(grpc);
    };
    let full = format!("google.iam.credentials.v1.IAMCredentials.{method}");
    let caller = match authenticate(project, request.headers(), Api { service: HOST, method: &full }) {
        Ok(caller) => caller,
        Err(refusal) => return transport::refuse(grpc, &refusal),
    };
    let answer = match method {
        "GenerateAccessToken" if grpc => transport::unary(request, |message| generate(project, &caller, message)).await,
        "GenerateAccessToken" if request.method() == "POST" => rest(project, &caller, &request, resource),
        method => transport::refuse(grpc, &Refusal::unplayed(method)),
    };
    transport::by(answer, &caller.principal)
}

fn rest(project: &Project, caller: &Caller, request: &Request, resource: &str) -> Answer {
    let outcome = transport::query(request, &[]).and_then(|_| transport::body::<Body>(request)).and_then(|body| {
        let lifetime = match body.lifetime {
            Some(text) => Some(time::parse(&text).ok_or_else(|| Refusal::field("lifetime", "Invalid lifetime."))?),
            None => None,
        };
        let message = GenerateAccessTokenRequest {
            name: resource.to_owned(),
            delegates: body.delegates,
            scope: body.scope,
            lifetime,
        };
        generate(project, caller, message)
    });
    match outcome {
        Ok(answer) => {
            let expires = answer.expire_time.and_then(time::read).unwrap_or(Timestamp::UNIX_EPOCH);
            let body = json!({
                "accessToken": answer.access_token, "expireTime": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            });
            Answer::body(StatusCode::OK, "application/json; charset=UTF-8", body.to_string())
        }
        Err(refusal) => refusal.answer(),
    }
}

/// A token of the service account, when the caller may have one.
fn generate(
    project: &Project,
    caller: &Caller,
    request: GenerateAccessTokenRequest,
) -> Result<GenerateAccessTokenResponse, Refusal> {
    let email = |name: &str| {
        let email = name.strip_prefix("projects/-/serviceAccounts/").filter(|email| !email.contains('/'));
        // Wording not verified; the wildcard is documented as the only project.
        email.map(str::to_owned).ok_or_else(|| Refusal::field("name", "Invalid form of service account name."))
    };
    let target = email(&request.name)?;
    if request.scope.is_empty() {
        return Err(Refusal::field("scope", "At least one scope is required."));
    }
    let lifetime = match request.lifetime {
        Some(asked) => time::span(asked),
        None => Some(SignedDuration::from_secs(LIFETIME)),
    };
    let lifetime = lifetime
        .filter(|lifetime| lifetime.is_positive() && *lifetime <= SignedDuration::from_secs(LIFETIME))
        .ok_or_else(|| Refusal::field("lifetime", format!("The lifetime must be between 0 and {LIFETIME} seconds.")))?;
    if request.delegates.len() > DELEGATES {
        return Err(Refusal::field("delegates", "Too many delegates."));
    }
    let mut by = caller.principal.clone();
    for delegate in &request.delegates {
        let delegate = email(delegate)?;
        permit(project, caller, &by, IMPLICIT_DELEGATION, &delegate)?;
        by = Principal::Account(delegate);
    }
    permit(project, caller, &by, GET_ACCESS_TOKEN, &target)?;
    let now = project.ground.clock.now();
    let expires = now.saturating_add(lifetime).unwrap_or(now);
    let credential = Credential {
        principal: Principal::Account(target),
        scopes: request.scope,
        expires,
        issued_under: project.declared(),
    };
    let access_token = project.tokens.issue("ya29.c.", credential, now);
    Ok(GenerateAccessTokenResponse { access_token, expire_time: Some(time::write(expires)) })
}

/// Whether `by` has the permission on a service account that can be used.
fn permit(project: &Project, caller: &Caller, by: &Principal, permission: &str, email: &str) -> Result<(), Refusal> {
    let Some(account) = caller.policy.account(email, &project.config.project) else {
        return Err(Refusal::new(Code::NotFound, format!("Not found; Gaia id not found for email {email:.200}"))
            .because(format!("no service account {email:.200} is declared")));
    };
    let name = format!("projects/{}/serviceAccounts/{email}", project.config.project);
    let bindings = caller.policy.of_account(email).chain(caller.policy.of_project());
    let bound: Vec<_> = bindings.filter(|b| b.role.gives(permission) && b.covers(&name)).collect();
    let granted = match bound.is_empty() {
        true => !made(Check::Binding),
        false => bound.iter().any(|binding| binding.member.is(by)),
    };
    let denied = |reason: String| {
        let message = format!("Permission '{permission}' denied on resource (or it may not exist).");
        Err(Refusal::new(Code::PermissionDenied, message)
            .info("IAM_PERMISSION_DENIED", "iam.googleapis.com", [("permission", permission)])
            .because(reason))
    };
    if !granted {
        let members: Vec<_> = bound.iter().map(|b| b.member.text()).collect();
        return denied(format!("{email} is bound to {members:?} and not to {by}"));
    }
    if account.disabled && made(Check::Disabled) {
        // That it fails is documented; code and wording are not verified.
        return denied(format!("service account {email} is disabled"));
    }
    Ok(())
}
