//! The disk that worlds are on: without room on it a world is no world any more, and says nothing about its platform.

use std::{path::Path, time::Duration};

use nix::sys::statvfs::statvfs;
use tokio::time::interval;

use crate::failure::Failure;

/// Room with which containers can still be made (bytes).
const LEAST: u64 = 64 << 20;
/// How often the room is measured; no kernel tells that a disk fills.
const OFTEN: Duration = Duration::from_secs(1);

/// Ends only when the file system of a folder is full, with what is left of it.
pub async fn full(folder: &Path) -> Failure {
    let mut moments = interval(OFTEN);
    loop {
        moments.tick().await;
        if let Ok(disk) = statvfs(folder)
            && let Some(left) =
                left(disk.blocks_available() * disk.fragment_size(), disk.files(), disk.files_available())
        {
            let seen = format!("the file system of {} is full: {left}", folder.display());
            return Failure::new("keep the world running", seen)
                .next("free some of it, or set TRINITY_STATE to a folder on a larger one");
        }
    }
}

/// What is left, when it is too little. File systems that make inodes as they need them say that there are none at all.
fn left(bytes: u64, inodes: u64, free: u64) -> Option<String> {
    let room = bytes >= LEAST && (inodes == 0 || free > 0);
    (!room).then(|| format!("{} MiB and {free} of {inodes} inodes are left", bytes >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_without_bytes_or_without_inodes() {
        assert_eq!(left(LEAST, 10, 1), None);
        assert_eq!(left(LEAST, 0, 0), None);
        assert_eq!(left(LEAST - 1, 10, 1).unwrap(), "63 MiB and 1 of 10 inodes are left");
        assert_eq!(left(1 << 30, 10, 0).unwrap(), "1024 MiB and 0 of 10 inodes are left");
    }
}
