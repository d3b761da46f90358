//! The query of a request to a vault: the interface's version, and pages of lists.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{refusal::Refusal, secrets::bad};
use crate::Request;

/// Versions of the interface. All that is played here is the same in each.
const VERSIONS: [&str; 9] = ["7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"];

/// Entries of a page when the caller does not say, and at most.
const PAGE: usize = 25;

/// The query of a request, read and judged.
pub(super) struct Query {
    version: String,
    size: usize,
    after: Option<String>,
}

impl Query {
    /// Reads it.
    pub(super) fn of(request: &Request) -> Result<Self, Refusal> {
        let (mut version, mut size, mut after) = (None, PAGE, None);
        for (name, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
            match &*name {
                "api-version" => version = Some(value.into_owned()),
                "maxresults" => {
                    // wording not verified
                    let wrong = || bad(format!("The parameter maxresults must be between 1 and {PAGE}."));
                    size = value.parse().ok().filter(|n| (1..=PAGE).contains(n)).ok_or_else(wrong)?;
                }
                "$skiptoken" => {
                    let text = URL_SAFE_NO_PAD.decode(&*value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    after = Some(text.ok_or_else(|| bad("The parameter $skiptoken is not valid."))?);
                }
                _ => {}
            }
        }
        // wording of the first not verified
        let version = version.ok_or_else(|| bad("The api-version query parameter must be specified."))?;
        if !VERSIONS.contains(&version.as_str()) {
            return Err(bad(format!(
                "The specified version ({version:.50}) is not recognized. Consider using the latest supported version \
                 (2025-07-01)."
            )));
        }
        Ok(Self { version, size, after })
    }

    /// The entries after the one that the last page ended with, and the address of the next page.
    pub(super) fn page<'m, T>(&self, all: &'m BTreeMap<String, T>, here: &str) -> (Vec<&'m T>, Option<String>) {
        let from = self.after.as_ref().map_or(Unbounded, Excluded);
        let mut rest = all.range::<String, _>((from, Unbounded));
        let page: Vec<(&String, &T)> = rest.by_ref().take(self.size).collect();
        let next = rest.next().and(page.last()).map(|(last, _)| {
            let token = URL_SAFE_NO_PAD.encode(last.as_bytes());
            format!("{here}?api-version={}&$skiptoken={token}&maxresults={}", self.version, self.size)
        });
        (page.into_iter().map(|(_, entry)| entry).collect(), next)
    }
}
