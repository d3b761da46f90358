//! The command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::{EnvFilter, fmt::time::Uptime};
use trinity_e2e::{
    cluster::embedded::{init, namespaces},
    components::{Options, Store, debian},
    failure::{Failure, Result},
};

/// Would this multi-cloud secrets platform work, and if not, what exactly is wrong?
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Job,
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

#[derive(Subcommand)]
enum Job {
    /// Third-party programs and images.
    Components {
        #[command(subcommand)]
        action: Components,
    },
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
    /// Gets everything in the lock into the cache.
    Fetch,
    /// Hashes everything in the cache again.
    Verify,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // These two must have one thread: they make namespaces.
    let outcome = match &cli.command {
        Job::Namespaces { plan } => namespaces::run(plan),
        Job::Init { plan } => init::run(plan).map(|()| ExitCode::SUCCESS),
        _ => run(cli),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn run(cli: Cli) -> Result<ExitCode> {
    let level = if cli.common.verbose { "trinity=debug,info" } else { "info" };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level)))
        .with_timer(Uptime::default())
        .with_target(false)
        .with_level(false)
        .with_writer(std::io::stderr)
        .init();
    let store = || {
        Store::open(Options {
            mirror: cli.common.mirror.clone(),
            ..Options::default()
        })
    };
    match cli.command {
        Job::Components { action } => components(&store()?, action).await,
        Job::Namespaces { .. } | Job::Init { .. } => Ok(ExitCode::FAILURE),
    }
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
        Components::Fetch => {
            let mut failed = false;
            debian::machine(&store.lock.debian).await?;
            for (name, outcome) in store.fetch().await {
                match outcome {
                    Ok(origin) => println!("{name:60} {origin}"),
                    Err(failure) => {
                        failed = true;
                        println!("{name:60} not available\n  {failure}");
                    }
                }
            }
            Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
