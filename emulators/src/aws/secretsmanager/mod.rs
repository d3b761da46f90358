//! AWS Secrets Manager: who calls (SigV4), what they ask for, and the answer.
//! Source: the service's API reference; the model of botocore (`secretsmanager/2017-10-17`).

mod call;
mod grants;
mod input;
mod listing;
mod password;
mod read;
mod refusal;
mod secret;
pub(crate) mod store;
mod write;

use axum::http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use self::{call::Call, refusal::Refusal};
use super::{
    account::Account,
    caller::{Caller, Unauthenticated},
    sigv4::Refusal as BadSignature,
};
use crate::{Answer, Request, cloud::Trouble, journal::Note};

/// The action that a request asks for.
pub(super) fn action(request: &Request) -> &str {
    let target = request.headers().get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default();
    target.strip_prefix("secretsmanager.").unwrap_or_default()
}

/// Answers one request.
pub(crate) fn answer(account: &Account, request: &Request) -> Answer {
    let mut note = Note::default();
    let outcome = match Caller::of(account, request, &account.region, "secretsmanager") {
        Ok(caller) => {
            let outcome = serve(&mut Call::new(account, &caller), action(request), request.body());
            note.administrator = caller.role().is_none();
            note.caller = Some(caller.arn);
            outcome
        }
        Err(why) => Err(unauthenticated(why)),
    };
    match outcome {
        Ok(body) => reply(StatusCode::OK, &body, note),
        Err(refusal) => {
            note.code = Some(refusal.code.into());
            note.finding = refusal.finding;
            note.reason = Some(refusal.message.clone());
            reply(StatusCode::BAD_REQUEST, &json!({"__type": refusal.code, "Message": refusal.message}), note)
        }
    }
}

/// What befalls any caller.
pub(super) fn trouble(trouble: Trouble) -> Answer {
    let (status, code, message) = match trouble {
        Trouble::Throttled => (StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded"),
        Trouble::Internal => {
            (StatusCode::INTERNAL_SERVER_ERROR, "InternalServiceError", "An error occurred on the server side.")
        }
    };
    let note = Note { code: Some(code.into()), ..Note::default() };
    reply(status, &json!({"__type": code, "Message": message}), note)
}

fn reply(status: StatusCode, body: &Value, note: Note) -> Answer {
    let mut answer = Answer::body(status, "application/x-amz-json-1.1", body.to_string()).noting(note);
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        answer.response.headers_mut().insert("x-amzn-requestid", id);
    }
    answer
}

fn unauthenticated(why: Unauthenticated) -> Refusal {
    let token = |code: &'static str, state: &str| {
        Refusal::new(code, format!("The security token included in the request is {state}"))
    };
    match why {
        Unauthenticated::Unknown => token("UnrecognizedClientException", "invalid."),
        Unauthenticated::Expired => token("ExpiredTokenException", "expired"),
        Unauthenticated::Signature(BadSignature::Missing) => {
            Refusal::new("MissingAuthenticationTokenException", "Missing Authentication Token")
        }
        Unauthenticated::Signature(BadSignature::Presigned) => Refusal {
            finding: true,
            ..Refusal::new("IncompleteSignatureException", "This account does not take signatures in the query.")
        },
        Unauthenticated::Signature(BadSignature::Incomplete(why)) => Refusal::new("IncompleteSignatureException", why),
        Unauthenticated::Signature(BadSignature::Invalid(why)) => Refusal::new("InvalidSignatureException", why),
    }
}

fn serve(call: &mut Call<'_>, action: &str, body: &[u8]) -> Result<Value, Refusal> {
    match action {
        "BatchGetSecretValue" => read::batch(call, &input::read(body)?),
        "CreateSecret" => write::create(call, input::read(body)?),
        "DeleteResourcePolicy" => grants::delete(call, &input::read(body)?),
        "DeleteSecret" => write::delete(call, &input::read(body)?),
        "DescribeSecret" => read::describe(call, &input::read(body)?),
        "GetRandomPassword" => {
            call.authorise(action, None, None)?;
            let password = input::read::<password::GetRandomPassword>(body)?.make()?;
            Ok(json!({"RandomPassword": password}))
        }
        "GetResourcePolicy" => grants::get(call, &input::read(body)?),
        "GetSecretValue" => read::get(call, &input::read(body)?),
        "ListSecretVersionIds" => read::versions(call, &input::read(body)?),
        "ListSecrets" => read::list(call, &input::read(body)?),
        "PutResourcePolicy" => grants::put(call, input::read(body)?),
        "PutSecretValue" => write::put(call, input::read(body)?),
        "RestoreSecret" => write::restore(call, &input::read(body)?),
        "TagResource" => write::tag(call, input::read(body)?).map(|()| json!({})),
        "UntagResource" => write::untag(call, &input::read(body)?).map(|()| json!({})),
        "UpdateSecret" => write::update(call, input::read(body)?),
        "UpdateSecretVersionStage" => write::stage(call, &input::read(body)?),
        "ValidateResourcePolicy" => grants::validate(call, &input::read(body)?),
        "AssociateCrossAccountReplica"
        | "CancelRotateSecret"
        | "DisassociateCrossAccountReplica"
        | "ListResourcePolicies"
        | "RemoveRegionsFromReplication"
        | "ReplicateSecretToRegions"
        | "RotateSecret"
        | "StopReplicationToReplica" => Err(Refusal::not_played(action)),
        _ => Err(Refusal::new("UnknownOperationException", "")),
    }
}
