//! What many secrets may cost.

use super::{
    row::{Memory, Row},
    sample::Spent,
    steps::STEPS,
};
use crate::judge::verdict::{Outcome, Verdict};

/// The harness's part of all processor time (%).
const SHARE: f64 = 5.0;
/// How much more memory four times as many secrets may take (%). In proportion it would be 300 more.
const MORE: u64 = 25;
/// What an allocator may keep for itself (bytes).
const SLACK: u64 = 8 << 20;

/// All verdicts on what it has cost. Without a `world` nothing but the harness takes processor time.
pub fn verdicts(rows: &[Row], world: bool) -> Vec<Verdict> {
    let of = |who: &str, of: fn(&Memory) -> u64| {
        let peaks: Vec<u64> = rows.iter().map(|row| of(&row.memory)).collect();
        Verdict::new("memory", format!("{who} has no more memory for more secrets"), flat(&peaks))
    };
    let memory = [
        of("this process", |memory| memory.own),
        of("all that plays the clouds", |memory| memory.emulators),
        of("the process that judges the records", |memory| memory.judging),
    ];
    let processor = match world {
        true => share(rows),
        false => Outcome::NotRun("there is no world: nothing but the harness takes processor time".into()),
    };
    let note = whole(rows).and_then(Spent::share).filter(|_| world).map(|share| format!("{share:.1} %"));
    let claim = format!("the harness takes less than {SHARE} % of the processor time");
    let processor = Verdict::new("processor", claim, processor).noting(note.unwrap_or_default());
    std::iter::once(processor).chain(memory).collect()
}

/// What one run would have spent that had made all secrets and judged its records once, at the end; nothing when not all steps
/// are there.
pub fn whole(rows: &[Row]) -> Option<Spent> {
    let last = rows.get(STEPS)?;
    let steps = rows.iter().map(|row| row.spent).reduce(|one, other| one + other)?;
    Some(steps + Spent { helpers: last.judging.processor, ..Spent::default() })
}

fn share(rows: &[Row]) -> Outcome {
    match whole(rows).and_then(Spent::share) {
        None => incomplete(),
        Some(share) if share < SHARE => Outcome::Passed,
        Some(share) => Outcome::Failed(format!(
            "it takes {share:.1} %\n  next: see in the table whether this process, its helpers or the emulated clouds do"
        )),
    }
}

/// Whether the memory of the last step is not much more than that of the first, which has a fourth of the secrets.
fn flat(peaks: &[u64]) -> Outcome {
    let (Some(first), Some(last)) = (peaks.get(1), peaks.get(STEPS)) else { return incomplete() };
    if *last <= first + first * MORE / 100 + SLACK {
        return Outcome::Passed;
    }
    let [first, last] = [first, last].map(|bytes| bytes >> 20);
    Outcome::Failed(format!("it has {first} MiB for a fourth of the secrets, and {last} MiB for all"))
}

fn incomplete() -> Outcome {
    Outcome::NotRun("not all secrets were Ready".into())
}

#[cfg(test)]
mod tests {
    use super::{super::row::tests::with_peaks, *};

    const MIB: u64 = 1 << 20;

    fn outcome(peaks: &[u64]) -> Outcome {
        flat(&peaks.iter().map(|mebibytes| mebibytes * MIB).collect::<Vec<_>>())
    }

    #[test]
    fn memory_in_proportion_is_found_and_some_slack_is_none() {
        assert_eq!(outcome(&[300, 100, 110, 120, 133]), Outcome::Passed);
        assert_eq!(outcome(&[90, 100, 100, 100, 60]), Outcome::Passed);
        let Outcome::Failed(why) = outcome(&[20, 100, 200, 300, 400]) else { panic!("it grows") };
        assert_eq!(why, "it has 100 MiB for a fourth of the secrets, and 400 MiB for all");
        assert!(matches!(outcome(&[20, 100, 100, 134, 134]), Outcome::Failed(_)));
        assert!(matches!(outcome(&[20, 100, 100, 100]), Outcome::NotRun(_)), "the last step is missing");
    }

    #[test]
    fn the_share_is_of_all_steps_and_one_judgement() {
        let rows = with_peaks(&[MIB; 5]);
        // Each step has 1 s of this process, of a helper and of a cloud, and 97 s of the cluster; a judgement takes 1 s.
        let spent = whole(&rows).unwrap();
        assert_eq!(spent, Spent { own: 5.0, helpers: 6.0, emulators: 5.0, cluster: 485.0 });
        assert_eq!(share(&rows), Outcome::Passed);
        assert_eq!((whole(&rows[..4]), share(&rows[..4])), (None, incomplete()));
        let mut dear = rows;
        dear.iter_mut().for_each(|row| row.spent.cluster = 50.0);
        let Outcome::Failed(why) = share(&dear) else { panic!("16 of 266 s are too much") };
        assert!(why.starts_with("it takes 6.0 %"), "{why}");
    }

    #[test]
    fn without_a_world_there_is_no_share() {
        let outcomes: Vec<Outcome> =
            verdicts(&with_peaks(&[MIB; 5]), false).into_iter().map(|verdict| verdict.outcome).collect();
        assert!(matches!(outcomes[0], Outcome::NotRun(_)));
        assert_eq!(outcomes[1..], [Outcome::Passed, Outcome::Passed, Outcome::Passed]);
    }
}
