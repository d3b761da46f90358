//! What the store gives.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::Origin;
use crate::world::Cloud;

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

/// An archive of a chart, and the URL of the repository that has it.
#[derive(Clone, Debug)]
pub struct Chart {
    /// URL of the repository.
    pub repository: String,
    /// The archive, `<name>-<version>.tgz`.
    pub archive: PathBuf,
}

/// Something that no source has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Missing {
    /// What it is.
    pub what: Need,
    /// Why it cannot be had, on one line.
    pub reason: String,
}

/// What a platform can need that no source has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// An image, by its reference.
    Image(String),
    /// What an application is made from.
    Application {
        /// The cloud that has the application.
        cloud: Cloud,
        /// Name of the application.
        name: String,
        /// URL of the repository.
        repository: String,
    },
}

impl Need {
    /// The reference, when it is an image.
    pub fn image(&self) -> Option<&str> {
        match self {
            Self::Image(reference) => Some(reference),
            Self::Application { .. } => None,
        }
    }

    /// Name of the application, when it is one.
    pub fn application(&self) -> Option<&str> {
        match self {
            Self::Application { name, .. } => Some(name),
            Self::Image(_) => None,
        }
    }
}
