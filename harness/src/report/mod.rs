//! What a run tells: phases, verdicts, tables, the report as data and what is made from it, JUnit, and on failure a bundle of
//! evidence.

pub mod bundle;
pub mod chain;
pub mod comparison;
pub mod conclusion;
pub mod data;
pub mod digest;
pub mod earlier;
pub mod gather;
pub mod junit;
pub mod openmetrics;
pub mod page;
pub mod phases;
pub mod progress;
pub mod redact;
pub mod screen;
pub mod story;
pub mod summary;
pub mod table;
pub mod terminal;
pub mod timeline;
pub mod tree;

pub use phases::Phases;

use std::path::{Path, PathBuf};

use crate::{
    failure::{Attempt, Result},
    folder::private,
};

/// Makes the folder for what a run reports, for nobody but its owner.
///
/// # Errors
/// When it cannot be made.
pub fn folder(base: &Path, run: &str) -> Result<PathBuf> {
    let folder = base.join(run);
    private(&folder).and_then(|()| folder.canonicalize()).attempting(|| format!("make {}", folder.display()))
}
