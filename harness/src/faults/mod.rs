//! Faults: deliberate breaks of the platform, the cloud, the cluster or the gateway, from the catalogue `fixtures/faults`.
//! Each says which cause has to be found; `trinity-e2e faults` tries them on running worlds, `e2e --fault` on a new one.

pub mod catalogue;
pub mod copy;
pub mod hunt;
pub mod live;
pub mod table;

pub use catalogue::{Entry, Fault};

use std::path::PathBuf;

use crate::{
    components::Store,
    failure::{Failure, Result},
    judge::verdict::Conclusion,
    report::terminal,
    site,
    subject::{Job, Subject},
    workspace,
    world::Cloud,
};

/// What to try.
#[derive(Clone, Debug)]
pub struct Trials {
    /// The clouds; when none is named, all that the platform has.
    pub clouds: Vec<Cloud>,
    /// Only faults whose `cloud/name` contains one of these.
    pub filters: Vec<String>,
    /// Each fault in one cloud only, spread over the clouds.
    pub spread: bool,
    /// One fault of each cause only that running worlds show, spread over the clouds.
    pub brief: bool,
    /// How often, in each world, nothing is broken and nothing may be found.
    pub clean: u32,
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// Folder for reports; the run makes one of its own in it.
    pub report: PathBuf,
}

/// Folder of the catalogue.
pub fn folder() -> PathBuf {
    workspace().join("fixtures/faults")
}

/// Tries the faults of the catalogue on worlds side by side, one world for each cloud, and prints which were found and as
/// what.
///
/// # Errors
/// When the run could not even begin, or something of it could not be removed.
pub async fn run(store: &Store, trials: &Trials) -> Result<Conclusion> {
    let job = Job { clouds: trials.clouds.clone(), platform: trials.platform.clone(), ..Job::default() };
    let subject = Subject::find(store, &job).await?;
    let mut entries = catalogue::read(&folder(), &subject.clouds)?;
    entries.retain(|entry| trials.filters.is_empty() || trials.filters.iter().any(|f| entry.title().contains(f)));
    if trials.spread {
        entries = catalogue::spread(entries, &subject.clouds);
    }
    if trials.brief {
        entries = catalogue::brief(&entries);
    }
    if entries.is_empty() {
        let clouds: Vec<&str> = subject.clouds.iter().map(|cloud| cloud.name()).collect();
        let seen = format!("none of {} has {}", clouds.join(", "), trials.filters.join(" or "));
        return Err(Failure::new("find a fault to try", seen)
            .next("fixtures/faults has them, one file each")
            .misused());
    }
    let report = &trials.report;
    let run = site::Trials { store, subject: &subject, operator: None, next: None, phase: "faults", report };
    run.side_by_side(
        |parts| format!("{} faults, {}", entries.len(), subject.headline(&job, parts, None)),
        async |site, cloud, report| {
            let own: Vec<&Entry> = entries.iter().filter(|entry| entry.cloud == cloud).collect();
            hunt::Hunt { site, subject: &subject, cloud, clean: trials.clean, report }.all(&own).await
        },
        |parts, rows| {
            let rows = rows.concat();
            terminal::print(table::confusion(&rows));
            terminal::print(table::summary(&rows));
            parts.not_run().chain(rows.iter().map(hunt::Row::verdict)).collect()
        },
    )
    .await
}
