//! Calls that must be refused, made through the gateway's own front door before a run's results count. A permissive
//! emulator fails the run; so does one that refuses everything, because the first call must succeed.

use std::{net::SocketAddr, path::PathBuf};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Client;
use rsa::{
    RsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding},
};
use serde_json::{Value, json};

use super::sigv4::{Signer, sha256_hex};
use crate::{Attempt, Error, Result};

/// What canaries need to know of a world.
#[derive(Clone, Debug)]
pub struct Canaries {
    /// Address of the gateway's TLS listener.
    pub gateway: SocketAddr,
    /// Certificate of the gateway's authority (PEM file).
    pub authority: PathBuf,
    /// Region of the account.
    pub region: String,
    /// Account id.
    pub account: String,
    /// A token of the service account `default/default`, as the cluster issues it.
    pub token: String,
    /// The cluster's token key (PEM file), to sign tokens that are wrong in one point.
    pub token_key: PathBuf,
}

/// One canary and what it met.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// What was tried.
    pub name: String,
    /// AWS's error code, or `success`.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

impl Outcome {
    /// Whether the account behaved.
    pub fn held(&self) -> bool {
        self.expected == self.seen
    }
}

/// Names that the declared set-up of every account gives to what canaries touch: a role that may read
/// `trinity-canary`, the same without a policy, a secret outside its policy, and one that a statement denies.
const ROLE: &str = "trinity-canary";
const POWERLESS: &str = "trinity-powerless";
const SECRET: &str = "trinity-canary";
const FORBIDDEN: &str = "forbidden";
const DENIED: &str = "trinity-denied";

/// User agent of canaries, so that the journal can tell them from the platform.
pub const AGENT: &str = "trinity-e2e-canary";

struct Credentials {
    key: String,
    secret: String,
    token: String,
}

