//! Getting components and images, against a server on this machine: what is taken, what is refused, and what is left.

// A test that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use trinity_e2e::components::{
    Lock, Options, Origin, Store,
    cache::{hash, hash_bytes},
};

/// What the server has, and how often it was asked for a program.
#[derive(Clone, Default)]
struct Shelf {
    programs: Arc<AtomicUsize>,
}

const PROGRAM: &[u8] = b"#!/bin/sh\necho one\n";

/// Serves releases and images on the loopback and returns the address.
async fn serve(shelf: Shelf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(answer).with_state((shelf, address.clone()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn answer(State((shelf, address)): State<(Shelf, String)>, request: Request) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION).is_some_and(|v| v == "Bearer pass");
    match request.uri().path() {
        "/program" => {
            shelf.programs.fetch_add(1, Ordering::SeqCst);
            PROGRAM.into_response()
        }
        "/program.sha256" => format!("{}  program\n", hash_bytes(PROGRAM)).into_response(),
        "/wrong.sha256" => format!("{}  program\n", hash_bytes(b"another")).into_response(),
        "/program.tar.gz" => archive().into_response(),
        "/archive.sha256" => hash_bytes(&archive()).into_response(),
        "/token" => axum::Json(json!({"token": "pass"})).into_response(),
        path if path.starts_with("/v2/") && !bearer => {
            let challenge =
                format!("Bearer realm=\"http://{address}/token\",service=\"here\",scope=\"repository:some/app:pull\"");
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
        }
        "/v2/some/app/manifests/1" => axum::Json(index()).into_response(),
        path if path == format!("/v2/some/app/manifests/sha256:{}", digest(&manifest())) => {
            axum::Json(manifest()).into_response()
        }
        path if path == format!("/v2/some/app/blobs/sha256:{}", hash_bytes(b"{}")) => "{}".into_response(),
        path if path == format!("/v2/some/app/blobs/sha256:{}", hash_bytes(b"layer")) => "layer".into_response(),
        path if path == format!("/v2/some/app/blobs/sha256:{}", "0".repeat(64)) => {
            "not what the digest says".into_response()
        }
        "/v2/some/app/manifests/forged" => {
            axum::Json(json!({"config": {"digest": format!("sha256:{}", "0".repeat(64))}, "layers": []}))
                .into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A server that announces a thousand bytes and closes the connection after a few. Returns its address.
async fn serve_half() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nthe beginning").await.unwrap();
    });
    address
}

fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut header = tar::Header::new_gnu();
    header.set_size(PROGRAM.len() as u64);
    tar.append_data(&mut header, "bin/program", PROGRAM).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

fn manifest() -> serde_json::Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": format!("sha256:{}", hash_bytes(b"{}"))},
        "layers": [{"digest": format!("sha256:{}", hash_bytes(b"layer"))}],
    })
}

fn index() -> serde_json::Value {
    let other = format!("sha256:{}", "1".repeat(64));
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"digest": other, "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": format!("sha256:{}", digest(&manifest())), "platform": {"os": "linux", "architecture": "amd64"}},
    ]})
}

fn digest(value: &serde_json::Value) -> String {
    hash_bytes(value.to_string().as_bytes())
}

/// A store whose lock has one component `program`, with `source` as its source.
fn store(folder: &Path, mirror: Option<&Path>, source: &str) -> Store {
    let lock = format!("[[component]]\nname = \"program\"\nversion = \"1\"\nlicence = \"MIT\"\n{source}\n{}", head());
    Store::with(
        toml::from_str::<Lock>(&lock).unwrap(),
        Options { cache: Some(folder.to_owned()), mirror: mirror.map(Into::into) },
    )
    .unwrap()
}

/// What every lock has to have.
fn head() -> &'static str {
    "[[image]]\nreference = \"example.com/a:1\"\nlicence = \"MIT\"\n[debian]\nsuite = \"bookworm\"\n[debian.packages]\n\
     [operator]\npinned = \"1\"\nbuildable = \"1\"\n[operator.release]\n"
}

fn release(address: &str, path: &str, checksums: &str, more: &str) -> String {
    format!(
        "[[component.release]]\nfile = \"program\"\nurl = \"http://{address}{path}\"\nchecksums = \"http://{address}{checksums}\"\n{more}"
    )
}

/// A store with an empty cache that can only download the program, and the shelf that it downloads from.
async fn customer(path: &str, checksums: &str, more: &str) -> (TempDir, Shelf, Store) {
    let (folder, shelf) = (TempDir::new().unwrap(), Shelf::default());
    let address = serve(shelf.clone()).await;
    let store = store(folder.path(), None, &release(&address, path, checksums, more));
    (folder, shelf, store)
}

