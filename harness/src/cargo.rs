//! Calls cargo and nextest on the workspace, from a program that cargo itself may have started.

use std::{env, ffi::OsStr, process::Stdio};

use tokio::process::Command;

use crate::workspace;

/// What cargo sets for the programs that it runs, besides the settings that users give it by `CARGO_*`.
const SET_FOR_PROGRAMS: [&str; 4] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_"];

/// A command in the workspace's folder, in the environment of the user's shell. With what cargo sets for its programs,
/// build scripts that watch these variables would run again: here, and then for the user's next `cargo run`.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace()).stdin(Stdio::null()).kill_on_drop(true).env_remove("CARGO");
    for (name, _) in env::vars_os() {
        if SET_FOR_PROGRAMS.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Crates as a command of cargo compiles them, with their features.
    async fn compiled(args: &[&str]) -> BTreeSet<String> {
        let tree = ["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} {f}"];
        let told = command("cargo").args(tree).args(args).output().await.unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        // Of what it has shown it says only that.
        String::from_utf8_lossy(&told.stdout).lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    }

    /// A crate with other features is another one, and so is all that needs it.
    #[tokio::test]
    async fn tests_and_suites_need_nothing_compiled_again_that_a_run_has() {
        let tests = compiled(&["--workspace", "--edges", "normal,build,dev"]).await;
        let run = compiled(&["--package", "trinity-e2e", "--edges", "normal,build"]).await;
        let suites = compiled(&["--package", "suites", "--edges", "normal,build,dev"]).await;
        assert!(run.len() > 100 && suites.len() > 100, "{run:?}");
        let again: Vec<&String> = run.union(&suites).filter(|krate| !tests.contains(*krate)).collect();
        assert!(again.is_empty(), "`cargo test --workspace` compiles these with other features: {again:#?}");
    }
}
