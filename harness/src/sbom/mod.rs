//! Bills of materials in the format CycloneDX 1.6: what the worlds of a run consist of, and the harness itself.

pub mod crates;
mod purl;

use std::{collections::BTreeMap, fs, path::Path};

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    components::{
        Chart, ImageSet, Lock, Origin, Store,
        cache::hash,
        lock::{Component, Image},
        stand_in::PROGRAM,
    },
    failure::{Attempt, Result},
    world::{
        Parts,
        description::{Provenance, SUBSTITUTED},
    },
};

/// Name of the file in the folder of a run's reports.
const FILE: &str = "components.cdx.json";
/// Name of the property that says where something came from.
const ORIGIN: &str = "trinity-e2e:origin";

/// A bill of materials.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Part>,
}

/// What made it, and of what.
#[derive(Clone, Debug, Serialize)]
struct Metadata {
    timestamp: Timestamp,
    tools: Tools,
    component: Part,
}

#[derive(Clone, Debug, Serialize)]
struct Tools {
    components: Vec<Part>,
}

/// One line of the bill; CycloneDX calls it a component, too.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(rename = "type")]
    kind: Kind,
    /// What no other line of the bill has.
    #[serde(rename = "bom-ref")]
    place: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Self>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Application,
    Container,
    File,
    Library,
    Platform,
}

#[derive(Clone, Debug, Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Clone, Debug, Serialize)]
struct Licence {
    expression: String,
}

#[derive(Clone, Debug, Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

#[derive(Clone, Debug, Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

/// The bill of the worlds of a run: everything that the run has found or made for them, with where it came from.
///
/// # Errors
/// When what a component is made from cannot be read.
pub fn of_worlds(store: &Store, parts: &Parts) -> Result<Bill> {
    let mut lines = BTreeMap::new();
    for provenance in &parts.provenance {
        let line = of_world(store, &parts.images, &parts.charts, provenance)?;
        lines.insert(line.place.clone(), line);
    }
    let subject = Part::new(Kind::Platform, "run", "worlds of a run", &parts.releases);
    Ok(Bill::new(subject, lines.into_values().collect()))
}

/// The bill of the harness: the crates that it is compiled from, and everything that the component lock lists.
///
/// # Errors
/// When cargo cannot tell the crates, or what a component is made from cannot be read.
pub async fn of_harness(lock: &Lock) -> Result<Bill> {
    let mut lines: Vec<Part> = crates::all().await?.into_iter().map(Part::of_crate).collect();
    for component in &lock.component {
        lines.push(Part::of_component(component, &BTreeMap::new())?);
    }
    lines.extend(lock.image.iter().map(|image| Part::of_image(image, None)));
    lines.extend(lock.debian.packages.iter().map(|(name, version)| Part::of_debian(name, version, &lock.debian.suite)));
    Ok(Bill::new(Part::own("workspace"), lines))
}

/// What is known of one part of worlds that have these images and charts.
fn of_world(store: &Store, images: &ImageSet, charts: &[Chart], provenance: &Provenance) -> Result<Part> {
    let Provenance { name, version, origin } = provenance;
    let digest = images.refs.get(name).map(String::as_str);
    let line = if origin == SUBSTITUTED {
        // It has the name of an image, and is another program.
        let line = Part::new(Kind::Container, "image", name, version).with_digest(digest);
        line.under(&store.lock.component(PROGRAM)?.licence)
    } else if *origin == Origin::Debian.to_string() {
        Part::of_debian(name, version, &store.lock.debian.suite)
    } else if let Ok(image) = store.lock.image(name) {
        Part::of_image(image, digest)
    } else if let Ok(component) = store.lock.component(name) {
        Part::of_component(component, &store.digests(component)?)?
    } else {
        Part::of_chart(name, version, charts)?
    };
    Ok(line.from(origin))
}

impl Bill {
    fn new(subject: Part, components: Vec<Part>) -> Self {
        let tools = Tools { components: vec![Part::own("tool")] };
        Self {
            bom_format: "CycloneDX",
            spec_version: "1.6",
            serial_number: Uuid::new_v4().urn().to_string(),
            version: 1,
            metadata: Metadata { timestamp: Timestamp::now(), tools, component: subject },
            components,
        }
    }

    /// The document.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map(|json| json + "\n").attempting(|| "write a bill of materials".into())
    }

    /// Writes it as `components.cdx.json` into the folder of a run's reports.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, report: &Path) -> Result<()> {
        let file = report.join(FILE);
        fs::write(&file, self.json()?).attempting(|| format!("write {}", file.display()))
    }
}

