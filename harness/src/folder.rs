//! Folders that only their owner may enter: keys, kubeconfigs and reports are in them.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::Path};

use nix::mount::{MsFlags, mount};
use walkdir::WalkDir;

/// Mode of a folder of which nobody but its owner has anything.
const OWNER: u32 = 0o700;
/// Most that a folder in memory may hold, in bytes: many times the keys of a world.
const MEMORY: u32 = 16 << 20;

/// Makes a folder that nobody but its owner may enter, and with the usual rights those above it that are not there. One that
/// is there stays as it is.
///
/// # Errors
/// When it cannot be made.
pub fn private(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::DirBuilder::new().recursive(true).mode(OWNER).create(folder)
}

/// Makes a folder that is not there yet, and that nobody but its owner may enter.
///
/// # Errors
/// When it is there, or cannot be made.
pub fn new_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(OWNER).create(folder)
}

/// Makes a folder in memory that is not there yet, and that nobody but its owner may enter. Whoever removes it unmounts it.
///
/// # Errors
/// When it is there, or nothing can be mounted.
pub fn in_memory(folder: &Path) -> io::Result<()> {
    new_private(folder)?;
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOSUID;
    let limits = format!("mode={OWNER:o},size={MEMORY}");
    Ok(mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some(limits.as_str()))?)
}

/// Bytes of all files in a folder and below it.
pub fn size(folder: &Path) -> u64 {
    let files = WalkDir::new(folder).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
    files.filter(fs::Metadata::is_file).map(|file| file.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_may_enter() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("shared/own");
        private(&folder).unwrap();
        new_private(&folder.join("new")).unwrap();
        for folder in [&folder, &folder.join("new")] {
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
        private(&folder).unwrap();
        assert!(new_private(&folder).is_err(), "it is there already");
    }

    #[test]
    fn a_folder_is_as_large_as_all_files_below_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("one"), "123").unwrap();
        fs::write(folder.path().join("below/two"), "4567").unwrap();
        assert_eq!((size(folder.path()), size(&folder.path().join("absent"))), (7, 0));
    }
}
