//! The command line.

#[cfg(test)]
mod documents;

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use nix::{
    sys::resource::{Resource, setrlimit},
    unistd::geteuid,
};
use trinity_e2e::{
    alone::Alone,
    cluster::{
        Backend,
        embedded::{init, namespaces},
        kind::{self, Tools},
    },
    components::{Options, Product, Store, debian},
    doctor, example,
    exit::{self, Exit},
    failure::{Attempt, Result},
    faults::{self, Trials},
    judge::{leaks::sources, verdict::Outcome},
    lint, matrix, plan, replay,
    report::{comparison::Comparison, data::Report, progress, summary},
    run::e2e,
    sbom,
    scale::{self, Records},
    secrets::{self, Action},
    selftest,
    sizing::{self, Question},
    soak, status,
    subject::Job,
    suite::choice,
    upgrade, verify, workspace,
    world::{
        Cloud, Description, Retain, Run, kept,
        nodes::Asked,
        outside::Outside,
        ownership::Estate,
        relay,
        sweep::{Which, sweep},
    },
};
use trinity_emulators::{gateway::Bound, registry::Upstream};

/// Headings of the main job's options.
const PLATFORM: &str = "Platform";
const WORLDS: &str = "Worlds";
const SUITES: &str = "Suites";

/// Would this multi-cloud secrets platform work, and if not, what exactly is wrong?
#[derive(Parser)]
#[command(version, after_help = exit::HELP)]
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

/// The releases of a run.
#[derive(Args)]
struct Releases {
    /// Test this release of External Secrets instead of the one that the platform pins.
    #[arg(long)]
    operator: Option<String>,
    /// Test on this release of Kubernetes.
    #[arg(long)]
    kubernetes: Option<String>,
    /// Test with this release of Argo CD.
    #[arg(long)]
    argocd: Option<String>,
}

