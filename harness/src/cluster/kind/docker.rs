//! Docker, by its CLI: what a cluster has there, how it is found, and how it is removed.

use std::{ffi::OsStr, fs, path::Path, process::Command};

use tracing::debug;

use super::Inputs;
use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
};

/// kind's own label; its value is the name of the cluster.
pub const LABEL: &str = "io.x-k8s.kind.cluster";
/// Label of a cluster's network; its value is the world's folder.
const FOLDER: &str = "trinity-e2e.dev/folder";
/// File in a world's folder with the name of its cluster. It is there before anything is in Docker.
const CLAIM: &str = "kind";
/// File in a world's folder with the control groups of its containers, below the roots of the hierarchies.
const GROUPS: &str = "groups";

/// A command of Docker's CLI.
pub fn docker<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    Run::new("docker").args(args)
}

/// Name of a world's cluster, and of its network.
pub fn cluster(world: &str) -> String {
    format!("trinity-e2e-{world}")
}

/// Writes down that the world in `folder` is about to have something in Docker.
///
/// # Errors
/// When it cannot be written.
pub fn claim(folder: &Path, cluster: &str) -> Result<()> {
    fs::write(folder.join(CLAIM), cluster).attempting(|| format!("claim the cluster {cluster}"))
}

/// Makes the network of a cluster, with the addresses of an embedded one: from there is no way to the outside.
///
/// # Errors
/// When Docker refuses.
pub async fn network(cluster: &str, inputs: &Inputs<'_>) -> Result<()> {
    let network = inputs.network;
    let machine = network.machine();
    docker(["network", "create", "--driver", "bridge"])
        .args(["--label", &format!("{LABEL}={cluster}")])
        .args(["--label", &format!("{FOLDER}={}", inputs.folder.display())])
        .args(["--subnet", &format!("{machine}/24"), "--gateway", &machine.to_string()])
        .args(["--opt", &format!("com.docker.network.bridge.name={}", network.interface())])
        .args(["--opt", "com.docker.network.bridge.enable_ip_masquerade=false"])
        .arg(cluster)
        .output()
        .await
        .map(|_| ())
}

/// Writes down in which control groups the containers are.
///
/// # Errors
/// When Docker or the kernel does not tell.
pub async fn remember_groups(folder: &Path, containers: &[String]) -> Result<()> {
    let ids = docker(["inspect", "--format", "{{.State.Pid}}"]).args(containers).text().await?;
    let mut groups = String::new();
    for id in ids.lines() {
        let file = format!("/proc/{id}/cgroup");
        let text = fs::read_to_string(&file).attempting(|| format!("read {file}"))?;
        let group =
            group(&text).ok_or_else(|| Failure::new(format!("find the control group of process {id}"), &text))?;
        groups += &format!("{group}\n");
    }
    let file = folder.join(GROUPS);
    fs::write(&file, groups).attempting(|| format!("write {}", file.display()))
}

/// The control groups of the containers of the world in `folder`; none when it has no containers.
pub fn groups(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join(GROUPS)).unwrap_or_default();
    text.lines().map(Into::into).collect()
}

/// The control group of a container, from `/proc/<its first process>/cgroup`: that of its memory, or on cgroup v2 the only
/// one, out of which systemd has moved itself.
fn group(text: &str) -> Option<String> {
    let lines: Vec<[&str; 3]> = text
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            Some([parts.next()?, parts.next()?, parts.next()?])
        })
        .collect();
    let v1 = lines.iter().find(|[_, controllers, _]| controllers.split(',').any(|c| c == "memory"));
    let [_, _, path] = v1.or_else(|| lines.iter().find(|[id, ..]| *id == "0"))?;
    let path = path.trim_start_matches('/').trim_end_matches("/init.scope");
    (!path.is_empty()).then(|| path.to_owned())
}

/// Removes all that the world in `folder` has in Docker.
///
/// # Errors
/// What is left.
pub fn remove(folder: &Path) -> Result<()> {
    let file = folder.join(CLAIM);
    match fs::read_to_string(&file) {
        Ok(cluster) => remove_cluster(cluster.trim()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Failure::new(format!("read {}", file.display()), e)),
    }
}

/// Removes clusters whose world's folder was removed by somebody else; returns their names.
///
/// # Errors
/// What is left.
pub fn remove_orphans() -> Result<Vec<String>> {
    let orphans = orphans();
    orphans.iter().try_for_each(|cluster| remove_cluster(cluster))?;
    Ok(orphans)
}

/// Names of clusters whose world's folder was removed by somebody else. Where no Docker can be reached, there are none that run.
pub fn orphans() -> Vec<String> {
    let format = format!("{{{{.Label \"{LABEL}\"}}}} {{{{.Label \"{FOLDER}\"}}}}");
    let listed = match ask(&["network", "ls", "--filter", &format!("label={FOLDER}"), "--format", &format]) {
        Ok(listed) => listed,
        Err(failure) => {
            debug!("no clusters in Docker: {failure}");
            return Vec::new();
        }
    };
    let orphans =
        listed.lines().filter_map(|line| line.split_once(' ')).filter(|(_, folder)| !Path::new(folder).exists());
    orphans.map(|(cluster, _)| cluster.to_owned()).collect()
}

/// Removes containers and networks with the label of a cluster.
fn remove_cluster(cluster: &str) -> Result<()> {
    let label = format!("label={LABEL}={cluster}");
    for (list, remove) in [
        (["ps", "--all", "--quiet", "--filter", &label], ["rm", "--force", "--volumes"].as_slice()),
        (["network", "ls", "--quiet", "--filter", &label], ["network", "rm"].as_slice()),
    ] {
        let ids = ask(&list)?;
        let ids: Vec<&str> = ids.lines().collect();
        if !ids.is_empty() {
            ask(&[remove, &ids].concat())?;
        }
    }
    Ok(())
}

/// Runs a command of Docker's CLI where nothing else waits.
fn ask(args: &[&str]) -> Result<String> {
    let attempted = || format!("run `docker {}`", args.join(" "));
    let output = Command::new("docker").args(args).output().attempting(attempted)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::new(attempted(), String::from_utf8_lossy(&output.stderr).trim())
        .next("start Docker, then run `trinity-e2e sweep`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_container_is_found_on_both_versions() {
        let v1 = "5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab/init.scope\n0::/\n";
        assert_eq!(group(v1).as_deref(), Some("docker/ab"));
        assert_eq!(
            group("0::/system.slice/docker-ab.scope/init.scope\n").as_deref(),
            Some("system.slice/docker-ab.scope")
        );
        // The root would be all of the machine.
        assert_eq!(group("0::/\n"), None);
        assert_eq!(group(""), None);
    }
}
