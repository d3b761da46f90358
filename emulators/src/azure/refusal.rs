//! Errors of Key Vault and of the resource manager, which have one form.

use axum::http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::{Answer, journal::Note};

/// An error as callers see it, and what only the journal tells.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub inner: Option<&'static str>,
    pub message: String,
    pub reason: Option<String>,
    pub finding: bool,
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, inner: None, message: message.into(), reason: None, finding: false, headers: Vec::new() }
    }

    /// The inner code, which is what tells causes apart that share a code.
    pub(super) fn inner(mut self, code: &'static str) -> Self {
        self.inner = Some(code);
        self
    }

    /// Why, more exactly than the caller is told.
    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// A platform should not have made this call: this cloud does not play it.
    pub(super) fn finding(mut self) -> Self {
        self.finding = true;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn answer(self, caller: Option<String>) -> Answer {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(inner) = self.inner {
            error["innererror"] = json!({"code": inner});
        }
        let mut answer = document(self.status, &json!({"error": error}));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                answer.response.headers_mut().insert(name, value);
            }
        }
        let reason = self.reason.unwrap_or(self.message);
        answer.noting(Note {
            caller,
            code: Some(self.code.into()),
            reason: Some(self.inner.map_or_else(|| reason.clone(), |inner| format!("{inner}: {reason}"))),
            finding: self.finding,
            ..Note::default()
        })
    }
}

/// A JSON answer.
pub(super) fn document(status: StatusCode, body: &Value) -> Answer {
    Answer::body(status, "application/json; charset=utf-8", body.to_string())
}
