//! The main job: bring a world up, judge it, report, and clean up.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use kube::Client;
use tokio::process::Command;
use tracing::info;
use trinity_emulators::{aws::canaries::Outcome as Canary, control};

use crate::{
    components::{Store, store::PINNED_OPERATOR},
    failure::{Attempt, Failure, Result},
    judge::{
        cause, fault::{Fault, Tree},
        verdict::{Outcome, Verdict},
    },
    observe::{condition, kinds::Kind, until},
    report::{Phases, bundle, junit, redact::Redactor, table},
    world::{Description, Parts, World, bringup::Wish, ownership::Estate, run_id, sweep},
};

/// Time for a platform to come up, from its root application to all Synced and Healthy.
const PLATFORM: Duration = Duration::from_secs(300);

/// What to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The cloud.
    pub cloud: String,
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// A fault of the catalogue to break a copy with.
    pub fault: Option<String>,
    /// Leave the world running.
    pub keep: bool,
    /// Folder for the report.
    pub report: PathBuf,
}

/// The repository's root: suites and fixtures are there.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Runs the main job; true when everything passed.
///
/// # Errors
/// When the run could not be completed. What it had made is removed.
pub async fn e2e(store: &Store, job: &Job) -> Result<bool> {
    let run = run_id();
    let mut phases = Phases::begin("sweep");
    let estate = Estate::open()?;
    for name in sweep::sweep(&estate, sweep::Which::Abandoned)? {
        info!("removed what was left of world {name}");
    }
    let report = job.report.join(&run);
    fs::create_dir_all(&report).attempting(|| format!("make {}", report.display()))?;

    phases.next("components");
    let parts = Parts::find(store).await?;
    let nextest = store.obtain("cargo-nextest").await?.path.join("cargo-nextest");
    let headline = headline(job, &parts);
    println!("{headline}");
    // Compiling the suites overlaps with the bring-up, which mostly waits for others.
    let compiled = tokio::spawn(compile(nextest.clone()));

    phases.next("cluster");
    let wish = wish(job, &report).await?;
    let world = World::start(&estate, &parts, &wish, &run).await?;
    info!("world {} is up, its folder is {}", world.description.name, world.description.folder.display());
    let outcome = tokio::select! {
        outcome = judge(&world.description, &parts, &nextest, compiled, &mut phases) => outcome,
        failure = world.broken() => Err(failure),
        _ = tokio::signal::ctrl_c() => Err(Failure::new("finish the run", "it was interrupted")),
    };

    let passed = matches!(&outcome, Ok(verdicts) if verdicts.iter().all(Verdict::passed));
    let current = phases.current();
    phases.next("report");
    let described = describe(&world.description, &report, passed).await;
    phases.next("teardown");
    if job.keep {
        let name = world.description.name.clone();
        world.keep().await?;
        info!("world {name} goes on: `trinity-e2e kubeconfig` shows how to reach it, `trinity-e2e down` ends it");
    } else {
        world.stop().await?;
    }
    let verdicts = outcome.map_err(|failure| Failure::new(format!("finish phase {current:?}"), failure))?;
    described?;
    let suites = workspace().join("target/nextest/e2e/junit.xml");
    let ran = verdicts.iter().any(|v| v.group == "secret_path" && !matches!(v.outcome, Outcome::NotRun(_)));
    junit::write(&report.join("junit.xml"), ran.then_some(suites.as_path()), &verdicts)?;
    conclude(&headline, &report, &verdicts, phases.end());
    Ok(passed)
}

/// First and last line of a run: what is tested, and what stands in.
fn headline(job: &Job, parts: &Parts) -> String {
    let operator = &parts.operator;
    let mut line = format!("platform {}, cloud {}, external-secrets {}", job.platform.display(), job.cloud, operator.version);
    if operator.substituted {
        line += &format!(" in the place of {PINNED_OPERATOR}, which no source has: this run says nothing about {PINNED_OPERATOR}");
    }
    if let Some(fault) = &job.fault {
        line += &format!(", broken on purpose: {fault}");
    }
    line
}

/// The platform and the declared cloud, or broken copies of them.
async fn wish(job: &Job, report: &Path) -> Result<Wish> {
    let fixtures = workspace().join("fixtures");
    let worlds = fixtures.join("worlds");
    let platform = job.platform.canonicalize().attempting(|| format!("find the platform {}", job.platform.display()))?;
    let (platform, worlds) = match &job.fault {
        Some(name) => {
            let fault = Fault::read(&fixtures.join("faults"), &job.cloud, name)?;
            let platform = fault.break_copy(Tree::Platform, &platform, &report.join("broken-platform")).await?;
            (platform, fault.break_copy(Tree::Worlds, &worlds, &report.join("broken-worlds")).await?)
        }
        None => (platform, worlds),
    };
    Ok(Wish {
        cloud: job.cloud.clone(),
        platform,
        declared: worlds.join(format!("{}.yaml", job.cloud)),
    })
}

