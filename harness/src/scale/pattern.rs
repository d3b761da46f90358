//! The ExternalSecret of the platform after which those of a load are made: they read the same key of the same store.

use kube::{
    Client, ResourceExt,
    api::ListParams,
    core::{DynamicObject, ObjectMeta},
};
use serde_json::{Value, json};

use crate::{
    failure::{Attempt, Failure, Result},
    observe::{key, kinds::Kind},
    world::{OWN, RUN_LABEL},
};

/// Name of the one that is taken when a platform has it, because its value is no one's credential.
const PREFERRED: &str = "provider-test-secret";

/// What those of a load have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// The platform's own, `<namespace>/<name>`.
    pub of: String,
    store: Value,
    data: Value,
}

impl Pattern {
    /// Finds it in a world.
    ///
    /// # Errors
    /// When the platform has none that can be read from another namespace.
    pub async fn find(client: &Client) -> Result<Self> {
        let attempted = || "list the platform's ExternalSecrets".to_owned();
        let list = Kind::ExternalSecret.all(client).list(&ListParams::default()).await.attempting(attempted)?;
        Self::among(&list.items)
    }

    fn among(objects: &[DynamicObject]) -> Result<Self> {
        let usable = |object: &&DynamicObject| {
            let spec = &object.data["spec"];
            let named = spec["data"].as_array().is_some_and(|data| !data.is_empty());
            let ours = object.namespace().is_some_and(|namespace| namespace.starts_with(OWN));
            named && !ours && spec["secretStoreRef"]["kind"] == "ClusterSecretStore"
        };
        let found = objects.iter().filter(usable).min_by_key(|object| (object.name_any() != PREFERRED, key(*object)));
        let object = found.ok_or_else(|| {
            let seen = format!("none of {} names a key of a ClusterSecretStore", objects.len());
            Failure::new("find an ExternalSecret of the platform to make others after", seen)
                .next("use a platform with one: a namespace of the harness's own reaches no SecretStore of another")
        })?;
        let spec = &object.data["spec"];
        Ok(Self { of: key(object), store: spec["secretStoreRef"].clone(), data: spec["data"].clone() })
    }

    /// One of a load, whose Secret has its name.
    pub fn external_secret(&self, name: &str, run: &str) -> DynamicObject {
        let metadata = ObjectMeta {
            name: Some(name.into()),
            labels: Some([(RUN_LABEL.to_owned(), run.to_owned())].into()),
            ..ObjectMeta::default()
        };
        let spec = json!({
            // It is read once.
            "refreshInterval": "24h",
            "secretStoreRef": self.store,
            "target": {"name": name, "creationPolicy": "Owner"},
            "data": self.data,
        });
        let mut object = DynamicObject::new(name, &Kind::ExternalSecret.resource()).data(json!({"spec": spec}));
        object.metadata = metadata;
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(namespace: &str, name: &str, kind: &str, key: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {
                "secretStoreRef": {"kind": kind, "name": "own-store"},
                "data": [{"secretKey": "k", "remoteRef": {"key": key}}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn the_pattern_is_the_platforms_own() {
        let all = [
            object("a", "first", "ClusterSecretStore", "other"),
            object("trinity-e2e-x", PREFERRED, "ClusterSecretStore", "ours"),
            object("b", PREFERRED, "SecretStore", "near"),
            object("c", PREFERRED, "ClusterSecretStore", "theirs"),
        ];
        let pattern = Pattern::among(&all).unwrap();
        assert_eq!(pattern.of, "c/provider-test-secret");
        assert_eq!(Pattern::among(&all[..3]).unwrap().of, "a/first");
        let made = pattern.external_secret("secret-1", "r");
        assert_eq!(made.data["spec"]["secretStoreRef"]["name"], "own-store");
        assert_eq!(made.data["spec"]["data"][0]["remoteRef"]["key"], "theirs");
        assert_eq!(made.data["spec"]["target"]["name"], "secret-1");
        assert_eq!((made.name_any(), made.labels()[RUN_LABEL].as_str()), ("secret-1".into(), "r"));
    }

    #[test]
    fn a_store_out_of_reach_is_no_pattern() {
        let failure = Pattern::among(&[object("b", PREFERRED, "SecretStore", "near")]).unwrap_err();
        assert!(failure.seen().contains("none of 1"), "{failure}");
    }
}
