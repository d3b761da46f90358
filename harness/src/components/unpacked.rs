//! Images that containerd has unpacked once: every world starts with them, instead of spending fifteen seconds of a
//! processor on unpacking them again.
//!
//! What is kept is containerd's own root folder. A world gets a copy of its two databases, and links to what they
//! describe, which no world ever changes: containers write to layers of their own, and a removed image removes a link.

use std::{fs, os::unix::fs::symlink, path::Path, process::Stdio};

use futures::FutureExt;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    net::{TcpListener, UnixDatagram},
    process::{Child, Command},
};
use trinity_emulators::{config::Images, registry::Registry};

use super::{artifact::ImageSet, cache::Making, image};
use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
};

/// Folders below containerd's root whose entries are shared.
const SHARED: [&str; 2] =
    ["io.containerd.content.v1.content/blobs/sha256", "io.containerd.snapshotter.v1.overlayfs/snapshots"];
/// Databases, which every world changes.
const COPIED: [&str; 2] =
    ["io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db"];
/// Namespace in which the kubelet's containerd keeps its images.
const NAMESPACE: &str = "k8s.io";

/// Unpacks images into `<making>/root`.
///
/// # Errors
/// When containerd cannot be started or refuses an image.
pub async fn unpack(making: &Making, images: &ImageSet) -> Result<()> {
    let path = |name: &str| making.folder.join(name).display().to_string();
    blobs(images, &making.folder.join("root"))?;
    let listener = TcpListener::bind("127.0.0.1:0").await.attempting(|| "listen on 127.0.0.1".into())?;
    let registry = listener.local_addr().attempting(|| "find the port of the registry".into())?;
    let hosts = making.folder.join("hosts/_default");
    fs::create_dir_all(&hosts).attempting(|| format!("make {}", hosts.display()))?;
    fs::write(hosts.join("hosts.toml"), image::mirror(&registry.to_string()))
        .attempting(|| format!("write to {}", hosts.display()))?;
    let served = Images { blobs: images.blobs.clone(), refs: images.refs.clone() };
    let serving = tokio::spawn(Registry::new(&served, None).serve(listener));
    let config = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n\
         [plugins.\"io.containerd.gc.v1.scheduler\"]\n\
         # The collector would remove the blobs that no pull has claimed yet.\nstartup_delay = \"0s\"\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
        path("root"),
        path("state"),
        path("socket"),
        path("opt")
    );
    fs::write(path("config.toml"), config).attempting(|| "configure containerd".into())?;
    let mut containerd = start(making).await?;
    let pulled = pull(images, &path("socket"), &path("hosts")).await;
    serving.abort();
    stop(&mut containerd).await?;
    pulled
}

/// Starts containerd in a mount namespace of its own and waits until it says that it is ready, sd_notify(3).
async fn start(making: &Making) -> Result<Child> {
    let attempted = || "start containerd to unpack images".to_owned();
    let notice = making.folder.join("notify");
    let socket = UnixDatagram::bind(&notice).attempting(attempted)?;
    let log = making.folder.join("containerd.log");
    let mut child = Command::new("unshare")
        .args(["--mount", "containerd", "--config"])
        .arg(making.folder.join("config.toml"))
        .env("NOTIFY_SOCKET", &notice)
        .env("TMPDIR", &making.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).attempting(attempted)?)
        .kill_on_drop(true)
        .spawn()
        .attempting(attempted)?;
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.attempting(attempted)?;
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::new(attempted(), format!("it ended with {status}\n{}", log.trim())));
            }
            length = socket.recv(&mut buffer) => {
                let text = String::from_utf8_lossy(&buffer[..length.attempting(attempted)?]).into_owned();
                if text.lines().any(|line| line == "READY=1") {
                    return Ok(child);
                }
            }
        }
    }
}

async fn pull(images: &ImageSet, socket: &str, hosts: &str) -> Result<()> {
    for reference in images.refs.keys() {
        Run::new("ctr")
            .args(["--address", socket, "--namespace", NAMESPACE, "images", "pull", "--hosts-dir", hosts, reference])
            .output()
            .await?;
    }
    Ok(())
}

/// Ends containerd in good order: its databases are then complete on disk.
async fn stop(containerd: &mut Child) -> Result<()> {
    let attempted = || "end containerd".to_owned();
    if let Some(id) = containerd.id() {
        kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM).attempting(attempted)?;
    }
    containerd.wait().map(|status| status.attempting(attempted).map(|_| ())).await
}

/// Links the images' blobs into a content store, so that no pull writes them again.
fn blobs(images: &ImageSet, root: &Path) -> Result<()> {
    let store = root.join(SHARED[0]);
    fs::create_dir_all(&store).attempting(|| format!("make {}", store.display()))?;
    for digest in images.refs.values() {
        for blob in image::blobs(&images.blobs, digest)? {
            let link = store.join(&blob);
            // Images share layers.
            if !link.exists() {
                fs::hard_link(images.blobs.join(&blob), &link).attempting(|| format!("link {}", link.display()))?;
            }
        }
    }
    Ok(())
}

/// Gives a world its containerd root, with the unpacked images in `source`.
///
/// # Errors
/// When a file cannot be copied or linked.
pub fn furnish(source: &Path, root: &Path) -> Result<()> {
    for file in COPIED {
        let target = root.join(file);
        let attempted = || format!("copy {file} to {}", root.display());
        fs::create_dir_all(target.parent().unwrap_or(root)).attempting(attempted)?;
        fs::copy(source.join(file), target).attempting(attempted)?;
    }
    for folder in SHARED {
        let attempted = || format!("link {folder} to {}", root.display());
        fs::create_dir_all(root.join(folder)).attempting(attempted)?;
        for entry in fs::read_dir(source.join(folder)).attempting(attempted)? {
            let entry = entry.attempting(attempted)?;
            symlink(entry.path(), root.join(folder).join(entry.file_name())).attempting(attempted)?;
        }
    }
    Ok(())
}
