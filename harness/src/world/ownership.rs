//! Who owns what on this machine: a folder, control groups and a lock for each run and each world, so that what a
//! dead owner left can be told from what a living one uses.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use nix::fcntl::{Flock, FlockArg};

use crate::{
    cluster::embedded::{cgroups::Hierarchies, network::Network, preflight},
    failure::{Attempt, Failure, Result},
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
    /// Opens the folder, and makes it when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open() -> Result<Self> {
        let root =
            std::env::var_os("TRINITY_STATE").map_or_else(|| PathBuf::from("/var/lib/trinity-e2e"), PathBuf::from);
        for folder in ["runs", "worlds"] {
            fs::create_dir_all(root.join(folder)).map_err(|e| {
                Failure::new(format!("make {}", root.display()), e)
                    .next("run as root, or set TRINITY_STATE to a folder that you can write")
            })?;
        }
        let root = root.canonicalize().attempting(|| format!("resolve {}", root.display()))?;
        Ok(Self { root })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
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
        let routes = Command::new("ip")
            .args(["-4", "-o", "route", "show", "table", "all"])
            .output()
            .attempting(|| "list this machine's routes".into())?;
        let network = preflight::free_slot(&held, &String::from_utf8_lossy(&routes.stdout))?;
        let claim = self.claim("worlds", format!("{of}-{run}"))?;
        fs::write(claim.folder.join(SLOT), network.slot().to_string())
            .attempting(|| format!("claim {}", claim.folder.display()))?;
        Ok((claim, network))
    }

    fn claim(&self, kind: &str, name: String) -> Result<Claim> {
        let folder = self.root.join(kind).join(&name);
        let attempted = || format!("claim {}", folder.display());
        fs::create_dir(&folder).attempting(attempted)?;
        let lock = lock(&folder.join("lock"), FlockArg::LockExclusiveNonblock).attempting(attempted)?;
        Hierarchies::find()?.create(&name)?;
        Ok(Claim { name, folder, lock })
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

    /// State of the run or world in `folder`.
    pub fn state(folder: &Path) -> State {
        match lock(&folder.join("lock"), FlockArg::LockExclusiveNonblock) {
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

fn lock(path: &Path, how: FlockArg) -> std::io::Result<Flock<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    Flock::lock(file, how).map_err(|(_, e)| e.into())
}
