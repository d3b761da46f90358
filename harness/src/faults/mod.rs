//! Faults: deliberate breaks of the platform, the cloud, the cluster or the gateway, from the catalogue `fixtures/faults`.
//! Each says which cause has to be found; `trinity-e2e faults` tries them on running worlds, `e2e --fault` on a new one.

pub mod catalogue;
pub mod copy;
pub mod hunt;
pub mod live;
pub mod table;
pub mod well;

pub use catalogue::{Entry, Fault};

use std::{fs, path::PathBuf};

use futures::future::join_all;

use crate::{
    cluster::embedded::preflight,
    components::Store,
    failure::{Attempt, Failure, Result},
    judge::verdict::Conclusion,
    report::{self, Phases, conclusion, junit},
    run::{Job, Subject, tidy},
    trial::uninterrupted,
    workspace,
    world::{Cloud, Engine, Parts, Run, ownership::Estate},
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
    let mut phases = Phases::begin("run", "sweep");
    let job = Job { clouds: trials.clouds.clone(), platform: trials.platform.clone(), ..Job::default() };
    let subject = Subject::find(store, &job)?;
    let mut entries = catalogue::read(&folder(), &subject.clouds)?;
    entries.retain(|entry| trials.filters.is_empty() || trials.filters.iter().any(|f| entry.title().contains(f)));
    if trials.spread {
        entries = catalogue::spread(entries, &subject.clouds);
    }
    if entries.is_empty() {
        let clouds: Vec<&str> = subject.clouds.iter().map(|cloud| cloud.name()).collect();
        let seen = format!("none of {} has {}", clouds.join(", "), trials.filters.join(" or "));
        return Err(Failure::new("find a fault to try", seen).next("fixtures/faults has them, one file each"));
    }
    let estate = Estate::open()?;
    preflight::check(estate.root(), &store.cache().blobs(), subject.clouds.len() as u64, 0)?;
    tidy(&estate, store)?;
    let concluded = Run::during(&estate, async |run| {
        let run = run.id();
        let report = report::folder(&trials.report, run)?;
        phases.next("components");
        let parts = uninterrupted(Parts::find(store, None)).await?;
        let headline = format!("{} faults, {}", entries.len(), subject.headline(&job, &parts));
        println!("{headline}");
        phases.next("metrics");
        let engine = uninterrupted(Engine::start(&estate, &parts.prometheus, run, &report)).await?;
        phases.next("faults");
        let hunts = subject.clouds.iter().map(async |cloud| {
            let own: Vec<&Entry> = entries.iter().filter(|entry| entry.cloud == *cloud).collect();
            let folder = report.join(cloud.name());
            fs::create_dir(&folder).attempting(|| format!("make {}", folder.display()))?;
            let hunt = hunt::Hunt {
                estate: &estate,
                store,
                parts: &parts,
                run,
                engine: engine.socket(),
                subject: &subject,
                cloud: *cloud,
                clean: trials.clean,
                report: folder,
            };
            hunt.all(&own).await
        });
        let rows = tokio::select! {
            rows = join_all(hunts) => rows.into_iter().collect::<Result<Vec<_>>>()?.concat(),
            failure = engine.broken() => return Err(failure),
        };
        phases.next("report");
        engine.stop().await?;
        println!("{}", table::confusion(&rows));
        println!("{}", table::summary(&rows));
        let verdicts: Vec<_> = parts.not_run().chain(rows.iter().map(hunt::Row::verdict)).collect();
        junit::write(&report.join("junit.xml"), &[], &verdicts, &parts.provenance)?;
        Ok(conclusion::print(&headline, &report, &verdicts, &phases.end()))
    })
    .await;
    tidy(&estate, store)?;
    concluded
}
