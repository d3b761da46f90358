//! The crates that the programs of this workspace are made from.

use std::{collections::BTreeMap, fs};

use serde::Deserialize;

use crate::{
    cargo,
    failure::{Attempt, Failure, Result},
    workspace,
};

/// The platform that they are compiled for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A crate of crates.io.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SPDX expression.
    pub licence: String,
    /// SHA-256 of its archive, hexadecimal.
    pub sha256: String,
}

/// `Cargo.lock`, as far as it matters here.
#[derive(Deserialize)]
struct Locked {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// Members of the workspace have none.
    checksum: Option<String>,
}

/// All that is compiled in, or runs while it is compiled, sorted; what only tests use is left out.
///
/// # Errors
/// When cargo cannot tell them, or the lock file has no checksum of one.
pub async fn all() -> Result<Vec<Crate>> {
    let attempted = || "list the crates of the harness".to_owned();
    let output = cargo::command("cargo")
        .args(["tree", "--locked", "--edges", "normal,build", "--target", TARGET])
        // The suites are tests.
        .args(["--workspace", "--exclude", "suites"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .output()
        .await
        .attempting(attempted)?;
    if !output.status.success() {
        return Err(Failure::new(attempted(), String::from_utf8_lossy(&output.stderr).trim()));
    }
    let file = workspace().join("Cargo.lock");
    let text = fs::read_to_string(&file).attempting(|| format!("read {}", file.display()))?;
    let locked: Locked = toml::from_str(&text).attempting(|| format!("understand {}", file.display()))?;
    crates(&String::from_utf8_lossy(&output.stdout), locked)
}

/// The crates in `cargo tree`'s lines `<name> v<version>[ (…)]|<licence>[ (*)]`, but for those of the workspace.
fn crates(tree: &str, locked: Locked) -> Result<Vec<Crate>> {
    let known = locked.package.into_iter().filter_map(|p| Some(((p.name, p.version), p.checksum?)));
    let checksums: BTreeMap<(String, String), String> = known.collect();
    let mut found = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let attempted = || format!("understand what cargo says of a crate: {line}");
        let (package, licence) =
            line.split_once('|').ok_or_else(|| Failure::new(attempted(), "it names no licence"))?;
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next().and_then(|word| word.strip_prefix('v'))) else {
            return Err(Failure::new(attempted(), "it names no version"));
        };
        // A path: it is of the workspace.
        if words.any(|word| word.starts_with("(/")) {
            continue;
        }
        let (name, version) = (name.to_owned(), version.to_owned());
        let sha256 = checksums.get(&(name.clone(), version.clone())).cloned();
        let sha256 = sha256.ok_or_else(|| Failure::new(attempted(), "Cargo.lock has no checksum of it"))?;
        // Crates from before SPDX expressions write a slash.
        let licence = licence.trim_end_matches(" (*)").replace(" / ", " OR ").replace('/', " OR ");
        found.push(Crate { name, version, licence, sha256 });
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(checksum: Option<&str>) -> Locked {
        let of = |name: &str, checksum: Option<&str>| Package {
            name: name.into(),
            version: "1.0.0".into(),
            checksum: checksum.map(Into::into),
        };
        Locked { package: vec![of("own", None), of("a", checksum)] }
    }

    #[test]
    fn a_crate_is_told_once_with_its_checksum_and_members_are_not() {
        let tree = "own v1.0.0 (/some/place)|Apache-2.0\na v1.0.0 (proc-macro)|MIT/Apache-2.0\n\na v1.0.0|MIT/Apache-2.0 (*)\n";
        let (name, version) = ("a".to_owned(), "1.0.0".to_owned());
        let a = Crate { name, version, licence: "MIT OR Apache-2.0".into(), sha256: "12".into() };
        assert_eq!(crates(tree, locked(Some("12"))).unwrap(), [a]);
    }

    #[test]
    fn a_crate_that_the_lock_file_does_not_vouch_for_is_refused() {
        let failure = crates("a v1.0.0|MIT\n", locked(None)).unwrap_err().to_string();
        assert!(failure.contains("Cargo.lock has no checksum of it"), "{failure}");
    }
    /// What `deny.toml` says, in its own words.
    fn rules() -> toml::Table {
        toml::from_str(&fs::read_to_string(workspace().join("deny.toml")).unwrap()).unwrap()
    }

    /// Whether one of these licences, or some of them together, is enough for an SPDX expression.
    fn enough(expression: &str, allowed: &[&str]) -> bool {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let (enough, rest) = any(&words, allowed);
        assert!(rest.is_empty(), "{expression} goes on with {rest:?}");
        enough
    }

    fn any<'a>(words: &'a [&'a str], allowed: &[&str]) -> (bool, &'a [&'a str]) {
        let (mut enough, mut words) = all_of(words, allowed);
        while let ["OR", rest @ ..] = words {
            let (other, rest) = all_of(rest, allowed);
            (enough, words) = (enough | other, rest);
        }
        (enough, words)
    }

    fn all_of<'a>(words: &'a [&'a str], allowed: &[&str]) -> (bool, &'a [&'a str]) {
        let (mut enough, mut words) = one(words, allowed);
        while let ["AND", rest @ ..] = words {
            let (other, rest) = one(rest, allowed);
            (enough, words) = (enough & other, rest);
        }
        (enough, words)
    }

    fn one<'a>(words: &'a [&'a str], allowed: &[&str]) -> (bool, &'a [&'a str]) {
        match words {
            ["(", rest @ ..] => match any(rest, allowed) {
                (enough, [")", rest @ ..]) => (enough, rest),
                (_, rest) => panic!("a bracket stays open before {rest:?}"),
            },
            [licence, "WITH", exception, rest @ ..] => {
                (allowed.contains(&format!("{licence} WITH {exception}").as_str()), rest)
            }
            [licence, rest @ ..] => (allowed.contains(licence), rest),
            [] => panic!("a licence is missing"),
        }
    }

    #[test]
    fn licences_are_enough_together_or_one_by_one() {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
        for (expression, expected) in [
            ("MIT", true),
            ("Apache-2.0", false),
            ("Apache-2.0 OR MIT", true),
            ("MIT AND ISC", true),
            ("MIT AND Apache-2.0", false),
            ("MIT AND (Apache-2.0 OR ISC)", true),
            ("Unlicense OR Apache-2.0 AND MIT", false),
            ("Apache-2.0 WITH LLVM-exception", true),
        ] {
            assert_eq!(enough(expression, &allowed), expected, "{expression}");
        }
    }

    #[tokio::test]
    async fn every_crate_is_under_licences_that_deny_toml_allows() {
        let rules = rules();
        let allowed = rules["licenses"]["allow"].as_array().unwrap().iter().map(|licence| licence.as_str().unwrap());
        let allowed: Vec<&str> = allowed.collect();
        let crates = all().await.unwrap();
        let refused: Vec<&Crate> = crates.iter().filter(|each| !enough(&each.licence, &allowed)).collect();
        assert!(crates.len() > 100 && refused.is_empty(), "of {} crates: {refused:?}", crates.len());
    }

    #[test]
    fn every_crate_comes_from_where_deny_toml_allows() {
        let rules = rules();
        let allowed = rules["sources"]["allow-registry"].as_array().unwrap();
        let text = fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
        let locked: toml::Table = toml::from_str(&text).unwrap();
        for each in locked["package"].as_array().unwrap() {
            // Members of the workspace have none.
            let Some(source) = each.get("source") else { continue };
            let registry = source.as_str().unwrap().strip_prefix("registry+");
            assert!(
                registry.is_some_and(|url| allowed.contains(&url.into())) && each.get("checksum").is_some(),
                "{each}"
            );
        }
    }
}
