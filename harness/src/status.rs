//! What is running on this machine, what killed runs have left, and how the last run went. Nothing is changed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};

use crate::{
    cluster::{self, embedded::cgroups::Hierarchies, kind},
    components::{Store, cache::Cache},
    failure::Result,
    report::{junit, table},
    world::{
        Cloud, Description,
        ownership::{Estate, State},
        sweep::{self, Which},
    },
};

/// A world, or the Prometheus behind Grafana Cloud of a run's worlds.
#[derive(Clone, Debug)]
pub struct World {
    /// Its name.
    pub name: String,
    /// Its cloud; nothing when it is of all, or not described yet.
    pub cloud: Option<Cloud>,
    /// When it was claimed.
    pub since: Option<Timestamp>,
    /// Whether it was kept, or has a living owner.
    pub kept: bool,
    /// How many of its processes live.
    pub processes: usize,
    /// The memory that they use (bytes), if the kernel tells.
    pub memory: Option<u64>,
    /// Its administrator's kubeconfig, when it has one.
    pub kubeconfig: Option<PathBuf>,
}

/// What is on this machine.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Running and kept worlds.
    pub worlds: Vec<World>,
    /// What a sweep would remove.
    pub leftovers: Vec<String>,
}

impl Status {
    /// Looks, and touches nothing.
    ///
    /// # Errors
    /// When this user may not read what runs have made.
    pub fn look(cache: &Cache) -> Result<Self> {
        let mut status = Self { worlds: Vec::new(), leftovers: kind::orphans() };
        if let Some(estate) = Estate::look()? {
            let _guard = estate.hold()?;
            let left = sweep::find(&estate, Which::Abandoned);
            let hierarchies = Hierarchies::find().ok();
            let living = estate.worlds().into_iter().filter(|folder| !left.contains(folder));
            status.worlds = living.map(|folder| World::look(&folder, hierarchies.as_ref())).collect();
            status.leftovers.extend(left.iter().map(|folder| name(folder)));
        }
        status.leftovers.extend(cache.half_made()?);
        Ok(status)
    }
}

impl World {
    fn look(folder: &Path, hierarchies: Option<&Hierarchies>) -> Self {
        let (name, description) = (name(folder), Description::read(&folder.join("world.json")).ok());
        Self {
            cloud: description.as_ref().map(|world| world.cloud),
            since: time(&folder.join("slot")),
            kept: Estate::state(folder) == State::Kept,
            processes: hierarchies.map_or(0, |h| cluster::processes(h, folder, &name).len()),
            memory: hierarchies.and_then(|h| cluster::memory_in_use(h, folder, &name)),
            kubeconfig: description.map(|world| world.kubeconfig),
            name,
        }
    }

    fn row(&self) -> [String; 7] {
        let unknown = || "unknown".to_owned();
        [
            self.name.clone(),
            self.cloud.map_or_else(|| "none".into(), |cloud| cloud.to_string()),
            if self.kept { "kept" } else { "running" }.into(),
            self.since.map_or_else(unknown, |since| since.strftime("%F %T UTC").to_string()),
            self.processes.to_string(),
            self.memory.map_or_else(unknown, |bytes| format!("{} MiB", bytes >> 20)),
            self.kubeconfig.as_ref().map_or_else(|| "none".into(), |file| file.display().to_string()),
        ]
    }
}

/// Prints what is on this machine, and how the last of the runs went whose reports are in a folder.
///
/// # Errors
/// When something of it cannot be read.
pub fn run(store: &Store, reports: &Path) -> Result<()> {
    let Status { worlds, leftovers } = Status::look(store.cache())?;
    match worlds.is_empty() {
        true => println!("no world is running"),
        false => {
            let mut table = table::table(["world", "cloud", "state", "since", "processes", "memory", "kubeconfig"]);
            worlds.iter().for_each(|world| {
                table.add_row(world.row());
            });
            println!("{table}");
        }
    }
    match leftovers.is_empty() {
        true => println!("nothing is left of killed runs"),
        false => println!("`trinity-e2e sweep` would remove {}", leftovers.join(", ")),
    }
    println!("{}", last(reports)?);
    Ok(())
}

/// How the newest run went of those whose reports are in a folder.
fn last(reports: &Path) -> Result<String> {
    let runs = fs::read_dir(reports).into_iter().flatten().flatten();
    let files = runs.map(|run| run.path().join("junit.xml"));
    let Some((at, file)) = files.filter_map(|file| Some((time(&file)?, file))).max() else {
        return Ok(format!("no run has a report in {}", reports.display()));
    };
    let [passed, failed, unproven, not_run] = counts(&junit::read(&file)?);
    let word = match (failed, unproven) {
        (0, 0) => "passed",
        (0, _) => "UNPROVEN",
        _ => "FAILED",
    };
    let folder = file.parent().unwrap_or(reports);
    Ok(format!(
        "last run: {word}, {passed} passed, {failed} failed, {unproven} unproven, {not_run} not run, {}: {}",
        at.strftime("%F %T UTC"),
        folder.display()
    ))
}

/// Claims that passed, failed, are unproven, and were not run.
fn counts(report: &Report) -> [usize; 4] {
    let mut counts = [0; 4];
    for case in report.test_suites.iter().flat_map(|suite| &suite.test_cases) {
        let place = match case.status {
            TestCaseStatus::Success { .. } => 0,
            TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. } => 1,
            TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. } => 2,
            TestCaseStatus::Skipped { .. } => 3,
        };
        counts[place] += 1;
    }
    counts
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// When a file was written.
fn time(file: &Path) -> Option<Timestamp> {
    let written: SystemTime = fs::metadata(file).and_then(|file| file.modified()).ok()?;
    Timestamp::try_from(written).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::verdict::{Outcome, Verdict};

    #[test]
    fn the_last_run_is_the_newest_with_a_report() {
        let folder = tempfile::tempdir().unwrap();
        assert!(last(folder.path()).unwrap().starts_with("no run has a report"));
        let write = |run: &str, second: u64, outcomes: &[Outcome]| {
            let file = folder.path().join(run).join("junit.xml");
            fs::create_dir(folder.path().join(run)).unwrap();
            let verdicts: Vec<Verdict> = outcomes.iter().map(|o| Verdict::new("group", "claim", o.clone())).collect();
            junit::write(&file, &[], &verdicts, &[]).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
            fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
        };
        write("old", 1, &[Outcome::Failed("drift".into())]);
        write("new", 2, &[Outcome::Passed, Outcome::Unproven("ended".into()), Outcome::NotRun("none".into())]);
        fs::create_dir(folder.path().join("broken-off")).unwrap();
        let told = last(folder.path()).unwrap();
        let expected = "last run: UNPROVEN, 1 passed, 0 failed, 1 unproven, 1 not run, 1970-01-01 00:00:02 UTC: ";
        assert!(told.starts_with(expected) && told.ends_with("/new"), "{told}");
    }
}
