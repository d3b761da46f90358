//! The declared stack, in the words of the Terraform Grafana provider: `grafana_cloud_stack`,
//! `grafana_cloud_access_policy` and `grafana_cloud_access_policy_token`.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::NAME;
use crate::{Attempt, Error, Result, seed};

/// Everything that is declared.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The one stack, by a name of its own.
    grafana_cloud_stack: BTreeMap<String, Prometheus>,
    /// What tokens may do.
    pub(super) grafana_cloud_access_policy: BTreeMap<String, Policy>,
    /// Tokens.
    pub(super) grafana_cloud_access_policy_token: BTreeMap<String, Token>,
}

/// The Prometheus of a stack.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// Name of the stack.
    pub slug: String,
    /// URL of its Prometheus, for example `https://prometheus-prod-13-prod-us-east-0.grafana.net/api/prom`.
    pub prometheus_remote_endpoint: String,
    /// Number that senders give as their user name.
    pub prometheus_user_id: u64,
}

/// An access policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    /// For example `metrics:write`.
    pub scopes: Vec<String>,
}

/// A token of an access policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    /// Name of the policy.
    pub access_policy: String,
    /// `${value:…}`.
    pub token: String,
}

impl Declared {
    /// Reads a declaration.
    ///
    /// # Errors
    /// When it is none, or not of one stack.
    pub fn parse(text: &str) -> Result<Self> {
        let declared: Self = seed::read(text, NAME, &[])?;
        let attempted = || format!("read the declared set-up of {NAME}");
        if declared.grafana_cloud_stack.len() != 1 {
            return Err(Error::new(attempted(), "it has to be one grafana_cloud_stack"));
        }
        for (name, token) in &declared.grafana_cloud_access_policy_token {
            if !declared.grafana_cloud_access_policy.contains_key(&token.access_policy) {
                let seen = format!("token {name} has the policy {}, which is not declared", token.access_policy);
                return Err(Error::new(attempted(), seen));
            }
        }
        Ok(declared)
    }

    /// Reads the declaration in a file.
    ///
    /// # Errors
    /// As those of [`Self::parse`], and when the file cannot be read.
    pub fn read(file: &Path) -> Result<Self> {
        Self::parse(&std::fs::read_to_string(file).attempting(|| format!("read {}", file.display()))?)
    }

    /// The stack's Prometheus.
    pub fn prometheus(&self) -> &Prometheus {
        // There is one, or it would not have been read.
        &self.grafana_cloud_stack[self.grafana_cloud_stack.keys().next().map_or("", String::as_str)]
    }
}

impl Prometheus {
    /// Host name of the endpoint.
    pub fn host(&self) -> &str {
        let rest = self.prometheus_remote_endpoint.trim_start_matches("https://");
        rest.split('/').next().unwrap_or_default()
    }
}
