//! The journal alone: so many secrets are read from clouds that are played without a world, and the journals are judged.

use std::path::Path;

use rsa::rand_core::{OsRng, RngCore};

use super::{
    Question,
    emulator::Emulator,
    limits,
    ramp::Stage,
    records::Records,
    row::{self, Row},
    steps::{self, STEPS},
    told::Told,
};
use crate::{
    failure::{Attempt, Result},
    folder,
    interrupt::uninterrupted,
    judge::verdict::{Conclusion, Outcome, Verdict},
    report::{self, Phases, conclusion, terminal},
    world::Cloud,
};

/// Reads the secrets, measures, and prints what it has cost.
///
/// # Errors
/// When a cloud cannot be played or asked, or a report cannot be written.
pub(super) async fn run(question: &Question) -> Result<Conclusion> {
    let mut phases = Phases::begin("run", "clouds");
    let mut clouds = if question.clouds.is_empty() { Cloud::ALL.to_vec() } else { question.clouds.clone() };
    clouds.sort();
    clouds.dedup();
    let report = report::folder(&question.report, &format!("{:08x}", OsRng.next_u32()))?;
    let names: Vec<&str> = clouds.iter().map(|cloud| cloud.name()).collect();
    let headline = format!("journals of {} secrets, clouds {}", question.secrets, names.join(", "));
    terminal::print(&headline);
    let worlds = uninterrupted(async {
        let mut emulators = Vec::new();
        for cloud in &clouds {
            let own = report.join(cloud.name());
            folder::new_private(&own).attempting(|| format!("make {}", own.display()))?;
            emulators.push(Emulator::start(*cloud, &own.join("cloud")).await?);
        }
        phases.next("requests");
        let worlds = climb(&emulators, question.secrets, &report).await?;
        for emulator in emulators {
            emulator.stop().await?;
        }
        Ok(worlds)
    })
    .await?;
    phases.next("report");
    let stages: Vec<&[Stage]> = worlds.iter().map(Vec::as_slice).collect();
    let rows: Vec<Row> = row::rows(&stages);
    let mut verdicts = calls(&stages);
    verdicts.extend(limits::verdicts(&rows, false));
    Told { headline: &headline, rows: &rows, verdicts: &verdicts }.tell(&report)?;
    Ok(conclusion::print(&headline, &report, &verdicts, &phases.end()))
}

/// The steps of each cloud, one cloud after the other in each.
async fn climb(emulators: &[Emulator], secrets: usize, report: &Path) -> Result<Vec<Vec<Stage>>> {
    let mut worlds: Vec<Vec<Stage>> = emulators.iter().map(|_| Vec::new()).collect();
    for step in 0..=STEPS {
        let before = emulators.iter().map(Emulator::read).collect::<Result<Vec<_>>>()?;
        emulators.iter().for_each(Emulator::forget_peaks);
        let mut asked = Vec::new();
        for (place, emulator) in emulators.iter().enumerate() {
            let secrets = if step == 0 { 0 } else { steps::share(secrets, step, place, emulators.len()) };
            asked.push(emulator.ask(secrets).await?);
        }
        let after = emulators.iter().map(Emulator::read).collect::<Result<Vec<_>>>()?;
        let samples = before.into_iter().zip(after);
        for (((emulator, stages), times), (before, after)) in emulators.iter().zip(&mut worlds).zip(asked).zip(samples)
        {
            let report = report.join(emulator.cloud.name()).join(format!("step-{step}"));
            let journal = emulator.journal.clone();
            let judged = Records { journal, cloud: emulator.cloud, world: None, report }.apart().await?;
            stages.push(Stage { secrets: times.len(), times, before, after, judged });
        }
    }
    Ok(worlds)
}

/// What the last judgements say, and whether the journals have all requests.
fn calls(worlds: &[&[Stage]]) -> Vec<Verdict> {
    let last = worlds.iter().filter_map(|stages| stages.last());
    let mut verdicts: Vec<Verdict> = last.flat_map(|stage| stage.judged.verdicts.clone()).collect();
    let lost = worlds.iter().find_map(|stages| {
        let (asked, values) = (stages.iter().map(|stage| stage.secrets).sum::<usize>(), stages.last()?.judged.values);
        (values < asked).then(|| format!("{asked} values were read, and the journal has {values} of these reads"))
    });
    let outcome = lost.map_or(Outcome::Passed, Outcome::Failed);
    verdicts.push(Verdict::new("journal", "every read of a secret is in a journal", outcome));
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::row::tests::stage;

    #[test]
    fn a_read_that_one_journal_has_lost_is_a_failure() {
        let outcome = |worlds: &[&[Stage]]| calls(worlds).pop().unwrap().outcome;
        let whole = [stage(0, &[], 1), stage(2, &[1.0, 2.0], 1)];
        let mut less = whole.clone();
        less[1].judged.values = 1;
        assert_eq!(outcome(&[&whole, &whole]), Outcome::Passed);
        let Outcome::Failed(why) = outcome(&[&whole, &less]) else { panic!("nobody misses it") };
        assert!(why.starts_with("2 values were read") && why.contains("has 1 of"), "{why}");
    }
}
