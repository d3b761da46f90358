//! The kinds before and after: in which versions each is served, and objects of it are stored.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, Discovery, ResourceExt, api::ListParams};

use crate::failure::{Attempt, Result};

/// All kinds, by the names that their definitions have, or would have if they were not the API server's own.
#[derive(Clone, Debug, Default)]
pub struct Definitions(BTreeMap<String, Definition>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Definition {
    served: BTreeSet<String>,
    /// Versions that its definition has; none for a kind of the API server's own.
    known: BTreeSet<String>,
    /// Versions in which objects may be stored.
    stored: BTreeSet<String>,
}

impl Definitions {
    /// Those of a cluster.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn read(client: &Client) -> Result<Self> {
        let served = Discovery::new(client.clone()).run().await.attempting(|| "discover what is served".into())?;
        let mut all = BTreeMap::<String, Definition>::new();
        for group in served.groups() {
            for version in group.versions() {
                for (kind, _) in group.versioned_resources(version) {
                    let name = format!("{}.{}", kind.plural, kind.group);
                    all.entry(name.trim_end_matches('.').into()).or_default().served.insert(version.into());
                }
            }
        }
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let defined = api.list(&ListParams::default()).await.attempting(|| "list the definitions".into())?;
        for crd in &defined.items {
            let stored = crd.status.as_ref().and_then(|status| status.stored_versions.clone());
            let kind = all.entry(crd.name_any()).or_default();
            kind.known = crd.spec.versions.iter().map(|version| version.name.clone()).collect();
            kind.stored = stored.into_iter().flatten().collect();
        }
        Ok(Self(all))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What an upgrade from `before` to these takes away from those who use them.
    pub fn taken(&self, before: &Self) -> Vec<String> {
        let mut taken = Vec::new();
        for (name, old) in &before.0 {
            let Some(new) = self.0.get(name) else {
                taken.push(format!("{name} is gone, and all its objects with it"));
                continue;
            };
            let gone: Vec<&str> = old.served.difference(&new.served).map(String::as_str).collect();
            if !gone.is_empty() {
                taken.push(format!("{name} is not served in {} any more", gone.join(", ")));
            }
        }
        for (name, new) in &self.0 {
            let unreadable: Vec<&str> = new.stored.difference(&new.known).map(String::as_str).collect();
            if !unreadable.is_empty() {
                taken.push(format!(
                    "objects of {name} may be stored in {}, which it does not know",
                    unreadable.join(", ")
                ));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions(name: &str, served: &[&str], stored: &[&str]) -> Definitions {
        let set = |list: &[&str]| list.iter().map(|v| (*v).to_owned()).collect::<BTreeSet<_>>();
        let definition = Definition { served: set(served), known: set(served), stored: set(stored) };
        Definitions([(name.to_owned(), definition)].into())
    }

    #[test]
    fn what_is_taken_away_is_told() {
        let before = definitions("a", &["v1", "v1beta1"], &["v1"]);
        assert_eq!(before.taken(&before), [""; 0]);
        assert_eq!(definitions("a", &["v1"], &["v1"]).taken(&before), ["a is not served in v1beta1 any more"]);
        assert_eq!(definitions("b", &["v1"], &["v1"]).taken(&before), ["a is gone, and all its objects with it"]);
        let stale = definitions("a", &["v1", "v1beta1"], &["v1", "v1alpha1"]);
        assert_eq!(stale.taken(&before), ["objects of a may be stored in v1alpha1, which it does not know"]);
    }
}
