//! Where in the platform's tree the objects of an application come from.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use walkdir::WalkDir;

use super::{
    edit::{Change, Edit},
    field::FieldPath,
    render::{Application, KUSTOMIZATIONS, MANIFESTS},
    text::{self, Node},
};
use crate::failure::{Attempt, Result};

/// A line of a file of the platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Path in the platform's tree.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Which object it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// The files that the sources of one application consist of, as kustomize finds them.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    manifests: Vec<(PathBuf, Node)>,
    kustomizations: Vec<(PathBuf, Node)>,
    /// Where kustomizations change what they take from others, the outermost first.
    patches: Vec<Patches>,
    seen: BTreeSet<PathBuf>,
}

/// The patches of a kustomization.
#[derive(Clone, Debug)]
struct Patches {
    place: Place,
    /// Where one more can be added: the list's last line and column; nothing when it is not of the form that has targets.
    end: Option<(usize, usize)>,
}

/// Where to write something, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Where; nothing when no file of the tree has the object.
    pub place: Option<Place>,
    /// What to do there.
    pub next: String,
    /// A change of the files that does it; nothing when only a person can.
    pub edit: Option<Edit>,
}

impl Tree {
    /// Reads what `paths`, the paths of an application's sources, lead to in the tree of the platform. A chart has templates
    /// and no manifests.
    ///
    /// # Errors
    /// When a file cannot be read or is no YAML.
    pub fn read<'p>(platform: &Path, paths: impl IntoIterator<Item = &'p str>) -> Result<Self> {
        let mut tree = Self::default();
        for path in paths {
            tree.add(platform, &platform.join(path))?;
        }
        Ok(tree)
    }

    /// Reads what the sources of an application lead to.
    ///
    /// # Errors
    /// As those of [`Self::read`].
    pub fn of(platform: &Path, application: &Application) -> Result<Self> {
        Self::read(platform, application.paths.iter().map(String::as_str))
    }

    /// All documents of all files, kustomizations included.
    pub fn documents(&self) -> impl Iterator<Item = &(PathBuf, Node)> {
        self.manifests.iter().chain(&self.kustomizations)
    }

    fn add(&mut self, platform: &Path, path: &Path) -> Result<()> {
        // Resources may be URLs; these are no files.
        let Ok(path) = path.canonicalize() else { return Ok(()) };
        if !self.seen.insert(path.clone()) || path.join("Chart.yaml").exists() {
            return Ok(());
        }
        if path.is_file() {
            let documents = read(&path)?.into_iter().filter(Node::is_mapping);
            let name = relative(platform, &path);
            self.manifests.extend(documents.map(|document| (name.clone(), document)));
            return Ok(());
        }
        match KUSTOMIZATIONS.iter().map(|name| path.join(name)).find(|file| file.exists()) {
            Some(file) => self.kustomization(platform, &path, &file),
            None => {
                let files = WalkDir::new(&path).sort_by_file_name().into_iter().flatten();
                let manifest =
                    |path: &Path| path.extension().is_some_and(|end| MANIFESTS.iter().any(|known| end == *known));
                files.filter(|entry| manifest(entry.path())).try_for_each(|entry| self.add(platform, entry.path()))
            }
        }
    }

    fn kustomization(&mut self, platform: &Path, folder: &Path, file: &Path) -> Result<()> {
        for document in read(file)? {
            for list in ["patches", "patchesJson6902", "patchesStrategicMerge"] {
                let path = FieldPath::default().field(list);
                if let (line, node, true) = document.reach(&path) {
                    let items = node.items().first().filter(|_| list == "patches" && !node.flow);
                    // An item begins behind its dash.
                    let end = items.map(|item| (node.last, item.column.saturating_sub(2)));
                    self.patches.push(Patches { place: Place { file: relative(platform, file), line }, end });
                }
            }
            for list in ["resources", "components", "bases"] {
                let items = document.get(list).map(Node::items).unwrap_or_default();
                items.iter().filter_map(Node::text).try_for_each(|item| self.add(platform, &folder.join(item)))?;
            }
            self.kustomizations.push((relative(platform, file), document));
        }
        Ok(())
    }

    /// The document that an object comes from. Kustomizations add namespaces, and beginnings and ends of names.
    fn find(&self, object: &Identity) -> Option<&(PathBuf, Node)> {
        let text = |node: &Node, field: &str| node.get("metadata")?.get(field)?.text().map(str::to_owned);
        let of_kind =
            || self.manifests.iter().filter(|(_, d)| d.get("kind").and_then(Node::text) == Some(&object.kind));
        let named = || of_kind().filter(|(_, d)| text(d, "name").as_ref() == Some(&object.name));
        let exact = named().find(|(_, d)| text(d, "namespace").is_none_or(|namespace| namespace == object.namespace));
        let mut renamed = of_kind().filter(|(_, d)| text(d, "name").is_some_and(|name| object.name.contains(&name)));
        let only = renamed.next().filter(|_| renamed.next().is_none());
        exact.or_else(|| named().next()).or(only)
    }

    /// The line in which an object has a field, or would have it: that of the last part of its path that is there.
    pub fn place(&self, object: &Identity, path: &FieldPath) -> Option<Place> {
        let (file, document) = self.find(object)?;
        Some(Place { file: file.clone(), line: document.reach(path).0 })
    }

    /// How to let the mapping `parent` of an object have these fields, too.
    pub fn advise(&self, object: &Identity, parent: &FieldPath, fields: &Map<String, Value>) -> Advice {
        let lines = lines(fields);
        let Some((file, document)) = self.find(object) else {
            let next =
                format!("no file of the platform has it; let what makes it say in {parent}\n{}", indent(&lines, 4));
            return Advice { place: None, next, edit: None };
        };
        let (line, node, all) = document.reach(parent);
        let place = |line| Some(Place { file: file.clone(), line });
        let mut said =
            fields.keys().map(|name| (name, document.reach(&parent.field(name)))).filter(|(_, (.., all))| *all);
        match (said.next(), self.patches.first()) {
            (Some((name, (line, ..))), Some(patch)) => Advice {
                place: Some(patch.place.clone()),
                next: format!(
                    "{}:{line} says {name}, and a patch here or below takes it away: leave it out of the patch",
                    file.display()
                ),
                edit: patch.end.map(|(line, column)| {
                    let name = document.get("metadata").and_then(|m| m.get("name")?.text()).unwrap_or(&object.name);
                    let change = Change::Below(indent(&patched(&object.kind, name, parent, fields), column));
                    Edit { file: patch.place.file.clone(), line, change }
                }),
            },
            _ if !all || !node.is_mapping() => Advice {
                place: place(line),
                next: format!("{parent} is not in this file: where it is added, say there\n{}", indent(&lines, 4)),
                edit: None,
            },
            _ if node.flow => {
                let next = format!("add inside the braces\n{}", indent(&lines, 4));
                Advice { place: place(line), next, edit: None }
            }
            _ => {
                let lines = indent(&lines, node.column);
                let next = format!("add below this line\n{lines}");
                let edit = Edit { file: file.clone(), line: node.last, change: Change::Below(lines) };
                Advice { place: place(node.last), next, edit: Some(edit) }
            }
        }
    }
}

