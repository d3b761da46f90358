//! The node's image: composed of components and Debian packages like other images, and handed to Docker.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tar::{Builder, Header};
use tracing::info;

use super::docker::docker;
use crate::{
    components::{Artifact, ImageSet, Store},
    failure::{Attempt, Failure, Result},
};

/// What a cluster is made with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The kind CLI.
    pub kind: PathBuf,
    /// The node's image, which Docker has.
    pub image: String,
    /// Tag of etcd's image.
    pub etcd: String,
    /// The cache of components, where the gateway finds images.
    pub cache: PathBuf,
    /// Where these came from.
    pub artifacts: Vec<Artifact>,
}

impl Tools {
    /// Finds or makes them, and gives Docker the image.
    ///
    /// # Errors
    /// When no source has one of them, or Docker refuses the image.
    pub async fn find(store: &Store) -> Result<Self> {
        let kind = store.obtain("kind").await?;
        let images = store.images(&[&store.lock.kind.node]).await?;
        let image = load(store, &images).await?;
        let etcd = store.lock.kind.images.iter().find_map(|image| image.strip_prefix("registry.k8s.io/etcd:"));
        let etcd =
            etcd.ok_or_else(|| Failure::new("find etcd's image", "the component lock does not list it"))?.to_owned();
        let cache = store.cache().root().to_owned();
        let program = kind.path.join("kind");
        let artifacts = std::iter::once(kind).chain(images.artifacts).collect();
        Ok(Self { kind: program, image, etcd, cache, artifacts })
    }
}

/// Gives Docker the only image of the set, unless it has it, and returns its name there, which says what is in it.
///
/// # Errors
/// When Docker refuses it.
async fn load(store: &Store, images: &ImageSet) -> Result<String> {
    let Some((reference, digest)) = images.refs.first_key_value() else {
        return Err(Failure::new("give Docker the node's image", "there is none"));
    };
    let name = name(reference, digest);
    if docker(["image", "inspect", &name]).output().await.is_ok() {
        return Ok(name);
    }
    info!("Docker gets the node's image {name}");
    let making = store.cache().make("docker-node").await?;
    let file = making.folder.join("node.tar");
    archive(&images.blobs, digest, &name, &file)?;
    docker(["load", "--quiet", "--input"]).arg(&file).output().await?;
    Ok(name)
}

/// Name of an image in Docker, with a tag by which its content can be told.
fn name(reference: &str, digest: &str) -> String {
    let name = reference.rsplit_once(':').map_or(reference, |(name, _)| name);
    let short: String = digest.trim_start_matches("sha256:").chars().take(12).collect();
    format!("{name}:{short}")
}

/// Writes an image as `docker load` wants it: blobs, and a list of what they are.
fn archive(blobs: &Path, digest: &str, name: &str, target: &Path) -> Result<()> {
    let attempted = || format!("write {}", target.display());
    let blob = |digest: &str| blobs.join(digest.trim_start_matches("sha256:"));
    let manifest = std::fs::read(blob(digest)).attempting(attempted)?;
    let manifest: Value = serde_json::from_slice(&manifest).attempting(attempted)?;
    let file = |part: &Value, suffix: &str| {
        let digest = part["digest"].as_str().unwrap_or_default().trim_start_matches("sha256:").to_owned();
        (blob(&digest), format!("{digest}{suffix}"))
    };
    let config = file(&manifest["config"], ".json");
    let layers: Vec<_> = manifest["layers"].as_array().into_iter().flatten().map(|l| file(l, ".tar")).collect();
    let names: Vec<&String> = layers.iter().map(|(_, name)| name).collect();
    let index = json!([{"Config": config.1, "RepoTags": [name], "Layers": names}]).to_string();
    let mut tar = Builder::new(File::create(target).attempting(attempted)?);
    for (path, name) in std::iter::once(&config).chain(&layers) {
        tar.append_path_with_name(path, name).attempting(attempted)?;
    }
    let mut header = Header::new_gnu();
    header.set_size(index.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "manifest.json", index.as_bytes()).attempting(attempted)?;
    tar.into_inner().map(|_| ()).attempting(attempted)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read};

    use super::*;

    #[test]
    fn the_name_tells_the_content() {
        assert_eq!(name("localhost/a/node:v1", "sha256:0123456789abcdef"), "localhost/a/node:0123456789ab");
    }

    #[test]
    fn an_archive_lists_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let manifest =
            json!({"config": {"digest": "sha256:c0"}, "layers": [{"digest": "sha256:a0"}, {"digest": "sha256:b0"}]});
        for (name, text) in
            [("d0", manifest.to_string()), ("c0", "{}".into()), ("a0", "one".into()), ("b0", "two".into())]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let target = folder.path().join("image.tar");
        archive(folder.path(), "sha256:d0", "localhost/node:d0", &target).unwrap();
        let mut tar = tar::Archive::new(File::open(target).unwrap());
        let mut files = std::collections::BTreeMap::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), text);
        }
        let index: Value = serde_json::from_str(&files["manifest.json"]).unwrap();
        assert_eq!(index[0]["RepoTags"], json!(["localhost/node:d0"]));
        assert_eq!(index[0]["Layers"], json!(["a0.tar", "b0.tar"]));
        assert_eq!((files["c0.json"].as_str(), files["b0.tar"].as_str()), ("{}", "two"));
    }
}
