//! What became of objects: the writes to each, from the audit log.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::planned::Planned;
use crate::{gitops::argocd, observe::audit::Write};

/// The writes that the API server took, by object.
pub struct History<'a>(BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a Write>>);

impl<'a> History<'a> {
    /// Sorts the writes of an audit log.
    pub fn new(writes: &'a [Write]) -> Self {
        let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for write in writes.iter().filter(|write| (200..300).contains(&write.code)) {
            let target = &write.target;
            sorted.entry((&*target.group, &*target.resource, &*target.name)).or_default().push(write);
        }
        Self(sorted)
    }

    /// The writes to one object, in the order of their answers.
    pub fn of(&self, object: &Planned) -> Vec<&'a Write> {
        let writes = self.0.get(&(&*object.group, &*object.resource, &*object.name));
        // A kind without namespaces has none in the log; a namespace is in itself there.
        let there = |write: &&&Write| {
            let of = &write.target.namespace;
            of.is_empty() || *of == object.namespace || *of == write.target.name
        };
        writes.into_iter().flatten().filter(there).copied().collect()
    }

    /// The write that made an object first; nothing when it is older than the log, or was never made.
    pub fn creation(&self, object: &Planned) -> Option<&'a Write> {
        let made = |write: &&Write| write.target.subresource.is_empty() && write.code == 201;
        self.of(object).into_iter().find(made)
    }

    /// All states of an application.
    pub fn application(&self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        let writes = self.0.get(&("argoproj.io", "applications", name)).into_iter().flatten();
        writes.filter(|write| write.target.namespace == argocd::NAMESPACE).filter_map(|write| write.object.as_ref())
    }

    /// Group and kind of all resources of an application whose health Argo CD has told: those that it waits for.
    pub fn told(&self, application: &'a str) -> BTreeSet<(&'a str, &'a str)> {
        let resources = self.application(application).filter_map(|state| state["status"]["resources"].as_array());
        let told = resources.flatten().filter(|resource| resource["health"]["status"].is_string());
        told.map(|r| (r["group"].as_str().unwrap_or_default(), r["kind"].as_str().unwrap_or_default())).collect()
    }

    /// How often an operation of the application began again from its lowest wave.
    pub fn retries(&self, application: &'a str) -> u64 {
        let counts = self.application(application).filter_map(|s| s["status"]["operationState"]["retryCount"].as_u64());
        counts.max().unwrap_or(0)
    }
}
