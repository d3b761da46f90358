//! The project's administrator, who uses the same API as everybody, by a token that only the control interface tells.

use std::collections::BTreeMap;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{
    declared::{Replication, Wanted},
    project::Project,
    resource::SecretName,
};
use crate::{Attempt, Error, Result, cloud::Cloud};

/// Google's refusal of an administrator's call.
struct Refused {
    status: String,
    message: String,
}

/// Creates or changes the declared secrets until they are as declared, and touches nothing else.
pub(crate) async fn apply(project: &Project, values: &BTreeMap<String, String>) -> Result<()> {
    let declared = project.declared();
    for wanted in declared.secrets() {
        let value = wanted.value(values)?;
        ensure(project, &wanted).await?;
        if let (Some(value), Some(version)) = (value, wanted.version) {
            settle(project, &wanted.name, &value, version.enabled).await?;
        }
    }
    Ok(())
}

/// The newest value of a global secret.
pub(crate) async fn read(project: &Project, id: &str) -> Result<String> {
    let name = global(id);
    let answer = call(project, &name, "GET", "/versions/latest:access", None).await?;
    decode(&answer.map_err(|e| e.to("read", &name))?, &name)
}

/// A new value of a global secret, which is made when it does not exist.
pub(crate) async fn write(project: &Project, id: &str, value: &str) -> Result<()> {
    let (name, labels) = (global(id), BTreeMap::new());
    let replication = Replication::Auto {};
    let wanted = Wanted { name: name.clone(), labels: &labels, replication: Some(&replication), version: None };
    match call(project, &name, "GET", "", None).await? {
        Ok(_) => {}
        Err(refused) if refused.status == "NOT_FOUND" => create(project, &wanted).await?,
        Err(refused) => return Err(refused.to("find", &name)),
    }
    add(project, &name, value).await.map(|_| ())
}

/// Deletes a global secret. Google Cloud has no other way than the final one.
pub(crate) async fn delete(project: &Project, id: &str) -> Result<()> {
    let name = global(id);
    call(project, &name, "DELETE", "", None).await?.map(|_| ()).map_err(|e| e.to("delete", &name))
}

fn global(id: &str) -> SecretName {
    SecretName { location: None, id: id.to_owned() }
}

/// Makes the secret exist with its labels.
async fn ensure(project: &Project, wanted: &Wanted<'_>) -> Result<()> {
    match call(project, &wanted.name, "GET", "", None).await? {
        Ok(found) if found.get("labels").unwrap_or(&json!({})) == &json!(wanted.labels) => Ok(()),
        Ok(_) => {
            let body = json!({"labels": wanted.labels});
            let answer = call(project, &wanted.name, "PATCH", "?updateMask=labels", Some(body)).await?;
            answer.map(|_| ()).map_err(|e| e.to("label", &wanted.name))
        }
        Err(refused) if refused.status == "NOT_FOUND" => create(project, wanted).await,
        Err(refused) => Err(refused.to("find", &wanted.name)),
    }
}

async fn create(project: &Project, wanted: &Wanted<'_>) -> Result<()> {
    let mut body = json!({"labels": wanted.labels});
    match wanted.replication {
        Some(Replication::Auto {}) => body["replication"] = json!({"automatic": {}}),
        Some(Replication::UserManaged { replicas }) => {
            let replicas: Vec<_> = replicas.iter().map(|r| json!({"location": r.location})).collect();
            body["replication"] = json!({"userManaged": {"replicas": replicas}});
        }
        None => {}
    }
    let path = format!("{}?secretId={}", collection(project, &wanted.name), wanted.name.id);
    let answer = send(project, &wanted.name, "POST", &path, Some(body)).await?;
    answer.map(|_| ()).map_err(|e| e.to("create", &wanted.name))
}

/// Makes the newest version have the value and the state.
async fn settle(project: &Project, name: &SecretName, value: &str, enabled: bool) -> Result<()> {
    let latest = match call(project, name, "GET", "/versions/latest:access", None).await? {
        Ok(answer) if decode(&answer, name)? == value => answer["name"].as_str().map(str::to_owned),
        Ok(_) => None,
        Err(refused) if refused.status == "NOT_FOUND" => None,
        // A version that cannot be read is what is wanted; whether its value is the declared one nobody can tell.
        Err(refused) if refused.status == "FAILED_PRECONDITION" && !enabled => return Ok(()),
        Err(refused) if refused.status == "FAILED_PRECONDITION" => None,
        Err(refused) => return Err(refused.to("read", name)),
    };
    let version = match latest {
        Some(version) => version,
        None => add(project, name, value).await?,
    };
    if enabled {
        return Ok(());
    }
    let id = version.rsplit('/').next().unwrap_or_default();
    let answer = call(project, name, "POST", &format!("/versions/{id}:disable"), Some(json!({}))).await?;
    answer.map(|_| ()).map_err(|e| e.to("disable", name))
}

/// Adds a version and returns its name.
async fn add(project: &Project, name: &SecretName, value: &str) -> Result<String> {
    let payload = json!({
        "data": STANDARD.encode(value), "dataCrc32c": crc32c::crc32c(value.as_bytes()).to_string(),
    });
    let answer = call(project, name, "POST", ":addVersion", Some(json!({"payload": payload}))).await?;
    let version = answer.map_err(|e| e.to("add a version to", name))?;
    Ok(version["name"].as_str().unwrap_or_default().to_owned())
}

fn decode(answer: &Value, name: &SecretName) -> Result<String> {
    let attempted = || format!("understand the value of {}", name.id);
    let bytes = STANDARD.decode(answer["payload"]["data"].as_str().unwrap_or_default()).attempting(attempted)?;
    // The error quotes the place and not the value.
    String::from_utf8(bytes).map_err(|e| Error::new(attempted(), e.utf8_error()))
}

fn collection(project: &Project, name: &SecretName) -> String {
    let place = name.location.as_ref().map(|location| format!("/locations/{location}")).unwrap_or_default();
    format!("/v1/projects/{}{place}/secrets", project.config.project)
}

/// A call about a secret; `below` comes after its name.
async fn call(
    project: &Project,
    name: &SecretName,
    method: &str,
    below: &str,
    body: Option<Value>,
) -> Result<Result<Value, Refused>> {
    let path = format!("{}/{}{below}", collection(project, name), name.id);
    send(project, name, method, &path, body).await
}

/// Sends a request as a client does; the outer error is one of this code.
async fn send(
    project: &Project,
    name: &SecretName,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Result<Result<Value, Refused>> {
    let attempted = || format!("call Secret Manager about {}", name.id);
    let host = match &name.location {
        Some(location) => format!("secretmanager.{location}.rep.googleapis.com"),
        None => super::SECRETMANAGER.to_owned(),
    };
    let request = axum::http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", &host)
        .header("authorization", format!("Bearer {}", project.administrator))
        .header("content-type", "application/json")
        .body(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default())
        .attempting(attempted)?;
    let response = project.answer(&host, request).await.response;
    let good = response.status().is_success();
    let bytes = Body::new(response.into_body()).collect().await.attempting(attempted)?.to_bytes();
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|e| Error::new(attempted(), format!("{:?}", e.classify())))?;
    if good {
        return Ok(Ok(value));
    }
    let text = |key: &str| value["error"][key].as_str().unwrap_or_default().to_owned();
    Ok(Err(Refused { status: text("status"), message: text("message") }))
}

impl Refused {
    fn to(&self, attempted: &str, name: &SecretName) -> Error {
        Error::new(format!("{attempted} secret {}", name.id), format!("{}: {}", self.status, self.message))
    }
}
