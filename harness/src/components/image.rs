//! Container images on disk: layers, configurations and manifests of the OCI image format, as blobs of the cache.
//!
//! Layers are plain tar files. Unpacking is what a world waits for, and a loopback connection does not mind the size.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};
use walkdir::WalkDir;

use super::cache::{Cache, Making, hash_bytes};
use crate::failure::{Attempt, Failure, Result};

/// Media types of the OCI image specification.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layer that is in the cache.
#[derive(Clone, Debug)]
pub struct Layer {
    /// SHA-256 of the tar file; as it is not compressed, of its content too.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// One file of a layer.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub content: Content,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// What a file of a layer is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A folder.
    Folder,
    /// A symbolic link and its target.
    Link(PathBuf),
    /// A file with the content of a file on the machine.
    Copy(PathBuf),
    /// A file with this content.
    Text(String),
}

/// Files of a layer by path, without a leading slash: sorted, so that equal files make equal layers.
pub type Tree = BTreeMap<PathBuf, Node>;

/// Writes a layer. Times are zero, so that its digest depends on the files only.
///
/// # Errors
/// When a file cannot be read or the layer cannot be written.
pub fn layer(cache: &Cache, making: &Making, tree: &Tree) -> Result<Layer> {
    let path = making.folder.join("layer.tar");
    let attempted = || "write an image layer".to_owned();
    let mut tar = Builder::new(File::create(&path).attempting(attempted)?);
    for (name, node) in tree {
        append(&mut tar, name, node).attempting(|| format!("put {} into an image layer", name.display()))?;
    }
    tar.into_inner().and_then(|mut file| file.flush()).attempting(attempted)?;
    let size = fs::metadata(&path).attempting(attempted)?.len();
    Ok(Layer { sha256: cache.add(&path)?, size })
}

fn append(tar: &mut Builder<File>, name: &Path, node: &Node) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(node.mode);
    header.set_uid(node.owner.0.into());
    header.set_gid(node.owner.1.into());
    header.set_mtime(0);
    match &node.content {
        Content::Folder => {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            tar.append_data(&mut header, name, io::empty())
        }
        Content::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, name, target)
        }
        Content::Copy(source) => {
            let file = File::open(source)?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(file.metadata()?.len());
            tar.append_data(&mut header, name, file)
        }
        Content::Text(text) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes())
        }
    }
}

/// The files of a folder, as a layer would hold them. Device files are left out: a container gets its own.
///
/// # Errors
/// When the folder cannot be read.
pub fn scan(root: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Tree> {
    let mut tree = Tree::new();
    for entry in WalkDir::new(root).min_depth(1) {
        let attempted = || format!("read {}", root.display());
        let entry = entry.attempting(attempted)?;
        let name = entry.path().strip_prefix(root).attempting(attempted)?.to_owned();
        if !wanted(&name) {
            continue;
        }
        let meta = entry.path().symlink_metadata().attempting(attempted)?;
        let kind = meta.file_type();
        if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
            continue;
        }
        let content = if kind.is_dir() {
            Content::Folder
        } else if kind.is_symlink() {
            Content::Link(fs::read_link(entry.path()).attempting(attempted)?)
        } else {
            Content::Copy(entry.path().to_owned())
        };
        tree.insert(name, Node { content, mode: meta.mode() & 0o7777, owner: (meta.uid(), meta.gid()) });
    }
    Ok(tree)
}

/// Writes configuration and manifest of an image made of `layers`; returns all its blobs and the manifest's digest
/// (`sha256:…`). `config` is the `config` object of the OCI image configuration.
///
/// # Errors
/// When a blob cannot be written.
pub fn write(
    cache: &Cache,
    making: &Making,
    layers: &[Layer],
    config: &Value,
) -> Result<(BTreeMap<String, String>, String)> {
    let configuration = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|l| format!("sha256:{}", l.sha256)).collect::<Vec<_>>()},
    });
    let configuration = configuration.to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": CONFIG,
            "digest": format!("sha256:{}", hash_bytes(configuration.as_bytes())),
            "size": configuration.len(),
        },
        "layers": layers.iter().map(|l| json!({
            "mediaType": LAYER, "digest": format!("sha256:{}", l.sha256), "size": l.size,
        })).collect::<Vec<_>>(),
    })
    .to_string();
    let mut files: BTreeMap<String, String> =
        layers.iter().enumerate().map(|(i, l)| (format!("layer-{i}"), l.sha256.clone())).collect();
    for (name, text) in [("config", &configuration), ("manifest", &manifest)] {
        let path = making.folder.join(name);
        fs::write(&path, text).attempting(|| format!("write the image's {name}"))?;
        files.insert(name.into(), cache.add(&path)?);
    }
    let digest = format!("sha256:{}", files["manifest"]);
    Ok((files, digest))
}

