//! The real Prometheus that keeps what is received and evaluates PromQL, reached over a Unix socket: all worlds of a
//! run share it, and the socket is the only thing that they have in common.

use std::path::Path;

use axum::{
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use reqwest::Client;

use super::{PROMETHEUS, refusal::Refusal};
use crate::{Answer, Attempt, Request, Result};

/// A client of the engine.
pub(super) struct Engine {
    http: Client,
}

impl Engine {
    /// The engine at a socket; connects on use.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub(super) fn at(socket: &Path) -> Result<Self> {
        let http = Client::builder().unix_socket(socket).build();
        Ok(Self { http: http.attempting(|| format!("use the socket {}", socket.display()))? })
    }

    /// Hands on a remote write as it came.
    ///
    /// # Errors
    /// When the engine refuses, or cannot be reached.
    pub(super) async fn write(&self, request: &Request) -> Result<(), Refusal> {
        let call = self.http.post("http://engine/api/v1/write");
        let headers = ["content-type", "content-encoding", "x-prometheus-remote-write-version"];
        let call = headers.into_iter().fold(call, |call, name| match request.headers().get(name) {
            Some(value) => call.header(name, value.clone()),
            None => call,
        });
        let answer = call.body(request.body().clone()).send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        match status {
            status if status.is_success() => Ok(()),
            status if status.is_client_error() => Err(Refusal::Rejected("engine", text.trim().to_owned())),
            _ => Err(Refusal::Internal(text.trim().to_owned())),
        }
    }

    /// Asks the query API; the answer is the engine's own.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub(super) async fn query(&self, request: &Request) -> Result<Answer, Refusal> {
        let path = request.uri().path_and_query().map_or("", |p| p.as_str());
        let path = path.strip_prefix(PROMETHEUS).unwrap_or_default();
        let mut call = self.http.request(request.method().clone(), format!("http://engine/{path}"));
        if let Some(media) = request.headers().get(CONTENT_TYPE) {
            call = call.header(CONTENT_TYPE, media.clone());
        }
        let answer = call.body(request.body().clone()).send().await.map_err(unreachable)?;
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let media = answer.headers().get(CONTENT_TYPE).cloned();
        let body = answer.bytes().await.map_err(unreachable)?;
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        if let Some(media) = media {
            response.headers_mut().insert(CONTENT_TYPE, media);
        }
        Ok(Answer::plain(response))
    }
}

fn unreachable(e: reqwest::Error) -> Refusal {
    Refusal::Internal(format!("the engine cannot be asked: {e}"))
}
