//! One world of a run, from bring-up to teardown, and everything that is judged in it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use kube::Client;
use tokio::time::timeout;
use tracing::info;
use trinity_emulators::{
    canary::{Finding, Outcome as Canary},
    grafana::declared::Declared,
    journal, seed,
};

use crate::{
    clock::Clock,
    failure::{Attempt, Failure, Result},
    gitops::{
        rendered::Rendered,
        roots::{self, Roots},
    },
    interrupt::uninterrupted,
    judge::{
        cause::{self, Cause},
        destructive,
        leaks::{
            self,
            sentinel::unique,
            sources::{self, Values},
        },
        metrics, missing, outside,
        verdict::{Outcome, Verdict},
        waves,
    },
    replay::recording::{Material, Seen},
    report::{
        Phases, bundle,
        data::SecretState,
        junit,
        phases::Phase,
        redact::Redactor,
        story::{Known, Story},
        table,
    },
    rerun::Rerun,
    suite::{
        Choice, Suites,
        choice::{Half, METRICS},
        flake,
    },
    world::{
        Cloud, Description, Parts, Retain, World,
        bringup::{PLATFORM, Wish},
        machine,
        ownership::Estate,
        stall::Stalls,
    },
};

/// The suites' compilation, which all trials of a run wait for.
pub type Compiled = Shared<BoxFuture<'static, Result<()>>>;

/// Time in which a world that was broken off has to answer before its objects are read.
const ALIVE: Duration = Duration::from_secs(5);

/// Time in which the world tells that a process has died of which somebody has seen that it does not answer. Nothing tells that
/// none has.
const TOLD: Duration = Duration::from_secs(1);

/// Time for the gateway of a world to tell what secret values it was given.
const GIVEN: Duration = Duration::from_secs(20);

/// How a verdict about suites begins that have run nothing; what was to run follows.
pub const NO_TESTS: &str = "nextest has run no test of ";

/// Group of the verdict of a run that was broken off.
pub(crate) const BROKEN_OFF: &str = "run";

/// Suites about Argo CD alone, which no cloud has a part in: of several worlds of a run, one tries each.
const OF_NO_CLOUD: [&str; 2] = ["drift", "waves"];

/// The suites that world number `place` of so many leaves to the others.
pub fn left_to_others(place: usize, worlds: usize) -> Vec<&'static str> {
    OF_NO_CLOUD.into_iter().enumerate().filter(|(n, _)| n % worlds != place).map(|(_, suite)| suite).collect()
}

/// The suites of a world. Those about metrics wait for samples most of the time, and run beside the others.
pub struct Halves {
    /// The platform at rest: before all others, which stir it.
    pub rest: Suites,
    /// Secrets and identities.
    pub secrets: Suites,
    /// Metrics.
    pub metrics: Suites,
}

impl Halves {
    const fn of(&self, half: Half) -> &Suites {
        match half {
            Half::Rest => &self.rest,
            Half::Secrets => &self.secrets,
            Half::Metrics => &self.metrics,
        }
    }

    /// nextest's JUnit files of those that have run.
    fn junit(&self) -> impl Iterator<Item = &Path> {
        [Half::Rest, Half::Secrets, Half::Metrics]
            .map(|half| self.of(half).junit())
            .into_iter()
            .filter(|file| file.exists())
    }
}

/// The world of a trial.
enum Stage {
    /// One that the trial has made.
    Own(World),
    /// One that was kept, and will be.
    Kept(Description),
}

impl Stage {
    const fn description(&self) -> &Description {
        match self {
            Self::Own(world) => &world.description,
            Self::Kept(description) => description,
        }
    }

    /// Ends only when the machine fails the world, or a process of it dies that this process watches, with its last words.
    async fn broken(&self, clock: Clock) -> Failure {
        match self {
            Self::Own(world) => world.broken(clock).await,
            Self::Kept(description) => machine::fails(&description.folder, clock).await,
        }
    }
}

