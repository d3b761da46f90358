//! How many samples a second Grafana Cloud's stack here decodes, checks and records, beside the receiver of Prometheus,
//! which decodes and stores them.
//!
//! Both get the same requests, one after the other on one connection, in turn, several rounds. The last column divides
//! by the processor time that the server itself used. The stack is asked over TLS and with a token, Prometheus without.

// A bench that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod server;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use jiff::Timestamp;
use reqwest::{Certificate, Client, RequestBuilder};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePublicKey, LineEnding},
};
use server::Process;
use tempfile::TempDir;
use trinity_e2e::{
    components::{Options, Store},
    workspace,
};
use trinity_emulators::{
    authority,
    config::{Config, Grafana, Images, Issuer, Pair},
    control,
    grafana::{
        NAME,
        declared::Declared,
        remote_write::{
            encode,
            one::{Label, Sample, TimeSeries, WriteRequest},
        },
    },
};

/// Samples of a request, as many as Prometheus sends at most by default.
const SAMPLES: usize = 2_000;
/// Requests of a round.
const REQUESTS: usize = 100;
const ROUNDS: usize = 5;

/// A server and what it is asked.
struct Server {
    name: &'static str,
    process: Process,
    write: RequestBuilder,
}

impl Server {
    async fn send(&self, body: &[u8]) -> reqwest::Result<reqwest::Response> {
        self.write.try_clone().unwrap().body(body.to_vec()).send().await
    }

    /// Sends all; the time that passed, and the server's processor time.
    async fn round(&self, bodies: &[Vec<u8>]) -> (Duration, Duration) {
        let (before, begun) = (self.process.processor(), Instant::now());
        for body in bodies {
            let answer = self.send(body).await.unwrap();
            let status = answer.status();
            assert!(status.is_success(), "{}: {status}: {}", self.name, answer.text().await.unwrap());
        }
        (begun.elapsed(), self.process.processor() - before)
    }
}

fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The same series in every request, with labels like those of a Prometheus that watches itself.
fn body(time: i64) -> Vec<u8> {
    let series = |i: usize| {
        let handler = format!("/api/v1/handler_{}", i % 50);
        let le = format!("{}", i / 50);
        let labels = [
            ("__name__", "prometheus_http_request_duration_seconds_bucket"),
            ("cloud", "aws"),
            ("cluster", "trinity-dev-aws"),
            ("handler", &handler),
            ("instance", "localhost:9090"),
            ("job", "prometheus"),
            ("le", &le),
            ("platform", "trinity"),
        ];
        let labels = labels.map(|(name, value)| Label { name: name.into(), value: value.into() }).into();
        TimeSeries { labels, samples: vec![Sample { value: i as f64, timestamp: time }], ..TimeSeries::default() }
    };
    encode(&WriteRequest { timeseries: (0..SAMPLES).map(series).collect(), metadata: Vec::new() })
}

fn headers(request: RequestBuilder) -> RequestBuilder {
    request
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", "0.1.0")
}

/// The stack, without an engine behind it: what is measured is its own work.
async fn stack(folder: &Path) -> Server {
    let path = |name: &str| folder.join(name);
    let minted = authority::mint("bench").unwrap();
    fs::write(path("ca.crt"), &minted.certificate).unwrap();
    fs::write(path("ca.key"), &minted.key).unwrap();
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap().to_public_key();
    fs::write(path("sa.pub"), key.to_public_key_pem(LineEnding::LF).unwrap()).unwrap();
    let declared = workspace().join("fixtures/worlds/grafana.yaml");
    let address = free();
    let issuer = "https://cluster.example";
    let config = Config {
        https: address,
        registry: None,
        metadata: None,
        control: path("control.sock"),
        journal: path("gateway.jsonl"),
        authority: Pair { certificate: path("ca.crt"), key: path("ca.key") },
        git: Vec::new(),
        charts: Vec::new(),
        images: Images::default(),
        issuer: Issuer { url: issuer.into(), jwks: format!("{issuer}/keys"), key: path("sa.pub") },
        clouds: Vec::new(),
        grafana: Some(Grafana { declared: declared.clone(), engine: None }),
    };
    fs::write(path("gateway.json"), serde_json::to_vec(&config).unwrap()).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_trinity-e2e"))
        .arg("gateway")
        .arg(path("gateway.json"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let declared = Declared::read(&declared).unwrap();
    let prometheus = declared.prometheus();
    let client = Client::builder()
        .tls_certs_only([Certificate::from_pem(minted.certificate.as_bytes()).unwrap()])
        .no_proxy()
        .resolve(prometheus.host(), address)
        .build()
        .unwrap();
    let token = "glc_bench";
    let values: BTreeMap<String, String> =
        ["grafana_password", "grafana_next", "grafana_reader"].map(|name| (name.to_owned(), token.to_owned())).into();
    let control = control::Client::connect(&path("control.sock"), NAME).unwrap();
    let begun = Instant::now();
    // Without a notify socket it does not say when it listens.
    while control.apply(values.clone()).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the gateway did not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let write = client.post(format!("{}/push", prometheus.prometheus_remote_endpoint));
    let write = headers(write.basic_auth(prometheus.prometheus_user_id, Some(token)));
    Server { name: "stack (checks and records)", process: Process(child), write }
}

async fn prometheus(store: &Store, folder: &Path) -> Server {
    let program = store.obtain("prometheus").await.unwrap().path.join("prometheus");
    let address = free();
    let config = folder.join("prometheus.yml");
    fs::write(&config, "").unwrap();
    let child = Command::new(program)
        .args([
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.join("tsdb").display()),
            format!("--web.listen-address={address}"),
            "--web.enable-remote-write-receiver".into(),
            "--log.level=error".into(),
        ])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let begun = Instant::now();
    while !client.get(format!("http://{address}/-/ready")).send().await.is_ok_and(|a| a.status().is_success()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "Prometheus did not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let write = headers(client.post(format!("http://{address}/api/v1/write")));
    Server { name: "Prometheus 2.55.1 (stores)", process: Process(child), write }
}

#[tokio::main]
async fn main() {
    let store = Store::open(Options::default()).unwrap();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let servers = [stack(&path("stack")).await, prometheus(&store, &path("prometheus")).await];
    let mut seen: Vec<(Vec<f64>, Vec<f64>)> = servers.iter().map(|_| Default::default()).collect();
    let begin = Timestamp::now().as_millisecond() - 3_600_000;
    let mut time = begin;
    // The first round makes the series, and does not count.
    for round in 0..=ROUNDS {
        let bodies: Vec<Vec<u8>> = (0..REQUESTS).map(|i| body(time + i as i64 * 1000)).collect();
        time += REQUESTS as i64 * 1000;
        for (server, (rates, per_core)) in servers.iter().zip(&mut seen) {
            let (took, processor) = server.round(&bodies).await;
            if round > 0 {
                let samples = (SAMPLES * REQUESTS) as f64;
                rates.push(samples / took.as_secs_f64());
                per_core.push(samples / processor.as_secs_f64());
            }
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["remote write", "samples/s", "samples per core second"]);
    for (server, (rates, per_core)) in servers.iter().zip(seen) {
        table.add_row([server.name.to_owned(), format!("{:.0}", median(rates)), format!("{:.0}", median(per_core))]);
    }
    println!("{SAMPLES} samples a request, {ROUNDS} rounds of {REQUESTS}, {}", Timestamp::now().strftime("%F"));
    println!("{table}");
}
