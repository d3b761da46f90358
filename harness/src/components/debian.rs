//! Debian: packages of this machine, and file systems of composed images.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use nix::unistd::geteuid;
use tracing::info;

use super::{
    artifact::Artifact,
    cache::{Cache, Making, Origin},
    image::{self, Layer},
    lock::Debian,
};
use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
};

/// What an image does not need: other languages, manuals, traces of its making, and git-lfs's settings, which that
/// program writes in another order each time.
const LEFT_OUT: [&str; 14] = [
    "dev",
    "etc/gitconfig",
    "etc/hostname",
    "etc/resolv.conf",
    "proc",
    "run",
    "sys",
    "tmp",
    "usr/sbin/policy-rc.d",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache",
];

/// Installs what is missing of the machine's packages, after saying which, and returns all of them.
///
/// # Errors
/// When the machine is not a Debian with apt, the user is not root, or apt fails.
pub async fn machine(debian: &Debian) -> Result<Vec<Artifact>> {
    let mut installed = versions(debian).await?;
    let missing = absent(debian, &installed);
    if !missing.is_empty() {
        let list = missing.join(" ");
        if !geteuid().is_root() {
            return Err(Failure::new(format!("install the Debian packages {list}"), "this user is not root")
                .next(format!("run as root, or `apt-get install {list}` first")));
        }
        info!("Debian packages to install: {list}");
        let apt = |args: &[&str]| {
            Run::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1")
        };
        apt(&["update", "-q"]).output().await?;
        // The harness runs its own containerd: a package's service must not start.
        let policy = Policy::forbid(Path::new("/"))?;
        let done = apt(&["install", "-q", "-y", "--no-install-recommends"]).args(&missing).output().await;
        drop(policy);
        done?;
        installed = versions(debian).await?;
    }
    debian
        .packages
        .keys()
        .map(|name| {
            let found = installed.iter().find(|(n, _)| n == name);
            let (name, version) =
                found.ok_or_else(|| Failure::new(format!("install {name}"), "dpkg does not list it afterwards"))?;
            Ok(Artifact { name: name.clone(), version: version.clone(), path: "/".into(), origin: Origin::Debian })
        })
        .collect()
}

/// Those of the machine's packages that are not installed.
///
/// # Errors
/// When the machine is not a Debian.
pub async fn missing(debian: &Debian) -> Result<Vec<&str>> {
    Ok(absent(debian, &versions(debian).await?))
}

fn absent<'a>(debian: &'a Debian, installed: &[(String, String)]) -> Vec<&'a str> {
    debian.packages.keys().filter(|name| !installed.iter().any(|(n, _)| n == *name)).map(String::as_str).collect()
}

/// Installed packages and their versions.
async fn versions(debian: &Debian) -> Result<Vec<(String, String)>> {
    let text = Run::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package} ${Version}\n"])
        .text()
        .await
        .map_err(|failure| {
            Failure::new("list the machine's Debian packages", failure).next("only a Debian or Ubuntu machine has them")
        })?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["installed", name, version] if debian.packages.contains_key(*name) => {
                    Some(((*name).to_owned(), (*version).to_owned()))
                }
                _ => None,
            }
        })
        .collect())
}

/// Forbids package scripts to start services while it lives, unless the machine has a policy of its own.
struct Policy(Option<std::path::PathBuf>);

impl Policy {
    fn forbid(root: &Path) -> Result<Self> {
        let path = root.join("usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        let attempted = || format!("write {}", path.display());
        fs::write(&path, "#!/bin/sh\nexit 101\n").attempting(attempted)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).attempting(attempted)?;
        Ok(Self(Some(path)))
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes the layer of a minimal Debian.
///
/// # Errors
/// When debootstrap fails.
pub async fn base(cache: &Cache, making: &Making, suite: &str) -> Result<Layer> {
    let root = making.folder.join("root");
    let archive = archive(suite).await?;
    Run::new("debootstrap").args(["--variant=minbase", suite]).arg(&root).arg(&archive).output().await?;
    image::layer(cache, making, &image::scan(&root, wanted)?)
}

/// Makes the layer that `packages` add to the base.
///
/// # Errors
/// When apt fails in the base system.
pub async fn packages(cache: &Cache, making: &Making, base: &Layer, packages: &[String]) -> Result<Layer> {
    let root = making.folder.join("root");
    let attempted = || format!("unpack the base system to {}", root.display());
    let mut tar = tar::Archive::new(fs::File::open(cache.blob(&base.sha256)).attempting(attempted)?);
    tar.set_preserve_ownerships(true);
    tar.set_preserve_permissions(true);
    tar.unpack(&root).attempting(attempted)?;
    let before: BTreeSet<_> = image::scan(&root, wanted)?.into_keys().collect();
    for folder in [
        "dev",
        "proc",
        "run",
        "sys",
        "tmp",
        "var/cache/apt/archives/partial",
        "var/lib/apt/lists/partial",
        "var/log/apt",
    ] {
        fs::create_dir_all(root.join(folder)).attempting(|| format!("make {folder}"))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))
        .attempting(|| "open /tmp of the image".into())?;
    fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf")).attempting(|| "give the base system DNS".into())?;
    // Maintainer scripts write to /dev/null, which exists in no unpacked layer.
    Run::new("mknod").args(["-m", "666"]).arg(root.join("dev/null")).args(["c", "1", "3"]).output().await?;
    let _policy = Policy::forbid(&root)?;
    let apt = |args: &[&str]| {
        Run::new("chroot").arg(&root).arg("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive")
    };
    apt(&["update", "-q"]).output().await?;
    apt(&["install", "-q", "-y", "--no-install-recommends"]).args(packages).output().await?;
    // The base's files have time zero; a package's files have the package's time.
    let added = image::scan(&root, |path| {
        let meta = root.join(path).symlink_metadata();
        wanted(path) && (!before.contains(path) || meta.is_ok_and(|m| m.is_file() && m.mtime() != 0))
    })?;
    image::layer(cache, making, &added)
}

fn wanted(path: &Path) -> bool {
    let noise =
        ["var/lib/apt/lists", "var/log"].iter().any(|folder| path.starts_with(folder) && path != Path::new(folder));
    !noise
        && !LEFT_OUT
            .iter()
            .any(|folder| path.starts_with(folder) && (path != Path::new(folder) || folder.contains('/')))
}

/// The archive that this machine itself uses for `suite`.
///
/// # Errors
/// When apt cannot be asked.
pub(super) async fn archive(suite: &str) -> Result<String> {
    let list = Run::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"])
        .text()
        .await?;
    let own = list.lines().filter_map(|line| line.split_once(' ')).find(|(_, release)| *release == suite);
    Ok(own.map_or("http://deb.debian.org/debian", |(uri, _)| uri).to_owned())
}
