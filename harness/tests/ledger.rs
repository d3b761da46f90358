//! The ledger says what each emulator promises and what proves it. Every proof that it names exists, every witness and
//! every denial is in it, and `docs/emulators.md` is made from it.
//!
//! `UPDATE_DOCS=1 cargo test --release -p trinity-e2e --test ledger` writes the document.

// A test that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{collections::BTreeSet, fmt::Write, fs};

use serde::Deserialize;
use trinity_e2e::workspace;
use walkdir::WalkDir;

/// One promise of an emulator.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Short name, unique.
    claim: String,
    /// What the emulator does as the real cloud does.
    promise: String,
    /// `unit:<name>`, `canary:<name>`, `denial:<row>`, `suite:<claim about metrics>` or `witness:<claim>`.
    tests: Vec<String>,
    /// What a green does not prove.
    #[serde(default)]
    not_proved: Option<String>,
    /// How the peers differ.
    #[serde(default)]
    peers: Option<String>,
    /// Where the real cloud's behaviour is described.
    source: String,
}

/// Everything that a ledger can name, as text.
struct Proofs {
    units: String,
    canaries: String,
    denials: String,
    suites: String,
    /// Nothing where the client is a program and no SDK.
    witness: String,
}

/// Whatever is emulated.
const EMULATED: [&str; 4] = ["aws", "gcp", "azure", "grafana"];

fn read(path: &str) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn ledger(cloud: &str) -> Vec<Entry> {
    let file = format!("emulators/ledger/{cloud}.yaml");
    serde_yaml::from_str(&read(&file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

impl Proofs {
    fn of(cloud: &str) -> Self {
        let sources = WalkDir::new(workspace().join("emulators/src")).into_iter().flatten();
        let units = sources.filter(|e| e.path().extension().is_some_and(|x| x == "rs"));
        // The others' client is the operator, with an SDK; the stack's is Prometheus.
        let clouds = cloud != "grafana";
        Self {
            units: units.map(|e| fs::read_to_string(e.path()).unwrap()).collect(),
            canaries: read(&format!("emulators/src/{cloud}/canaries.rs")) + &read("emulators/src/canary.rs"),
            denials: if clouds { read("suites/tests/denial.rs") } else { String::new() },
            suites: read("suites/tests/metrics.rs"),
            witness: if clouds { read(&format!("emulators/witnesses/{cloud}.py")) } else { String::new() },
        }
    }

    fn have(&self, proof: &str) -> bool {
        match proof.split_once(':') {
            Some(("unit", path)) => {
                let name = path.rsplit("::").next().unwrap_or(path);
                self.units.contains(&format!("fn {name}("))
            }
            Some(("canary", name)) => self.canaries.contains(&format!("\"{name}\"")),
            Some(("denial", row)) => self.denials.contains(&format!("async fn {row}(")),
            Some(("suite", claim)) => self.suites.contains(&format!("async fn {claim}(")),
            Some(("witness", claim)) => self.witnessed().contains(claim),
            _ => false,
        }
    }

    /// Claim ids of the witness script: `@claim("<id>")`.
    fn witnessed(&self) -> BTreeSet<String> {
        let ids = self.witness.split("claim(\"").skip(1).filter_map(|rest| rest.split_once('"'));
        ids.map(|(id, _)| id.to_owned()).collect()
    }

    /// Rows of the denial matrix.
    fn rows(&self) -> BTreeSet<String> {
        let tests = self.denials.split("#[tokio::test]").skip(1);
        let names = tests.filter_map(|rest| rest.split_once("async fn ")?.1.split_once('('));
        names.map(|(name, _)| name.to_owned()).collect()
    }
}

fn render() -> String {
    let mut text = "# What the emulators promise\n\n\
        A green run proves no more than the emulators check. This is what they check, and what proves that they do. The page is made from\n\
        `emulators/ledger/*.yaml`; CI fails when they disagree, and when a proof that the ledger names does not exist.\n\n\
        Proofs: *unit* tests of the emulator; *canary* calls of every run that must be refused; *denial* rows, in which the operator itself is\n\
        refused and served once mended; *suite* claims about metrics, for which a real Prometheus is the client; *witness* claims, made by\n\
        the cloud's official SDK, unmodified.\n\n\
        | cloud | claims | witnessed by an official SDK |\n|---|---|---|\n"
        .to_owned();
    for cloud in EMULATED {
        let entries = ledger(cloud);
        let witnessed = entries.iter().filter(|e| e.tests.iter().any(|t| t.starts_with("witness:"))).count();
        writeln!(text, "| {cloud} | {} | {witnessed} |", entries.len()).unwrap();
    }
    for cloud in EMULATED {
        write!(text, "\n## {cloud}\n").unwrap();
        for entry in ledger(cloud) {
            write!(text, "\n**{}** — {}\n", entry.claim, entry.promise.trim()).unwrap();
            writeln!(text, "- proved by {}", entry.tests.join(", ")).unwrap();
            for (what, said) in [("a green does not prove", &entry.not_proved), ("peers", &entry.peers)] {
                if let Some(said) = said {
                    writeln!(text, "- {what}: {}", said.trim()).unwrap();
                }
            }
            writeln!(text, "- source: {}", entry.source.trim()).unwrap();
        }
    }
    text
}

#[test]
fn every_proof_that_the_ledger_names_exists() {
    for cloud in EMULATED {
        let proofs = Proofs::of(cloud);
        for entry in ledger(cloud) {
            assert!(!entry.tests.is_empty(), "{cloud}: nothing proves {}", entry.claim);
            for proof in entry.tests {
                assert!(proofs.have(&proof), "{cloud}: {} is proved by {proof}, which does not exist", entry.claim);
            }
        }
    }
}

#[test]
fn every_witness_and_every_denial_is_in_the_ledger() {
    for cloud in EMULATED {
        let proofs = Proofs::of(cloud);
        let named: BTreeSet<String> = ledger(cloud).into_iter().flat_map(|entry| entry.tests).collect();
        let witnessed = proofs.witnessed().into_iter().map(|id| format!("witness:{id}"));
        let rows = proofs.rows().into_iter().map(|row| format!("denial:{row}"));
        let missing: Vec<String> = witnessed.chain(rows).filter(|proof| !named.contains(proof)).collect();
        assert!(missing.is_empty(), "{cloud}: the ledger does not name {missing:?}");
    }
}

#[test]
fn claims_are_unique() {
    let mut seen = BTreeSet::new();
    for entry in EMULATED.into_iter().flat_map(ledger) {
        assert!(seen.insert(entry.claim.clone()), "{} is claimed twice", entry.claim);
    }
}

#[test]
fn the_document_is_the_ledgers() {
    let file = workspace().join("docs/emulators.md");
    let rendered = render();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &rendered).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap();
    assert!(written == rendered, "docs/emulators.md is not what the ledger says; UPDATE_DOCS=1 writes it anew");
}
