//! Live objects in a form that is equal from run to run: without what the cluster makes up, and with secret values
//! replaced by ordinals of their keyed digests.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};
use trinity_e2e::report::digest::Digester;

/// Fields whose values differ from run to run: times, counters and identifiers.
const VOLATILE: [&str; 15] = [
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
    "uid",
];
/// What happened on the way, in place of how it is: it depends on who was faster.
const HISTORY: [&str; 2] = ["history", "operationState"];
/// Annotations that repeat the object, or that a test sets.
const ANNOTATIONS: [&str; 2] = ["force-sync", "kubectl.kubernetes.io/last-applied-configuration"];

/// An object without what differs from run to run; commits of the platform's snapshot become `<revision>`.
pub fn normal(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).expect("an object is JSON");
    clean(&mut value);
    value
}

/// The shape of a Secret: its keys, labels and type, and for each value the ordinal of its digest.
pub fn shape(secret: &Secret, digester: &Digester) -> Value {
    let mut seen = BTreeMap::new();
    let data: Map<String, Value> = secret
        .data
        .iter()
        .flatten()
        .map(|(key, value)| {
            let next = seen.len() + 1;
            let ordinal = *seen.entry(digester.of(&value.0)).or_insert(next);
            (key.clone(), json!(format!("<value {ordinal}>")))
        })
        .collect();
    let owners: Vec<String> =
        secret.metadata.owner_references.iter().flatten().map(|o| format!("{} {}", o.kind, o.name)).collect();
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

fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let dropped =
                |name: &str| [&VOLATILE[..], &HISTORY, &ANNOTATIONS].iter().any(|names| names.contains(&name));
            fields.retain(|name, _| !dropped(name));
            fields.values_mut().for_each(clean);
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::String(text) if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            *value = json!("<revision>")
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn what_differs_from_run_to_run_goes() {
        let object = json!({
            "apiVersion": "v1", "kind": "Thing",
            "metadata": {"name": "a", "uid": "1", "annotations": {"force-sync": "1", "kept": "2"}},
            "status": {"operationState": {"phase": "Succeeded"}, "revisions": ["8e5ddbd43118f40288560860d98bdca4f9735380", "main"]},
        });
        let object = serde_json::from_value(object).unwrap();
        assert_eq!(
            normal(&object),
            json!({
                "apiVersion": "v1", "kind": "Thing",
                "metadata": {"name": "a", "annotations": {"kept": "2"}},
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
        let one = shape(&secret(["x", "y", "x"]), &Digester::new("one"));
        assert_eq!(one["data"], json!({"a": "<value 1>", "b": "<value 2>", "c": "<value 1>"}));
        assert_eq!(one, shape(&secret(["p", "q", "p"]), &Digester::new("other")));
        assert_ne!(one, shape(&secret(["p", "p", "p"]), &Digester::new("one")));
    }
}
