//! Google's security token services: a Kubernetes service account's token for a federated access token.

use axum::http::{HeaderValue, StatusCode};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::json;

use super::{
    iam::{Principal, Workload},
    project::Project,
    tokens::Credential,
    transport,
};
use crate::{
    Answer, Request,
    check::{Check, made},
    issuer::{Unverified, service_account, subject},
    journal::Note,
};

/// Hosts: the one that knows clusters' identity namespaces, and the one for workload identity federation.
pub(crate) const SECURETOKEN: &str = "securetoken.googleapis.com";
pub(crate) const STS: &str = "sts.googleapis.com";

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const HOUR: i64 = 3600;

/// An OAuth error (RFC 6749).
struct Denial {
    error: &'static str,
    description: String,
    reason: String,
    finding: bool,
}

impl Denial {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        let description = description.into();
        Self { error, reason: description.clone(), description, finding: false }
    }

    fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }
}

/// A token exchange (RFC 8693), in JSON with either spelling or as a form.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Exchange {
    #[serde(alias = "grant_type")]
    grant_type: String,
    #[serde(alias = "subject_token_type")]
    subject_token_type: String,
    #[serde(alias = "requested_token_type")]
    requested_token_type: String,
    #[serde(alias = "subject_token")]
    subject_token: String,
    audience: String,
    scope: String,
}

/// The operation that a request asks for.
pub(crate) fn operation(host: &str, request: &Request) -> &'static str {
    match (host, request.uri().path()) {
        (SECURETOKEN, "/v1/identitybindingtoken") => "securetoken:IdentityBindingToken",
        (STS, "/v1/token") => "sts:ExchangeToken",
        (SECURETOKEN, _) => "securetoken:unknown",
        _ => "sts:unknown",
    }
}

/// Answers one exchange.
pub(crate) fn answer(project: &Project, host: &str, request: &Request) -> Answer {
    let mut caller = None;
    let outcome = match (request.method().as_str(), operation(host, request)) {
        ("POST", "securetoken:IdentityBindingToken") => read(request).and_then(|exchange| {
            caller = subject(&exchange.subject_token);
            self::exchange(project, &exchange)
        }),
        ("POST", "sts:ExchangeToken") => read(request).and_then(|exchange| {
            caller = subject(&exchange.subject_token);
            Err(federation(&exchange))
        }),
        _ => return Answer::text(StatusCode::NOT_FOUND, "Not Found").noting(Note::finding("no such token service")),
    };
    let note = Note { caller, ..Note::default() };
    let mut answer = match outcome {
        Ok(token) => {
            let body = json!({
                "access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": HOUR,
            });
            Answer::body(StatusCode::OK, "application/json; charset=UTF-8", body.to_string()).noting(note)
        }
        Err(denial) => {
            let body = json!({"error": denial.error, "error_description": denial.description}).to_string();
            let code = Some(denial.error.into());
            let note = Note { code, reason: Some(denial.reason), finding: denial.finding, ..note };
            Answer::body(StatusCode::BAD_REQUEST, "application/json; charset=UTF-8", body).noting(note)
        }
    };
    answer.response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    answer
}

fn read(request: &Request) -> Result<Exchange, Denial> {
    let media = request.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    if media.starts_with("application/x-www-form-urlencoded") {
        let mut exchange = Exchange::default();
        for (name, value) in form_urlencoded::parse(request.body()) {
            let place = match name.as_ref() {
                "grant_type" => &mut exchange.grant_type,
                "subject_token_type" => &mut exchange.subject_token_type,
                "requested_token_type" => &mut exchange.requested_token_type,
                "subject_token" => &mut exchange.subject_token,
                "audience" => &mut exchange.audience,
                "scope" => &mut exchange.scope,
                _ => continue,
            };
            *place = value.into_owned();
        }
        return Ok(exchange);
    }
    transport::body(request).map_err(|refusal| Denial::new("invalid_request", refusal.message))
}

/// Workload identity federation knows the pools and providers that were made for it; here none was.
fn federation(exchange: &Exchange) -> Denial {
    let denial = Denial::new(
        "invalid_target",
        "The target service indicated by the \"audience\" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.",
    );
    let reason =
        format!("no workload identity provider is declared, and one was asked for: {:.200}", exchange.audience);
    Denial { finding: true, ..denial.because(reason) }
}