impl Part {
    fn new(kind: Kind, group: &str, name: &str, version: &str) -> Self {
        Self {
            kind,
            place: format!("{group}/{name}@{version}"),
            name: name.into(),
            version: Some(version.into()),
            hashes: Vec::new(),
            licenses: Vec::new(),
            purl: None,
            external_references: Vec::new(),
            properties: Vec::new(),
            components: Vec::new(),
        }
    }

    /// The harness itself.
    fn own(group: &str) -> Self {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        Self::new(Kind::Application, group, name, version).under(env!("CARGO_PKG_LICENSE"))
    }

    fn of_crate(of: crates::Crate) -> Self {
        let line = Self::new(Kind::Library, "crate", &of.name, &of.version).under(&of.licence);
        let purl = Some(purl::cargo(&of.name, &of.version));
        Self { purl, hashes: vec![Hash::sha256(&of.sha256)], ..line.from("crates.io") }
    }

    fn of_component(component: &Component, files: &BTreeMap<String, String>) -> Result<Self> {
        let line = Self::new(Kind::Application, "component", &component.name, &component.version);
        let mut line = Self { purl: Some(purl::component(component)?), ..line }.under(&component.licence);
        let released = component.release.iter().map(|release| component.fill(&release.url));
        line.external_references = released.map(|url| Reference { kind: "distribution", url }).collect();
        // Programs of one archive.
        line.external_references.dedup_by(|one, other| one.url == other.url);
        line.components = files.iter().map(|(name, sha256)| Self::file(&line.place, name, sha256)).collect();
        Ok(line)
    }

    fn of_image(image: &Image, digest: Option<&str>) -> Self {
        let tag = image.reference.rsplit(':').next().unwrap_or_default();
        let line = Self::new(Kind::Container, "image", &image.reference, tag).under(&image.licence);
        Self { purl: Some(purl::image(image, digest)), ..line.with_digest(digest) }
    }

    /// A package of this machine. Its licence is in the package, and differs from file to file.
    fn of_debian(name: &str, version: &str, suite: &str) -> Self {
        let line = Self::new(Kind::Application, "debian", name, version);
        Self { purl: Some(purl::debian(name, version, suite)), ..line }
    }

    /// A chart of another repository than the operator's, which the component lock does not list.
    fn of_chart(name: &str, version: &str, charts: &[Chart]) -> Result<Self> {
        let file = format!("{}-{version}.tgz", name.trim_start_matches("chart "));
        let mut line = Self::new(Kind::Application, "chart", name, version);
        if let Some(Chart { repository, archive }) = charts.iter().find(|chart| chart.archive.ends_with(&file)) {
            let sha256 = hash(archive).attempting(|| format!("read {}", archive.display()))?;
            line.components.push(Self::file(&line.place, &file, &sha256));
            line.external_references.push(Reference { kind: "distribution", url: repository.clone() });
        }
        Ok(line)
    }

    /// A file of the part in `place`.
    fn file(place: &str, name: &str, sha256: &str) -> Self {
        let line = Self::new(Kind::File, "file", name, "");
        Self { place: format!("{place}#{name}"), version: None, hashes: vec![Hash::sha256(sha256)], ..line }
    }

    /// The same under a licence (an SPDX expression).
    fn under(self, licence: &str) -> Self {
        Self { licenses: vec![Licence { expression: licence.into() }], ..self }
    }

    /// The same with the digest of its manifest (`sha256:…`), where it is known.
    fn with_digest(self, digest: Option<&str>) -> Self {
        let hashes = digest.iter().map(|digest| Hash::sha256(digest.trim_start_matches("sha256:"))).collect();
        Self { hashes, ..self }
    }

    /// The same with where it came from.
    fn from(self, origin: &str) -> Self {
        Self { properties: vec![Property { name: ORIGIN, value: origin.into() }], ..self }
    }
}

