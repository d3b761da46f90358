//! Whether anything has grown with the runs.

use super::measure::{Limit, Measure, Measures};

/// A measure over all runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub measure: Measure,
    /// Before the first run.
    pub before: Option<u64>,
    /// After the first run.
    pub first: Option<u64>,
    /// After the last run.
    pub last: Option<u64>,
    /// Growth from the first run to the last, for each run in between and the last.
    pub each: Option<f64>,
    /// What that is judged to be.
    pub judged: Judged,
}

/// What is to be said of a measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It does not grow.
    Flat,
    /// It does, with how that was seen.
    Grows(String),
    /// There were too few runs to know.
    Unknown,
    /// It was not measured, with the reason.
    Absent(&'static str),
    /// It may grow, with the reason.
    Told(&'static str),
}

/// What must not be exceeded, of what has a level; `first` is what was measured after the first run.
pub fn levels(before: &Measures, first: Option<&Measures>) -> Measures {
    let level = |measure: Measure| match measure.limit() {
        Limit::Own => before.get(&measure).copied(),
        Limit::Level => first?.get(&measure).copied(),
        Limit::Within(_) | Limit::Told(_) => None,
    };
    Measure::ALL.into_iter().filter_map(|measure| Some((measure, level(measure)?))).collect()
}

/// Whether there is more of anything than its level.
pub fn exceeded(levels: &Measures, now: &Measures) -> bool {
    levels.iter().any(|(measure, level)| now.get(measure).is_some_and(|now| now > level))
}

/// Judges all measures; `after` has the runs that have ended in order, by their numbers, and what was measured after each.
pub fn judge(before: &Measures, after: &[(usize, &Measures)]) -> Vec<Row> {
    Measure::ALL.into_iter().map(|measure| row(measure, before, after)).collect()
}

fn row(measure: Measure, before: &Measures, after: &[(usize, &Measures)]) -> Row {
    let of = |measures: &Measures| measures.get(&measure).copied();
    let ends = after.first().zip(after.last());
    let (first, last) = (after.first().and_then(|(_, m)| of(m)), after.last().and_then(|(_, m)| of(m)));
    let runs = ends.map_or(0, |((first, _), (last, _))| last - first);
    let change = first.zip(last).map(|(first, last)| last as f64 - first as f64);
    let each = change.filter(|_| runs > 0).map(|change| change / runs as f64);
    let before = of(before);
    let judged = match (measure.limit(), first.zip(last)) {
        (Limit::Told(why), Some(_)) => Judged::Told(why),
        (_, None) if !after.is_empty() => Judged::Absent(measure.absent()),
        (Limit::Own, Some(_)) => own(measure, before, after, runs),
        (_, None) => Judged::Unknown,
        (_, Some(_)) if runs == 0 => Judged::Unknown,
        (Limit::Level, Some((first, last))) if last > first => {
            Judged::Grows(format!("{} more at the end than after the first run", last - first))
        }
        (Limit::Within(limit), Some((first, last))) if last.saturating_sub(first) > limit => {
            let (grown, limit) = (measure.told(last - first), measure.told(limit));
            Judged::Grows(format!("{grown} more at the end than after the first run, and {limit} may be"))
        }
        (_, Some(_)) => Judged::Flat,
    };
    Row { measure, before, first, last, each, judged }
}

/// Of what is the harness's own, any run may show too much: the next one sweeps what it has left.
fn own(measure: Measure, before: Option<u64>, after: &[(usize, &Measures)], runs: usize) -> Judged {
    let Some(before) = before else { return Judged::Unknown };
    let more = |(number, measures): &(usize, &Measures)| {
        let more = measures.get(&measure)?.checked_sub(before).filter(|more| *more > 0)?;
        Some(format!("{more} more after run {number} than before the first one"))
    };
    match after.iter().find_map(more) {
        Some(seen) => Judged::Grows(seen),
        None if runs == 0 => Judged::Unknown,
        None => Judged::Flat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// How a measure is judged that was so much before the first run and after each.
    fn judged(measure: Measure, before: u64, after: &[u64]) -> Judged {
        let row = rows(measure, before, after).into_iter().find(|row| row.measure == measure);
        row.unwrap().judged
    }

    fn rows(measure: Measure, before: u64, after: &[u64]) -> Vec<Row> {
        let of = |amount: u64| Measures::from([(measure, amount)]);
        let after: Vec<Measures> = after.iter().map(|amount| of(*amount)).collect();
        let after: Vec<(usize, &Measures)> = after.iter().enumerate().map(|(n, m)| (n + 1, m)).collect();
        judge(&of(before), &after)
    }

    #[test]
    fn what_a_run_leaves_is_found_even_when_the_next_one_sweeps_it() {
        let Judged::Grows(seen) = judged(Measure::Leftovers, 0, &[0, 2, 0]) else { panic!("it was swept") };
        assert_eq!(seen, "2 more after run 2 than before the first one");
        assert!(matches!(judged(Measure::Cgroups, 4, &[5, 5, 5]), Judged::Grows(_)));
        // One run is enough to see it, and not enough to see that there is none.
        assert!(matches!(judged(Measure::Processes, 0, &[1]), Judged::Grows(_)));
        assert_eq!(judged(Measure::Processes, 0, &[0]), Judged::Unknown);
        // What was left before is removed by the first run.
        assert_eq!(judged(Measure::Leftovers, 3, &[0, 0]), Judged::Flat);
    }

    #[test]
    fn the_first_run_may_bring_what_stays() {
        assert_eq!(judged(Measure::Interfaces, 2, &[4, 5, 4]), Judged::Flat);
        let Judged::Grows(seen) = judged(Measure::Interfaces, 2, &[4, 5, 6]) else { panic!("it grows") };
        assert_eq!(seen, "2 more at the end than after the first run");
        assert_eq!(judged(Measure::Mounts, 2, &[9]), Judged::Unknown);
    }

    #[test]
    fn disk_and_memory_stay_within_a_limit_however_many_runs_there_are() {
        let grown = |each: u64, runs: u64| {
            let after: Vec<u64> = (0..runs).map(|run| 1_000 * MIB + run * each).collect();
            matches!(judged(Measure::StateDisk, 0, &after), Judged::Grows(_))
        };
        assert!(!grown(MIB, 50) && grown(2 * MIB, 50) && grown(MIB, 100));
        assert_eq!(judged(Measure::StateDisk, 0, &[900 * MIB, 100 * MIB]), Judged::Flat);
        let Judged::Grows(seen) = judged(Measure::Memory, 0, &[MIB, 301 * MIB]) else { panic!("it grows") };
        assert_eq!(seen, "300.0 MiB more at the end than after the first run, and 256.0 MiB may be");
    }

    #[test]
    fn growth_is_told_for_each_run_after_the_first() {
        let rows = rows(Measure::Reports, 0, &[10, 20, 50]);
        let row = rows.iter().find(|row| row.measure == Measure::Reports).unwrap();
        assert_eq!((row.before, row.first, row.last, row.each), (Some(0), Some(10), Some(50), Some(20.0)));
        assert!(matches!(row.judged, Judged::Told(_)));
        let absent = rows.iter().find(|row| row.measure == Measure::Connections).unwrap();
        assert_eq!(absent.judged, Judged::Absent("the kernel tracks none"));
    }

    #[test]
    fn runs_that_do_not_count_are_runs_in_between() {
        let (few, many) = (Measures::from([(Measure::Slab, 10)]), Measures::from([(Measure::Slab, 40)]));
        let rows = judge(&few, &[(1, &few), (4, &many)]);
        assert_eq!(rows.iter().find(|row| row.measure == Measure::Slab).unwrap().each, Some(10.0));
    }

    #[test]
    fn without_a_run_nothing_is_known() {
        let before = Measures::from([(Measure::Mounts, 3)]);
        assert!(judge(&before, &[]).iter().all(|row| row.judged == Judged::Unknown && row.each.is_none()));
    }

    #[test]
    fn a_level_is_that_before_the_first_run_for_what_is_the_harness_own() {
        let before = Measures::from([(Measure::Cgroups, 1), (Measure::Mounts, 20), (Measure::Memory, 5)]);
        let first = Measures::from([(Measure::Cgroups, 2), (Measure::Mounts, 22), (Measure::Memory, 6)]);
        assert_eq!(levels(&before, None), Measures::from([(Measure::Cgroups, 1)]));
        let levels = levels(&before, Some(&first));
        assert_eq!(levels, Measures::from([(Measure::Cgroups, 1), (Measure::Mounts, 22)]));
        assert!(exceeded(&levels, &first) && !exceeded(&levels, &before));
    }
}
