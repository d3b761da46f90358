//! The backend of a platform's secrets: the cloud's public API, called as the platform's own workflow calls it, over TLS,
//! under the cloud's host names, with an administrator's credential. No request here restores or purges anything by
//! itself.

mod aws;
mod azure;
mod gcp;
pub mod plan;

use std::{net::SocketAddr, path::PathBuf};

use reqwest::{
    Client, Method, Request,
    dns::{Addrs, Name, Resolve, Resolving},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trinity_emulators::{aws::sigv4::Credentials, cloud::Credential, config, control};

use self::plan::{Seen, Wanted};
use crate::failure::{Attempt, Failure, Result};

/// User agent in the gateway's journal.
const AGENT: &str = "trinity-e2e-secrets";

/// Where a cloud is played.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Place {
    /// Which account, project or tenant of which cloud.
    pub cloud: config::Cloud,
    /// Address of the gateway's TLS listener.
    pub gateway: SocketAddr,
    /// Certificate of the gateway's authority (PEM file).
    pub authority: PathBuf,
    /// Unix socket of the gateway's control interface, which tells the administrator's credential.
    pub control: PathBuf,
}

/// An answer of the cloud.
#[derive(Debug)]
pub struct Said {
    /// HTTP status.
    pub status: u16,
    /// JSON body; null when there is none.
    pub body: Value,
}

impl Said {
    /// The body, unless it is a refusal.
    ///
    /// # Errors
    /// The cloud's error code and message.
    pub fn good(self, attempted: impl Into<String>) -> Result<Value> {
        match self.status {
            200..300 => Ok(self.body),
            status => Err(Failure::new(attempted, format!("{} ({status}): {}", self.code(), self.message()))),
        }
    }

    /// The cloud's own error code, the innermost where there are several; empty when it is none.
    pub fn code(&self) -> &str {
        let error = &self.body["error"];
        let codes = [&error["innererror"]["code"], &error["status"], &error["code"], &self.body["__type"], error];
        codes.into_iter().find_map(Value::as_str).unwrap_or_default()
    }

    fn message(&self) -> &str {
        let texts = [&self.body["error"]["message"], &self.body["Message"], &self.body["error_description"]];
        texts.into_iter().find_map(Value::as_str).unwrap_or_default()
    }
}

/// A cloud's public API, as its administrator meets it.
#[derive(Clone, Debug)]
pub struct Backend {
    cloud: config::Cloud,
    http: Client,
    access: Access,
}

/// What goes with every request.
#[derive(Clone)]
enum Access {
    Signature(Credentials),
    Token(String),
}

/// So that no credential gets into a log.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signature(_) => "Signature",
            Self::Token(_) => "Token",
        })
    }
}

/// Every host is at the gateway.
struct Gateway(SocketAddr);

impl Resolve for Gateway {
    fn resolve(&self, _: Name) -> Resolving {
        let address: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(address)))
    }
}

