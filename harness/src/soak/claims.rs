//! Claims that did not come out the same in all runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::round::{Ended, Round};
use crate::report::data::{Claim, Outcome};

/// How the claims of a run came out, each with the reason why it has not passed, by their names.
pub type Claims = BTreeMap<String, (Outcome, Option<String>)>;

/// A claim that is not the same in all runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsteady {
    /// What is to be said of it.
    pub told: String,
    /// Whether runs passed in which it was not tried. Whatever else is wrong with it makes its run no pass.
    pub silent: bool,
}

/// The claims of a report; of those that share a name, the worst counts.
pub fn of(verdicts: &[Claim]) -> Claims {
    let mut claims = Claims::new();
    for claim in verdicts {
        let came = (claim.outcome, claim.reason.clone());
        let worst = claims.entry(format!("{} {}", claim.about(), claim.claim)).or_insert_with(|| came.clone());
        if came.0 > worst.0 {
            *worst = came;
        }
    }
    claims
}

/// Those that are not the same in all of these runs. A run that did not pass may have ended before it tried all; a run that
/// somebody has broken off says nothing.
pub fn unsteady(rounds: &[Round]) -> Vec<Unsteady> {
    let rounds: Vec<&Round> = rounds.iter().filter(|round| round.ended != Ended::Interrupted).collect();
    let names: BTreeSet<&String> = rounds.iter().flat_map(|round| round.claims.keys()).collect();
    names.into_iter().filter_map(|name| differs(name, &rounds)).collect()
}

/// What is to be said of a claim that came out in more than one way.
fn differs(name: &str, rounds: &[&Round]) -> Option<Unsteady> {
    let mut ways: BTreeMap<Outcome, Vec<usize>> = BTreeMap::new();
    let mut reasons = String::new();
    let mut said = BTreeSet::new();
    for round in rounds {
        let (outcome, reason) = match round.claims.get(name) {
            Some((outcome, reason)) => (*outcome, reason.as_deref()),
            None => (Outcome::NotRun, None),
        };
        if outcome == Outcome::NotRun && round.ended != Ended::Passed {
            continue;
        }
        ways.entry(outcome).or_default().push(round.number);
        let reason = reason.unwrap_or_default();
        if outcome != Outcome::Passed && !reason.is_empty() && said.insert(reason) {
            let _ = write!(reasons, "\n  run {}: {}", round.number, reason.replace('\n', "\n    "));
        }
    }
    if ways.len() < 2 {
        return None;
    }
    let told = |(outcome, runs): (&Outcome, &Vec<usize>)| match outcome {
        Outcome::Passed => format!("passed in {} of {} runs", runs.len(), rounds.len()),
        other => {
            let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
            format!("{} in run {}", other.name(), runs.join(", "))
        }
    };
    let told: Vec<String> = ways.iter().map(told).collect();
    Some(Unsteady {
        told: format!("{name}: {}{reasons}", told.join(", ")),
        silent: ways.contains_key(&Outcome::NotRun),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Cloud;

    fn claim(name: &str, outcome: Outcome, reason: Option<&str>) -> Claim {
        Claim {
            cloud: Some(Cloud::Gcp),
            subject: "secret_path".into(),
            claim: name.into(),
            outcome,
            seconds: 1.0,
            note: None,
            reason: reason.map(Into::into),
            cause: None,
        }
    }

    fn round(number: usize, ended: Ended, claims: &[Claim]) -> Round {
        Round { number, ended, claims: of(claims), ..Round::default() }
    }

    #[test]
    fn a_claim_that_fails_now_and_then_is_told_with_what_it_said() {
        let passes = || claim("arrives", Outcome::Passed, None);
        let fails = |why| claim("arrives", Outcome::Failed, Some(why));
        let rounds = [
            round(1, Ended::Passed, &[passes()]),
            round(2, Ended::Failed, &[fails("late\nby 2 s")]),
            round(3, Ended::Passed, &[passes()]),
            round(4, Ended::Failed, &[fails("late\nby 2 s")]),
        ];
        let told = "gcp secret_path arrives: passed in 2 of 4 runs, failed in run 2, 4\n  run 2: late\n    by 2 s";
        assert_eq!(unsteady(&rounds), [Unsteady { told: told.into(), silent: false }]);
    }

    #[test]
    fn what_always_comes_out_the_same_is_steady() {
        let always = |ended, outcome| [1, 2].map(|number| round(number, ended, &[claim("a", outcome, Some("why"))]));
        assert!(unsteady(&always(Ended::Passed, Outcome::Passed)).is_empty());
        assert!(unsteady(&always(Ended::Passed, Outcome::NotRun)).is_empty());
        // It fails each of the runs.
        assert!(unsteady(&always(Ended::Failed, Outcome::Failed)).is_empty());
        assert!(unsteady(&[]).is_empty());
    }

    #[test]
    fn a_claim_that_is_missing_in_a_run_that_passed_is_told() {
        let both = [claim("a", Outcome::Passed, None), claim("b", Outcome::Passed, None)];
        let rounds = [round(1, Ended::Passed, &both), round(2, Ended::Passed, &both[..1])];
        let told = "gcp secret_path b: passed in 1 of 2 runs, not run in run 2".to_owned();
        assert_eq!(unsteady(&rounds), [Unsteady { told, silent: true }]);
        for ended in [Ended::Failed, Ended::Unproven, Ended::Broken] {
            let rounds = [round(1, Ended::Passed, &both), round(2, ended, &both[..1])];
            assert!(unsteady(&rounds).is_empty(), "{ended:?} may have ended before it");
        }
    }

    #[test]
    fn a_run_that_was_broken_off_says_nothing() {
        let interrupted = round(2, Ended::Interrupted, &[claim("a", Outcome::Unproven, Some("it was interrupted"))]);
        assert!(unsteady(&[round(1, Ended::Passed, &[claim("a", Outcome::Passed, None)]), interrupted]).is_empty());
    }

    #[test]
    fn of_claims_that_share_a_name_the_worst_counts() {
        let claims = of(&[
            claim("a", Outcome::Passed, None),
            claim("a", Outcome::Failed, Some("why")),
            claim("a", Outcome::Unproven, None),
        ]);
        let (outcome, reason) = &claims["gcp secret_path a"];
        assert_eq!((*outcome, reason.as_deref()), (Outcome::Failed, Some("why")));
    }
}
