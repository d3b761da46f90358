//! Who has written a field last, by an object's managed fields.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::DynamicObject;
use serde_json::Value;

use crate::gitops::field::{FieldPath, Step};

/// The manager of a field, and when it wrote; of several, the one that wrote last. A list that is one value has an owner as
/// a whole, and so have its items. Nothing when nobody owns it, as it is with defaults.
pub fn of(object: &DynamicObject, path: &FieldPath) -> Option<(String, Option<Timestamp>)> {
    let value = serde_json::to_value(object).ok()?;
    let entries = object.metadata.managed_fields.iter().flatten();
    let owns =
        |entry: &&ManagedFieldsEntry| entry.fields_v1.as_ref().is_some_and(|f| owned(&f.0, &value, path.steps()));
    let last = entries.filter(owns).max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    Some((last.manager.clone()?, last.time.as_ref().map(|time| time.0)))
}

/// Whether the set of fields has this one, or a part of it, or the list that it is in.
fn owned(set: &Value, value: &Value, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    let next = match step {
        Step::Field(name) => (set.get(format!("f:{name}")), value.get(name)),
        Step::Item(index) => {
            let item = value.get(index);
            let found =
                set.as_object().into_iter().flatten().find(|(key, _)| item.is_some_and(|item| names(key, item)));
            (found.map(|(_, set)| set), item)
        }
    };
    match next {
        (Some(set), value) => owned(set, value.unwrap_or(&Value::Null), rest),
        // Nothing below is listed: it is owned as one.
        (None, _) => set.as_object().is_some_and(|fields| fields.is_empty()),
    }
}

/// Whether a key of managed fields names an item: by fields, as `k:{"name":"a"}`, or by its value, as `v:"a"`.
fn names(key: &str, item: &Value) -> bool {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    match key.split_once(':') {
        Some(("k", fields)) => {
            let fields = parsed(fields);
            fields
                .as_ref()
                .and_then(Value::as_object)
                .is_some_and(|f| f.iter().all(|(name, own)| item.get(name) == Some(own)))
        }
        Some(("v", text)) => parsed(text).as_ref() == Some(item),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_writer_of_a_field_is_named() {
        let entry = |manager: &str, second: u8, fields: Value| {
            json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "time": format!("2026-01-01T00:00:0{second}Z"), "fieldsV1": fields})
        };
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "K",
            "metadata": {"name": "a", "managedFields": [
                entry("argocd-controller", 1, json!({"f:spec": {"f:interval": {}, "f:data": {}, "f:keyed": {"k:{\"name\":\"b\"}": {"f:image": {}}}}})),
                entry("kubectl-edit", 2, json!({"f:spec": {"f:interval": {}}})),
            ]},
            "spec": {"interval": "2h", "data": [{"key": "a"}], "keyed": [{"name": "a"}, {"name": "b", "image": "i"}]},
        }))
        .unwrap();
        let spec = FieldPath::default().field("spec");
        let manager = |path: FieldPath| of(&object, &path).map(|(manager, _)| manager);
        assert_eq!(manager(spec.field("interval")).as_deref(), Some("kubectl-edit"));
        assert_eq!(manager(spec.field("data").item(0).field("key")).as_deref(), Some("argocd-controller"));
        assert_eq!(manager(spec.field("keyed").item(1).field("image")).as_deref(), Some("argocd-controller"));
        assert_eq!(manager(spec.field("keyed").item(0).field("image")), None);
        assert_eq!(manager(spec.field("defaulted")), None);
    }
}
