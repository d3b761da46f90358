//! The gateway on the wire: trouble on demand, and limits for what arrives.

// A test that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use reqwest::{Client, Response, StatusCode};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePublicKey, LineEnding},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use trinity_emulators::{
    authority,
    config::{Aws, Cloud, Config, Images, Issuer, Pair},
    control,
    fault::{Effect, Fault},
    gateway::Bound,
    journal,
};

const HOST: &str = "secretsmanager.us-east-1.amazonaws.com";
const OPERATION: &str = "secretsmanager:GetSecretValue";

/// A gateway that plays AWS on a free port of the loopback.
struct Gateway {
    folder: TempDir,
    address: SocketAddr,
    client: Client,
    control: control::Client,
}

impl Gateway {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: String| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let minted = authority::mint("test").unwrap();
        let certificate = reqwest::Certificate::from_pem(minted.certificate.as_bytes()).unwrap();
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 1024).unwrap().to_public_key();
        let url = "https://oidc.eks.us-east-1.amazonaws.com/id/TEST";
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
        let read = |kind: &str| std::fs::read_to_string(fixtures.join(kind).join("aws.yaml")).unwrap();
        let address = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let config = Config {
            https: address,
            registry: None,
            metadata: None,
            control: folder.path().join("control.sock"),
            journal: folder.path().join("journal.jsonl"),
            authority: Pair { certificate: file("ca.crt", minted.certificate), key: file("ca.key", minted.key) },
            git: Vec::new(),
            charts: Vec::new(),
            images: Images::default(),
            issuer: Issuer {
                url: url.into(),
                jwks: format!("{url}/keys"),
                key: file("issuer.pub", key.to_public_key_pem(LineEnding::LF).unwrap()),
            },
            clouds: vec![Cloud::Aws(Aws {
                account: "111122223333".into(),
                region: "us-east-1".into(),
                declared: file("declared.yaml", format!("{}\n---\n{}", read("worlds"), read("denials"))),
            })],
        };
        tokio::spawn(Bound::open(config, None).await.unwrap().serve());
        let client = Client::builder().tls_certs_only([certificate]).resolve(HOST, address).no_proxy();
        let control = control::Client::connect(&folder.path().join("control.sock"), "aws").unwrap();
        Self { address, client: client.build().unwrap(), control, folder }
    }

    async fn cause(&self, count: u32, effect: Effect) {
        self.control.cause(&[Fault { operation: OPERATION.into(), count, effect }]).await.unwrap();
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
    let lines = journal::read(&gateway.folder.path().join("journal.jsonl")).unwrap();
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
    let gateway = Gateway::start().await;
    let values = ["canary", "provider_test"].map(|name| (name.to_owned(), format!("value of {name}")));
    gateway.control.apply(values.into()).await.unwrap();
    assert_eq!(gateway.control.secret("trinity-canary").await.unwrap(), "value of canary");
    gateway.control.put_secret("trinity-canary", "another").await.unwrap();
    assert_eq!(gateway.control.secret("trinity-canary").await.unwrap(), "another");
    gateway.control.delete_secret("trinity-canary").await.unwrap();
    let reserved = gateway.control.put_secret("trinity-canary", "again").await.unwrap_err().to_string();
    assert!(reserved.contains("InvalidRequestException"), "{reserved}");
    gateway.control.advance(31 * 24 * 3600).await.unwrap();
    gateway.control.put_secret("trinity-canary", "again").await.unwrap();
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
    let mut plain = TcpStream::connect(gateway.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    let _ = plain.read_to_end(&mut seen).await;
    assert!(!seen.starts_with(b"HTTP"));
    assert_eq!(gateway.code("GetSecretValue").await, UNSIGNED);
}
