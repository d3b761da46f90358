//! The processes of this machine, as far as it matters who has started them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use nix::{
    sys::{
        prctl,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::{
    failure::{Attempt, Result},
    proc,
};

/// Where network namespaces have names.
const NAMED: &str = "/run/netns";

/// From now on, what loses its parent below this process becomes a child of it: whatever a run leaves can be told from what
/// others have started.
///
/// # Errors
/// When the kernel refuses.
pub fn adopt() -> Result<()> {
    prctl::set_child_subreaper(true).attempting(|| "become the parent of what a run leaves".into())
}

/// Takes note of adopted processes that have ended, which otherwise stay. No child may be running that somebody waits for.
pub fn bury() {
    while let Ok(status) = waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// The living processes below a process.
pub fn below(ancestor: i32) -> BTreeSet<i32> {
    let stats = folders().into_iter().filter_map(|folder| fs::read_to_string(folder.join("stat")).ok());
    descendants(&stats.filter_map(|stat| parent(&stat)).collect(), ancestor)
}

/// The network namespaces in which a process is, or that have a name.
pub fn networks() -> BTreeSet<OsString> {
    let links = folders().into_iter().filter_map(|folder| fs::read_link(folder.join("ns/net")).ok());
    let names = fs::read_dir(NAMED).into_iter().flatten().flatten();
    let named = names.filter_map(|name| Some(format!("net:[{}]", name.metadata().ok()?.ino()).into()));
    links.map(PathBuf::into_os_string).chain(named).collect()
}

/// Folders of all processes in /proc.
fn folders() -> Vec<PathBuf> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let number = |name: OsString| name.to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
    all.filter(|entry| number(entry.file_name())).map(|entry| entry.path()).collect()
}

/// A living process and its parent, from its `stat`; proc_pid_stat(5) has its fields. The second is a name that may have anything
/// in it, between parentheses.
fn parent(stat: &str) -> Option<(i32, i32)> {
    let (id, _) = stat.split_once(' ')?;
    let mut fields = proc::fields(stat)?;
    let state = fields.next()?;
    // One that has ended, and whose parent has not asked how.
    if matches!(state, "Z" | "X") {
        return None;
    }
    Some((id.parse().ok()?, fields.next()?.parse().ok()?))
}

fn descendants(parents: &BTreeMap<i32, i32>, ancestor: i32) -> BTreeSet<i32> {
    let mut found = BTreeSet::from([ancestor]);
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|&(id, parent)| found.contains(parent) && !found.contains(id))
            .map(|(id, _)| *id)
            .collect();
        if more.is_empty() {
            found.remove(&ancestor);
            return found;
        }
        found.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_anything_in_it() {
        assert_eq!(parent("12 (a) b (c)) S 7 12 12 0 -1"), Some((12, 7)));
        assert_eq!(parent("12 (a) Z 7 12 12 0 -1"), None);
        assert_eq!(parent("12 (a"), None);
    }

    #[test]
    fn children_of_children_are_found_and_nobody_else() {
        let parents = BTreeMap::from([(1, 0), (5, 1), (7, 5), (6, 7), (8, 1)]);
        assert_eq!(descendants(&parents, 5), BTreeSet::from([6, 7]));
        assert!(descendants(&parents, 8).is_empty());
    }

    #[test]
    fn a_child_is_below_its_parent_while_it_lives() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let id = i32::try_from(child.id()).unwrap();
        assert!(below(own).contains(&id));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!below(own).contains(&id));
    }

    #[test]
    fn this_process_is_in_a_network() {
        assert!(networks().contains(fs::read_link("/proc/self/ns/net").unwrap().as_os_str()));
    }
}
