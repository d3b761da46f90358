//! trinity-e2e answers, with proof: would this multi-cloud secrets platform work, and if not, what exactly is wrong?
//!
//! Data flows one way: [`components`] finds the programs, [`cluster`] makes a cluster of them, [`world`] adds the
//! gateway with its clouds and [`gitops`], [`observe`] watches, [`judge`] names causes, and [`report`] tells.

pub mod alone;
pub mod backend;
pub mod cargo;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod components;
pub mod defects;
pub mod doctor;
pub mod engines;
pub mod exit;
pub mod failure;
pub mod faults;
pub mod folder;
pub mod gitops;
pub mod interrupt;
pub mod judge;
pub mod lint;
pub mod matrix;
pub mod observe;
pub mod plan;
pub mod proc;
pub mod replay;
pub mod report;
pub mod rerun;
pub mod run;
pub mod sbom;
pub mod scale;
pub mod secrets;
pub mod selftest;
pub mod site;
pub mod sizing;
pub mod soak;
pub mod status;
pub mod subject;
pub mod suite;
pub mod trial;
pub mod upgrade;
pub mod verify;
pub mod world;

use std::path::{Path, PathBuf};

/// The example platform.
pub fn example() -> PathBuf {
    workspace().join("fixtures/platforms/trinity")
}

/// The repository's root: suites and fixtures are there.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
