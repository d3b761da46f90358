//! The HTTP interface.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::oneshot, task::spawn_blocking, time::timeout};

use crate::{
    metrics::{CONTENT_TYPE, Metrics, Stage},
    picture::{colour, encode, iterate},
    view::View,
};

/// How long requests that have begun may take when the server is told to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The interface: `/render`, `/metrics` and `/healthz`.
pub fn routes(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/render", get(render))
        .route("/metrics", get(scrape))
        .route("/healthz", get(async || "ok\n"))
        .with_state(metrics)
}

/// Serves until `told` is heard; what has begun by then is finished, unless it takes long.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    told: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (ending, ends) = oneshot::channel();
    let shutdown = async move {
        told.await;
        // Nobody listens when the server has ended by itself.
        let _ = ending.send(());
    };
    let mut serving =
        std::pin::pin!(axum::serve(listener, routes(metrics)).with_graceful_shutdown(shutdown).into_future());
    tokio::select! {
        served = &mut serving => served,
        _ = ends => timeout(PATIENCE, serving).await.unwrap_or(Ok(())),
    }
}

async fn render(State(metrics): State<Arc<Metrics>>, RawQuery(query): RawQuery) -> Response {
    let view = match View::parse(&query.unwrap_or_default()) {
        Ok(view) => view,
        Err(refusal) => return (StatusCode::BAD_REQUEST, format!("{refusal}\n")).into_response(),
    };
    let counted = metrics.clone();
    // Drawing would keep the threads that answer probes and scrapes.
    let drawn = spawn_blocking(move || draw(&view, &counted)).await.map_err(|e| e.to_string());
    match drawn.and_then(|file| file.map_err(|e| e.to_string())) {
        Ok(file) => {
            metrics.answered();
            ([(header::CONTENT_TYPE, "image/png")], file).into_response()
        }
        Err(reason) => trouble(&reason),
    }
}

/// All stages of a picture, each counted when it is finished.
fn draw(view: &View, metrics: &Metrics) -> Result<Vec<u8>, png::EncodingError> {
    let steps = iterate(view);
    metrics.finished(Stage::Iterate);
    let colours = colour(view, &steps);
    metrics.finished(Stage::Colour);
    let file = encode(view, &colours)?;
    metrics.finished(Stage::Encode);
    Ok(file)
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(e) => trouble(&e.to_string()),
    }
}

fn trouble(reason: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{reason}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::Request,
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };
    use tower::ServiceExt;

    use super::*;

    async fn ask(routes: &Router, uri: &str) -> (StatusCode, String, Vec<u8>) {
        let response = routes.clone().oneshot(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let kind = parts.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (parts.status, kind, to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn pictures_are_counted_and_refusals_are_not() {
        let routes = routes(Arc::default());
        let (status, kind, file) = ask(&routes, "/render?width=8&height=8&iterations=8").await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "image/png"));
        assert!(file.starts_with(b"\x89PNG\r\n\x1a\n"));
        let (status, kind, text) = ask(&routes, "/render?width=wide").await;
        assert_eq!((status, kind.as_str()), (StatusCode::BAD_REQUEST, "text/plain; charset=utf-8"));
        assert_eq!(String::from_utf8(text).unwrap(), "width is \"wide\" and must be a whole number from 1 to 4096\n");
        let (status, kind, text) = ask(&routes, "/metrics").await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, CONTENT_TYPE));
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("\nmandelbrot_render_requests_total 1\n"), "{text}");
        for stage in Stage::ALL {
            let sample = format!("\nmandelbrot_stage_renders_total{{stage=\"{}\"}} 1\n", stage.name());
            assert!(text.contains(&sample), "{text}");
        }
        assert_eq!(ask(&routes, "/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn it_ends_when_told_whatever_connections_are_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, Arc::default(), async { told.await.unwrap() }));
        // A connection that has been used and is kept, as Prometheus keeps it.
        let mut kept = TcpStream::connect(address).await.unwrap();
        kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        kept.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        tell.send(()).unwrap();
        timeout(PATIENCE / 2, serving).await.expect("it ends at once").unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