/// Everything between "the API server serves" and the verdicts.
async fn judge(
    world: &Description,
    parts: &Parts,
    nextest: &Path,
    compiled: tokio::task::JoinHandle<Result<()>>,
    phases: &mut Phases,
) -> Result<Vec<Verdict>> {
    let client = world.client().await?;
    phases.next("argo cd");
    let (cloud, argocd) = tokio::join!(world.fill_cloud(), world.install_argocd(&client, &parts.argocd));
    argocd?;
    cloud?;
    phases.next("platform");
    let root = world.plant_root(&client).await?;
    let (mut verdicts, up) = platform(world, &client, &root).await?;
    let suite = "secret_path";
    if !up {
        verdicts.push(Verdict::new(suite, "all claims", Outcome::NotRun("the platform did not come up".into())));
        return Ok(verdicts);
    }
    phases.next("suites");
    compiled.await.attempting(|| "compile the suites".into())??;
    let begun = Instant::now();
    let outcome = match suites(nextest, world).await? {
        true => Outcome::Passed,
        false => Outcome::Failed("see the claims above and in the JUnit file".into()),
    };
    verdicts.push(Verdict {
        took: begun.elapsed(),
        ..Verdict::new(suite, "all claims", outcome)
    });
    Ok(verdicts)
}

/// Waits for the platform, or for the first certain cause why it cannot come up; the canaries fly meanwhile.
async fn platform(world: &Description, client: &Client, root: &str) -> Result<(Vec<Verdict>, bool)> {
    let begun = Instant::now();
    let applications = Kind::Application.within(client, crate::gitops::argocd::NAMESPACE);
    let what = format!("application {root} is Synced and Healthy");
    let up = async {
        tokio::select! {
            up = until(applications, root, &what, PLATFORM, condition::synced_and_healthy) => match up {
                Ok(_) => Ok(Outcome::Passed),
                Err(failure) => Ok(Outcome::Failed(failure.to_string())),
            },
            found = cause::first(client, world) => found.map(|cause| Outcome::Failed(format!("{}: {cause}", cause.name()))),
        }
    };
    let (up, canaries) = tokio::join!(up, world.canaries(client));
    let up = Verdict {
        took: begun.elapsed(),
        ..Verdict::new("platform", format!("{root} comes up, Synced and Healthy"), up?)
    };
    let passed = up.passed();
    let mut verdicts: Vec<Verdict> = canaries?.iter().map(canary).collect();
    verdicts.push(up);
    Ok((verdicts, passed))
}

fn canary(canary: &Canary) -> Verdict {
    let outcome = if canary.held() {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("expected {}, seen {}", canary.expected, canary.seen))
    };
    Verdict::new("canaries", format!("{} → {}", canary.name, canary.expected), outcome)
}

fn cargo(nextest: &Path) -> Command {
    let mut command = Command::new(nextest);
    command
        .args(["nextest", "run", "--package", "suites", "--release", "--profile", "e2e", "--manifest-path"])
        .arg(workspace().join("Cargo.toml"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // Set when the harness itself was started by cargo; the inner cargo must choose for itself.
    for name in ["CARGO", "CARGO_MANIFEST_DIR", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command
}

async fn compile(nextest: PathBuf) -> Result<()> {
    let output = cargo(&nextest).args(["--no-run", "--cargo-quiet"]).output().await.attempting(|| "compile the suites".into())?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new("compile the suites", String::from_utf8_lossy(&output.stderr)))
}

/// Runs the suites against the world; true when all passed.
async fn suites(nextest: &Path, world: &Description) -> Result<bool> {
    let status = cargo(nextest)
        .arg("--cargo-quiet")
        .env("TRINITY_WORLD", world.folder.join("world.json"))
        .status()
        .await
        .attempting(|| "run the suites".into())?;
    Ok(status.success())
}

/// Prints the state of the world, and keeps the evidence when something failed.
async fn describe(world: &Description, report: &Path, passed: bool) -> Result<()> {
    let client = world.client().await?;
    println!("{}", table::components(world));
    println!("{}", table::secrets(&client, world).await);
    let copy = report.join("gateway.jsonl");
    fs::copy(&world.journal, &copy).attempting(|| format!("write {}", copy.display()))?;
    if !passed {
        let control = control::Client::connect(&world.control).attempting(|| "reach the gateway".into())?;
        let mut values = Vec::new();
        for name in ["provider-test-secret", "trinity-canary"] {
            // A secret that is missing is often the very failure; then there is no value to hide.
            values.extend(control.secret(name).await.ok());
        }
        values.push(format!("hello-from-{}-{}", world.cloud, world.run));
        bundle::write(&report.join("bundle"), &client, world, &Redactor::new(values)).await?;
        info!("evidence is in {}", report.join("bundle").display());
    }
    Ok(())
}

/// Prints verdicts and times; the last line is the conclusion.
fn conclude(headline: &str, report: &Path, verdicts: &[Verdict], times: &[(&'static str, Duration)]) {
    println!("{}", table::phases(times));
    let mut counts = [0; 3];
    for verdict in verdicts {
        let (place, word, why) = match &verdict.outcome {
            Outcome::Passed => (0, "passed", String::new()),
            Outcome::Failed(why) => (1, "FAILED", format!("\n        {why}")),
            Outcome::NotRun(why) => (2, "not run", format!(": {why}")),
        };
        counts[place] += 1;
        println!("{word:>8}  {} {}{why}", verdict.group, verdict.claim);
    }
    println!("report: {}", report.join("junit.xml").display());
    println!("{headline}");
    println!("{} passed, {} failed, {} not run", counts[0], counts[1], counts[2]);
}
