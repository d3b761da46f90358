//! Everything that must pass in CI: format, lints, and the tests of the harness itself, worlds included.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use futures::TryFutureExt;
use tracing::info;

use crate::{
    cargo,
    cluster::kind::doctor,
    components::{Store, debian},
    failure::{Attempt, Result},
    site::tidy,
    world::{Parts, Run, ownership::Estate},
};

/// Runs all checks; true when all passed. `filter` keeps only the tests whose name contains one of its texts, and then
/// format and lints are left out. Tests that are marked as nightly ones run when they are named so, or `all` is asked for.
///
/// # Errors
/// When a check could not be run.
pub async fn run(store: &Store, filter: &[String], all: bool) -> Result<bool> {
    let estate = Estate::open()?;
    tidy(&estate, store)?;
    Run::during(&estate, async |run| check(store, filter, all, run.folder()).await).await
}

async fn check(store: &Store, filter: &[String], all: bool, temporary: &Path) -> Result<bool> {
    let chosen = !filter.is_empty();
    if !checks("fmt", &["--check"], chosen, temporary).await? {
        return Ok(false);
    }
    // On a machine that has nothing yet, components take half an hour, and wait for the network and for single compilers much of
    // it: what has to be compiled here is compiled in their shadow.
    let Some(nextest) = beside(compile(chosen, temporary), components(store)).await? else { return Ok(false) };
    let kind = match doctor::check().await {
        Ok(()) => "none()",
        Err(failure) => {
            info!("tests of kind: not run: {failure}");
            "binary(world) & test(/^kind::/)"
        }
    };
    let page = match browser(store).await {
        Ok(_) => "none()",
        Err(failure) => {
            info!("tests of the report's page: not run: {failure}");
            "binary(page)"
        }
    };
    let nightly = all || chosen;
    if !nightly {
        info!("nightly tests: not run: they take as long again as all others; `just test --all` runs them, too");
    }
    info!("tests …");
    let status = cargo::command(nextest)
        .args(["nextest", "run", "--workspace", "--release"])
        // The suites need a world, and run inside the tests that make one.
        .args(["--filterset", &format!("not (package(suites) & kind(test)) and not ({kind}) and not ({page})")])
        .args(["--run-ignored", if nightly { "all" } else { "default" }])
        .args(filter)
        .status()
        .await
        .attempting(|| "run the tests".into())?;
    Ok(status.success())
}

/// Gets what the report's page is tested with: a browser, and axe's script, whose path is returned.
///
/// # Errors
/// When the machine cannot have a browser, or no source has axe.
pub async fn browser(store: &Store) -> Result<PathBuf> {
    debian::machine(&store.lock.browser).await?;
    Ok(store.obtain("axe-core").await?.path.join("axe.min.js"))
}

/// What `work` gives while the `checks` go on; nothing when these are not passed. Whatever fails first ends the other.
async fn beside<T>(
    checks: impl Future<Output = Result<bool>>,
    work: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    let passed = async {
        match checks.await {
            Ok(true) => Ok(()),
            // It has said why itself.
            Ok(false) => Err(None),
            Err(failure) => Err(Some(failure)),
        }
    };
    match tokio::try_join!(passed, work.map_err(Some)) {
        Ok(((), given)) => Ok(Some(given)),
        Err(None) => Ok(None),
        Err(Some(failure)) => Err(failure),
    }
}

/// Gets what the tests need of components; returns nextest.
async fn components(store: &Store) -> Result<PathBuf> {
    info!("components …");
    // Both releases of the operator: the tests run the platform's cell for machines without the pinned one, too.
    for operator in [None, Some(store.lock.operator.buildable.as_str())] {
        Parts::find(store, operator, &store.lock.operator.pinned, None).await?;
    }
    store.obtain("sdks").await?;
    let nextest = store.obtain("cargo-nextest").await?.path.join("cargo-nextest");
    info!("components: all there");
    Ok(nextest)
}

/// Lints, unless tests were `chosen`, and compiles the tests as nextest will find them; true when all of it could be.
async fn compile(chosen: bool, temporary: &Path) -> Result<bool> {
    let lints = ["--release", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    if !checks("clippy", &lints, chosen, temporary).await? {
        return Ok(false);
    }
    info!("compiling the tests …");
    passes(&["test", "--no-run", "--workspace", "--release", "--quiet"], true, temporary).await
}

/// Whether the workspace passes a check of cargo, or tests were `chosen`, or this toolchain does not have it.
async fn checks(tool: &str, args: &[&str], chosen: bool, temporary: &Path) -> Result<bool> {
    if chosen {
        info!("cargo {tool}: not run, because tests were chosen");
        return Ok(true);
    }
    if !passes(&[tool, "--version"], false, temporary).await? {
        info!("cargo {tool}: not run, because this toolchain does not have it");
        return Ok(true);
    }
    info!("cargo {tool} …");
    passes(&[&[tool], args].concat(), true, temporary).await
}

/// Runs cargo on the workspace, with or without showing what it prints; true when it succeeded. Temporary files are in a folder
/// that ends with the run: a compiler that is killed leaves its own.
async fn passes(args: &[&str], show: bool, temporary: &Path) -> Result<bool> {
    let mut command = cargo::command("cargo");
    command.args(args).env("TMPDIR", temporary);
    if !show {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let status = command.status().await.attempting(|| format!("run cargo {}", args.join(" ")))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::failure::Failure;

    #[tokio::test]
    async fn whatever_fails_first_ends_the_other() {
        let failure = || Failure::new("build a component", "the compiler says no");
        assert_eq!(beside(ready(Ok(true)), ready(Ok(1))).await.unwrap(), Some(1));
        assert_eq!(beside(ready(Ok(false)), pending::<Result<()>>()).await.unwrap(), None);
        let of_work = beside(pending(), ready(Err::<(), _>(failure()))).await.unwrap_err().to_string();
        let of_checks = beside(ready(Err(failure())), pending::<Result<()>>()).await.unwrap_err().to_string();
        assert!(of_work.contains("the compiler says no") && of_work == of_checks, "{of_work} {of_checks}");
    }
}