#[derive(Subcommand)]
enum Task {
    /// The main job: brings a world of each cloud up, judges the platform, reports and cleans up
    #[command(display_order = 1)]
    E2e {
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum, help_heading = PLATFORM)]
        cloud: Vec<Cloud>,
        /// Working tree of the platform (its uncommitted changes count), or the URL of its repository, with ?ref= for a branch or
        /// a tag.
        #[arg(long, env = "TRINITY_PLATFORM", default_value_os_t = example(), help_heading = PLATFORM)]
        platform: PathBuf,
        /// Which worlds are left running, until `down` ends them; --keep alone keeps all
        #[arg(
            long,
            value_enum,
            value_name = "WHEN",
            env = "TRINITY_KEEP",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "always",
            default_value_t,
            help_heading = WORLDS
        )]
        keep: Retain,
        /// Judge the platform again in worlds that `up` or --keep has left running, with its files as they are now; make none, and
        /// leave them running, whatever --keep says.
        #[arg(long, help_heading = WORLDS, conflicts_with_all = ["fault", "node_cpu", "nodes", "backend", "fix_docker", "stand_ins"])]
        reuse: bool,
        #[command(flatten, next_help_heading = SUITES)]
        choice: choice::Asked,
        /// Run the suites this often, and find tests that fail now and then.
        #[arg(long, value_name = "N", help_heading = SUITES, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        repeat: u16,
        #[command(flatten, next_help_heading = PLATFORM)]
        releases: Releases,
        /// Break a copy of the platform or of its cloud with this fault of the catalogue, or with <cloud>/<fault> for one
        /// cloud; can be repeated, with one fault for a cloud.
        #[arg(long, help_heading = PLATFORM)]
        fault: Vec<String>,
        #[command(flatten)]
        nodes: Asked,
        /// What makes the clusters.
        #[arg(long, value_enum, default_value_t, help_heading = WORLDS)]
        backend: Backend,
        /// Where Docker cannot run privileged containers for lack of a capability: give it a default runtime that leaves it out.
        #[arg(long, help_heading = WORLDS)]
        fix_docker: bool,
        /// Let something that only answers run in the place of images that nobody has, so that the rest can come up. Such a run
        /// is never a pass.
        #[arg(long, help_heading = WORLDS)]
        stand_ins: bool,
        /// Folder for reports.
        #[arg(long, default_value_os_t = workspace().join("target/e2e"))]
        report: PathBuf,
        /// What goes to the standard output. What people read goes to the standard error beside JSON.
        #[arg(long, value_enum, default_value_t)]
        output: Form,
    },
    /// Brings the platform up in a world of each cloud, and leaves them running for `e2e --reuse`
    #[command(display_order = 11)]
    Up {
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
        /// Working tree of the platform, or the URL of its repository, with ?ref= for a branch or a tag.
        #[arg(long, env = "TRINITY_PLATFORM", default_value_os_t = example())]
        platform: PathBuf,
        #[command(flatten)]
        releases: Releases,
        #[command(flatten)]
        nodes: Asked,
        /// What makes the clusters.
        #[arg(long, value_enum, default_value_t)]
        backend: Backend,
        /// Where Docker cannot run privileged containers for lack of a capability: give it a default runtime that leaves it out.
        #[arg(long)]
        fix_docker: bool,
        /// Let something that only answers run in the place of images that nobody has.
        #[arg(long)]
        stand_ins: bool,
        /// Folder for reports.
        #[arg(long, default_value_os_t = workspace().join("target/e2e"))]
        report: PathBuf,
    },
    /// Tells what a platform consists of, and what cannot be run or judged here
    #[command(display_order = 30)]
    Plan {
        /// Working tree of the platform.
        #[arg(env = "TRINITY_PLATFORM", default_value_os_t = example())]
        platform: PathBuf,
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
    },
    /// Tells before anything runs whether the nodes have room for all Pods of the platform
    #[command(display_order = 32)]
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
    /// Tries the faults of the catalogue on running worlds, and shows which are found and as what
    #[command(display_order = 22)]
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
        /// One fault of each cause only that running worlds show, spread over the clouds.
        #[arg(long, conflicts_with = "spread")]
        brief: bool,
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
    /// Runs the platform on few combinations of releases that cover every pair of them
    #[command(display_order = 21)]
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
    #[command(display_order = 20)]
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
    /// Does the main job many times, and tells what is not always so and what more and more is left
    ///
    /// Each run is a process of its own. What a machine at rest has more and more of is a finding, so nothing else should run
    /// meanwhile. After Ctrl-C the current run ends in order, and those before it are judged.
    #[command(display_order = 24)]
    Soak {
        /// How many runs, one after the other.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..))]
        runs: u16,
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum, help_heading = PLATFORM)]
        cloud: Vec<Cloud>,
        /// Working tree of the platform, or the URL of its repository, with ?ref= for a branch or a tag.
        #[arg(long, env = "TRINITY_PLATFORM", default_value_os_t = example(), help_heading = PLATFORM)]
        platform: PathBuf,
        #[command(flatten, next_help_heading = PLATFORM)]
        releases: Releases,
        #[command(flatten, next_help_heading = SUITES)]
        choice: choice::Asked,
        #[command(flatten)]
        nodes: Asked,
        /// What makes the clusters.
        #[arg(long, value_enum, default_value_t, help_heading = WORLDS)]
        backend: Backend,
        /// Folder for reports; those of runs that passed are removed, but for the last one.
        #[arg(long, default_value_os_t = workspace().join("target/soak"))]
        report: PathBuf,
    },
    /// Tells what many ExternalSecrets cost: time, and what the harness takes beside the platform
    ///
    /// They are made after one of the platform's own, in four equal steps, in namespaces of the harness's own. Clusters are embedded
    /// ones.
    #[command(display_order = 25)]
    Scale {
        /// How many, in all worlds together.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(12..))]
        external_secrets: u32,
        /// Make no world: read so many secrets from clouds that are played alone, and judge their journals.
        #[arg(long)]
        journal_only: bool,
        /// Only this cloud; can be repeated. Without, all that the platform has.
        #[arg(long, value_enum)]
        cloud: Vec<Cloud>,
        /// Working tree of the platform.
        #[arg(long, env = "TRINITY_PLATFORM", default_value_os_t = example())]
        platform: PathBuf,
        /// Folder for reports.
        #[arg(long, default_value_os_t = workspace().join("target/scale"))]
        report: PathBuf,
    },
    /// Judges the platform on clusters that somebody else runs, without a write to any of them
    #[command(display_order = 23)]
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
    /// Finds what is wrong with a platform's files, without running anything
    #[command(display_order = 31)]
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
    /// Plays one cloud on this machine's loopback, for clients that find it under its real host names
    #[command(display_order = 61)]
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
    /// Tells what a run has found, or what has changed from it to a later one
    #[command(display_order = 33)]
    Report {
        /// Folder of a run, as its last lines tell it.
        run: PathBuf,
        /// Folder of a later run, to be compared with it.
        later: Option<PathBuf>,
        /// Judge what the run has recorded again, without a cluster: its verdicts have to come out as they did.
        #[arg(long, conflicts_with = "later")]
        replay: bool,
    },
    /// Everything that must pass in CI
    #[command(display_order = 65)]
    Test {
        /// Only tests whose name contains this, nightly ones among them.
        filter: Vec<String>,
        /// The nightly ones, too.
        #[arg(long)]
        all: bool,
    },
    /// Searches a kept world for secret values outside of where they belong
    #[command(display_order = 34)]
    Leaks {
        /// Name of the world; not needed when there is one.
        world: Option<String>,
        /// Folder of reports to search, too.
        #[arg(long)]
        report: Option<PathBuf>,
    },
    /// Prints the path of a kept world's kubeconfig
    #[command(display_order = 41)]
    Kubeconfig {
        /// Name of the world; not needed when there is one.
        world: Option<String>,
    },
    /// What a platform's workflow for its secret backends does, on a cloud that is played here
    #[command(display_order = 60)]
    Secrets {
        #[command(subcommand)]
        action: Action,
    },
    /// Shows running and kept worlds, what killed runs have left, and how the last run went
    #[command(display_order = 40)]
    Status {
        /// Folder with the reports of runs.
        #[arg(long, default_value_os_t = workspace().join("target/e2e"))]
        report: PathBuf,
    },
    /// Ends kept worlds and removes every trace of them
    #[command(display_order = 42)]
    Down,
    /// Removes what killed runs have left
    #[command(display_order = 43)]
    Sweep,
    /// Checks this machine, changes nothing, and says what will work and what is to be done
    #[command(display_order = 50)]
    Doctor,
    /// The image of a node of the backend kind
    #[command(display_order = 63)]
    NodeImage {
        #[command(subcommand)]
        action: NodeImage,
    },
    /// Takes back what `e2e --fix-docker` has done
    #[command(display_order = 64)]
    RestoreDocker,
    /// Third-party programs and images
    #[command(display_order = 62)]
    Components {
        #[command(subcommand)]
        action: Components,
    },
    /// Prints what makes a shell complete the words of this command
    #[command(display_order = 66)]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
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
    /// Judges the records of a world, and tells what that takes (used by the harness itself).
    #[command(hide = true)]
    Judge(Records),
    /// Enters a world's namespaces (used by the harness itself).
    #[command(hide = true)]
    Namespaces { plan: PathBuf },
    /// Runs as a world's first process (used by the harness itself).
    #[command(hide = true)]
    Init { plan: PathBuf },
}

