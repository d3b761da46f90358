//! Where parts of the component lock would come from, told without getting any.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::{
    cache::Origin,
    debian,
    lock::{Component, Image, Pinned},
    registry,
    store::{Store, sources},
};
use crate::{command::Run, failure::Result};

/// Where Go finds modules when nobody tells it otherwise.
const GO: &str = "proxy.golang.org";
/// Where Debian's packages are.
const DEBIAN: &str = "deb.debian.org";

/// One way to get a part.
#[derive(Debug, Default)]
struct Way {
    hosts: Vec<String>,
    /// Programs of this machine.
    programs: Vec<&'static str>,
    /// Other parts that it is made of.
    parts: Vec<String>,
}

/// What is known of a part.
#[derive(Debug)]
struct Part {
    cached: bool,
    ways: Vec<Way>,
}

/// Parts, and those that they are made of.
#[derive(Debug, Default)]
pub struct Survey {
    parts: BTreeMap<String, Part>,
}

/// A host, and the parts that it has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Host<'a> {
    /// Those in the cache: nobody asks for them.
    pub cached: Vec<&'a str>,
    /// The others.
    pub wanted: Vec<&'a str>,
}

impl Survey {
    /// Surveys these components and images, by their names in the component lock.
    ///
    /// # Errors
    /// When the lock does not list one, or its sources cannot be read.
    pub async fn of(store: &Store, names: &[&str]) -> Result<Self> {
        let proxy = Run::new("go").args(["env", "GOPROXY"]).text().await.unwrap_or_default();
        let proxy = proxy.split([',', '|']).find_map(host).unwrap_or_else(|| GO.to_owned());
        let archive = debian::archive(&store.lock.debian.suite).await;
        let archive = archive.ok().and_then(|url| host(&url)).unwrap_or_else(|| DEBIAN.to_owned());
        let mut survey = Self::default();
        let mut open: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        while let Some(name) = open.pop() {
            if survey.parts.contains_key(&name) {
                continue;
            }
            let part = match store.lock.image.iter().find(|image| image.reference == name) {
                Some(image) => Part {
                    cached: store.cache.entry(&store.image_key(image)?).is_some(),
                    ways: ways_of_image(store, image, &archive),
                },
                None => {
                    let component = store.lock.component(&name)?;
                    let cached = store.cache.entry(&store.key(component)?).is_some();
                    Part { cached, ways: ways_of(store, component, &proxy) }
                }
            };
            open.extend(part.ways.iter().flat_map(|way| way.parts.clone()));
            survey.parts.insert(name, part);
        }
        Ok(survey)
    }

    /// How many of these are in the cache.
    pub fn cached(&self, names: &[&str]) -> usize {
        names.iter().filter(|name| self.parts.get(**name).is_some_and(|part| part.cached)).count()
    }

    /// All hosts, each with what it has.
    pub fn hosts(&self) -> BTreeMap<&str, Host<'_>> {
        let mut hosts: BTreeMap<&str, Host<'_>> = BTreeMap::new();
        for (name, part) in &self.parts {
            let of: BTreeSet<&str> = part.ways.iter().flat_map(|way| &way.hosts).map(String::as_str).collect();
            for host in of {
                let Host { cached, wanted } = hosts.entry(host).or_default();
                let names = if part.cached { cached } else { wanted };
                names.push(name);
            }
        }
        hosts
    }

    /// Whether a part is in the cache or can be had where these hosts are reached and these programs are there.
    pub fn can_be_had(&self, name: &str, reached: &dyn Fn(&str) -> bool, there: &dyn Fn(&str) -> bool) -> bool {
        let Some(part) = self.parts.get(name) else { return false };
        let goes = |way: &Way| {
            way.hosts.iter().all(|host| reached(host))
                && way.programs.iter().all(|program| there(program))
                && way.parts.iter().all(|part| self.can_be_had(part, reached, there))
        };
        part.cached || part.ways.iter().any(goes)
    }
}

impl Store {
    /// Whether a host answers, whatever it says, within a few seconds.
    ///
    /// # Errors
    /// When it does not.
    pub async fn reaches(&self, host: &str) -> Result<()> {
        self.web.reaches(host).await
    }

    /// The mirror folder, and how many of the files that the lock has in it are there, and are not.
    pub fn mirror(&self) -> Option<(PathBuf, usize, usize)> {
        let mirror = self.mirror.as_ref()?.canonicalize().ok()?;
        let of_components = self.lock.component.iter().filter_map(|component| component.mirror.as_ref());
        let pinned = of_components.chain(self.lock.image.iter().filter_map(|image| image.mirror.as_ref()));
        let (there, absent): (Vec<&Pinned>, Vec<&Pinned>) = pinned.partition(|file| mirror.join(&file.path).exists());
        let (there, absent) = (there.len(), absent.len());
        Some((mirror, there, absent))
    }

