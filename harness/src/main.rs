//! The command line.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use nix::unistd::geteuid;
use trinity_e2e::{
    alone::Alone,
    cluster::{
        Backend,
        embedded::{init, namespaces},
        kind::{Tools, doctor},
    },
    components::{Options, Product, Store, debian},
    example,
    failure::{Attempt, Failure, Result},
    faults::{self, Trials},
    judge::{
        leaks::sources,
        verdict::{Conclusion, Outcome},
    },
    lint, matrix, plan,
    report::{difference, progress},
    run::{Job, e2e},
    secrets::{self, Action},
    selftest,
    sizing::{self, Question},
    upgrade, verify, workspace,
    world::{
        Cloud, Description, Run, kept,
        nodes::Asked,
        outside::Outside,
        ownership::Estate,
        relay,
        sweep::{Which, sweep},
    },
};
use trinity_emulators::{gateway::Bound, registry::Upstream};

/// Would this multi-cloud secrets platform work, and if not, what exactly is wrong?
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Task,
}

#[derive(Parser)]
struct Common {
    /// Folder of artifacts that this machine cannot or should not download.
    #[arg(long, env = "TRINITY_MIRROR", global = true)]
    mirror: Option<PathBuf>,
    /// Say more.
    #[arg(long, short, global = true)]
    verbose: bool,
}

impl Common {
    /// The arguments that say the same to another process; the mirror is found by its absolute path from anywhere.
    fn again(&self) -> Vec<OsString> {
        let mirror = self.mirror.iter().map(|mirror| std::path::absolute(mirror).unwrap_or_else(|_| mirror.clone()));
        let mirror = mirror.flat_map(|mirror| ["--mirror".into(), mirror.into_os_string()]);
        mirror.chain(self.verbose.then(|| "--verbose".into())).collect()
    }
}

