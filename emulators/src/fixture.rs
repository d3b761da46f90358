//! What the tests of all clouds share: a cluster that signs tokens, a stranger, and a gateway on the loopback.

use std::{collections::BTreeMap, path::PathBuf, sync::LazyLock};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    authority,
    canary::{Finding, Probe},
    clock::Clock,
    cloud::Ground,
    config::{Cloud, Config, Images, Issuer as Issued, Pair},
    control,
    gateway::Bound,
    issuer::{Issuer, Trust},
    journal, seed,
};

/// The key of the cluster in all tests of a process: to make one takes time.
pub static CLUSTER: LazyLock<Signer> = LazyLock::new(Signer::new);
/// A key that no cluster has.
pub static STRANGER: LazyLock<Signer> = LazyLock::new(Signer::new);

/// A key that signs tokens.
pub struct Signer {
    private: String,
    public: String,
    /// For signatures of other kinds.
    pub key: EncodingKey,
}

impl Signer {
    fn new() -> Self {
        let private = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let pem = private.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
        Self {
            public: private.to_public_key().to_public_key_pem(LineEnding::LF).unwrap(),
            key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            private: pem,
        }
    }

    /// Claims signed under the key id of the cluster.
    pub fn sign(&self, claims: &Value) -> String {
        signed(Algorithm::RS256, &kid(), &self.key, claims)
    }
}

/// Claims signed in any way.
pub fn signed(algorithm: Algorithm, kid: &str, key: &EncodingKey, claims: &Value) -> String {
    encode(&Header { kid: Some(kid.into()), ..Header::new(algorithm) }, claims, key).unwrap()
}

/// Key id of the cluster.
pub fn kid() -> String {
    issuer("https://cluster.example", "").key_id().to_owned()
}

/// The cluster's issuer, under a URL.
fn issuer(url: &str, jwks: &str) -> Issuer {
    Issuer::new(url, jwks, &CLUSTER.public).unwrap()
}

/// What a cloud stands on that knows the cluster under a URL.
pub fn ground(url: &str, jwks: &str) -> Ground {
    Ground { clock: Clock::default(), trust: Trust::new(issuer(url, jwks)) }
}

/// Claims of a service account's new token, with changes.
pub fn claims(issuer: &str, audience: &str, account: &str, change: impl FnOnce(&mut Value)) -> Value {
    let now = Timestamp::now().as_second();
    let mut claims = json!({
        "iss": issuer, "aud": [audience], "iat": now, "nbf": now, "exp": now + 3600,
        "sub": format!("system:serviceaccount:{account}"),
    });
    change(&mut claims);
    claims
}

/// The values of the declared secrets.
pub fn values() -> BTreeMap<String, String> {
    ["canary", "grafana_password", "grafana_url", "grafana_username", "provider_test"]
        .map(|name| (name.to_owned(), format!("value of {name}")))
        .into()
}

/// Waits on this thread, so that [`crate::check::without`] holds for the work.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// A gateway that plays one declared cloud on a free port of the loopback.
pub struct Gateway {
    folder: TempDir,
    probe: Probe,
}

impl Gateway {
    /// Starts it with the example's declaration; the declared secrets are there.
    pub async fn start(cloud: &str) -> Self {
        Self::declaring(cloud, &seed::example(cloud)).await
    }

    /// Starts it with a declaration.
    pub async fn declaring(cloud: &str, declaration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let minted = authority::mint("test").unwrap();
        let authority = Pair { certificate: file("ca.crt", &minted.certificate), key: file("ca.key", &minted.key) };
        let cloud = Cloud::read(cloud, &file("declared.yaml", declaration)).unwrap();
        let (url, jwks) = cloud.issuer(&"0".repeat(32));
        let probe = Probe {
            gateway: std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
            authority: authority.certificate.clone(),
            token: CLUSTER.sign(&claims(&url, &cloud.audience(), "default:default", |_| {})),
            token_key: file("issuer.key", &CLUSTER.private),
            issuer: url.clone(),
            cloud: cloud.clone(),
        };
        let config = Config {
            https: probe.gateway,
            registry: None,
            metadata: None,
            control: folder.path().join("control.sock"),
            journal: folder.path().join("journal.jsonl"),
            authority,
            git: Vec::new(),
            charts: Vec::new(),
            images: Images::default(),
            issuer: Issued { url, jwks, key: file("issuer.pub", &CLUSTER.public) },
            clouds: vec![cloud],
            grafana: None,
        };
        tokio::spawn(Bound::open(config, None).await.unwrap().serve());
        let gateway = Self { folder, probe };
        gateway.control().apply(values()).await.unwrap();
        gateway
    }

    /// How canaries find it.
    pub const fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Its control interface.
    pub fn control(&self) -> control::Client {
        control::Client::connect(&self.folder.path().join("control.sock"), self.probe.cloud.name()).unwrap()
    }

    /// What it has answered so far.
    pub fn journal(&self) -> Vec<journal::Line> {
        journal::read(&self.folder.path().join("journal.jsonl")).unwrap()
    }

    /// Sends the cloud's canaries, so many, of which each meets what it expects.
    pub async fn withstands_canaries(&self, count: usize) {
        let outcomes = self.probe.run().await.unwrap();
        let strange: Vec<_> = outcomes.iter().filter(|o| o.finding() != Finding::Behaved).collect();
        assert!(strange.is_empty(), "{strange:#?}");
        assert_eq!(outcomes.len(), count);
    }
}
