//! Whether Docker can run kind, and the one ailment that can be cured: a machine whose processes lack a capability.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tracing::info;

use super::docker::docker;
use crate::{
    failure::{Attempt, Failure, Result},
    observe::answered,
};

/// What runc says when it cannot give a container the capabilities of a privileged one.
const CONFINED: &str = "unable to apply caps";
/// What is told of it.
const LACKING: &str = "this machine's processes lack a capability that privileged containers get (CAP_SYS_RESOURCE)";
/// Its number, in linux/capability.h.
const CAPABILITY: u32 = 24;
/// Docker's settings.
const SETTINGS: &str = "/etc/docker/daemon.json";
/// The settings as they were.
const BEFORE: &str = "/etc/docker/daemon.json.before-trinity-e2e";
/// The runtime that leaves the capability out.
const RUNTIME: &str = "/usr/local/sbin/trinity-e2e-runc";
/// Its name in Docker's settings.
const NAME: &str = "trinity-e2e";
/// The runtime that Docker has by itself.
const OWN: &str = "runc";
/// Where dockerd writes its process id.
const DAEMON: &str = "/var/run/docker.pid";
/// Time for Docker to read its settings again.
const RELOAD: Duration = Duration::from_secs(30);

/// Checks that Docker can be reached and runs privileged containers.
///
/// # Errors
/// Why it cannot, and what to do about it.
pub async fn check() -> Result<()> {
    reach().await?;
    // An image without any file: the runtime gives a container its capabilities before it looks for the program.
    let image = docker(["import", "/dev/null"]).text().await?;
    let ran = docker(["run", "--rm", "--privileged", "--network", "none", &image, "/nothing"]).output().await;
    docker(["image", "rm", "--force", &image]).output().await?;
    ran.map_or_else(|failure| told(failure.seen()), |_| Ok(()))
}

/// Whether Docker can be reached, and whether something is known to be in the way of privileged containers. Nothing is run, so
/// that nothing changes; returns Docker's version.
///
/// # Errors
/// Why kind cannot be used, and what to do about it.
pub async fn look() -> Result<String> {
    let version = reach().await?;
    let runtime = docker(["info", "--format", "{{.DefaultRuntime}}"]).text().await?;
    let daemon = fs::read_to_string(DAEMON).map_or_else(|_| "self".to_owned(), |id| id.trim().to_owned());
    let status = fs::read_to_string(format!("/proc/{daemon}/status")).unwrap_or_default();
    match runtime != NAME && lacks(&status) {
        true => told(&format!("{CONFINED}, as /proc/{daemon}/status has it")).map(|()| version),
        false => Ok(version),
    }
}

/// Whether a process, by its file `status` below `/proc`, cannot have the capability.
fn lacks(status: &str) -> bool {
    let bound = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    bound.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|bound| bound & 1 << CAPABILITY == 0)
}

/// Docker's version, when it answers.
async fn reach() -> Result<String> {
    docker(["version", "--format", "{{.Server.Version}}"]).text().await.map_err(|failure| {
        Failure::new("reach Docker", failure.seen().trim())
            .next("install docker.io and start it, or use --backend embedded")
    })
}

/// Judges how a container failed whose program does not exist.
fn told(seen: &str) -> Result<()> {
    if seen.contains(CONFINED) {
        return Err(Failure::new("run a privileged container", format!("{LACKING}:\n{seen}")).next(format!(
            "--fix-docker makes {RUNTIME} Docker's default runtime, which asks for all capabilities but that one"
        )));
    }
    if seen.contains("/nothing: no such file or directory") {
        return Ok(());
    }
    Err(Failure::new("run a privileged container", seen)
        .next("make Docker run `docker run --privileged`, or use --backend embedded"))
}

/// Whether [`fix`] is for this.
pub fn curable(failure: &Failure) -> bool {
    failure.seen().starts_with(LACKING)
}

/// Gives Docker a default runtime that does not ask for the capability.
///
/// # Errors
/// When Docker has another default runtime of somebody's choice, or a file cannot be written.
pub async fn fix() -> Result<()> {
    let before = match fs::read_to_string(SETTINGS) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(Failure::new(format!("read {SETTINGS}"), e)),
    };
    let before = before.unwrap_or_default();
    let after = with_runtime(&before, NAME)?;
    write(RUNTIME, include_str!("runtime.sh"), 0o755)?;
    write(BEFORE, &before, 0o600)?;
    write(SETTINGS, &after, 0o644)?;
    info!("{SETTINGS} has {RUNTIME} as default runtime now; `trinity-e2e restore-docker` takes it back");
    reload(NAME).await
}

/// Takes back what [`fix`] has done.
///
/// # Errors
/// When nothing was done, or a file cannot be written.
pub async fn restore() -> Result<()> {
    let attempted = || format!("restore {SETTINGS}");
    let before = fs::read_to_string(BEFORE).map_err(|e| {
        Failure::new(attempted(), format!("{BEFORE}: {e}"))
            .next("it was not changed by --fix-docker; nothing is to be done")
            .misused()
    })?;
    // Docker 20.10 keeps a default that its settings do not name any more, until it is started again.
    write(SETTINGS, &with_runtime(&before, OWN)?, 0o644)?;
    reload(OWN).await?;
    match before.is_empty() {
        true => fs::remove_file(SETTINGS).attempting(attempted)?,
        false => write(SETTINGS, &before, 0o644)?,
    }
    for file in [RUNTIME, BEFORE] {
        fs::remove_file(file).attempting(|| format!("remove {file}"))?;
    }
    Ok(())
}

