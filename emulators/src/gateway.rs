//! The process itself: listeners, virtual hosts and the journal.

use std::{convert::Infallible, os::unix::net::UnixDatagram, path::Path, sync::Arc, time::Instant};

use axum::{http::StatusCode, response::Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::{
    Answer, Attempt, Request, Result,
    authority::Authority,
    aws::{Account, canaries, secretsmanager, sts},
    charts,
    config::Config,
    control, git,
    issuer::Issuer,
    journal::{Journal, Line, Note},
    registry::{Registry, Upstream},
};

/// Bodies larger than this are nothing that a platform sends (bytes).
const BODY: usize = 64 << 20;

struct Gateway {
    config: Config,
    registry: Registry,
    account: Account,
    journal: Journal,
}

/// Serves until the process ends; images that are not listed come from `upstream`. When all listeners are bound, `READY=1` goes to `$NOTIFY_SOCKET`.
///
/// # Errors
/// When a listener cannot be bound or a file of the configuration cannot be read.
pub async fn serve(config: Config, upstream: Option<Arc<dyn Upstream>>) -> Result<()> {
    // Chosen once for the process; a second choice would be the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let issuer = Issuer::read(&config.issuer.url, &config.issuer.key)?;
    let account = Account::open(&config.aws, issuer)?;
    let authority = Authority::read(&config.authority.certificate, &config.authority.key)?;
    let mut tls = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(authority));
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));

    let https = TcpListener::bind(config.https).await.attempting(|| format!("listen on {}", config.https))?;
    let plain = TcpListener::bind(config.registry).await.attempting(|| format!("listen on {}", config.registry))?;
    let socket =
        UnixListener::bind(&config.control).attempting(|| format!("listen on {}", config.control.display()))?;
    let gateway = Arc::new(Gateway {
        journal: Journal::open(&config.journal)?,
        account: account.clone(),
        registry: Registry::new(&config.images, upstream),
        config,
    });

    let registry = gateway.clone();
    tokio::spawn(accept(plain, move |stream| {
        let gateway = registry.clone();
        async move { connection(gateway, TokioIo::new(stream), true).await }
    }));
    let control = tokio::spawn(async move { axum::serve(socket, control::routes(account)).await });
    let hosts = accept(https, move |stream| {
        let (gateway, acceptor) = (gateway.clone(), acceptor.clone());
        async move {
            match acceptor.accept(stream).await {
                Ok(stream) => connection(gateway, TokioIo::new(stream), false).await,
                // Port scanners and health checks; a client that distrusts the authority shows up in its own log.
                Err(e) => tracing::debug!("TLS: {e}"),
            }
        }
    });
    ready().attempting(|| "say that the gateway is ready".into())?;
    tokio::select! {
        () = hosts => Ok(()),
        ended = control => ended.attempting(|| "serve the control interface".into())?.attempting(|| "serve the control interface".into()),
    }
}

async fn accept<F: Future<Output = ()> + Send + 'static>(listener: TcpListener, handle: impl Fn(TcpStream) -> F) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers must not wait for more to send; it is an optimisation, so failure is none.
                let _ = stream.set_nodelay(true);
                tokio::spawn(handle(stream));
            }
            Err(e) => tracing::warn!("could not accept a connection: {e}"),
        }
    }
}

async fn connection<S>(gateway: Arc<Gateway>, stream: S, registry: bool)
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(gateway.handle(request, registry).await) }
    });
    if let Err(e) = auto::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await {
        tracing::debug!("connection: {e}");
    }
}

impl Gateway {
    /// Answers one request and writes its journal line.
    async fn handle(&self, request: hyper::Request<Incoming>, registry: bool) -> Response {
        let begun = Instant::now();
        let (parts, body) = request.into_parts();
        let named =
            parts.headers.get("host").and_then(|v| v.to_str().ok()).or(parts.uri.authority().map(|a| a.as_str()));
        let host = if registry { "registry" } else { named.unwrap_or_default() };
        let host = host.split(':').next().unwrap_or_default().to_owned();
        let canary = parts.headers.get("user-agent").is_some_and(|agent| agent == canaries::AGENT);
        let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
        let answer = match http_body_util::Limited::new(body, BODY).collect().await {
            Ok(body) => {
                let request = Request::from_parts(parts, body.to_bytes());
                self.answer(&host, request, registry).await.unwrap_or_else(|e| {
                    tracing::warn!("{e}");
                    Answer::text(StatusCode::BAD_GATEWAY, format!("{e}\n")).noting(Note {
                        code: Some("gateway".into()),
                        reason: Some(e.to_string()),
                        ..Note::default()
                    })
                })
            }
            Err(e) => Answer::text(StatusCode::BAD_REQUEST, format!("the request cannot be read: {e}\n")),
        };
        self.journal.append(&Line {
            time: Timestamp::now(),
            host,
            method,
            path,
            status: answer.response.status().as_u16(),
            milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            note: Note { canary, ..answer.note },
        });
        answer.response
    }

    async fn answer(&self, host: &str, request: Request, registry: bool) -> Result<Answer> {
        let path = request.uri().path().to_owned();
        let aws = &self.config.aws;
        if registry {
            return self.registry.answer(&request).await;
        }
        if host == format!("sts.{}.amazonaws.com", aws.region) || host == "sts.amazonaws.com" {
            return Ok(sts::answer(&self.account, &request));
        }
        if host == format!("secretsmanager.{}.amazonaws.com", aws.region) {
            return secretsmanager::answer(&self.account, &request).await;
        }
        if host == self.account.issuer.host() {
            return self.account.issuer.answer(&path);
        }
        if let Some((repository, rest)) = git::find(&self.config.git, host, &path) {
            return git::answer(repository, &rest, request).await;
        }
        if let Some(charts) = self.config.charts.iter().find(|c| c.host == host) {
            return charts::answer(charts, &path);
        }
        let text = format!("nothing here plays https://{host}{path}: a platform under test should not call it\n");
        Ok(Answer::text(StatusCode::MISDIRECTED_REQUEST, text.clone()).noting(Note::finding(text.trim())))
    }
}

/// sd_notify(3).
fn ready() -> std::io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(path) => UnixDatagram::unbound()?.send_to(b"READY=1", Path::new(&path)).map(|_| ()),
        None => Ok(()),
    }
}
