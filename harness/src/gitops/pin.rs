//! Where a platform pins the version of a chart, and what it takes to pin another.

use std::fs;

use super::{
    edit::{Change, Edit},
    text::{self, Node},
    tree::Tree,
};
use crate::failure::{Attempt, Result};

/// The changes that let everything in `trees` (of the platform in the folder `platform`) that pins `chart` at version `from`
/// pin it at `to`: Applications that name it, and patches of kustomizations that set a version.
///
/// # Errors
/// When a file cannot be read.
pub fn moved(platform: &std::path::Path, trees: &[Tree], chart: &str, from: &str, to: &str) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    for (file, document) in trees.iter().flat_map(Tree::documents) {
        let path = platform.join(file);
        let text = fs::read_to_string(&path).attempting(|| format!("read {}", path.display()))?;
        let lines: Vec<&str> = text.lines().collect();
        let spans = sources(document, chart, from).into_iter().chain(patches(document, from));
        for (first, last) in spans {
            let pins = |line: &&usize| lines.get(*line - 1).is_some_and(|text| pins(text, from));
            if let Some(line) = (first..=last).collect::<Vec<_>>().iter().find(pins) {
                let change = Change::Replace { from: from.into(), to: to.into() };
                edits.push(Edit { file: file.clone(), line: *line, change });
            }
        }
    }
    edits.sort();
    edits.dedup();
    Ok(edits)
}

/// The sources in an Application's spec, as its file has them.
pub(super) fn spec_sources(spec: &Node) -> impl Iterator<Item = &Node> {
    spec.get("sources").map(Node::items).unwrap_or_default().iter().chain(spec.get("source"))
}

/// Lines of an Application's sources that are this chart in this version.
fn sources(document: &Node, chart: &str, version: &str) -> Vec<(usize, usize)> {
    let Some(spec) = document.get("spec") else { return Vec::new() };
    let has = |source: &&Node, field: &str, value: &str| source.get(field).and_then(Node::text) == Some(value);
    let such = spec_sources(spec).filter(|s| has(s, "chart", chart) && has(s, "targetRevision", version));
    such.map(|source| (source.line, source.last)).collect()
}

/// Lines of a kustomization's JSON patches that set a revision to this version.
fn patches(document: &Node, version: &str) -> Vec<(usize, usize)> {
    let sets = |operation: &Node| {
        let text = |field| operation.get(field).and_then(Node::text).unwrap_or_default();
        text("path").ends_with("/targetRevision") && text("value") == version
    };
    let patches = document.get("patches").map(Node::items).unwrap_or_default().iter();
    let texts = patches.filter_map(|patch| patch.get("patch")).filter(|patch| {
        let operations = patch.text().and_then(|text| text::documents(text).ok()).unwrap_or_default();
        operations.iter().flat_map(|document| document.items()).any(sets)
    });
    texts.map(|patch| (patch.line, patch.last)).collect()
}

/// Whether a line gives this version to a field of a name that fits.
fn pins(line: &str, version: &str) -> bool {
    let Some((field, value)) = line.split_once(':') else { return false };
    let field = field.trim_start_matches(['-', ' ']);
    let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    ["targetRevision", "value"].contains(&field.trim()) && value == version
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::edit;

    const APPLICATION: &str = "\
kind: Application
metadata: {name: secrets}
spec:
  sources:
    - repoURL: https://charts.external-secrets.io
      chart: external-secrets
      targetRevision: 2.4.1 # The pin.
    - repoURL: https://charts.example.com
      chart: other
      targetRevision: 2.4.1
";
    const PATCH: &str = "\
resources: [application.yaml]
patches:
  - target: {kind: Application, name: secrets}
    patch: |
      - op: replace
        path: /spec/source/path
        value: 2.4.1
      - op: replace
        path: /spec/sources/0/targetRevision
        value: \"0.20.4\"
";

    #[test]
    fn pins_are_found_in_applications_and_in_patches() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("application.yaml"), APPLICATION).unwrap();
        fs::write(folder.path().join("kustomization.yaml"), PATCH).unwrap();
        let moved = |from: &str, to: &str| {
            let trees = [Tree::read(folder.path(), ["."]).unwrap()];
            moved(folder.path(), &trees, "external-secrets", from, to).unwrap()
        };
        let told =
            |edits: &[Edit]| edits.iter().map(|e| format!("{}:{}", e.file.display(), e.line)).collect::<Vec<_>>();
        assert_eq!(told(&moved("2.4.1", "2.9.0")), ["application.yaml:7"]);
        assert_eq!(told(&moved("0.20.4", "2.4.1")), ["kustomization.yaml:10"]);
        assert_eq!(told(&moved("1.0.0", "2.4.1")), [""; 0]);
        edit::make(folder.path(), &moved("0.20.4", "2.4.1")).unwrap();
        let now = fs::read_to_string(folder.path().join("kustomization.yaml")).unwrap();
        assert!(now.ends_with("value: \"2.4.1\"\n"), "{now}");
    }
}
