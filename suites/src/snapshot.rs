//! Live objects in a form that is equal from run to run: what the cluster makes up has names in the order of its
//! appearance, or is left out, and so is every secret value, by its keyed digest. Equal things have equal names, in all objects
//! that one [`Redactor`] has seen.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};
use trinity_e2e::{observe::forced, report::digest::Digester};

/// Fields whose values differ from run to run: times, which say how busy a machine was, counters, and numbers.
const VOLATILE: [&str; 14] = [
    "creationTimestamp",
    "deployStartedAt",
    "deployedAt",
    "finishedAt",
    "generation",
    "id",
    "lastTransitionTime",
    "managedFields",
    "observedAt",
    "reconciledAt",
    "refreshTime",
    "resourceVersion",
    "startedAt",
    "syncedResourceVersion",
];
/// What happened on the way, in place of how it is: it depends on who was faster.
const HISTORY: [&str; 2] = ["history", "operationState"];
/// Annotations that repeat the object, or that a test sets.
const ANNOTATIONS: [&str; 2] = [forced::ANNOTATION, "kubectl.kubernetes.io/last-applied-configuration"];

/// Gives names to what differs from run to run.
#[derive(Clone)]
pub struct Redactor {
    digester: Digester,
    names: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Redactor {
    /// With the digests of a run.
    pub fn new(digester: Digester) -> Self {
        Self { digester, names: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// An object: identifiers become `<id 1>`, commits of the platform's snapshot `<revision>`.
    pub fn object(&mut self, object: &DynamicObject) -> Value {
        let mut value = serde_json::to_value(object).expect("an object is JSON");
        self.clean(&mut value);
        value
    }

    /// The shape of a Secret: its keys, labels and type, its owners, and for each value `<value 1>`.
    pub fn secret(&mut self, secret: &Secret) -> Value {
        let data: Map<String, Value> = secret
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), self.name("value", self.digester.of(&value.0))))
            .collect();
        let owners = secret.metadata.owner_references.iter().flatten();
        let owners: Vec<Value> =
            owners.map(|o| json!({"kind": o.kind, "name": o.name, "uid": self.name("id", o.uid.clone())})).collect();
        json!({
            "name": secret.metadata.name,
            "namespace": secret.metadata.namespace,
            "labels": secret.metadata.labels.iter().flatten().map(|(k, _)| k).collect::<Vec<_>>(),
            "annotations": secret.metadata.annotations.iter().flatten().map(|(k, _)| k).filter(|k| !ANNOTATIONS.contains(&k.as_str())).collect::<Vec<_>>(),
            "owners": owners,
            "type": secret.type_,
            "data": data,
        })
    }

    fn clean(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let dropped =
                    |name: &str| [&VOLATILE[..], &HISTORY, &ANNOTATIONS].iter().any(|names| names.contains(&name));
                fields.retain(|name, _| !dropped(name));
                // The API server says them in an order of its own.
                fields.sort_keys();
                for (name, field) in fields {
                    match field {
                        Value::String(id) if name == "uid" => *field = self.name("id", id.clone()),
                        other => self.clean(other),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean(item)),
            Value::String(text) if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
                *value = json!("<revision>")
            }
            _ => {}
        }
    }

    fn name(&mut self, of: &'static str, thing: String) -> Value {
        let name = self.names.entry(thing).or_insert_with(|| {
            let count = self.counts.entry(of).or_default();
            *count += 1;
            format!("<{of} {count}>")
        });
        json!(name)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        ByteString,
        apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    };

    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(Digester::new("one"))
    }

    #[test]
    fn what_differs_from_run_to_run_goes() {
        let object = json!({
            "apiVersion": "v1", "kind": "Thing",
            "metadata": {"name": "a", "uid": "1", "annotations": {"force-sync": "1", "kept": "2"}},
            "status": {"operationState": {"phase": "Succeeded"}, "revisions": ["8e5ddbd43118f40288560860d98bdca4f9735380", "main"]},
        });
        let object = serde_json::from_value(object).unwrap();
        assert_eq!(
            redactor().object(&object),
            json!({
                "apiVersion": "v1", "kind": "Thing",
                "metadata": {"annotations": {"kept": "2"}, "name": "a", "uid": "<id 1>"},
                "status": {"revisions": ["<revision>", "main"]},
            })
        );
    }

    #[test]
    fn equal_values_have_equal_ordinals_and_no_value_is_shown() {
        let secret = |values: [&str; 3]| Secret {
            data: Some(
                ["a", "b", "c"].into_iter().zip(values).map(|(k, v)| (k.to_owned(), ByteString(v.into()))).collect(),
            ),
            ..Secret::default()
        };
        let one = redactor().secret(&secret(["x", "y", "x"]));
        assert_eq!(one["data"], json!({"a": "<value 1>", "b": "<value 2>", "c": "<value 1>"}));
        assert_eq!(one, Redactor::new(Digester::new("other")).secret(&secret(["p", "q", "p"])));
        assert_ne!(one, redactor().secret(&secret(["p", "p", "p"])));
    }

    #[test]
    fn an_owner_has_the_same_name_in_all_objects() {
        let object = |uid: &str| serde_json::from_value(json!({"metadata": {"name": "a", "uid": uid}})).unwrap();
        let owner =
            OwnerReference { kind: "Thing".into(), name: "a".into(), uid: "y".into(), ..OwnerReference::default() };
        let metadata = ObjectMeta { owner_references: Some(vec![owner]), ..ObjectMeta::default() };
        let mut redactor = redactor();
        let ids = ["x", "y", "x"].map(|uid| redactor.object(&object(uid))["metadata"]["uid"].clone());
        assert_eq!(ids, ["<id 1>", "<id 2>", "<id 1>"]);
        let secret = redactor.secret(&Secret { metadata, ..Secret::default() });
        assert_eq!(secret["owners"], json!([{"kind": "Thing", "name": "a", "uid": "<id 2>"}]));
    }
}
