//! What the platform under test reads from its backend, as its own objects in the cluster say it.

use std::collections::BTreeMap;

use kube::{Api, ResourceExt, api::ListParams, core::DynamicObject};
use serde_json::Value;
use trinity_e2e::{
    judge::metrics,
    observe::{key, kinds::Kind},
    world::OWN,
};

use crate::Subject;

/// A key of a Secret whose value is the backend's, unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Namespace of ExternalSecret and Secret.
    pub namespace: String,
    /// Name of the ExternalSecret.
    pub external: String,
    /// Name of the Secret.
    pub secret: String,
    /// The Secret's key.
    pub key: String,
    /// Name of the secret in the backend.
    pub remote: String,
    /// Field of the backend's value, which is a JSON object then.
    pub property: Option<String>,
}

impl Entry {
    /// What the Secret has to hold when the backend's secret is `text`; nothing when that has no such field.
    pub fn expected(&self, text: &str) -> Option<String> {
        let Some(property) = &self.property else { return Some(text.into()) };
        let object: Value = serde_json::from_str(text).ok()?;
        let field = object.get(property)?;
        Some(field.as_str().map_or_else(|| field.to_string(), Into::into))
    }

    /// The backend's secret `text` with another value for this entry.
    pub fn changed(&self, text: &str, value: &str) -> String {
        let Some(property) = &self.property else { return value.into() };
        let mut object: Value = serde_json::from_str(text).unwrap_or_default();
        object[property] = value.into();
        object.to_string()
    }

    /// Whether a test may change it: what others depend on meanwhile may not change.
    pub fn is_free(&self) -> bool {
        (self.namespace.as_str(), self.external.as_str()) != (metrics::NAMESPACE, metrics::SECRET)
    }
}

impl Subject {
    /// The platform's own objects of a kind, with their APIs.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn own(&self, kind: Kind) -> Vec<(Api<DynamicObject>, DynamicObject)> {
        let all =
            kind.all(&self.client).list(&ListParams::default()).await.expect("the platform's objects can be listed");
        let own = all.items.into_iter().filter(|object| !key(object).starts_with(OWN));
        own.map(|object| (kind.within(&self.client, &object.namespace().unwrap_or_default()), object)).collect()
    }

    /// Every key of the platform's Secrets that has to equal what the backend holds now. What is made by a template, by a
    /// generator or by a search, or is decoded on the way, is not among them.
    ///
    /// # Panics
    /// When the backend does not have what is read.
    pub async fn entries(&self) -> Vec<(Entry, String)> {
        let (mut entries, mut texts) = (Vec::new(), BTreeMap::new());
        for (_, external) in self.own(Kind::ExternalSecret).await {
            for (entry, whole) in plain(&external) {
                if !texts.contains_key(&entry.remote) {
                    let text = self.control.secret(&entry.remote).await;
                    texts.insert(entry.remote.clone(), text.expect("the backend holds what the platform reads"));
                }
                let text = &texts[&entry.remote];
                let parts = if whole { fields(&entry, text) } else { vec![entry] };
                entries.extend(parts.into_iter().map(|part| (part, text.clone())));
            }
        }
        entries
    }
}

/// The entries of an ExternalSecret, and which of them stand for all fields of a secret.
fn plain(external: &DynamicObject) -> Vec<(Entry, bool)> {
    let (spec, name) = (&external.data["spec"], external.name_any());
    if !spec["target"]["template"].is_null() {
        return Vec::new();
    }
    let entry = |reference: &Value, key: &str| {
        let unchanged = |field: &str, default: &str| reference[field].as_str().is_none_or(|value| value == default);
        let text = |field: &str| reference[field].as_str().map(String::from);
        let plain =
            unchanged("decodingStrategy", "None") && unchanged("metadataPolicy", "None") && text("version").is_none();
        // A property with dots is a path into the value.
        let simple = text("property").is_none_or(|property| !property.contains('.'));
        Some(Entry {
            namespace: external.namespace().unwrap_or_default(),
            external: name.clone(),
            secret: spec["target"]["name"].as_str().unwrap_or(&name).into(),
            key: key.into(),
            remote: text("key")?,
            property: text("property"),
        })
        .filter(|_| plain && simple)
    };
    let list = |field: &str| spec[field].as_array().cloned().unwrap_or_default();
    let single = list("data").into_iter().filter(|item| item["sourceRef"].is_null());
    let single = single.filter_map(|item| Some((entry(&item["remoteRef"], item["secretKey"].as_str()?)?, false)));
    let whole = list("dataFrom").into_iter().filter(|item| item["rewrite"].is_null() && item["sourceRef"].is_null());
    let whole =
        whole.filter_map(|item| Some((entry(&item["extract"], "")?, true))).filter(|(e, _)| e.property.is_none());
    single.chain(whole).collect()
}

/// One entry for each field of the JSON object `text`.
fn fields(whole: &Entry, text: &str) -> Vec<Entry> {
    let object: Value = serde_json::from_str(text).unwrap_or_default();
    let names = object.as_object().into_iter().flat_map(|fields| fields.keys().cloned());
    names.map(|name| Entry { key: name.clone(), property: Some(name), ..whole.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn external(spec: Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": "e", "namespace": "n"}, "spec": spec})).unwrap()
    }

    #[test]
    fn what_is_made_on_the_way_is_left_out() {
        let data = json!([
            {"secretKey": "a", "remoteRef": {"key": "x", "property": "p", "decodingStrategy": "None"}},
            {"secretKey": "b", "remoteRef": {"key": "x", "decodingStrategy": "Base64"}},
            {"secretKey": "c", "remoteRef": {"key": "x", "property": "p.q"}},
            {"secretKey": "d", "sourceRef": {}},
        ]);
        let from = json!([{"extract": {"key": "y"}}, {"find": {"name": {}}}, {"extract": {"key": "z"}, "rewrite": []}]);
        let seen = plain(&external(json!({"data": data, "dataFrom": from, "target": {"name": "t"}})));
        let told: Vec<(&str, &str, bool)> = seen.iter().map(|(e, w)| (e.key.as_str(), e.remote.as_str(), *w)).collect();
        assert_eq!(told, [("a", "x", false), ("", "y", true)]);
        assert!(seen.iter().all(|(entry, _)| entry.secret == "t"));
        assert!(plain(&external(json!({"data": data, "target": {"template": {}}}))).is_empty());
    }

    #[test]
    fn fields_are_taken_out_and_changed() {
        let (whole, _) = plain(&external(json!({"dataFrom": [{"extract": {"key": "y"}}]}))).remove(0);
        let parts = fields(&whole, r#"{"a": "1", "b": 2}"#);
        let values: Vec<Option<String>> = parts.iter().map(|part| part.expected(r#"{"a": "1", "b": 2}"#)).collect();
        assert_eq!(values, [Some("1".into()), Some("2".into())]);
        assert_eq!(parts[0].changed(r#"{"a":"1"}"#, "3"), r#"{"a":"3"}"#);
        assert_eq!(parts[0].expected("{}"), None);
    }
}