/// What a command writes to its standard output.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Tables and verdicts, for people.
    #[default]
    Text,
    /// The report, for programs: what `report.json` has.
    Json,
}

#[derive(Subcommand)]
enum Components {
    /// Shows the component lock.
    List,
    /// Gets components and images into the cache.
    Fetch {
        /// Their names in the component lock. Without, everything but other releases of Kubernetes and Argo CD, which a run gets
        /// when it asks for them, and what is on demand, which a run gets when its platform names the image.
        name: Vec<String>,
    },
    /// Prints what the harness is made of, and what the component lock lists, as a CycloneDX bill of materials.
    ///
    /// A run writes that of its own worlds to components.cdx.json.
    Sbom,
    /// Hashes everything in the cache again.
    Verify,
}

#[derive(Subcommand)]
enum NodeImage {
    /// Builds it from components and Debian packages, gives it to Docker, and prints its name.
    Build,
}

fn main() -> ExitCode {
    // A core dump would have secret values on a disk; what this process starts leaves none either.
    if let Err(e) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        eprintln!("error: could not switch core dumps off: {e}");
        return Exit::Environment.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version were asked for, and are no errors.
        Err(said) => {
            let _ = said.print();
            return if said.use_stderr() { Exit::Usage } else { Exit::Passed }.into();
        }
    };
    // These two must have one thread: they make namespaces.
    let outcome = match &cli.command {
        Task::Namespaces { plan } => namespaces::run(plan),
        Task::Init { plan } => init::run(plan).map(|()| ExitCode::SUCCESS),
        _ => run(cli).map(Into::into),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        Exit::from(&failure).into()
    })
}

