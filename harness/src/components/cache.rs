//! The artifact cache: blobs by SHA-256, and one small entry for every artifact that names its blobs.
//!
//! A producer works in a temporary folder under its artifact's lock and publishes by renaming the entry into place
//! last. So two processes never make the same artifact at once, and a killed one leaves no half artifact.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::failure::{Attempt, Failure, Result};

/// Where an artifact came from before it was in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The mirror folder.
    Mirror,
    /// A release of the project.
    Download,
    /// An image registry.
    Pull,
    /// Built on this machine from sources, published ones or those of this workspace.
    Build,
    /// Packages of Debian.
    Debian,
    /// The Python package index.
    PyPI,
    /// The registry of npm.
    Npm,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mirror => "mirror",
            Self::Download => "download",
            Self::Pull => "pull",
            Self::Build => "build",
            Self::Debian => "Debian",
            Self::PyPI => "PyPI",
            Self::Npm => "npm",
        })
    }
}

/// What the cache knows of an artifact.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Name in the component lock: a component, or an image reference.
    pub name: String,
    /// Version in the component lock.
    pub version: String,
    /// Where it came from.
    pub origin: Origin,
    /// File name → SHA-256 of its content.
    pub files: BTreeMap<String, String>,
    /// Digest of the manifest, when it is an image.
    pub manifest: Option<String>,
}

/// The cache folder.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// Exclusive right to make one artifact, and a temporary folder to make it in.
#[derive(Debug)]
pub struct Making {
    /// Empty folder in the cache's own file system.
    pub folder: PathBuf,
    _lock: Flock<File>,
}

impl Drop for Making {
    fn drop(&mut self) {
        // A producer that is killed before this point leaves the folder to the next one.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Cache {
    /// Opens or makes the cache in `root`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(root: PathBuf) -> Result<Self> {
        for folder in ["blobs/sha256", "entries", "locks", "making", "trees"] {
            fs::create_dir_all(root.join(folder)).map_err(|e| {
                Failure::new(format!("make the cache {}", root.display()), e)
                    .next("set XDG_CACHE_HOME to a folder that can be written")
            })?;
        }
        Ok(Self::look(root))
    }

    /// The cache in `root` as it is, for somebody who only looks.
    pub const fn look(root: PathBuf) -> Self {
        Self { root }
    }

    /// Folder of everything that is in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of the blobs: `<folder>/<sha256>`.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    /// Path of one blob.
    pub fn blob(&self, sha256: &str) -> PathBuf {
        self.blobs().join(sha256)
    }

    /// Folder in which an artifact's files have their names.
    pub fn tree(&self, key: &str) -> PathBuf {
        self.root.join("trees").join(key)
    }

    /// The entry under `key`, when all its blobs are there.
    pub fn entry(&self, key: &str) -> Option<Entry> {
        let entry: Entry = serde_json::from_slice(&fs::read(self.entry_file(key)).ok()?).ok()?;
        let whole = entry.files.values().all(|sha256| self.blob(sha256).exists());
        whole.then_some(entry)
    }

