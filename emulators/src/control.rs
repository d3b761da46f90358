//! The control interface of a gateway: HTTP on a Unix socket, for the harness and the suites. The platform cannot
//! reach it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path as Name, State},
    http::StatusCode,
    routing::{self, get, post, put},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Attempt, Error, Result,
    cloud::{Cloud, Credential, Ground},
    fault::{Fault, Faults},
    grafana::{self, received::Excerpt},
    issuer::Issuer,
};

/// What the interface controls.
#[derive(Clone)]
pub(crate) struct Desk {
    pub ground: Ground,
    pub faults: Faults,
    pub clouds: Vec<Arc<dyn Cloud>>,
    pub stack: Option<Arc<grafana::Stack>>,
    pub given: Given,
}

/// Every value that came in here, by the name of its secret: whoever searches for leaks has to know the earlier ones, too.
#[derive(Clone, Default)]
pub(crate) struct Given(Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>);

impl Given {
    fn note<'a>(&self, values: impl IntoIterator<Item = (&'a String, &'a String)>) {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in values {
            given.entry(name.clone()).or_default().insert(value.clone());
        }
    }
}

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

/// A movement of the clock.
#[derive(Deserialize, Serialize)]
struct Move {
    seconds: i64,
}

/// The issuer that the clouds shall know instead.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// URL in the tokens' `iss`.
    pub url: String,
    /// URL of its key set.
    pub jwks: String,
    /// Public RSA key, PEM.
    pub key: String,
}

/// Routes of the interface.
pub(crate) fn routes(desk: Desk) -> Router {
    Router::new()
        .route("/clock", post(advance))
        .route("/faults", get(faults).put(cause))
        .route("/issuer", put(replace))
        .route("/values", get(values))
        .route("/writes", get(latest))
        .route("/writes/{after}", get(writes))
        .route("/{cloud}/administrator", get(administrator))
        .route("/{cloud}/apply", post(apply))
        .route("/{cloud}/declared", post(declare))
        .route("/{cloud}/secrets", routing::delete(forget))
        // Names of AWS may have slashes.
        .route("/{cloud}/secrets/{*name}", get(read).put(write).delete(delete))
        .with_state(desk)
}

type Reply<T> = std::result::Result<T, (StatusCode, String)>;

fn refused(e: Error) -> (StatusCode, String) {
    (StatusCode::UNPROCESSABLE_ENTITY, e.to_string())
}

impl Desk {
    fn cloud(&self, name: &str) -> Reply<Arc<dyn Cloud>> {
        let found = self.clouds.iter().find(|cloud| cloud.name() == name).cloned();
        found.ok_or_else(|| (StatusCode::NOT_FOUND, format!("this gateway does not play {name}")))
    }
}

async fn advance(State(desk): State<Desk>, Json(body): Json<Move>) -> Json<Move> {
    Json(Move { seconds: desk.ground.clock.advance(body.seconds) })
}

async fn faults(State(desk): State<Desk>) -> Json<Vec<Fault>> {
    Json(desk.faults.waiting())
}

async fn cause(State(desk): State<Desk>, Json(body): Json<Vec<Fault>>) {
    desk.faults.set(body);
}

async fn replace(State(desk): State<Desk>, Json(body): Json<Replacement>) -> Reply<()> {
    desk.ground.trust.replace(Issuer::new(&body.url, &body.jwks, &body.key).map_err(refused)?);
    Ok(())
}

