//! ApplicationSets: the Applications that Argo CD makes of one, for generators that need nothing but the platform's own tree.
//! What another generator or template would make is refused, not guessed.

use std::path::Path;

use kube::core::DynamicObject;
use serde_json::{Map, Value, json};
use walkdir::WalkDir;

use crate::failure::{Attempt, Failure, Result};

/// Parameters of one Application, by the names that templates use.
type Parameters = Vec<(String, String)>;

/// The Applications of a set, whose Git generators look at the tree in `platform`.
///
/// # Errors
/// What this cannot make of it.
pub fn applications(set: &DynamicObject, platform: &Path) -> Result<Vec<DynamicObject>> {
    let name = set.metadata.name.clone().unwrap_or_default();
    let spec = &set.data["spec"];
    let refused = |why: String| Failure::new(format!("make the applications of ApplicationSet {name}"), why);
    if let Some(field) = ["templatePatch", "strategy"].into_iter().find(|field| !spec[field].is_null()) {
        return Err(refused(format!("its {field} is for Argo CD alone to apply")));
    }
    let mut all = Vec::new();
    for generator in spec["generators"].as_array().into_iter().flatten() {
        let kinds: Vec<&String> = generator.as_object().map(|fields| fields.keys().collect()).unwrap_or_default();
        let parameters = match kinds.as_slice() {
            [kind] if *kind == "list" => list(&generator["list"])?,
            [kind] if *kind == "git" && generator["git"]["files"].is_null() => {
                directories(&generator["git"], platform, spec["goTemplate"] == true)?
            }
            _ => {
                return Err(refused(format!(
                    "its generator is {kinds:?}, of which only lists and directories are known"
                )));
            }
        };
        for parameters in parameters {
            let mut made = spec["template"].clone();
            fill(&mut made, &parameters).attempting(|| format!("make the applications of ApplicationSet {name}"))?;
            let object = json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": made["metadata"], "spec": made["spec"],
            });
            all.push(
                serde_json::from_value(object)
                    .attempting(|| format!("read an application of ApplicationSet {name}"))?,
            );
        }
    }
    Ok(all)
}

/// One Application for every element of a list.
fn list(generator: &Value) -> Result<Vec<Parameters>> {
    let elements = generator["elements"].as_array().cloned().unwrap_or_default();
    let fields = elements.iter().map(|element| {
        let object: &Map<String, Value> = element
            .as_object()
            .ok_or_else(|| Failure::new("read a list's element", format!("{element} is no object")))?;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), Into::into);
        Ok(object.iter().map(|(key, value)| (key.clone(), text(value))).collect())
    });
    fields.collect()
}

/// One Application for every folder of the tree that a pattern names and no other excludes.
fn directories(generator: &Value, platform: &Path, go: bool) -> Result<Vec<Parameters>> {
    let patterns = generator["directories"].as_array().cloned().unwrap_or_default();
    let (excluded, wanted): (Vec<_>, Vec<_>) = patterns.iter().partition(|pattern| pattern["exclude"] == true);
    let matches = |patterns: &[&Value], path: &str| {
        patterns.iter().filter_map(|pattern| pattern["path"].as_str()).any(|pattern| fits(pattern, path))
    };
    let mut found = Vec::new();
    for entry in WalkDir::new(platform).min_depth(1).sort_by_file_name() {
        let entry = entry.attempting(|| format!("look through {}", platform.display()))?;
        let path = entry.path().strip_prefix(platform).unwrap_or(entry.path()).to_string_lossy().into_owned();
        // Argo CD leaves out what is hidden, too.
        let hidden = path.split('/').any(|part| part.starts_with('.'));
        if entry.file_type().is_dir() && !hidden && matches(&wanted, &path) && !matches(&excluded, &path) {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            let prefix = if go { "path.path" } else { "path" };
            found.push(vec![(prefix.into(), path), ("path.basename".into(), name)]);
        }
    }
    Ok(found)
}

/// Whether a path fits a pattern in which `*` stands for any part of a name, as Go's `path.Match` has it.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    let part = |(pattern, name): (&&str, &&str)| match pattern.split_once('*') {
        None => pattern == name,
        Some((first, last)) => {
            name.len() >= first.len() + last.len() && name.starts_with(first) && name.ends_with(last)
        }
    };
    pattern.len() == path.len() && pattern.iter().zip(&path).all(part)
}

/// Fills the parameters into every text: `{{path}}` and `{{ .path.path }}` alike. Whatever else stands in braces would need
/// Go's templates.
fn fill(value: &mut Value, parameters: &Parameters) -> Result<()> {
    match value {
        Value::String(text) => *text = filled(text, parameters)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, parameters))?,
        Value::Object(fields) => fields.values_mut().try_for_each(|field| fill(field, parameters))?,
        _ => {}
    }
    Ok(())
}

fn filled(text: &str, parameters: &Parameters) -> Result<String> {
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after
            .split_once("}}")
            .ok_or_else(|| Failure::new(format!("fill in {text:?}"), "its braces are not closed"))?;
        let wanted = inside.trim().trim_start_matches('.');
        let (_, value) = parameters.iter().find(|(name, _)| name == wanted).ok_or_else(|| {
            Failure::new(
                format!("fill in {text:?}"),
                format!("{wanted:?} is no parameter, and would need Go's templates"),
            )
        })?;
        done += before;
        done += value;
        rest = after;
    }
    Ok(done + rest)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn set(generator: &Value, path: &str) -> DynamicObject {
        let template = json!({"metadata": {"name": format!("x-{path}")}, "spec": {"source": {"path": path}}});
        let spec = json!({"generators": [generator], "template": template});
        serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": spec})).unwrap()
    }

    fn paths(set: &DynamicObject, platform: &Path) -> Vec<String> {
        let all = applications(set, platform).unwrap();
        all.iter().map(|a| a.data["spec"]["source"]["path"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_folder_and_every_element_is_an_application() {
        let platform = tempfile::tempdir().unwrap();
        for folder in ["apps/a", "apps/b/below", "apps/not", ".git/apps", "other"] {
            fs::create_dir_all(platform.path().join(folder)).unwrap();
        }
        let git = json!({"git": {"directories": [{"path": "apps/*"}, {"path": "apps/n*t", "exclude": true}]}});
        assert_eq!(paths(&set(&git, "{{path}}"), platform.path()), ["apps/a", "apps/b"]);
        assert_eq!(paths(&set(&git, "z/{{ path.basename }}"), platform.path()), ["z/a", "z/b"]);
        let list = json!({"list": {"elements": [{"name": "a", "wave": 1}]}});
        assert_eq!(paths(&set(&list, "{{.name}}/{{.wave}}"), platform.path()), ["a/1"]);
    }

    #[test]
    fn what_would_need_more_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let list = json!({"list": {"elements": [{"name": "a"}]}});
        for (generator, path, told) in [
            (json!({"clusters": {}}), "a", "only lists and directories"),
            (json!({"git": {"files": [{"path": "*"}]}}), "a", "only lists and directories"),
            (list.clone(), "{{ .name | upper }}", "Go's templates"),
            (list, "{{name", "not closed"),
        ] {
            let failure = applications(&set(&generator, path), folder.path()).unwrap_err().to_string();
            assert!(failure.contains("ApplicationSet s") && failure.contains(told), "{failure}");
        }
    }
}
