//! An AWS account as far as secrets need it: STS that verifies web identities, IAM that decides, and Secrets Manager.

pub mod account;
pub mod administrator;
pub mod caller;
pub mod canaries;
pub mod condition;
pub mod declared;
#[cfg(test)]
mod denial;
#[cfg(test)]
mod fixture;
pub mod iam;
#[cfg(test)]
mod lifecycle;
pub mod policy;
pub mod secretsmanager;
pub mod session;
pub mod setup;
pub mod sigv4;
pub mod sts;

pub use account::Account;

use std::collections::BTreeMap;

use crate::{
    Answer, Request, Result,
    cloud::{Cloud, Credential, Later, Trouble},
};

impl Cloud for Account {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn plays(&self, host: &str) -> bool {
        host == sts::GLOBAL || ["sts", "secretsmanager"].iter().any(|service| host == self.host(service))
    }

    fn operation(&self, host: &str, request: &Request) -> String {
        let (service, action) = match host.starts_with("sts.") {
            true => ("sts", sts::action(request)),
            false => ("secretsmanager", secretsmanager::action(request).to_owned()),
        };
        // Names of operations are letters; what is none is a caller's nonsense, of which a line is enough.
        let action: String = action.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        format!("{service}:{action}")
    }

    fn answer<'a>(&'a self, host: &'a str, request: Request) -> Later<'a, Answer> {
        Box::pin(async move {
            match host.starts_with("sts.") {
                true => sts::answer(self, host, &request),
                false => secretsmanager::answer(self, &request),
            }
        })
    }

    fn trouble(&self, host: &str, _: &Request, trouble: Trouble) -> Answer {
        match host.starts_with("sts.") {
            true => sts::trouble(trouble),
            false => secretsmanager::trouble(trouble),
        }
    }

    fn declare(&self, text: &str) -> Result<()> {
        self.declare(text)
    }

    fn apply<'a>(&'a self, values: &'a BTreeMap<String, String>) -> Later<'a, Result<()>> {
        Box::pin(self.apply(values))
    }

    fn forget(&self) {
        self.forget();
    }

    fn administrator(&self) -> Option<Credential> {
        let (key, secret) = (&self.administrator.credentials.key, &self.administrator.credentials.secret);
        Some(Credential::AccessKey { key: key.clone(), secret: secret.clone() })
    }

    fn read<'a>(&'a self, name: &'a str) -> Later<'a, Result<String>> {
        Box::pin(self.read(name))
    }

    fn write<'a>(&'a self, name: &'a str, value: &'a str) -> Later<'a, Result<()>> {
        Box::pin(self.write(name, value))
    }

    fn delete<'a>(&'a self, name: &'a str) -> Later<'a, Result<()>> {
        Box::pin(self.delete(name))
    }
}
