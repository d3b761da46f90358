//! Charts of Helm repositories that a platform names. The component lock does not have them: the platform's own files pin
//! their versions.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use reqwest::Url;

use super::{
    artifact::Artifact,
    cache::{Entry, Origin, hash},
    download::{Index, Packaged, Web, save},
    store::{Store, first, plain},
};
use crate::failure::{Attempt, Failure, Result};

/// A release of a chart, as an Application names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// URL of its repository.
    pub repository: String,
    /// Its name.
    pub chart: String,
    /// Its version.
    pub version: String,
}

impl Release {
    /// Name of its archive.
    pub fn file(&self) -> String {
        format!("{}-{}.tgz", self.chart, self.version)
    }

    /// Whether it is one release, from a repository of a kind that is known here.
    fn check(&self) -> Result<()> {
        let refused = |seen: &str, next: &str| Err(Failure::new(format!("get {self}"), seen).next(next));
        if !self.repository.starts_with("https://") && !self.repository.starts_with("http://") {
            return refused(
                "its repository is an OCI registry",
                "put it into an HTTP repository: those are played here",
            );
        }
        let exact = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
        match self.version.contains('.') && self.version.chars().all(exact) && !self.version.contains(".x") {
            true => Ok(()),
            false => refused("its version is a range", "pin one release: a range means another one tomorrow"),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chart {} {} of {}", self.chart, self.version, self.repository)
    }
}

impl Store {
    /// Gets a chart from the cache, the mirror's folder `charts`, or its repository. Of the mirror's there is no checksum.
    ///
    /// # Errors
    /// When no source has it.
    pub async fn chart(&self, wanted: &Release) -> Result<Artifact> {
        wanted.check()?;
        let (label, file) = (wanted.to_string(), wanted.file());
        let key = plain(&label);
        let entry = self
            .entry(&key, async |making| {
                let target = making.folder.join(&file);
                let origins = vec![Origin::Mirror, Origin::Download];
                let (origin, ()) = first(&label, "its repository", origins, async |origin| match origin {
                    Origin::Mirror => self.beside(&file, &target),
                    _ => self.web.chart(wanted, &target).await,
                })
                .await?;
                let files = BTreeMap::from([(file.clone(), self.cache.add(&target)?)]);
                let (name, version) = (wanted.chart.clone(), wanted.version.clone());
                Ok(Entry { name, version, origin, files, manifest: None })
            })
            .await?;
        let path = self.cache.tree(&key).join(&file);
        Ok(Artifact { name: format!("chart {}", entry.name), version: entry.version, path, origin: entry.origin })
    }

    /// Copies an archive of the mirror.
    fn beside(&self, file: &str, target: &Path) -> Result<()> {
        let attempted = || format!("take charts/{file} from the mirror");
        let mirror = self.mirror.as_ref().ok_or_else(|| Failure::new(attempted(), "no mirror folder is set"))?;
        fs::copy(mirror.join("charts").join(file), target).map(|_| ()).attempting(attempted)
    }
}

impl Web {
    /// Downloads a chart to `target`, and checks it where its repository's index has a digest.
    async fn chart(&self, wanted: &Release, target: &Path) -> Result<()> {
        let root = format!("{}/", wanted.repository.trim_end_matches('/'));
        let list = format!("{root}index.yaml");
        let text = self.get(&list, &[]).await?.text().await.attempting(|| format!("read {list}"))?;
        let index: Index = serde_yaml::from_str(&text).attempting(|| format!("understand {list}"))?;
        let Some((url, digest)) = listed(&index, wanted) else {
            return Err(Failure::new(format!("find {wanted}"), format!("{list} does not list it")));
        };
        let url = Url::parse(&root).and_then(|root| root.join(url)).attempting(|| format!("read {list}"))?;
        let response = self.get(url.as_str(), &[]).await?;
        save(response, target).await.attempting(|| format!("download {url}"))?;
        let seen = hash(target).attempting(|| format!("read {}", target.display()))?;
        if !digest.is_empty() && seen != digest {
            let seen = format!("its SHA-256 is {seen}, and {list} has {digest}");
            return Err(Failure::new(format!("verify {url}"), seen));
        }
        Ok(())
    }
}

/// Where the archive of a release is, and its digest; a `v` before the version makes no difference to helm.
fn listed<'a>(index: &'a Index, wanted: &Release) -> Option<(&'a str, &'a str)> {
    let same =
        |packaged: &&Packaged| packaged.version.trim_start_matches('v') == wanted.version.trim_start_matches('v');
    let packaged = index.entries.get(&wanted.chart)?.iter().find(same)?;
    Some((packaged.urls.first()?, &packaged.digest))
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};

    use super::*;
    use crate::components::{Lock, Options, cache::hash_bytes};

    fn release(repository: &str, version: &str) -> Release {
        Release { repository: repository.into(), chart: "app".into(), version: version.into() }
    }

    /// A repository below a path of a host of this machine.
    async fn repository(digest: String) -> String {
        let index = format!(
            "apiVersion: v1\nentries:\n  app:\n  - {{version: v1.2.3, urls: [files/app.tgz], digest: \"{digest}\"}}\n"
        );
        let router = Router::new()
            .route("/charts/index.yaml", get(async || index))
            .route("/charts/files/app.tgz", get(async || "archive"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await });
        format!("http://{address}/charts")
    }

    fn store(cache: &Path, mirror: Option<&Path>) -> Store {
        let options = Options { cache: Some(cache.into()), mirror: mirror.map(Into::into) };
        Store::with(Lock::load().unwrap(), options).unwrap()
    }

    #[tokio::test]
    async fn a_chart_is_downloaded_once_and_checked() {
        let (cache, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = store(cache.path(), Some(empty.path()));
        let good = release(&repository(hash_bytes(b"archive")).await, "1.2.3");
        let got = store.chart(&good).await.unwrap();
        assert!(got.path.ends_with("app-1.2.3.tgz"), "{got:?}");
        assert_eq!((fs::read_to_string(&got.path).unwrap().as_str(), got.origin), ("archive", Origin::Download));
        // Nothing listens there any more that could be asked: the cache has it.
        store.chart(&good).await.unwrap();
        let other = store.chart(&release(&good.repository, "9.9.9")).await.unwrap_err().to_string();
        assert!(other.contains("does not list it"), "{other}");
        let bad = release(&repository("0".repeat(64)).await, "1.2.3");
        let refused = store.chart(&bad).await.unwrap_err().to_string();
        assert!(refused.contains("its SHA-256 is"), "{refused}");
    }

    #[tokio::test]
    async fn the_mirror_is_asked_first() {
        let (cache, mirror) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(mirror.path().join("charts")).unwrap();
        fs::write(mirror.path().join("charts/app-1.2.3.tgz"), "mirrored").unwrap();
        let store = store(cache.path(), Some(mirror.path()));
        let got = store.chart(&release("https://charts.invalid", "1.2.3")).await.unwrap();
        assert_eq!((fs::read_to_string(&got.path).unwrap().as_str(), got.origin), ("mirrored", Origin::Mirror));
    }

    #[test]
    fn what_is_no_single_release_is_refused() {
        for (repository, version, told) in [
            ("https://c", "1.*", "range"),
            ("https://c", "~1.2.0", "range"),
            ("https://c", "1.x", "range"),
            ("https://c", "", "range"),
            ("registry.example.com/charts", "1.0.0", "OCI"),
        ] {
            let failure = release(repository, version).check().unwrap_err().to_string();
            assert!(failure.contains(told), "{failure}");
        }
        release("https://c", "v1.2.3-rc.1+build").check().unwrap();
    }
}
