//! One thing that is wrong with the platform's files, and what to do about it.

use std::fmt;

use serde_json::Map;

use crate::gitops::{
    edit::Edit,
    field::{FieldPath, Step},
    schema::Unpinned,
    tree::{Identity, Place, Tree},
};

/// What is wrong with an object of the platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it is to be mended; nothing when no file of the platform has the object.
    pub place: Option<Place>,
    /// The object.
    pub object: Identity,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub next: String,
    /// A change of the files that does it; nothing when only a person can.
    pub edit: Option<Edit>,
}

impl Finding {
    /// What is wrong, and with what.
    pub fn seen(&self) -> String {
        format!("{}: {}", self.object, self.what)
    }

    /// Where to do what.
    pub fn advice(&self) -> String {
        let next = self.next.replace('\n', "\n    ");
        self.place.as_ref().map_or_else(|| next.clone(), |place| format!("{place}: {next}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  next: {}", self.seen(), self.advice())
    }
}

/// Findings about defaults that Git does not say, one for each mapping that lacks some. `who` fills them in.
pub fn unpinned(tree: &Tree, object: &Identity, defaults: &[Unpinned], who: &str) -> Vec<Finding> {
    let mut mappings: Vec<(FieldPath, Vec<&Unpinned>)> = Vec::new();
    for default in defaults {
        let parent = default.path.split().map(|(parent, _)| parent).unwrap_or_default();
        match mappings.iter_mut().find(|(known, _)| *known == parent) {
            Some((_, fields)) => fields.push(default),
            None => mappings.push((parent, vec![default])),
        }
    }
    let finding = |(parent, defaults): (FieldPath, Vec<&Unpinned>)| {
        let told: Vec<String> = defaults.iter().map(|d| format!("{} = {}", d.path, d.value)).collect();
        let named = |d: &&Unpinned| match d.path.split() {
            Some((_, Step::Field(name))) => Some((name.clone(), d.value.clone())),
            _ => None,
        };
        let fields: Map<_, _> = defaults.iter().filter_map(named).collect();
        let advice = tree.advise(object, &parent, &fields);
        let what = format!("Git does not pin what {who} fills in: {}", told.join(", "));
        Finding { place: advice.place, object: object.clone(), what, next: advice.next, edit: advice.edit }
    };
    mappings.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_of_one_mapping_are_one_finding() {
        let object = Identity { kind: "K".into(), namespace: String::new(), name: "n".into() };
        let item = |i| FieldPath::default().field("spec").field("data").item(i);
        let default = |path: FieldPath| Unpinned { path, value: json!("None") };
        let defaults = [default(item(0).field("a")), default(item(0).field("b")), default(item(1).field("a"))];
        let findings = unpinned(&Tree::default(), &object, &defaults, "the schema");
        assert_eq!(findings.len(), 2);
        assert_eq!(
            findings[0].to_string(),
            "K n: Git does not pin what the schema fills in: spec.data[0].a = \"None\", spec.data[0].b = \"None\"\n  \
             next: no file of the platform has it; let what makes it say in spec.data[0]\n        a: None\n        b: None"
        );
    }
}