/// What a trial needs of its run.
pub struct Trial<'a> {
    /// Where worlds live.
    pub estate: &'a Estate,
    /// What they are made from.
    pub parts: &'a Parts,
    /// The platform, or the broken copy of it.
    pub rendered: Cow<'a, Rendered>,
    /// The run.
    pub run: &'a str,
    /// By what its times are.
    pub clock: Clock,
    /// The world.
    pub wish: Wish,
    /// Whether the platform is broken on purpose: when the cause is found, the rest is of no interest.
    pub broken: bool,
    /// Socket of the Prometheus behind Grafana Cloud, of a new world.
    pub engine: Option<&'a Path>,
    /// nextest with the suites, once for each time that they run.
    pub rounds: Vec<Halves>,
    /// What of them and of the harness's own claims was chosen.
    pub choice: &'a Choice,
    /// The kept world to use, instead of a new one.
    pub kept: Option<Rerun>,
    /// Suites that another world tries, or that are not about this platform.
    pub elsewhere: Vec<&'static str>,
    /// Their compilation.
    pub compiled: Compiled,
    /// Whether the world shall outlive the run.
    pub keep: Retain,
    /// Folder for what is reported of this world.
    pub report: PathBuf,
}

/// What is known of a world after its trial.
pub struct Record {
    /// Its cloud.
    pub cloud: Cloud,
    /// All verdicts.
    pub verdicts: Vec<Verdict>,
    /// Its name; nothing when it never came up.
    pub world: Option<String>,
    /// The platform's secrets.
    pub secrets: Vec<SecretState>,
    /// What happened in it.
    pub story: Story,
    /// Phases with their times.
    pub phases: Vec<Phase>,
    /// Most memory that the world has used at once (bytes); nothing when it was never measured.
    pub memory: Option<u64>,
    /// The JUnit files of the suites that have run.
    pub junit: Vec<PathBuf>,
    /// How people reach the world, when it goes on.
    pub reached: Option<String>,
    /// All secret values that the world has had.
    pub values: Values,
}

impl Record {
    /// Whether the suites have sent load and samples through the world.
    pub fn sends(&self) -> bool {
        self.verdicts
            .iter()
            .any(|v| v.claim.starts_with(METRICS) && matches!(v.outcome, Outcome::Passed | Outcome::Failed(_)))
    }
}

