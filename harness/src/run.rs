//! The main job: bring a world up, judge the platform in it, report, and clean up.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use trinity_emulators::aws::canaries::Outcome as Canary;

use crate::{
    cluster::embedded::preflight,
    components::Store,
    failure::{Attempt, Failure, Result},
    gitops::argocd,
    judge::{
        cause,
        fault::{Fault, Tree},
        outside,
        verdict::{Outcome, Verdict},
    },
    observe::{condition, kinds::Kind, until_all},
    report::{Phases, bundle, conclusion, junit, redact::Redactor, table},
    suite::Suites,
    workspace,
    world::{
        Description, Parts, Run, World,
        bringup::{PLATFORM, Wish},
        ownership::Estate,
        sweep,
    },
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The cloud.
    pub cloud: String,
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// Release of External Secrets to test; without one, the pinned release where a source has it.
    pub operator: Option<String>,
    /// A fault of the catalogue to break a copy with.
    pub fault: Option<String>,
    /// Leave the world running.
    pub keep: bool,
    /// Folder for reports; the run makes one of its own in it.
    pub report: PathBuf,
}

/// Removes what killed runs have left, and says so.
///
/// # Errors
/// What could not be removed.
pub fn tidy(estate: &Estate, store: &Store) -> Result<()> {
    for name in sweep::sweep(estate, sweep::Which::Abandoned)? {
        info!("removed what was left of {name}");
    }
    for name in store.cache().sweep()? {
        info!("removed the half-made artifact {name}");
    }
    Ok(())
}

/// Runs the main job; true when nothing failed.
///
/// # Errors
/// When the run could not even begin, or something of it could not be removed.
pub async fn e2e(store: &Store, job: &Job) -> Result<bool> {
    let mut phases = Phases::begin("sweep");
    let subject = Subject::find(store, job)?;
    let estate = Estate::open()?;
    preflight::check(estate.root(), &store.cache().blobs())?;
    tidy(&estate, store)?;
    let passed = Run::during(&estate, async |run| conduct(store, job, &subject, &estate, run, &mut phases).await).await;
    // A world whose making was interrupted has no owner any more.
    tidy(&estate, store)?;
    passed
}

async fn conduct(
    store: &Store,
    job: &Job,
    subject: &Subject,
    estate: &Estate,
    run: &str,
    phases: &mut Phases,
) -> Result<bool> {
    let report = job.report.join(run);
    let report = fs::create_dir_all(&report)
        .and_then(|()| report.canonicalize())
        .attempting(|| format!("make {}", report.display()))?;
    phases.next("components");
    let (parts, nextest) = uninterrupted(async {
        let parts = Parts::find(store, job.operator.as_deref()).await?;
        Ok((parts, store.obtain("cargo-nextest").await?.path.join("cargo-nextest")))
    })
    .await?;
    let headline = headline(job, &parts);
    println!("{headline}");
    let suites = Suites::new(nextest, &report)?;
    // Compiling the suites overlaps with the bring-up, which mostly waits for others.
    let compiling = suites.clone();
    let compiled = tokio::spawn(async move { compiling.compile().await });

    phases.next("cluster");
    let mut verdicts = parts.operator.not_run();
    let values = values(&job.cloud);
    let wish = subject.wish(&job.cloud, &report).await?;
    match uninterrupted(World::start(estate, &parts, &wish, run, &report)).await {
        Ok(world) => {
            info!("world {} is up, its folder is {}", world.description.name, world.description.folder.display());
            let outcome = tokio::select! {
                outcome = uninterrupted(judge(&world.description, &parts, &values, &suites, compiled, phases, &mut verdicts)) => outcome,
                failure = world.broken() => Err(failure),
            };
            if let Err(failure) = outcome {
                verdicts.push(unfinished(phases, &failure));
            }
            phases.next("report");
            verdicts.push(outside::verdict(&world.description.journal)?);
            let described = describe(&world.description, &values, &report, verdicts.iter().any(Verdict::failed)).await;
            phases.next("teardown");
            if job.keep {
                let name = world.description.name.clone();
                world.keep().await?;
                info!(
                    "world {name} goes on: `trinity-e2e kubeconfig` shows how to reach it, `trinity-e2e down` ends it"
                );
            } else {
                world.stop().await?;
            }
            described?;
        }
        Err(failure) => verdicts.push(unfinished(phases, &failure)),
    }
    for group in ["canaries", "platform", "secret_path", "outside"] {
        if !verdicts.iter().any(|v| v.group == group) {
            verdicts.push(Verdict::new(group, "all claims", Outcome::NotRun("the run ended before".into())));
        }
    }
    junit::write(&report.join("junit.xml"), suites.junit(), &verdicts, &parts.provenance)?;
    conclusion::print(&headline, &report, &verdicts, phases.end());
    Ok(!verdicts.iter().any(Verdict::failed))
}

/// First and last line of a run: what is tested, and what stands in.
fn headline(job: &Job, parts: &Parts) -> String {
    let mut line = format!("platform {}, cloud {}, {}", job.platform.display(), job.cloud, parts.operator);
    if let Some(fault) = &job.fault {
        line += &format!(", broken on purpose: {fault}");
    }
    line
}

