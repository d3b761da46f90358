//! Many runs of the main job on one machine, one after the other: whether each comes out as the others do, and whether the
//! machine has after the last one what it had after the first.

mod claims;
mod growth;
mod machine;
mod measure;
mod processes;
mod round;
mod table;
mod trial;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{
    cluster::Backend,
    components::Store,
    exit::Exit,
    failure::{Attempt, Result},
    report::{self, terminal},
    subject::{Job, Subject},
    suite::choice,
    world::{Cloud, nodes::Asked, ownership::Estate},
};
use claims::Unsteady;
use growth::{Judged, Row};
use machine::Machine;
use measure::Measures;
use round::{Ended, FILE, Round};
use trial::{Trial, Tried};

/// What to run, and how often.
#[derive(Clone, Debug)]
pub struct Question {
    /// How many runs.
    pub runs: usize,
    /// The clouds; when none is named, all that the platform has.
    pub clouds: Vec<Cloud>,
    /// Working tree of the platform, or the URL of its repository, which is fetched once.
    pub platform: PathBuf,
    /// Release of External Secrets to test; without one, the pinned release.
    pub operator: Option<String>,
    /// Release of Kubernetes; without one, the chosen one of the component lock.
    pub kubernetes: Option<String>,
    /// Release of Argo CD; without one, the chosen one of the component lock.
    pub argocd: Option<String>,
    /// Which claims are tried.
    pub choice: choice::Asked,
    /// The worlds' nodes, where they shall not be as declared.
    pub nodes: Asked,
    /// What makes the clusters.
    pub backend: Backend,
    /// Folder for reports; the soak makes one of its own in it.
    pub report: PathBuf,
    /// Arguments of all subcommands that each run is given, too.
    pub common: Vec<OsString>,
}

/// The runs of a soak so far.
struct Soak {
    /// Measured before the first.
    before: Measures,
    rounds: Vec<Round>,
    /// Report of the last run that passed; those of earlier ones are gone.
    green: Option<PathBuf>,
}

/// Runs the main job again and again, measures the machine in between, and judges both.
///
/// # Errors
/// When a name means nothing, a run cannot be started, or the machine cannot be measured.
pub async fn run(store: &Store, question: &Question) -> Result<Exit> {
    let job = Job {
        clouds: question.clouds.clone(),
        platform: question.platform.clone(),
        operator: question.operator.clone(),
        nodes: question.nodes,
        backend: question.backend,
        choice: question.choice.clone(),
        ..Job::default()
    };
    let subject = Subject::find(store, &job).await?;
    let reports = report::folder(&question.report, &Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string())?;
    let clouds: Vec<&str> = subject.clouds.iter().map(|cloud| cloud.name()).collect();
    let (platform, clouds) = (question.platform.display(), clouds.join(", "));
    let headline = format!("soak of platform {platform}, clouds {clouds}{}{}", question.nodes, subject.choice);
    terminal::print(format!("{headline}: {} runs", question.runs));
    let program = std::env::current_exe().attempting(|| "find the harness's own program".into())?;
    let trial = Trial { question, subject: &subject, program, reports: &reports };
    let estate = Estate::open()?;
    let machine = Machine { estate: &estate, cache: store.cache(), reports: &reports };
    processes::adopt()?;
    let mut soak = Soak { before: machine.measure()?.measures, rounds: Vec::new(), green: None };
    for number in 1..=question.runs {
        let Some(tried) = trial.run(number).await? else { break };
        if !soak.goes_on_after(tried, &machine, question.runs).await? {
            break;
        }
    }
    Ok(soak.conclude(&headline, question.runs, &reports))
}

impl Soak {
    /// Takes note of a run and of the machine after it; whether another one makes sense.
    async fn goes_on_after(&mut self, tried: Tried, machine: &Machine<'_>, of: usize) -> Result<bool> {
        let Tried { mut round, report, log, interrupted } = tried;
        if round.ended == Ended::Passed
            && let Some(earlier) = std::mem::replace(&mut self.green, report.clone())
        {
            fs::remove_dir_all(&earlier).attempting(|| format!("remove the report {}", earlier.display()))?;
        }
        let first = self.in_order().next().map(|round| &round.after);
        let seen = machine.settled(&growth::levels(&self.before, first)).await?;
        round.after = seen.measures;
        round.leftovers = seen.leftovers;
        if self.rounds.is_empty() {
            round.before = Some(self.before.clone());
        }
        round.append(&machine.reports.join(FILE))?;
        terminal::print(table::round(&round, of));
        let broken = round.ended == Ended::Broken;
        if broken {
            terminal::print(format!("  its last lines, in {}:\n{}", log.display(), trial::last_lines(&log)));
        }
        self.rounds.push(round);
        // What does not let one run begin does not let the next one.
        let began = report.is_some();
        Ok(!interrupted && (began || !broken))
    }

