//! The platform of a recorded run: its applications as they were rendered, and the files that say their waves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufReader, BufWriter, Write},
    path::{Component, Path, PathBuf},
};

use kube::core::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::recording::{LEVEL, cleaned};
use crate::{
    components::Missing,
    failure::{Attempt, Failure, Result},
    gitops::{
        render::{Application, Declared},
        rendered::{Rendered, Unrendered},
        text::Node,
        tree::Tree,
    },
    report::redact::Redactor,
    world::{Cloud, Description},
};

/// The rendered applications, one JSON document each, in zstd.
const RENDERED: &str = "rendered.jsonl.zst";
/// Folder of the platform's files.
pub const FILES: &str = "files";

/// An application as Git has it.
#[derive(Serialize, Deserialize)]
struct Entry {
    manifest: DynamicObject,
    rendered: Made,
}

/// What it renders to, or why it does not.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Made {
    Objects { name: String, namespace: String, paths: Vec<String>, objects: Vec<DynamicObject> },
    Broken(String),
    Unknown(String),
    Absent(Missing),
}

/// Writes the platform of a world to its recording.
///
/// # Errors
/// When a file cannot be written.
pub fn save(folder: &Path, rendered: &Rendered, world: &Description, redactor: &Redactor) -> Result<()> {
    let path = folder.join(RENDERED);
    let attempted = || format!("write {}", path.display());
    let mut packed = zstd::Encoder::new(File::create(&path).attempting(attempted)?, LEVEL).attempting(attempted)?;
    for declared in rendered.of(world.cloud) {
        let entry = serde_json::to_value(Entry::of(declared)).attempting(attempted)?;
        writeln!(packed, "{}", cleaned(&entry, redactor)).attempting(attempted)?;
    }
    packed.finish().attempting(attempted)?;
    for (name, text) in files(rendered, world) {
        let file = folder.join(FILES).join(name);
        let attempted = || format!("write {}", file.display());
        fs::create_dir_all(file.parent().unwrap_or(folder)).attempting(attempted)?;
        fs::write(&file, redactor.clean(&text)).attempting(attempted)?;
    }
    Ok(())
}

/// Reads the applications again.
///
/// # Errors
/// When they cannot be read.
pub fn read(folder: &Path, cloud: Cloud) -> Result<Rendered> {
    let path = folder.join(RENDERED);
    let attempted = || format!("read {}", path.display());
    let packed = BufReader::new(File::open(&path).attempting(attempted)?);
    let unpacked = zstd::Decoder::with_buffer(packed).attempting(attempted)?;
    let entries = serde_json::Deserializer::from_reader(BufReader::new(unpacked)).into_iter::<Entry>();
    let declared = entries.map(|entry| Ok(entry.attempting(attempted)?.declared())).collect::<Result<_>>()?;
    Ok(Rendered::new([(cloud, declared)]))
}

/// Unpacks a file of the recording.
///
/// # Errors
/// When it cannot be read, or the other one cannot be written.
pub fn unpack(packed: &Path, to: &Path) -> Result<()> {
    let attempted = || format!("unpack {}", packed.display());
    let mut unpacked = BufWriter::new(File::create(to).attempting(attempted)?);
    zstd::stream::copy_decode(File::open(packed).attempting(attempted)?, &mut unpacked).attempting(attempted)?;
    unpacked.flush().attempting(attempted)
}

/// The files that its applications come from, without those that have a Secret. Of an application whose files cannot be read,
/// there are none.
fn files(rendered: &Rendered, world: &Description) -> BTreeMap<PathBuf, String> {
    let trees = rendered.applications(world.cloud).filter_map(|one| Tree::of(&world.platform, one).ok());
    let (mut found, mut secret) = (BTreeSet::new(), BTreeSet::new());
    for tree in trees {
        for (file, document) in tree.documents() {
            found.insert(file.clone());
            if document.get("kind").and_then(Node::text) == Some("Secret") {
                secret.insert(file.clone());
            }
        }
    }
    let ours = found.difference(&secret).filter(|file| within(file));
    ours.filter_map(|file| Some((file.clone(), fs::read_to_string(world.platform.join(file)).ok()?))).collect()
}