impl Canaries {
    /// Sends all canaries.
    ///
    /// # Errors
    /// When the gateway cannot be reached or a token cannot be made; refusals are outcomes.
    pub async fn run(&self) -> Result<Vec<Outcome>> {
        let client = self.client()?;
        let key =
            std::fs::read_to_string(&self.token_key).attempting(|| format!("read {}", self.token_key.display()))?;
        let stranger = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)
            .and_then(|k| k.to_pkcs8_pem(LineEnding::LF).map_err(Into::into))
            .attempting(|| "make a stranger's key".into())?;
        let past = Timestamp::now() - SignedDuration::from_hours(1);
        let other_issuer =
            format!("https://oidc.eks.{}.amazonaws.com/id/00000000000000000000000000000000", self.region);
        let tokens = [
            ("forged signature", "InvalidIdentityToken", self.altered(&stranger, |_| {})?),
            (
                "wrong audience",
                "InvalidIdentityToken",
                self.altered(&key, |c| c["aud"] = json!(["https://kubernetes.default.svc"]))?,
            ),
            (
                "wrong subject",
                "AccessDenied",
                self.altered(&key, |c| c["sub"] = json!("system:serviceaccount:kube-system:default"))?,
            ),
            ("expired token", "ExpiredTokenException", self.altered(&key, |c| c["exp"] = json!(past.as_second()))?),
            ("other issuer", "InvalidIdentityToken", self.altered(&stranger, |c| c["iss"] = json!(other_issuer))?),
        ];
        let mut outcomes = Vec::new();
        let mut note = |name: &str, expected: &str, seen: String| {
            outcomes.push(Outcome { name: name.into(), expected: expected.into(), seen });
        };
        for (name, expected, token) in tokens {
            let seen = match self.assume(&client, ROLE, &token).await? {
                Ok(_) => "success".into(),
                Err(code) => code,
            };
            note(name, expected, seen);
        }
        let good = self.assume(&client, ROLE, &self.token).await?;
        note("a token that is right", "success", good.as_ref().err().cloned().unwrap_or_else(|| "success".into()));
        if let Ok(credentials) = good {
            note("a secret that the role may read", "success", self.read(&client, &credentials, SECRET).await?);
            note("wrong secret", "AccessDeniedException", self.read(&client, &credentials, FORBIDDEN).await?);
            note("explicitly denied secret", "AccessDeniedException", self.read(&client, &credentials, DENIED).await?);
            note(
                "absent secret",
                "ResourceNotFoundException",
                self.read(&client, &credentials, "trinity-absent").await?,
            );
            let tampered = Credentials { secret: "0".repeat(40), ..credentials };
            note("forged request", "InvalidSignatureException", self.read(&client, &tampered, SECRET).await?);
        }
        match self.assume(&client, POWERLESS, &self.token).await? {
            Ok(powerless) => {
                note("role without policy", "AccessDeniedException", self.read(&client, &powerless, SECRET).await?)
            }
            Err(code) => note("role without policy", "AccessDeniedException", code),
        }
        Ok(outcomes)
    }

    fn sts(&self) -> String {
        format!("sts.{}.amazonaws.com", self.region)
    }

    fn secretsmanager(&self) -> String {
        format!("secretsmanager.{}.amazonaws.com", self.region)
    }

    fn client(&self) -> Result<Client> {
        let attempted = || "set up the canaries' HTTP client".to_owned();
        let pem = std::fs::read(&self.authority).attempting(attempted)?;
        Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).attempting(attempted)?])
            .resolve(&self.sts(), self.gateway)
            .resolve(&self.secretsmanager(), self.gateway)
            .no_proxy()
            .user_agent(AGENT)
            .build()
            .attempting(attempted)
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
        RsaPrivateKey::from_pkcs8_pem(key).attempting(attempted)?;
        let mut own = Header::new(Algorithm::RS256);
        own.kid = header["kid"].as_str().map(Into::into);
        let key = EncodingKey::from_rsa_pem(key.as_bytes()).attempting(attempted)?;
        encode(&own, &claims, &key).attempting(attempted)
    }

    /// AssumeRoleWithWebIdentity; the inner error is AWS's code.
    async fn assume(&self, client: &Client, role: &str, token: &str) -> Result<Result<Credentials, String>> {
        let host = self.sts();
        let attempted = || format!("call https://{host}/");
        let role = format!("arn:aws:iam::{}:role/{role}", self.account);
        let body = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=canary&RoleArn={role}&WebIdentityToken={token}"
        );
        let response = client
            .post(format!("https://{host}/"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .attempting(attempted)?;
        let text = response.text().await.attempting(attempted)?;
        let element = |name: &str| {
            let rest = text.split_once(&format!("<{name}>"))?.1;
            rest.split_once(&format!("</{name}>")).map(|(value, _)| value.to_owned())
        };
        Ok(match (element("AccessKeyId"), element("SecretAccessKey"), element("SessionToken")) {
            (Some(key), Some(secret), Some(token)) => Ok(Credentials { key, secret, token }),
            _ => Err(element("Code").unwrap_or_else(|| "an answer without error code".into())),
        })
    }

    /// GetSecretValue: `success`, or AWS's code.
    async fn read(&self, client: &Client, credentials: &Credentials, secret: &str) -> Result<String> {
        let host = self.secretsmanager();
        let attempted = || format!("call https://{host}/");
        let body = json!({"SecretId": secret}).to_string();
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let signer = Signer {
            key: &credentials.key,
            secret: &credentials.secret,
            region: &self.region,
            service: "secretsmanager",
        };
        let headers = [
            ("host", host.as_str()),
            ("x-amz-content-sha256", &sha256_hex(body.as_bytes())),
            ("x-amz-date", &time),
            ("x-amz-security-token", &credentials.token),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ];
        let authorization = signer.authorize("POST", "/", &headers, body.as_bytes());
        let mut request = client
            .post(format!("https://{host}/"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", authorization);
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await.attempting(attempted)?;
        if response.status().is_success() {
            return Ok("success".into());
        }
        let error: Value = response.json().await.attempting(attempted)?;
        Ok(error["__type"].as_str().unwrap_or("an answer without error code").to_owned())
    }
}