/// Docker's settings, of which there may be none yet, with the runtime in them and one as the `default`.
fn with_runtime(settings: &str, default: &str) -> Result<String> {
    let attempted = || format!("give {SETTINGS} another default runtime");
    let settings = if settings.is_empty() { "{}" } else { settings };
    let mut settings: Value = serde_json::from_str(settings).attempting(attempted)?;
    let Some(all) = settings.as_object_mut() else {
        return Err(Failure::new(attempted(), "it is no JSON object"));
    };
    if let Some(own) = all.get("default-runtime").filter(|own| **own != NAME && **own != OWN) {
        return Err(Failure::new(attempted(), format!("it has {own} already"))
            .next(format!("take CAP_SYS_RESOURCE away there, as {RUNTIME} would")));
    }
    all.insert("default-runtime".into(), default.into());
    let runtimes = all.entry("runtimes").or_insert_with(|| json!({}));
    runtimes[NAME] = json!({"path": RUNTIME});
    serde_json::to_string_pretty(&settings).attempting(attempted)
}

fn write(path: &str, text: &str, mode: u32) -> Result<()> {
    let attempted = || format!("write {path}");
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder).attempting(attempted)?;
    }
    // In its place at once: Docker may read it any moment.
    let new = PathBuf::from(format!("{path}.new"));
    fs::write(&new, text).attempting(attempted)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).attempting(attempted)?;
    fs::rename(&new, path).attempting(attempted)
}

/// Makes Docker read its settings, and waits until it has the default runtime that is in them.
async fn reload(default: &str) -> Result<()> {
    let attempted = || "make Docker read its settings again".to_owned();
    let id = fs::read_to_string(DAEMON).attempting(attempted)?;
    let id: i32 = id.trim().parse().attempting(attempted)?;
    kill(Pid::from_raw(id), Signal::SIGHUP).attempting(attempted)?;
    answered("Docker has read its settings", RELOAD, async || {
        let runtime = docker(["info", "--format", "{{.DefaultRuntime}}"]).text().await?;
        if runtime == default {
            return Ok(());
        }
        Err(Failure::new(attempted(), format!("its default runtime is {runtime}")))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_answers_of_docker() {
        let missing = "docker: OCI runtime create failed: exec: \"/nothing\": stat /nothing: no such file or directory";
        told(missing).unwrap();
        let confined =
            told("docker: OCI runtime create failed: unable to apply caps: operation not permitted").unwrap_err();
        assert!(curable(&confined) && confined.to_string().contains("--fix-docker"), "{confined}");
        let refused = told("docker: privileged containers are forbidden").unwrap_err();
        assert!(!curable(&refused), "{refused}");
    }

    #[test]
    fn a_bounding_set_has_the_capability_or_not() {
        assert!(!lacks("Name:\tdockerd\nCapBnd:\t000001ffffffffff\n"));
        assert!(lacks("CapBnd:\t000001fffeffffff\nCapAmb:\t0\n"));
        assert!(!lacks(""), "nothing is known of it");
    }

    #[test]
    fn settings_of_others_are_kept() {
        let text = with_runtime(r#"{"data-root": "/d", "runtimes": {"other": {"path": "/o"}}}"#, NAME).unwrap();
        let settings: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(settings["data-root"], "/d");
        assert_eq!(settings["runtimes"]["other"]["path"], "/o");
        assert_eq!(
            (settings["default-runtime"].as_str(), settings["runtimes"][NAME]["path"].as_str()),
            (Some(NAME), Some(RUNTIME))
        );
        let refused = with_runtime(r#"{"default-runtime": "nvidia"}"#, NAME).unwrap_err();
        assert!(refused.to_string().contains("nvidia"), "{refused}");
        with_runtime(r#"{"default-runtime": "runc"}"#, NAME).unwrap();
        assert!(with_runtime("[]", NAME).is_err() && with_runtime("{", NAME).is_err());
        let back: Value = serde_json::from_str(&with_runtime("", OWN).unwrap()).unwrap();
        assert_eq!(back["default-runtime"], OWN);
    }

    #[test]
    fn the_runtime_takes_one_capability_out() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("config.json");
        fs::write(
            &bundle,
            r#"{"a":["CAP_SYS_RESOURCE","CAP_KILL"],"b":["CAP_KILL","CAP_SYS_RESOURCE"],"c":["CAP_SYS_RESOURCE"]}"#,
        )
        .unwrap();
        // A runc of the test's own shows what it was called with.
        let runc = folder.path().join("runc");
        fs::write(&runc, "#!/bin/sh\necho \"$@\"\n").unwrap();
        fs::set_permissions(&runc, fs::Permissions::from_mode(0o755)).unwrap();
        let script = folder.path().join("runtime");
        fs::write(&script, include_str!("runtime.sh")).unwrap();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let output = std::process::Command::new("sh")
            .arg(&script)
            .args(["--root", "/r", "create", "--bundle"])
            .arg(folder.path())
            .arg("id")
            .env("PATH", path)
            .output()
            .unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told.trim(), format!("--root /r create --bundle {} id", folder.path().display()));
        let left = fs::read_to_string(&bundle).unwrap();
        assert_eq!(left, r#"{"a":["CAP_KILL"],"b":["CAP_KILL"],"c":[]}"#);
    }
}
