//! What many ExternalSecrets cost: on running worlds, or of the journal alone. The load grows in equal steps, after each of which
//! it is measured what the harness has taken beside the platform, and what it takes to judge all that was recorded until then.

mod cost;
mod emulator;
mod journal;
mod limits;
mod load;
mod meeting;
mod pattern;
mod ramp;
mod records;
mod row;
mod sample;
mod steps;
mod table;
mod told;

use std::path::PathBuf;

use tokio::sync::Mutex;

pub use records::{Judged, Records};

use self::{
    meeting::Meeting,
    ramp::{Ascent, Ramp, Stage},
    told::Told,
};
use crate::{
    components::Store,
    failure::Result,
    judge::verdict::{Conclusion, Verdict},
    site::Trials,
    subject::{Job, Subject},
    world::Cloud,
};

/// What to try.
#[derive(Clone, Debug)]
pub struct Question {
    /// The clouds; when none is named, all that the platform has.
    pub clouds: Vec<Cloud>,
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// How many ExternalSecrets, in all worlds together.
    pub secrets: usize,
    /// Make no world, and read so many secrets from clouds that are played alone.
    pub journal_only: bool,
    /// Folder for reports; the run makes one of its own in it.
    pub report: PathBuf,
}

/// Loads a world of each cloud, and prints what it has cost.
///
/// # Errors
/// When the run could not even begin, something could not be measured, or something of it could not be removed.
pub async fn run(store: impl FnOnce() -> Result<Store>, question: &Question) -> Result<Conclusion> {
    if question.journal_only {
        return journal::run(question).await;
    }
    let store = store()?;
    let job = Job { clouds: question.clouds.clone(), platform: question.platform.clone(), ..Job::default() };
    let subject = Subject::find(&store, &job).await?;
    let clouds: Vec<&str> = subject.clouds.iter().map(|cloud| cloud.name()).collect();
    let (tree, secrets) = (subject.platform.display(), question.secrets);
    let headline = format!("{secrets} ExternalSecrets, platform {tree}, clouds {}", clouds.join(", "));
    let (meeting, judging) = (Meeting::of(&subject.clouds), Mutex::new(()));
    let trials = Trials {
        store: &store,
        subject: &subject,
        operator: None,
        next: None,
        phase: "scale",
        report: &question.report,
    };
    let mut told = Ok(());
    let conclusion = trials.side_by_side(
        |_| headline.clone(),
        async |site, cloud, report| {
            Ramp { site, subject: &subject, cloud, secrets, meeting: &meeting, judging: &judging, report }.climb().await
        },
        |parts, worlds: Vec<Ascent>| {
            let stages: Vec<&[Stage]> = worlds.iter().map(|world| world.stages.as_slice()).collect();
            let rows = row::rows(&stages);
            let of_worlds = worlds.iter().flat_map(|world| world.verdicts.clone());
            let verdicts: Vec<Verdict> =
                parts.not_run().chain(of_worlds).chain(limits::verdicts(&rows, true)).collect();
            // Each world's folder is in the run's.
            let report = worlds.first().and_then(|world| world.report.parent()).unwrap_or(&question.report);
            told = Told { headline: &headline, rows: &rows, verdicts: &verdicts }.tell(report);
            verdicts
        },
    );
    let conclusion = conclusion.await?;
    told.map(|()| conclusion)
}