#[derive(Subcommand)]
enum Task {
    /// The main job: brings a world of each cloud up, judges the platform, reports and cleans up.
    E2e {
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
        /// Working tree of the platform (its uncommitted changes count), or the URL of its repository, with ?ref= for a branch or
        /// a tag.
        #[arg(long, env = "TRINITY_PLATFORM", default_value_os_t = example())]
        platform: PathBuf,
        /// Leave the worlds running; `down` ends them.
        #[arg(long)]
        keep: bool,
        /// Test this release of External Secrets instead of the one that the platform pins.
        #[arg(long)]
        operator: Option<String>,
        /// Test on this release of Kubernetes.
        #[arg(long)]
        kubernetes: Option<String>,
        /// Test with this release of Argo CD.
        #[arg(long)]
        argocd: Option<String>,
        /// Break a copy of the platform or of its cloud with this fault of the catalogue, or with <cloud>/<fault> for one
        /// cloud; can be repeated, with one fault for a cloud.
        #[arg(long)]
        fault: Vec<String>,
        #[command(flatten)]
        nodes: Asked,
        /// What makes the clusters.
        #[arg(long, value_enum, default_value_t)]
        backend: Backend,
        /// Where Docker cannot run privileged containers for lack of a capability: give it a default runtime that leaves it out.
        #[arg(long)]
        fix_docker: bool,
        /// Let something that only answers run in the place of images that nobody has, so that the rest can come up. Such a run
        /// is never a pass.
        #[arg(long)]
        stand_ins: bool,
        /// Folder for reports.
        #[arg(long, default_value_os_t = workspace().join("target/e2e"))]
        report: PathBuf,
    },
    /// Tells what a platform consists of, what will be played for it, and what cannot be run or judged here; exit code 2 when
    /// there is such
    Plan {
        /// Working tree of the platform.
        #[arg(env = "TRINITY_PLATFORM", default_value_os_t = example())]
        platform: PathBuf,
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
    },
    /// Tells before anything runs whether the nodes have room for all Pods of the platform; exit code 1 when not.
    Capacity {
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
        /// Working tree of the platform.
        #[arg(long, env = "TRINITY_PLATFORM", default_value_os_t = example())]
        platform: PathBuf,
        #[command(flatten)]
        nodes: Asked,
    },
    /// Tries the faults of the catalogue on running worlds, and shows which are found and as what.
    Faults {
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
        /// Only faults whose <cloud>/<name> contains this; can be repeated.
        #[arg(long)]
        filter: Vec<String>,
        /// Each fault in one cloud only, spread over the clouds.
        #[arg(long)]
        spread: bool,
        /// How often, in each world, nothing is broken first, and nothing may be found.
        #[arg(long, default_value_t = 1)]
        clean: u32,
        /// Working tree of the platform.
        #[arg(long, env = "TRINITY_PLATFORM", default_value_os_t = example())]
        platform: PathBuf,
        /// Folder for reports.
        #[arg(long, default_value_os_t = workspace().join("target/faults"))]
        report: PathBuf,
    },
    /// Runs the platform on combinations of releases that cover every pair of them, and tells what has changed since the last time
    Matrix {
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
        /// Working tree of the platform.
        #[arg(long, env = "TRINITY_PLATFORM", default_value_os_t = workspace().join("fixtures/platforms/trinity"))]
        platform: PathBuf,
        /// Only this release of Kubernetes; can be repeated. Without, all in the component lock.
        #[arg(long)]
        kubernetes: Vec<String>,
        /// Only this release of Argo CD; can be repeated. Without, all in the component lock.
        #[arg(long)]
        argocd: Vec<String>,
        /// Only this release of External Secrets; can be repeated. Without, all in the component lock.
        #[arg(long)]
        operator: Vec<String>,
        /// Tell the cells and what each is for, and run nothing.
        #[arg(long)]
        dry_run: bool,
        /// File with the last result of every cell.
        #[arg(long, default_value_os_t = workspace().join("target/matrix/results.json"))]
        results: PathBuf,
        /// Folder for the reports of the runs.
        #[arg(long, default_value_os_t = workspace().join("target/matrix"))]
        report: PathBuf,
    },
    /// Tries an upgrade on running worlds, and the way back: what it would do to the platform's users
    ///
    /// Every release is one of the component lock. Kubernetes goes one minor release at a time, and there is no way back, as
    /// upstream has it. Clusters are embedded ones.
    Upgrade {
        /// What gets another release.
        #[arg(value_enum, default_value_t)]
        product: Product,
        /// Release to begin with; by default the one that the platform pins, or that worlds have.
        #[arg(long)]
        from: Option<String>,
        /// Release to go to.
        #[arg(long)]
        to: String,
        /// When that is not safe, try the releases in between, and tell the first that is not.
        #[arg(long)]
        bisect: bool,
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
        /// Working tree of the platform.
        #[arg(long, env = "TRINITY_PLATFORM", default_value_os_t = example())]
        platform: PathBuf,
        /// Folder for reports.
        #[arg(long, default_value_os_t = workspace().join("target/upgrade"))]
        report: PathBuf,
    },
    /// Judges the platform on clusters that somebody else runs, without a write to any of them
    Verify {
        /// Cloud and kubeconfig of a cluster, as <cloud>=<file>; can be repeated. `docs/verify.yaml` has the rights it needs.
        #[arg(long, required = true, num_args = 1.., value_parser = verify::cluster)]
        kubeconfig: Vec<(Cloud, PathBuf)>,
        /// For how many seconds nothing may move.
        #[arg(long, default_value_t = 60)]
        watch: u64,
        /// Folder for reports.
        #[arg(long, default_value_os_t = workspace().join("target/verify"))]
        report: PathBuf,
    },
    /// Finds what is wrong with a platform's files, without running anything; exit code 1 when something is.
    Lint {
        /// Working tree of the platform.
        #[arg(env = "TRINITY_PLATFORM", default_value_os_t = example())]
        platform: PathBuf,
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
        /// Judge by this release of External Secrets instead of the pinned one. Repeated, it tells what the upgrade from the
        /// first to the next would break.
        #[arg(long)]
        operator: Vec<String>,
    },
    /// Plays one cloud on this machine's loopback, for clients that find it there under its real host names.
    Emulators {
        /// The cloud.
        #[arg(long, value_enum)]
        cloud: Cloud,
        /// Port on the loopback; 443 is what unchanged clients use.
        #[arg(long, default_value_t = 8443)]
        port: u16,
        /// Address of the metadata server (GCP), for example 169.254.169.254:80.
        #[arg(long)]
        metadata: Option<SocketAddr>,
        /// What stands in the cloud; by default that of the example platform.
        #[arg(long)]
        seed: Option<PathBuf>,
        /// File with the values of secrets, by the names that the seed uses; without it they are made up.
        #[arg(long)]
        values: Option<PathBuf>,
        /// Issuer whose service-account tokens are accepted; without it one is made up, with its private key.
        #[arg(long, requires = "keys")]
        issuer: Option<String>,
        /// File with the issuer's key set, as `kubectl get --raw /openid/v1/jwks` prints it.
        #[arg(long, requires = "issuer")]
        keys: Option<PathBuf>,
        /// Folder for certificates, values, journal and control socket; by default target/emulators/<cloud>.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Compares the verdicts of two runs, for example of two backends; exit code 1 when they differ.
    Compare {
        /// Folder of a run's report.
        one: PathBuf,
        /// Folder of another one's.
        other: PathBuf,
    },
    /// Everything that must pass in CI.
    Test {
        /// Only tests whose name contains this.
        filter: Vec<String>,
    },
    /// Searches a kept world for secret values outside of where they belong; exit code 1 when it finds one.
    Leaks {
        /// Name of the world; not needed when there is one.
        world: Option<String>,
        /// Folder of reports to search, too.
        #[arg(long)]
        report: Option<PathBuf>,
    },
    /// Prints the path of a kept world's kubeconfig.
    Kubeconfig {
        /// Name of the world; not needed when there is one.
        world: Option<String>,
    },
    /// What a platform's workflow for its secret backends does, through the public API of a cloud that is played here.
    Secrets {
        #[command(subcommand)]
        action: Action,
    },
    /// Ends kept worlds and removes every trace of them.
    Down,
    /// Removes what killed runs have left.
    Sweep,
    /// The image of a node of the backend kind.
    NodeImage {
        #[command(subcommand)]
        action: NodeImage,
    },
    /// Takes back what `e2e --fix-docker` has done.
    RestoreDocker,
    /// Third-party programs and images.
    Components {
        #[command(subcommand)]
        action: Components,
    },
    /// Plays the internet for a world (used by the harness itself).
    #[command(hide = true)]
    Gateway {
        config: PathBuf,
        /// Network namespace in which images are pulled that the world's own registry does not have.
        #[arg(long)]
        outside: Option<PathBuf>,
    },
    /// Passes a Unix socket on to a TCP port (used by the harness itself).
    #[command(hide = true)]
    Relay { socket: PathBuf, server: SocketAddr },
    /// Enters a world's namespaces (used by the harness itself).
    #[command(hide = true)]
    Namespaces { plan: PathBuf },
    /// Runs as a world's first process (used by the harness itself).
    #[command(hide = true)]
    Init { plan: PathBuf },
}

#[derive(Subcommand)]
enum Components {
    /// Shows the component lock.
    List,
    /// Gets components and images into the cache.
    Fetch {
        /// Their names in the component lock. Without, everything but other releases of Kubernetes and Argo CD, which a run gets
        /// when it asks for them.
        name: Vec<String>,
    },
    /// Hashes everything in the cache again.
    Verify,
}

#[derive(Subcommand)]
enum NodeImage {
    /// Builds it from components and Debian packages, gives it to Docker, and prints its name.
    Build,
}

/// Exit code of a run that proves nothing, or not all.
const UNPROVEN: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // These two must have one thread: they make namespaces.
    let outcome = match &cli.command {
        Task::Namespaces { plan } => namespaces::run(plan),
        Task::Init { plan } => init::run(plan).map(|()| ExitCode::SUCCESS),
        _ => run(cli),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn run(cli: Cli) -> Result<ExitCode> {
    progress::show(cli.common.verbose);
    let store = || Store::open(Options { mirror: cli.common.mirror.clone(), ..Options::default() });
    match cli.command {
        Task::Components { action } => components(&store()?, action).await,
        Task::E2e {
            cloud,
            platform,
            operator,
            kubernetes,
            argocd,
            keep,
            fault,
            nodes,
            backend,
            fix_docker,
            stand_ins,
            report,
        } => {
            let job = Job {
                clouds: cloud,
                platform,
                operator,
                faults: fault,
                nodes,
                backend,
                fix_docker,
                stand_ins,
                keep,
                report,
            };
            let store = store()?.choosing(kubernetes.as_deref(), argocd.as_deref())?;
            Ok(concluded(e2e(&store, &job).await?))
        }
        Task::Faults { cloud, filter, spread, clean, platform, report } => {
            let trials = Trials { clouds: cloud, filters: filter, spread, clean, platform, report };
            Ok(concluded(faults::run(&store()?, &trials).await?))
        }
        Task::Matrix { cloud, platform, kubernetes, argocd, operator, dry_run, results, report } => {
            let question = matrix::Question {
                clouds: cloud,
                platform,
                kubernetes,
                argocd,
                operators: operator,
                dry: dry_run,
                results,
                report,
                common: cli.common.again(),
            };
            Ok(concluded(matrix::run(&store()?, &question).await?))
        }
        Task::Upgrade { product, from, to, bisect, cloud, platform, report } => {
            let question = upgrade::Question { product, clouds: cloud, platform, from, to, bisect, report };
            Ok(concluded(upgrade::run(store()?, &question).await?))
        }
        Task::Verify { kubeconfig, watch, report } => {
            let question = verify::Question { clusters: kubeconfig, watch: Duration::from_secs(watch), report };
            Ok(concluded(verify::run(&question).await?))
        }
        Task::Plan { platform, cloud } => {
            let whole = plan::answer(&store()?, &plan::Question { clouds: cloud, platform }).await?;
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(UNPROVEN) })
        }
        Task::Capacity { cloud, platform, nodes } => {
            Ok(exit(sizing::answer(&store()?, &Question { clouds: cloud, platform, nodes }).await?))
        }
        Task::Lint { platform, cloud, operator } => {
            let question = lint::Question { clouds: cloud, platform, operators: operator };
            Ok(exit(lint::answer(&store()?, &question).await?))
        }
        Task::Emulators { cloud, port, metadata, seed, values, issuer, keys, folder } => {
            let alone = Alone {
                cloud,
                port,
                metadata,
                seed,
                values,
                issuer: issuer.zip(keys),
                folder: folder.unwrap_or_else(|| workspace().join(format!("target/emulators/{cloud}"))),
            };
            alone.play().await?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Compare { one, other } => compare(&one, &other),
        Task::Test { filter } => Ok(exit(selftest::run(&store()?, &filter).await?)),
        Task::Leaks { world, report } => {
            leaks(&kept::find(&Estate::open()?, world.as_deref(), None)?, report.as_deref()).await
        }
        Task::Kubeconfig { world } => kubeconfig(world.as_deref()),
        Task::Secrets { action } => secrets::run(&action).await.map(|()| ExitCode::SUCCESS),
        Task::Down => remove(&store()?, Which::AbandonedAndKept),
        Task::Sweep => remove(&store()?, Which::Abandoned),
        Task::NodeImage { action: NodeImage::Build } => {
            let tools = Tools::find(&store()?).await?;
            println!("{}", tools.image);
            Ok(ExitCode::SUCCESS)
        }
        Task::RestoreDocker => doctor::restore().await.map(|()| ExitCode::SUCCESS),
        Task::Gateway { config, outside } => gateway(&config, outside.as_deref(), store).await,
        Task::Relay { socket, server } => relay::run(&socket, server).await.map(|()| ExitCode::SUCCESS),
        Task::Namespaces { .. } | Task::Init { .. } => Ok(ExitCode::FAILURE),
    }
}

fn concluded(conclusion: Conclusion) -> ExitCode {
    match conclusion {
        Conclusion::Passed => ExitCode::SUCCESS,
        Conclusion::Failed => ExitCode::FAILURE,
        Conclusion::Unproven => ExitCode::from(UNPROVEN),
    }
}

const fn exit(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn components(store: &Store, action: Components) -> Result<ExitCode> {
    match action {
        Components::List => {
            for c in &store.lock.component {
                println!("{:28} {:10} {}", c.name, c.version, c.licence);
            }
            for i in &store.lock.image {
                println!("{:60} {}", i.reference, i.licence);
            }
            for (name, version) in &store.lock.debian.packages {
                println!("{name:28} {version:28} Debian {}", store.lock.debian.suite);
            }
            Ok(ExitCode::SUCCESS)
        }
        Components::Fetch { name } => {
            // Only root has control groups to be found in, when this is killed.
            let fetched = if geteuid().is_root() {
                Run::during(&Estate::open()?, async |_| fetch(store, &name).await).await?
            } else {
                fetch(store, &name).await?
            };
            Ok(exit(fetched))
        }
        Components::Verify => {
            let broken = store.verify()?;
            if broken.is_empty() {
                println!("every cached file is what it was");
                return Ok(ExitCode::SUCCESS);
            }
            Err(Failure::new("verify the cache", format!("these had changed and were removed: {}", broken.join(", ")))
                .next("the next run gets them again"))
        }
    }
}

/// Gets these components, or every one, and says from where; true when nothing is missing that a run needs.
async fn fetch(store: &Store, names: &[String]) -> Result<bool> {
    debian::machine(&store.lock.debian).await?;
    let mut whole = true;
    for (name, outcome) in store.fetch(names).await? {
        match outcome {
            Ok(origin) => println!("{name:60} {origin}"),
            Err(failure) if store.lock.image(&name).is_ok_and(|image| image.optional) => {
                println!("{name:60} not available, and optional\n  {failure}");
            }
            Err(failure) => {
                whole = false;
                println!("{name:60} not available\n  {failure}");
            }
        }
    }
    Ok(whole)
}

fn compare(one: &Path, other: &Path) -> Result<ExitCode> {
    let (claims, differences) = difference::between(one, other)?;
    for difference in &differences {
        println!("{difference}");
    }
    println!("{claims} claims, {} came out differently", differences.len());
    Ok(exit(differences.is_empty()))
}

async fn leaks(world: &Description, report: Option<&Path>) -> Result<ExitCode> {
    let begun = Instant::now();
    let searched = sources::world(&sources::values(world).await?, world, report).await?;
    let extent = format!("{searched}, {:.1} s", begun.elapsed().as_secs_f64());
    let outcome = searched.outcome();
    match &outcome {
        Outcome::Failed(why) => println!("FAILED  {}: {extent}\n{why}", world.name),
        _ => println!("passed  {}: {extent}", world.name),
    }
    Ok(exit(outcome == Outcome::Passed))
}

fn kubeconfig(wanted: Option<&str>) -> Result<ExitCode> {
    let world = kept::find(&Estate::open()?, wanted, None)?;
    println!("{}", world.kubeconfig.display());
    eprintln!("export KUBECONFIG={}\n{} get applications -A", world.kubeconfig.display(), world.kubectl.display());
    Ok(ExitCode::SUCCESS)
}

fn remove(store: &Store, which: Which) -> Result<ExitCode> {
    let mut removed = sweep(&Estate::open()?, which)?;
    removed.extend(store.cache().sweep()?);
    if removed.is_empty() {
        println!("there was nothing to remove");
    }
    for name in removed {
        println!("removed {name}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn gateway(config: &Path, outside: Option<&Path>, store: impl FnOnce() -> Result<Store>) -> Result<ExitCode> {
    let attempted = || format!("read {}", config.display());
    let text = std::fs::read(config).attempting(attempted)?;
    let config = serde_json::from_slice(&text).attempting(attempted)?;
    let upstream = match outside {
        Some(network) => Some(Arc::new(Outside::open(network, store()?)?) as Arc<dyn Upstream>),
        None => None,
    };
    let attempted = || "play the internet".to_owned();
    let gateway = Bound::open(config, upstream).await.attempting(attempted)?;
    gateway.serve().await.attempting(attempted)?;
    Ok(ExitCode::SUCCESS)
}