/// A patch of a kustomization that gives the mapping `parent` of an object these fields again.
fn patched(kind: &str, name: &str, parent: &FieldPath, fields: &Map<String, Value>) -> String {
    let operations = fields.iter().map(|(field, value)| {
        let path = parent.field(field).pointer();
        format!("    - op: add\n      path: {path}\n      value: {value}\n")
    });
    format!("- target:\n    kind: {kind}\n    name: {name}\n  patch: |\n{}", operations.collect::<String>())
}

fn read(file: &Path) -> Result<Vec<Node>> {
    let text = fs::read_to_string(file).attempting(|| format!("read {}", file.display()))?;
    text::documents(&text).attempting(|| format!("read {}", file.display()))
}

fn relative(platform: &Path, file: &Path) -> PathBuf {
    let platform = platform.canonicalize().unwrap_or_else(|_| platform.to_owned());
    file.strip_prefix(platform).unwrap_or(file).to_owned()
}

/// Fields as YAML.
fn lines(fields: &Map<String, Value>) -> String {
    serde_yaml::to_string(fields).unwrap_or_else(|_| Value::Object(fields.clone()).to_string())
}

fn indent(text: &str, columns: usize) -> String {
    text.lines().map(|line| format!("{:columns$}{line}", "")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BASE: &str = "\
kind: ExternalSecret
metadata:
  name: secret
spec:
  data:
    - secretKey: a
      remoteRef:
        key: a
        policy: None
    - remoteRef: {key: b}
";

    fn platform() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("base/kustomization.yaml", "resources: [secret.yaml, https://example.com/other]\n"),
            ("base/secret.yaml", BASE),
            ("overlay/kustomization.yaml", "resources:\n- ../base\npatches:\n- patch: x\n"),
            ("plain/sub/secret.yml", "---\nkind: Other\nmetadata: {name: secret}\n"),
            ("chart/Chart.yaml", ""),
            ("chart/templates/a.yaml", "{{ no yaml"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn advice(folder: &str, name: &str, item: usize, field: &str) -> (String, String) {
        let platform = platform();
        let tree = Tree::read(platform.path(), [folder]).unwrap();
        let object = Identity { kind: "ExternalSecret".into(), namespace: "n".into(), name: name.into() };
        let parent = FieldPath::default().field("spec").field("data").item(item).field("remoteRef");
        let fields = json!({field: "Ignore"}).as_object().unwrap().clone();
        let Advice { place, next, .. } = tree.advise(&object, &parent, &fields);
        (place.map(|place| place.to_string()).unwrap_or_default(), next)
    }

    #[test]
    fn advice_has_the_line_and_what_to_write() {
        for (folder, name, item, field, place, next) in [
            ("base", "secret", 0, "new", "base/secret.yaml:9", "add below this line\n        new: Ignore"),
            ("overlay", "secret", 0, "new", "base/secret.yaml:9", "add below this line\n        new: Ignore"),
            ("base", "pre-secret", 0, "new", "base/secret.yaml:9", "add below this line\n        new: Ignore"),
            ("base", "secret", 1, "new", "base/secret.yaml:10", "add inside the braces\n    new: Ignore"),
            (
                "overlay",
                "secret",
                0,
                "policy",
                "overlay/kustomization.yaml:3",
                "base/secret.yaml:9 says policy, and a patch here or below takes it away: leave it out of the patch",
            ),
            (
                "base",
                "secret",
                2,
                "new",
                "base/secret.yaml:5",
                "spec.data[2].remoteRef is not in this file: where it is added, say there\n    new: Ignore",
            ),
            (
                "plain",
                "secret",
                0,
                "new",
                "",
                "no file of the platform has it; let what makes it say in spec.data[0].remoteRef\n    new: Ignore",
            ),
            (
                "chart",
                "secret",
                0,
                "new",
                "",
                "no file of the platform has it; let what makes it say in spec.data[0].remoteRef\n    new: Ignore",
            ),
        ] {
            assert_eq!(
                advice(folder, name, item, field),
                (place.into(), next.into()),
                "{folder} {name} {item} {field}"
            );
        }
    }

    #[test]
    fn advice_can_be_followed_by_a_program() {
        let platform = platform();
        let file = platform.path().join("overlay/kustomization.yaml");
        fs::write(&file, "resources:\n- ../base\npatches:\n  - patch: |\n      - op: remove\nlabels: []\n").unwrap();
        let tree = Tree::read(platform.path(), ["overlay"]).unwrap();
        let object = Identity { kind: "ExternalSecret".into(), namespace: "n".into(), name: "secret".into() };
        let parent = FieldPath::default().field("spec").field("data").item(0).field("remoteRef");
        let edit = |field: &str| {
            let fields = json!({field: "Ignore"}).as_object().unwrap().clone();
            tree.advise(&object, &parent, &fields).edit.unwrap()
        };
        super::super::edit::make(platform.path(), &[edit("new"), edit("policy")]).unwrap();
        let base = fs::read_to_string(platform.path().join("base/secret.yaml")).unwrap();
        assert!(base.contains("        policy: None\n        new: Ignore\n    - remoteRef"), "{base}");
        let overlay = fs::read_to_string(&file).unwrap();
        let added = "\
      - op: remove
  - target:
      kind: ExternalSecret
      name: secret
    patch: |
      - op: add
        path: /spec/data/0/remoteRef/policy
        value: \"Ignore\"
labels: []
";
        assert!(overlay.ends_with(added), "{overlay}");
    }
}
