//! A Google Cloud project as far as secrets need it: a metadata server, token services that verify Kubernetes service
//! accounts, IAM that decides, and Secret Manager with values in memory.

#[cfg(test)]
mod access;
mod administrator;
#[cfg(test)]
mod arrival;
mod caller;
pub mod canaries;
#[cfg(test)]
mod declaration;
pub mod declared;
#[cfg(test)]
mod denial;
#[cfg(test)]
mod fixture;
mod grpc;
pub mod iam;
mod iamcredentials;
mod json;
#[cfg(test)]
mod lifecycle;
mod list;
mod metadata;
mod policy;
pub mod project;
mod refusal;
mod resource;
mod rest;
mod secretmanager;
mod securetoken;
mod time;
mod tokens;
mod transport;
mod vault;

pub use project::Project;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use tonic::Code;

use self::{
    caller::{Api, authenticate},
    refusal::Refusal,
    secretmanager::{Operation, SecretManager},
};
use crate::{
    Answer, Request, Result,
    cloud::{Cloud, Credential, Later, Trouble},
};

/// Host of the global Secret Manager.
const SECRETMANAGER: &str = "secretmanager.googleapis.com";

/// What a host of this cloud is.
enum Host<'a> {
    Metadata,
    TokenService,
    Credentials,
    /// Secret Manager, at the regional endpoint of a location or at the global one.
    Secrets(Option<&'a str>),
}

impl<'a> Host<'a> {
    fn of(host: &'a str) -> Option<Self> {
        match host {
            securetoken::SECURETOKEN | securetoken::STS => Some(Self::TokenService),
            iamcredentials::HOST => Some(Self::Credentials),
            SECRETMANAGER => Some(Self::Secrets(None)),
            host if metadata::HOSTS.contains(&host) => Some(Self::Metadata),
            host => {
                let location = host.strip_prefix("secretmanager.")?.strip_suffix(".rep.googleapis.com")?;
                resource::is_id(location).then_some(Self::Secrets(Some(location)))
            }
        }
    }
}

/// The operation of Secret Manager that a request asks for, and the resource in a REST path.
fn operation(request: &Request) -> Option<(Operation, &str)> {
    let path = request.uri().path();
    match transport::is_grpc(request) {
        true => grpc::operation(path).map(|operation| (operation, "")),
        false => rest::operation(request.method().as_str(), path),
    }
}

/// Answers a call to Secret Manager.
async fn secrets(project: &Project, location: Option<&str>, request: Request) -> Answer {
    let grpc = transport::is_grpc(&request);
    let Some((operation, resource)) = operation(&request) else {
        return transport::unknown(grpc);
    };
    let method = format!("google.cloud.secretmanager.v1.SecretManagerService.{}", operation.name());
    let caller = match authenticate(project, request.headers(), Api { service: SECRETMANAGER, method: &method }) {
        Ok(caller) => caller,
        Err(refusal) => return transport::refuse(grpc, &refusal),
    };
    let manager = SecretManager { project, caller: &caller, location };
    let answer = match grpc {
        true => grpc::answer(&manager, operation, request).await,
        false => rest::answer(&manager, operation, resource, &request),
    };
    transport::by(answer, &caller.principal)
}

impl Cloud for Project {
    fn name(&self) -> &'static str {
        "gcp"
    }

    fn plays(&self, host: &str) -> bool {
        Host::of(host).is_some()
    }

    fn operation(&self, host: &str, request: &Request) -> String {
        match Host::of(host) {
            Some(Host::Metadata) => metadata::operation(request),
            Some(Host::TokenService) => securetoken::operation(host, request).into(),
            Some(Host::Credentials) => iamcredentials::operation(request),
            Some(Host::Secrets(_)) => {
                let name = operation(request).map_or("unknown".into(), |(operation, _)| operation.name());
                format!("secretmanager:{name}")
            }
            None => "unknown".into(),
        }
    }

    fn answer<'a>(&'a self, host: &'a str, request: Request) -> Later<'a, Answer> {
        Box::pin(async move {
            match Host::of(host) {
                Some(Host::Metadata) => metadata::answer(self, &request),
                Some(Host::TokenService) => securetoken::answer(self, host, &request),
                Some(Host::Credentials) => iamcredentials::answer(self, request).await,
                Some(Host::Secrets(location)) => secrets(self, location, request).await,
                None => Answer::text(StatusCode::MISDIRECTED_REQUEST, "Misdirected Request"),
            }
        })
    }

    fn trouble(&self, host: &str, request: &Request, trouble: Trouble) -> Answer {
        let refusal = match trouble {
            Trouble::Throttled => {
                let service = host;
                let (metric, limit) = ("requests", "RequestsPerMinutePerProject");
                let consumer = format!("projects/{}", self.config.number);
                let message = format!(
                    "Quota exceeded for quota metric '{metric}' and limit '{limit}' of service '{service}' for consumer 'project_number:{}'.",
                    self.config.number
                );
                Refusal::new(Code::ResourceExhausted, message).info(
                    "RATE_LIMIT_EXCEEDED",
                    "googleapis.com",
                    [("service", service), ("consumer", &consumer), ("quota_metric", metric), ("quota_limit", limit)],
                )
            }
            Trouble::Internal => Refusal::new(Code::Internal, "Internal error encountered."),
        };
        match Host::of(host) {
            Some(Host::Metadata) => metadata::trouble(trouble),
            _ => transport::refuse(transport::is_grpc(request), &refusal),
        }
    }

    fn declare(&self, text: &str) -> Result<()> {
        self.replace(text)
    }

    fn apply<'a>(&'a self, values: &'a BTreeMap<String, String>) -> Later<'a, Result<()>> {
        Box::pin(administrator::apply(self, values))
    }

    fn forget(&self) {
        self.forget();
    }

    fn administrator(&self) -> Option<Credential> {
        Some(Credential::Bearer { token: self.administrator.clone() })
    }

    fn read<'a>(&'a self, name: &'a str) -> Later<'a, Result<String>> {
        Box::pin(administrator::read(self, name))
    }

    fn write<'a>(&'a self, name: &'a str, value: &'a str) -> Later<'a, Result<()>> {
        Box::pin(administrator::write(self, name, value))
    }

    fn delete<'a>(&'a self, name: &'a str) -> Later<'a, Result<()>> {
        Box::pin(administrator::delete(self, name))
    }
}
