//! Declared clouds: YAML in the words of each cloud's Terraform provider, resource type → name → attributes, in which a
//! run fills in its facts. `locals` says which account, project or tenant it is, see [`crate::config::Cloud::read`].
//! Values are never in the file, only their names.

use std::collections::BTreeMap;

use crate::{Attempt, Error, Result};

/// Fills in `${name}` for every fact and reads the text. What is left, `${value:…}`, is for [`value`].
///
/// # Errors
/// When it is no declaration, or has an element that the cloud does not evaluate.
pub(crate) fn read<T: serde::de::DeserializeOwned>(text: &str, cloud: &str, facts: &[(&str, &str)]) -> Result<T> {
    let text = facts.iter().fold(text.to_owned(), |text, (name, fact)| text.replace(&format!("${{{name}}}"), fact));
    let attempted = || format!("read the declared set-up of {cloud}");
    let mut resources: serde_yaml::Mapping = serde_yaml::from_str(&text).attempting(attempted)?;
    resources.remove("locals");
    serde_yaml::from_value(resources.into()).attempting(attempted)
}

/// The value that `${value:<name>}` stands for; `of` says whose it is.
///
/// # Errors
/// When the run does not supply it.
pub(crate) fn value(reference: &str, of: &str, values: &BTreeMap<String, String>) -> Result<String> {
    let name = reference.strip_prefix("${value:").and_then(|rest| rest.strip_suffix('}'));
    name.and_then(|name| values.get(name)).cloned().ok_or_else(|| {
        Error::new(format!("give secret {of} its value"), format!("the run supplies no value for {reference}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_filled_in_and_values_looked_up() {
        let read: BTreeMap<String, String> =
            read("locals: {b: 1}\na: ${who}-${value:x}", "test", &[("who", "me")]).unwrap();
        assert_eq!(read, BTreeMap::from([("a".to_owned(), "me-${value:x}".to_owned())]));
        let values = BTreeMap::from([("x".to_owned(), "1".to_owned())]);
        assert_eq!(value("${value:x}", "s", &values).unwrap(), "1");
        assert!(value("${value:y}", "s", &values).is_err());
        assert!(value("plain", "s", &values).is_err());
    }
}
