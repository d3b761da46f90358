//! The internet in a box: one process that answers, with certificates of its own authority, under the names of the
//! Git host, the chart repository, the image registries and the clouds that a platform calls.
//!
//! Identity is really verified. The clouds here refuse what the real ones refuse, with the real error codes, and
//! [`canary`] proves it in every run.

pub mod authority;
pub mod aws;
pub mod azure;
pub mod canary;
pub mod charts;
mod check;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod control;
pub mod fault;
#[cfg(test)]
mod fixture;
pub mod gateway;
pub mod gcp;
pub mod git;
pub mod grafana;
pub mod issuer;
pub mod journal;
pub mod notify;
mod random;
pub mod registry;
mod rs256;
pub mod seed;
#[cfg(test)]
mod wire;

use axum::{body::Body, http::StatusCode, response::Response};

/// An error of the gateway or of one of its clouds' set-up.
#[derive(Debug, thiserror::Error)]
#[error("could not {attempted}: {seen}")]
pub struct Error {
    attempted: String,
    seen: String,
}

/// Result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `attempted` completes the sentence "could not …"; `seen` is the observation.
    pub fn new(attempted: impl Into<String>, seen: impl std::fmt::Display) -> Self {
        Self { attempted: attempted.into(), seen: seen.to_string() }
    }
}

/// Turns any error into an [`Error`] by saying what was attempted.
pub(crate) trait Attempt<T> {
    fn attempting(self, attempted: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: std::fmt::Display> Attempt<T> for std::result::Result<T, E> {
    fn attempting(self, attempted: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::new(attempted(), e))
    }
}

/// A request whose body has been read.
pub(crate) type Request = axum::http::Request<bytes::Bytes>;

/// What a virtual host answers, and what the journal shall say about it.
pub(crate) struct Answer {
    pub response: Response,
    pub note: journal::Note,
}

impl Answer {
    /// An answer with nothing to remark.
    pub fn plain(response: Response) -> Self {
        Self { response, note: journal::Note::default() }
    }

    /// A body with its media type.
    pub fn body(status: StatusCode, media: &'static str, body: impl Into<Body>) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        response.headers_mut().insert("content-type", axum::http::HeaderValue::from_static(media));
        Self::plain(response)
    }

    /// A text.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::body(status, "text/plain; charset=utf-8", text.into())
    }

    /// Adds a remark for the journal.
    pub fn noting(mut self, note: journal::Note) -> Self {
        self.note = note;
        self
    }
}
