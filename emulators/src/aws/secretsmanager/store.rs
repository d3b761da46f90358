//! All secrets of an account, by name, and the clock's work on those that are scheduled for deletion.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{refusal::Refusal, secret::Secret};
use crate::random;

/// Most secrets of an account in a region.
const SECRETS: usize = 500_000;

/// The secrets.
#[derive(Debug)]
pub struct Store {
    /// What ARNs begin with, up to the name.
    prefix: String,
    secrets: BTreeMap<String, Secret>,
    /// When the next secret ceases to exist.
    next: Option<Timestamp>,
}

impl Store {
    /// No secrets of an account in a region.
    pub fn new(account: &str, region: &str) -> Self {
        let prefix = format!("arn:aws:secretsmanager:{region}:{account}:secret:");
        Self { prefix, secrets: BTreeMap::new(), next: None }
    }

    /// Forgets the secrets whose recovery window is over.
    pub fn settle(&mut self, now: Timestamp) {
        if self.next.is_some_and(|next| next <= now) {
            self.secrets.retain(|_, secret| secret.deletion.is_none_or(|end| end > now));
            self.next = self.secrets.values().filter_map(|secret| secret.deletion).min();
        }
    }

    /// The secret with this name, ARN, or ARN without the random end.
    pub fn find(&self, id: &str) -> Option<&Secret> {
        self.secrets.get(self.name(id)?)
    }

    /// The same, to change it.
    pub fn find_mut(&mut self, id: &str) -> Option<&mut Secret> {
        let name = self.name(id)?.to_owned();
        self.secrets.get_mut(&name)
    }

    fn name<'a>(&self, id: &'a str) -> Option<&'a str> {
        if !id.starts_with("arn:") {
            return Some(id);
        }
        let name = id.strip_prefix(&self.prefix)?;
        let whole = name.rsplit_once('-').map(|(name, _)| name);
        let exact = |name: &&str| self.secrets.get(*name).is_some_and(|secret| secret.arn == id);
        Some(whole.filter(exact).unwrap_or(name))
    }

    /// ARN that a policy is held against. A secret that does not exist has no random end, and a policy that ends in
    /// `-??????` is written for it; so such a secret gets one that any such policy matches, and the caller learns that
    /// there is no such secret exactly when it may read the name.
    pub fn arn(&self, id: &str) -> String {
        match self.find(id) {
            Some(secret) => secret.arn.clone(),
            None if id.starts_with("arn:") => id.into(),
            None => format!("{}{id}-XXXXXX", self.prefix),
        }
    }

    /// Adds a secret without versions.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add(&mut self, name: &str, now: Timestamp) -> Result<&mut Secret, Refusal> {
        if self.secrets.len() >= SECRETS {
            // wording not verified
            return Err(Refusal::new("LimitExceededException", format!("The account has {SECRETS} secrets.")));
        }
        let arn = format!("{}{name}-{}", self.prefix, random::text(10, 6));
        Ok(self.secrets.entry(name.into()).or_insert_with(|| Secret::new(name.into(), arn, now)))
    }

    /// Schedules a secret's end.
    pub fn bury(&mut self, id: &str, end: Timestamp) {
        if let Some(secret) = self.find_mut(id) {
            secret.deletion = Some(end);
            self.next = Some(self.next.map_or(end, |next| next.min(end)));
        }
    }

    /// Forgets a secret at once.
    pub fn forget(&mut self, id: &str) {
        if let Some(name) = self.name(id) {
            let name = name.to_owned();
            self.secrets.remove(&name);
        }
    }

    /// All secrets, by name.
    pub fn all(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.values()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_secret_is_found_by_name_arn_and_partial_arn() {
        let (mut store, now) = (Store::new("111122223333", "us-east-1"), Timestamp::now());
        let arn = store.add("team/app-secret", now).unwrap().arn.clone();
        // A name that looks like another name with a random end.
        store.add("team/app", now).unwrap();
        assert_eq!(arn.len(), "arn:aws:secretsmanager:us-east-1:111122223333:secret:team/app-secret-AbCdEf".len());
        let found = |id: &str| store.find(id).map(|secret| secret.name.as_str());
        assert_eq!(found("team/app-secret"), Some("team/app-secret"));
        assert_eq!(found(&arn), Some("team/app-secret"));
        assert_eq!(found(arn.rsplit_once('-').unwrap().0), Some("team/app-secret"));
        assert_eq!(found("arn:aws:secretsmanager:us-east-1:444455556666:secret:team/app"), None);
        assert_eq!(found("arn:aws:secretsmanager:us-east-1:111122223333:secret:team/app-XXXXXX"), None);
        assert_eq!(found("arn:"), None);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let (mut store, now) = (Store::new("111122223333", "us-east-1"), Timestamp::now());
        for (name, days) in [("a", 7), ("b", 30)] {
            store.add(name, now).unwrap();
            store.bury(name, now + SignedDuration::from_hours(24 * days));
        }
        let days = |days: i64| now + SignedDuration::from_hours(24 * days);
        store.settle(days(6));
        assert_eq!(store.all().count(), 2);
        store.settle(days(7));
        assert!(store.find("a").is_none() && store.find("b").is_some());
        store.settle(days(30));
        assert_eq!(store.all().count(), 0);
    }

    #[test]
    fn a_new_secret_of_an_old_name_has_another_arn() {
        let (mut store, now) = (Store::new("111122223333", "us-east-1"), Timestamp::now());
        let old = store.add("a", now).unwrap().arn.clone();
        store.forget("a");
        assert_ne!(store.add("a", now).unwrap().arn, old);
        assert!(store.find(&old).is_none());
    }
}
