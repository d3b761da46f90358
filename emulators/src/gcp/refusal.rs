//! Google's errors: one value, told as a gRPC status or as the JSON of the REST interfaces.

use axum::http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::iam::Principal;
use crate::{Answer, journal::Note};

/// A refused call.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// Canonical code.
    pub code: Code,
    /// What Google tells.
    pub message: String,
    /// What Google tells programs. Boxed, because results that carry it are passed around.
    pub details: Box<ErrorDetails>,
    /// What Google does not tell, for the journal.
    pub reason: String,
    /// Who called, as far as it was found out before the refusal.
    pub caller: Option<String>,
    /// Whether a platform would be misled: the real cloud has what is refused here.
    pub finding: bool,
}

impl Refusal {
    /// A refusal whose message says all there is to say.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, reason: message.clone(), message, details: Box::default(), caller: None, finding: false }
    }

    /// An argument that cannot be right.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// An argument of which the fault is in one field.
    pub fn field(field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        let mut refusal = Self::invalid(description.clone());
        refusal.details.add_bad_request_violation(field, description);
        refusal
    }

    /// What the real cloud does and this one does not play.
    pub fn unplayed(what: &str) -> Self {
        let mut refusal = Self::new(Code::Unimplemented, format!("This emulated Google Cloud does not play {what}."));
        refusal.finding = true;
        refusal
    }

    /// Adds what only the journal learns.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds who called.
    pub fn of(mut self, caller: &Principal) -> Self {
        self.caller = Some(caller.to_string());
        self
    }

    /// Adds a `google.rpc.ErrorInfo`.
    pub fn info<const N: usize>(mut self, reason: &str, domain: &str, metadata: [(&str, &str); N]) -> Self {
        let metadata = metadata.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        self.details.set_error_info(reason, domain, metadata.collect::<std::collections::HashMap<_, _>>());
        self
    }

    /// What the journal shall say.
    pub fn note(&self) -> Note {
        Note {
            code: Some(name(self.code).0.into()),
            reason: Some(self.reason.clone()),
            caller: self.caller.clone(),
            finding: self.finding,
            ..Note::default()
        }
    }

    /// As gRPC tells it, with `google.rpc.Status` in `grpc-status-details-bin`.
    pub fn status(&self) -> Status {
        Status::with_error_details(self.code, self.message.clone(), (*self.details).clone())
    }

    /// As the REST interfaces tell it.
    pub fn answer(&self) -> Answer {
        let (status, http) = name(self.code);
        let mut error = json!({"code": http.as_u16(), "message": self.message, "status": status});
        let details = self.details();
        if !details.is_empty() {
            error["details"] = details.into();
        }
        let mut answer = Answer::body(http, "application/json; charset=UTF-8", json!({"error": error}).to_string());
        if self.code == Code::Unauthenticated {
            let challenge = HeaderValue::from_static("Bearer realm=\"https://accounts.google.com/\"");
            answer.response.headers_mut().insert("www-authenticate", challenge);
        }
        answer.noting(self.note())
    }

    fn details(&self) -> Vec<Value> {
        let info = self.details.error_info().map(|info| {
            json!({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": info.reason, "domain": info.domain, "metadata": info.metadata,
            })
        });
        let request = self.details.bad_request().filter(|bad| !bad.field_violations.is_empty()).map(|bad| {
            let violations: Vec<Value> =
                bad.field_violations.iter().map(|v| json!({"field": v.field, "description": v.description})).collect();
            json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
        });
        [info, request].into_iter().flatten().collect()
    }
}

/// A canonical code's name, and the HTTP status that REST interfaces send for it.
pub(crate) fn name(code: Code) -> (&'static str, StatusCode) {
    match code {
        Code::Ok => ("OK", StatusCode::OK),
        // 499 has no name in HTTP; nothing here cancels a call.
        Code::Cancelled => ("CANCELLED", StatusCode::REQUEST_TIMEOUT),
        Code::Unknown => ("UNKNOWN", StatusCode::INTERNAL_SERVER_ERROR),
        Code::InvalidArgument => ("INVALID_ARGUMENT", StatusCode::BAD_REQUEST),
        Code::DeadlineExceeded => ("DEADLINE_EXCEEDED", StatusCode::GATEWAY_TIMEOUT),
        Code::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND),
        Code::AlreadyExists => ("ALREADY_EXISTS", StatusCode::CONFLICT),
        Code::PermissionDenied => ("PERMISSION_DENIED", StatusCode::FORBIDDEN),
        Code::ResourceExhausted => ("RESOURCE_EXHAUSTED", StatusCode::TOO_MANY_REQUESTS),
        Code::FailedPrecondition => ("FAILED_PRECONDITION", StatusCode::BAD_REQUEST),
        Code::Aborted => ("ABORTED", StatusCode::CONFLICT),
        Code::OutOfRange => ("OUT_OF_RANGE", StatusCode::BAD_REQUEST),
        Code::Unimplemented => ("UNIMPLEMENTED", StatusCode::NOT_IMPLEMENTED),
        Code::Internal => ("INTERNAL", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unavailable => ("UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
        Code::DataLoss => ("DATA_LOSS", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unauthenticated => ("UNAUTHENTICATED", StatusCode::UNAUTHORIZED),
    }
}