impl Trial<'_> {
    /// Brings the world up, judges the platform in it, and takes the world down; a kept one is judged alone.
    ///
    /// # Errors
    /// When the world could not be removed or reported; what was seen of the platform is in the verdicts.
    pub async fn hold(self) -> Result<Record> {
        let cloud = self.wish.cloud;
        let mut phases = Phases::by(self.clock, cloud.name(), "cluster");
        let mut verdicts = Vec::new();
        let (mut secrets, mut memory) = (Vec::new(), None);
        let (mut name, mut story, mut reached) = (None, Story::default(), None);
        let (values, mut known) = self.values().await?;
        let mut seen = None;
        let stalls = Stalls::now();
        match self.stage().await {
            Ok(world) => {
                let description = world.description().clone();
                info!("world {} is up, its folder is {}", description.name, description.folder.display());
                name = Some(description.name.clone());
                let (stopped, mut died) = tokio::select! {
                    outcome = uninterrupted(self.judge(&description, &values, &mut phases, &mut verdicts, &mut seen)) => {
                        (outcome.err(), None)
                    }
                    failure = world.broken(self.clock) => (None, Some(failure)),
                };
                if stopped.is_some() || verdicts.iter().any(Verdict::failed) {
                    // The connections of a process end before its death is told.
                    died = died.or(timeout(TOLD, world.broken(self.clock)).await.ok());
                }
                let stalled = stalls.since();
                let doubtful = died.as_ref().or(stalled.as_ref());
                if let Some(failure) = doubtful {
                    verdicts.iter_mut().for_each(|verdict| doubt(verdict, failure));
                }
                let broken_off = died.as_ref().or(stopped.as_ref());
                verdicts.extend(broken_off.map(|failure| unfinished(&phases, failure)));
                let answers = broken_off.is_none() || answers(&description).await;
                phases.next("report");
                let calls = self.calls(&description)?;
                verdicts.extend([outside::verdict(&calls, &description.missing), destructive::verdict(&calls)]);
                let given = learn(&mut known, &description).await;
                let all = Redactor::knowing(&known);
                let described = self.describe(&description, &all, answers, &verdicts).await;
                let material = Material {
                    world: &description,
                    rendered: &self.rendered,
                    rerun: self.kept.as_ref(),
                    seen,
                    answers,
                    stirred: phases.begun("suites"),
                    doubtful,
                    verdicts: &verdicts,
                    redactor: &all,
                };
                if let Err(failure) = material.record(&self.report).await {
                    // What was found is worth more than that it can be judged again.
                    info!("{cloud}: there is no recording of this world: {failure}");
                }
                let told = Known {
                    clock: self.clock,
                    redactor: all,
                    secrets: described.as_ref().cloned().unwrap_or_default(),
                    verdicts: verdicts.clone(),
                    stirred: phases.begun("suites"),
                    calls,
                };
                let told = told.story(&description).await;
                if answers && self.choice.has("leaks") {
                    phases.next("leaks");
                    verdicts.push(self.leaks(&description, &known, given).await);
                }
                phases.next("teardown");
                memory = description.memory_peak();
                // A world without one of its processes is good for nothing.
                let mut kept = died.is_none() && self.keep.keeps(&verdicts);
                match world {
                    Stage::Own(world) if kept => {
                        world.keep().await?;
                        info!(
                            "world {} goes on: `trinity-e2e kubeconfig {0}` shows how to reach it, `trinity-e2e down` ends it",
                            description.name
                        );
                    }
                    Stage::Own(world) => world.stop().await?,
                    Stage::Kept(_) => kept = true,
                }
                if kept {
                    reached = Some(format!("world {}:\n{}", description.name, description.reached()));
                }
                (secrets, story) = (described?, told?);
            }
            Err(failure) => verdicts.push(unfinished(&phases, &failure)),
        }
        // Of several suites, those that were chosen may all be tried by another world.
        let ended = self.choice.left_out().is_none() || verdicts.iter().any(|v| v.group == BROKEN_OFF);
        for group in ["canaries", "platform", waves::GROUP, "metrics", "suites", "outside", "lifecycle", "leaks"] {
            if ended && self.choice.has(group) && !verdicts.iter().any(|v| v.group == group) {
                verdicts.push(Verdict::new(group, "all claims", Outcome::NotRun("the run ended before".into())));
            }
        }
        // What a container says may quote what it was given.
        let redactor = Redactor::knowing(&known);
        let verdicts = verdicts.into_iter().map(|verdict| verdict.of(cloud).cleaned(&redactor)).collect();
        let junit = self.rounds.iter().flat_map(Halves::junit).map(Path::to_owned).collect();
        let phases = phases.end();
        Ok(Record { cloud, world: name, verdicts, secrets, story, phases, memory, junit, reached, values: known })
    }

    /// The secret values to give to the world, and all that it will have had then. A kept world has them.
    async fn values(&self) -> Result<(BTreeMap<String, String>, Values)> {
        if let Some(Rerun { world, .. }) = &self.kept {
            let known = sources::values(world).await.map_err(|failure| {
                failure.next(
                    "if this machine was started anew since, `trinity-e2e down` removes what is left of the world",
                )
            })?;
            return Ok((BTreeMap::new(), known));
        }
        let values = values(&self.wish)?;
        let known = values.iter().map(|(name, value)| (name.clone(), [value.clone()].into())).collect();
        Ok((values, known))
    }

    async fn stage(&self) -> Result<Stage> {
        if let Some(rerun) = &self.kept {
            return Ok(Stage::Kept(rerun.world.clone()));
        }
        let engine = self.engine.unwrap_or(Path::new(""));
        let world = World::start(self.estate, self.parts, &self.wish, engine, self.run, &self.report);
        uninterrupted(world).await.map(Stage::Own)
    }

    /// The calls to the outside that this trial is about.
    fn calls(&self, world: &Description) -> Result<Vec<journal::Line>> {
        let mut calls = journal::read(&world.journal).attempting(|| "judge the calls to the outside".into())?;
        if let Some(rerun) = &self.kept {
            calls.retain(|call| call.time >= rerun.since);
        }
        Ok(calls)
    }

    /// Everything between "the API server serves" and the verdicts.
    async fn judge(
        &self,
        world: &Description,
        values: &BTreeMap<String, String>,
        phases: &mut Phases,
        verdicts: &mut Vec<Verdict>,
        seen: &mut Option<Seen>,
    ) -> Result<()> {
        let client = world.client().await?;
        phases.next(if self.kept.is_some() { "canaries" } else { "argo cd" });
        let canaries = if self.kept.is_some() {
            world.canaries(&client).await?
        } else {
            let cloud = async {
                world.fill_cloud(values).await?;
                world.canaries(&client).await
            };
            tokio::try_join!(cloud, world.install_argocd(&client, &self.parts.argocd))?.0
        };
        verdicts.extend(canaries.iter().map(canary));
        phases.next("platform");
        let verdict = self.platform(world, &client).await?;
        let up = !verdict.failed();
        verdicts.push(verdict);
        *seen = Some(Seen::of(&client).await);
        if self.choice.is_idle() {
            return Ok(());
        }
        if !up {
            let why = Outcome::NotRun("the platform did not come up".into());
            verdicts.push(Verdict::new("suites", "all claims", why));
            return Ok(());
        }
        phases.next("metrics");
        let waves = waves::verdict(&self.rendered, world, &client);
        // While the first samples are waited for, nobody stirs the world.
        let (waves, metrics, rest) = tokio::try_join!(waves, self.metrics(world, &client), self.rest(1, world))?;
        let arrive = match &metrics.outcome {
            Outcome::Passed => Ok(()),
            Outcome::NotRun(why) => Err(why.clone()),
            _ => Err("samples do not arrive".to_owned()),
        };
        let found = self.broken && (waves.failed() || metrics.failed());
        verdicts.extend([waves, metrics]);
        verdicts.extend(rest);
        if found {
            let why = Outcome::NotRun("the platform is broken on purpose, and the cause is found".into());
            verdicts.push(Verdict::new("suites", "all claims", why));
            return Ok(());
        }
        phases.next("suites");
        for round in 1..=self.rounds.len() {
            if round > 1 {
                verdicts.extend(self.rest(round, world).await?);
            }
            let (secrets, samples) = tokio::try_join!(self.tried(Half::Secrets, round, world), async {
                match &arrive {
                    Ok(()) => self.tried(Half::Metrics, round, world).await,
                    Err(why) => Ok(self.filterset(Half::Metrics).map(|_| {
                        let claim = self.claim(Half::Metrics, round);
                        Verdict::new("suites", claim, Outcome::NotRun(why.clone()))
                    })),
                }
            })?;
            verdicts.extend(secrets.into_iter().chain(samples));
        }
        if self.rounds.len() > 1 && self.choice.has_suites() {
            verdicts.push(self.flakes(world)?);
        }
        Ok(())
    }

    /// Whether the platform stays as it is; not asked of one that is broken on purpose.
    async fn rest(&self, round: usize, world: &Description) -> Result<Option<Verdict>> {
        if self.broken { Ok(None) } else { self.tried(Half::Rest, round, world).await }
    }

    /// The tests of a half that are tried in this world.
    fn filterset(&self, half: Half) -> Option<String> {
        self.choice.filterset(half, self.wish.cloud, &self.elsewhere)
    }

    fn claim(&self, half: Half, round: usize) -> String {
        let claim = self.choice.claim(half);
        match self.rounds.len() {
            1 => claim.into(),
            all => format!("{claim}, round {round} of {all}"),
        }
    }

    /// Runs suites; their verdict is one, and nothing when none of their tests has a name that was chosen.
    async fn tried(&self, half: Half, round: usize, world: &Description) -> Result<Option<Verdict>> {
        let Some((halves, filter)) = self.rounds.get(round - 1).zip(self.filterset(half)) else { return Ok(None) };
        self.compiled.clone().await?;
        let begun = Instant::now();
        let ran = halves.of(half).run(world, &filter).await?;
        let outcome = match (ran.tests, ran.failed.is_empty()) {
            (0, _) if self.choice.names_tests() => return Ok(None),
            (0, _) => Outcome::Failed(format!("{NO_TESTS}{filter}")),
            (_, true) => Outcome::Passed,
            (_, false) => Outcome::Failed(ran.failed.join("\n")),
        };
        Ok(Some(Verdict::new("suites", self.claim(half, round), outcome).took(begun.elapsed())))
    }

    /// Whether tests failed in some rounds and not in others.
    fn flakes(&self, world: &Description) -> Result<Verdict> {
        let round = |halves: &Halves| Ok(flake::round(&halves.junit().map(junit::read).collect::<Result<Vec<_>>>()?));
        let rounds = self.rounds.iter().map(round).collect::<Result<Vec<_>>>()?;
        Ok(flake::verdict(&rounds, &self.calls(world)?))
    }

    /// Waits for the platform, or for the first certain cause why it cannot come up.
    async fn platform(&self, world: &Description, client: &Client) -> Result<Verdict> {
        let begun = Instant::now();
        let (roots, up) = match &self.kept {
            None => planted(world, client, PLATFORM).await?,
            Some(rerun) => rerun.followed(client).await?,
        };
        Ok(came_up(world, &roots, up).took(begun.elapsed()))
    }

    /// Waits for the samples of the world, or for the certain cause why they cannot arrive. Those from before a rerun do not count.
    async fn metrics(&self, world: &Description, client: &Client) -> Result<Verdict> {
        let begun = Instant::now();
        let claim = "samples arrive at Grafana Cloud with the world's labels, from targets that are up";
        let outcome = if metrics::wanted(client).await? {
            let since = match self.kept {
                Some(_) => world.grafana_control()?.latest_write().await,
                None => Ok(0),
            };
            let since = since.attempting(|| "ask for the latest write".into())?;
            match metrics::arrive(client, world, since).await {
                Ok(None) => Outcome::Passed,
                Ok(Some(cause)) => Outcome::Failed(cause.to_string()),
                Err(failure) => Outcome::Failed(failure.to_string()),
            }
        } else {
            Outcome::NotRun(format!("the platform has no ExternalSecret {}/{}", metrics::NAMESPACE, metrics::SECRET))
        };
        Ok(Verdict::new("metrics", claim, outcome).took(begun.elapsed()))
    }

    /// Whether a secret value has got out, if all that the world was `given` are known.
    async fn leaks(&self, world: &Description, known: &Values, given: Result<()>) -> Verdict {
        let begun = Instant::now();
        let searched = async {
            given?;
            sources::world(known, world, Some(&self.report)).await
        };
        leaks::verdict(searched.await).took(begun.elapsed())
    }

    /// The state of the world's secrets; and the evidence, when something failed or was broken off. Of a world that does not
    /// answer any more, it is what its processes have said.
    async fn describe(
        &self,
        world: &Description,
        redactor: &Redactor,
        answers: bool,
        verdicts: &[Verdict],
    ) -> Result<Vec<SecretState>> {
        bundle::journal(&self.report, world, redactor)?;
        let folder = self.report.join("bundle");
        let evidence = verdicts.iter().any(|verdict| verdict.failed() || verdict.group == BROKEN_OFF);
        if evidence {
            bundle::logs(&folder, world, redactor)?;
            info!("evidence is in {}", folder.display());
        }
        if !answers {
            return Ok(Vec::new());
        }
        let client = world.client().await?;
        if evidence {
            bundle::objects(&folder, &client, redactor).await?;
        }
        Ok(table::secrets(&client, world).await)
    }
}

