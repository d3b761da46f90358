//! Images that this machine composes itself: base system, packages, and files of components.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::json;

use super::{
    cache::Making,
    debian,
    image::{self, Content, Node, Tree},
    lock::Compose,
    store::Store,
};
use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
};

/// Composes an image; returns its blobs and the manifest's digest.
///
/// # Errors
/// When a part of it cannot be had.
pub async fn compose(store: &Store, making: &Making, recipe: &Compose) -> Result<(BTreeMap<String, String>, String)> {
    let mut layers = Vec::new();
    if recipe.debian {
        let base = store.base().await?;
        if !recipe.packages.is_empty() {
            layers.push(debian::packages(store.cache(), making, &base, &recipe.packages).await?);
        }
        layers.insert(0, base);
    }
    let tree = files(store, recipe).await?;
    if !tree.is_empty() {
        layers.push(image::layer(store.cache(), making, &tree)?);
    }
    let config = json!({
        "User": recipe.user.clone().unwrap_or_default(),
        "WorkingDir": recipe.workdir.clone().unwrap_or_else(|| "/".into()),
        "Env": std::iter::once("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned())
            .chain(recipe.env.iter().cloned())
            .collect::<Vec<_>>(),
        "Entrypoint": recipe.entrypoint,
        "Cmd": recipe.cmd,
    });
    image::write(store.cache(), making, &layers, &config)
}

/// The files of the uppermost layer.
async fn files(store: &Store, recipe: &Compose) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut put = |path: &str, content: Content, mode: u32, owner: (u32, u32)| {
        let path = Path::new(path.trim_start_matches('/'));
        for parent in path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
            // In an image with a base system the folders exist already, and a layer must not change their links.
            if !recipe.debian {
                tree.entry(parent.to_owned()).or_insert(Node { content: Content::Folder, mode: 0o755, owner: (0, 0) });
            }
        }
        tree.insert(path.to_owned(), Node { content, mode, owner });
    };
    for (folder, rights) in &recipe.folders {
        let (owner, mode) = rights_of(rights).ok_or_else(|| {
            Failure::new(format!("make {folder} in an image"), format!("{rights:?} is not `user:group mode`"))
        })?;
        put(folder, Content::Folder, mode, owner);
    }
    for (source, path) in &recipe.machine {
        put(path, Content::Copy(source.into()), 0o755, (0, 0));
    }
    for (source, path) in &recipe.files {
        let (component, file) = source.split_once('/').unwrap_or((source, source));
        let artifact = store.obtain(component).await?;
        put(path, Content::Copy(artifact.path.join(file)), 0o755, (0, 0));
    }
    for (path, text) in &recipe.texts {
        put(path, Content::Text(text.clone()), 0o644, (0, 0));
    }
    for (link, target) in &recipe.links {
        put(link, Content::Link(target.into()), 0o777, (0, 0));
    }
    if let Some(busybox) = &recipe.applets {
        let machine = recipe.machine.iter().find(|(_, path)| *path == busybox).map(|(source, _)| source);
        let machine =
            machine.ok_or_else(|| Failure::new("name the applets of an image", format!("it has no {busybox}")))?;
        fs::metadata(machine).attempting(|| format!("read {machine}"))?;
        for applet in Run::new(machine).arg("--list").text().await?.lines().filter(|name| *name != "busybox") {
            put(&format!("bin/{applet}"), Content::Link(busybox.into()), 0o777, (0, 0));
        }
    }
    Ok(tree)
}

/// `user:group mode`, the mode in octal.
fn rights_of(text: &str) -> Option<((u32, u32), u32)> {
    let (owner, mode) = text.split_once(' ')?;
    let (user, group) = owner.split_once(':')?;
    Some(((user.parse().ok()?, group.parse().ok()?), u32::from_str_radix(mode, 8).ok()?))
}
