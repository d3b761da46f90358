//! One world of a run, from bring-up to teardown, and everything that is judged in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use trinity_emulators::{
    canary::{Finding, Outcome as Canary},
    grafana::declared::Declared,
    journal, seed,
};

use crate::{
    components::Store,
    failure::{Attempt, Failure, Result},
    gitops::roots::{self, Roots},
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
    report::{Phases, bundle, redact::Redactor, table},
    suite::Suites,
    world::{
        Cloud, Description, Parts, World,
        bringup::{PLATFORM, Wish},
        ownership::Estate,
    },
};

/// The suites' compilation, which all trials of a run wait for.
pub type Compiled = Shared<BoxFuture<'static, Result<()>>>;

/// What the suites about metrics are together.
const METRICS: &str = "all claims about metrics";

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

/// What a trial needs of its run.
pub struct Trial<'a> {
    /// Where worlds live.
    pub estate: &'a Estate,
    /// What they are made from.
    pub parts: &'a Parts,
    /// Where that came from.
    pub store: &'a Store,
    /// The run.
    pub run: &'a str,
    /// The world.
    pub wish: Wish,
    /// Whether the platform is broken on purpose: when the cause is found, the rest is of no interest.
    pub broken: bool,
    /// Socket of the Prometheus behind Grafana Cloud.
    pub engine: &'a Path,
    /// nextest with the suites.
    pub suites: Halves,
    /// Suites that another world tries, or that are not about this platform.
    pub elsewhere: Vec<&'static str>,
    /// Their compilation.
    pub compiled: Compiled,
    /// Whether the world shall outlive the run.
    pub keep: bool,
    /// Folder for what is reported of this world.
    pub report: PathBuf,
}

/// What is known of a world after its trial.
pub struct Record {
    /// Its cloud.
    pub cloud: Cloud,
    /// All verdicts.
    pub verdicts: Vec<Verdict>,
    /// Rows of the table of secrets.
    pub secrets: Vec<[String; 4]>,
    /// Phases with their times.
    pub phases: Vec<(&'static str, Duration)>,
    /// Most memory that the world has used at once (bytes); nothing when it was never measured.
    pub memory: Option<u64>,
    /// The suites' JUnit files, when they have run.
    pub junit: [PathBuf; 3],
    /// All secret values that the world has had.
    pub values: Values,
}

impl Record {
    /// Whether the suites have sent load and samples through the world.
    pub fn sends(&self) -> bool {
        self.verdicts.iter().any(|v| v.claim == METRICS && matches!(v.outcome, Outcome::Passed | Outcome::Failed(_)))
    }
}

impl Trial<'_> {
    /// Brings the world up, judges the platform in it, and takes the world down.
    ///
    /// # Errors
    /// When the world could not be removed or reported; what was seen of the platform is in the verdicts.
    pub async fn hold(self) -> Result<Record> {
        let cloud = self.wish.cloud;
        let mut phases = Phases::begin(cloud.name(), "cluster");
        let mut verdicts = Vec::new();
        let (mut secrets, mut memory) = (Vec::new(), None);
        let values = values(&self.wish)?;
        let mut known: Values = values.iter().map(|(name, value)| (name.clone(), [value.clone()].into())).collect();
        let redactor = Redactor::new(values.values().cloned());
        match uninterrupted(World::start(self.estate, self.parts, &self.wish, self.engine, self.run, &self.report))
            .await
        {
            Ok(world) => {
                let description = world.description.clone();
                info!("world {} is up, its folder is {}", description.name, description.folder.display());
                let outcome = tokio::select! {
                    outcome = uninterrupted(self.judge(&description, &values, &mut phases, &mut verdicts)) => outcome,
                    failure = world.broken() => Err(failure),
                };
                if let Err(failure) = outcome {
                    verdicts.push(unfinished(&phases, &failure));
                }
                phases.next("report");
                let calls =
                    journal::read(&description.journal).attempting(|| "judge the calls to the outside".into())?;
                verdicts.extend([outside::verdict(&calls, &description.missing), destructive::verdict(&calls)]);
                let described = self.describe(&description, &redactor, verdicts.iter().any(Verdict::failed)).await;
                phases.next("leaks");
                verdicts.push(self.leaks(&description, &mut known).await);
                memory = world.memory_peak();
                phases.next("teardown");
                if self.keep {
                    world.keep().await?;
                    info!(
                        "world {} goes on: `trinity-e2e kubeconfig {0}` shows how to reach it, `trinity-e2e down` ends it",
                        description.name
                    );
                } else {
                    world.stop().await?;
                }
                secrets = described?;
            }
            Err(failure) => verdicts.push(unfinished(&phases, &failure)),
        }
        for group in ["canaries", "platform", waves::GROUP, "metrics", "suites", "outside", "lifecycle", "leaks"] {
            if !verdicts.iter().any(|v| v.group == group) {
                verdicts.push(Verdict::new(group, "all claims", Outcome::NotRun("the run ended before".into())));
            }
        }
        // What a container says may quote what it was given.
        let verdicts = verdicts.into_iter().map(|verdict| verdict.of(cloud).cleaned(&redactor)).collect();
        let Halves { rest, secrets: of_secrets, metrics } = &self.suites;
        let junit = [rest, of_secrets, metrics].map(|suites| suites.junit().to_owned());
        let phases = phases.end();
        Ok(Record { cloud, verdicts, secrets, phases, memory, junit, values: known })
    }

