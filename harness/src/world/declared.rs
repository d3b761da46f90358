//! What stands in a world's cloud: what the platform needs, and what canaries and denials need beside it.

use std::{fs, path::Path};

use super::Cloud;
use crate::{
    failure::{Attempt, Result},
    workspace,
};

/// The declaration in `file` with the identities and secrets of canaries and denials, as one text of two documents.
///
/// # Errors
/// When a file cannot be read.
pub fn declaration(file: &Path, cloud: Cloud) -> Result<String> {
    let read = |file: &Path| fs::read_to_string(file).attempting(|| format!("read {}", file.display()));
    let denials = workspace().join(format!("fixtures/denials/{cloud}.yaml"));
    Ok(format!("{}\n---\n{}", read(file)?.trim_end(), read(&denials)?))
}
