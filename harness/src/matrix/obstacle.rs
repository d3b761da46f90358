//! Releases of the operator with which no cell can be run, and why.

use std::collections::BTreeMap;

use crate::{components::Store, subject::Subject};

/// The reason for each of `versions` that cannot be run on this machine with this platform. A release that is built here
/// counts as had: it is not built to find out.
pub(super) async fn find(store: &Store, subject: &Subject, versions: &[String]) -> BTreeMap<String, String> {
    let mut obstacles = BTreeMap::new();
    for version in versions {
        let cell = (*version != subject.pinned).then_some(version.as_str());
        let lacking = |cloud| subject.root(cloud, cell).err();
        let why = match subject.clouds.iter().copied().find_map(lacking) {
            Some(failure) => Some(format!("the platform has no cell of its own for it: {}", failure.seen())),
            None if built(store, version) => None,
            None => store
                .operator(Some(version), &subject.pinned)
                .await
                .err()
                .map(|failure| failure.seen().replace("\n    ", "; ")),
        };
        obstacles.extend(why.map(|why| (version.clone(), why)));
    }
    obstacles
}

/// Whether this machine composes the image of that release itself.
fn built(store: &Store, version: &str) -> bool {
    let image = store.lock.operator_release(version).and_then(|release| store.lock.image(&release.image));
    image.is_ok_and(|image| image.compose.is_some())
}