/// Does `work`, unless somebody ends the run by SIGINT or SIGTERM.
async fn uninterrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
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

/// Secret values of one run, by the names that declared clouds use. They are made anew for every run and are in the
/// cloud's backend and this process only.
fn values(cloud: &str) -> BTreeMap<String, String> {
    use rsa::rand_core::{OsRng, RngCore};
    let unique = || format!("{:016x}", OsRng.next_u64());
    let message = serde_json::json!({"message": format!("hello-from-{cloud}-{}", unique())});
    BTreeMap::from([("provider_test".to_owned(), message.to_string()), ("canary".to_owned(), unique())])
}

/// What the job names. A name that means nothing is refused before anything is made.
struct Subject {
    platform: PathBuf,
    worlds: PathBuf,
    fault: Option<Fault>,
}

impl Subject {
    fn find(store: &Store, job: &Job) -> Result<Self> {
        let fixtures = workspace().join("fixtures");
        let platform = job.platform.canonicalize().map_err(|e| {
            Failure::new(format!("find the platform {}", job.platform.display()), e)
                .next("--platform names a folder with the platform's Git tree")
        })?;
        argocd::root_file(&platform, &job.cloud, None)?;
        if let Some(version) = &job.operator {
            store.lock.operator_release(version)?;
        }
        let read = |name: &String| Fault::read(&fixtures.join("faults"), &job.cloud, name);
        Ok(Self { platform, worlds: fixtures.join("worlds"), fault: job.fault.as_ref().map(read).transpose()? })
    }

    /// The platform and the declared cloud, or broken copies of them in the folder `report`.
    async fn wish(&self, cloud: &str, report: &Path) -> Result<Wish> {
        let (platform, worlds) = match &self.fault {
            Some(fault) => (
                fault.break_copy(Tree::Platform, &self.platform, &report.join("broken-platform")).await?,
                fault.break_copy(Tree::Worlds, &self.worlds, &report.join("broken-worlds")).await?,
            ),
            None => (self.platform.clone(), self.worlds.clone()),
        };
        Ok(Wish { cloud: cloud.into(), platform, declared: worlds.join(format!("{cloud}.yaml")) })
    }
}

/// Everything between "the API server serves" and the verdicts.
async fn judge(
    world: &Description,
    parts: &Parts,
    values: &BTreeMap<String, String>,
    suites: &Suites,
    compiled: tokio::task::JoinHandle<Result<()>>,
    phases: &mut Phases,
    verdicts: &mut Vec<Verdict>,
) -> Result<()> {
    let client = world.client().await?;
    phases.next("argo cd");
    let cloud = async {
        world.fill_cloud(values).await?;
        world.canaries(&client).await
    };
    let (canaries, ()) = tokio::try_join!(cloud, world.install_argocd(&client, &parts.argocd))?;
    verdicts.extend(canaries.iter().map(canary));
    phases.next("platform");
    let verdict = platform(world, &client).await?;
    let up = !verdict.failed();
    verdicts.push(verdict);
    let (group, claim) = ("secret_path", "all claims");
    if !up {
        verdicts.push(Verdict::new(group, claim, Outcome::NotRun("the platform did not come up".into())));
        return Ok(());
    }
    phases.next("suites");
    compiled.await.attempting(|| "compile the suites".into())??;
    let begun = Instant::now();
    let outcome = match suites.run(world).await? {
        true => Outcome::Passed,
        false => Outcome::Failed("see the claims above and in the JUnit file".into()),
    };
    verdicts.push(Verdict::new(group, claim, outcome).took(begun.elapsed()));
    Ok(())
}

/// Waits for the platform, or for the first certain cause why it cannot come up.
async fn platform(world: &Description, client: &Client) -> Result<Verdict> {
    let begun = Instant::now();
    let root = argocd::plant(client, &world.root).await?;
    let what = format!("{root} and all its applications are Synced and Healthy");
    let claim = condition::tree_synced_and_healthy(format!("{}/{root}", argocd::NAMESPACE));
    let outcome = tokio::select! {
        up = until_all(Kind::Application.all(client), &what, PLATFORM, claim) => match up {
            Ok(()) => Outcome::Passed,
            Err(failure) => Outcome::Failed(failure.to_string()),
        },
        found = cause::first(client, world) => Outcome::Failed(found?.to_string()),
    };
    Ok(Verdict::new("platform", what, outcome).took(begun.elapsed()))
}

fn canary(canary: &Canary) -> Verdict {
    let outcome = if canary.held() {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("expected {}, seen {}", canary.expected, canary.seen))
    };
    Verdict::new("canaries", format!("{} → {}", canary.name, canary.expected), outcome)
}

/// Prints the state of the world, and keeps the evidence when something failed.
async fn describe(world: &Description, values: &BTreeMap<String, String>, report: &Path, failed: bool) -> Result<()> {
    let client = world.client().await?;
    println!("{}", table::components(&world.components));
    println!("{}", table::secrets(&client, world).await);
    let redactor = Redactor::new(values.values().cloned());
    bundle::journal(report, world, &redactor)?;
    if failed {
        let folder = report.join("bundle");
        bundle::write(&folder, &client, world, &redactor).await?;
        info!("evidence is in {}", folder.display());
    }
    Ok(())
}
