//! Arguments and environments of processes.

use std::{fs, io, process};

use nix::errno::Errno;

use crate::{
    cluster::{self, embedded::cgroups::Hierarchies},
    judge::leaks::Search,
    world::Description,
};

/// Searches those of the world's processes, of its run's, and of this one.
pub fn all(search: &Search, world: &Description) {
    let hierarchies = match Hierarchies::find() {
        Ok(hierarchies) => hierarchies,
        Err(failure) => return search.missed("the processes", failure),
    };
    let mut ids = cluster::processes(&hierarchies, &world.folder, &world.name);
    ids.extend(hierarchies.processes(&format!("run-{}", world.run)));
    ids.push(process::id().cast_signed());
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let read = |file: &str| fs::read(format!("/proc/{id}/{file}"));
        let program = read("comm").map_or_else(|_| "?".into(), |name| String::from_utf8_lossy(&name).trim().to_owned());
        for (what, file) in [("arguments", "cmdline"), ("environment", "environ")] {
            let name = format!("{what} of process {id} ({program})");
            match read(file) {
                Ok(bytes) => search.bytes(&name, &bytes),
                Err(e) if ended(&e) => {}
                Err(e) => search.missed(&name, e),
            }
        }
    }
}

fn ended(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(Errno::ESRCH as i32)
}
