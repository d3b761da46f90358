//! The machine that worlds are on: without room on its disk, or without a clock, a world says nothing about its platform.

use std::path::Path;

use super::disk;
use crate::{clock::Clock, failure::Failure};

/// Ends only when the file system of a world's folder is full, or the clock has leapt since a run began.
pub async fn fails(folder: &Path, clock: Clock) -> Failure {
    tokio::select! {
        failure = disk::full(folder) => failure,
        failure = clock.leapt() => failure,
    }
}
