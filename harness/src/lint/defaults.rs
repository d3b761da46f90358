//! Defaults of custom kinds inside lists, which Git has to pin: an application that is applied on the server's side is
//! OutOfSync for ever otherwise.

use kube::core::DynamicObject;

use super::Platform;
use crate::{
    gitops::{
        schema::{self, Schemas, Unpinned},
        tree::Identity,
    },
    judge::finding::{self, Finding},
};

/// Every default that an object of the platform leaves to the API server: with the first release, and what each later one
/// adds to that.
pub(super) fn findings(platform: &Platform) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (application, tree) in platform.clouds.iter().flatten() {
        for object in &application.objects {
            let mut before: Option<(&str, Vec<Unpinned>)> = None;
            for (version, schemas) in &platform.releases {
                let now = unpinned(schemas, object);
                let (known, than) = before.as_ref().map_or((&[][..], ""), |(than, known)| (known.as_slice(), *than));
                let new: Vec<Unpinned> = now.iter().filter(|default| !known.contains(default)).cloned().collect();
                let who = match than {
                    "" => format!("external-secrets {version}"),
                    than => format!("external-secrets {version}, other than {than},"),
                };
                findings.extend(finding::unpinned(tree, &identity(object, &application.namespace), &new, &who));
                before = Some((version, now));
            }
        }
    }
    findings
}

fn unpinned(schemas: &Schemas, object: &DynamicObject) -> Vec<Unpinned> {
    let schema = object.types.as_ref().and_then(|types| schemas.get(&types.api_version, &types.kind));
    let value = serde_json::to_value(object).unwrap_or_default();
    schema.map(|schema| schema::unpinned(schema, &value)).unwrap_or_default()
}

fn identity(object: &DynamicObject, namespace: &str) -> Identity {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let own = text(&object.metadata.namespace);
    Identity {
        kind: object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default(),
        namespace: if own.is_empty() { namespace.into() } else { own },
        name: text(&object.metadata.name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::gitops::{render::Application, rendered::Rendered, tree::Tree};

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    /// A release in which items of a list have these fields with defaults.
    fn release(version: &str, fields: &[&str]) -> (String, Schemas) {
        let properties: Value = fields.iter().map(|f| ((*f).to_owned(), json!({"default": "None"}))).collect();
        let schema = json!({"properties": {"data": {"items": {"properties": properties}}}});
        let definition =
            object(json!({"apiVersion": "v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x"},
            "spec": {"group": "g", "names": {"kind": "K"},
                "versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}));
        (version.into(), Schemas::of([&definition]))
    }

    fn told(releases: Vec<(String, Schemas)>) -> Vec<String> {
        let wanted =
            object(json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "data": [{"b": "x"}]}));
        let application =
            Application { name: "a".into(), namespace: "s".into(), paths: Vec::new(), objects: vec![wanted] };
        let platform = Platform {
            rendered: Rendered::default(),
            clouds: vec![vec![(application, Tree::default())]],
            settings: std::collections::BTreeMap::new(),
            releases,
        };
        findings(&platform).into_iter().map(|f| format!("{}: {}", f.object, f.what)).collect()
    }

    #[test]
    fn an_upgrade_adds_what_the_release_before_has_not() {
        let old = || release("1.0.0", &["a", "b"]);
        let new = || release("2.0.0", &["a", "b", "c"]);
        let fills =
            |who: &str, what: &str| format!("K s/n: Git does not pin what external-secrets {who} fills in: {what}");
        assert_eq!(told(vec![old()]), [fills("1.0.0", "data[0].a = \"None\"")]);
        assert_eq!(
            told(vec![old(), new()]),
            [fills("1.0.0", "data[0].a = \"None\""), fills("2.0.0, other than 1.0.0,", "data[0].c = \"None\"")]
        );
        assert_eq!(told(vec![release("1.0.0", &["b"])]), [""; 0]);
    }
}