#[tokio::main]
async fn run(cli: Cli) -> Result<Exit> {
    progress::show(cli.common.verbose);
    let options = || Options { mirror: cli.common.mirror.clone(), ..Options::default() };
    let store = || Store::open(options());
    match cli.command {
        Task::Components { action } => components(&store()?, action).await,
        Task::E2e {
            cloud,
            platform,
            releases,
            keep,
            fault,
            nodes,
            backend,
            fix_docker,
            stand_ins,
            reuse,
            choice,
            repeat,
            report,
            output,
        } => {
            let job = Job {
                clouds: cloud,
                platform,
                operator: releases.operator,
                faults: fault,
                nodes,
                backend,
                fix_docker,
                stand_ins,
                keep,
                reuse,
                choice,
                rounds: repeat.into(),
                report,
                json: output == Form::Json,
                ..Job::default()
            };
            let store = store()?.choosing(releases.kubernetes.as_deref(), releases.argocd.as_deref())?;
            Ok(e2e(&store, &job).await?.into())
        }
        Task::Up { cloud, platform, releases, nodes, backend, fix_docker, stand_ins, report } => {
            let Releases { operator, kubernetes, argocd } = releases;
            let kept = Job { keep: Retain::Always, up: true, report, ..Job::default() };
            let job = Job { clouds: cloud, platform, operator, nodes, backend, fix_docker, stand_ins, ..kept };
            let store = store()?.choosing(kubernetes.as_deref(), argocd.as_deref())?;
            Ok(e2e(&store, &job).await?.into())
        }
        Task::Faults { cloud, filter, spread, brief, clean, platform, report } => {
            let trials = Trials { clouds: cloud, filters: filter, spread, brief, clean, platform, report };
            Ok(faults::run(&store()?, &trials).await?.into())
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
            Ok(matrix::run(&store()?, &question).await?.into())
        }
        Task::Soak { runs, cloud, platform, releases, choice, nodes, backend, report } => {
            let Releases { operator, kubernetes, argocd } = releases;
            let store = store()?.choosing(kubernetes.as_deref(), argocd.as_deref())?;
            let question = soak::Question {
                runs: runs.into(),
                clouds: cloud,
                platform,
                operator,
                kubernetes,
                argocd,
                choice,
                nodes,
                backend,
                report,
                common: cli.common.again(),
            };
            soak::run(&store, &question).await
        }
        Task::Upgrade { product, from, to, bisect, cloud, platform, report } => {
            let question = upgrade::Question { product, clouds: cloud, platform, from, to, bisect, report };
            Ok(upgrade::run(store()?, &question).await?.into())
        }
        Task::Scale { external_secrets, journal_only, cloud, platform, report } => {
            let secrets = external_secrets as usize;
            let question = scale::Question { clouds: cloud, platform, secrets, journal_only, report };
            Ok(scale::run(store, &question).await?.into())
        }
        Task::Verify { kubeconfig, watch, report } => {
            let question = verify::Question { clusters: kubeconfig, watch: Duration::from_secs(watch), report };
            Ok(verify::run(&question).await?.into())
        }
        Task::Plan { platform, cloud } => {
            let whole = plan::answer(&store()?, &plan::Question { clouds: cloud, platform }).await?;
            Ok(if whole { Exit::Passed } else { Exit::Unproven })
        }
        Task::Capacity { cloud, platform, nodes } => {
            Ok(Exit::of_search(sizing::answer(&store()?, &Question { clouds: cloud, platform, nodes }).await?))
        }
        Task::Lint { platform, cloud, operator } => {
            let question = lint::Question { clouds: cloud, platform, operators: operator };
            Ok(Exit::of_search(lint::answer(&store()?, &question).await?))
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
            Ok(Exit::Passed)
        }
        Task::Report { run, replay: true, .. } => replayed(&run).await,
        Task::Report { run, later, .. } => told(&run, later.as_deref()),
        Task::Test { filter, all } => Ok(Exit::of_search(selftest::run(&store()?, &filter, all).await?)),
        Task::Leaks { world, report } => {
            leaks(&kept::find(&Estate::open()?, world.as_deref(), None)?, report.as_deref()).await
        }
        Task::Kubeconfig { world } => kubeconfig(world.as_deref()),
        Task::Secrets { action } => secrets::run(&action).await.map(|()| Exit::Passed),
        Task::Status { report } => status::run(&Store::look(options())?, &report).map(|()| Exit::Passed),
        Task::Doctor => Ok(if doctor::run(&Store::look(options())?).await? { Exit::Passed } else { Exit::Environment }),
        Task::Completions { shell } => {
            completions(shell);
            Ok(Exit::Passed)
        }
        Task::Down => remove(&store()?, Which::AbandonedAndKept),
        Task::Sweep => remove(&store()?, Which::Abandoned),
        Task::NodeImage { action: NodeImage::Build } => {
            let tools = Tools::find(&store()?).await?;
            println!("{}", tools.image);
            Ok(Exit::Passed)
        }
        Task::RestoreDocker => kind::doctor::restore().await.map(|()| Exit::Passed),
        Task::Gateway { config, outside } => gateway(&config, outside.as_deref(), store).await,
        Task::Relay { socket, server } => relay::run(&socket, server).await.map(|()| Exit::Passed),
        Task::Judge(records) => judge(&records).await,
        Task::Namespaces { .. } | Task::Init { .. } => Ok(Exit::Environment),
    }
}

