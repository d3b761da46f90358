//! An AWS account as far as secrets need it: STS that verifies web identities, IAM that decides, and Secrets Manager
//! in front of a LocalStack that keeps the values.

pub mod account;
pub mod canaries;
pub mod declared;
#[cfg(test)]
mod fixture;
pub mod iam;
pub mod secretsmanager;
pub mod sigv4;
pub mod store;
pub mod sts;

pub use account::Account;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::json;

use crate::{
    Answer, Request, Result,
    cloud::{Cloud, Later, Trouble},
    journal::Note,
};

impl Cloud for Account {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn plays(&self, host: &str) -> bool {
        host == "sts.amazonaws.com"
            || ["sts", "secretsmanager"]
                .iter()
                .any(|service| host == format!("{service}.{}.amazonaws.com", self.region))
    }

    fn operation(&self, host: &str, request: &Request) -> String {
        if host.starts_with("sts.") {
            return sts::operation(request);
        }
        secretsmanager::operation(request)
    }

    fn answer<'a>(&'a self, host: &'a str, request: Request) -> Later<'a, Answer> {
        Box::pin(async move {
            if host.starts_with("sts.") {
                return sts::answer(self, &request);
            }
            secretsmanager::answer(self, &request).await.unwrap_or_else(|e| {
                Answer::text(StatusCode::BAD_GATEWAY, e.to_string()).noting(Note {
                    code: Some("gateway".into()),
                    reason: Some(e.to_string()),
                    ..Note::default()
                })
            })
        })
    }

    fn trouble(&self, _: &str, _: &Request, _: Trouble) -> Answer {
        Answer::text(StatusCode::NOT_IMPLEMENTED, "")
    }

    fn declare(&self, text: &str) -> Result<()> {
        self.declare(text)
    }

    fn apply<'a>(&'a self, values: &'a BTreeMap<String, String>) -> Later<'a, Result<()>> {
        Box::pin(self.apply(values))
    }

    fn read<'a>(&'a self, name: &'a str) -> Later<'a, Result<String>> {
        Box::pin(async move {
            let answer = self.store.call("GetSecretValue", json!({"SecretId": name})).await?;
            Ok(answer["SecretString"].as_str().unwrap_or_default().to_owned())
        })
    }

    fn write<'a>(&'a self, name: &'a str, value: &'a str) -> Later<'a, Result<()>> {
        Box::pin(self.store.put(name, Some(value)))
    }

    fn delete<'a>(&'a self, name: &'a str) -> Later<'a, Result<()>> {
        Box::pin(async move {
            let body = json!({"SecretId": name, "RecoveryWindowInDays": 7});
            self.store.call("DeleteSecret", body).await.map(|_| ())
        })
    }
}
