//! How fast each emulator gives a secret, with everything verified, beside LocalStack and moto, which verify nothing.
//!
//! `cargo bench` runs it. All servers run at the same time and are asked in turn, several rounds, by the same client with
//! the same number of connections, over loopback. The last column divides by the processor time that the server itself
//! used: the client shares the processors with it.

// A bench that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod server;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use server::Process;
use tempfile::TempDir;
use trinity_e2e::{
    components::{Options, Store},
    world::Cloud,
};
use trinity_emulators::aws::sigv4::{Signer, sha256_hex};

const CONNECTIONS: usize = 8;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
const SECRET: &str = "trinity-canary";

/// A server and what it is asked.
struct Server {
    name: &'static str,
    process: Process,
    get: RequestBuilder,
}

impl Server {
    /// Asks for one round; latencies of all answers.
    async fn round(&self) -> (Vec<Duration>, Duration) {
        let before = self.process.processor();
        let begun = Instant::now();
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let get = self.get.try_clone().unwrap();
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    while begun.elapsed() < ROUND {
                        let asked = Instant::now();
                        let response = get.try_clone().unwrap().send().await.unwrap();
                        assert!(response.status().is_success(), "{}", response.status());
                        response.bytes().await.unwrap();
                        latencies.push(asked.elapsed());
                    }
                    latencies
                })
            })
            .collect();
        let mut latencies = Vec::new();
        for client in clients {
            latencies.extend(client.await.unwrap());
        }
        (latencies, self.process.processor() - before)
    }
}

fn free() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Plays a cloud alone, and returns it with a client that finds it there and the token of a service account.
fn emulator(cloud: Cloud, hosts: &[&str], folder: &Path) -> (Child, Client, String) {
    let port = free();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trinity-e2e"))
        .args(["emulators", "--cloud", cloud.name(), "--port", &port.to_string(), "--folder"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "ready"), "the emulator of {cloud} did not become ready");
    let authority = reqwest::Certificate::from_pem(&fs::read(folder.join("ca.crt")).unwrap()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let builder = Client::builder().tls_certs_only([authority]).no_proxy();
    let client = hosts.iter().fold(builder, |b, host| b.resolve(host, address)).build().unwrap();

    let issuer: Value = serde_json::from_slice(&fs::read(folder.join("issuer.json")).unwrap()).unwrap();
    let key = fs::read(issuer["key"].as_str().unwrap()).unwrap();
    let now = Timestamp::now().as_second();
    let claims = json!({
        "iss": issuer["url"], "aud": [issuer["audience"]], "sub": "system:serviceaccount:default:default",
        "iat": now, "nbf": now, "exp": now + 3600,
    });
    let header = Header { kid: issuer["kid"].as_str().map(Into::into), ..Header::new(Algorithm::RS256) };
    let token = encode(&header, &claims, &EncodingKey::from_rsa_pem(&key).unwrap()).unwrap();
    (child, client, token)
}

async fn text(request: RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    text
}

async fn document(request: RequestBuilder) -> Value {
    serde_json::from_str(&text(request).await).unwrap()
}

async fn aws(folder: &Path) -> Server {
    let (sts, host) = ("sts.us-east-1.amazonaws.com", "secretsmanager.us-east-1.amazonaws.com");
    let (child, client, token) = emulator(Cloud::Aws, &[sts, host], folder);
    let form = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=bench\
         &RoleArn=arn:aws:iam::111122223333:role/trinity-canary&WebIdentityToken={token}"
    );
    let form =
        client.post(format!("https://{sts}/")).header("content-type", "application/x-www-form-urlencoded").body(form);
    let session = text(form).await;
    let part = |name: &str| {
        let rest = session.split_once(&format!("<{name}>")).unwrap().1;
        rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
    };
    let (key, secret, session_token) = (part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken"));
    let body = json!({"SecretId": SECRET}).to_string();
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let headers = [
        ("host", host),
        ("x-amz-content-sha256", &sha256_hex(body.as_bytes())),
        ("x-amz-date", &time),
        ("x-amz-security-token", &session_token),
        ("x-amz-target", "secretsmanager.GetSecretValue"),
    ];
    // One signature serves all requests of a bench that is shorter than a signature lasts; it is verified every time.
    let signer = Signer { key: &key, secret: &secret, region: "us-east-1", service: "secretsmanager" };
    let authorization = signer.authorize("POST", "/", &headers, body.as_bytes());
    let mut get = client
        .post(format!("https://{host}/"))
        .header("content-type", "application/x-amz-json-1.1")
        .header("authorization", authorization);
    for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
        get = get.header(name, value);
    }
    Server { name: "aws", process: Process(child), get: get.body(body) }
}

