//! How calls arrive: gRPC, or REST with JSON. What is called is the same.

use std::collections::BTreeMap;

use axum::{body::Body, http::StatusCode};
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tonic::{Code, server::Grpc};
use tonic_prost::ProstCodec;

use super::{
    iam::Principal,
    refusal::{Refusal, name},
};
use crate::{Answer, Request, journal::Note};

/// Query parameters that every Google API has and that change nothing about what is done.
const SYSTEM: &[&str] = &[
    "$alt",
    "$prettyPrint",
    "$userProject",
    "$.xgafv",
    "access_token",
    "alt",
    "fields",
    "key",
    "prettyPrint",
    "quotaUser",
];

/// Whether a call is gRPC.
pub(crate) fn is_grpc(request: &Request) -> bool {
    let media = request.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    media.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// Answers a unary gRPC call; what is no message is refused by tonic.
pub(crate) async fn unary<M, R>(request: Request, mut work: impl FnMut(M) -> Result<R, Refusal> + Send) -> Answer
where
    M: Message + Default + 'static,
    R: Message + 'static,
{
    let mut note = None;
    let service = tower::service_fn(|request: tonic::Request<M>| {
        let outcome = work(request.into_inner()).map(tonic::Response::new).map_err(|refusal| {
            note = Some(refusal.note());
            refusal.status()
        });
        std::future::ready(outcome)
    });
    let mut grpc = Grpc::new(ProstCodec::<R, M>::default());
    let response = grpc.unary(service, request.map(Body::from)).await.map(Body::new);
    let code = response.headers().get("grpc-status").map(|v| name(Code::from_bytes(v.as_bytes())).0);
    let malformed = || Note {
        code: code.map(Into::into),
        reason: code.map(|_| "it is no such gRPC message".into()),
        ..Note::default()
    };
    let note = note.unwrap_or_else(malformed);
    Answer::plain(response).noting(note)
}

/// A refusal in the form of the transport that was used.
pub(crate) fn refuse(grpc: bool, refusal: &Refusal) -> Answer {
    match grpc {
        true => Answer::plain(refusal.status().into_http()).noting(refusal.note()),
        false => refusal.answer(),
    }
}

/// The answer to a call of a method that does not exist, or is not played.
pub(crate) fn unknown(grpc: bool) -> Answer {
    match grpc {
        true => refuse(true, &Refusal::unplayed("this method")),
        false => Answer::text(StatusCode::NOT_FOUND, "Not Found").noting(Note {
            code: Some(name(Code::NotFound).0.into()),
            ..Note::finding("there is no such REST method, or it is not played")
        }),
    }
}

/// The answer with its caller noted.
pub(crate) fn by(mut answer: Answer, principal: &Principal) -> Answer {
    answer.note.administrator = *principal == Principal::Administrator;
    answer.note.caller = Some(principal.to_string());
    answer
}

/// Reads a JSON body. The error does not say what is there: it may be a secret.
pub(crate) fn body<T: DeserializeOwned + Default>(request: &Request) -> Result<T, Refusal> {
    if request.body().is_empty() {
        return Ok(T::default());
    }
    let value = serde_json::from_slice(request.body()).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        Refusal::invalid(format!("Invalid JSON payload received. Unexpected token at line {line} column {column}."))
    })?;
    serde_json::from_value(without_nulls(value))
        .map_err(|_| Refusal::invalid("Invalid JSON payload received. Unknown name or value of the wrong type."))
}

/// In the JSON of protocol buffers, `null` is the default of whatever it stands for; some of Google's clients send it.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let told = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(told.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// Query parameters, of which the call may have those in `known`.
pub(crate) fn query(request: &Request, known: &[&str]) -> Result<BTreeMap<String, String>, Refusal> {
    let text = request.uri().query().unwrap_or_default();
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if known.contains(&name.as_ref()) {
            parameters.insert(name.into_owned(), value.into_owned());
        } else if !SYSTEM.contains(&name.as_ref()) {
            return Err(Refusal::invalid(format!(
                "Invalid JSON payload received. Unknown name \"{name:.64}\": Cannot bind query parameter. Field '{name:.64}' could not be found in request message."
            )));
        }
    }
    Ok(parameters)
}
