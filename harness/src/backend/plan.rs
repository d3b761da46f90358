//! What is to be done with declared secrets, from how they are: decided before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trinity_emulators::seed;

use crate::failure::{Failure, Result};

/// A secret that a platform's infrastructure code declares.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Name.
    pub name: String,
    /// Vault or location that it is in, where the cloud has several.
    pub place: Option<String>,
    /// What else is declared of it, as a request that makes it has it.
    pub about: Value,
    /// Days between deletion and oblivion, when they are declared for the secret.
    pub window: Option<u8>,
    /// `${value:<name>}`; nothing when it shall have no value.
    pub reference: Option<String>,
}

impl Wanted {
    /// Its value among the supplied ones.
    fn value(&self, values: &BTreeMap<String, String>) -> Option<String> {
        seed::value(self.reference.as_deref()?, &self.name, values).ok()
    }
}

/// How a secret is in the cloud.
#[derive(Clone, PartialEq, Eq)]
pub enum Seen {
    /// There is none of the name.
    Absent,
    /// It is there, with its current value; nothing when that cannot be read.
    Live(Option<String>),
    /// It is deleted, and its name is reserved for it.
    Buried(Tombstone),
}

/// A deleted secret that can be recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// What the cloud says of it, for example `is scheduled for deletion on 2026-12-02T03:00:00Z`.
    pub seen: String,
    /// What a person can do about it.
    pub ways: String,
}

/// What is done with one secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// It is made.
    Create(&'a Wanted, Option<String>),
    /// It gets a new version.
    Renew(&'a Wanted, String),
    /// It stays as it is.
    Keep(&'a Wanted),
}

/// What is to be done so that declared secrets are there, with these values. What has no new value keeps its own.
///
/// # Errors
/// Tombstones, which a person has to decide about, and secrets that are absent and have no value: nothing is done then.
pub fn apply<'a>(secrets: &'a [(Wanted, Seen)], values: &BTreeMap<String, String>) -> Result<Vec<Step<'a>>> {
    let attempted = "apply the declared secrets";
    let buried = || secrets.iter().filter_map(|(w, seen)| Some((w, tombstone(seen)?)));
    if buried().next().is_some() {
        let seen: Vec<String> = buried().map(|(wanted, t)| format!("{} {}", wanted.name, t.seen)).collect();
        let ways: BTreeSet<&str> = buried().map(|(_, t)| t.ways.as_str()).collect();
        let ways: Vec<&str> = ways.into_iter().collect();
        return Err(Failure::new(attempted, seen.join("; ")).next(ways.join("; ")));
    }
    let lacks = |wanted: &Wanted| wanted.reference.is_some() && wanted.value(values).is_none();
    let lacking: Vec<String> = secrets
        .iter()
        .filter(|(wanted, seen)| *seen == Seen::Absent && lacks(wanted))
        .map(|(wanted, _)| format!("{} ({})", wanted.name, wanted.reference.as_deref().unwrap_or_default()))
        .collect();
    if !lacking.is_empty() {
        let seen = format!("these are not there, and no value is supplied for them: {}", lacking.join(", "));
        return Err(Failure::new(attempted, seen)
            .next("name a file with their values by --values, or - to read them from the standard input"));
    }
    Ok(secrets
        .iter()
        .map(|(wanted, seen)| match (seen, wanted.value(values)) {
            (Seen::Live(current), Some(value)) if *current != Some(value.clone()) => Step::Renew(wanted, value),
            (Seen::Absent, value) => Step::Create(wanted, value),
            _ => Step::Keep(wanted),
        })
        .collect())
}

/// The tombstone of a secret.
pub const fn tombstone(seen: &Seen) -> Option<&Tombstone> {
    match seen {
        Seen::Buried(tombstone) => Some(tombstone),
        Seen::Absent | Seen::Live(_) => None,
    }
}

/// Whether deletion was confirmed with the one word that confirms it.
///
/// # Errors
/// Otherwise, with all that would be deleted.
pub fn confirmed(secrets: &[(Wanted, Seen)], fate: &str, word: Option<&str>) -> Result<()> {
    let living: Vec<&str> =
        secrets.iter().filter(|(_, s)| matches!(s, Seen::Live(_))).map(|(w, _)| w.name.as_str()).collect();
    match word {
        Some("delete") => Ok(()),
        _ if living.is_empty() => Err(unconfirmed("nothing is confirmed, and nothing would be deleted".into())),
        _ => Err(unconfirmed(format!("nothing is confirmed. Each of these {fate}: {}", living.join(", ")))),
    }
}

fn unconfirmed(seen: String) -> Failure {
    Failure::new("delete the declared secrets", seen).next("repeat it with --confirm delete").misused()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str) -> Wanted {
        let reference = Some(format!("${{value:{name}}}"));
        Wanted { name: name.into(), place: None, about: Value::Null, window: None, reference }
    }

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn live(value: &str) -> Seen {
        Seen::Live(Some(value.into()))
    }

    fn buried() -> Seen {
        Seen::Buried(Tombstone { seen: "is gone until Monday".into(), ways: "wait".into() })
    }

    #[test]
    fn what_is_absent_is_made_what_differs_gets_a_version_and_the_rest_stays() {
        let unreadable = Seen::Live(None);
        let secrets = [
            (wanted("absent"), Seen::Absent),
            (wanted("same"), live("1")),
            (wanted("other"), live("1")),
            (wanted("unreadable"), unreadable),
            (wanted("unsupplied"), live("1")),
        ];
        let values = values(&[("absent", "1"), ("same", "1"), ("other", "2"), ("unreadable", "2")]);
        let steps = apply(&secrets, &values).unwrap();
        let [absent, same, other, unreadable, unsupplied] = &secrets;
        assert_eq!(
            steps,
            [
                Step::Create(&absent.0, Some("1".into())),
                Step::Keep(&same.0),
                Step::Renew(&other.0, "2".into()),
                Step::Renew(&unreadable.0, "2".into()),
                Step::Keep(&unsupplied.0),
            ]
        );
    }

    #[test]
    fn a_tombstone_stops_everything() {
        let secrets = [(wanted("a"), Seen::Absent), (wanted("b"), buried())];
        let failure = apply(&secrets, &values(&[("a", "1"), ("b", "1")])).unwrap_err().to_string();
        assert!(failure.contains("b is gone until Monday") && failure.ends_with("next: wait"), "{failure}");
        assert!(apply(&secrets[..1], &values(&[("a", "1")])).is_ok());
    }

    #[test]
    fn what_is_absent_needs_a_value_unless_it_shall_have_none() {
        let failure = apply(&[(wanted("a"), Seen::Absent)], &values(&[])).unwrap_err().to_string();
        assert!(failure.contains("a (${value:a})"), "{failure}");
        let container = [(Wanted { reference: None, ..wanted("a") }, Seen::Absent)];
        assert_eq!(apply(&container, &values(&[])).unwrap(), [Step::Create(&container[0].0, None)]);
    }

    #[test]
    fn only_the_word_confirms_and_else_it_is_told_what_would_go() {
        let secrets = [(wanted("a"), live("1")), (wanted("b"), buried()), (wanted("c"), Seen::Absent)];
        assert!(confirmed(&secrets, "goes", Some("delete")).is_ok());
        for word in [None, Some("yes"), Some("")] {
            let failure = confirmed(&secrets, "goes", word).unwrap_err().to_string();
            assert!(failure.contains("Each of these goes: a\n"), "{failure}");
        }
    }
}
