//! A step in all worlds together.

use serde::Serialize;

use super::{
    ramp::Stage,
    records::Judged,
    sample::{Sample, Spent},
};

/// How the cost has grown until the end of a step.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Secrets of all steps until now.
    pub secrets: usize,
    /// When those of this step were Ready; nothing of the step in which the platform came up.
    pub ready: Option<Ready>,
    /// Processor time of this step (s).
    pub spent: Spent,
    /// The most memory in this step (bytes).
    pub memory: Memory,
    /// The journals until now.
    pub journal: Journal,
    /// Size of the audit logs until now (bytes).
    pub audit: u64,
    /// What it takes to judge and tell all of that.
    pub judging: Judging,
}

/// When secrets were Ready, since the first of their step was asked for (s).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ready {
    /// The first of them.
    pub first: f64,
    /// Half of them.
    pub median: f64,
    /// All of them.
    pub last: f64,
}

/// The most resident memory (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// This process.
    pub own: u64,
    /// The harness's processes in all worlds.
    pub emulators: u64,
    /// The process that judges, of the world in which it has most.
    pub judging: u64,
}

/// Requests, as they are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Journal {
    /// How many.
    pub entries: usize,
    /// Size (bytes).
    pub bytes: u64,
}

/// What judging takes, of one world after the other (s), and what comes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Judging {
    /// To read the journals.
    pub read: f64,
    /// To judge them.
    pub judged: f64,
    /// To tell what happened.
    pub told: f64,
    /// To write the reports.
    pub written: f64,
    /// Processor time of all that.
    pub processor: f64,
    /// Size of the reports (bytes).
    pub report: u64,
}

impl Ready {
    /// Of times in any order; nothing when there is none.
    pub fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let half = times.len().div_ceil(2).saturating_sub(1);
        Some(Self { first: *times.first()?, median: *times.get(half)?, last: *times.last()? })
    }
}

impl Judging {
    fn of(all: &[&Judged]) -> Self {
        let sum = |of: fn(&Judged) -> f64| all.iter().map(|one| of(one)).sum();
        Self {
            read: sum(|one| one.read),
            judged: sum(|one| one.judged),
            told: sum(|one| one.told),
            written: sum(|one| one.written),
            processor: sum(|one| one.used.processor),
            report: all.iter().map(|one| one.report).sum(),
        }
    }
}

/// The steps that all worlds have come to the end of.
pub fn rows(worlds: &[&[Stage]]) -> Vec<Row> {
    let steps = worlds.iter().map(|stages| stages.len()).min().unwrap_or_default();
    let mut rows: Vec<Row> = Vec::new();
    for step in 0..steps {
        let stages: Vec<&Stage> = worlds.iter().filter_map(|stages| stages.get(step)).collect();
        rows.push(row(&stages, rows.last().map_or(0, |row| row.secrets)));
    }
    rows
}

fn row(stages: &[&Stage], until_now: usize) -> Row {
    let samples: Vec<(Sample, Sample)> = stages.iter().map(|stage| (stage.before, stage.after)).collect();
    let judged: Vec<&Judged> = stages.iter().map(|stage| &stage.judged).collect();
    let after = |of: fn(&Sample) -> u64| stages.iter().map(move |stage| of(&stage.after));
    Row {
        secrets: until_now + stages.iter().map(|stage| stage.secrets).sum::<usize>(),
        ready: Ready::of(stages.iter().flat_map(|stage| stage.times.iter().copied()).collect()),
        spent: Spent::between(&samples),
        memory: Memory {
            own: after(|sample| sample.own.peak).max().unwrap_or_default(),
            emulators: after(|sample| sample.emulators.peak).sum(),
            judging: judged.iter().map(|one| one.used.peak).max().unwrap_or_default(),
        },
        journal: Journal {
            entries: judged.iter().map(|one| one.entries).sum(),
            bytes: after(|sample| sample.journal).sum(),
        },
        audit: after(|sample| sample.audit).sum(),
        judging: Judging::of(&judged),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::scale::cost::Used;

    /// A step with so many secrets, all of whose reads are in the journal.
    pub fn stage(secrets: usize, times: &[f64], peak: u64) -> Stage {
        let used = Used { processor: 1.0, peak };
        let judged = Judged {
            entries: secrets * 2,
            values: secrets,
            read: 0.5,
            judged: 0.25,
            told: 1.0,
            written: 2.0,
            report: 100,
            used,
            verdicts: Vec::new(),
        };
        let after = Sample { own: used, run: 2.0, emulators: used, world: 98.0, journal: 10, audit: 20 };
        Stage { secrets, times: times.to_vec(), before: Sample::default(), after, judged }
    }

    /// The rows of one world whose peaks are these, with ten secrets a step.
    pub fn with_peaks(peaks: &[u64]) -> Vec<Row> {
        let stages = peaks.iter().enumerate().map(|(step, peak)| stage(if step == 0 { 0 } else { 10 }, &[1.0], *peak));
        rows(&[&stages.collect::<Vec<_>>()])
    }

    #[test]
    fn worlds_are_added_and_only_steps_of_all_count() {
        let one = [stage(0, &[], 5), stage(3, &[1.0, 2.0, 9.0], 7)];
        let two = [stage(0, &[], 6), stage(2, &[0.5, 3.0], 8), stage(2, &[1.0, 2.0], 9)];
        let rows = rows(&[&one, &two]);
        assert_eq!(rows.iter().map(|row| row.secrets).collect::<Vec<_>>(), [0, 5]);
        let row = &rows[1];
        assert_eq!((rows[0].ready, row.ready), (None, Some(Ready { first: 0.5, median: 2.0, last: 9.0 })));
        assert_eq!(row.spent, Spent { own: 1.0, helpers: 1.0, emulators: 2.0, cluster: 194.0 });
        assert_eq!(row.memory, Memory { own: 8, emulators: 15, judging: 8 });
        assert_eq!((row.journal, row.audit), (Journal { entries: 10, bytes: 20 }, 40));
        assert_eq!((row.judging.told, row.judging.report), (2.0, 200));
        assert!(super::rows(&[&one, &[]]).is_empty());
    }

    #[test]
    fn the_median_is_when_half_are_ready() {
        let median = |times: &[f64]| Ready::of(times.to_vec()).map(|ready| ready.median);
        assert_eq!((median(&[4.0, 1.0, 2.0, 3.0]), median(&[3.0, 1.0, 2.0])), (Some(2.0), Some(2.0)));
        assert_eq!((median(&[7.0]), median(&[])), (Some(7.0), None));
    }
}
