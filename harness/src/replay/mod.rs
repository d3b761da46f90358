//! A recorded run, judged again without a cluster: by the same judges, from what they have seen.
//!
//! Objects of the API server come from files through [`apiserver`], the audit log and the journal are read as those of a world.
//! What only a live world can answer is told with what the run has said, and is never a pass.

pub mod apiserver;
pub mod objects;
pub mod platform;
pub mod recording;
pub mod stage;
pub mod verdicts;

use std::path::Path;

use recording::Recording;
use stage::Stage;
use verdicts::Replay;

use crate::{
    failure::{Failure, Result},
    report::data::Report,
};

/// Judges the run again whose report is in a folder.
///
/// # Errors
/// When it has no report or no recording, or one that cannot be read.
pub async fn of(folder: &Path) -> Result<Replay> {
    let report = Report::read(folder)?;
    let mut replay = Replay::of(&report);
    let mut recorded = false;
    for world in &report.clouds {
        let folder = folder.join(world.cloud.name());
        if !Recording::is_in(&folder) {
            continue;
        }
        recorded = true;
        Stage::open(&folder, world.cloud)?.judge(world, &mut replay).await;
    }
    if !recorded {
        let own = env!("CARGO_PKG_VERSION");
        let seen = format!(
            "it has no recording: the trinity-e2e {} that wrote it made none, or none of its worlds came up",
            report.version
        );
        return Err(Failure::new(format!("judge the run in {} again", folder.display()), seen)
            .next(format!("name a run of trinity-e2e {own}, which records each world that comes up"))
            .misused());
    }
    replay.quote(&report);
    Ok(replay)
}