    /// All entries with their keys.
    pub fn entries(&self) -> Vec<(String, Entry)> {
        let mut found: Vec<(String, Entry)> = fs::read_dir(self.root.join("entries"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|file| {
                let key = file.path().file_stem()?.to_str()?.to_owned();
                Some((key.clone(), self.entry(&key)?))
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Waits for the right to make the artifact `key`.
    ///
    /// # Errors
    /// When the lock cannot be taken or the temporary folder cannot be made.
    pub async fn make(&self, key: &str) -> Result<Making> {
        let path = self.root.join("locks").join(key);
        let attempted = format!("lock {}", path.display());
        let lock = tokio::task::spawn_blocking(move || -> io::Result<Flock<File>> {
            let file = File::options().create(true).truncate(false).write(true).open(path)?;
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e.into())
        })
        .await
        .attempting(|| attempted.clone())?
        .attempting(|| attempted.clone())?;
        let folder = self.root.join("making").join(key);
        let attempted = || format!("empty {}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).attempting(attempted)?;
        }
        fs::create_dir_all(&folder).attempting(attempted)?;
        Ok(Making { folder, _lock: lock })
    }

    /// Moves a finished file of a temporary folder into the cache and returns its SHA-256.
    ///
    /// # Errors
    /// When it cannot be read or moved.
    pub fn add(&self, file: &Path) -> Result<String> {
        let attempted = || format!("put {} into the cache", file.display());
        let sha256 = hash(file).attempting(attempted)?;
        File::open(file).and_then(|f| f.sync_all()).attempting(attempted)?;
        fs::rename(file, self.blob(&sha256)).attempting(attempted)?;
        Ok(sha256)
    }

    /// Publishes an artifact whose blobs are all in the cache, and gives its files their names.
    ///
    /// # Errors
    /// When the entry cannot be written.
    pub fn publish(&self, key: &str, making: &Making, entry: &Entry) -> Result<()> {
        let attempted = || format!("publish {key} in the cache");
        if entry.manifest.is_none() && !entry.files.is_empty() {
            let tree = making.folder.join("tree");
            fs::create_dir_all(&tree).attempting(attempted)?;
            for (name, sha256) in &entry.files {
                let blob = self.blob(sha256);
                fs::set_permissions(&blob, fs::Permissions::from_mode(0o755)).attempting(attempted)?;
                fs::hard_link(blob, tree.join(name)).attempting(attempted)?;
            }
            self.place(&tree, key)?;
        }
        let json = serde_json::to_vec_pretty(entry).attempting(attempted)?;
        let file = making.folder.join("entry.json");
        fs::write(&file, json).attempting(attempted)?;
        File::open(&file).and_then(|f| f.sync_all()).attempting(attempted)?;
        fs::rename(file, self.entry_file(key)).attempting(attempted)
    }

    /// Moves a finished folder to its place, in the stead of what an interrupted publication left there.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn place(&self, folder: &Path, key: &str) -> Result<()> {
        let place = self.tree(key);
        let attempted = || format!("move {} to {}", folder.display(), place.display());
        if place.exists() {
            fs::remove_dir_all(&place).attempting(attempted)?;
        }
        fs::rename(folder, &place).attempting(attempted)
    }

    /// Removes what killed producers have left half made; returns the keys.
    ///
    /// # Errors
    /// When a folder cannot be removed.
    pub fn sweep(&self) -> Result<Vec<String>> {
        let half_made = self.half_made()?;
        for key in &half_made {
            fs::remove_dir_all(self.root.join("making").join(key))
                .attempting(|| format!("remove the half-made {key}"))?;
        }
        Ok(half_made)
    }

    /// Keys of what killed producers have left half made.
    ///
    /// # Errors
    /// When a producer's lock cannot be read.
    pub fn half_made(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join("making")).into_iter().flatten().flatten() {
            let key = entry.file_name().to_string_lossy().into_owned();
            let lock = File::open(self.root.join("locks").join(&key));
            let lock = lock.attempting(|| format!("see whether the half-made {key} is being made"))?;
            // A living producer holds the lock.
            if Flock::lock(lock, FlockArg::LockExclusiveNonblock).is_ok() {
                found.push(key);
            }
        }
        Ok(found)
    }

    /// Forgets an artifact, so that it is made again.
    ///
    /// # Errors
    /// When the entry cannot be removed.
    pub fn forget(&self, key: &str) -> Result<()> {
        fs::remove_file(self.entry_file(key)).attempting(|| format!("forget {key}"))
    }

    fn entry_file(&self, key: &str) -> PathBuf {
        self.root.join("entries").join(format!("{key}.json"))
    }
}

/// SHA-256 of a file, hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn hash(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// SHA-256 of bytes, hexadecimal.
pub fn hash_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_killed_producer_leaves_no_artifact() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().to_owned()).unwrap();
        let making = cache.make("thing-1").await.unwrap();
        fs::write(making.folder.join("half"), "ha").unwrap();
        // A killed process drops its lock without running destructors.
        let left = making.folder.clone();
        let Making { _lock, .. } = &making;
        fs::create_dir_all(&left).unwrap();
        assert!(cache.entry("thing-1").is_none());
        assert!(cache.sweep().unwrap().is_empty(), "a living producer is left alone");
        drop(making);
        fs::create_dir_all(&left).unwrap();
        assert_eq!(cache.sweep().unwrap(), ["thing-1"]);
        let again = cache.make("thing-1").await.unwrap();
        assert_eq!(fs::read_dir(&again.folder).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_entry_without_its_blob_is_no_artifact() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().to_owned()).unwrap();
        let making = cache.make("thing-1").await.unwrap();
        fs::write(making.folder.join("program"), "content").unwrap();
        let sha256 = cache.add(&making.folder.join("program")).unwrap();
        let entry = Entry {
            name: "thing".into(),
            version: "1".into(),
            origin: Origin::Build,
            files: [("program".to_owned(), sha256.clone())].into(),
            manifest: None,
        };
        cache.publish("thing-1", &making, &entry).unwrap();
        assert_eq!(fs::read_to_string(cache.tree("thing-1").join("program")).unwrap(), "content");
        assert!(cache.entry("thing-1").is_some());
        fs::remove_file(cache.blob(&sha256)).unwrap();
        assert!(cache.entry("thing-1").is_none());
    }
}
