//! What of a secret value is secret.

use std::collections::{BTreeMap, BTreeSet};

use rsa::rand_core::{OsRng, RngCore};

/// Digits that [`unique`] makes, and so the fewest that a sentinel has.
const DIGITS: usize = 16;

/// Text that is nowhere else, for a value that would be recognised wherever it got to.
pub fn unique() -> String {
    format!("{:016x}", OsRng.next_u64())
}

/// The random parts of values, each with its value's name. What is around them, the `hello-from-` of a message, the names
/// of JSON fields, the `glc_` of a token, is in Git and in documents, and tells nothing; so do values without a random
/// part: the URL and the user number of a Grafana Cloud stack are public, and have to be what the stack's declaration says.
pub fn all(values: &BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in values.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value))) {
        let parts = value.split(|c: char| !c.is_ascii_hexdigit() || c.is_ascii_uppercase());
        for part in parts.filter(|part| part.len() >= DIGITS) {
            // Under several names it is one value.
            found.entry(part.to_owned()).or_insert_with(|| name.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_random_parts_are_sentinels() {
        let values = |all: &[(&str, &str)]| {
            let mut values = BTreeMap::<String, BTreeSet<String>>::new();
            for (name, value) in all {
                values.entry((*name).into()).or_default().insert((*value).into());
            }
            super::all(&values).into_iter().map(|(part, name)| format!("{name} {part}")).collect::<Vec<_>>()
        };
        let (one, two) = (unique(), unique());
        assert_eq!(values(&[("m", &format!(r#"{{"message":"hello-from-aws-{one}-changed"}}"#))]), [format!("m {one}")]);
        assert_eq!(values(&[("p", &format!("glc_{one}{two}"))]), [format!("p {one}{two}")]);
        assert_eq!(values(&[("a", &one), ("b", &one)]), [format!("a {one}")]);
        let public = "https://prometheus-prod-13-prod-us-east-0.grafana.net/api/prom/push?rotation=1764041278000";
        assert_eq!(values(&[("url", public), ("username", "1234567")]), [""; 0]);
    }
}
