//! Calls that must be refused, made through the gateway's own front door before a run's results count. A cloud that
//! accepts one proves nothing; so does one that refuses everything, because some calls must succeed.

use std::{net::SocketAddr, path::PathBuf};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Client;
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, LineEnding},
};
use serde_json::{Value, json};

use crate::{Attempt, Error, Result, aws, azure, config, gcp};

/// User agent of canaries, so that the journal can tell them from the platform.
pub const AGENT: &str = "trinity-e2e-canary";

/// What canaries need to know of a world.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Address of the gateway's TLS listener.
    pub gateway: SocketAddr,
    /// Certificate of the gateway's authority (PEM file).
    pub authority: PathBuf,
    /// The cloud.
    pub cloud: config::Cloud,
    /// Issuer URL of the cluster's tokens.
    pub issuer: String,
    /// A token of the service account `default/default` for the cloud's audience, as the cluster issues it.
    pub token: String,
    /// The cluster's token key (PEM file), to sign tokens that are wrong in one point.
    pub token_key: PathBuf,
}

/// One canary and what it met.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// What was tried.
    pub name: String,
    /// The cloud's error code, or `success`.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

/// What an outcome says about the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It did what the real one does.
    Behaved,
    /// It let in what must not get in: no green of this run means anything.
    Permissive,
    /// It refused otherwise than the real one, or what it must not refuse.
    Different,
}

/// What a canary sees when it is let in.
pub const SUCCESS: &str = "success";

impl Outcome {
    /// What it says about the cloud.
    pub fn finding(&self) -> Finding {
        if self.expected == self.seen {
            Finding::Behaved
        } else if self.seen == SUCCESS {
            Finding::Permissive
        } else {
            Finding::Different
        }
    }
}

/// A token that is wrong in one point.
pub struct Forgery {
    /// Which denial it belongs to, for example `wrong aud`.
    pub name: &'static str,
    /// The token.
    pub token: String,
}

impl Probe {
    /// Sends all canaries of the cloud.
    ///
    /// # Errors
    /// When the gateway cannot be reached or a token cannot be made; refusals are outcomes.
    pub async fn run(&self) -> Result<Vec<Outcome>> {
        match &self.cloud {
            config::Cloud::Aws(config) => aws::canaries::run(self, config).await,
            config::Cloud::Gcp(config) => gcp::canaries::run(self, config).await,
            config::Cloud::Azure(config) => azure::canaries::run(self, config).await,
        }
    }

    /// An HTTP client that finds `hosts` at the gateway and trusts nothing else.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn client(&self, hosts: &[&str]) -> Result<Client> {
        let attempted = || "set up the canaries' HTTP client".to_owned();
        let pem = std::fs::read(&self.authority).attempting(attempted)?;
        let builder = Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).attempting(attempted)?])
            .no_proxy()
            .user_agent(AGENT);
        hosts.iter().fold(builder, |b, host| b.resolve(host, self.gateway)).build().attempting(attempted)
    }

    /// Tokens that every cloud must refuse before it looks at bindings: forged, for another audience, of another issuer,
    /// of another world, expired, not yet valid.
    ///
    /// # Errors
    /// When a token cannot be made.
    pub fn forgeries(&self) -> Result<Vec<Forgery>> {
        let key =
            std::fs::read_to_string(&self.token_key).attempting(|| format!("read {}", self.token_key.display()))?;
        let stranger = stranger()?;
        let other = format!("{}/another", self.issuer.trim_end_matches('/'));
        let moved = |seconds: i64| {
            move |c: &mut Value| {
                for claim in ["exp", "iat", "nbf"] {
                    c[claim] = json!(c[claim].as_i64().unwrap_or_default().saturating_add(seconds));
                }
            }
        };
        let made = |name, token: Result<String>| Ok(Forgery { name, token: token? });
        [
            made("forged signature", self.altered(&stranger, |_| {})),
            made("wrong aud", self.altered(&key, |c| c["aud"] = json!(["https://kubernetes.default.svc"]))),
            made("wrong iss", self.altered(&key, |c| c["iss"] = json!(other))),
            made("token of another world", self.altered(&stranger, |c| c["iss"] = json!(other))),
            made("expired", self.altered(&key, moved(-100_000))),
            made("not yet valid", self.altered(&key, moved(100_000))),
        ]
        .into_iter()
        .collect()
    }

    /// Tokens of other service accounts than the one that an identity trusts.
    ///
    /// # Errors
    /// When a token cannot be made.
    pub fn strangers(&self) -> Result<Vec<Forgery>> {
        let key =
            std::fs::read_to_string(&self.token_key).attempting(|| format!("read {}", self.token_key.display()))?;
        let made = |name, sub: &str| {
            Ok(Forgery {
                name,
                token: self.altered(&key, |c| c["sub"] = json!(format!("system:serviceaccount:{sub}")))?,
            })
        };
        [made("wrong sub (namespace)", "kube-system:default"), made("wrong sub (name)", "default:another")]
            .into_iter()
            .collect()
    }

    /// The cluster's token with changed claims, signed with `key` under the cluster's key id.
    fn altered(&self, key: &str, change: impl FnOnce(&mut Value)) -> Result<String> {
        let attempted = || "make a canary's token".to_owned();
        let mut parts = self.token.split('.');
        let mut part = || -> Result<Value> {
            let text =
                parts.next().ok_or_else(|| Error::new(attempted(), "the cluster's token has not three parts"))?;
            let bytes = URL_SAFE_NO_PAD.decode(text).attempting(attempted)?;
            serde_json::from_slice(&bytes).attempting(attempted)
        };
        let (header, mut claims) = (part()?, part()?);
        change(&mut claims);
        let mut own = Header::new(Algorithm::RS256);
        own.kid = header["kid"].as_str().map(Into::into);
        let key = EncodingKey::from_rsa_pem(key.as_bytes()).attempting(attempted)?;
        encode(&own, &claims, &key).attempting(attempted)
    }
}

/// A key that no cluster has, PKCS#8 PEM.
fn stranger() -> Result<String> {
    RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)
        .and_then(|k| k.to_pkcs8_pem(LineEnding::LF).map_err(Into::into))
        .map(|pem| pem.to_string())
        .attempting(|| "make a stranger's key".into())
}
