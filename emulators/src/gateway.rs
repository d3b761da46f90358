//! The process itself: listeners, virtual hosts and the journal.

use std::{
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode},
    response::Response,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use jiff::Timestamp;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt;

use crate::{
    Answer, Attempt, Request, Result,
    authority::Authority,
    canary, charts,
    clock::Clock,
    cloud::{self, Cloud, Ground, Trouble},
    config::Config,
    control,
    fault::{Effect, Faults, delay},
    git, grafana,
    issuer::{Issuer, Trust},
    journal::{Journal, Line, Note},
    notify,
    registry::{Registry, Upstream},
};

/// Bodies larger than this are nothing that a platform sends to Git or a registry (bytes).
const BODY: usize = 64 << 20;
/// Bodies larger than this are nothing that a cloud here takes (bytes).
const CALL: usize = 1 << 20;
/// Headers larger than this are refused (bytes).
const HEADERS: usize = 64 << 10;
/// Time in which a request must have arrived.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Time in which half an answer leaves the machine.
const FLUSH: Duration = Duration::from_millis(50);

struct Gateway {
    config: Config,
    registry: Registry,
    ground: Ground,
    clouds: Vec<Arc<dyn Cloud>>,
    stack: Option<Arc<grafana::Stack>>,
    faults: Faults,
    journal: Journal,
}

/// Which of the gateway's doors a connection came through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Hosts,
    Registry,
    Metadata,
}

/// A gateway whose listeners are bound, so that clients can connect already.
pub struct Bound {
    gateway: Arc<Gateway>,
    acceptor: TlsAcceptor,
    https: TcpListener,
    plain: Vec<(Door, TcpListener)>,
    control: UnixListener,
}

impl Bound {
    /// Binds the listeners of a gateway; images that are not listed come from `upstream`.
    ///
    /// # Errors
    /// When a listener cannot be bound or a file of the configuration cannot be read.
    pub async fn open(config: Config, upstream: Option<Arc<dyn Upstream>>) -> Result<Self> {
        // Chosen once for the process; a second choice would be the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let issuer = Issuer::read(&config.issuer.url, &config.issuer.jwks, &config.issuer.key)?;
        let ground = Ground { clock: Clock::default(), trust: Trust::new(issuer) };
        let mut clouds = config.clouds.iter().map(|c| cloud::open(c, &ground)).collect::<Result<Vec<_>>>()?;
        let stack = config.grafana.as_ref().map(|c| grafana::Stack::open(c, Clock::default()).map(Arc::new));
        let stack = stack.transpose()?;
        clouds.extend(stack.clone().map(|stack| stack as Arc<dyn Cloud>));
        let authority = Authority::read(&config.authority.certificate, &config.authority.key)?;
        let mut tls = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(authority));
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

        let bind =
            async |address: SocketAddr| TcpListener::bind(address).await.attempting(|| format!("listen on {address}"));
        let https = bind(config.https).await?;
        let mut plain = Vec::new();
        for (door, address) in [(Door::Registry, config.registry), (Door::Metadata, config.metadata)] {
            if let Some(address) = address {
                plain.push((door, bind(address).await?));
            }
        }
        let control =
            UnixListener::bind(&config.control).attempting(|| format!("listen on {}", config.control.display()))?;
        let gateway = Arc::new(Gateway {
            journal: Journal::open(&config.journal)?,
            registry: Registry::new(&config.images, upstream),
            faults: Faults::default(),
            ground,
            clouds,
            stack,
            config,
        });
        Ok(Self { gateway, acceptor: TlsAcceptor::from(Arc::new(tls)), https, plain, control })
    }

    /// Address of the TLS listener; its port is the one that was found when the configured one was 0.
    ///
    /// # Errors
    /// When the listener has none.
    pub fn address(&self) -> Result<SocketAddr> {
        self.https.local_addr().attempting(|| "tell the gateway's address".into())
    }

    /// Serves until the process ends. `READY=1` goes to `$NOTIFY_SOCKET`.
    ///
    /// # Errors
    /// When the control interface ends, or nobody could be told that the gateway is ready.
    pub async fn serve(self) -> Result<()> {
        for (door, listener) in self.plain {
            let gateway = self.gateway.clone();
            tokio::spawn(accept(listener, move |stream| {
                let gateway = gateway.clone();
                async move {
                    let cable = Cable::of(&stream);
                    connection(gateway, TokioIo::new(stream), door, cable).await;
                }
            }));
        }
        let routes = control::routes(control::Desk {
            ground: self.gateway.ground.clone(),
            faults: self.gateway.faults.clone(),
            clouds: self.gateway.clouds.clone(),
            stack: self.gateway.stack.clone(),
            given: control::Given::default(),
        });
        let control = tokio::spawn(async move { axum::serve(self.control, routes).await });
        let hosts = accept(self.https, move |stream| {
            let (gateway, acceptor) = (self.gateway.clone(), self.acceptor.clone());
            async move {
                let cable = Cable::of(&stream);
                match tokio::time::timeout(ARRIVAL, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => connection(gateway, TokioIo::new(stream), Door::Hosts, cable).await,
                    // Port scanners and health checks; a client that distrusts the authority shows up in its own log.
                    Ok(Err(e)) => tracing::debug!("TLS: {e}"),
                    Err(_) => tracing::debug!("TLS: no handshake in {} s", ARRIVAL.as_secs()),
                }
            }
        });
        notify::ready().attempting(|| "say that the gateway is ready".into())?;
        let attempted = || "serve the control interface".to_owned();
        tokio::select! {
            () = hosts => Ok(()),
            ended = control => ended.attempting(attempted)?.attempting(attempted),
        }
    }
}

/// The socket under a connection, to break it on demand.
struct Cable(Option<OwnedFd>);

