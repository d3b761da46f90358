//! Errors of Entra ID, which have codes of their own: `AADSTS…`.

use axum::http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::{refusal::document, tenant::Tenant};
use crate::{Answer, Request, journal::Note};

/// An error of the token endpoint.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    code: u32,
    message: String,
    reason: Option<String>,
    finding: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: &'static str, code: u32, message: impl Into<String>) -> Self {
        Self { status, error, code, message: message.into(), reason: None, finding: false }
    }

    /// The client is not who it says.
    pub(super) fn invalid_client(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", code, message)
    }

    /// The request cannot be understood.
    pub(super) fn invalid_request(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", code, message)
    }

    pub(super) fn missing(parameter: &str) -> Self {
        let message = format!("The request body must contain the following parameter: '{parameter}'.");
        Self::invalid_request(900_144, message)
    }

    /// Why, more exactly than the caller is told.
    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    pub(super) fn finding(mut self) -> Self {
        self.finding = true;
        self
    }

    pub(super) fn answer(self, tenant: &Tenant, request: &Request, caller: Option<String>) -> Answer {
        let given = request.headers().get("client-request-id").and_then(|v| v.to_str().ok());
        let correlation = given.and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_else(Uuid::new_v4).to_string();
        let trace = Uuid::new_v4().to_string();
        let time = tenant.ground.clock.now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let code = format!("AADSTS{}", self.code);
        let body = json!({
            "error": self.error,
            "error_description": format!(
                "{code}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}", self.message
            ),
            "error_codes": [self.code],
            "timestamp": time,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.code),
        });
        document(self.status, &body).noting(Note {
            caller,
            code: Some(code),
            reason: Some(self.reason.unwrap_or(self.message)),
            finding: self.finding,
            ..Note::default()
        })
    }
}
