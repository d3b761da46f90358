//! The gateway in a container that shares the first node's network, from the node's own image: the harness's program with
//! the few files that it needs.

use std::path::{Path, PathBuf};

use tokio::net::UnixDatagram;
use trinity_emulators::config::Config;

use super::{
    Cluster, Inputs, Tools,
    docker::{LABEL, docker},
};
use crate::{
    cluster::embedded::{node::Node, settings::GATEWAY},
    failure::{Attempt, Result},
};

/// Socket in a world's folder on which the gateway says that it is ready, sd_notify(3).
const NOTICE: &str = "gateway.notify";
/// Starts a gateway: log, program and configuration are the arguments. The parent is Docker's, in the machine's network; of the
/// machine's first process not everybody may know in which network it is.
const START: &str = r#"exec "$1" gateway --outside "/proc/$PPID/ns/net" "$2" > "$0" 2>&1"#;
/// What a program of this machine needs in order to pull images: where names are resolved, and whom to trust.
const MACHINE: [&str; 3] = ["/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/ssl/certs"];

/// Starts the gateway and waits until it serves.
///
/// # Errors
/// When Docker refuses.
pub async fn run(inputs: &Inputs<'_>, cluster: &Cluster, tools: &Tools) -> Result<()> {
    let path = |name: &str| inputs.folder.join(name);
    let attempted = || "hear from the gateway".to_owned();
    let notice = UnixDatagram::bind(path(NOTICE)).attempting(attempted)?;
    let program = std::env::current_exe().attempting(|| "find the harness's own program".into())?;
    let cache = tools.cache.parent().unwrap_or(&tools.cache);
    let mut run = docker(["run", "--detach", "--name", &cluster.gateway()])
        .args(["--label", &format!("{LABEL}={}", cluster.name)])
        .args(["--network", &format!("container:{}", cluster.node(Node::FIRST))])
        // It sees its parent, and enters the machine's network to pull images that are not listed.
        .args(["--privileged", "--pid", "host"])
        .args(["--env", &format!("NOTIFY_SOCKET={}", path(NOTICE).display())])
        .args(["--env", &format!("XDG_CACHE_HOME={}", cache.display())]);
    for file in files(inputs.gateway, inputs.folder, &tools.cache, &program) {
        run = run.arg("--volume").arg(format!("{0}:{0}", file.display()));
    }
    for file in MACHINE.iter().filter(|file| Path::new(file).exists()) {
        run = run.arg("--volume").arg(format!("{file}:{file}:ro"));
    }
    run.args(["--entrypoint", "/bin/sh", &tools.image, "-c", START])
        .arg(cluster.logs.join("gateway.log"))
        .arg(&program)
        .arg(path(GATEWAY))
        .output()
        .await?;
    let mut buffer = [0; 4096];
    loop {
        let length = tokio::select! {
            length = notice.recv(&mut buffer) => length.attempting(attempted)?,
            failure = cluster.broken() => return Err(failure),
        };
        if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == "READY=1") {
            return Ok(());
        }
    }
}

/// The files and folders of the machine that a gateway uses.
fn files(config: &Config, folder: &Path, cache: &Path, program: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = [folder, cache, program].map(Path::to_owned).into();
    files.extend(config.clouds.iter().map(|cloud| cloud.declared().to_owned()));
    if let Some(grafana) = &config.grafana {
        files.push(grafana.declared.clone());
        // A socket that is replaced is another file.
        files.extend(grafana.engine.as_ref().and_then(|engine| engine.parent()).map(Path::to_owned));
    }
    files.sort();
    files.dedup();
    files
}
