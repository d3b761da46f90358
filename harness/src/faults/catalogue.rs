//! The catalogue: one file for each fault. Those in `fixtures/faults` are for every cloud, `${cloud}` in them is its name;
//! those in a cloud's folder are for that cloud.

use std::{collections::BTreeSet, path::Path};

use serde::Deserialize;
use serde_yaml::Value;
use trinity_emulators::fault::Fault as Trouble;

use crate::{
    failure::{Attempt, Failure, Result},
    world::Cloud,
};

/// A fault of the catalogue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it breaks, in a sentence.
    pub breaks: String,
    /// Name of the cause that has to be found.
    pub cause: String,
    /// Text that the message has to contain.
    pub names: String,
    /// How it is broken.
    pub change: Vec<Change>,
    /// Deployments (`namespace/name`) whose Pods see the change only when they start.
    #[serde(default)]
    pub restart: Vec<String>,
    /// Whether it shows in what Prometheus sends, and not before.
    #[serde(default)]
    pub metrics: bool,
    /// Why a running world does not show it; it is tried on a new one then.
    pub fresh: Option<String>,
    /// Time within which the cause has to be found, in seconds.
    #[serde(default = "deadline")]
    pub deadline: u64,
}

const fn deadline() -> u64 {
    60
}

/// One change of a fault.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
pub enum Change {
    /// Of a file of the platform's Git tree.
    Platform(Text),
    /// Of a file of the declared clouds.
    Worlds(Text),
    /// Of a secret in the cloud's backend.
    Backend {
        /// Name of a secret to delete, as a routine deletion does.
        delete: Option<String>,
        /// Name of a secret that gets another value.
        put: Option<String>,
        /// That value; it is no secret.
        #[serde(default)]
        value: String,
    },
    /// Of the cluster, by somebody else than Argo CD.
    Cluster {
        /// Objects to create.
        #[serde(default)]
        create: Vec<Value>,
        /// An object to change by a merge patch, and the patch that undoes it.
        patch: Option<Patched>,
    },
    /// Of the gateway: trouble for the next calls of an operation.
    Gateway(Trouble),
}

/// One text replaced in one file. The text must be there, or the fault has lost its object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Path in the tree.
    pub file: String,
    /// The text.
    pub replace: String,
    /// What comes in its place.
    pub with: String,
}

/// A change of a live object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Patched {
    /// API version, for example `v1`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; nothing for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// The merge patch.
    pub patch: Value,
    /// The merge patch that takes it back.
    pub undo: Value,
}

/// A fault in one cloud.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The cloud.
    pub cloud: Cloud,
    /// Name of its file.
    pub name: String,
    /// The fault.
    pub fault: Fault,
}

impl Entry {
    /// `cloud/name`.
    pub fn title(&self) -> String {
        format!("{}/{}", self.cloud, self.name)
    }
}

impl Text {
    /// The text with the replacement made once.
    ///
    /// # Errors
    /// When what shall be replaced is not there.
    pub fn replaced(&self, text: &str) -> Result<String> {
        if text.contains(&self.replace) {
            return Ok(text.replacen(&self.replace, &self.with, 1));
        }
        let seen = format!("it does not contain {:?}", self.replace);
        Err(Failure::new(format!("break {}", self.file), seen)
            .next("the fault's text has to follow the platform's")
            .misused())
    }
}

impl Fault {
    /// Reads a fault for a cloud.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn read(catalogue: &Path, cloud: Cloud, name: &str) -> Result<Self> {
        let file = [catalogue.join(cloud.name()), catalogue.to_owned()]
            .map(|folder| folder.join(format!("{name}.yaml")))
            .into_iter()
            .find(|file| file.exists());
        let Some(file) = file else {
            let names = names(catalogue, cloud).join(", ");
            return Err(Failure::new(format!("find fault {name}"), format!("the catalogue has none for {cloud}"))
                .next(format!("it has {names}"))
                .misused());
        };
        let text = std::fs::read_to_string(&file).attempting(|| format!("read {}", file.display()))?;
        serde_yaml::from_str(&text.replace("${cloud}", cloud.name()))
            .attempting(|| format!("understand {}", file.display()))
    }
}

/// All faults for these clouds, sorted by name.
///
/// # Errors
/// The first file that is no fault.
pub fn read(catalogue: &Path, clouds: &[Cloud]) -> Result<Vec<Entry>> {
    let all = clouds.iter().flat_map(|cloud| names(catalogue, *cloud).into_iter().map(move |name| (*cloud, name)));
    all.map(|(cloud, name)| Ok(Entry { cloud, fault: Fault::read(catalogue, cloud, &name)?, name })).collect()
}

