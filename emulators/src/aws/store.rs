//! The LocalStack behind the account: it keeps values, deletions and versions; it checks nobody.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bytes::Bytes;
use reqwest::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Attempt, Error, Result};

/// Time that LocalStack may take to start.
const START: Duration = Duration::from_secs(120);

/// Client of LocalStack's Secrets Manager.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    url: String,
    /// LocalStack takes a 12-digit access key for the account, and reads the region from the scope.
    authorization: String,
}

impl Store {
    /// A client for `account` and `region` at `url`.
    pub fn new(url: &str, account: &str, region: &str) -> Self {
        Self {
            client: Client::new(),
            url: url.to_owned(),
            authorization: format!(
                "AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/secretsmanager/aws4_request, SignedHeaders=host, Signature=0"
            ),
        }
    }

    /// Sends one action with a JSON body and returns the answer as it is.
    ///
    /// # Errors
    /// When LocalStack cannot be reached.
    pub async fn send(&self, action: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let attempted = || format!("ask LocalStack at {} for {action}", self.url);
        let response = self
            .client
            .post(&self.url)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("secretsmanager.{action}"))
            .header("authorization", &self.authorization)
            .body(body)
            .send()
            .await
            .attempting(attempted)?;
        let status = response.status();
        Ok((status, response.bytes().await.attempting(attempted)?))
    }

    /// Sends one action and expects success. Errors quote LocalStack's error code only, never the request.
    ///
    /// # Errors
    /// When LocalStack cannot be reached or refuses.
    pub async fn call(&self, action: &str, body: Value) -> Result<Value> {
        let (status, bytes) = self.send(action, body.to_string().into()).await?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let code = answer["__type"].as_str().unwrap_or("no error code");
        Err(Error::new(format!("{action} in LocalStack"), format!("HTTP {status}, {code}")))
    }

    /// Waits until LocalStack answers.
    ///
    /// # Errors
    /// When it does not in two minutes.
    pub async fn started(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            match self.call("ListSecrets", json!({})).await {
                Ok(_) => return Ok(()),
                Err(e) if begun.elapsed() > START => return Err(e),
                // LocalStack tells nobody but its own log that it listens; a refused connection costs nothing.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Sets the value of a secret, making the secret when it does not exist.
    ///
    /// # Errors
    /// When LocalStack refuses, for example because the name is reserved by a scheduled deletion.
    pub async fn put(&self, name: &str, value: Option<&str>) -> Result<()> {
        // Only SDKs leave this out of their API; the service itself demands it.
        let mut body = json!({"Name": name, "ClientRequestToken": Uuid::new_v4()});
        if let Some(value) = value {
            body["SecretString"] = json!(value);
        }
        let (status, bytes) = self.send("CreateSecret", body.to_string().into()).await?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match (status.is_success(), answer["__type"].as_str(), value) {
            (true, ..) | (false, Some("ResourceExistsException"), None) => Ok(()),
            (false, Some("ResourceExistsException"), Some(value)) => self
                .call(
                    "PutSecretValue",
                    json!({"SecretId": name, "SecretString": value, "ClientRequestToken": Uuid::new_v4()}),
                )
                .await
                .map(|_| ()),
            (false, code, _) => Err(Error::new(
                format!("create secret {name} in LocalStack"),
                format!("HTTP {status}, {}", code.unwrap_or("no error code")),
            )),
        }
    }
}
