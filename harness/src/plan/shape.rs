//! What a platform consists of, as its rendered applications show it.

use std::collections::BTreeSet;

use kube::core::DynamicObject;
use serde_json::Value;

use crate::{
    gitops::{
        container::Container,
        render::{Application, Declared},
        rendered::Unrendered,
        roots,
    },
    world::Cloud,
};

/// Annotation with an object's sync wave.
const WAVE: &str = "argocd.argoproj.io/sync-wave";
/// Kinds of the operator that no judge knows: they run, and nothing is said of them.
const UNJUDGED: [&str; 4] = ["ClusterExternalSecret", "ClusterPushSecret", "PushSecret", "ClusterGenerator"];
/// API group of the generators.
const GENERATORS: &str = "generators.external-secrets.io/";

/// A cloud's platform.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shape {
    /// Name, wave, sources and number of objects of every application, parents first.
    pub applications: Vec<[String; 4]>,
    /// Name, provider and identity of every store.
    pub stores: Vec<[String; 3]>,
    /// Name, store and keys of every ExternalSecret.
    pub secrets: Vec<[String; 3]>,
    /// All images of all Pods.
    pub images: BTreeSet<String>,
    /// All keys that are read from the backend by their names.
    pub keys: BTreeSet<String>,
    /// What cannot be run or judged, with the reason.
    pub missing: Vec<String>,
    /// What cannot work, with the cause.
    pub broken: Vec<String>,
}

impl Shape {
    /// Of the applications of a cloud's platform.
    pub(super) fn of(cloud: Cloud, declared: &[Declared]) -> Self {
        let mut shape = Self::default();
        for one in declared {
            let Declared { manifest, rendered } = one;
            let name = manifest.metadata.name.clone().unwrap_or_default();
            let count = match rendered {
                Ok(application) => application.objects.len().to_string(),
                Err(why) => {
                    let list = match why {
                        Unrendered::Broken(_) => &mut shape.broken,
                        Unrendered::Unknown(_) | Unrendered::Absent(_) => &mut shape.missing,
                    };
                    list.push(format!("{}: {why}", one.name()));
                    "unknown".into()
                }
            };
            let wave = manifest.metadata.annotations.as_ref().and_then(|a| a.get(WAVE)).cloned().unwrap_or_default();
            shape.applications.push([name, wave, sources(&manifest.data["spec"]), count]);
            if let Ok(application) = rendered {
                application.objects.iter().for_each(|object| shape.add(cloud, application, object));
            }
        }
        shape
    }

    fn add(&mut self, cloud: Cloud, application: &Application, object: &DynamicObject) {
        let (version, kind) = object.types.as_ref().map_or(("", ""), |t| (t.api_version.as_str(), t.kind.as_str()));
        let namespace = object.metadata.namespace.as_deref().unwrap_or(&application.namespace);
        let own = object.metadata.name.as_deref().unwrap_or_default();
        let name = if kind.starts_with("Cluster") { own.to_owned() } else { format!("{namespace}/{own}") };
        let spec = &object.data["spec"];
        match kind {
            "ClusterSecretStore" | "SecretStore" => {
                let (provider, identity) = provider(&spec["provider"]);
                if let Some(why) = unplayed(cloud, &spec["provider"], &provider, &identity) {
                    self.missing.push(format!("{kind} {name}: {why}"));
                }
                self.stores.push([name, provider, identity]);
            }
            "ExternalSecret" => {
                let (keys, searches) = keys(spec);
                let store = spec["secretStoreRef"]["name"].as_str().unwrap_or_default().to_owned();
                let told: Vec<String> = keys.iter().cloned().chain(searches).collect();
                self.keys.extend(keys);
                if spec.to_string().contains("\"generatorRef\"") {
                    self.missing.push(format!("ExternalSecret {name}: it has a generator, of which nothing is judged"));
                }
                self.secrets.push([name, store, told.join(", ")]);
            }
            _ if UNJUDGED.contains(&kind) || version.starts_with(GENERATORS) => {
                self.missing.push(format!("{kind} {name}: it runs, and nothing is judged of it"));
            }
            _ => {}
        }
        self.images.extend(Container::of(object).filter_map(Container::image));
    }
}

