//! An Azure tenant as far as secrets need it: Entra ID that exchanges federated tokens, Key Vault that keeps secrets and
//! decides who may read them, and the resource manager that makes and unmakes vaults.

mod aadsts;
mod access;
mod administrator;
mod bearer;
mod bundle;
pub mod canaries;
pub mod declared;
#[cfg(test)]
mod denial;
mod federation;
#[cfg(test)]
mod fixture;
mod login;
mod management;
mod query;
mod refusal;
mod resource;
mod scope;
mod secrets;
mod tenant;
#[cfg(test)]
mod tests;
mod token;
mod vault;
mod vaults;

pub use tenant::Tenant;

use std::collections::BTreeMap;

use crate::{
    Answer, Request, Result,
    cloud::{Cloud, Credential, Later, Trouble},
};

/// The service that a host belongs to.
enum Service {
    Login,
    Management,
    Vault,
}

fn service(host: &str) -> Option<Service> {
    match host {
        host if login::HOSTS.contains(&host) => Some(Service::Login),
        management::HOST => Some(Service::Management),
        host => host.strip_suffix(vault::DOMAIN).filter(|name| !name.contains('.')).map(|_| Service::Vault),
    }
}

impl Cloud for Tenant {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn plays(&self, host: &str) -> bool {
        service(host).is_some()
    }

    fn operation(&self, host: &str, request: &Request) -> String {
        let operation = match service(host) {
            Some(Service::Login) => login::operation(request),
            Some(Service::Management) => management::operation(request),
            Some(Service::Vault) | None => vault::operation(request),
        };
        operation.into()
    }

    fn answer<'a>(&'a self, host: &'a str, request: Request) -> Later<'a, Answer> {
        Box::pin(async move {
            match service(host) {
                Some(Service::Login) => login::answer(self, &request),
                Some(Service::Management) => management::answer(self, &request),
                Some(Service::Vault) | None => vault::answer(self, host, &request),
            }
        })
    }

    fn trouble(&self, host: &str, request: &Request, trouble: Trouble) -> Answer {
        match service(host) {
            Some(Service::Login) => login::trouble(self, request, trouble),
            Some(Service::Management) => management::trouble(trouble),
            Some(Service::Vault) | None => vault::trouble(trouble),
        }
    }

    fn declare(&self, text: &str) -> Result<()> {
        self.set_up(text)
    }

    fn apply<'a>(&'a self, values: &'a BTreeMap<String, String>) -> Later<'a, Result<()>> {
        Box::pin(self.load(values))
    }

    fn forget(&self) {
        self.forget();
    }

    fn administrator(&self) -> Option<Credential> {
        let (id, secret) = (&self.administrator.client_id, &self.administrator.secret);
        Some(Credential::Client { id: id.clone(), secret: secret.clone() })
    }

    fn read<'a>(&'a self, name: &'a str) -> Later<'a, Result<String>> {
        Box::pin(self.value(name))
    }

    fn write<'a>(&'a self, name: &'a str, value: &'a str) -> Later<'a, Result<()>> {
        Box::pin(self.put(name, value))
    }

    fn delete<'a>(&'a self, name: &'a str) -> Later<'a, Result<()>> {
        Box::pin(self.remove(name))
    }
}
