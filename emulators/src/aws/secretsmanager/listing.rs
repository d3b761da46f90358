//! Which secrets a list has, in which order, and by the page.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    input::{self, Filter},
    refusal::Refusal,
    secret::Secret,
};

/// Most filters of a request.
const FILTERS: usize = 10;

/// In which order a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    by: By,
    descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Created,
    Changed,
    Accessed,
    Name,
}

impl Order {
    /// Reads `SortBy` and `SortOrder`.
    ///
    /// # Errors
    /// When one is unknown.
    pub fn read(by: Option<&str>, order: Option<&str>) -> Result<Self, Refusal> {
        let unknown = |member: &str, known: &str| {
            Err(Refusal::constraint(member, &format!("Member must satisfy enum value set: [{known}]")))
        };
        let by = match by {
            None | Some("created-date") => By::Created,
            Some("last-changed-date") => By::Changed,
            Some("last-accessed-date") => By::Accessed,
            Some("name") => By::Name,
            Some(_) => return unknown("sortBy", "created-date, last-accessed-date, last-changed-date, name"),
        };
        match order {
            None | Some("asc") => Ok(Self { by, descending: false }),
            Some("desc") => Ok(Self { by, descending: true }),
            Some(_) => unknown("sortOrder", "asc, desc"),
        }
    }

    /// What the secret is sorted by, different for each.
    pub fn key(self, secret: &Secret) -> String {
        let time = match self.by {
            By::Created => Some(secret.created),
            By::Changed => Some(secret.changed),
            By::Accessed => secret.accessed,
            By::Name => None,
        };
        key(time.map_or(0, |time| time.as_nanosecond()), &secret.name)
    }
}

/// A key that sorts by time and then by name.
pub fn key(time: i128, name: &str) -> String {
    format!("{time:040}/{name}")
}

/// One page of a list, and the token of the next.
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// What to ask for the next page with.
    pub next: Option<String>,
}

/// A page of `size` items, which have keys. The token is the last item's key: whatever is added or deleted meanwhile,
/// nothing is listed twice or skipped.
///
/// # Errors
/// When the token is none of these.
pub fn page<T>(
    mut items: Vec<(String, T)>,
    descending: bool,
    size: usize,
    token: Option<&str>,
) -> Result<Page<T>, Refusal> {
    let sorted = |a: &str, b: &str| if descending { b.cmp(a) } else { a.cmp(b) };
    items.sort_by(|a, b| sorted(&a.0, &b.0));
    if let Some(token) = token {
        let last = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        // wording not verified
        let invalid = || Refusal::new("InvalidNextTokenException", "The NextToken value is invalid.");
        let last = last.filter(|key| key.get(40..41) == Some("/")).ok_or_else(invalid)?;
        items.retain(|(key, _)| sorted(key, &last).is_gt());
    }
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
    Ok(Page { items: items.into_iter().map(|(_, item)| item).collect(), next })
}

impl Order {
    /// Whether the last comes first.
    pub fn descending(self) -> bool {
        self.descending
    }
}

/// Checks filters.
///
/// # Errors
/// When one is not well-formed.
pub fn check(filters: &[Filter]) -> Result<(), Refusal> {
    if filters.len() > FILTERS {
        return Err(Refusal::constraint("filters", "Member must have length less than or equal to 10"));
    }
    for filter in filters {
        let known = "description, name, tag-key, tag-value, primary-region, owning-service, all";
        if !known.split(", ").any(|key| key == filter.key) {
            let enums = format!("Member must satisfy enum value set: [{known}]");
            return Err(Refusal::constraint("filters.member.key", &enums));
        }
        if !(1..=10).contains(&filter.values.len()) {
            return Err(Refusal::constraint("filters.member.values", "Member must have length between 1 and 10"));
        }
        for value in &filter.values {
            input::length("filters.member.values.member", value, 0, 512)?;
            if !value.chars().all(|c| c.is_ascii_alphanumeric() || " :_@/+=.-!".contains(c)) {
                return Err(Refusal::constraint(
                    "filters.member.values.member",
                    r"Member must satisfy regular expression pattern: ^\!?[a-zA-Z0-9 :_@\/\+\=\.\-\!]*$",
                ));
            }
        }
    }
    Ok(())
}