impl Hash {
    fn sha256(content: &str) -> Self {
        Self { alg: "SHA-256", content: content.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::components::Options;

    /// What CycloneDX 1.6 requires of a document, and what is promised of every line of it. Returns the lines.
    fn checked(bill: &Bill) -> Vec<Value> {
        let document: Value = serde_json::from_str(&bill.json().unwrap()).unwrap();
        assert_eq!((&document["bomFormat"], &document["specVersion"]), (&json!("CycloneDX"), &json!("1.6")));
        let serial = document["serialNumber"].as_str().unwrap();
        assert!(Uuid::parse_str(serial.strip_prefix("urn:uuid:").unwrap()).is_ok(), "{serial}");
        document["metadata"]["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
        let mut open = vec![&document["metadata"]["component"], &document["metadata"]["tools"]["components"][0]];
        let lines = document["components"].as_array().unwrap();
        open.extend(lines);
        let mut places = BTreeSet::new();
        while let Some(line) = open.pop() {
            let text = |field: &str| line[field].as_str().filter(|text| !text.is_empty());
            assert!(text("name").is_some() && places.insert(text("bom-ref").unwrap().to_owned()), "{line}");
            let kinds = ["application", "container", "file", "library", "platform"];
            assert!(kinds.contains(&text("type").unwrap()), "{line}");
            assert!(line.get("purl").is_none_or(|purl| purl.as_str().unwrap().starts_with("pkg:")), "{line}");
            for licence in line["licenses"].as_array().into_iter().flatten() {
                assert!(licence["expression"].as_str().is_some_and(|licence| !licence.is_empty()), "{line}");
            }
            for hash in line["hashes"].as_array().into_iter().flatten() {
                let content = hash["content"].as_str().unwrap();
                assert!(content.len() == 64 && content.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
                assert_eq!(hash["alg"], "SHA-256");
            }
            open.extend(line["components"].as_array().into_iter().flatten());
        }
        lines.clone()
    }

    #[tokio::test]
    async fn the_harness_is_told_with_licence_and_name_of_every_part() {
        let lock = Lock::load().unwrap();
        let lines = checked(&of_harness(&lock).await.unwrap());
        let debian = |line: &Value| line["purl"].as_str().unwrap().starts_with("pkg:deb/");
        for line in &lines {
            assert!(debian(line) || line["licenses"][0]["expression"].is_string(), "{line}");
        }
        let crates = lines.iter().filter(|line| line["type"] == "library");
        assert!(crates.clone().all(|line| line["hashes"][0]["content"].is_string()));
        assert!(
            crates.clone().any(|line| line["name"] == "tokio") && !crates.clone().any(|line| line["name"] == "rstest")
        );
        let of_lock = lock.component.len() + lock.image.len() + lock.debian.packages.len();
        assert_eq!(lines.len(), crates.count() + of_lock);
    }

    #[test]
    fn a_part_of_a_world_is_told_with_its_digest_and_where_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { cache: Some(folder.path().join("cache")), mirror: None };
        let store = Store::with(Lock::load().unwrap(), options).unwrap();
        let archive = folder.path().join("app-1.2.3.tgz");
        fs::write(&archive, "archive").unwrap();
        let charts = [Chart { repository: "https://charts.invalid".into(), archive }];
        let (etcd, grafana) = ("registry.k8s.io/etcd:3.6.4-0", "docker.io/grafana/grafana:11.2.2");
        let (one, other) = ("1".repeat(64), "2".repeat(64));
        let refs = [(etcd, &one), (grafana, &other)].map(|(image, digest)| (image.into(), format!("sha256:{digest}")));
        let images = ImageSet { refs: refs.into(), ..ImageSet::default() };
        let line = |name: &str, version: &str, origin: &str| {
            let provenance = Provenance { name: name.into(), version: version.into(), origin: origin.into() };
            of_world(&store, &images, &charts, &provenance).unwrap()
        };
        let lines = vec![
            line(etcd, "3.6.4-0", "build"),
            line(grafana, "11.2.2", SUBSTITUTED),
            line("etcd", "3.6.4", "download"),
            line("chart app", "1.2.3", "mirror"),
            line("git", "1:2.39.5-0+deb12u3", "Debian"),
        ];
        let lines = checked(&Bill::new(Part::own("workspace"), lines));
        let origins: Vec<&str> = lines.iter().map(|line| line["properties"][0]["value"].as_str().unwrap()).collect();
        assert_eq!(origins, ["build", SUBSTITUTED, "download", "mirror", "Debian"]);
        assert_eq!((&lines[0]["hashes"][0]["content"], &lines[0]["type"]), (&json!(one), &json!("container")));
        // What stands in is neither under the licence of what it stands in for, nor known by its name.
        assert_eq!((&lines[1]["hashes"][0]["content"], lines[1].get("purl")), (&json!(other), None));
        assert_eq!(lines[1]["licenses"][0]["expression"], "Apache-2.0");
        let url = lines[2]["externalReferences"][0]["url"].as_str().unwrap();
        assert!(url.ends_with("etcd-v3.6.4-linux-amd64.tar.gz"), "{url}");
        let file = &lines[3]["components"][0];
        assert_eq!((&file["name"], &file["type"]), (&json!("app-1.2.3.tgz"), &json!("file")));
        assert_eq!(lines[4]["purl"], "pkg:deb/debian/git@1:2.39.5-0%2Bdeb12u3?distro=bookworm");
    }
}