/// Takes over an image that `docker save` wrote, compressed with zstd.
///
/// # Errors
/// When the archive is not whole or has not exactly one image.
pub fn import(cache: &Cache, making: &Making, archive: &Path) -> Result<(BTreeMap<String, String>, String)> {
    let attempted = || format!("read the image archive {}", archive.display());
    let folder = making.folder.join("archive");
    let file = File::open(archive).attempting(attempted)?;
    let plain = zstd::Decoder::new(file).attempting(attempted)?;
    tar::Archive::new(plain).unpack(&folder).attempting(attempted)?;
    let read = |name: &str| -> Result<Value> {
        let bytes = fs::read(folder.join(name)).attempting(attempted)?;
        serde_json::from_slice(&bytes).attempting(attempted)
    };
    let index = read("manifest.json")?;
    let Some([image]) = index.as_array().map(Vec::as_slice) else {
        return Err(Failure::new(attempted(), "its manifest.json does not list exactly one image"));
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let config = read(&text(&image["Config"]))?["config"].clone();
    let mut layers = Vec::new();
    for name in image["Layers"].as_array().into_iter().flatten() {
        let path = folder.join(text(name));
        let plain = making.folder.join("plain.tar");
        decompress(&path, &plain).attempting(attempted)?;
        let size = fs::metadata(&plain).attempting(attempted)?.len();
        let sha256 = cache.add(&plain)?;
        layers.push(Layer { sha256, size });
    }
    write(cache, making, &layers, &config)
}

/// Containerd's `hosts.toml` that sends every pull to the plain-HTTP registry at `address`.
pub fn mirror(address: &str) -> String {
    format!("[host.\"http://{address}\"]\ncapabilities = [\"pull\", \"resolve\"]\n")
}

/// Digests (hexadecimal) of the blobs of the image with the manifest or index `digest`, as far as `folder` has them: of
/// an index, only one platform's.
///
/// # Errors
/// When a manifest cannot be read.
pub fn blobs(folder: &Path, digest: &str) -> Result<Vec<String>> {
    let sha256 = digest.trim_start_matches("sha256:").to_owned();
    let path = folder.join(&sha256);
    let attempted = || format!("read the image manifest {}", path.display());
    let manifest: Value = serde_json::from_slice(&fs::read(&path).attempting(attempted)?).attempting(attempted)?;
    let list = |name: &str| manifest[name].as_array().into_iter().flatten();
    let parts = list("layers").chain([&manifest["config"]]).filter_map(|part| part["digest"].as_str());
    let mut found: Vec<String> =
        std::iter::once(sha256).chain(parts.map(|d| d.trim_start_matches("sha256:").to_owned())).collect();
    for inner in list("manifests").filter_map(|m| m["digest"].as_str()) {
        if folder.join(inner.trim_start_matches("sha256:")).exists() {
            found.extend(blobs(folder, inner)?);
        }
    }
    Ok(found)
}

/// Copies a layer, removing gzip compression when it has it.
fn decompress(source: &Path, target: &Path) -> io::Result<()> {
    let mut magic = [0; 2];
    let mut file = File::open(source)?;
    let gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    let mut source: Box<dyn Read> = Box::new(File::open(source)?);
    if gzip {
        source = Box::new(flate2::read::GzDecoder::new(source));
    }
    io::copy(&mut source, &mut File::create(target)?).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn equal_files_make_equal_images() {
        let mut digests = Vec::new();
        for _ in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let cache = Cache::open(folder.path().join("cache")).unwrap();
            let making = cache.make("image").await.unwrap();
            let root = folder.path().join("root");
            fs::create_dir_all(root.join("bin")).unwrap();
            fs::write(root.join("bin/b"), "two").unwrap();
            fs::write(root.join("bin/a"), "one").unwrap();
            let one = layer(&cache, &making, &scan(&root, |_| true).unwrap()).unwrap();
            let (files, digest) = write(&cache, &making, &[one], &json!({"User": "999"})).unwrap();
            let mut named: Vec<String> = files.into_values().collect();
            named.sort();
            let mut listed = blobs(&cache.blobs(), &digest).unwrap();
            listed.sort();
            assert_eq!(named, listed);
            assert!(named.iter().all(|sha256| cache.blob(sha256).exists()));
            digests.push(digest);
        }
        assert_eq!(digests[0], digests[1]);
    }
}