    /// Everything between "the API server serves" and the verdicts.
    async fn judge(
        &self,
        world: &Description,
        values: &BTreeMap<String, String>,
        phases: &mut Phases,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<()> {
        let client = world.client().await?;
        phases.next("argo cd");
        let cloud = async {
            world.fill_cloud(values).await?;
            world.canaries(&client).await
        };
        let (canaries, ()) = tokio::try_join!(cloud, world.install_argocd(&client, &self.parts.argocd))?;
        verdicts.extend(canaries.iter().map(canary));
        phases.next("platform");
        let verdict = platform(world, &client).await?;
        let up = !verdict.failed();
        verdicts.push(verdict);
        if !up {
            let why = Outcome::NotRun("the platform did not come up".into());
            verdicts.push(Verdict::new("suites", "all claims", why));
            return Ok(());
        }
        phases.next("metrics");
        let waves = waves::verdict(self.store, self.parts, world, &client);
        // While the first samples are waited for, nobody stirs the world.
        let (waves, metrics, rest) = tokio::try_join!(waves, metrics(world, &client), self.rest(world))?;
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
        self.compiled.clone().await?;
        let others = [&["metrics", "quiescence"], self.elsewhere.as_slice()].concat().join("|");
        let filter = format!("not binary(/^({others})$/)");
        let (secrets, samples) =
            tokio::try_join!(run(&self.suites.secrets, world, "all claims about secrets", &filter), async {
                match arrive {
                    Ok(()) => run(&self.suites.metrics, world, METRICS, "binary(metrics)").await,
                    Err(why) => Ok(Verdict::new("suites", METRICS, Outcome::NotRun(why))),
                }
            })?;
        verdicts.extend([secrets, samples]);
        Ok(())
    }

    /// Whether the platform stays as it is; not asked of one that is broken on purpose.
    async fn rest(&self, world: &Description) -> Result<Option<Verdict>> {
        if self.broken {
            return Ok(None);
        }
        self.compiled.clone().await?;
        run(&self.suites.rest, world, "a platform at rest stays as it is", "binary(quiescence)").await.map(Some)
    }

    /// Whether a secret value has got out. `known` gets the values that the world was given meanwhile.
    async fn leaks(&self, world: &Description, known: &mut Values) -> Verdict {
        let begun = Instant::now();
        let searched = async {
            for (name, values) in sources::values(world).await? {
                known.entry(name).or_default().extend(values);
            }
            sources::world(known, world, Some(&self.report)).await
        };
        leaks::verdict(searched.await).took(begun.elapsed())
    }

    /// The state of the world's secrets; and the evidence, when something failed.
    async fn describe(&self, world: &Description, redactor: &Redactor, failed: bool) -> Result<Vec<[String; 4]>> {
        let client = world.client().await?;
        let secrets = table::secrets(&client, world).await;
        bundle::journal(&self.report, world, redactor)?;
        if failed {
            let folder = self.report.join("bundle");
            bundle::write(&folder, &client, world, redactor).await?;
            info!("evidence is in {}", folder.display());
        }
        Ok(secrets)
    }
}

/// Runs suites; their verdict is one.
async fn run(suites: &Suites, world: &Description, claim: &str, filter: &str) -> Result<Verdict> {
    let begun = Instant::now();
    let failed = suites.run(world, filter).await?;
    let outcome = match failed.is_empty() {
        true => Outcome::Passed,
        false => Outcome::Failed(failed.join("\n")),
    };
    Ok(Verdict::new("suites", claim, outcome).took(begun.elapsed()))
}

/// Does `work`, unless somebody ends the run by SIGINT or SIGTERM.
pub async fn uninterrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let attempted = || "listen for signals".to_owned();
    let mut interrupt = signal(SignalKind::interrupt()).attempting(attempted)?;
    let mut terminate = signal(SignalKind::terminate()).attempting(attempted)?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => Err(Failure::new("finish the run", "it was interrupted (SIGINT)")),
        _ = terminate.recv() => Err(Failure::new("finish the run", "it was ended (SIGTERM)")),
    }
}