impl Backend {
    /// Signs in.
    ///
    /// # Errors
    /// When nobody plays the cloud there, or it does not know the administrator.
    pub async fn open(place: &Place) -> Result<Self> {
        let name = place.cloud.name();
        let attempted = || format!("call {name} as its administrator");
        let control = control::Client::connect(&place.control, name).attempting(attempted)?;
        let credential = control.administrator().await.attempting(attempted);
        let credential =
            credential.map_err(|failure| failure.next("see that the world, or `emulators`, is running"))?;
        let pem = std::fs::read(&place.authority).attempting(|| format!("read {}", place.authority.display()))?;
        let http = Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).attempting(attempted)?])
            .no_proxy()
            .user_agent(AGENT)
            .dns_resolver(std::sync::Arc::new(Gateway(place.gateway)))
            .build()
            .attempting(attempted)?;
        let access = match credential {
            Credential::AccessKey { key, secret } => Access::Signature(Credentials { key, secret, token: None }),
            Credential::Bearer { token } => Access::Token(token),
            Credential::Client { id, secret } => {
                Access::Token(azure::sign_in(&http, &place.cloud, &id, &secret).await?)
            }
        };
        Ok(Self { cloud: place.cloud.clone(), http, access })
    }

    /// Calls a JSON API whose host takes bearer tokens.
    ///
    /// # Errors
    /// When the gateway cannot be reached.
    pub async fn call(&self, method: Method, url: &str, body: &Value) -> Result<Said> {
        let Access::Token(token) = &self.access else {
            return Err(Failure::new(format!("call {url}"), "the administrator signs and has no token"));
        };
        let mut request = self.http.request(method, url).bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        let request = request.build().map_err(|e| Failure::new(format!("call {url}"), e.without_url()))?;
        send(&self.http, request).await
    }

    /// Calls an action of AWS Secrets Manager.
    ///
    /// # Errors
    /// When this is another cloud, or the gateway cannot be reached.
    pub async fn act(&self, action: &str, body: &Value) -> Result<Said> {
        let attempted = || format!("call secretsmanager:{action}");
        let (config::Cloud::Aws(aws), Access::Signature(credentials)) = (&self.cloud, &self.access) else {
            return Err(Failure::new(attempted(), format!("{} has no such action", self.cloud.name())));
        };
        let host = format!("secretsmanager.{}.amazonaws.com", aws.region);
        let target = format!("secretsmanager.{action}");
        let request = credentials.request(&host, &aws.region, Some(&target), body.to_string()).attempting(attempted)?;
        send(&self.http, Request::try_from(request).attempting(attempted)?).await
    }

    /// The secrets that a set-up declares.
    ///
    /// # Errors
    /// When the text is no declaration, or a secret in it is none that a workflow can make.
    pub fn wanted(cloud: &config::Cloud, text: &str) -> Result<Vec<Wanted>> {
        match cloud {
            config::Cloud::Aws(aws) => aws::wanted(text, aws),
            config::Cloud::Gcp(gcp) => gcp::wanted(text, gcp),
            config::Cloud::Azure(azure) => azure::wanted(text, azure),
        }
    }

    /// How a secret is now.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn look(&self, wanted: &Wanted) -> Result<Seen> {
        match &self.cloud {
            config::Cloud::Aws(_) => aws::look(self, wanted).await,
            config::Cloud::Gcp(gcp) => gcp::look(self, gcp, wanted).await,
            config::Cloud::Azure(_) => azure::look(self, wanted).await,
        }
    }

    /// Makes a secret that is not there.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn create(&self, wanted: &Wanted, value: Option<&str>) -> Result<()> {
        match &self.cloud {
            config::Cloud::Aws(_) => aws::create(self, wanted, value).await,
            config::Cloud::Gcp(gcp) => gcp::create(self, gcp, wanted, value).await,
            config::Cloud::Azure(_) => azure::set(self, wanted, value.unwrap_or_default()).await,
        }
    }

    /// Adds a version to a secret.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn renew(&self, wanted: &Wanted, value: &str) -> Result<()> {
        match &self.cloud {
            config::Cloud::Aws(_) => aws::renew(self, wanted, value).await,
            config::Cloud::Gcp(gcp) => gcp::renew(self, gcp, wanted, value).await,
            config::Cloud::Azure(_) => azure::set(self, wanted, value).await,
        }
    }

    /// Deletes a secret in the way from which it can be recovered, where the cloud has one, and tells how long that is.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn delete(&self, wanted: &Wanted) -> Result<String> {
        match &self.cloud {
            config::Cloud::Aws(_) => aws::delete(self, wanted).await,
            config::Cloud::Gcp(gcp) => gcp::delete(self, gcp, wanted).await,
            config::Cloud::Azure(_) => azure::delete(self, wanted).await,
        }
    }

    /// What becomes of a secret that is deleted here.
    pub const fn fate(&self) -> &'static str {
        match &self.cloud {
            config::Cloud::Aws(_) => "is scheduled for deletion and can be restored until then",
            config::Cloud::Gcp(_) => "is deleted for good with all its versions: Google Cloud keeps nothing",
            config::Cloud::Azure(_) => "is soft-deleted, and can be recovered until its vault purges it",
        }
    }
}

/// The errors of the client name the URL at most, never a body.
async fn send(http: &Client, request: Request) -> Result<Said> {
    let attempted = format!("call {}", request.url().host_str().unwrap_or_default());
    let response = http.execute(request).await.attempting(|| attempted.clone())?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.attempting(|| attempted.clone())?;
    let body = match bytes.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&bytes)
            .map_err(|e| Failure::new(attempted, format!("{status}, and no JSON: {:?}", e.classify())))?,
    };
    Ok(Said { status, body })
}
