//! Where in an object a field is.

use std::fmt;

use serde_json::Value;

/// A step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The field of that name.
    Field(String),
    /// The list item of that index.
    Item(usize),
}

/// The way from an object to a field, for example `spec.data[0].remoteRef.metadataPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// The way to the field `name` of what this leads to.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.then(Step::Field(name.into()))
    }

    /// The way to an item of the list that this leads to.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    fn then(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// Its steps, from the object on.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The way to what contains the field, and the last step from there; the object itself has neither.
    pub fn split(&self) -> Option<(Self, &Step)> {
        self.0.split_last().map(|(last, before)| (Self(before.to_vec()), last))
    }

    /// As JSON patches write it, for example `/spec/data/0/remoteRef`.
    /// Source: <https://www.rfc-editor.org/rfc/rfc6901>.
    pub fn pointer(&self) -> String {
        let step = |step: &Step| match step {
            Step::Field(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Item(index) => format!("/{index}"),
        };
        self.0.iter().map(step).collect()
    }

    /// What an object has there.
    pub fn of<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(object, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Item(index) => value.get(index),
        })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Field(name) if name.contains(['.', '/']) => write!(f, "[{name:?}]")?,
                Step::Field(name) if i == 0 => write!(f, "{name}")?,
                Step::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_reads_as_people_write_it() {
        let path = FieldPath::default().field("spec").field("data").item(0).field("remoteRef");
        assert_eq!(path.to_string(), "spec.data[0].remoteRef");
        let path = FieldPath::default().field("metadata").field("annotations").field("a.b/c");
        assert_eq!(path.to_string(), r#"metadata.annotations["a.b/c"]"#);
        assert_eq!(path.item(0).pointer(), "/metadata/annotations/a.b~1c/0");
    }

    #[test]
    fn a_path_leads_into_an_object() {
        let object = json!({"spec": {"data": [{"key": "a"}]}});
        let path = FieldPath::default().field("spec").field("data").item(0);
        assert_eq!(path.field("key").of(&object), Some(&json!("a")));
        assert_eq!(path.field("none").of(&object), None);
        assert_eq!(path.split().unwrap().1, &Step::Item(0));
    }
}