impl Cable {
    fn of(stream: &TcpStream) -> Self {
        Self(stream.as_fd().try_clone_to_owned().ok())
    }

    /// Makes the end of the connection a reset.
    fn cut(&self) {
        if let Some(socket) = &self.0 {
            // When it fails the client sees an orderly end, which is trouble enough.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
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

async fn connection<S>(gateway: Arc<Gateway>, stream: S, door: Door, cable: Cable)
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let gateway = gateway.clone();
        async move { gateway.handle(request, door).await }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(ARRIVAL).max_buf_size(HEADERS);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEADERS as u32);
    if let Err(e) = builder.serve_connection(stream, service).await {
        if e.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user) {
            cable.cut();
        }
        tracing::debug!("connection: {e}");
    }
}

/// The connection shall be reset.
#[derive(Debug, thiserror::Error)]
#[error("reset on demand")]
struct Reset;

impl Gateway {
    /// Answers one request and writes its journal line.
    async fn handle(&self, request: hyper::Request<Incoming>, door: Door) -> Result<Response, Reset> {
        let begun = Instant::now();
        let (parts, body) = request.into_parts();
        let named =
            parts.headers.get("host").and_then(|v| v.to_str().ok()).or(parts.uri.authority().map(|a| a.as_str()));
        let host = if door == Door::Registry { "registry" } else { named.unwrap_or_default() };
        let host = host.split(':').next().unwrap_or_default().to_lowercase();
        let canary = parts.headers.get("user-agent").is_some_and(|agent| agent == canary::AGENT);
        let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
        let cloud = self.clouds.iter().find(|cloud| door != Door::Registry && cloud.plays(&host)).cloned();
        let limit = if cloud.is_some() { CALL } else { BODY };
        let arrived = tokio::time::timeout(ARRIVAL, http_body_util::Limited::new(body, limit).collect()).await;
        let answer = match (arrived, cloud) {
            (Ok(Ok(body)), Some(cloud)) => self.call(&*cloud, &host, Request::from_parts(parts, body.to_bytes())).await,
            (Ok(Ok(body)), None) => {
                let request = Request::from_parts(parts, body.to_bytes());
                Ok(self.answer(&host, request, door).await.unwrap_or_else(|e| {
                    tracing::warn!("{e}");
                    Answer::text(StatusCode::BAD_GATEWAY, format!("{e}\n")).noting(Note {
                        code: Some("gateway".into()),
                        reason: Some(e.to_string()),
                        ..Note::default()
                    })
                }))
            }
            (Ok(Err(e)), _) => Ok(Answer::text(StatusCode::BAD_REQUEST, format!("the request cannot be read: {e}\n"))),
            (Err(_), _) => Ok(Answer::text(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time\n")),
        };
        let (response, note, status) = match answer {
            Ok(Answer { response, note }) => {
                let status = response.status().as_u16();
                (Ok(response), note, status)
            }
            Err(note) => (Err(Reset), note, 0),
        };
        self.journal.append(&Line {
            time: Timestamp::now(),
            host,
            method,
            path,
            status,
            milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            note: Note { canary, ..note },
        });
        response
    }

    /// A call to a cloud, and the trouble that waits for it. The error is a connection to reset.
    async fn call(&self, cloud: &dyn Cloud, host: &str, request: Request) -> Result<Answer, Note> {
        let action = Some(cloud.operation(host, &request));
        let effect = action.as_deref().and_then(|operation| self.faults.strike(operation));
        let mut answer = match effect {
            Some(Effect::Throttled) => cloud.trouble(host, &request, Trouble::Throttled),
            Some(Effect::Internal) => cloud.trouble(host, &request, Trouble::Internal),
            Some(Effect::Reset) => return Err(Note { action, reason: Some("fault: reset".into()), ..Note::default() }),
            Some(Effect::Latency(milliseconds)) => {
                // The fault is the delay.
                tokio::time::sleep(delay(milliseconds)).await;
                cloud.answer(host, request).await
            }
            Some(Effect::Truncated) => truncated(cloud.answer(host, request).await).await,
            None => cloud.answer(host, request).await,
        };
        answer.note.action = action;
        if let Some(effect) = effect {
            answer.note.reason = Some(format!("fault: {effect:?}"));
        }
        Ok(answer)
    }

    async fn answer(&self, host: &str, request: Request, door: Door) -> Result<Answer> {
        let path = request.uri().path().to_owned();
        if door == Door::Registry {
            return self.registry.answer(&request).await;
        }
        let issuer = self.ground.trust.issuer();
        if host == issuer.host()
            && let Some(answer) = issuer.answer(&path)
        {
            return Ok(answer);
        }
        if let Some((repository, rest)) = git::find(&self.config.git, host, &path) {
            return git::answer(repository, &rest, request).await;
        }
        if let Some((charts, file)) = charts::find(&self.config.charts, host, &path) {
            return charts::answer(charts, file);
        }
        let text = format!("nothing here plays https://{host}{path}: a platform under test should not call it\n");
        Ok(Answer::text(StatusCode::MISDIRECTED_REQUEST, text.clone()).noting(Note::finding(text.trim())))
    }
}

/// The first half of an answer's body, with the promise of the whole.
async fn truncated(answer: Answer) -> Answer {
    let (mut parts, body) = answer.response.into_parts();
    let whole = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    parts.headers.insert("content-length", HeaderValue::from(whole.len()));
    let half = whole.slice(..whole.len() / 2);
    let frames = [Ok(half), Err(std::io::Error::other("truncated on demand"))];
    // What is sent must have left before the connection ends, and nothing tells when it has.
    let body = Body::from_stream(tokio_stream::iter(frames).throttle(FLUSH));
    Answer { response: Response::from_parts(parts, body), note: answer.note }
}
