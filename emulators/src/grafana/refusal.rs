//! What Grafana Cloud says when it refuses. The wordings of its gateway are those that users report in public issues
//! (that of a missing scope and of missing credentials excepted, which no source here confirms); those of Mimir are in
//! its source, pkg/distributor and pkg/util/globalerror.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::{Answer, Request, cloud::Trouble, journal::Note};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no user name with password.
    NoCredentials,
    /// No stack has this number.
    UnknownUser(String),
    /// The password is no token of the stack.
    InvalidToken,
    /// The token's policy does not have this scope.
    Scope(String),
    /// The body is no remote write, or breaks a limit: Mimir's error id, and the text.
    Rejected(&'static str, String),
    /// The engine cannot be asked.
    Internal(String),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NoCredentials | Self::UnknownUser(_) | Self::InvalidToken | Self::Scope(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Rejected(..) => StatusCode::BAD_REQUEST,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A word for the journal.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::NoCredentials => "no credentials",
            Self::UnknownUser(_) => "unknown user",
            Self::InvalidToken => "invalid token",
            Self::Scope(_) => "invalid scope",
            Self::Rejected(id, _) => id,
            Self::Internal(_) => "internal",
        }
    }

    /// The body of the answer.
    fn text(&self) -> String {
        let authentication =
            |text: &str| json!({"status": "error", "error": format!("authentication error: {text}")}).to_string();
        match self {
            Self::NoCredentials => authentication("no credentials provided"),
            Self::UnknownUser(_) => authentication("legacy auth cannot be upgraded because the host is not found"),
            Self::InvalidToken => authentication("invalid token"),
            Self::Scope(_) => authentication("invalid scope requested"),
            Self::Rejected(_, text) | Self::Internal(text) => format!("{text}\n"),
        }
    }

    /// Why, for the journal: more than the caller is told, and never a token.
    fn reason(&self) -> String {
        match self {
            Self::NoCredentials => "the request has no user name and password".into(),
            Self::UnknownUser(user) => format!("no stack has the user {user}"),
            Self::InvalidToken => "the password is no token of the stack".into(),
            Self::Scope(scope) => format!("the token's policy has no scope {scope}"),
            Self::Rejected(_, text) | Self::Internal(text) => text.clone(),
        }
    }
}

/// The answer to a refused request.
pub(super) fn answer(request: &Request, refusal: &Refusal) -> Answer {
    let text = refusal.text();
    let media = if text.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" };
    let note = Note { code: Some(refusal.code().to_owned()), reason: Some(refusal.reason()), ..Note::default() };
    later(request, Answer::body(refusal.status(), media, text)).noting(note)
}

/// What befalls any sender now and then.
pub(super) fn trouble(request: &Request, trouble: Trouble) -> Answer {
    let (status, code, text) = match trouble {
        Trouble::Throttled => (
            StatusCode::TOO_MANY_REQUESTS,
            "err-mimir-tenant-max-request-rate",
            "the request has been rejected because the tenant exceeded the request rate limit, set to 75 requests/s \
             across all distributors with a maximum allowed burst of 750 (err-mimir-tenant-max-request-rate)\n",
        ),
        Trouble::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "send data to ingesters: at least 2 live replicas required\n",
        ),
    };
    let note = Note { code: Some(code.into()), ..Note::default() };
    later(request, Answer::text(status, text)).noting(note)
}

/// How often the sender has tried before, as it says.
pub(super) fn attempt(headers: &HeaderMap) -> u32 {
    headers.get("retry-attempt").and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// Says when to come again, as Mimir does for what may pass: from six seconds, doubled with each attempt, to 96; Mimir
/// varies it by half in both directions.
fn later(request: &Request, mut answer: Answer) -> Answer {
    let status = answer.response.status();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        let attempt = attempt(request.headers()).clamp(1, 5);
        let seconds = 6_u64 << (attempt - 1);
        answer.response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
    }
    answer
}
