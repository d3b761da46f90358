//! Definitions of custom kinds, and the defaults in them that Git has to say.
//!
//! The API server fills defaults in wherever a field is absent. Argo CD, when it applies on the server's side, predicts the
//! result by merging field by field; but a list that the schema does not call a map (`x-kubernetes-list-type`) is one value,
//! which Git owns whole. A default inside it is then a difference that no sync removes.

use std::collections::BTreeMap;

use kube::core::DynamicObject;
use serde_json::Value;

use super::field::{FieldPath, Step};

/// Schemas by API version and kind.
#[derive(Clone, Debug, Default)]
pub struct Schemas(BTreeMap<(String, String), Value>);

impl Schemas {
    /// Those of the CustomResourceDefinitions among some objects.
    pub fn of<'o>(objects: impl IntoIterator<Item = &'o DynamicObject>) -> Self {
        let mut schemas = BTreeMap::new();
        let is_definition = |o: &&DynamicObject| o.types.as_ref().is_some_and(|t| t.kind == "CustomResourceDefinition");
        for spec in objects.into_iter().filter(is_definition).map(|o| &o.data["spec"]) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            for version in spec["versions"].as_array().into_iter().flatten() {
                let api_version = format!("{}/{}", text(&spec["group"]), text(&version["name"]));
                let schema = version["schema"]["openAPIV3Schema"].clone();
                schemas.insert((api_version, text(&spec["names"]["kind"])), schema);
            }
        }
        Self(schemas)
    }

    /// These and, where these have none, the `others`.
    #[must_use]
    pub fn or(mut self, others: &Self) -> Self {
        for (kind, schema) in &others.0 {
            self.0.entry(kind.clone()).or_insert_with(|| schema.clone());
        }
        self
    }

    /// The schema of a kind.
    pub fn get(&self, api_version: &str, kind: &str) -> Option<&Value> {
        self.0.get(&(api_version.to_owned(), kind.to_owned()))
    }
}

/// A field that an object does not have, and what the API server fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpinned {
    /// Where.
    pub path: FieldPath,
    /// What.
    pub value: Value,
}

/// The defaults that the API server adds to an object within what Argo CD compares as one value.
pub fn unpinned(schema: &Value, object: &Value) -> Vec<Unpinned> {
    let mut found = Vec::new();
    walk(schema, object, &FieldPath::default(), false, &mut found);
    found
}

/// `whole` says that what contains the value is compared as one.
fn walk(schema: &Value, value: &Value, path: &FieldPath, whole: bool, found: &mut Vec<Unpinned>) {
    match value {
        Value::Object(fields) => {
            let whole = whole || schema["x-kubernetes-map-type"] == "atomic";
            let properties = schema["properties"].as_object();
            for (name, property) in properties.into_iter().flatten() {
                // The API server drops a null that may not be one, and then it is absent.
                let said = fields.get(name).filter(|v| !v.is_null() || property["nullable"] == true);
                match (said, property.get("default")) {
                    (Some(value), _) => walk(property, value, &path.field(name), whole, found),
                    (None, Some(default)) if whole => {
                        found.push(Unpinned { path: path.field(name), value: default.clone() });
                    }
                    (None, _) => {}
                }
            }
            let others = fields.iter().filter(|(name, _)| !properties.is_some_and(|p| p.contains_key(*name)));
            for (name, value) in others {
                walk(&schema["additionalProperties"], value, &path.field(name), whole, found);
            }
        }
        Value::Array(items) => {
            let whole = whole || schema["x-kubernetes-list-type"] != "map";
            for (i, item) in items.iter().enumerate() {
                walk(&schema["items"], item, &path.item(i), whole, found);
            }
        }
        _ => {}
    }
}

/// The default of the field that a path leads to.
pub fn default_of<'s>(schema: &'s Value, path: &FieldPath) -> Option<&'s Value> {
    let field = path.steps().iter().try_fold(schema, |schema, step| match step {
        Step::Field(name) => schema["properties"].get(name).or_else(|| schema.get("additionalProperties")),
        Step::Item(_) => schema.get("items"),
    });
    field?.get("default")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        let policy = json!({"type": "string", "default": "None"});
        let item = json!({"properties": {"key": {"type": "string"}, "policy": policy}});
        json!({"properties": {"spec": {"properties": {
            "interval": {"default": "1h"},
            "data": {"items": {"properties": {"remote": item}}},
            "keyed": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["key"], "items": item},
            "labels": {"additionalProperties": {"items": item}},
            "whole": {"x-kubernetes-map-type": "atomic", "properties": {"policy": policy}},
        }}}})
    }

    fn told(object: &Value) -> Vec<String> {
        unpinned(&schema(), object).iter().map(|d| format!("{} {}", d.path, d.value)).collect()
    }

    #[test]
    fn a_default_counts_inside_what_is_compared_as_one_value() {
        let object = json!({"spec": {
            "data": [{"remote": {"key": "a"}}, {"remote": {"key": "b", "policy": "Fetch"}}, {}],
            "keyed": [{"key": "a"}],
            "labels": {"x": [{"key": "a"}]},
            "whole": {},
        }});
        let expected = [
            r#"spec.data[0].remote.policy "None""#,
            r#"spec.labels.x[0].policy "None""#,
            r#"spec.whole.policy "None""#,
        ];
        assert_eq!(told(&object), expected);
    }

    #[test]
    fn what_git_says_is_pinned_and_a_null_is_not() {
        assert_eq!(told(&json!({"spec": {"data": [{"remote": {"policy": "None"}}]}})), [""; 0]);
        let null = json!({"spec": {"data": [{"remote": {"policy": null}}]}});
        assert_eq!(told(&null), [r#"spec.data[0].remote.policy "None""#]);
    }

    #[test]
    fn a_default_is_found_by_its_path() {
        let path = FieldPath::default().field("spec");
        let schema = schema();
        assert_eq!(default_of(&schema, &path.field("interval")), Some(&json!("1h")));
        let remote = path.field("data").item(3).field("remote");
        assert_eq!(default_of(&schema, &remote.field("policy")), Some(&json!("None")));
        assert_eq!(default_of(&schema, &remote.field("key")), None);
        assert_eq!(default_of(&schema, &path.field("unknown").field("more")), None);
    }

    #[test]
    fn schemas_are_known_by_version_and_kind() {
        let definition = |version: &str| {
            serde_json::from_value(json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x"},
                "spec": {"group": "g", "names": {"kind": "K"}, "versions": [
                    {"name": version, "schema": {"openAPIV3Schema": {"title": version}}}]},
            }))
            .unwrap()
        };
        let schemas = Schemas::of([&definition("v1")]).or(&Schemas::of([&definition("v2")]));
        assert_eq!(schemas.get("g/v1", "K").unwrap()["title"], "v1");
        assert_eq!(schemas.get("g/v2", "K").unwrap()["title"], "v2");
        assert!(schemas.get("g/v1", "Other").is_none());
    }
}