fn unfinished(phases: &Phases, failure: &Failure) -> Verdict {
    Verdict::new("run", format!("phase {:?} completes", phases.current()), Outcome::Failed(failure.to_string()))
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

/// What has to be so of a platform.
fn all_of(roots: &Roots) -> String {
    format!("{roots} and all its applications are Synced and Healthy")
}

/// Waits for the platform, or for the first certain cause why it cannot come up.
async fn platform(world: &Description, client: &Client) -> Result<Verdict> {
    let begun = Instant::now();
    let (roots, up) = planted(world, client, PLATFORM).await?;
    let (outcome, excused) = match up {
        Ok(excused) if world.substituted.is_empty() => (Outcome::Passed, excused),
        Ok(excused) => (Outcome::Unproven("substituted: not all that runs is what the platform says".into()), excused),
        Err(cause) => (Outcome::Failed(cause.to_string()), BTreeSet::new()),
    };
    let but: String = excused.iter().map(|excused| format!(", but for {excused}{}", why(excused))).collect();
    Ok(Verdict::new("platform", all_of(&roots) + &but, outcome).took(begun.elapsed()))
}

/// Why something was excused.
fn why(excused: &str) -> &'static str {
    match excused.starts_with("Application ") {
        true => " and what waits for it: nobody has what it is made from",
        false => ", whose image nobody has",
    }
}

/// Waits for the samples of the world, or for the certain cause why they cannot arrive.
async fn metrics(world: &Description, client: &Client) -> Result<Verdict> {
    let begun = Instant::now();
    let claim = "samples arrive at Grafana Cloud with the world's labels, from targets that are up";
    let outcome = if metrics::wanted(client).await? {
        match metrics::arrive(client, world, 0).await {
            Ok(None) => Outcome::Passed,
            Ok(Some(cause)) => Outcome::Failed(cause.to_string()),
            Err(failure) => Outcome::Failed(failure.to_string()),
        }
    } else {
        Outcome::NotRun(format!("the platform has no ExternalSecret {}/{}", metrics::NAMESPACE, metrics::SECRET))
    };
    Ok(Verdict::new("metrics", claim, outcome).took(begun.elapsed()))
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
    fn one_world_tries_each_suite_of_no_cloud() {
        for worlds in 1..=3 {
            let left: Vec<&str> = (0..worlds).flat_map(|place| left_to_others(place, worlds)).collect();
            for suite in OF_NO_CLOUD {
                assert_eq!(left.iter().filter(|left| **left == suite).count(), worlds - 1, "{suite} of {worlds}");
            }
        }
    }
}
