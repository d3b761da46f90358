//! Lists: filters in the subset of Google's language that is played, and pages that stay where they are when something
//! is added.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1::{
    Secret, SecretVersion, secret_version::State,
};
use sha2::{Digest, Sha256};

use super::refusal::Refusal;

/// Entries of a page at most, and when the caller does not say.
const PAGE: usize = 25_000;
/// Longest filter (bytes).
const FILTER: usize = 4 << 10;

/// What a filter demands; all of its terms must hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter(Vec<Term>);

#[derive(Debug, PartialEq, Eq)]
enum Term {
    Name(String),
    Label(String, Option<String>),
    State(State),
}

impl Filter {
    /// Reads terms such as `name:part`, `labels.key=value`, `labels.key:*` and `state:ENABLED`, with `AND` or nothing
    /// between them.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > FILTER {
            return Err(Refusal::field("filter", "The filter is too long."));
        }
        let terms = text.split_whitespace().filter(|word| *word != "AND").map(|word| {
            Self::term(word).ok_or_else(|| {
                let refusal = Refusal::field("filter", "Invalid filter.");
                Refusal { finding: true, ..refusal.because(format!("the term {word:.100} is not played")) }
            })
        });
        terms.collect::<Result<_, _>>().map(Self)
    }

    fn term(word: &str) -> Option<Term> {
        let (field, rest) = word.split_at(word.find([':', '='])?);
        let (operator, value) = rest.split_at(1);
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
        match field {
            "name" if operator == ":" && plain(value) && !value.is_empty() => Some(Term::Name(value.to_lowercase())),
            "state" => State::from_str_name(value).map(Term::State),
            _ => {
                let key = field.strip_prefix("labels.").filter(|key| plain(key) && !key.is_empty())?;
                match value {
                    "*" if operator == ":" => Some(Term::Label(key.to_owned(), None)),
                    value => plain(value).then(|| Term::Label(key.to_owned(), Some(value.to_owned()))),
                }
            }
        }
    }

    /// Whether nothing is demanded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a secret meets it.
    pub fn meets_secret(&self, secret: &Secret) -> bool {
        let id = secret.name.rsplit('/').next().unwrap_or_default().to_lowercase();
        self.0.iter().all(|term| match term {
            Term::Name(part) => id.contains(part),
            Term::Label(key, None) => secret.labels.contains_key(key),
            Term::Label(key, Some(value)) => secret.labels.get(key) == Some(value),
            Term::State(_) => false,
        })
    }

    /// Whether a version meets it.
    pub fn meets_version(&self, version: &SecretVersion) -> bool {
        let id = version.name.rsplit('/').next().unwrap_or_default();
        self.0.iter().all(|term| match term {
            Term::Name(part) => id.contains(part),
            Term::State(state) => version.state() == *state,
            Term::Label(..) => false,
        })
    }
}

/// A part of a list.
pub(crate) struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Token of the next part; empty at the end.
    pub next: String,
}

/// The part of `list` that a caller asks for. The list is in falling order of its keys; `of` says which list it is.
pub(crate) fn page<T>(list: Vec<(u64, T)>, size: i32, token: &str, of: &str) -> Result<Page<T>, Refusal> {
    let size = match usize::try_from(size) {
        Ok(0) => PAGE,
        Ok(size) => size.min(PAGE),
        Err(_) => return Err(Refusal::field("page_size", "The page size must not be negative.")),
    };
    let seal = &Sha256::digest(of)[..8];
    let below = match token {
        "" => u64::MAX,
        token => open(token, seal).ok_or_else(|| Refusal::field("page_token", "Invalid page token."))?,
    };
    let mut rest = list.into_iter().skip_while(|(key, _)| *key >= below).peekable();
    let (mut entries, mut last) = (Vec::new(), below);
    while entries.len() < size
        && let Some((key, entry)) = rest.next()
    {
        entries.push(entry);
        last = key;
    }
    let next = match rest.peek() {
        Some(_) => URL_SAFE_NO_PAD.encode([&last.to_be_bytes()[..], seal].concat()),
        None => String::new(),
    };
    Ok(Page { entries, next })
}

fn open(token: &str, seal: &[u8]) -> Option<u64> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (key, rest) = bytes.split_first_chunk::<8>()?;
    (rest == seal).then(|| u64::from_be_bytes(*key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(id: &str, labels: &[(&str, &str)]) -> Secret {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Secret { name: format!("projects/1/secrets/{id}"), labels, ..Secret::default() }
    }

    #[test]
    fn filters_demand_what_they_say() {
        let meets = |filter: &str| {
            Filter::parse(filter).unwrap().meets_secret(&secret("App-Password", &[("env", "dev"), ("team", "a")]))
        };
        for filter in
            ["", "name:pass", "name:\"app\"", "labels.env=dev", "labels.env:dev AND labels.team=a", "labels.env:*"]
        {
            assert!(meets(filter), "{filter}");
        }
        for filter in ["name:projects", "labels.env=prod", "labels.absent:*", "labels.env=dev name:other"] {
            assert!(!meets(filter), "{filter}");
        }
        for filter in ["word", "NOT name:a", "name:a OR name:b", "create_time>2020", "(name:a)", "labels.=x", "name:"] {
            let refusal = Filter::parse(filter).unwrap_err();
            assert!(refusal.finding, "{filter}");
        }
    }

    #[test]
    fn pages_stay_where_they_are() {
        let list = |keys: std::ops::RangeInclusive<u64>| keys.rev().map(|key| (key, key)).collect::<Vec<_>>();
        let first = page(list(1..=5), 2, "", "list").unwrap();
        assert_eq!(first.entries, [5, 4]);
        // Something is added meanwhile.
        let second = page(list(1..=6), 2, &first.next, "list").unwrap();
        assert_eq!(second.entries, [3, 2]);
        let third = page(list(1..=6), 2, &second.next, "list").unwrap();
        assert_eq!((third.entries, third.next), (vec![1], String::new()));
        assert!(page(list(1..=5), 2, &first.next, "another list").is_err());
        assert!(page(list(1..=5), -1, "", "list").is_err());
        assert_eq!(page(list(1..=5), 0, "", "list").unwrap().entries.len(), 5);
    }

    proptest! {
        #[test]
        fn no_filter_and_no_token_is_too_strange(filter in "\\PC{0,60}", token in "\\PC{0,40}", size in any::<i32>()) {
            if let Ok(filter) = Filter::parse(&filter) {
                let _ = filter.meets_secret(&secret("a", &[]));
            }
            let _ = page(vec![(2, ()), (1, ())], size, &token, "list").map(|page| page.entries.len());
        }
    }
}
