//! What is shown of a soak.

use super::{
    growth::{Judged, Row},
    measure::Limit,
    round::{Ended, Round},
};
use crate::report::table::table;

/// What has grown with the runs, and what has not.
pub fn growth(rows: &[Row]) -> String {
    let mut table = table(["what", "before", "after the first run", "at the end", "a run", "may grow", "judged"]);
    for row in rows {
        let measure = row.measure;
        let told = |amount: Option<u64>| amount.map_or_else(|| "none".into(), |amount| measure.told(amount));
        let may = match measure.limit() {
            Limit::Own => "not at all".into(),
            Limit::Level => "by the first run".into(),
            Limit::Within(limit) => format!("by {} in all", measure.told(limit)),
            Limit::Told(_) => "yes".into(),
        };
        let judged = match &row.judged {
            Judged::Flat => "does not grow".into(),
            Judged::Grows(_) => "GROWS".into(),
            Judged::Unknown => "unknown: too few runs".into(),
            Judged::Absent(why) => format!("not measured: {why}"),
            Judged::Told(why) => format!("not judged: {why}"),
        };
        let each = row.each.map_or_else(|| "none".into(), |each| measure.change(each));
        table.add_row([measure.name().into(), told(row.before), told(row.first), told(row.last), each, may, judged]);
    }
    table.to_string()
}

/// A run, in one line, and what is to be said when it did not pass.
pub fn round(round: &Round, of: usize) -> String {
    let Round { number, ended, seconds, .. } = round;
    let mut told = format!("run {number} of {of}: {} in {seconds:.1} s", ended.name());
    if let Some(run) = &round.run {
        told += &format!(", {run}");
    }
    if matches!(ended, Ended::Broken | Ended::Interrupted) {
        told += &format!(", {}", round.status);
    }
    for finding in &round.findings {
        let why = finding.why.replace('\n', "\n          ");
        told += &format!("\n{:>10}  {}\n          {why}", finding.outcome.name(), finding.claim);
    }
    if !round.leftovers.is_empty() {
        told += &format!("\n  left: {}", round.leftovers.join(", "));
    }
    told
}

/// How long the runs took that came to their end; nothing when none did.
pub fn times(rounds: &[Round]) -> Option<String> {
    let mut times: Vec<(f64, usize)> =
        rounds.iter().filter(|round| round.ended.in_order()).map(|round| (round.seconds, round.number)).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (slowest, number) = times.last()?;
    let (low, high) = (times.get((times.len() - 1) / 2)?, times.get(times.len() / 2)?);
    Some(format!("median {:.1} s, slowest {slowest:.1} s (run {number})", f64::midpoint(low.0, high.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::data::Outcome,
        soak::{
            growth::judge,
            measure::{Measure, Measures},
            round::Finding,
        },
    };

    #[test]
    fn every_measure_is_a_row() {
        let before = Measures::from([(Measure::Memory, 1 << 20), (Measure::Leftovers, 0)]);
        let last = Measures::from([(Measure::Memory, 3 << 20), (Measure::Leftovers, 1)]);
        let told = growth(&judge(&before, &[(1, &before), (2, &last)]));
        let row = |name: &str| {
            let line = told.lines().find(|line| line.starts_with(&format!("| {name} "))).unwrap();
            line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        };
        let memory = row("memory in use, without page cache");
        assert_eq!(memory[2..6], ["1.0 MiB", "1.0 MiB", "3.0 MiB", "+2.00 MiB"]);
        assert_eq!(memory[6..8], ["by 256.0 MiB in all", "does not grow"]);
        assert_eq!(row("leftovers")[2..8], ["0", "0", "1", "+1.00", "not at all", "GROWS"]);
        assert!(row("connections tracked")[7].starts_with("not measured: "));
        for measure in Measure::ALL {
            assert_eq!(row(measure.name()).len(), 9, "{measure:?}");
        }
    }

    #[test]
    fn a_run_that_did_not_pass_is_told_with_what_it_found() {
        let finding =
            Finding { claim: "aws metrics labels".into(), outcome: Outcome::Failed, why: "late\nby 2 s".into() };
        let failed = Round {
            number: 2,
            run: Some("1a2b3c4d".into()),
            ended: Ended::Failed,
            seconds: 171.3,
            findings: vec![finding],
            leftovers: vec!["aws-1a2b3c4d".into()],
            ..Round::default()
        };
        let told = "run 2 of 5: FAILED in 171.3 s, 1a2b3c4d\n    failed  aws metrics labels\n          late\n          by 2 s\n  \
                    left: aws-1a2b3c4d";
        assert_eq!(round(&failed, 5), told);
        let status = "signal: 9 (SIGKILL)".to_owned();
        let broken = Round { number: 3, ended: Ended::Broken, status, seconds: 1.0, ..Round::default() };
        assert_eq!(round(&broken, 5), "run 3 of 5: BROKEN in 1.0 s, signal: 9 (SIGKILL)");
    }

    #[test]
    fn only_runs_that_came_to_their_end_have_a_time() {
        let round = |number, ended, seconds| Round { number, ended, seconds, ..Round::default() };
        let mut rounds = vec![round(1, Ended::Broken, 900.0)];
        assert_eq!(times(&rounds), None);
        rounds.extend([round(2, Ended::Passed, 30.0), round(3, Ended::Failed, 10.0)]);
        assert_eq!(times(&rounds).unwrap(), "median 20.0 s, slowest 30.0 s (run 2)");
        rounds.push(round(4, Ended::Unproven, 29.0));
        assert_eq!(times(&rounds).unwrap(), "median 29.0 s, slowest 30.0 s (run 2)");
    }
}