/// Adds the values that the world was given meanwhile, by suites for example, to those that are known.
async fn learn(known: &mut Values, world: &Description) -> Result<()> {
    let given = timeout(GIVEN, sources::values(world)).await;
    let given = given.attempting(|| format!("learn the secret values of world {}", world.name)).flatten()?;
    for (name, values) in given {
        known.entry(name).or_default().extend(values);
    }
    Ok(())
}

/// Whether the API server of a world that may have lost a process still answers.
async fn answers(world: &Description) -> bool {
    let asked = async { world.api_ready(&world.client().await?).await };
    timeout(ALIVE, asked).await.is_ok_and(|answer| answer.is_ok())
}

/// What breaks a run off says nothing about the platform: neither that it works nor that it does not.
fn unfinished(phases: &Phases, failure: &Failure) -> Verdict {
    Verdict::new(BROKEN_OFF, format!("phase {:?} completes", phases.current()), Outcome::Unproven(failure.to_string()))
}

/// What was seen to fail in a world that its machine has failed, or of which a process has died, may have failed because of that.
pub(crate) fn doubt(verdict: &mut Verdict, failure: &Failure) {
    if let Outcome::Failed(why) = &verdict.outcome {
        let first = failure.seen().lines().next().unwrap_or_default();
        verdict.outcome = Outcome::Unproven(format!("{why}\nbut the world may be why: {first}"));
    }
}

