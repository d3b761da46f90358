//! The canaries of a Grafana Cloud stack, see [`crate::canary`].

use reqwest::{Client, Response};

use super::declared::Declared;
use crate::{
    Attempt, Result,
    canary::{Outcome, Probe, SUCCESS},
};

/// A remote write of nothing: an empty message, compressed.
const NOTHING: &[u8] = &[0];

/// Sends all canaries; `writer` and `reader` are tokens that may write and read.
///
/// # Errors
/// When the gateway cannot be reached; refusals are outcomes.
pub async fn run(probe: &Probe, declared: &Declared, writer: &str, reader: &str) -> Result<Vec<Outcome>> {
    let prometheus = declared.prometheus();
    let user = prometheus.prometheus_user_id.to_string();
    let caller = Caller { http: probe.client(&[prometheus.host()])?, endpoint: &prometheus.prometheus_remote_endpoint };
    let mut outcomes = Vec::new();
    for (name, user, token, expected) in [
        ("write with a token that may", user.as_str(), writer, SUCCESS),
        ("write with a token that nobody issued", &user, "glc_canary", "invalid token"),
        ("write with a token that may only read", &user, reader, "invalid scope requested"),
        ("write as another user", "1", writer, "legacy auth cannot be upgraded because the host is not found"),
    ] {
        let seen = caller.write(user, token).await?;
        outcomes.push(Outcome { name: name.into(), expected: expected.into(), seen });
    }
    for (name, token, expected) in [
        ("query with a token that may", reader, SUCCESS),
        ("query with a token that may only write", writer, "invalid scope requested"),
    ] {
        let seen = caller.query(&user, token).await?;
        outcomes.push(Outcome { name: name.into(), expected: expected.into(), seen });
    }
    Ok(outcomes)
}

struct Caller<'a> {
    http: Client,
    endpoint: &'a str,
}

impl Caller<'_> {
    async fn write(&self, user: &str, token: &str) -> Result<String> {
        let call = self.http.post(format!("{}/push", self.endpoint)).basic_auth(user, Some(token)).body(NOTHING);
        seen(call.send().await.attempting(|| "send a canary to Grafana Cloud".into())?).await
    }

    async fn query(&self, user: &str, token: &str) -> Result<String> {
        let call = self.http.get(format!("{}/api/v1/query?query=1", self.endpoint)).basic_auth(user, Some(token));
        seen(call.send().await.attempting(|| "send a canary to Grafana Cloud".into())?).await
    }
}

/// The reason in an answer, without what all of them begin with.
async fn seen(answer: Response) -> Result<String> {
    if answer.status().is_success() {
        return Ok(SUCCESS.into());
    }
    let text = answer.text().await.attempting(|| "read Grafana Cloud's answer".into())?;
    let error = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|v| v["error"].as_str().map(Into::into));
    let error: String = error.unwrap_or(text);
    Ok(error.trim_start_matches("authentication error: ").to_owned())
}
