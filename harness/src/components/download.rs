//! Published files over HTTPS, with the checksum that the lock or the project states.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use futures::StreamExt;
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use tokio::{fs::File, io::AsyncWriteExt};

use super::{
    cache::hash,
    lock::{Component, Release},
};
use crate::failure::{Attempt, Failure, Result};

/// A host that does not take a connection in this time is taken for unreachable.
const CONNECT: Duration = Duration::from_secs(5);
/// A download that receives nothing for this long is broken.
const SILENCE: Duration = Duration::from_secs(60);

/// Client for releases and registries. It remembers hosts that cannot be reached, so that a machine without internet
/// waits once for each and not for each artifact.
#[derive(Debug)]
pub struct Web {
    client: Client,
    unreachable: Mutex<BTreeSet<String>>,
}

impl Web {
    /// A client that trusts the machine's own certificate authorities.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self> {
        // Another part of the process may have chosen the provider already, and it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("trinity-e2e/", env!("CARGO_PKG_VERSION")))
            .build()
            .attempting(|| "set up the HTTP client".into())?;
        Ok(Self { client, unreachable: Mutex::default() })
    }

    /// GET with optional headers; any answer that is not a success is an error.
    ///
    /// # Errors
    /// When the host cannot be reached, was not reachable before, or refuses.
    pub async fn get(&self, url: &str, headers: &[(&str, String)]) -> Result<Response> {
        let response = self.send(url, headers).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(Failure::new(format!("get {url}"), format!("HTTP {status}")))
    }

    /// GET with optional headers, whatever the answer.
    ///
    /// # Errors
    /// When the host cannot be reached or was not reachable before.
    pub async fn send(&self, url: &str, headers: &[(&str, String)]) -> Result<Response> {
        let attempted = || format!("get {url}");
        let host = Url::parse(url).attempting(attempted)?.authority().to_owned();
        if self.known(&host) {
            return Err(Failure::new(attempted(), format!("{host} could not be reached before")));
        }
        let mut request = self.client.get(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.send().await.map_err(|e| {
            if (e.is_connect() || e.is_timeout())
                && let Ok(mut hosts) = self.unreachable.lock()
            {
                hosts.insert(host.clone());
            }
            Failure::new(attempted(), chain(&e))
        })
    }

    /// Whether a host answers, whatever it says, within a few seconds.
    ///
    /// # Errors
    /// When it does not.
    pub async fn reaches(&self, host: &str) -> Result<()> {
        let asked = self.client.head(format!("https://{host}/")).timeout(CONNECT).send().await;
        asked.map(drop).map_err(|e| Failure::new(format!("reach {host}"), chain(&e)))
    }

    /// Downloads a release file to `target` and checks it.
    ///
    /// # Errors
    /// When it cannot be downloaded, is not whole, or is not what its checksum says.
    pub async fn release(&self, component: &Component, release: &Release, target: &Path) -> Result<()> {
        let url = component.fill(&release.url);
        let expected = match (&release.sha256, &release.checksums) {
            (Some(sha256), _) => sha256.clone(),
            (None, Some(list)) => {
                let list = component.fill(list);
                let text = self.get(&list, &[]).await?.text().await.attempting(|| format!("read {list}"))?;
                let file = url.rsplit('/').next().unwrap_or_default();
                checksum(&text, file).ok_or_else(|| {
                    Failure::new(format!("find the checksum of {file}"), format!("{list} does not name it"))
                })?
            }
            (None, None) => {
                return Err(Failure::new(format!("trust {url}"), "the component lock has no checksum for it"));
            }
        };
        let response = self.get(&url, &[]).await?;
        save(response, target).await.attempting(|| format!("download {url}"))?;
        let seen = hash(target).attempting(|| format!("read {}", target.display()))?;
        if seen != expected {
            return Err(Failure::new(
                format!("verify {url}"),
                format!("its SHA-256 is {seen}, and {expected} was expected"),
            ));
        }
        Ok(())
    }

    fn known(&self, host: &str) -> bool {
        self.unreachable.lock().is_ok_and(|hosts| hosts.contains(host))
    }
}

/// Writes a response's body to a file. A body shorter than its Content-Length is an error of the client library.
///
/// # Errors
/// When the connection breaks or the file cannot be written.
pub async fn save(response: Response, target: &Path) -> std::io::Result<()> {
    let mut file = File::create(target).await?;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        file.write_all(&chunk.map_err(std::io::Error::other)?).await?;
    }
    file.flush().await
}

/// The digest of `file` in a checksum file, or in the index of a Helm repository.
fn checksum(text: &str, file: &str) -> Option<String> {
    let digest =
        |word: &str| (word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit())).then(|| word.to_lowercase());
    if let Ok(index) = serde_yaml::from_str::<Index>(text) {
        let releases = index.entries.into_values().flatten();
        return releases
            .into_iter()
            .find(|r| r.urls.iter().any(|url| url.rsplit('/').next() == Some(file)))
            .and_then(|r| digest(&r.digest));
    }
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find_map(|words| match words.as_slice() {
        [one] => digest(one),
        [one, name, ..] if name.trim_start_matches('*') == file => digest(one),
        _ => None,
    })
}

/// `index.yaml` of a Helm repository, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Index {
    /// Every release of every chart, by the chart's name.
    pub entries: BTreeMap<String, Vec<Packaged>>,
}

/// One packaged chart.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Packaged {
    /// Version of the chart.
    pub version: String,
    /// Where its archive is, from the repository's URL.
    pub urls: Vec<String>,
    /// SHA-256 of the archive; helm itself does without, too.
    pub digest: String,
}

/// The innermost causes of an error; reqwest's own text stops at "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let causes: Vec<String> = std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect();
    causes[causes.len().saturating_sub(2)..].join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_files_of_both_kinds() {
        let digest = "a".repeat(64);
        assert_eq!(checksum(&digest, "any"), Some(digest.clone()));
        let list = format!("{}  other\n{digest}  *mine.tar.gz\n", "b".repeat(64));
        assert_eq!(checksum(&list, "mine.tar.gz"), Some(digest));
        assert_eq!(checksum(&list, "absent"), None);
        assert_eq!(checksum("<html>not found</html>", "any"), None);
        let index = format!(
            "apiVersion: v1\nentries:\n  app:\n  - urls: [https://x/app-1.tgz]\n    digest: {}\n",
            "c".repeat(64)
        );
        assert_eq!(checksum(&index, "app-1.tgz"), Some("c".repeat(64)));
        assert_eq!(checksum(&index, "app-2.tgz"), None);
    }
}
