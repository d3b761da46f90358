//! The search for the first release on the way that is not safe.

use std::fmt;

use super::step::{Step, version};
use crate::failure::Result;

/// A search among releases on one way. That the first is safe is assumed, that the last is not has been seen.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Both ends and all between them, in the order of the way.
    releases: Vec<String>,
    /// The last that is known to be safe.
    safe: usize,
    /// The first that is known not to be.
    harmful: usize,
    step: Step,
}

impl Search {
    /// The search on a way that is not safe as a whole, among the releases in the component lock.
    ///
    /// # Errors
    /// When one of them is no version.
    pub fn new(step: &Step, listed: &[&str]) -> Result<Self> {
        let (from, to) = (version(&step.from)?, version(&step.to)?);
        let (low, high) = if from < to { (&from, &to) } else { (&to, &from) };
        let mut way = listed.iter().map(|release| version(release)).collect::<Result<Vec<_>>>()?;
        way.retain(|release| low <= release && release <= high);
        way.sort();
        if to < from {
            way.reverse();
        }
        let releases: Vec<String> = way.iter().map(ToString::to_string).collect();
        Ok(Self { safe: 0, harmful: releases.len().saturating_sub(1), releases, step: step.clone() })
    }

    /// The step to try next; nothing when all is known.
    pub fn next(&self) -> Option<Step> {
        let middle = self.safe.midpoint(self.harmful);
        (middle > self.safe).then(|| Step { to: self.releases[middle].clone(), ..self.step.clone() })
    }

    /// Takes up whether what [`Self::next`] said is safe.
    pub fn told(&mut self, safe: bool) {
        let middle = self.safe.midpoint(self.harmful);
        *if safe { &mut self.safe } else { &mut self.harmful } = middle;
    }
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { product, from, to } = &self.step;
        match (self.releases.get(self.safe), self.releases.get(self.harmful)) {
            (Some(safe), Some(harmful)) if self.releases.len() > 2 => write!(f, "first unsafe: {safe} → {harmful}"),
            _ => write!(f, "the component lock has no release of {product} between {from} and {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::Product;

    const LISTED: [&str; 6] = ["1.10.0", "1.2.0", "1.3.0", "1.9.0", "2.0.0", "0.9.0"];

    /// What is tried and what is told when all from `harmful` on are not safe.
    fn search(from: &str, to: &str, harmful: &[&str]) -> (Vec<String>, String) {
        let step = Step { product: Product::Argocd, from: from.into(), to: to.into() };
        let mut search = Search::new(&step, &LISTED).unwrap();
        let mut tried = Vec::new();
        while let Some(step) = search.next() {
            search.told(!harmful.contains(&step.to.as_str()));
            tried.push(step.to);
        }
        (tried, search.to_string())
    }

    #[test]
    fn the_first_release_that_is_not_safe_is_found() {
        let own =
            |tried: &[&str], told: &str| (tried.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>(), told.to_owned());
        let all = ["1.3.0", "1.9.0", "1.10.0", "2.0.0"];
        assert_eq!(search("1.2.0", "2.0.0", &all), own(&["1.9.0", "1.3.0"], "first unsafe: 1.2.0 → 1.3.0"));
        assert_eq!(search("1.2.0", "2.0.0", &all[2..]), own(&["1.9.0", "1.10.0"], "first unsafe: 1.9.0 → 1.10.0"));
        assert_eq!(search("1.2.0", "2.0.0", &all[3..]), own(&["1.9.0", "1.10.0"], "first unsafe: 1.10.0 → 2.0.0"));
        assert_eq!(search("1.9.0", "1.2.0", &["1.2.0"]), own(&["1.3.0"], "first unsafe: 1.3.0 → 1.2.0"));
        let none = "the component lock has no release of Argo CD between 1.9.0 and 1.10.0";
        assert_eq!(search("1.9.0", "1.10.0", &["1.10.0"]), own(&[], none));
    }
}
