//! What the store gives.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::Origin;

/// A component that is ready for use.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Name in the lock: a component, or an image reference.
    pub name: String,
    /// Version in the lock.
    pub version: String,
    /// Folder that holds its files under their names.
    pub path: PathBuf,
    /// Where it came from.
    pub origin: Origin,
}

/// Images that are in the cache.
#[derive(Clone, Debug, Default)]
pub struct ImageSet {
    /// Folder of the blobs: `<folder>/<sha256>`.
    pub blobs: PathBuf,
    /// Reference → manifest digest (`sha256:…`).
    pub refs: BTreeMap<String, String>,
    /// The images as artifacts.
    pub artifacts: Vec<Artifact>,
}

/// An optional image that no source has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Missing {
    /// Its reference.
    pub image: String,
    /// Why it cannot be had, on one line.
    pub reason: String,
}