    /// The runs that came to their end, and promise to have left nothing.
    fn in_order(&self) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(|round| round.ended.in_order())
    }

    /// Tells what the runs have shown.
    fn conclude(&self, headline: &str, asked: usize, reports: &Path) -> Exit {
        let after: Vec<(usize, &Measures)> = self.in_order().map(|round| (round.number, &round.after)).collect();
        let rows = growth::judge(&self.before, &after);
        let unsteady = claims::unsteady(&self.rounds);
        terminal::print(table::growth(&rows));
        for Unsteady { told, .. } in &unsteady {
            terminal::print(format!("not the same in all runs: {}", told.replace('\n', "\n  ")));
        }
        for Row { measure, judged, .. } in &rows {
            if let Judged::Grows(seen) = judged {
                terminal::print(format!("  FAILED  {}: {seen}\n          next: {}", measure.name(), measure.next()));
            }
        }
        terminal::print(format!("soak: {}", reports.join(FILE).display()));
        let of = |ended| self.rounds.iter().filter(|round| round.ended == ended).count();
        let mut counts = vec![
            format!("{} passed", of(Ended::Passed)),
            format!("{} failed", of(Ended::Failed)),
            format!("{} unproven", of(Ended::Unproven)),
        ];
        for (ended, word) in [(Ended::Broken, "broken"), (Ended::Interrupted, "interrupted")] {
            if of(ended) > 0 {
                counts.push(format!("{} {word}", of(ended)));
            }
        }
        counts.extend(table::times(&self.rounds));
        let grows = rows.iter().filter(|row| matches!(row.judged, Judged::Grows(_))).count();
        let grows = if grows == 0 { "nothing seen to grow".into() } else { format!("{grows} measures GROW") };
        let (runs, counts) = (self.rounds.len(), counts.join(", "));
        terminal::print(format!(
            "{headline}: {runs} of {asked} runs, {counts}; {} claims not the same in all; {grows}",
            unsteady.len()
        ));
        exit(&self.rounds, asked, &rows, &unsteady)
    }
}

/// How the soak ends: what was found is told before what stood against it, and that before what proves nothing.
fn exit(rounds: &[Round], asked: usize, rows: &[Row], unsteady: &[Unsteady]) -> Exit {
    let any = |ended| rounds.iter().any(|round| round.ended == ended);
    let grows = rows.iter().any(|row| matches!(row.judged, Judged::Grows(_)));
    let unknown = rows.iter().any(|row| row.judged == Judged::Unknown);
    if any(Ended::Failed) || grows || unsteady.iter().any(|claim| claim.silent) {
        Exit::Findings
    } else if any(Ended::Broken) {
        Exit::Environment
    } else if any(Ended::Unproven) || any(Ended::Interrupted) || rounds.len() < asked || unknown {
        Exit::Unproven
    } else {
        Exit::Passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Measure;

    fn rounds(ended: &[Ended]) -> Vec<Round> {
        let round = |(n, ended): (usize, &Ended)| Round { number: n + 1, ended: *ended, ..Round::default() };
        ended.iter().enumerate().map(round).collect()
    }

    /// How a soak of two runs ends, of which nothing was seen to grow.
    fn ends(ended: &[Ended]) -> Exit {
        exit(&rounds(ended), 2, &rows(&[0, 0]), &[])
    }

    fn rows(leftovers: &[u64]) -> Vec<Row> {
        let all = |leftovers: u64| -> Measures {
            let amount = |measure| if measure == Measure::Leftovers { leftovers } else { 9 };
            Measure::ALL.into_iter().map(|measure| (measure, amount(measure))).collect()
        };
        let after: Vec<Measures> = leftovers.iter().map(|leftovers| all(*leftovers)).collect();
        growth::judge(&all(0), &after.iter().enumerate().map(|(n, measures)| (n + 1, measures)).collect::<Vec<_>>())
    }

    #[test]
    fn only_when_all_runs_pass_does_a_soak() {
        assert_eq!(ends(&[Ended::Passed, Ended::Passed]), Exit::Passed);
        assert_eq!(ends(&[Ended::Passed, Ended::Failed]), Exit::Findings);
        assert_eq!(ends(&[Ended::Unproven, Ended::Passed]), Exit::Unproven);
        assert_eq!(ends(&[Ended::Passed, Ended::Interrupted]), Exit::Unproven);
        assert_eq!(ends(&[Ended::Passed, Ended::Broken]), Exit::Environment);
        assert_eq!(ends(&[Ended::Passed]), Exit::Unproven, "the other was not run");
        assert_eq!(ends(&[Ended::Failed, Ended::Broken]), Exit::Findings, "what was found stays found");
        assert_eq!(ends(&[]), Exit::Unproven);
    }

    #[test]
    fn growth_and_a_claim_that_is_left_out_are_findings() {
        let passed = rounds(&[Ended::Passed, Ended::Passed]);
        assert_eq!(exit(&passed, 2, &rows(&[0, 1]), &[]), Exit::Findings);
        assert_eq!(exit(&passed, 2, &rows(&[0]), &[]), Exit::Unproven, "too few were measured");
        let claim = |silent| Unsteady { told: "a".into(), silent };
        assert_eq!(exit(&passed, 2, &rows(&[0, 0]), &[claim(true)]), Exit::Findings);
        // A run in which it was unproven is none that passed.
        assert_eq!(exit(&passed, 2, &rows(&[0, 0]), &[claim(false)]), Exit::Passed);
    }
}
