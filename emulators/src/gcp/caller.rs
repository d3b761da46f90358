//! Who calls an API: the bearer of an access token.

use std::sync::Arc;

use axum::http::HeaderMap;
use tonic::Code;

use super::{declared::Declared, iam::Principal, project::Project, refusal::Refusal, tokens::Credential};
use crate::check::{Check, made};

/// The scope that covers every API.
pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Longest scheme, token and blanks in a header (bytes).
const AUTHORIZATION: usize = 4 << 10;

const EXPECTED: &str = "Expected OAuth 2 access token, login cookie or other valid authentication credential. \
    See https://developers.google.com/identity/sign-in/web/devconsole-project.";

/// An authenticated caller.
pub(crate) struct Caller {
    /// Who.
    pub principal: Principal,
    /// The set-up by which it is judged.
    pub policy: Arc<Declared>,
}

/// The API that is called, as errors name it.
#[derive(Clone, Copy)]
pub(crate) struct Api<'a> {
    /// Host name of the global endpoint.
    pub service: &'a str,
    /// Full name of the gRPC method.
    pub method: &'a str,
}

/// Authenticates the bearer of the token in the request's headers.
pub(crate) fn authenticate(project: &Project, headers: &HeaderMap, api: Api<'_>) -> Result<Caller, Refusal> {
    let refused = |message: String, reason: &str, why: &str| {
        let metadata = [("service", api.service), ("method", api.method)];
        Refusal::new(Code::Unauthenticated, message).info(reason, "googleapis.com", metadata).because(why)
    };
    let Some(header) = headers.get("authorization") else {
        let message = format!("Request is missing required authentication credential. {EXPECTED}");
        return Err(refused(message, "CREDENTIALS_MISSING", "the request has no Authorization header"));
    };
    let invalid =
        |reason, why: &str| refused(format!("Request had invalid authentication credentials. {EXPECTED}"), reason, why);
    let token = header.to_str().ok().filter(|text| text.len() <= AUTHORIZATION).and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let Some(Credential { principal, scopes, expires, issued_under }) =
        token.and_then(|token| project.tokens.find(token))
    else {
        return Err(invalid("ACCESS_TOKEN_TYPE_UNSUPPORTED", "no such token was issued here"));
    };
    if expires <= project.ground.clock.now() {
        let why = format!("the access token expired at {expires}");
        return Err(invalid("ACCESS_TOKEN_EXPIRED", &why).of(&principal));
    }
    let policy = if made(Check::Revocation) { project.declared() } else { issued_under };
    if let Principal::Account(email) = &principal
        && policy.account(email, &project.config.project).is_none_or(|account| account.disabled)
        && made(Check::Disabled)
    {
        let metadata = [("service", api.service), ("method", api.method), ("email", email)];
        let refusal = invalid("ACCOUNT_STATE_INVALID", "the service account is disabled or gone");
        return Err(refusal.info("ACCOUNT_STATE_INVALID", "googleapis.com", metadata).of(&principal));
    }
    if !scopes.iter().any(|scope| scope == CLOUD_PLATFORM) {
        let refusal = Refusal::new(Code::PermissionDenied, "Request had insufficient authentication scopes.")
            .info(
                "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                "googleapis.com",
                [("service", api.service), ("method", api.method)],
            )
            .because(format!("the access token is for {}", scopes.join(" ")));
        return Err(refusal.of(&principal));
    }
    Ok(Caller { principal, policy })
}
