//! Remote writes: who may, what may be written, and where it goes.

use axum::http::{HeaderValue, Method, StatusCode};

use super::{
    limits,
    received::Sender,
    refusal::{self, Refusal},
    remote_write::{self, Version, Write},
    stack::Stack,
};
use crate::{Answer, Request, canary, cloud::Trouble, journal::Note};

/// Answers a remote write, and records it, unless it is a canary's.
pub(super) async fn answer(stack: &Stack, request: Request) -> Answer {
    let canary = canary(&request);
    let (sender, taken) = match stack.admit(request.headers(), "metrics:write") {
        Err(refusal) => (Sender::default(), Err(refusal)),
        Ok(sender) => (sender, taken(stack, &request).await),
    };
    match taken {
        Ok((version, write)) => {
            let caller = Some(sender.user.clone());
            let answer = accepted(version, &write).noting(Note { caller, ..Note::default() });
            if !canary {
                stack.received.accept(sender, write);
            }
            answer
        }
        Err(refusal) => {
            let answer = refusal::answer(&request, &refusal);
            if !canary {
                let status = answer.response.status().as_u16();
                stack.received.refuse(sender, status, refusal.code().to_owned());
            }
            answer
        }
    }
}

/// Answers what leads nowhere. A write that goes there is recorded as refused.
pub(super) fn astray(stack: &Stack, request: &Request) -> Answer {
    if request.method() == Method::POST {
        refused(stack, request, StatusCode::NOT_FOUND, "not-found");
    }
    Answer::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// Answers with what befalls any sender, and records it as every other refusal.
pub(super) fn troubled(stack: &Stack, request: &Request, trouble: Trouble) -> Answer {
    let answer = refusal::trouble(request, trouble);
    refused(stack, request, answer.response.status(), answer.note.code.as_deref().unwrap_or_default());
    answer
}

/// Records a refusal that did not depend on what was written.
fn refused(stack: &Stack, request: &Request, status: StatusCode, code: &str) {
    if !canary(request) {
        let sender = stack.admit(request.headers(), "metrics:write").unwrap_or_default();
        stack.received.refuse(sender, status.as_u16(), code.to_owned());
    }
}

/// Whether a canary calls: the record is of the platform.
fn canary(request: &Request) -> bool {
    request.headers().get("user-agent").is_some_and(|agent| agent == canary::AGENT)
}

/// Checks what is written and hands it on to the engine.
async fn taken(stack: &Stack, request: &Request) -> Result<(Version, Write), Refusal> {
    let version = Version::of(request.headers())?;
    let write = remote_write::decode(version, request.body())?;
    let now = stack.clock.now();
    write.series.iter().try_for_each(|series| limits::check(series, now))?;
    if let Some(engine) = &stack.engine {
        engine.write(request).await?;
    }
    Ok((version, write))
}

/// The answer to what was taken; version 2.0 wants to know how much that was.
fn accepted(version: Version, write: &Write) -> Answer {
    let mut answer = Answer::text(StatusCode::OK, "");
    if version == Version::Two {
        let sum = |count: fn(&remote_write::Series) -> usize| write.series.iter().map(count).sum::<usize>();
        for (what, count) in [
            ("x-prometheus-remote-write-samples-written", sum(|s| s.samples.len())),
            ("x-prometheus-remote-write-histograms-written", sum(|s| s.histograms)),
            ("x-prometheus-remote-write-exemplars-written", sum(|s| s.exemplars)),
        ] {
            answer.response.headers_mut().insert(what, HeaderValue::from(count));
        }
    }
    answer
}
