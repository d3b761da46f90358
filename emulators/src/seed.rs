//! Declared clouds: YAML in the words of each cloud's Terraform provider, resource type → name → attributes, in which a
//! run fills in its facts. Several documents are one declaration. `locals` says which account, project or tenant it is,
//! see [`crate::config::Cloud::read`], and `nodes`, which the harness reads, how large the cluster is. Values are never in
//! the file, only their names.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use crate::{Attempt, Error, Result};

/// How a value's name begins.
const OPEN: &str = "${value:";

/// Fills in `${name}` for every fact and reads the text. What is left, `${value:…}`, is for [`value`].
///
/// # Errors
/// When it is no declaration, has an element that the cloud does not evaluate, or has a resource twice.
pub fn read<T: serde::de::DeserializeOwned>(text: &str, cloud: &str, facts: &[(&str, &str)]) -> Result<T> {
    let text = facts.iter().fold(text.to_owned(), |text, (name, fact)| text.replace(&format!("${{{name}}}"), fact));
    let attempted = || format!("read the declared set-up of {cloud}");
    let mut resources = Mapping::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        for (kind, named) in Mapping::deserialize(document).attempting(attempted)? {
            match (resources.entry(kind).or_insert_with(|| Mapping::new().into()), named) {
                (Value::Mapping(all), Value::Mapping(named)) => {
                    for (name, resource) in named {
                        if let Some(twice) = all.insert(name.clone(), resource) {
                            let twice = format!("{name:?} is declared twice, also as {twice:?}");
                            return Err(Error::new(attempted(), twice));
                        }
                    }
                }
                (place, other) => *place = other,
            }
        }
    }
    for about in ["locals", "nodes"] {
        resources.remove(about);
    }
    serde_yaml::from_value(resources.into()).attempting(attempted)
}

/// The text with the value for each `${value:<name>}` in it, of which there is at least one: no value stands in a file. `of`
/// says whose it is.
///
/// # Errors
/// When the run does not supply one.
pub fn value(reference: &str, of: &str, values: &BTreeMap<String, String>) -> Result<String> {
    let refused = |why: String| Error::new(format!("give secret {of} its value"), why);
    let mut parts = reference.split(OPEN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut found = false;
    for part in parts {
        let known = part.split_once('}').and_then(|(name, rest)| Some((values.get(name)?, rest)));
        let (value, rest) = known.ok_or_else(|| refused(format!("the run supplies no value for {reference}")))?;
        text += value;
        text += rest;
        found = true;
    }
    if found { Ok(text) } else { Err(refused(format!("{reference} names no value that a run supplies"))) }
}

/// The names in all `${value:<name>}` of a declaration.
pub fn names(declaration: &str) -> impl Iterator<Item = &str> {
    declaration.split(OPEN).skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

/// The declaration of the example platform's cloud, with what canaries and denials need beside it.
#[cfg(test)]
pub(crate) fn example(cloud: &str) -> String {
    let read = |kind| {
        let path = format!("{}/../fixtures/{kind}/{cloud}.yaml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    ["worlds", "denials"].map(read).join("\n---\n")
}

/// The same as a file, which goes with the value.
#[cfg(test)]
pub(crate) fn example_file(cloud: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), example(cloud)).unwrap();
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    type Kinds = BTreeMap<String, BTreeMap<String, String>>;

    #[test]
    fn documents_are_merged_and_facts_filled_in() {
        let text = "locals: {b: 1}\nnodes: {count: 2}\nkind: {a: '${who}-${value:x}'}\n---\nkind: {c: d}\n";
        let kinds: Kinds = read(text, "test", &[("who", "me")]).unwrap();
        let kind = [("a", "me-${value:x}"), ("c", "d")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(kinds, Kinds::from([("kind".to_owned(), kind.into())]));
        assert!(read::<Kinds>("kind: {a: b}\n---\nkind: {a: c}\n", "test", &[]).is_err());
    }

    #[test]
    fn values_are_looked_up() {
        let values = BTreeMap::from([("x".to_owned(), "1".to_owned())]);
        assert_eq!(value("${value:x}", "s", &values).unwrap(), "1");
        assert_eq!(value("${value:x}?a=2", "s", &values).unwrap(), "1?a=2");
        assert_eq!(
            value(r#"{"a": "${value:x}", "b": "${value:x}"}"#, "s", &values).unwrap(),
            r#"{"a": "1", "b": "1"}"#
        );
        assert_eq!(names("a: ${value:x}, b: '{${value:y}}'").collect::<Vec<_>>(), ["x", "y"]);
        assert!(value("${value:y}", "s", &values).is_err() && value("${value:x", "s", &values).is_err());
        assert!(value("plain", "s", &values).is_err());
    }
}
