//! The machine itself: system, user, kernel, memory, disk, addresses.

use std::{
    env::consts::{ARCH, OS},
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use nix::unistd::{AccessFlags, access};

use super::{
    WORLDS,
    line::{Line, State},
};
use crate::{
    cluster::embedded::{
        cgroups::Hierarchies,
        preflight::{self, INSTANCES},
    },
    components::Store,
    failure::{Attempt, Failure, Result},
    world::ownership::{Estate, slot},
};

/// Where `emulators` listens unless another port is named.
const PORT: u16 = 8443;

/// What is to be said of it.
pub fn lines(store: &Store) -> Vec<Line> {
    let state = Estate::place();
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let (state, cache) = (nearest(&state), nearest(store.cache().root()));
    vec![
        Line::checked("system", system()),
        distribution(&store.lock.debian.suite),
        Line::checked("user", preflight::root().map(|()| "root".into())),
        Line::checked(
            "control groups",
            Hierarchies::find().and_then(|groups| groups.writable()).map(|()| "all controllers are there".into()),
        ),
        Line::checked("namespaces", preflight::namespaces().map(|()| "the kernel has all that a world is in".into())),
        overlay(&fs::read_to_string("/proc/filesystems").unwrap_or_default()),
        Line::checked("inotify", inotify()),
        Line::checked(
            "memory",
            preflight::memory(WORLDS, 0).map(|seen| format!("{} are available to {WORLDS} worlds", mib(seen))),
        ),
        folder("state folder", state, "TRINITY_STATE"),
        folder("cache", cache, "XDG_CACHE_HOME"),
        Line::checked(
            "disk",
            preflight::disk(state, WORLDS)
                .map(|seen| format!("{} are free for {WORLDS} worlds in {}", mib(seen), state.display())),
        ),
        Line::checked("subnets", subnets()),
        port(),
    ]
}

/// The folder, or the nearest above it that is there.
fn nearest(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder)
}

fn system() -> Result<String> {
    match (OS, ARCH) {
        ("linux", "x86_64") => Ok("Linux on x86_64".into()),
        _ => Err(Failure::new("make a world", format!("{OS} on {ARCH}")).next("worlds need Linux on x86_64")),
    }
}

fn distribution(suite: &str) -> Line {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let name = field("PRETTY_NAME");
    match field("VERSION_CODENAME") == suite {
        true => Line::optional("distribution", State::Ok, name),
        false => Line::optional(
            "distribution",
            State::Unusable,
            format!("{name}; what is known to work is Debian {suite}, whose packages a run installs"),
        ),
    }
}

/// A file system that is a module of the kernel may not be loaded yet.
fn overlay(filesystems: &str) -> Line {
    match filesystems.lines().any(|line| line.ends_with("\toverlay")) {
        true => Line::optional("overlayfs", State::Ok, "containers are layers of it"),
        false => Line::optional(
            "overlayfs",
            State::Missing,
            "no container can run unless the kernel loads it when it is wanted: `modprobe overlay`",
        ),
    }
}

fn inotify() -> Result<String> {
    let seen = fs::read_to_string(INSTANCES).attempting(|| format!("read {INSTANCES}"))?;
    match access(INSTANCES, AccessFlags::W_OK) {
        Ok(()) => Ok(format!("{} instances for each user, which a run raises when it needs more", seen.trim())),
        Err(e) => Err(Failure::new("raise it", format!("{INSTANCES} is {} and cannot be raised: {e}", seen.trim()))
            .next("run it as root; in a container, with --privileged")),
    }
}

fn folder(what: &str, folder: &Path, variable: &str) -> Line {
    let usable = preflight::layered(folder, variable).and_then(|()| {
        access(folder, AccessFlags::W_OK).map_err(|e| {
            Failure::new("use it", format!("{} cannot be written: {e}", folder.display()))
                .next(format!("run it as root, or set {variable} to a folder that can be"))
        })
    });
    Line::checked(what, usable.map(|()| format!("{} can be written", folder.display())))
}

fn subnets() -> Result<String> {
    let routes = preflight::routes()?;
    let worlds = Estate::look().ok().flatten().map(|estate| estate.worlds()).unwrap_or_default();
    let mut held: Vec<u8> = worlds.iter().filter_map(|folder| slot(folder)).collect();
    for _ in 0..WORLDS {
        held.push(preflight::free_slot(&held, &routes)?.slot());
    }
    Ok(format!("10.200 to 10.202 have room for {WORLDS} more worlds"))
}

fn port() -> Line {
    let what = format!("port {PORT}");
    match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)) {
        Ok(_) => Line::optional(what, State::Ok, "is free for `emulators`; a world needs no port of the machine"),
        Err(e) => Line::optional(what, State::Unusable, format!("{e}; give `emulators` another one with --port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_judged_by_what_is() {
        let above = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&above.path().join("a/b")), above.path());
        assert_eq!(nearest(above.path()), above.path());
    }

    #[test]
    fn overlayfs_is_a_line_of_its_own() {
        assert_eq!(overlay("nodev\tsysfs\nnodev\toverlay\n").state, State::Ok);
        assert_eq!(overlay("nodev\toverlayish\n\text4\n").state, State::Missing);
    }
}
