//! Where secret values belong: the only places that are not searched.

use std::path::Path;

/// A place where values belong.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// What matches: a kind of the API, or a part of a path in a world's folder.
    pub what: What,
    /// Why they belong there, or why the place is not searched as it is.
    pub reason: &'static str,
}

/// How a place is recognised.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// A kind of the core API.
    Kind(&'static str),
    /// Names of folders, one in the other, anywhere in a world's folder.
    Path(&'static str),
}

/// All of them. The memory of a world is another: the gateway plays the backends in it, and etcd has its data there. Nothing of
/// it is an artifact.
pub const PLACES: [Place; 4] = [
    Place { what: What::Kind("Secret"), reason: "the operator's work is to write values there" },
    Place {
        what: What::Path("volumes/kubernetes.io~secret"),
        reason: "a Pod that mounts a Secret has it there, in memory",
    },
    Place {
        what: What::Path("platform.git/objects"),
        reason: "it is packed in a way of Git's own, and searched as git unpacks it",
    },
    Place {
        what: What::Path("io.containerd.content.v1.content/blobs"),
        reason: "images, which are older than the run and the same for all worlds",
    },
];

/// Whether values belong in objects of a kind of the core API.
pub fn belong_in_kind(kind: &str) -> bool {
    PLACES.iter().any(|place| matches!(place.what, What::Kind(own) if own == kind))
}

/// Whether values belong at a path of a world's folder.
pub fn belong_at(path: &Path) -> bool {
    let is = |own: &str| {
        let own: Vec<_> = Path::new(own).iter().collect();
        let names: Vec<_> = path.iter().collect();
        names.windows(own.len()).any(|names| names == own)
    };
    PLACES.iter().any(|place| matches!(place.what, What::Path(own) if is(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_a_place_is_searched() {
        assert!(belong_in_kind("Secret") && !belong_in_kind("ConfigMap") && !belong_in_kind("SecretStore"));
        assert!(!belong_at(Path::new("etcd/member/wal")) && !belong_at(Path::new("logs/etcd.log")));
        let pod = "nodes/node/kubelet/pods/1/volumes";
        assert!(belong_at(&Path::new(pod).join("kubernetes.io~secret/a/password")));
        assert!(!belong_at(&Path::new(pod).join("kubernetes.io~empty-dir/a/password")));
        assert!(!belong_at(Path::new("platform.git/config")));
    }
}
