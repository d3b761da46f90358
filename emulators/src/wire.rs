//! The gateway on the wire: trouble on demand, and limits for what arrives.

use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    fault::{Effect, Fault},
    fixture,
};

const HOST: &str = "secretsmanager.us-east-1.amazonaws.com";
const OPERATION: &str = "secretsmanager:GetSecretValue";

/// A gateway that plays AWS, and a client of its Secrets Manager.
struct Gateway {
    inner: fixture::Gateway,
    client: Client,
}

impl Gateway {
    async fn start() -> Self {
        let inner = fixture::Gateway::start("aws").await;
        Self { client: inner.probe().client(&[HOST]).unwrap(), inner }
    }

    async fn cause(&self, count: u32, effect: Effect) {
        self.inner.control().cause(&[Fault { operation: OPERATION.into(), count, effect }]).await.unwrap();
    }

    async fn call(&self, action: &str) -> reqwest::Result<Response> {
        let call = self.client.post(format!("https://{HOST}/"));
        call.header("x-amz-target", format!("secretsmanager.{action}")).body("{}").send().await
    }

    /// The error code of an answered call.
    async fn code(&self, action: &str) -> String {
        let answer: Value = self.call(action).await.unwrap().json().await.unwrap();
        answer["__type"].as_str().unwrap().to_owned()
    }
}

/// What an unsigned call gets when nothing befalls it.
const UNSIGNED: &str = "MissingAuthenticationTokenException";

#[tokio::test]
async fn trouble_comes_in_the_clouds_own_form_as_often_as_asked() {
    let gateway = Gateway::start().await;
    gateway.cause(2, Effect::Throttled).await;
    assert_eq!(gateway.code("DescribeSecret").await, UNSIGNED, "another operation");
    assert_eq!(gateway.code("GetSecretValue").await, "ThrottlingException");
    assert_eq!(gateway.code("GetSecretValue").await, "ThrottlingException");
    assert_eq!(gateway.code("GetSecretValue").await, UNSIGNED);
    gateway.cause(1, Effect::Internal).await;
    let answer = gateway.call("GetSecretValue").await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(gateway.code("GetSecretValue").await, UNSIGNED);
    let lines = gateway.inner.journal();
    let faults = lines.iter().filter(|l| l.note.reason.as_ref().is_some_and(|r| r.starts_with("fault: ")));
    assert_eq!(faults.count(), 3, "every fault is in the journal");
}

#[tokio::test]
async fn answers_can_be_late_cut_or_lost() {
    let gateway = Gateway::start().await;
    gateway.cause(1, Effect::Latency(300)).await;
    let begun = Instant::now();
    assert_eq!(gateway.code("GetSecretValue").await, UNSIGNED);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    gateway.cause(1, Effect::Truncated).await;
    let cut = gateway.call("GetSecretValue").await.unwrap();
    assert!(cut.content_length().is_some_and(|length| length > 0));
    assert!(cut.bytes().await.is_err(), "the body ends before its length");
    gateway.cause(1, Effect::Reset).await;
    assert!(gateway.call("GetSecretValue").await.is_err());
    assert_eq!(gateway.code("GetSecretValue").await, UNSIGNED, "and then all is well");
}

#[tokio::test]
async fn the_clock_can_be_moved_and_secrets_read_and_written() {
    let gateway = fixture::Gateway::start("aws").await;
    let control = gateway.control();
    assert_eq!(control.secret("trinity-canary").await.unwrap(), "value of canary");
    control.put_secret("trinity-canary", "another").await.unwrap();
    assert_eq!(control.secret("trinity-canary").await.unwrap(), "another");
    control.delete_secret("trinity-canary").await.unwrap();
    let reserved = control.put_secret("trinity-canary", "again").await.unwrap_err().to_string();
    assert!(reserved.contains("InvalidRequestException"), "{reserved}");
    control.advance(31 * 24 * 3600).await.unwrap();
    control.put_secret("trinity-canary", "again").await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let gateway = Gateway::start().await;
    let url = format!("https://{HOST}/");
    let large = gateway.client.post(&url).body(vec![b' '; (1 << 20) + 1]).send().await.unwrap();
    assert_eq!(large.status(), StatusCode::BAD_REQUEST);
    let headers = gateway.client.post(&url).header("x-large", "x".repeat(128 << 10)).send().await;
    assert!(headers.map_or(true, |answer| answer.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    // What does not even begin to speak TLS gets no answer, and others go on.
    let mut plain = TcpStream::connect(gateway.inner.probe().gateway).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    let _ = plain.read_to_end(&mut seen).await;
    assert!(!seen.starts_with(b"HTTP"));
    assert_eq!(gateway.code("GetSecretValue").await, UNSIGNED);
}
