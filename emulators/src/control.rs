//! The control interface of a gateway: HTTP on a Unix socket, for the harness and the suites. The platform cannot
//! reach it.

use std::{collections::BTreeMap, path::Path};

use axum::{
    Json, Router,
    extract::{Path as Name, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Attempt, Error, Result, aws::Account};

/// Values by the names that the declared set-up uses.
#[derive(Deserialize, Serialize)]
struct Values {
    values: BTreeMap<String, String>,
}

/// One value of a secret.
#[derive(Deserialize, Serialize)]
struct SecretValue {
    value: String,
}

/// Routes of the interface.
pub(crate) fn routes(account: Account) -> Router {
    Router::new()
        .route("/aws/apply", post(apply))
        .route("/aws/declared", post(declare))
        .route("/aws/secrets/{name}", get(read).put(write).delete(delete))
        .with_state(account)
}

type Reply<T> = std::result::Result<T, (StatusCode, String)>;

fn refused(e: Error) -> (StatusCode, String) {
    (StatusCode::UNPROCESSABLE_ENTITY, e.to_string())
}

async fn apply(State(account): State<Account>, Json(body): Json<Values>) -> Reply<()> {
    account.apply(&body.values).await.map_err(refused)
}

async fn declare(State(account): State<Account>, body: String) -> Reply<()> {
    account.declare(&body).map_err(refused)
}

async fn read(State(account): State<Account>, Name(name): Name<String>) -> Reply<Json<SecretValue>> {
    let answer = account.store.call("GetSecretValue", json!({"SecretId": name})).await.map_err(refused)?;
    let value = answer["SecretString"].as_str().unwrap_or_default().to_owned();
    Ok(Json(SecretValue { value }))
}

async fn write(State(account): State<Account>, Name(name): Name<String>, Json(body): Json<SecretValue>) -> Reply<()> {
    account.store.put(&name, Some(&body.value)).await.map_err(refused)
}

async fn delete(State(account): State<Account>, Name(name): Name<String>) -> Reply<()> {
    // Scheduled, as a routine deletion is: the name stays reserved.
    let body = json!({"SecretId": name, "RecoveryWindowInDays": 7});
    account.store.call("DeleteSecret", body).await.map(|_| ()).map_err(refused)
}

/// Client of the interface.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    socket: String,
}

impl Client {
    /// A client for the socket; connects on use.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn connect(socket: &Path) -> Result<Self> {
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .build()
            .attempting(|| format!("use the socket {}", socket.display()))?;
        Ok(Self { http, socket: socket.display().to_string() })
    }

    /// Creates the declared secrets with these values.
    ///
    /// # Errors
    /// When the gateway or its backend refuses.
    pub async fn apply(&self, values: BTreeMap<String, String>) -> Result<()> {
        let request = self.http.post("http://gateway/aws/apply").json(&Values { values });
        self.send("apply the declared AWS set-up", request).await.map(|_| ())
    }

    /// Replaces the declared set-up: roles, trust and policies at once; secrets on the next [`Self::apply`].
    ///
    /// # Errors
    /// When the text is no declaration.
    pub async fn declare(&self, text: String) -> Result<()> {
        let request = self.http.post("http://gateway/aws/declared").body(text);
        self.send("replace the declared AWS set-up", request).await.map(|_| ())
    }

    /// The current value of a secret.
    ///
    /// # Errors
    /// When it does not exist.
    pub async fn secret(&self, name: &str) -> Result<String> {
        let request = self.http.get(format!("http://gateway/aws/secrets/{name}"));
        let text = self.send(&format!("read secret {name} in the backend"), request).await?;
        let answer: Value = serde_json::from_str(&text).attempting(|| format!("understand the value of {name}"))?;
        Ok(answer["value"].as_str().unwrap_or_default().to_owned())
    }

    /// Sets the value of a secret.
    ///
    /// # Errors
    /// When the backend refuses.
    pub async fn put_secret(&self, name: &str, value: &str) -> Result<()> {
        let value = value.to_owned();
        let request = self.http.put(format!("http://gateway/aws/secrets/{name}")).json(&SecretValue { value });
        self.send(&format!("change secret {name} in the backend"), request).await.map(|_| ())
    }

    /// Schedules the deletion of a secret.
    ///
    /// # Errors
    /// When the backend refuses.
    pub async fn delete_secret(&self, name: &str) -> Result<()> {
        let request = self.http.delete(format!("http://gateway/aws/secrets/{name}"));
        self.send(&format!("delete secret {name} in the backend"), request).await.map(|_| ())
    }

    async fn send(&self, attempted: &str, request: reqwest::RequestBuilder) -> Result<String> {
        let attempted = || format!("{attempted} (gateway at {})", self.socket);
        let response = request.send().await.attempting(attempted)?;
        let status = response.status();
        let text = response.text().await.attempting(attempted)?;
        if status.is_success() { Ok(text) } else { Err(Error::new(attempted(), text)) }
    }
}
