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
