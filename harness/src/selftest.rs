//! Everything that must pass in CI: format, lints, and the tests of the harness itself, worlds included.

use std::process::Stdio;

use tracing::info;

use crate::{
    cargo,
    cluster::kind::doctor,
    components::Store,
    failure::{Attempt, Result},
    run::tidy,
    world::{Parts, Run, ownership::Estate},
};

/// Runs all checks; true when all passed. `filter` keeps only the tests whose name contains one of its texts, and then
/// format and lints are left out.
///
/// # Errors
/// When a check could not be run.
pub async fn run(store: &Store, filter: &[String]) -> Result<bool> {
    let estate = Estate::open()?;
    tidy(&estate, store)?;
    Run::during(&estate, async |_| check(store, filter).await).await
}

async fn check(store: &Store, filter: &[String]) -> Result<bool> {
    let lints = ["clippy", "--release", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    for (tool, args) in [("fmt", &["fmt", "--check"][..]), ("clippy", &lints)] {
        if !filter.is_empty() {
            info!("cargo {tool}: not run, because tests were chosen");
        } else if !passes(&[tool, "--version"], false).await? {
            info!("cargo {tool}: not run, because this toolchain does not have it");
        } else {
            info!("cargo {tool} …");
            if !passes(args, true).await? {
                return Ok(false);
            }
        }
    }
    info!("components …");
    // Both releases of the operator: the tests run the platform's cell for machines without the pinned one, too.
    for operator in [None, Some(store.lock.operator.buildable.as_str())] {
        Parts::find(store, operator, &store.lock.operator.pinned, None).await?;
    }
    store.obtain("sdks").await?;
    let nextest = store.obtain("cargo-nextest").await?.path.join("cargo-nextest");
    let kind = match doctor::check().await {
        Ok(()) => "none()",
        Err(failure) => {
            info!("tests of kind: not run: {failure}");
            "binary(world) & test(/^kind::/)"
        }
    };
    info!("tests …");
    let status = cargo::command(nextest)
        .args(["nextest", "run", "--workspace", "--release"])
        // The suites need a world, and run inside the tests that make one.
        .args(["--filterset", &format!("not (package(suites) & kind(test)) and not ({kind})")])
        .args(filter)
        .status()
        .await
        .attempting(|| "run the tests".into())?;
    Ok(status.success())
}

/// Runs cargo on the workspace, with or without showing what it prints; true when it succeeded.
async fn passes(args: &[&str], show: bool) -> Result<bool> {
    let mut command = cargo::command("cargo");
    command.args(args);
    if !show {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let status = command.status().await.attempting(|| format!("run cargo {}", args.join(" ")))?;
    Ok(status.success())
}
