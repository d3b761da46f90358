//! Faults: deliberate breaks of a copy of the platform or of the declared cloud, from `fixtures/faults/<cloud>/`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
    world::Cloud,
};

/// One entry of the catalogue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it breaks, in a sentence.
    pub breaks: String,
    /// Name of the cause that a run must find.
    pub cause: String,
    /// Text that the message must contain.
    pub names: String,
    /// How it is broken.
    pub change: Vec<Change>,
}

/// One text replaced in one file. The text must be there, or the fault has lost its object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Which tree the file is in.
    pub tree: Tree,
    /// Path in it.
    pub file: String,
    /// The text.
    pub replace: String,
    /// What comes in its place.
    pub with: String,
}

/// What a change applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tree {
    /// The platform's Git tree.
    Platform,
    /// The folder of declared clouds.
    Worlds,
}

impl Fault {
    /// Reads a fault of the catalogue.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn read(catalogue: &Path, cloud: Cloud, name: &str) -> Result<Self> {
        let folder = catalogue.join(cloud.name());
        let names = names(&folder);
        if !names.iter().any(|known| known == name) {
            return Err(Failure::new(format!("find fault {name}"), format!("{} does not have it", folder.display()))
                .next(format!("it has {}", names.join(", "))));
        }
        let file = folder.join(format!("{name}.yaml"));
        let text = std::fs::read_to_string(&file).attempting(|| format!("read {}", file.display()))?;
        serde_yaml::from_str(&text).attempting(|| format!("understand {}", file.display()))
    }

    /// Copies `source` to `target` with the changes for `tree` made.
    ///
    /// # Errors
    /// When the tree cannot be copied or a text to replace is not there.
    pub async fn break_copy(&self, tree: Tree, source: &Path, target: &Path) -> Result<PathBuf> {
        Run::new("cp").args(["--recursive", "--no-target-directory"]).arg(source).arg(target).output().await?;
        for change in self.change.iter().filter(|c| c.tree == tree) {
            let file = target.join(&change.file);
            let text = std::fs::read_to_string(&file).attempting(|| format!("read {}", file.display()))?;
            if !text.contains(&change.replace) {
                return Err(Failure::new(
                    format!("break {}", change.file),
                    format!("it does not contain {:?}", change.replace),
                )
                .next("the fault's text has to follow the platform's"));
            }
            std::fs::write(&file, text.replacen(&change.replace, &change.with, 1))
                .attempting(|| format!("write {}", file.display()))?;
        }
        Ok(target.to_owned())
    }
}

/// Names of the faults in a folder of the catalogue, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().strip_suffix(".yaml").map(ToOwned::to_owned))
        .collect();
    names.sort();
    names
}
