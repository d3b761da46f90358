//! Pulls images from registries: the read side of the OCI distribution specification, anonymous.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use super::{
    cache::{Cache, Making, hash, hash_bytes},
    download::{Web, save},
};
use crate::failure::{Attempt, Failure, Result};

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Pulls `reference` for linux/amd64; returns its blobs and the digest of what the reference names: its manifest, or the
/// index that lists its manifest. Blobs that the cache has are not downloaded again.
///
/// # Errors
/// When the registry cannot be reached, does not have it, or sends something else than its digest says.
pub async fn pull(
    web: &Web,
    cache: &Cache,
    making: &Making,
    reference: &str,
) -> Result<(BTreeMap<String, String>, String)> {
    let image = parse(reference);
    let mut token = None;
    let mut files = BTreeMap::new();
    let (digest, mut manifest) = document(web, cache, making, &image, image.tag, &mut token).await?;
    if let Some(list) = manifest["manifests"].as_array() {
        files.insert("index".to_owned(), digest.clone());
        let wanted = list.iter().find(|m| m["platform"]["os"] == "linux" && m["platform"]["architecture"] == "amd64");
        let wanted = wanted.and_then(|m| m["digest"].as_str()).map(ToOwned::to_owned);
        let wanted =
            wanted.ok_or_else(|| Failure::new(format!("pull {reference}"), "it has no image for linux/amd64"))?;
        let (inner, document) = document(web, cache, making, &image, &wanted, &mut token).await?;
        files.insert("manifest".to_owned(), inner);
        manifest = document;
    } else {
        files.insert("manifest".to_owned(), digest.clone());
    }
    let layers = manifest["layers"].as_array().into_iter().flatten();
    for (i, part) in std::iter::once(&manifest["config"]).chain(layers).enumerate() {
        let expected = part["digest"].as_str().unwrap_or_default();
        let sha256 = expected
            .strip_prefix("sha256:")
            .ok_or_else(|| Failure::new(format!("pull {reference}"), format!("it has a part {expected:?}")))?;
        if !cache.blob(sha256).exists() {
            let url = format!("{}/{}/blobs/{expected}", image.base, image.name);
            let path = making.folder.join("blob");
            save(fetch(web, &url, &mut token).await?, &path).await.attempting(|| format!("download {url}"))?;
            verify(&url, expected, &hash(&path).attempting(|| format!("read {}", path.display()))?)?;
            cache.add(&path)?;
        }
        files.insert(format!("part-{i}"), sha256.to_owned());
    }
    Ok((files, format!("sha256:{digest}")))
}

/// A manifest or index by tag or digest, now in the cache, and its SHA-256.
async fn document(
    web: &Web,
    cache: &Cache,
    making: &Making,
    image: &Reference<'_>,
    tag: &str,
    token: &mut Option<String>,
) -> Result<(String, Value)> {
    let url = format!("{}/{}/manifests/{tag}", image.base, image.name);
    let bytes = fetch(web, &url, token).await?.bytes().await.attempting(|| format!("get {url}"))?;
    if tag.starts_with("sha256:") {
        verify(&url, tag, &hash_bytes(&bytes))?;
    }
    let path = making.folder.join("document");
    fs::write(&path, &bytes).attempting(|| format!("write {}", path.display()))?;
    let document = serde_json::from_slice(&bytes).attempting(|| format!("understand {url}"))?;
    Ok((cache.add(&path)?, document))
}

fn verify(url: &str, expected: &str, sha256: &str) -> Result<()> {
    if expected == format!("sha256:{sha256}") {
        return Ok(());
    }
    Err(Failure::new(format!("verify {url}"), format!("its digest is sha256:{sha256}, and {expected} was asked for")))
}

/// GET, once more with the token that the registry asks for.
async fn fetch(web: &Web, url: &str, token: &mut Option<String>) -> Result<reqwest::Response> {
    let headers = |token: &Option<String>| -> Vec<(&'static str, String)> {
        std::iter::once(("accept", ACCEPT.to_owned()))
            .chain(token.iter().map(|t| ("authorization", format!("Bearer {t}"))))
            .collect()
    };
    let response = web.send(url, &headers(token)).await?;
    if response.status() != 401 || token.is_some() {
        return response.error_for_status().attempting(|| format!("get {url}"));
    }
    let challenge =
        response.headers().get("www-authenticate").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let Some(address) = token_address(&challenge) else {
        return Err(Failure::new(format!("get {url}"), format!("HTTP 401 with the challenge {challenge:?}")));
    };
    let answer: Value =
        web.get(&address, &[]).await?.json().await.attempting(|| format!("get a token from {address}"))?;
    *token = answer["token"].as_str().or(answer["access_token"].as_str()).map(Into::into);
    web.get(url, &headers(token)).await
}

/// Address for an anonymous token, from `Bearer realm="…",service="…",scope="…"`.
fn token_address(challenge: &str) -> Option<String> {
    let fields: BTreeMap<&str, &str> = challenge
        .strip_prefix("Bearer ")?
        .split("\",")
        .filter_map(|field| field.trim().trim_end_matches('"').split_once("=\""))
        .collect();
    let query: Vec<String> =
        ["service", "scope"].iter().filter_map(|k| fields.get(k).map(|v| format!("{k}={v}"))).collect();
    Some(format!("{}?{}", fields.get("realm")?, query.join("&")))
}

/// The host of the registry that has an image.
pub(super) fn host(reference: &str) -> String {
    let base = parse(reference).base;
    base.split('/').nth(2).unwrap_or_default().to_owned()
}

#[derive(Debug, PartialEq)]
struct Reference<'a> {
    base: String,
    name: &'a str,
    tag: &'a str,
}

fn parse(reference: &str) -> Reference<'_> {
    let (host, rest) = reference.split_once('/').unwrap_or(("docker.io", reference));
    let (name, tag) = rest.split_once('@').or_else(|| rest.rsplit_once(':')).unwrap_or((rest, "latest"));
    let scheme = if host.starts_with("127.0.0.1") { "http" } else { "https" };
    let host = if host == "docker.io" { "registry-1.docker.io" } else { host };
    Reference { base: format!("{scheme}://{host}/v2"), name, tag }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_registry_repository_and_tag() {
        let seen = parse("public.ecr.aws/docker/library/redis:8.2.2-alpine");
        assert_eq!(seen.base, "https://public.ecr.aws/v2");
        assert_eq!((seen.name, seen.tag), ("docker/library/redis", "8.2.2-alpine"));
        assert_eq!(parse("docker.io/library/busybox:1.36").base, "https://registry-1.docker.io/v2");
        assert_eq!(host("docker.io/library/busybox:1.36"), "registry-1.docker.io");
    }

    #[test]
    fn a_challenge_becomes_an_address() {
        let challenge = r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull""#;
        let address = token_address(challenge).unwrap();
        assert_eq!(address, "https://ghcr.io/token?service=ghcr.io&scope=repository:a/b:pull");
        assert_eq!(token_address("Basic realm=\"x\""), None);
    }
}