/// Secret values of one world, by the names that declared clouds use. They are made anew for every run and are in the
/// cloud's backend and this process only. Those that the declared cloud has names for and the harness none are made up. What
/// is `unique` in them is searched for wherever a run leaves something; URL and user number of Grafana Cloud have nothing
/// unique, because they are the declared ones.
pub(crate) fn values(wish: &Wish) -> Result<BTreeMap<String, String>> {
    let token = || format!("glc_{}{}", unique(), unique());
    let message = serde_json::json!({"message": format!("hello-from-{}-{}", wish.cloud, unique())});
    let grafana = Declared::read(&wish.grafana).attempting(|| "find out which Grafana Cloud it is".into())?;
    let prometheus = grafana.prometheus();
    let file = wish.declared.display();
    let declared = fs::read_to_string(&wish.declared).attempting(|| format!("read {file}"))?;
    let mut values: BTreeMap<String, String> = seed::names(&declared).map(|name| (name.to_owned(), unique())).collect();
    values.extend(
        [
            ("provider_test", message.to_string()),
            ("grafana_url", format!("{}/push", prometheus.prometheus_remote_endpoint)),
            ("grafana_username", prometheus.prometheus_user_id.to_string()),
            ("grafana_password", token()),
            ("grafana_next", token()),
            ("grafana_reader", token()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(values)
}

/// Plants the platform's root and waits until all of it has come up. Returns what it consists of, and what is
/// excused, or the cause why it cannot.
///
/// # Errors
/// When the root cannot be planted.
pub(crate) async fn planted(
    world: &Description,
    client: &Client,
    deadline: Duration,
) -> Result<(Roots, Result<BTreeSet<String>, Cause>)> {
    let roots = roots::plant(client, &world.root).await?;
    let what = all_of(&roots);
    let settled = missing::settled(client, world, &roots, &what, deadline);
    let up = cause::explained(client, world, Timestamp::UNIX_EPOCH, settled).await;
    Ok((roots, up))
}

/// The verdict on a platform of which this was seen: what is excused, or the cause why it cannot come up.
pub(crate) fn came_up(world: &Description, roots: &Roots, up: Result<BTreeSet<String>, Cause>) -> Verdict {
    let (outcome, excused) = match up {
        Ok(excused) if world.substituted.is_empty() => (Outcome::Passed, excused),
        Ok(excused) => (Outcome::Unproven("substituted: not all that runs is what the platform says".into()), excused),
        Err(cause) => (Outcome::Failed(cause.to_string()), BTreeSet::new()),
    };
    let but: String = excused.iter().map(|excused| format!(", but for {excused}{}", why(excused))).collect();
    Verdict::new("platform", all_of(roots) + &but, outcome)
}

/// What has to be so of a platform.
pub(crate) fn all_of(roots: &Roots) -> String {
    format!("{roots} and all its applications are Synced and Healthy")
}

/// Why something was excused.
fn why(excused: &str) -> &'static str {
    match excused.starts_with("Application ") {
        true => " and what waits for it: nobody has what it is made from",
        false => ", whose image nobody has",
    }
}

/// An accepted canary does not fail the platform: it takes all proof away.
fn canary(canary: &Canary) -> Verdict {
    let outcome = match canary.finding() {
        Finding::Behaved => Outcome::Passed,
        Finding::Permissive => Outcome::Unproven("the cloud accepted it".into()),
        Finding::Different => Outcome::Failed(format!("expected {}, seen {}", canary.expected, canary.seen)),
    };
    Verdict::new("canaries", format!("{} → {}", canary.name, canary.expected), outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_run_off_is_no_failure_of_the_platform() {
        let died = Failure::new("keep the world running", "etcd died (signal SIGKILL); its last lines:\n    ready");
        let unfinished = unfinished(&Phases::begin("aws", "platform"), &died);
        assert_eq!(unfinished.claim, "phase \"platform\" completes");
        assert_eq!(unfinished.outcome, Outcome::Unproven(died.to_string()));
    }

    #[test]
    fn what_fails_in_a_broken_world_is_unproven() {
        let died = Failure::new("keep the world running", "etcd died (signal SIGKILL); its last lines:\n    ready");
        let doubted = |outcome| {
            let mut verdict = Verdict::new("platform", "it comes up", outcome);
            doubt(&mut verdict, &died);
            verdict.outcome
        };
        let Outcome::Unproven(why) = doubted(Outcome::Failed("no leader".into())) else { panic!("it is a failure") };
        assert!(
            why.starts_with("no leader\n") && why.ends_with("etcd died (signal SIGKILL); its last lines:"),
            "{why}"
        );
        for other in [Outcome::Passed, Outcome::NotRun("none".into()), Outcome::Unproven("let in".into())] {
            assert_eq!(doubted(other.clone()), other);
        }
    }

    #[test]
    fn one_world_tries_each_suite_of_no_cloud() {
        for worlds in 1..=3 {
            let left: Vec<&str> = (0..worlds).flat_map(|place| left_to_others(place, worlds)).collect();
            for suite in OF_NO_CLOUD {
                assert_eq!(left.iter().filter(|left| **left == suite).count(), worlds - 1, "{suite} of {worlds}");
            }
        }
    }
}