/// Writes a shell's completions, without the commands that are for the harness itself.
fn completions(shell: Shell) {
    let name = env!("CARGO_PKG_NAME");
    let whole = Cli::command();
    let visible = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = clap::Command::new(name).args(whole.get_arguments().cloned()).subcommands(visible);
    clap_complete::generate(shell, &mut command, name, &mut std::io::stdout());
}

async fn components(store: &Store, action: Components) -> Result<Exit> {
    match action {
        Components::List => {
            for c in &store.lock.component {
                println!("{:28} {:10} {}{}", c.name, c.version, c.licence, on_demand(c.on_demand));
            }
            for i in &store.lock.image {
                println!("{:60} {}{}", i.reference, i.licence, on_demand(i.on_demand));
            }
            for debian in [&store.lock.debian, &store.lock.browser] {
                for (name, version) in &debian.packages {
                    println!("{name:28} {version:28} Debian {}", debian.suite);
                }
            }
            Ok(Exit::Passed)
        }
        Components::Fetch { name } => {
            // Only root has control groups to be found in, when this is killed.
            let fetched = if geteuid().is_root() {
                Run::during(&Estate::open()?, async |_| fetch(store, &name).await).await?
            } else {
                fetch(store, &name).await?
            };
            // What cannot be had is due to the machine and its network.
            Ok(if fetched { Exit::Passed } else { Exit::Environment })
        }
        Components::Sbom => {
            print!("{}", sbom::of_harness(&store.lock).await?.json()?);
            Ok(Exit::Passed)
        }
        Components::Verify => {
            let broken = store.verify()?;
            if broken.is_empty() {
                println!("every cached file is what it was");
                return Ok(Exit::Passed);
            }
            println!("these had changed and were removed, and the next run gets them again: {}", broken.join(", "));
            Ok(Exit::Findings)
        }
    }
}

/// What a list says of an entry that not every run needs.
const fn on_demand(on_demand: bool) -> &'static str {
    if on_demand { ", on demand" } else { "" }
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

/// Prints the summary of a run, or what has changed from one to a later one.
fn told(run: &Path, later: Option<&Path>) -> Result<Exit> {
    let run = Report::read(run)?;
    let Some(later) = later else {
        print!("{}", summary::text(&run));
        return Ok(Exit::Passed);
    };
    let later = Report::read(later)?;
    let comparison = Comparison::between(&run, &later);
    println!("{comparison}");
    Ok(Exit::of_search(!comparison.is_worse()))
}

/// Judges a recorded run again, and prints what came of it.
async fn replayed(run: &Path) -> Result<Exit> {
    let replay = replay::of(run).await?;
    println!("{replay}");
    Ok(replay.exit())
}

async fn leaks(world: &Description, report: Option<&Path>) -> Result<Exit> {
    let begun = Instant::now();
    let searched = sources::world(&sources::values(world).await?, world, report).await?;
    let extent = format!("{searched}, {:.1} s", begun.elapsed().as_secs_f64());
    let outcome = searched.outcome();
    match &outcome {
        Outcome::Failed(why) => println!("FAILED  {}: {extent}\n{why}", world.name),
        _ => println!("passed  {}: {extent}", world.name),
    }
    Ok(Exit::of_search(outcome == Outcome::Passed))
}

fn kubeconfig(wanted: Option<&str>) -> Result<Exit> {
    let world = kept::find(&Estate::open()?, wanted, None)?;
    println!("{}", world.kubeconfig.display());
    eprintln!("{}", world.reached());
    Ok(Exit::Passed)
}

fn remove(store: &Store, which: Which) -> Result<Exit> {
    let mut removed = sweep(&Estate::open()?, which)?;
    removed.extend(store.cache().sweep()?);
    if removed.is_empty() {
        println!("there was nothing to remove");
    }
    for name in removed {
        println!("removed {name}");
    }
    Ok(Exit::Passed)
}

async fn judge(records: &Records) -> Result<Exit> {
    let judged = records.judge().await?;
    println!("{}", serde_json::to_string(&judged).attempting(|| "tell what was judged".into())?);
    Ok(Exit::Passed)
}

async fn gateway(config: &Path, outside: Option<&Path>, store: impl FnOnce() -> Result<Store>) -> Result<Exit> {
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
    Ok(Exit::Passed)
}