/// Each fault once: what every cloud has is dealt out to the clouds in turn.
pub fn spread(entries: Vec<Entry>, clouds: &[Cloud]) -> Vec<Entry> {
    let mut names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    names.sort();
    names.dedup();
    let mut turn = 0;
    let mut chosen = Vec::new();
    for name in names {
        let mut of_name: Vec<&Entry> = entries.iter().filter(|entry| entry.name == name).collect();
        let common = of_name.len() == clouds.len() && clouds.len() > 1;
        if common {
            of_name = vec![of_name[turn % clouds.len()]];
            turn += 1;
        }
        chosen.extend(of_name.into_iter().cloned());
    }
    chosen
}

/// The first fault of each cause that a running world shows, in the cloud that has the fewest so far.
pub fn brief(entries: &[Entry]) -> Vec<Entry> {
    let mut chosen: Vec<Entry> = Vec::new();
    let shown = || entries.iter().filter(|entry| entry.fault.fresh.is_none());
    let causes: BTreeSet<&str> = shown().map(|entry| entry.fault.cause.as_str()).collect();
    for cause in causes {
        let having = |cloud| chosen.iter().filter(|entry: &&Entry| entry.cloud == cloud).count();
        let of_cause = shown().filter(|entry| entry.fault.cause == cause);
        chosen.extend(of_cause.min_by_key(|entry| having(entry.cloud)).cloned());
    }
    chosen
}

/// Names of the faults for a cloud, sorted.
fn names(catalogue: &Path, cloud: Cloud) -> Vec<String> {
    let in_folder = |folder: &Path| -> Vec<String> {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_string_lossy().strip_suffix(".yaml").map(ToOwned::to_owned))
            .collect()
    };
    let mut names = in_folder(catalogue);
    names.extend(in_folder(&catalogue.join(cloud.name())));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::cause::Kind;

    #[test]
    fn every_fault_of_the_catalogue_can_be_read_and_has_a_known_cause() {
        let entries = read(&crate::faults::folder(), &Cloud::ALL).unwrap();
        for entry in &entries {
            let known = crate::judge::cause::kind::ALL.iter().any(|kind| kind.name() == entry.fault.cause);
            assert!(known, "{} has the cause {}", entry.title(), entry.fault.cause);
            assert!(!entry.fault.change.is_empty(), "{} changes nothing", entry.title());
        }
    }

    #[test]
    fn every_kind_of_cause_is_expected_by_a_fault() {
        // A judge that finds nothing makes the faults red that expect it.
        let entries = read(&crate::faults::folder(), &Cloud::ALL).unwrap();
        for kind in crate::judge::cause::kind::ALL.into_iter().filter(|kind| *kind != Kind::Unknown) {
            let expected = entries.iter().any(|entry| entry.fault.cause == kind.name());
            assert!(expected, "no fault expects {}", kind.name());
        }
    }

    #[test]
    fn every_text_that_is_replaced_is_there() {
        let [platform, worlds] = ["fixtures/platforms/trinity", "fixtures/worlds"].map(|f| crate::workspace().join(f));
        for entry in read(&crate::faults::folder(), &Cloud::ALL).unwrap() {
            // One after the other, as they are made.
            let mut files = std::collections::BTreeMap::new();
            for change in &entry.fault.change {
                let (file, text) = match change {
                    Change::Platform(text) => (platform.join(&text.file), text),
                    Change::Worlds(text) => (worlds.join(&text.file), text),
                    _ => continue,
                };
                let old = files.entry(file.clone()).or_insert_with(|| std::fs::read_to_string(&file).unwrap());
                *old = text.replaced(old).unwrap_or_else(|failure| panic!("{}: {failure}", entry.title()));
            }
        }
    }

    fn entry(cloud: Cloud, name: &str, cause: &str) -> Entry {
        let fault = Fault {
            breaks: String::new(),
            cause: cause.into(),
            names: String::new(),
            change: Vec::new(),
            restart: Vec::new(),
            metrics: false,
            fresh: None,
            deadline: 1,
        };
        Entry { cloud, name: name.into(), fault }
    }

    fn titles(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(Entry::title).collect()
    }

    #[test]
    fn a_common_fault_is_dealt_to_one_cloud() {
        let mut entries: Vec<Entry> =
            ["a", "b"].iter().flat_map(|name| Cloud::ALL.map(|cloud| entry(cloud, name, ""))).collect();
        entries.push(entry(Cloud::Gcp, "c", ""));
        assert_eq!(titles(&spread(entries, &Cloud::ALL)), ["aws/a", "gcp/b", "gcp/c"]);
    }

    #[test]
    fn each_cause_has_one_fault_and_each_cloud_its_part() {
        let common = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "z")];
        let mut entries: Vec<Entry> =
            Cloud::ALL.into_iter().flat_map(|cloud| common.map(|(name, cause)| entry(cloud, name, cause))).collect();
        entries.push(entry(Cloud::Aws, "e", "zz"));
        let mut other = entry(Cloud::Aws, "f", "zzz");
        other.fault.fresh = Some("it has begun".into());
        entries.push(other);
        assert_eq!(titles(&brief(&entries)), ["aws/a", "gcp/c", "azure/d", "aws/e"]);
    }
}