/// Whether a path stays below the folder that it is joined to.
fn within(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

impl Entry {
    fn of(declared: &Declared) -> Self {
        let rendered = match &declared.rendered {
            Ok(Application { name, namespace, paths, objects }) => Made::Objects {
                name: name.clone(),
                namespace: namespace.clone(),
                paths: paths.clone(),
                objects: objects.iter().cloned().map(bare).collect(),
            },
            Err(Unrendered::Broken(why)) => Made::Broken(why.on_one_line()),
            Err(Unrendered::Unknown(why)) => Made::Unknown(why.on_one_line()),
            Err(Unrendered::Absent(missing)) => Made::Absent(missing.clone()),
        };
        Self { manifest: declared.manifest.clone(), rendered }
    }

    fn declared(self) -> Declared {
        let failure = |why| Failure::new("render it", why);
        let rendered = match self.rendered {
            Made::Objects { name, namespace, mut paths, objects } => {
                // Who made the recording may be anybody, and no other files are read for it.
                paths.retain(|path| within(Path::new(path)));
                Ok(Application { name, namespace, paths, objects })
            }
            Made::Broken(why) => Err(Unrendered::Broken(failure(why))),
            Made::Unknown(why) => Err(Unrendered::Unknown(failure(why))),
            Made::Absent(missing) => Err(Unrendered::Absent(missing)),
        };
        Declared { manifest: self.manifest, rendered }
    }
}

/// An object without what nobody may have, or nobody needs: what a Secret holds, and the schemas of definitions.
fn bare(mut object: DynamicObject) -> DynamicObject {
    match object.types.as_ref().map(|types| types.kind.as_str()) {
        Some("Secret") => {
            for field in ["data", "stringData"] {
                if let Some(held) = object.data.get_mut(field).and_then(Value::as_object_mut) {
                    held.values_mut().for_each(|value| *value = Value::Null);
                }
            }
        }
        Some("CustomResourceDefinition") => {
            let versions = object.data.pointer_mut("/spec/versions").and_then(Value::as_array_mut);
            for version in versions.into_iter().flatten().filter_map(Value::as_object_mut) {
                version.remove("schema");
            }
        }
        _ => {}
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_without_what_secrets_hold() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = |name: &str| {
            let text = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name}});
            serde_json::from_value::<DynamicObject>(text).unwrap()
        };
        let objects = json!([
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "in-git"}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"key": "hunter22"}},
        ]);
        let one = Application {
            name: "one".into(),
            namespace: "n".into(),
            paths: vec!["apps/one".into(), "../outside".into(), "/absent".into()],
            objects: serde_json::from_value(objects).unwrap(),
        };
        let broken = Unrendered::Broken(Failure::new("run helm", "it is wrong"));
        let declared = vec![
            Declared { manifest: manifest("one"), rendered: Ok(one) },
            Declared { manifest: manifest("two"), rendered: Err(broken) },
        ];
        let world = crate::replay::stage::tests::world(folder.path());
        let file = world.platform.join("apps/one/c.yaml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "kind: ConfigMap\nmetadata:\n  name: c\n").unwrap();
        fs::write(file.with_file_name("s.yaml"), "kind: Secret\nstringData:\n  key: in-git\n").unwrap();
        let recording = folder.path().join("recording");
        fs::create_dir_all(&recording).unwrap();
        let redactor = Redactor::new(["hunter22".to_owned()]);
        save(&recording, &Rendered::new([(world.cloud, declared)]), &world, &redactor).unwrap();

        let read = read(&recording, world.cloud).unwrap();
        let [one] = read.applications(world.cloud).collect::<Vec<_>>()[..] else { panic!("{read:?}") };
        assert_eq!((one.name.as_str(), one.paths.as_slice()), ("one", &["apps/one".to_owned()][..]));
        assert_eq!(one.objects[0].data["stringData"], json!({"key": null}));
        assert_eq!(one.objects[1].data["data"]["key"], "[redacted]");
        let (_, why) = read.unrendered(world.cloud).next().unwrap();
        assert!(matches!(why, Unrendered::Broken(_)), "{why:?}");
        assert!(recording.join("files/apps/one/c.yaml").exists());
        assert!(!recording.join("files/apps/one/s.yaml").exists());
    }

    #[test]
    fn schemas_of_definitions_are_left_out() {
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "as.g"}, "spec": {"group": "g", "versions": [{"name": "v1", "schema": {"large": true}}]}});
        let bare = bare(serde_json::from_value(definition).unwrap());
        assert_eq!(bare.data["spec"], json!({"group": "g", "versions": [{"name": "v1"}]}));
    }
}
