//! Remote writes: who may, what may be written, and where it goes.

use axum::http::{HeaderValue, StatusCode};

use super::{
    limits,
    received::Sender,
    refusal::{self, Refusal},
    remote_write::{self, Version, Write},
    stack::Stack,
};
use crate::{Answer, Request, journal::Note};

/// Answers a remote write, and records it.
pub(super) async fn answer(stack: &Stack, request: Request) -> Answer {
    match stack.admit(request.headers(), "metrics:write") {
        Err(refusal) => refused(stack, &request, Sender::default(), &refusal),
        Ok(sender) => match taken(stack, &request).await {
            Err(refusal) => refused(stack, &request, sender, &refusal),
            Ok((version, write)) => {
                let answer =
                    accepted(version, &write).noting(Note { caller: Some(sender.user.clone()), ..Note::default() });
                stack.received.accept(sender, write);
                answer
            }
        },
    }
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

fn refused(stack: &Stack, request: &Request, sender: Sender, refusal: &Refusal) -> Answer {
    let answer = refusal::answer(request, refusal);
    stack.received.refuse(sender, answer.response.status().as_u16(), refusal.code().to_owned());
    answer
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
