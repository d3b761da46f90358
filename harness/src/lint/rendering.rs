//! Applications that cannot be rendered: Argo CD will not get any further with them either.

use super::Platform;
use crate::{
    gitops::{rendered::Unrendered, tree::Identity},
    judge::finding::Finding,
    world::Cloud,
};

/// Every application whose sources are broken, with what the program said that would render them.
pub(super) fn findings(platform: &Platform) -> Vec<Finding> {
    let all = Cloud::ALL.into_iter().flat_map(|cloud| platform.rendered.unrendered(cloud));
    let broken = all.filter_map(|(declared, why)| match why {
        Unrendered::Broken(failure) => Some((declared, failure)),
        Unrendered::Unknown(_) | Unrendered::Absent(_) => None,
    });
    broken
        .map(|(declared, failure)| {
            let metadata = &declared.manifest.metadata;
            let object = Identity {
                kind: declared.manifest.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default(),
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
            };
            let next = failure.advice().unwrap_or_default().to_owned();
            Finding { place: None, object, what: failure.what(), next, edit: None }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{
        failure::Failure,
        gitops::{render::Declared, rendered::Rendered},
    };

    #[test]
    fn what_is_broken_is_found_and_what_is_unknown_is_not() {
        let declared = |name: &str, why: Unrendered| {
            let metadata = json!({"name": name, "namespace": "argocd"});
            let manifest = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata});
            Declared { manifest: serde_json::from_value(manifest).unwrap(), rendered: Err(why) }
        };
        let failure = || Failure::new("run kustomize", "no such file").next("add it");
        let all = vec![
            declared("a", Unrendered::Broken(failure())),
            declared("b", Unrendered::Unknown(Failure::new("understand its spec", "unknown field `plugin`"))),
        ];
        let rendered = Rendered::new([(Cloud::Aws, all)]);
        let platform = Platform { rendered, clouds: Vec::new(), settings: BTreeMap::new(), releases: Vec::new() };
        let told: Vec<String> = findings(&platform).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["Application argocd/a: could not run kustomize: no such file\n  next: add it"]);
        let unknown: Vec<String> = platform.unknown().into_iter().collect();
        assert_eq!(unknown, ["application b: could not understand its spec: unknown field `plugin`"]);
    }
}
