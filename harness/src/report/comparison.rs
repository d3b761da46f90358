//! What has changed between two runs: claims that came out differently, that are new or gone, and the times of the phases.

use std::{collections::BTreeMap, fmt};

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::data::{Claim, Outcome, Report};

/// Two runs, one after the other.
pub struct Comparison<'a> {
    old: &'a Report,
    new: &'a Report,
    /// How many claims either has.
    claims: usize,
    /// The claims that differ, the worst change first.
    changes: Vec<Change<'a>>,
}

/// A claim that is not what it was.
struct Change<'a> {
    direction: Direction,
    /// It in the older run, in the newer one, or in both.
    old: Option<&'a Claim>,
    new: Option<&'a Claim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Worse,
    Gone,
    New,
    Better,
}

impl Direction {
    const ALL: [Self; 4] = [Self::Worse, Self::Gone, Self::New, Self::Better];

    const fn name(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Gone => "gone",
            Self::New => "new",
            Self::Better => "better",
        }
    }
}

impl<'a> Comparison<'a> {
    /// Compares a run with an older one.
    pub fn between(old: &'a Report, new: &'a Report) -> Self {
        let (earlier, later) = (by_name(old), by_name(new));
        let mut names: Vec<_> = earlier.keys().chain(later.keys()).collect();
        names.sort();
        names.dedup();
        let change = |name: &_| {
            let (old, new) = (earlier.get(name).copied(), later.get(name).copied());
            Some(Change { direction: direction(old.map(|c| c.outcome), new.map(|c| c.outcome))?, old, new })
        };
        let mut changes: Vec<Change<'_>> = names.iter().copied().filter_map(change).collect();
        changes.sort_by_key(|change| change.direction);
        Self { old, new, claims: names.len(), changes }
    }

    /// Whether a claim came out worse, or a new one failed.
    pub fn is_worse(&self) -> bool {
        self.count(Direction::Worse) > 0
    }

    fn count(&self, direction: Direction) -> usize {
        self.changes.iter().filter(|change| change.direction == direction).count()
    }

    /// The phases of both, side by side.
    fn phases(&self) -> Table {
        let (old, new) = (times(self.old), times(self.new));
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(["phase", "old (s)", "new (s)", "change (s)"]);
        let only_old = old.iter().filter(|(name, _)| new.iter().all(|(other, _)| other != name));
        for (name, _) in new.iter().chain(only_old) {
            let of =
                |times: &[(String, f64)]| times.iter().find(|(other, _)| other == name).map(|(_, seconds)| *seconds);
            let (before, after) = (of(&old), of(&new));
            let told = |seconds: Option<f64>| seconds.map_or_else(String::new, |seconds| format!("{seconds:.1}"));
            let change = before.zip(after).map_or_else(String::new, |(old, new)| format!("{:+.1}", new - old));
            table.add_row([name.clone(), told(before), told(after), change]);
        }
        table
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, report) in [("old", self.old), ("new", self.new)] {
            writeln!(f, "{word} {}, {}: {}", report.run, report.begun, report.headline)?;
        }
        writeln!(f, "{}", self.phases())?;
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        let counts = Direction::ALL.map(|direction| format!("{} {}", self.count(direction), direction.name()));
        write!(f, "{} claims: {}", self.claims, counts.join(", "))
    }
}

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |claim: Option<&Claim>| claim.map_or("absent", |claim| claim.outcome.name());
        if let Some(claim) = self.new.or(self.old) {
            let (old, new) = (name(self.old), name(self.new));
            write!(f, "{:>6}  {} {}: {old} → {new}", self.direction.name(), claim.about(), claim.claim)?;
        }
        let why = self.new.and_then(|claim| claim.reason.as_deref()).unwrap_or_default();
        why.lines().try_for_each(|line| write!(f, "\n          {line}"))
    }
}

/// Claims by their names; of those that share one, the worst counts.
fn by_name(report: &Report) -> BTreeMap<(String, &str), &Claim> {
    let mut claims: BTreeMap<_, &Claim> = BTreeMap::new();
    for claim in &report.verdicts {
        let worst = claims.entry((claim.about(), claim.claim.as_str())).or_insert(claim);
        if claim.outcome > worst.outcome {
            *worst = claim;
        }
    }
    claims
}

fn direction(old: Option<Outcome>, new: Option<Outcome>) -> Option<Direction> {
    match (old, new) {
        (Some(old), Some(new)) if new > old => Some(Direction::Worse),
        (Some(old), Some(new)) if new < old => Some(Direction::Better),
        (None, Some(Outcome::Failed)) => Some(Direction::Worse),
        (None, Some(_)) => Some(Direction::New),
        (Some(_), None) => Some(Direction::Gone),
        _ => None,
    }
}

/// The times of all phases, of the run first.
fn times(report: &Report) -> Vec<(String, f64)> {
    let all = report.phases.iter().map(|phase| (phase.name.clone(), phase.seconds));
    let of_worlds = report.clouds.iter().flat_map(|world| {
        world.phases.iter().map(move |phase| (format!("{} {}", world.cloud, phase.name), phase.seconds))
    });
    all.chain(of_worlds).chain([("all".to_owned(), report.seconds)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::gather::example;

    #[test]
    fn equal_runs_differ_in_nothing() {
        let report = example();
        let comparison = Comparison::between(&report, &report);
        assert!(!comparison.is_worse());
        assert!(comparison.to_string().ends_with("4 claims: 0 worse, 0 gone, 0 new, 0 better"), "{comparison}");
    }

    #[test]
    fn claims_are_worse_better_new_or_gone() {
        let (old, mut new) = (example(), example());
        new.verdicts[0].outcome = Outcome::NotRun;
        new.verdicts[0].reason = Some("it ended before\nthat".into());
        new.verdicts[1].outcome = Outcome::Passed;
        new.verdicts[2].claim = "another".into();
        new.seconds = 90.5;
        let comparison = Comparison::between(&old, &new);
        let text = comparison.to_string();
        assert!(comparison.is_worse());
        for line in [
            " worse  aws canaries forged signature → AccessDenied: passed → not run\n          it ended before\n          that\n",
            "better  aws platform root and all its applications are Synced and Healthy: failed → passed\n",
            "  gone  images what needs grafana works: not run → absent\n",
            "   new  images another: absent → not run\n",
            "5 claims: 1 worse, 1 gone, 1 new, 1 better",
        ] {
            assert!(text.contains(line), "{line}\n\n{text}");
        }
        let all = text.lines().find(|line| line.starts_with("| all ")).unwrap();
        assert!(all.contains("92.0") && all.contains("90.5") && all.contains("-1.5"), "{all}");
    }

    #[test]
    fn a_new_failure_is_worse_and_the_worst_of_a_name_counts() {
        let (mut old, new) = (example(), example());
        old.verdicts.remove(1);
        assert!(Comparison::between(&old, &new).is_worse());
        let (old, mut new) = (example(), example());
        let twice = Claim { outcome: Outcome::Failed, ..new.verdicts[0].clone() };
        new.verdicts.insert(0, twice);
        assert!(Comparison::between(&old, &new).is_worse());
        assert!(!Comparison::between(&new, &old).is_worse());
    }
}
