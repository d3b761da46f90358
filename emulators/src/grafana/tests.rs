use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use prost::Message;

use super::{
    Stack,
    remote_write::{
        Version, decode, encode,
        one::{Label, MetricMetadata, Sample, TimeSeries, WriteRequest},
        two,
    },
};
use crate::{
    Request,
    clock::Clock,
    cloud::{Cloud, Trouble},
    config,
};

const USER: &str = "1234567";

fn stack() -> Stack {
    let declared = format!("{}/../fixtures/worlds/grafana.yaml", env!("CARGO_MANIFEST_DIR")).into();
    let stack = Stack::open(&config::Grafana { declared, engine: None }, Clock::default()).unwrap();
    let values = [("grafana_password", "glc_writer"), ("grafana_reader", "glc_reader"), ("grafana_next", "glc_next")];
    stack.issue(&values.map(|(k, v)| (k.to_owned(), v.to_owned())).into()).unwrap();
    stack
}

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(name, value)| Label { name: (*name).into(), value: (*value).into() }).collect()
}

fn one(series: &[(&str, &str)], time: i64, value: f64) -> Vec<u8> {
    let series =
        TimeSeries { labels: labels(series), samples: vec![Sample { value, timestamp: time }], ..Default::default() };
    let metadata = vec![MetricMetadata { metric_family_name: "a".into(), help: "A family.".into() }];
    encode(&WriteRequest { timeseries: vec![series], metadata })
}

