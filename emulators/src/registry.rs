//! The read side of the OCI distribution specification, for a container runtime that asks here first, whatever the
//! registry's host: it adds `?ns=<host>`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, RwLock},
};

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

/// Where images come from that are not listed.
pub trait Upstream: Send + Sync {
    /// Gets an image and puts its blobs into the registry's folder. Returns its digest (`sha256:…`), or why it cannot be
    /// had.
    fn pull<'a>(&'a self, reference: &'a str) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;
}

/// A read-only registry.
#[derive(Clone)]
pub struct Registry {
    blobs: PathBuf,
    refs: Arc<RwLock<BTreeMap<String, String>>>,
    upstream: Option<Arc<dyn Upstream>>,
}

impl Registry {
    /// A registry of `images`, and of what `upstream` has.
    pub fn new(images: &Images, upstream: Option<Arc<dyn Upstream>>) -> Self {
        Self { blobs: images.blobs.clone(), refs: Arc::new(RwLock::new(images.refs.clone())), upstream }
    }

    /// Serves the registry on `listener` until the future is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let answer = async move |request: axum::extract::Request| {
            let request = request.map(|_| bytes::Bytes::new());
            self.answer(&request)
                .await
                .map_or_else(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(), |a| a.response)
        };
        // axum's own server never ends by itself.
        let _ = axum::serve(listener, Router::new().fallback(answer)).await;
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: &Request) -> Result<Answer> {
        let path = request.uri().path();
        if path == "/v2/" || path == "/v2" {
            return Ok(Answer::body(StatusCode::OK, "application/json", "{}"));
        }
        let head = request.method() == Method::HEAD;
        let rest = path.strip_prefix("/v2/").unwrap_or_default();
        if let Some((name, wanted)) = rest.rsplit_once("/manifests/") {
            let query = request.uri().query().unwrap_or_default();
            let host = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ns");
            let host = host.map_or("docker.io".into(), |(_, host)| host);
            return match self.digest(&host, name, wanted).await {
                Ok(digest) => self.manifest(&digest, head),
                Err(why) => Ok(missing("MANIFEST_UNKNOWN", &why)),
            };
        }
        if let Some((_, digest)) = rest.rsplit_once("/blobs/") {
            return match self.blob(digest) {
                Some(path) => blob(&path, request.headers(), head).await,
                None => Ok(missing("BLOB_UNKNOWN", &format!("nobody here has the blob {digest}"))),
            };
        }
        Ok(missing("NAME_UNKNOWN", &format!("this registry does not know the path {path}")))
    }

    /// Digest of the manifest or index that a tag or digest names, or why it cannot be had.
    async fn digest(&self, host: &str, name: &str, wanted: &str) -> Result<String, String> {
        let by_digest = wanted.starts_with("sha256:");
        // A digest says what the content is, whoever has it.
        if by_digest && self.blob(wanted).is_some() {
            return Ok(wanted.into());
        }
        let reference = format!("{host}/{name}{}{wanted}", if by_digest { '@' } else { ':' });
        if let Some(digest) = self.refs.read().ok().and_then(|refs| refs.get(&reference).cloned()) {
            return Ok(digest);
        }
        let Some(upstream) = &self.upstream else { return Err(format!("nobody here has the image {reference}")) };
        let digest =
            upstream.pull(&reference).await.map_err(|why| format!("nobody here has the image {reference}: {why}"))?;
        if let Ok(mut refs) = self.refs.write() {
            refs.insert(reference, digest.clone());
        }
        Ok(digest)
    }

    /// Path of a blob, when it is there.
    fn blob(&self, digest: &str) -> Option<PathBuf> {
        let digest = digest.strip_prefix("sha256:")?;
        let well_formed = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        Some(self.blobs.join(digest)).filter(|path| well_formed && path.exists())
    }

    fn manifest(&self, digest: &str, head: bool) -> Result<Answer> {
        let path = self.blobs.join(digest.trim_start_matches("sha256:"));
        let bytes = fs::read(&path).attempting(|| format!("read {}", path.display()))?;
        let manifest: Value = serde_json::from_slice(&bytes).attempting(|| format!("understand {}", path.display()))?;
        let media = manifest["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json").to_owned();
        let length = bytes.len();
        let mut answer = Answer::body(StatusCode::OK, "", if head { Vec::new() } else { bytes });
        set(&mut answer, "content-type", &media)?;
        set(&mut answer, "docker-content-digest", digest)?;
        set(&mut answer, "content-length", &length.to_string())?;
        Ok(answer)
    }
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
    Answer::body(StatusCode::NOT_FOUND, "application/json", body)
        .noting(Note { code: Some(code.into()), ..Note::finding(message) })
}

fn set(answer: &mut Answer, name: &'static str, value: &str) -> Result<()> {
    let value = value.parse().attempting(|| format!("write the header {name}"))?;
    answer.response.headers_mut().insert(name, value);
    Ok(())
}
