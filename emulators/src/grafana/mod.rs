//! Grafana Cloud as far as metrics need it: the stack's Prometheus endpoint, which takes remote writes from senders with
//! a token and answers queries. What is written is judged by the limits of Mimir, which Grafana Cloud runs, recorded
//! for the judges, and kept by a real Prometheus, which also evaluates the queries.

pub mod canaries;
pub mod declared;
mod engine;
mod limits;
mod push;
pub mod received;
mod refusal;
pub mod remote_write;
mod stack;
#[cfg(test)]
mod tests;

pub use stack::Stack;

use std::collections::BTreeMap;

use crate::{
    Answer, Request, Result,
    cloud::{Cloud, Credential, Later, Trouble},
};

/// Name of the service in configurations, journals and the control interface.
pub const NAME: &str = "grafana";
/// Path of the stack's Prometheus below its host.
const PROMETHEUS: &str = "/api/prom/";
/// Pages of the query API below that path. Others of Prometheus' own, of which one writes, are none of Grafana Cloud's.
const QUERIES: [&str; 6] = [
    "api/v1/labels",
    "api/v1/metadata",
    "api/v1/query",
    "api/v1/query_exemplars",
    "api/v1/query_range",
    "api/v1/series",
];

/// What a request to the stack is.
enum Service {
    Push,
    Query,
}

fn service(request: &Request) -> Option<Service> {
    match request.uri().path().strip_prefix(PROMETHEUS)? {
        "push" => Some(Service::Push),
        page if QUERIES.contains(&page) => Some(Service::Query),
        // api/v1/label/<name>/values
        page => {
            let name = page.strip_prefix("api/v1/label/")?.strip_suffix("/values")?;
            (!name.is_empty() && !name.contains(['/', '.', '%'])).then_some(Service::Query)
        }
    }
}

impl Cloud for Stack {
    fn name(&self) -> &'static str {
        NAME
    }

    fn plays(&self, host: &str) -> bool {
        host == self.host()
    }

    fn operation(&self, _: &str, request: &Request) -> String {
        let operation = match service(request) {
            Some(Service::Push) => "grafana:Push",
            Some(Service::Query) => "grafana:Query",
            None => "grafana:Unknown",
        };
        operation.into()
    }

    fn answer<'a>(&'a self, _: &'a str, request: Request) -> Later<'a, Answer> {
        Box::pin(async move {
            match service(&request) {
                Some(Service::Push) => push::answer(self, request).await,
                Some(Service::Query) => self.query(&request).await,
                None => push::astray(self, &request),
            }
        })
    }

    fn trouble(&self, _: &str, request: &Request, trouble: Trouble) -> Answer {
        match service(request) {
            Some(Service::Push) => push::troubled(self, request, trouble),
            _ => refusal::trouble(request, trouble),
        }
    }

    fn declare(&self, text: &str) -> Result<()> {
        self.set_up(text)
    }

    fn apply<'a>(&'a self, values: &'a BTreeMap<String, String>) -> Later<'a, Result<()>> {
        Box::pin(async move { self.issue(values) })
    }

    fn forget(&self) {
        self.forget();
    }

    fn administrator(&self) -> Option<Credential> {
        None
    }

    fn read<'a>(&'a self, name: &'a str) -> Later<'a, Result<String>> {
        Box::pin(async move { self.token(name) })
    }

    fn write<'a>(&'a self, name: &'a str, value: &'a str) -> Later<'a, Result<()>> {
        Box::pin(async move { self.rotate(name, value) })
    }

    fn delete<'a>(&'a self, name: &'a str) -> Later<'a, Result<()>> {
        Box::pin(async move { self.revoke(name) })
    }
}
