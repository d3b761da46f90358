//! Entries of the component lock that are `like` another one.

use toml::{Table, Value};

use crate::failure::{Failure, Result};

/// The field that names the other entry.
const LIKE: &str = "like";

/// Fills the entries of `kind`, whose names are in the field `name`: one that is like another takes over the fields, and the
/// fields of its tables, that it does not say itself. What is inside of those is taken over whole, or not.
///
/// # Errors
/// When an entry is like one that is not there, or that is like a third.
pub fn fill(lock: &mut Table, kind: &str, name: &str) -> Result<()> {
    let Some(entries) = lock.get_mut(kind).and_then(Value::as_array_mut) else { return Ok(()) };
    let all = entries.clone();
    for entry in entries.iter_mut().filter_map(Value::as_table_mut) {
        let Some(like) = entry.get(LIKE).cloned() else { continue };
        let named = |other: &&Table| other.get(name) == Some(&like);
        let Some(other) = all.iter().filter_map(Value::as_table).find(named) else {
            return Err(refused(kind, entry.get(name), &like, "the component lock does not list it"));
        };
        if other.contains_key(LIKE) {
            return Err(refused(kind, entry.get(name), &like, "it is like another one itself"));
        }
        for (field, value) in other {
            match (entry.get_mut(field).map(Value::as_table_mut), value) {
                (Some(Some(own)), Value::Table(others)) => {
                    for (field, value) in others {
                        own.entry(field.clone()).or_insert_with(|| value.clone());
                    }
                }
                (Some(_), _) => {}
                (None, value) => drop(entry.insert(field.clone(), value.clone())),
            }
        }
    }
    Ok(())
}

fn refused(kind: &str, entry: Option<&Value>, like: &Value, seen: &str) -> Failure {
    let entry = entry.map(ToString::to_string).unwrap_or_default();
    Failure::new(format!("make {kind} {entry} like {like}"), seen).next("see harness/components/lock.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<Table> {
        let mut lock: Table = toml::from_str(text).unwrap();
        fill(&mut lock, "thing", "name").map(|()| lock)
    }

    const BASE: &str =
        "[[thing]]\nname = 'a'\nversion = '1'\nlist = [1]\n[thing.go]\ntags = ['x']\n[thing.go.files]\none = '1'\n";

    #[test]
    fn what_an_entry_does_not_say_it_takes_over() {
        let lock = filled(&format!(
            "{BASE}[[thing]]\nname = 'b'\nlike = 'a'\nversion = '2'\n[thing.go]\nfiles = {{ two = '2' }}\n"
        ));
        let expected = "name = 'b'\nlike = 'a'\nversion = '2'\nlist = [1]\n[go]\ntags = ['x']\nfiles = { two = '2' }\n";
        assert_eq!(lock.unwrap()["thing"][1], Value::Table(toml::from_str(expected).unwrap()));
    }

    #[test]
    fn an_entry_is_like_one_that_is_there_and_says_all_itself() {
        let failure = filled(&format!("{BASE}[[thing]]\nname = 'b'\nlike = 'c'\n")).unwrap_err().to_string();
        assert!(failure.contains("make thing \"b\" like \"c\": the component lock does not list it"), "{failure}");
        let chain = "[[thing]]\nname = 'b'\nlike = 'a'\n[[thing]]\nname = 'c'\nlike = 'b'\n";
        let failure = filled(&format!("{BASE}{chain}")).unwrap_err().to_string();
        assert!(failure.contains("it is like another one itself"), "{failure}");
    }
}
