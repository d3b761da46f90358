//! What a run tells: phases, verdicts, the final table, JUnit, and on failure a bundle of evidence.

pub mod bundle;
pub mod conclusion;
pub mod difference;
pub mod digest;
pub mod junit;
pub mod phases;
pub mod progress;
pub mod redact;
pub mod table;
pub mod terminal;

pub use phases::Phases;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::failure::{Attempt, Result};

/// Makes the folder for what a run reports.
///
/// # Errors
/// When it cannot be made.
pub fn folder(base: &Path, run: &str) -> Result<PathBuf> {
    let folder = base.join(run);
    fs::create_dir_all(&folder).and_then(|()| folder.canonicalize()).attempting(|| format!("make {}", folder.display()))
}