/// The token of a Kubernetes service account of this project's cluster for a federated one.
fn exchange(project: &Project, exchange: &Exchange) -> Result<String, Denial> {
    let invalid = |what: &str| Err(Denial::new("invalid_request", format!("Invalid value for \"{what}\".")));
    if exchange.grant_type != EXCHANGE {
        return Err(Denial::new("unsupported_grant_type", "Invalid grant_type."));
    }
    if exchange.subject_token_type != JWT {
        return invalid("subject_token_type");
    }
    if exchange.requested_token_type != ACCESS_TOKEN {
        return invalid("requested_token_type");
    }
    if exchange.scope.split_whitespace().next().is_none() {
        return Err(Denial::new("invalid_scope", "A scope is required."));
    }
    let (pool, cluster) = (project.config.pool(), project.config.issuer());
    if exchange.audience != format!("identitynamespace:{pool}:{cluster}") {
        let denial =
            Denial::new("invalid_target", "The target service indicated by the \"audience\" parameters is invalid.");
        let asked = &exchange.audience;
        return Err(denial.because(format!("the audience is {asked:.200} and not cluster {cluster} in {pool}")));
    }
    let now = project.ground.clock.now();
    let claims = project.ground.trust.verify(&exchange.subject_token, now).map_err(|why| refused(&why))?;
    if !claims.aud.contains(&pool) && made(Check::Audience) {
        // Wording not verified; the code is documented.
        let denial = Denial::new("invalid_grant", "The audience in ID Token does not match the expected audience.");
        return Err(denial.because(format!("the token is for {:.200} and not for {pool}", claims.aud.join(", "))));
    }
    let Some((namespace, name)) = service_account(&claims.sub) else {
        let denial = Denial::new("invalid_grant", "The subject of the ID Token is no Kubernetes service account.");
        return Err(denial.because(format!("its subject is {:.200}", claims.sub)));
    };
    let credential = Credential {
        principal: Principal::Workload(Workload { pool, namespace: namespace.into(), name: name.into() }),
        scopes: exchange.scope.split_whitespace().map(Into::into).collect(),
        expires: now.saturating_add(SignedDuration::from_secs(HOUR)).unwrap_or(now),
        issued_under: project.declared(),
    };
    Ok(project.tokens.issue("ya29.d.", credential, now))
}

/// The service's words for a token that proves nothing; codes are documented, not all wordings are verified.
fn refused(why: &Unverified) -> Denial {
    let description = match why {
        Unverified::Malformed(_) => "The given ID Token is malformed.",
        Unverified::Issuer(_) => "The issuer in ID Token does not match the expected ones.",
        Unverified::Key(_) => "Unable to find the key that verifies the ID Token.",
        Unverified::Signature => "Connection credential signature verification failed.",
        Unverified::Expired { .. } => "ID Token is stale to sign-in.",
        Unverified::NotYetValid { .. } => "ID Token is not valid yet.",
    };
    Denial::new("invalid_grant", description).because(why.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{
        super::{caller::CLOUD_PLATFORM, fixture::Cluster},
        *,
    };

    fn post(path: &str, media: &str, body: impl Into<Bytes>) -> Request {
        axum::http::Request::post(path).header("content-type", media).body(body.into()).unwrap()
    }

    fn code(cluster: &Cluster, host: &str, request: &Request) -> String {
        answer(&cluster.project, host, request).note.code.unwrap_or_else(|| "success".into())
    }

    #[test]
    fn what_does_not_ask_for_what_is_played_is_refused() {
        let cluster = Cluster::new();
        let good = cluster.exchange(&Cluster::token(|_| {}));
        let with = |key: &str, value: &str| {
            let mut body = good.clone();
            body[key] = value.into();
            code(&cluster, SECURETOKEN, &post("/v1/identitybindingtoken", "application/json", body.to_string()))
        };
        assert_eq!(with("scope", CLOUD_PLATFORM), "success");
        assert_eq!(with("scope", " "), "invalid_scope");
        assert_eq!(with("grant_type", "password"), "unsupported_grant_type");
        assert_eq!(with("subject_token_type", "x"), "invalid_request");
        assert_eq!(with("requested_token_type", "x"), "invalid_request");
        assert_eq!(with("audience", "identitynamespace:p.svc.id.goog:https://example.com"), "invalid_target");
        assert_eq!(with("subject_token", "x"), "invalid_grant");
    }

    #[test]
    fn a_form_says_the_same_as_json() {
        let cluster = Cluster::new();
        let exchange = cluster.exchange(&Cluster::token(|_| {}));
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (key, value) in exchange.as_object().unwrap() {
            form.append_pair(key, value.as_str().unwrap());
        }
        let request = post("/v1/identitybindingtoken", "application/x-www-form-urlencoded", form.finish());
        assert_eq!(code(&cluster, SECURETOKEN, &request), "success");
    }

    #[test]
    fn no_federation_is_declared() {
        let cluster = Cluster::new();
        let body = cluster.exchange(&Cluster::token(|_| {})).to_string();
        let answer = answer(&cluster.project, STS, &post("/v1/token", "application/json", body));
        assert_eq!(answer.note.code.as_deref(), Some("invalid_target"));
        assert!(answer.note.finding);
    }

    proptest! {
        #[test]
        fn nothing_that_is_no_token_is_exchanged(body in proptest::collection::vec(any::<u8>(), 0..200), form: bool) {
            let media = if form { "application/x-www-form-urlencoded" } else { "application/json" };
            let request = post("/v1/identitybindingtoken", media, body);
            prop_assert_ne!(code(&super::super::fixture::SHARED, SECURETOKEN, &request), "success");
        }
    }
}