fn compressed(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

fn request(path: &str, credentials: &str, body: Vec<u8>) -> Request {
    axum::http::Request::post(format!("https://prometheus-prod-13-prod-us-east-0.grafana.net/api/prom/{path}"))
        .header("authorization", format!("Basic {}", STANDARD.encode(credentials)))
        .body(body.into())
        .unwrap()
}

async fn push(stack: &Stack, credentials: &str, body: Vec<u8>) -> (StatusCode, String) {
    send(stack, request("push", credentials, body)).await
}

async fn send(stack: &Stack, request: Request) -> (StatusCode, String) {
    let answer = stack.answer(stack.host(), request).await;
    let status = answer.response.status();
    let body = axum::body::to_bytes(answer.response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn what_is_written_is_recorded() {
    let stack = stack();
    let writer = format!("{USER}:glc_writer");
    let now = jiff::Timestamp::now().as_millisecond();
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    for (time, value) in [(now - 2, 1.0), (now - 1, f64::INFINITY), (now, stale)] {
        let (status, text) = push(&stack, &writer, one(&[("__name__", "a"), ("cloud", "aws")], time, value)).await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, ""));
    }
    let seen = stack.received.after(0).await;
    assert_eq!((seen.latest, seen.forgotten, seen.series.len()), (3, 0, 1));
    assert_eq!(seen.series[0]["cloud"], "aws");
    assert_eq!(seen.metadata["a"], "A family.");
    let samples: Vec<_> = seen.writes.iter().flat_map(|w| &w.samples).map(|s| (s.value, s.stale)).collect();
    assert_eq!(samples, [(Some(1.0), false), (None, false), (None, true)]);
    assert_eq!(stack.received.after(2).await.writes.len(), 1);
}

#[tokio::test]
async fn only_a_token_with_the_scope_gets_in() {
    let stack = stack();
    let body = || one(&[("__name__", "a")], 0, 1.0);
    for (credentials, error) in [
        ("1234567:glc_other", "authentication error: invalid token"),
        ("1234567:", "authentication error: invalid token"),
        ("7654321:glc_writer", "authentication error: legacy auth cannot be upgraded because the host is not found"),
        ("glc_writer", "authentication error: no credentials provided"),
        ("1234567:glc_reader", "authentication error: invalid scope requested"),
    ] {
        let (status, text) = push(&stack, credentials, body()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{credentials}");
        assert_eq!(text, format!(r#"{{"status":"error","error":"{error}"}}"#));
    }
    let (status, _) = send(&stack, request("api/v1/query?query=up", "1234567:glc_writer", Vec::new())).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a writer does not read");
    let refused = stack.received.after(0).await;
    assert!(refused.writes.iter().all(|w| w.status == 401 && w.samples.is_empty()));
    assert_eq!(refused.writes.len(), 5);
    // Rotation takes the old token's rights at once.
    stack.rotate("write", "glc_new").unwrap();
    assert_eq!(push(&stack, "1234567:glc_writer", body()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(push(&stack, "1234567:glc_new", body()).await.0, StatusCode::OK);
    stack.revoke("write").unwrap();
    assert_eq!(push(&stack, "1234567:glc_new", body()).await.0, StatusCode::UNAUTHORIZED);
    assert!(stack.rotate("unknown", "x").is_err() && stack.revoke("write").is_err());
}

#[tokio::test]
async fn only_pages_of_the_query_api_are_asked() {
    let stack = stack();
    for page in
        ["api/v1/write", "api/v1/query/../write", "api/v1/label/a/../../write/values", "api/v1/status/config", "", "x"]
    {
        let (status, _) = send(&stack, request(page, "1234567:glc_reader", Vec::new())).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{page}");
    }
    for page in ["api/v1/query", "api/v1/query_range", "api/v1/series", "api/v1/labels", "api/v1/label/cloud/values"] {
        let (status, text) = send(&stack, request(page, "1234567:glc_reader", Vec::new())).await;
        // This stack has no engine to ask.
        assert_eq!(
            (status, text.as_str()),
            (StatusCode::INTERNAL_SERVER_ERROR, "this stack has no engine\n"),
            "{page}"
        );
    }
}

#[tokio::test]
async fn limits_are_mimirs() {
    let stack = stack();
    let long = "x".repeat(2049);
    let many: Vec<String> = (0..30).map(|i| format!("l{i}")).collect();
    let mut crowded = vec![("__name__", "a")];
    crowded.extend(many.iter().map(|name| (name.as_str(), "v")));
    let late = jiff::Timestamp::now().as_millisecond() + 3_600_000;
    for (series, time, id) in [
        (vec![("cloud", "aws")], 0, "err-mimir-missing-metric-name"),
        (vec![("__name__", "a-b")], 0, "err-mimir-metric-name-invalid"),
        (vec![("__name__", "a"), ("b-c", "d")], 0, "err-mimir-label-invalid"),
        (vec![("__name__", "a"), ("b", long.as_str())], 0, "err-mimir-label-value-too-long"),
        (vec![("__name__", "a"), ("b", "c"), ("b", "d")], 0, "err-mimir-duplicate-label-names"),
        (crowded, 0, "err-mimir-max-label-names-per-series"),
        (vec![("__name__", "a")], late, "err-mimir-too-far-in-future"),
    ] {
        let (status, text) = push(&stack, "1234567:glc_writer", one(&series, time, 1.0)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{id}");
        assert!(text.contains(&format!("({id})")), "{text}");
    }
    assert_eq!(push(&stack, "1234567:glc_writer", b"no snappy".to_vec()).await.0, StatusCode::BAD_REQUEST);
    assert!(stack.received.after(0).await.writes.iter().all(|w| w.samples.is_empty()));
}

#[tokio::test]
async fn version_two_says_how_much_was_written() {
    let stack = stack();
    let symbols = ["", "__name__", "a", "A family."].map(Into::into).into();
    let series = two::TimeSeries {
        labels_refs: vec![1, 2],
        samples: vec![Sample { value: 1.0, timestamp: 1 }, Sample { value: 2.0, timestamp: 2 }],
        metadata: Some(two::Metadata { help_ref: 3 }),
        ..Default::default()
    };
    let body = compressed(&two::Request { symbols, timeseries: vec![series.clone()] });
    let mut request = request("push", "1234567:glc_writer", body);
    let media = HeaderValue::from_static("application/x-protobuf;proto=io.prometheus.write.v2.Request");
    request.headers_mut().insert("content-type", media);
    let answer = stack.answer(stack.host(), request).await;
    assert_eq!(answer.response.status(), StatusCode::OK);
    assert_eq!(answer.response.headers()["x-prometheus-remote-write-samples-written"], "2");
    assert_eq!(stack.received.after(0).await.metadata["a"], "A family.");
    // A reference to nothing.
    let body = compressed(&two::Request { symbols: Vec::new(), timeseries: vec![series] });
    assert!(decode(Version::Two, &body).is_err());
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/x-protobuf;proto=other"));
    assert!(Version::of(&headers).is_err());
}

#[test]
fn trouble_says_when_to_come_again() {
    let stack = stack();
    for (attempt, seconds) in [(None, "6"), (Some("2"), "12"), (Some("5"), "96"), (Some("60"), "96"), (Some("x"), "6")]
    {
        let mut request = request("push", "", Vec::new());
        if let Some(attempt) = attempt {
            request.headers_mut().insert("retry-attempt", HeaderValue::from_static(attempt));
        }
        for (trouble, status) in [(Trouble::Throttled, 429), (Trouble::Internal, 500)] {
            let answer = stack.trouble(stack.host(), &request, trouble).response;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["retry-after"]),
                (status, &seconds.parse().unwrap())
            );
        }
    }
}

#[tokio::test]
async fn what_is_refused_unread_is_recorded_too() {
    let stack = stack();
    stack.trouble(stack.host(), &request("push", "", Vec::new()), Trouble::Throttled);
    assert_eq!(send(&stack, request("pushed", "", Vec::new())).await.0, StatusCode::NOT_FOUND);
    let seen = stack.received.after(0).await;
    assert_eq!(seen.writes.iter().map(|write| write.status).collect::<Vec<_>>(), [429, 404]);
}

proptest! {
    #[test]
    fn no_body_is_too_strange(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for version in [Version::One, Version::Two] {
            let _ = decode(version, &body);
            let _ = decode(version, &snap::raw::Encoder::new().compress_vec(&body).unwrap());
        }
    }
}