    fn mirrors(&self, pinned: Option<&Pinned>) -> bool {
        pinned.zip(self.mirror.as_ref()).is_some_and(|(file, mirror)| mirror.join(&file.path).exists())
    }
}

fn ways_of(store: &Store, component: &Component, proxy: &str) -> Vec<Way> {
    let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut ways = Vec::new();
    for origin in sources(component) {
        let (hosts, programs): (Vec<String>, Vec<&str>) = match origin {
            Origin::Mirror if !store.mirrors(component.mirror.as_ref()) => continue,
            Origin::Download => {
                let urls = component.release.iter().flat_map(|r| std::iter::once(&r.url).chain(&r.checksums));
                (urls.filter_map(|url| host(&component.fill(url))).collect(), Vec::new())
            }
            Origin::PyPI => (hosts(&["pypi.org", "files.pythonhosted.org"]), vec!["python3"]),
            Origin::Npm => (hosts(&["registry.npmjs.org"]), vec!["npm"]),
            Origin::Build if component.cargo.is_some() => {
                (hosts(&["index.crates.io", "static.crates.io"]), vec!["cargo"])
            }
            // What it depends on was there when this harness was built.
            Origin::Build if component.workspace.is_some() => (Vec::new(), vec!["cargo"]),
            Origin::Build => (hosts(&[proxy]), vec!["go"]),
            Origin::Mirror | Origin::Pull | Origin::Debian => (Vec::new(), Vec::new()),
        };
        ways.push(Way { hosts, programs, parts: Vec::new() });
    }
    ways
}

fn ways_of_image(store: &Store, image: &Image, archive: &str) -> Vec<Way> {
    let mut ways = Vec::new();
    if store.mirrors(image.mirror.as_ref()) {
        ways.push(Way::default());
    }
    if !image.reference.starts_with("localhost/") {
        ways.push(Way { hosts: vec![registry::host(&image.reference)], ..Way::default() });
    }
    if let Some(compose) = &image.compose {
        let debian = compose.debian || !compose.packages.is_empty();
        let parts: BTreeSet<&str> = compose.files.keys().filter_map(|file| Some(file.split_once('/')?.0)).collect();
        ways.push(Way {
            hosts: debian.then(|| archive.to_owned()).into_iter().collect(),
            programs: Vec::new(),
            parts: parts.into_iter().map(Into::into).collect(),
        });
    }
    ways
}

/// The host of a URL.
fn host(url: &str) -> Option<String> {
    reqwest::Url::parse(url.trim()).ok()?.host_str().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(hosts: &[&str], programs: &[&'static str], parts: &[&str]) -> Way {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Way { hosts: owned(hosts), programs: programs.to_vec(), parts: owned(parts) }
    }

    fn survey() -> Survey {
        let part = |cached, ways| Part { cached, ways };
        let parts = [
            ("etcd", part(false, vec![way(&["github.com"], &[], &[]), way(&[GO], &["go"], &[])])),
            ("helm", part(true, vec![way(&["get.helm.sh"], &[], &[])])),
            ("image", part(false, vec![way(&["quay.io"], &[], &[]), way(&[DEBIAN], &[], &["etcd", "helm"])])),
        ];
        Survey { parts: parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect() }
    }

    #[test]
    fn a_part_can_be_had_in_any_of_its_ways_with_all_that_the_way_takes() {
        let survey = survey();
        let can = |name: &str, hosts: &[&str], programs: &[&str]| {
            survey.can_be_had(name, &|host| hosts.contains(&host), &|program| programs.contains(&program))
        };
        assert!(can("helm", &[], &[]), "it is in the cache");
        assert!(can("etcd", &["github.com"], &[]) && can("etcd", &[GO], &["go"]));
        assert!(!can("etcd", &[GO], &[]) && !can("etcd", &[], &["go"]));
        assert!(can("image", &["quay.io"], &[]) && can("image", &[DEBIAN, GO], &["go"]));
        assert!(!can("image", &[DEBIAN], &["go"]), "a part of it cannot be had");
        assert!(!can("absent", &["quay.io"], &[]));
    }

    #[test]
    fn a_host_is_asked_for_what_is_not_in_the_cache() {
        let survey = survey();
        let hosts = survey.hosts();
        assert_eq!(hosts["get.helm.sh"], Host { cached: vec!["helm"], wanted: vec![] });
        assert_eq!(hosts[GO], Host { cached: vec![], wanted: vec!["etcd"] });
        assert_eq!(survey.cached(&["etcd", "helm", "absent"]), 1);
    }

    #[test]
    fn a_host_is_that_of_a_url() {
        assert_eq!(
            host("https://charts.external-secrets.io/index.yaml").as_deref(),
            Some("charts.external-secrets.io")
        );
        assert_eq!(host("direct"), None);
    }
}