/// Where an application comes from.
fn sources(spec: &Value) -> String {
    let text = |source: &Value, field: &str| source[field].as_str().unwrap_or_default().to_owned();
    let told = roots::sources(spec).map(|source| match (source["chart"].as_str(), source["path"].as_str()) {
        (Some(chart), _) => format!("chart {chart} {} of {}", text(source, "targetRevision"), text(source, "repoURL")),
        (None, Some(path)) => path.to_owned(),
        (None, None) => text(source, "repoURL"),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Provider of a store, and how it says who it is.
fn provider(provider: &Value) -> (String, String) {
    let Some((name, settings)) = provider.as_object().and_then(|fields| fields.iter().next()) else {
        return ("none".into(), String::new());
    };
    let auth = &settings["auth"];
    let account = |reference: &Value| {
        let name = reference["name"].as_str()?;
        Some(format!("service account {}/{name}", reference["namespace"].as_str().unwrap_or("(its own)")))
    };
    let identity = account(&auth["jwt"]["serviceAccountRef"])
        .or_else(|| account(&auth["workloadIdentity"]["serviceAccountRef"]))
        .or_else(|| account(&settings["serviceAccountRef"]));
    let kind = || auth.as_object().and_then(|fields| fields.keys().next()).cloned();
    (name.clone(), identity.or_else(kind).unwrap_or_else(|| "the operator's own Pod".into()))
}

/// Why no cloud is played for a store; nothing when one is.
fn unplayed(cloud: Cloud, settings: &Value, provider: &str, identity: &str) -> Option<String> {
    match settings["aws"]["service"].as_str().filter(|service| *service != "SecretsManager") {
        _ if provider != cloud.provider() => Some(format!("no cloud is played for provider {provider} in {cloud}")),
        Some(service) => Some(format!("{service} is not played")),
        None if !identity.starts_with("service account ") => {
            Some(format!("its identity is {identity}, and only tokens of service accounts are judged"))
        }
        None => None,
    }
}

/// The keys that an ExternalSecret reads by their names, and the searches that it makes.
fn keys(spec: &Value) -> (Vec<String>, Vec<String>) {
    let list = |field: &str| spec[field].as_array().cloned().unwrap_or_default();
    let data = list("data").into_iter().filter_map(|item| item["remoteRef"]["key"].as_str().map(Into::into));
    let from = list("dataFrom");
    let extracts = from.iter().filter_map(|item| item["extract"]["key"].as_str().map(Into::into));
    let searches = from
        .iter()
        .filter(|item| !item["find"].is_null())
        .map(|item| format!("all that are found by {}", item["find"]));
    (data.chain(extracts).collect(), searches.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::failure::Failure;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn shape(objects: Vec<Value>) -> Shape {
        let objects = objects.into_iter().map(object).collect();
        let source = json!({"chart": "c", "targetRevision": "1", "repoURL": "https://charts"});
        let manifest =
            object(json!({"metadata": {"name": "a", "annotations": {WAVE: "2"}}, "spec": {"source": source}}));
        let application = Application { name: "a".into(), namespace: "n".into(), paths: Vec::new(), objects };
        Shape::of(Cloud::Aws, &[Declared { manifest, rendered: Ok(application) }])
    }

    #[test]
    fn stores_secrets_and_images_are_found() {
        let auth = json!({"jwt": {"serviceAccountRef": {"name": "s", "namespace": "e"}}});
        let found = shape(vec![
            json!({"kind": "ClusterSecretStore", "apiVersion": "v1", "metadata": {"name": "s"},
                "spec": {"provider": {"aws": {"service": "SecretsManager", "auth": auth}}}}),
            json!({"kind": "ExternalSecret", "apiVersion": "v1", "metadata": {"name": "x"}, "spec": {
                "secretStoreRef": {"name": "s"}, "data": [{"remoteRef": {"key": "k"}}],
                "dataFrom": [{"extract": {"key": "l"}}, {"find": {"name": {"regexp": "^p"}}}]}}),
            json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d"}, "spec": {"template": {"spec":
                {"containers": [{"image": "grafana/grafana:1"}, {"image": "busybox:1"}, {"image": "quay.io/a/b:1"}]}}}}),
        ]);
        assert_eq!(found.applications, [["a", "2", "chart c 1 of https://charts", "3"].map(String::from)]);
        assert_eq!(found.stores, [["s", "aws", "service account e/s"].map(String::from)]);
        let told = r#"k, l, all that are found by {"name":{"regexp":"^p"}}"#;
        assert_eq!(found.secrets, [["n/x", "s", told].map(String::from)]);
        let images = ["docker.io/grafana/grafana:1", "docker.io/library/busybox:1", "quay.io/a/b:1"];
        assert_eq!(found.images, images.map(Into::into).into());
        assert_eq!(found.missing, [""; 0]);
    }

    #[test]
    fn nothing_is_left_out_in_silence() {
        let store = |provider: Value| {
            shape(vec![json!({"kind": "SecretStore", "apiVersion": "v1", "metadata": {"name": "s"},
                "spec": {"provider": provider}})])
            .missing
            .join("")
        };
        assert!(store(json!({"vault": {}})).ends_with("no cloud is played for provider vault in aws"));
        assert!(store(json!({"aws": {"service": "ParameterStore"}})).ends_with("ParameterStore is not played"));
        let keys = json!({"aws": {"service": "SecretsManager", "auth": {"secretRef": {}}}});
        assert!(store(keys).contains("its identity is secretRef"));
        let push = shape(vec![json!({"kind": "PushSecret", "apiVersion": "v1", "metadata": {"name": "p"}})]);
        assert_eq!(push.missing, ["PushSecret n/p: it runs, and nothing is judged of it"]);
        let lost = |why: fn(Failure) -> Unrendered| {
            let rendered = Err(why(Failure::new("build it", "it does not build")));
            let manifest = object(json!({"metadata": {"name": "a"}, "spec": {}}));
            let shape = Shape::of(Cloud::Aws, &[Declared { manifest, rendered }]);
            assert_eq!(shape.applications[0][3], "unknown");
            (shape.missing, shape.broken)
        };
        let told = vec!["application a: could not build it: it does not build".to_owned()];
        assert_eq!(lost(Unrendered::Unknown), (told.clone(), Vec::new()));
        assert_eq!(lost(Unrendered::Broken), (Vec::new(), told));
    }
}
