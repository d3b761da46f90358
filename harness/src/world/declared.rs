//! What stands in a world's cloud: what the platform needs, and what canaries and suites need beside it.

use std::{fs, path::Path};

use super::Cloud;
use crate::{
    failure::{Attempt, Result},
    workspace,
};

/// Folders of `fixtures` with what stands in the clouds beside what the platform needs.
pub const BESIDE: [&str; 2] = ["denials", "lifecycles"];

/// The declaration in `file` with the identities and secrets of canaries and suites, as one text of several documents.
///
/// # Errors
/// When a file cannot be read.
pub fn declaration(file: &Path, cloud: Cloud) -> Result<String> {
    let read = |file: &Path| fs::read_to_string(file).attempting(|| format!("read {}", file.display()));
    let beside = BESIDE.map(|kind| workspace().join(format!("fixtures/{kind}/{cloud}.yaml")));
    let mut texts = vec![read(file)?.trim_end().to_owned()];
    for file in beside {
        texts.push(read(&file)?);
    }
    Ok(texts.join("\n---\n"))
}