/// Whether a secret passes all filters.
pub fn passes(secret: &Secret, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| {
        // Of several values one is enough; how AWS joins negated ones with others is not documented.
        filter.values.iter().any(|value| match value.strip_prefix('!') {
            Some(value) => !holds(secret, &filter.key, value),
            None => holds(secret, &filter.key, value),
        })
    })
}

fn holds(secret: &Secret, key: &str, value: &str) -> bool {
    match key {
        "name" => secret.name.starts_with(value),
        "tag-key" => secret.tags.keys().any(|key| key.starts_with(value)),
        "tag-value" => secret.tags.values().any(|text| text.starts_with(value)),
        "description" => {
            let text = secret.description.as_deref().unwrap_or_default().to_lowercase();
            text.starts_with(&value.to_lowercase())
        }
        "all" => {
            let attributes = [&secret.name].into_iter().chain(&secret.description).chain(secret.tags.keys());
            let words: Vec<String> = attributes.chain(secret.tags.values()).flat_map(|text| words(text)).collect();
            words_of(value).all(|sought| words.iter().any(|word| word.starts_with(&sought)))
        }
        // No secret here is a replica or another service's.
        _ => false,
    }
}

fn words(text: &str) -> Vec<String> {
    words_of(text).collect()
}

fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn secret() -> Secret {
        let mut secret = Secret::new("team/App-one".into(), "arn".into(), Timestamp::now());
        secret.description = Some("Key of the first app".into());
        secret.tags = [("Team".to_owned(), "Blue whale".to_owned())].into();
        secret
    }

    #[test]
    fn filters_match_beginnings() {
        for (key, value, expected) in [
            ("name", "team/", true),
            ("name", "Team/", false),
            ("name", "App", false),
            ("name", "!team/", false),
            ("name", "!other", true),
            ("description", "key OF", true),
            ("description", "first", false),
            ("tag-key", "Te", true),
            ("tag-key", "te", false),
            ("tag-value", "Blue", true),
            ("tag-value", "whale", false),
            ("all", "app whale", true),
            ("all", "APP", true),
            ("all", "app red", false),
            ("all", "!red", true),
            ("owning-service", "rds", false),
        ] {
            let filter = Filter { key: key.into(), values: vec![value.into()] };
            assert_eq!(passes(&secret(), &[filter]), expected, "{key} {value}");
        }
        let filter = |key: &str, values: &[&str]| Filter {
            key: key.into(),
            values: values.iter().map(|v| (*v).into()).collect(),
        };
        assert!(passes(&secret(), &[filter("name", &["x", "team"]), filter("tag-key", &["Team"])]));
        assert!(!passes(&secret(), &[filter("name", &["team"]), filter("tag-key", &["x"])]));
        for wrong in [filter("size", &["x"]), filter("name", &[]), filter("name", &["*"]), filter("name", &["ä"])] {
            assert_eq!(check(&[wrong]).unwrap_err().code, "ValidationException");
        }
    }

    #[test]
    fn pages_follow_each_other_both_ways() {
        let items = || (0..5).map(|i| (key(i, "x"), i)).collect::<Vec<_>>();
        for (descending, expected) in [(false, [0, 1, 2, 3, 4]), (true, [4, 3, 2, 1, 0])] {
            let (mut seen, mut token) = (Vec::new(), None);
            loop {
                let page = page(items(), descending, 2, token.as_deref()).unwrap();
                seen.extend(page.items);
                token = page.next;
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected);
        }
        let exact = page(items(), false, 5, None).unwrap();
        assert!(exact.next.is_none());
    }

    proptest! {
        #[test]
        fn a_token_that_is_none_is_refused(token in ".{0,60}") {
            let refused = page(vec![(key(1, "a"), ())], false, 1, Some(&token));
            prop_assert_eq!(refused.err().map(|r| r.code), Some("InvalidNextTokenException"));
        }
    }
}
