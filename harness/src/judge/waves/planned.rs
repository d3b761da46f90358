//! The objects of an application with their waves, as Git has them.

use std::fmt;

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};

use crate::gitops::render::Application;

/// Annotation that puts an object into a wave.
pub const WAVE: &str = "argocd.argoproj.io/sync-wave";
/// Helm's annotation for the order of hooks, which Argo CD takes in its place.
const WEIGHT: &str = "helm.sh/hook-weight";
/// Annotations that make an object a hook.
const HOOKS: [&str; 2] = ["argocd.argoproj.io/hook", "helm.sh/hook"];

/// An object of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Plural resource name.
    pub resource: String,
    /// Namespace; that of the application where it names none, which says nothing when its kind has no namespaces.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The wave in which Argo CD applies it.
    pub wave: i64,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// All objects of an application, each in the wave in which Argo CD applies it. Hooks are ordered by their phases first,
/// and are none of them.
pub fn all(application: &Application) -> Vec<Planned> {
    let hook = |object: &DynamicObject| HOOKS.iter().any(|hook| annotation(object, hook).is_some());
    let objects = application.objects.iter().filter(|object| !hook(object));
    let mut planned: Vec<Planned> = objects.clone().map(|object| one(object, &application.namespace)).collect();
    // Argo CD pulls namespaces and definitions into the wave of the first object that needs them.
    for (index, object) in objects.enumerate() {
        let needs: Box<dyn Fn(&Planned) -> bool> = match planned[index].kind.as_str() {
            "Namespace" => {
                let name = planned[index].name.clone();
                Box::new(move |other| other.namespace == name)
            }
            "CustomResourceDefinition" => {
                let text =
                    |path: &str| object.data.pointer(path).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
                let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
                Box::new(move |other| other.group == group && other.kind == kind)
            }
            _ => continue,
        };
        let first = planned.iter().enumerate().filter(|(i, other)| *i != index && needs(other)).map(|(_, o)| o.wave);
        planned[index].wave = first.fold(planned[index].wave, i64::min);
    }
    planned
}

fn one(object: &DynamicObject, namespace: &str) -> Planned {
    let types = object.types.clone().unwrap_or_default();
    let gvk = GroupVersionKind::try_from(&types).unwrap_or_else(|_| GroupVersionKind::gvk("", "", &types.kind));
    let resource = ApiResource::from_gvk(&gvk).plural;
    Planned {
        wave: wave(object),
        group: gvk.group,
        kind: gvk.kind,
        resource,
        namespace: object.metadata.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// The wave that an object's annotations say; what is no integer says nothing.
pub fn wave(object: &DynamicObject) -> i64 {
    let said = |name: &str| annotation(object, name)?.parse().ok();
    said(WAVE).or_else(|| said(WEIGHT)).unwrap_or(0)
}

/// An annotation of the object itself.
pub fn annotation<'a>(object: &'a DynamicObject, name: &str) -> Option<&'a str> {
    object.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// A child application, for tests.
#[cfg(test)]
pub(super) fn application(name: &str, wave: i64) -> Planned {
    Planned {
        group: "argoproj.io".into(),
        kind: "Application".into(),
        resource: "applications".into(),
        namespace: "argocd".into(),
        name: name.into(),
        wave,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn waves(objects: Value) -> Vec<i64> {
        let objects = serde_json::from_value(objects).unwrap();
        all(&Application { name: "a".into(), namespace: "n".into(), paths: Vec::new(), objects })
            .iter()
            .map(|o| o.wave)
            .collect()
    }

    fn map(name: &str, annotation: &str, wave: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "annotations": {annotation: wave}}})
    }

    #[test]
    fn a_wave_is_an_integer_or_nothing() {
        let objects = json!([map("a", WAVE, "-2"), map("b", WAVE, "+3"), map("c", WAVE, "one"), map("d", WEIGHT, "4")]);
        assert_eq!(waves(objects), [-2, 3, 0, 4]);
        assert_eq!(waves(json!([map("hook", HOOKS[0], "Sync")])), [0; 0]);
    }

    #[test]
    fn definitions_and_namespaces_come_with_the_first_that_needs_them() {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "as.g.io"},
            "spec": {"group": "g.io", "names": {"kind": "A"}},
        });
        let custom =
            json!({"apiVersion": "g.io/v1", "kind": "A", "metadata": {"name": "a", "annotations": {WAVE: "-1"}}});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
        assert_eq!(waves(json!([definition, custom, namespace])), [-1, -1, -1]);
    }
}