async fn values(State(desk): State<Desk>) -> Json<BTreeMap<String, BTreeSet<String>>> {
    Json(desk.given.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

async fn writes(State(desk): State<Desk>, Name(after): Name<u64>) -> Reply<Json<Excerpt>> {
    match &desk.stack {
        Some(stack) => Ok(Json(stack.received.after(after).await)),
        None => Err((StatusCode::NOT_FOUND, "this gateway does not play Grafana Cloud".into())),
    }
}

async fn latest(State(desk): State<Desk>) -> Json<u64> {
    Json(desk.stack.map_or(0, |stack| stack.received.latest()))
}

async fn administrator(State(desk): State<Desk>, Name(cloud): Name<String>) -> Reply<Json<Credential>> {
    let credential = desk.cloud(&cloud)?.administrator();
    credential.map(Json).ok_or_else(|| (StatusCode::NOT_FOUND, format!("{cloud} has no administrator")))
}

async fn apply(State(desk): State<Desk>, Name(cloud): Name<String>, Json(body): Json<Values>) -> Reply<()> {
    desk.given.note(&body.values);
    desk.cloud(&cloud)?.apply(&body.values).await.map_err(refused)
}

async fn declare(State(desk): State<Desk>, Name(cloud): Name<String>, body: String) -> Reply<()> {
    desk.cloud(&cloud)?.declare(&body).map_err(refused)
}

async fn forget(State(desk): State<Desk>, Name(cloud): Name<String>) -> Reply<()> {
    desk.cloud(&cloud)?.forget();
    Ok(())
}

async fn read(State(desk): State<Desk>, Name((cloud, name)): Name<(String, String)>) -> Reply<Json<SecretValue>> {
    let value = desk.cloud(&cloud)?.read(&name).await.map_err(refused)?;
    Ok(Json(SecretValue { value }))
}

async fn write(
    State(desk): State<Desk>,
    Name((cloud, name)): Name<(String, String)>,
    Json(body): Json<SecretValue>,
) -> Reply<()> {
    desk.given.note([(&name, &body.value)]);
    desk.cloud(&cloud)?.write(&name, &body.value).await.map_err(refused)
}

async fn delete(State(desk): State<Desk>, Name((cloud, name)): Name<(String, String)>) -> Reply<()> {
    desk.cloud(&cloud)?.delete(&name).await.map_err(refused)
}

/// Client of the interface, for one cloud of the gateway.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    socket: String,
    cloud: String,
}

impl Client {
    /// A client for the socket; connects on use.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn connect(socket: &Path, cloud: &str) -> Result<Self> {
        // Chosen once for the process; the HTTP client asks for one even without TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .build()
            .attempting(|| format!("use the socket {}", socket.display()))?;
        Ok(Self { http, socket: socket.display().to_string(), cloud: cloud.to_owned() })
    }

    /// What the cloud's administrator calls its public API with.
    ///
    /// # Errors
    /// When the gateway cannot be reached or does not play the cloud.
    pub async fn administrator(&self) -> Result<Credential> {
        let attempted = "get the administrator's credential";
        let text = self.send(attempted, self.http.get(self.url("administrator"))).await?;
        // An error quotes the place and not the credential.
        serde_json::from_str(&text).map_err(|e| Error::new(attempted, format!("{:?}", e.classify())))
    }

    /// Creates the declared secrets with these values.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn apply(&self, values: BTreeMap<String, String>) -> Result<()> {
        let request = self.http.post(self.url("apply")).json(&Values { values });
        self.send("apply the declared set-up", request).await.map(|_| ())
    }

    /// Replaces the declared set-up: identities and permissions at once, secrets on the next [`Self::apply`].
    ///
    /// # Errors
    /// When the text is no declaration.
    pub async fn declare(&self, text: String) -> Result<()> {
        let request = self.http.post(self.url("declared")).body(text);
        self.send("replace the declared set-up", request).await.map(|_| ())
    }

    /// Makes the cloud forget every secret, also the deleted ones, as if none had ever been made.
    ///
    /// # Errors
    /// When the gateway cannot be reached.
    pub async fn forget(&self) -> Result<()> {
        let request = self.http.delete(self.url("secrets"));
        self.send("forget all secrets", request).await.map(|_| ())
    }

    /// The current value of a secret.
    ///
    /// # Errors
    /// When it does not exist.
    pub async fn secret(&self, name: &str) -> Result<String> {
        let request = self.http.get(self.url(&format!("secrets/{name}")));
        let text = self.send(&format!("read secret {name} in the backend"), request).await?;
        let answer: Value = serde_json::from_str(&text).attempting(|| format!("understand the value of {name}"))?;
        Ok(answer["value"].as_str().unwrap_or_default().to_owned())
    }

    /// Sets the value of a secret.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn put_secret(&self, name: &str, value: &str) -> Result<()> {
        let value = value.to_owned();
        let request = self.http.put(self.url(&format!("secrets/{name}"))).json(&SecretValue { value });
        self.send(&format!("change secret {name} in the backend"), request).await.map(|_| ())
    }

    /// Deletes a secret in the way from which it can be recovered, where the cloud has one.
    ///
    /// # Errors
    /// When the cloud refuses.
    pub async fn delete_secret(&self, name: &str) -> Result<()> {
        let request = self.http.delete(self.url(&format!("secrets/{name}")));
        self.send(&format!("delete secret {name} in the backend"), request).await.map(|_| ())
    }

    /// Every value that secrets of the gateway were ever given through this interface, by their names.
    ///
    /// # Errors
    /// When the gateway cannot be reached.
    pub async fn values(&self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let text = self.send("read all values", self.http.get("http://gateway/values")).await?;
        // Where it is not understood, the error must not show it.
        serde_json::from_str(&text).map_err(|_| Error::new("understand all values", "they are no JSON object of lists"))
    }

    /// Moves the clouds' clock, backwards when negative.
    ///
    /// # Errors
    /// When the gateway cannot be reached.
    pub async fn advance(&self, seconds: i64) -> Result<()> {
        let request = self.http.post("http://gateway/clock").json(&Move { seconds });
        self.send("move the clouds' clock", request).await.map(|_| ())
    }

    /// Replaces the faults that wait for calls.
    ///
    /// # Errors
    /// When the gateway cannot be reached.
    pub async fn cause(&self, faults: &[Fault]) -> Result<()> {
        let request = self.http.put("http://gateway/faults").json(faults);
        self.send("set faults", request).await.map(|_| ())
    }

    /// Makes the clouds know another issuer than the cluster's.
    ///
    /// # Errors
    /// When the key is none.
    pub async fn trust(&self, issuer: &Replacement) -> Result<()> {
        let request = self.http.put("http://gateway/issuer").json(issuer);
        self.send("replace the issuer that the clouds know", request).await.map(|_| ())
    }

    /// Number of the latest write that Grafana Cloud has received; 0 when there was none.
    ///
    /// # Errors
    /// When the gateway cannot be reached.
    pub async fn latest_write(&self) -> Result<u64> {
        let text = self.send("ask for the latest write", self.http.get("http://gateway/writes")).await?;
        text.parse().attempting(|| "understand the number of the latest write".into())
    }

    /// What Grafana Cloud has received after write number `after`. When that is nothing, it waits for a write, and says
    /// nothing new after [`grafana::received::PATIENCE`].
    ///
    /// # Errors
    /// When the gateway cannot be reached or does not play Grafana Cloud.
    pub async fn writes(&self, after: u64) -> Result<Excerpt> {
        let request = self.http.get(format!("http://gateway/writes/{after}"));
        let text = self.send("read what Grafana Cloud has received", request).await?;
        serde_json::from_str(&text).attempting(|| "understand what Grafana Cloud has received".into())
    }

    fn url(&self, rest: &str) -> String {
        format!("http://gateway/{}/{rest}", self.cloud)
    }

    async fn send(&self, attempted: &str, request: reqwest::RequestBuilder) -> Result<String> {
        let attempted = || format!("{attempted} ({}, gateway at {})", self.cloud, self.socket);
        let response = request.send().await.attempting(attempted)?;
        let status = response.status();
        let text = response.text().await.attempting(attempted)?;
        if status.is_success() { Ok(text) } else { Err(Error::new(attempted(), text)) }
    }
}
