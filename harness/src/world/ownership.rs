//! Who owns what on this machine: a folder, control groups and a lock for each run and each world, so that what a
//! dead owner left can be told from what a living one uses.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use crate::{
    cluster::embedded::{cgroups::Hierarchies, network::Network, preflight},
    failure::{Attempt, Failure, Result},
    folder,
};

/// Present in a world's folder when it shall outlive its owner.
const KEPT: &str = "kept";
/// Holds the number of the slot whose addresses a world uses.
const SLOT: &str = "slot";

/// The folder of all runs and worlds of this machine: `$TRINITY_STATE`, or `/var/lib/trinity-e2e`.
#[derive(Clone, Debug)]
pub struct Estate {
    root: PathBuf,
}

/// A claim on a name, its folder and its control groups. It lasts as long as the process that holds it.
#[derive(Debug)]
pub struct Claim {
    /// Name, unique on this machine.
    pub name: String,
    /// Folder.
    pub folder: PathBuf,
    lock: Flock<File>,
}

/// What is known of a run or a world from its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A living process owns it.
    Owned,
    /// It was kept on purpose.
    Kept,
    /// Its owner is dead.
    Abandoned,
}

impl Estate {
    /// Opens the folder, and makes it when it is not there: keys will be in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open() -> Result<Self> {
        let root = Self::place();
        for folder in [root.clone(), root.join("runs"), root.join("worlds")] {
            folder::private(&folder).map_err(|e| {
                Failure::new(format!("make {}", root.display()), e)
                    .next("run as root, or set TRINITY_STATE to a folder that you can write")
            })?;
        }
        let root = root.canonicalize().attempting(|| format!("resolve {}", root.display()))?;
        Ok(Self { root })
    }

    /// Opens the folder as it is, for somebody who only looks; nothing when it is not there.
    ///
    /// # Errors
    /// When this user may not read it.
    pub fn look() -> Result<Option<Self>> {
        let root = Self::place();
        match fs::read_dir(&root).and_then(|_| root.canonicalize()) {
            Ok(root) => Ok(Some(Self { root })),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::new(format!("read {}", root.display()), e).next("run it as root")),
        }
    }

    /// Where the folder is, or will be.
    pub fn place() -> PathBuf {
        std::env::var_os("TRINITY_STATE").map_or_else(|| PathBuf::from("/var/lib/trinity-e2e"), PathBuf::from)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps claims and sweeps of other processes away while somebody looks; nothing when there has been none yet.
    ///
    /// # Errors
    /// When the lock file cannot be read.
    pub fn hold(&self) -> Result<Option<Flock<File>>> {
        let file = self.root.join("lock");
        match held(&file, FlockArg::LockExclusive) {
            Ok(lock) => Ok(Some(lock)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::new(format!("lock {}", file.display()), e)),
        }
    }

    /// Serialises claims and sweeps of all processes on this machine.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn lock(&self) -> Result<Flock<File>> {
        lock(&self.root.join("lock"), FlockArg::LockExclusive).attempting(|| format!("lock {}", self.root.display()))
    }

    /// Claims the name of a run.
    ///
    /// # Errors
    /// When folder or control groups cannot be made.
    pub fn claim_run(&self, run: &str) -> Result<Claim> {
        let _guard = self.lock()?;
        self.claim("runs", format!("run-{run}"))
    }

    /// Claims a world of a run, named after what it is of, and addresses for it.
    ///
    /// # Errors
    /// When no slot is free, or folder or control groups cannot be made.
    pub fn claim_world(&self, of: &str, run: &str) -> Result<(Claim, Network)> {
        let _guard = self.lock()?;
        let held: Vec<u8> = self.worlds().iter().filter_map(|folder| slot(folder)).collect();
        let network = preflight::free_slot(&held, &preflight::routes()?)?;
        let claim = self.claim("worlds", format!("{of}-{run}"))?;
        fs::write(claim.folder.join(SLOT), network.slot().to_string())
            .attempting(|| format!("claim {}", claim.folder.display()))?;
        Ok((claim, network))
    }

    fn claim(&self, kind: &str, name: String) -> Result<Claim> {
        let folder = self.root.join(kind).join(&name);
        let attempted = || format!("claim {}", folder.display());
        folder::new_private(&folder).attempting(attempted)?;
        let lock = lock(&folder.join("lock"), FlockArg::LockExclusiveNonblock).attempting(attempted)?;
        Hierarchies::find()?.create(&name)?;
        Ok(Claim { name, folder, lock })
    }

    /// Keeps others from using or removing a kept world, as long as what this returns lives.
    ///
    /// # Errors
    /// When somebody uses it already, or it is gone.
    pub fn borrow(&self, folder: &Path) -> Result<Flock<File>> {
        let _guard = self.lock()?;
        let attempted = || format!("use the kept world in {}", folder.display());
        match lock(&folder.join("lock"), FlockArg::LockExclusiveNonblock) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                Err(Failure::new(attempted(), "another run uses it").next("wait until that has ended"))
            }
            lock => lock.attempting(attempted),
        }
    }

    /// Folders of all worlds, sorted by name.
    pub fn worlds(&self) -> Vec<PathBuf> {
        self.folders("worlds")
    }

    /// Folders of all runs, sorted by name.
    pub fn runs(&self) -> Vec<PathBuf> {
        self.folders("runs")
    }

    fn folders(&self, kind: &str) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = fs::read_dir(self.root.join(kind))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        folders
    }

    /// State of the run or world in `folder`, which stays as it is.
    pub fn state(folder: &Path) -> State {
        match held(&folder.join("lock"), FlockArg::LockExclusiveNonblock) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => State::Owned,
            _ if folder.join(KEPT).exists() => State::Kept,
            _ => State::Abandoned,
        }
    }
}

impl Claim {
    /// Marks the world as kept and lets go of it.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn keep(self) -> Result<()> {
        fs::write(self.folder.join(KEPT), "").attempting(|| format!("mark {} as kept", self.folder.display()))?;
        drop(self.lock);
        Ok(())
    }
}

/// The slot written in a world's folder.
pub fn slot(folder: &Path) -> Option<u8> {
    fs::read_to_string(folder.join(SLOT)).ok()?.trim().parse().ok()
}

/// Locks a file that is there.
fn held(path: &Path, how: FlockArg) -> std::io::Result<Flock<File>> {
    Flock::lock(File::open(path)?, how).map_err(|(_, e)| e.into())
}

fn lock(path: &Path, how: FlockArg) -> std::io::Result<Flock<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    Flock::lock(file, how).map_err(|(_, e)| e.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_at_a_world_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let listed = || fs::read_dir(folder.path()).unwrap().count();
        assert_eq!((Estate::state(folder.path()), listed()), (State::Abandoned, 0));
        fs::write(folder.path().join(KEPT), "").unwrap();
        assert_eq!((Estate::state(folder.path()), listed()), (State::Kept, 1));
        let owner = lock(&folder.path().join("lock"), FlockArg::LockExclusive).unwrap();
        assert_eq!((Estate::state(folder.path()), listed()), (State::Owned, 2));
        drop(owner);
        assert_eq!(Estate::state(folder.path()), State::Kept);
        let estate = Estate { root: folder.path().join("absent") };
        assert!(estate.hold().unwrap().is_none() && !estate.root.exists());
    }
}
