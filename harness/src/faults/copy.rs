//! A fault on copies: for a world that is yet to be made.

use std::path::{Path, PathBuf};

use super::{
    Fault,
    catalogue::{Change, Text},
};
use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
};

/// What a change of a copy applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// The platform's Git tree.
    Platform,
    /// The folder of declared clouds.
    Worlds,
}

impl Fault {
    /// Whether copies can show it. What changes a running world cannot be tried before there is one.
    ///
    /// # Errors
    /// When it cannot.
    pub fn on_copies(&self, name: &str) -> Result<()> {
        match self.change.iter().all(|change| matches!(change, Change::Platform(_) | Change::Worlds(_))) {
            true => Ok(()),
            false => Err(Failure::new(format!("break a copy with {name}"), "it breaks what is running")
                .next(format!("`trinity-e2e faults --filter {name}` tries it on a running world"))
                .misused()),
        }
    }

    /// Copies `source` to `target` with the changes for `tree` made.
    ///
    /// # Errors
    /// When the tree cannot be copied or a text to replace is not there.
    pub async fn break_copy(&self, tree: Tree, source: &Path, target: &Path) -> Result<PathBuf> {
        copy(source, target).await?;
        for change in &self.change {
            match (tree, change) {
                (Tree::Platform, Change::Platform(text)) | (Tree::Worlds, Change::Worlds(text)) => {
                    replace(target, text)?
                }
                _ => {}
            }
        }
        Ok(target.to_owned())
    }
}

/// Copies a tree.
///
/// # Errors
/// When it cannot be copied.
pub async fn copy(source: &Path, target: &Path) -> Result<()> {
    Run::new("cp").args(["--recursive", "--no-target-directory"]).arg(source).arg(target).output().await.map(|_| ())
}

/// Replaces a text in a file of `tree`.
///
/// # Errors
/// When it is not there.
pub fn replace(tree: &Path, text: &Text) -> Result<()> {
    let file = tree.join(&text.file);
    let old = std::fs::read_to_string(&file).attempting(|| format!("read {}", file.display()))?;
    std::fs::write(&file, text.replaced(&old)?).attempting(|| format!("write {}", file.display()))
}
