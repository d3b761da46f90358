//! The read side of the OCI distribution specification, for a container runtime that asks here first, whatever the
//! registry's host: it adds `?ns=<host>`.

use std::{fs, path::Path};

use axum::{
    Router,
    http::{HeaderMap, Method, StatusCode},
    response::IntoResponse,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt},
    net::TcpListener,
};

use crate::{Answer, Attempt, Request, Result, config::Images, journal::Note};

/// Serves images on `listener` until the future is dropped.
pub async fn serve(listener: TcpListener, images: Images) {
    let answer = async move |request: axum::extract::Request| {
        let request = request.map(|_| bytes::Bytes::new());
        answer(&images, &request).await.map_or_else(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(), |a| a.response)
    };
    // axum's own server never ends by itself.
    let _ = axum::serve(listener, Router::new().fallback(answer)).await;
}

/// Answers a registry request.
pub(crate) async fn answer(images: &Images, request: &Request) -> Result<Answer> {
    let path = request.uri().path();
    let host = request.uri().query().and_then(|q| q.split('&').find_map(|p| p.strip_prefix("ns="))).unwrap_or("docker.io");
    if path == "/v2/" || path == "/v2" {
        return Ok(Answer::body(StatusCode::OK, "application/json", "{}"));
    }
    let head = request.method() == Method::HEAD;
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    if let Some((name, wanted)) = rest.rsplit_once("/manifests/") {
        let digest = if wanted.starts_with("sha256:") {
            images.refs.iter().find(|(r, d)| *d == wanted && r.starts_with(&format!("{host}/{name}:"))).map(|(_, d)| d)
        } else {
            images.refs.get(&format!("{host}/{name}:{wanted}"))
        };
        let Some(digest) = digest else {
            return Ok(missing("MANIFEST_UNKNOWN", &format!("nobody here has the image {host}/{name}:{wanted}")));
        };
        let path = images.blobs.join(digest.trim_start_matches("sha256:"));
        let bytes = fs::read(&path).attempting(|| format!("read {}", path.display()))?;
        let media: Value = serde_json::from_slice(&bytes).attempting(|| format!("understand {}", path.display()))?;
        let media = media["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json").to_owned();
        let length = bytes.len();
        let mut answer = Answer::body(StatusCode::OK, "", if head { Vec::new() } else { bytes });
        set(&mut answer, "content-type", &media)?;
        set(&mut answer, "docker-content-digest", digest)?;
        set(&mut answer, "content-length", &length.to_string())?;
        return Ok(answer);
    }
    if let Some((_, digest)) = rest.rsplit_once("/blobs/sha256:") {
        let path = images.blobs.join(digest);
        let well_formed = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        if well_formed && path.exists() {
            return blob(&path, request.headers(), head).await;
        }
        return Ok(missing("BLOB_UNKNOWN", &format!("nobody here has the blob sha256:{digest}")));
    }
    Ok(missing("NAME_UNKNOWN", &format!("this registry does not know the path {path}")))
}

/// A blob, or the part of it that `Range: bytes=<from>-[<to>]` asks for.
async fn blob(path: &Path, headers: &HeaderMap, head: bool) -> Result<Answer> {
    let attempted = || format!("read {}", path.display());
    let mut file = tokio::fs::File::open(path).await.attempting(attempted)?;
    let size = file.metadata().await.attempting(attempted)?.len();
    let range = headers.get("range").and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("bytes="));
    let (from, to) = match range.and_then(|r| r.split_once('-')) {
        Some((from, to)) => (from.parse().unwrap_or(0), to.parse().unwrap_or(size.saturating_sub(1))),
        None => (0, size.saturating_sub(1)),
    };
    if range.is_some() && (from >= size || to < from) {
        return Ok(Answer::text(StatusCode::RANGE_NOT_SATISFIABLE, ""));
    }
    file.seek(std::io::SeekFrom::Start(from)).await.attempting(attempted)?;
    let length = if size == 0 { 0 } else { to.min(size - 1) - from + 1 };
    let body = if head {
        axum::body::Body::empty()
    } else {
        axum::body::Body::from_stream(tokio_util::io::ReaderStream::with_capacity(file.take(length), 1 << 20))
    };
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut answer = Answer::body(status, "application/octet-stream", body);
    set(&mut answer, "content-length", &length.to_string())?;
    if range.is_some() {
        set(&mut answer, "content-range", &format!("bytes {from}-{}/{size}", from + length - 1))?;
    }
    Ok(answer)
}

/// An error of the specification; an image nobody has is worth a finding.
fn missing(code: &str, message: &str) -> Answer {
    let body = json!({"errors": [{"code": code, "message": message}]}).to_string();
    Answer::body(StatusCode::NOT_FOUND, "application/json", body).noting(Note {
        code: Some(code.into()),
        ..Note::finding(message)
    })
}

fn set(answer: &mut Answer, name: &'static str, value: &str) -> Result<()> {
    let value = value.parse().attempting(|| format!("write the header {name}"))?;
    answer.response.headers_mut().insert(name, value);
    Ok(())
}