/// Nothing half made is in the cache.
fn assert_nothing_half_made(folder: &Path) {
    assert_eq!(fs::read_dir(folder.join("making")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(folder.join("entries")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_release_is_downloaded_checked_and_kept() {
    let (_folder, shelf, store) = customer("/program", "/program.sha256", "").await;
    for _ in 0..2 {
        let artifact = store.obtain("program").await.unwrap();
        assert_eq!(artifact.origin, Origin::Download);
        assert_eq!(fs::read(artifact.path.join("program")).unwrap(), PROGRAM);
    }
    assert_eq!(shelf.programs.load(Ordering::SeqCst), 1, "the second time it was in the cache");
}

#[tokio::test]
async fn a_member_of_an_archive_is_taken() {
    let (_folder, _, store) = customer("/program.tar.gz", "/archive.sha256", "member = \"bin/program\"").await;
    let artifact = store.obtain("program").await.unwrap();
    assert_eq!(fs::read(artifact.path.join("program")).unwrap(), PROGRAM);
}

#[tokio::test]
async fn a_file_that_is_not_what_its_checksum_says_is_refused() {
    let (folder, _, store) = customer("/program", "/wrong.sha256", "").await;
    let failure = store.obtain("program").await.unwrap_err().to_string();
    assert!(failure.contains(&hash_bytes(PROGRAM)) && failure.contains(&hash_bytes(b"another")), "{failure}");
    assert_nothing_half_made(folder.path());
}

#[tokio::test]
async fn a_download_that_breaks_off_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let address = serve(Shelf::default()).await;
    let source = release(&address, "/program", "/program.sha256", "")
        .replace(&format!("url = \"http://{address}"), &format!("url = \"http://{}", serve_half().await));
    let store = store(folder.path(), None, &source);
    let failure = store.obtain("program").await.unwrap_err().to_string();
    assert!(failure.contains("download http://"), "{failure}");
    assert_nothing_half_made(folder.path());
}

#[tokio::test]
async fn the_mirror_comes_before_the_release_and_is_checked_too() {
    let (folder, mirror, shelf) = (TempDir::new().unwrap(), TempDir::new().unwrap(), Shelf::default());
    let address = serve(shelf.clone()).await;
    File::create(mirror.path().join("program")).unwrap().write_all(PROGRAM).unwrap();
    let pinned = |sha256: &str| {
        format!(
            "[component.mirror]\npath = \"program\"\nsha256 = \"{sha256}\"\n{}",
            release(&address, "/program", "/program.sha256", "")
        )
    };
    let right = store(folder.path(), Some(mirror.path()), &pinned(&hash_bytes(PROGRAM)));
    assert_eq!(right.obtain("program").await.unwrap().origin, Origin::Mirror);
    let wrong = store(folder.path(), Some(mirror.path()), &pinned(&"0".repeat(64)));
    assert_eq!(wrong.obtain("program").await.unwrap().origin, Origin::Download);
    assert_eq!(shelf.programs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn two_that_want_the_same_get_it_once() {
    let (folder, shelf) = (TempDir::new().unwrap(), Shelf::default());
    let address = serve(shelf.clone()).await;
    let source = release(&address, "/program", "/program.sha256", "");
    // Two stores share nothing but the folder, like two processes.
    let (one, other) = (store(folder.path(), None, &source), store(folder.path(), None, &source));
    let (a, b) = tokio::join!(one.obtain("program"), other.obtain("program"));
    assert_eq!(a.unwrap().path, b.unwrap().path);
    assert_eq!(shelf.programs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_component_that_nobody_has_says_who_was_asked() {
    let (_folder, _, store) = customer("/absent", "/absent.sha256", "").await;
    let failure = store.obtain("program").await.unwrap_err().to_string();
    assert!(failure.contains("download: could not get http://") && failure.contains("404"), "{failure}");
}

#[tokio::test]
async fn a_changed_file_is_found_and_made_again() {
    let (_folder, shelf, store) = customer("/program", "/program.sha256", "").await;
    let artifact = store.obtain("program").await.unwrap();
    assert!(store.verify().unwrap().is_empty());
    fs::write(artifact.path.join("program"), "tampered").unwrap();
    assert_eq!(store.verify().unwrap(), ["program: program"]);
    let artifact = store.obtain("program").await.unwrap();
    assert_eq!(hash(&artifact.path.join("program")).unwrap(), hash_bytes(PROGRAM));
    assert_eq!(shelf.programs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_image_is_pulled_with_the_token_that_its_registry_asks_for() {
    let folder = TempDir::new().unwrap();
    let address = serve(Shelf::default()).await;
    let store = store(folder.path(), None, "");
    let pulled = store.pull(&format!("{address}/some/app:1")).await.unwrap();
    assert_eq!(pulled, format!("sha256:{}", digest(&index())));
    for blob in [&digest(&index()), &digest(&manifest()), &hash_bytes(b"{}"), &hash_bytes(b"layer")] {
        assert!(store.cache().blob(blob).exists(), "{blob}");
    }
}

#[tokio::test]
async fn a_blob_that_is_not_what_its_digest_says_is_refused() {
    let folder = TempDir::new().unwrap();
    let address = serve(Shelf::default()).await;
    let store = store(folder.path(), None, "");
    let failure = store.pull(&format!("{address}/some/app:forged")).await.unwrap_err().to_string();
    assert!(failure.contains("verify http://"), "{failure}");
    assert!(!store.cache().blob(&"0".repeat(64)).exists());
    assert_nothing_half_made(folder.path());
}

/// A store that can get images from `address` only: one that is there, and one that is not.
fn gallery(folder: &Path, address: &str, optional: bool) -> Store {
    let head = head().replace("example.com/a:1", &format!("{address}/some/app:1"));
    let absent = format!("[[image]]\nreference = \"{address}/some/app:2\"\nlicence = \"MIT\"\noptional = {optional}\n");
    let lock = format!("component = []\n{absent}{head}");
    let options = Options { cache: Some(folder.to_owned()), mirror: None };
    Store::with(toml::from_str::<Lock>(&lock).unwrap(), options).unwrap()
}

#[tokio::test]
async fn an_optional_image_that_nobody_has_is_told_and_the_others_are_had() {
    let folder = TempDir::new().unwrap();
    let address = serve(Shelf::default()).await;
    let (there, absent) = (format!("{address}/some/app:1"), format!("{address}/some/app:2"));
    let wanted = [absent.as_str(), there.as_str()];
    let (had, missing) = gallery(folder.path(), &address, true).available(&wanted).await.unwrap();
    assert_eq!(had.refs.keys().collect::<Vec<_>>(), [&there]);
    let [missing] = &missing[..] else { panic!("{missing:?}") };
    assert_eq!(missing.what.image(), Some(absent.as_str()));
    assert!(missing.reason.starts_with("no source has it: pull: could not get http://"), "{}", missing.reason);
    assert!(missing.reason.contains("404") && !missing.reason.contains('\n'), "{}", missing.reason);
    let failure = gallery(folder.path(), &address, false).available(&wanted).await.unwrap_err().to_string();
    assert!(failure.contains("some/app:2") && failure.contains("404"), "{failure}");
}

#[tokio::test]
async fn what_is_on_demand_is_got_when_it_is_named() {
    let folder = TempDir::new().unwrap();
    let address = serve(Shelf::default()).await;
    let (always, on_demand) = ("example.com/a:1", format!("{address}/some/app:1"));
    let image = format!("[[image]]\nreference = \"{on_demand}\"\nlicence = \"MIT\"\non_demand = true\n");
    let head = head().replace(always, &format!("{address}/some/app:2"));
    let options = Options { cache: Some(folder.path().to_owned()), mirror: None };
    let store =
        Store::with(toml::from_str::<Lock>(&format!("component = []\n{image}{head}")).unwrap(), options).unwrap();
    let got = async |names: &[String]| {
        let outcomes = store.fetch(names).await.unwrap();
        outcomes.into_iter().map(|(name, outcome)| (name, outcome.ok())).collect::<Vec<_>>()
    };
    // The server does not have this one; what matters is that nothing else is asked for.
    assert_eq!(got(&[]).await, [(format!("{address}/some/app:2"), None)]);
    assert_eq!(got(std::slice::from_ref(&on_demand)).await, [(on_demand.clone(), Some(Origin::Pull))]);
}

/// What is built from this workspace has the workspace's version.
#[test]
fn members_of_the_workspace_have_its_version() {
    let lock = Lock::load().unwrap();
    let members: Vec<_> = lock.component.iter().filter(|component| component.workspace.is_some()).collect();
    assert!(!members.is_empty());
    for member in members {
        assert_eq!(member.version, env!("CARGO_PKG_VERSION"), "{}", member.name);
    }
}

/// The platform under test and the lock speak of the same release.
#[test]
fn the_lock_pins_what_the_platform_pins() {
    let platform = trinity_e2e::workspace().join("fixtures/platforms/trinity/clusters");
    let releases = Lock::load().unwrap().operator;
    let read = |file: &str| fs::read_to_string(platform.join(file)).unwrap();
    assert!(read("aws/trinity-secrets.yaml").contains(&format!("targetRevision: {}\n", releases.pinned)));
    assert!(
        read(&format!("aws-eso-{}/kustomization.yaml", releases.buildable))
            .contains(&format!("value: {}\n", releases.buildable))
    );
}
