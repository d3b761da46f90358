//! Names of resources: `projects/<p>[/locations/<l>][/secrets/<s>[/versions/<v>]]`.

/// Longest secret id.
const ID: usize = 255;

/// A secret of this project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SecretName {
    /// Where a regional secret is; nothing for global ones.
    pub location: Option<String>,
    /// Secret id.
    pub id: String,
}

/// A name as a caller writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Project id or number.
    pub project: String,
    /// Location of regional resources.
    pub location: Option<String>,
    /// Secret id.
    pub secret: Option<String>,
    /// Number, alias or `latest`.
    pub version: Option<String>,
}

impl Resource {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/').peekable();
        // Nothing when the collection does not come next, and an end to it all when it comes without an id.
        let mut under = |collection: &str| match parts.next_if_eq(&collection) {
            Some(_) => parts.next().filter(|id| is_id(id)).map(|id| Some(id.to_owned())),
            None => Some(None),
        };
        let project = under("projects")??;
        let location = under("locations")?;
        let secret = under("secrets")?;
        let version = match secret {
            Some(_) => under("versions")?,
            None => None,
        };
        parts.next().is_none().then_some(Self { project, location, secret, version })
    }

    /// The secret that it names or is in.
    pub fn secret(&self) -> Option<SecretName> {
        self.secret.clone().map(|id| SecretName { location: self.location.clone(), id })
    }

    /// The name as the service tells it, and as conditions see it: by project number.
    pub fn canonical(&self, number: &str) -> String {
        let mut name = format!("projects/{number}");
        let rest = [("locations", &self.location), ("secrets", &self.secret), ("versions", &self.version)];
        for (collection, id) in rest.into_iter().filter_map(|(collection, id)| Some((collection, id.as_ref()?))) {
            name.push_str(&format!("/{collection}/{id}"));
        }
        name
    }
}

impl SecretName {
    /// The name as the service tells it.
    pub fn canonical(&self, number: &str) -> String {
        let SecretName { location, id } = self.clone();
        Resource { project: String::new(), location, secret: Some(id), version: None }.canonical(number)
    }
}

/// Whether a text is a secret's id; ids of projects, locations and versions have no other characters.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_and_told_by_number() {
        for name in [
            "projects/p",
            "projects/p/locations/l",
            "projects/p/secrets/s",
            "projects/p/secrets/s/versions/latest",
            "projects/p/locations/l/secrets/s/versions/1",
        ] {
            let read = Resource::parse(name).unwrap();
            assert_eq!(read.canonical("p"), name);
            assert_eq!(read.canonical("42"), name.replacen("/p", "/42", 1));
        }
        let regional = Resource::parse("projects/p/locations/l/secrets/s/versions/1").unwrap().secret().unwrap();
        assert_eq!(regional.canonical("42"), "projects/42/locations/l/secrets/s");
    }

    #[test]
    fn what_is_no_name_is_none() {
        for text in [
            "",
            "/",
            "projects",
            "projects/",
            "projects/p/",
            "projects/p/secrets",
            "projects/p/secrets/s/versions",
            "projects/p/versions/1",
            "projects/p/secrets/a b",
            "projects/p/secrets/../s",
            "projects/p/secrets/s/versions/1/x",
            "secrets/s",
        ] {
            assert_eq!(Resource::parse(text), None, "{text}");
        }
        assert!(!is_id(&"x".repeat(256)));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in "(projects/)?[a-z/._-]{0,30}(/secrets/)?[a-z0-9/]{0,20}") {
            if let Some(read) = Resource::parse(&text) {
                prop_assert_eq!(read.canonical(&read.project), text);
            }
        }
    }
}