async fn gcp(folder: &Path) -> Server {
    let (exchange, credentials, host) =
        ("securetoken.googleapis.com", "iamcredentials.googleapis.com", "secretmanager.googleapis.com");
    let (child, client, token) = emulator(Cloud::Gcp, &[exchange, credentials, host], folder);
    let issuer: Value = serde_json::from_slice(&fs::read(folder.join("issuer.json")).unwrap()).unwrap();
    let (pool, url) = (issuer["audience"].as_str().unwrap(), issuer["url"].as_str().unwrap());
    let federated = document(client.post(format!("https://{exchange}/v1/identitybindingtoken")).json(&json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": token,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "audience": format!("identitynamespace:{pool}:{url}"),
    })))
    .await;
    let project = pool.split('.').next().unwrap();
    let account = format!("trinity-canary@{project}.iam.gserviceaccount.com");
    let access = document(
        client
            .post(format!("https://{credentials}/v1/projects/-/serviceAccounts/{account}:generateAccessToken"))
            .bearer_auth(federated["access_token"].as_str().unwrap())
            .json(&json!({"scope": ["https://www.googleapis.com/auth/cloud-platform"]})),
    )
    .await;
    let get = client
        .get(format!("https://{host}/v1/projects/{project}/secrets/{SECRET}/versions/latest:access"))
        .bearer_auth(access["accessToken"].as_str().unwrap());
    Server { name: "gcp (REST)", process: Process(child), get }
}

async fn azure(folder: &Path) -> Server {
    let (login, host) = ("login.microsoftonline.com", "trinity-canaries.vault.azure.net");
    let (child, client, token) = emulator(Cloud::Azure, &[login, host], folder);
    let tenant = "22222222-2222-4222-8222-222222222222";
    let form = format!(
        "grant_type=client_credentials&client_id={CANARY}&client_assertion={token}&scope=https%3A%2F%2Fvault.azure.net%2F.default\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    );
    let access = document(
        client
            .post(format!("https://{login}/{tenant}/oauth2/v2.0/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form),
    )
    .await;
    let get = client
        .get(format!("https://{host}/secrets/{SECRET}/?api-version=7.4"))
        .bearer_auth(access["access_token"].as_str().unwrap());
    Server { name: "azure", process: Process(child), get }
}

/// Client id of the canary identity in `fixtures/denials/azure.yaml`.
const CANARY: &str = "11111111-1111-4111-8111-000000000001";

/// A peer: a server that speaks Secrets Manager's protocol without asking who calls.
async fn peer(name: &'static str, mut command: Command, port: u16) -> Server {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let call = |action: &str, body: Value| {
        client
            .post(format!("http://127.0.0.1:{port}/"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("secretsmanager.{action}"))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=111122223333/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0",
            )
            .body(body.to_string())
    };
    let create = json!({"Name": SECRET, "SecretString": "value", "ClientRequestToken": "0".repeat(32)});
    let server = Server { name, process: Process(child), get: call("GetSecretValue", json!({"SecretId": SECRET})) };
    let begun = Instant::now();
    // Neither says when it listens.
    while call("CreateSecret", create.clone()).send().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{name} did not start");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server
}

async fn peers(store: &Store, folder: &Path) -> Vec<Server> {
    let python = async |component: &str| -> PathBuf { store.obtain(component).await.unwrap().path.join("bin/python") };
    let port = free();
    let mut localstack = Command::new(python("localstack").await);
    localstack
        .args(["-m", "localstack.runtime.main"])
        .env("DISABLE_EVENTS", "1")
        .env("EAGER_SERVICE_LOADING", "1")
        .env("FILESYSTEM_ROOT", folder.join("root"))
        .env("GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
        .env("HOME", folder)
        .env("LOCALSTACK_VOLUME_DIR", folder.join("volume"))
        .env("SERVICES", "secretsmanager")
        .env("SKIP_INFRA_DOWNLOADS", "1")
        .env("TMPDIR", folder);
    let localstack = peer("LocalStack 4.14.0", localstack, port).await;
    let port = free();
    let mut moto = Command::new(python("moto").await);
    moto.args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &port.to_string()]);
    vec![localstack, peer("moto 5.2.5", moto, port).await]
}

#[tokio::main]
async fn main() {
    let store = Store::open(Options::default()).unwrap();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut servers = vec![aws(&path("aws")).await, gcp(&path("gcp")).await, azure(&path("azure")).await];
    fs::create_dir(path("peers")).unwrap();
    servers.extend(peers(&store, &path("peers")).await);

    let mut seen: Vec<(Vec<f64>, Vec<f64>, Vec<Duration>)> = servers.iter().map(|_| Default::default()).collect();
    for _ in 0..ROUNDS {
        for (server, (rates, per_core, all)) in servers.iter().zip(&mut seen) {
            let (latencies, processor) = server.round().await;
            rates.push(latencies.len() as f64 / ROUND.as_secs_f64());
            per_core.push(latencies.len() as f64 / processor.as_secs_f64());
            all.extend(latencies);
        }
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "get secret",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "requests per core second",
    ]);
    for (server, (mut rates, mut per_core, mut latencies)) in servers.iter().zip(seen) {
        latencies.sort();
        let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        table.add_row([
            server.name.to_owned(),
            format!("{:.0}", median(&mut rates)),
            format!("{:.2}", at(0.5)),
            format!("{:.2}", at(0.99)),
            format!("{:.0}", median(&mut per_core)),
        ]);
    }
    println!(
        "{CONNECTIONS} connections, {ROUNDS} rounds of {} s, {}",
        ROUND.as_secs(),
        Timestamp::now().strftime("%F")
    );
    println!("{table}");
}
