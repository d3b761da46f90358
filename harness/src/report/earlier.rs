//! How long the phases of earlier runs took, as their reports tell: what is to be expected of the next run.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use super::data::{FILE, Phase, Report};
use crate::trial::BROKEN_OFF;

/// So many of the newest reports are looked at: a long history takes no time.
const LOOKED_AT: usize = 12;
/// The phase that only a kept world has.
const OF_KEPT: &str = "canaries";
/// Nobody waits for what takes less.
const SHORTEST: Duration = Duration::from_secs(1);

/// Times of the phases of earlier runs, those of the newest first.
#[derive(Debug, Default)]
pub struct Earlier(Vec<Times>);

/// Times by `run` or the cloud, and the phase.
type Times = BTreeMap<(String, String), Duration>;

impl Earlier {
    /// Those of runs whose reports are in a folder: of runs on kept worlds, or of runs that have made theirs. From a run that was
    /// broken off nothing is to be expected, and what cannot be read is left out.
    pub fn read(reports: &Path, kept: bool) -> Self {
        let runs = fs::read_dir(reports).into_iter().flatten().flatten().map(|run| run.path());
        let mut runs: Vec<_> =
            runs.filter_map(|run| Some((fs::metadata(run.join(FILE)).ok()?.modified().ok()?, run))).collect();
        runs.sort();
        let newest = runs.into_iter().rev().take(LOOKED_AT);
        let reports = newest.filter_map(|(_, run)| Report::read(&run).ok());
        Self(reports.filter(|report| is_whole(report) && is_of_kept(report) == kept).map(|run| times(&run)).collect())
    }

    /// How long a phase took in the newest run that had it, of the run itself or of the world of a cloud.
    pub fn took(&self, of: &str, phase: &str) -> Option<Duration> {
        let key = (of.to_owned(), phase.to_owned());
        self.0.iter().find_map(|times| times.get(&key)).copied()
    }
}

fn is_whole(report: &Report) -> bool {
    report.verdicts.iter().all(|claim| claim.subject != BROKEN_OFF)
}

fn is_of_kept(report: &Report) -> bool {
    report.clouds.iter().flat_map(|world| &world.phases).any(|phase| phase.name == OF_KEPT)
}

fn times(report: &Report) -> Times {
    let worlds = report.clouds.iter().map(|world| (world.cloud.name(), &world.phases));
    let all = worlds.chain([("run", &report.phases)]);
    let all = all.flat_map(|(of, phases)| phases.iter().filter_map(move |phase| Some((of, phase, seconds(phase)?))));
    all.filter(|(_, _, took)| *took >= SHORTEST)
        .map(|(of, phase, took)| ((of.to_owned(), phase.name.clone()), took))
        .collect()
}

/// Nothing of a number that is no time.
fn seconds(phase: &Phase) -> Option<Duration> {
    Duration::try_from_secs_f64(phase.seconds).ok()
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::SystemTime};

    use tempfile::TempDir;

    use super::*;
    use crate::{report::gather::example, world::Cloud};

    /// A folder with these reports; the last is the newest.
    fn reports(texts: &[String]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (second, text) in (1..).zip(texts) {
            let file: PathBuf = folder.path().join(format!("run-{second}")).join(FILE);
            fs::create_dir(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
        }
        folder
    }

    /// A run whose world of one cloud needed so many seconds for its suites.
    fn run(cloud: Cloud, seconds: f64) -> Report {
        let mut report = example();
        report.clouds.retain(|world| world.cloud == cloud);
        report.clouds[0].phases[1].seconds = seconds;
        report
    }

    fn took(folder: &TempDir, of: &str, phase: &str, kept: bool) -> Option<u64> {
        Earlier::read(folder.path(), kept).took(of, phase).map(|took| took.as_secs())
    }

    #[test]
    fn the_newest_run_with_the_same_cloud_counts() {
        let all = [run(Cloud::Aws, 30.0), run(Cloud::Aws, 40.0), run(Cloud::Gcp, 50.0)];
        let folder = reports(&all.map(|report| report.json().unwrap()));
        assert_eq!(took(&folder, "aws", "suites", false), Some(40));
        assert_eq!(took(&folder, "gcp", "suites", false), Some(50));
        assert_eq!(took(&folder, "run", "worlds", false), Some(90));
        assert_eq!(took(&folder, "azure", "suites", false), None);
        assert_eq!(took(&folder, "aws", "another", false), None);
    }

    #[test]
    fn a_run_that_was_broken_off_or_had_nothing_to_do_does_not_count() {
        let (mut broken_off, nothing) = (run(Cloud::Aws, 7.0), run(Cloud::Aws, 0.1));
        broken_off.verdicts[0].subject = BROKEN_OFF.into();
        let folder = reports(&[run(Cloud::Aws, 30.0), broken_off, nothing].map(|report| report.json().unwrap()));
        assert_eq!(took(&folder, "aws", "suites", false), Some(30));
    }

    #[test]
    fn runs_on_kept_worlds_are_compared_with_each_other() {
        let mut kept = run(Cloud::Aws, 7.0);
        kept.clouds[0].phases[0].name = OF_KEPT.into();
        let folder = reports(&[run(Cloud::Aws, 30.0), kept].map(|report| report.json().unwrap()));
        assert_eq!(took(&folder, "aws", "suites", false), Some(30));
        assert_eq!(took(&folder, "aws", "suites", true), Some(7));
    }

    #[test]
    fn what_is_missing_or_cannot_be_read_is_left_out() {
        let folder = reports(&[run(Cloud::Aws, 30.0).json().unwrap(), "{".into()]);
        fs::create_dir(folder.path().join("broken-off")).unwrap();
        assert_eq!(took(&folder, "aws", "suites", false), Some(30));
        assert!(Earlier::read(Path::new("/nonexistent"), false).0.is_empty());
    }
}
