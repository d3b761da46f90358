//! The secrets of one vault: versions, attributes, tombstones. Who may do what is decided before anything here is
//! asked.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use super::refusal::Refusal;

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

/// Longest value (bytes). <https://learn.microsoft.com/azure/key-vault/secrets/about-secrets>
const VALUE: usize = 25 << 10;
/// Longest content type (characters).
const CONTENT_TYPE: usize = 255;
/// Most tags.
const TAGS: usize = 15;
/// Longest name and value of a tag (characters).
const TAG: usize = 256;
/// Longest name of a secret.
const NAME: usize = 127;

/// One value of a secret. It has no `Debug`, so that no value gets into a log.
#[derive(Clone)]
pub(super) struct Version {
    pub id: String,
    pub value: String,
    pub content_type: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub enabled: bool,
    pub not_before: Option<i64>,
    pub expires: Option<i64>,
    pub created: i64,
    pub updated: i64,
}

/// A secret; its last version is the current one, and there is always one.
#[derive(Clone)]
pub(super) struct Secret {
    pub name: String,
    pub versions: Vec<Version>,
}

/// A secret that was deleted and can be recovered.
#[derive(Clone)]
pub(super) struct Tombstone {
    pub secret: Secret,
    pub deleted: i64,
    pub purge: i64,
}

/// All secrets of a vault, by their names in lower case.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    pub live: BTreeMap<String, Secret>,
    pub deleted: BTreeMap<String, Tombstone>,
}

/// Attributes that a caller can set.
#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct Attributes {
    pub enabled: Option<bool>,
    pub nbf: Option<i64>,
    pub exp: Option<i64>,
}

/// What a caller sets on a version.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    pub value: Option<String>,
    pub content_type: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub attributes: Attributes,
}

pub(super) fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "BadParameter", message)
}

fn absent(what: &str) -> Refusal {
    let message = format!(
        "A secret with (name/id) {what} was not found in this key vault. If you recently deleted this secret you may be \
         able to recover it using the correct recovery command. For help resolving this issue, please see \
         https://go.microsoft.com/fwlink/?linkid=2125182"
    );
    Refusal::new(StatusCode::NOT_FOUND, "SecretNotFound", message)
}

fn not_deleted(name: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "SecretNotFound", format!("Deleted Secret not found: {name}"))
}

fn disabled() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "Forbidden", "Operation get is not allowed on a disabled secret.")
        .inner("SecretDisabled")
}

impl Change {
    // The wording of these limits is not verified.
    fn check(&self) -> Result<(), Refusal> {
        if self.value.as_ref().is_some_and(|v| v.len() > VALUE) {
            return Err(bad(format!("The property value has a length that is more than {VALUE} bytes.")));
        }
        if self.content_type.as_ref().is_some_and(|c| c.chars().count() > CONTENT_TYPE) {
            return Err(bad(format!("The property contentType has more than {CONTENT_TYPE} characters.")));
        }
        let tags = self.tags.iter().flatten();
        if tags.clone().count() > TAGS || tags.clone().any(|(n, v)| n.chars().count() > TAG || v.chars().count() > TAG)
        {
            return Err(bad(format!("There can be at most {TAGS} tags of at most {TAG} characters.")));
        }
        Ok(())
    }
}

impl Version {
    /// Applies what a caller sets, apart from the value, which never changes.
    fn change(&mut self, change: Change, now: i64) {
        let Attributes { enabled, nbf, exp } = change.attributes;
        self.content_type = change.content_type.or(self.content_type.take());
        self.tags = change.tags.or(self.tags.take());
        self.enabled = enabled.unwrap_or(self.enabled);
        self.not_before = nbf.or(self.not_before);
        self.expires = exp.or(self.expires);
        self.updated = now;
    }
}

impl Secret {
    /// The version with an id, or the current one.
    fn version(&self, id: Option<&str>) -> Result<&Version, Refusal> {
        let found = match id {
            Some(id) => self.versions.iter().find(|v| v.id == id),
            None => self.versions.last(),
        };
        found.ok_or_else(|| absent(&format!("{}/{}", self.name, id.unwrap_or_default())))
    }
}

impl Secrets {
    /// Forgets what is due to be purged.
    pub(super) fn settle(&mut self, now: i64) {
        self.deleted.retain(|_, tombstone| tombstone.purge > now);
    }

    fn find(&self, name: &str) -> Result<&Secret, Refusal> {
        self.live.get(&name.to_lowercase()).ok_or_else(|| match self.deleted.contains_key(&name.to_lowercase()) {
            true => absent(name).because(format!("the secret {name} is deleted but recoverable")),
            false => absent(name),
        })
    }

    /// A name that a deleted secret has is reserved for it.
    fn reserved(&self, name: &str) -> Result<(), Refusal> {
        if self.deleted.contains_key(&name.to_lowercase()) {
            let message = format!(
                "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this \
                 state, the secret can only be recovered or purged."
            );
            return Err(Refusal::new(StatusCode::CONFLICT, "Conflict", message).inner("ObjectIsDeletedButRecoverable"));
        }
        Ok(())
    }

    /// Adds a version, and the secret when there is none of the name.
    pub(super) fn set(&mut self, name: &str, mut change: Change, now: i64) -> Result<(&Secret, &Version), Refusal> {
        change.check()?;
        let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && (1..=NAME).contains(&name.len());
        if !valid {
            return Err(bad(format!("The request URI contains an invalid name: {name:.150}")));
        }
        let Some(value) = change.value.take() else {
            return Err(bad("The property \"value\" is required."));
        };
        self.reserved(name)?;
        let mut version = Version {
            id: Uuid::new_v4().simple().to_string(),
            value,
            content_type: None,
            tags: None,
            enabled: true,
            not_before: None,
            expires: None,
            created: now,
            updated: now,
        };
        version.change(change, now);
        let new = || Secret { name: name.to_owned(), versions: Vec::new() };
        let secret = self.live.entry(name.to_lowercase()).or_insert_with(new);
        secret.versions.push(version);
        let secret: &Secret = secret;
        secret.version(None).map(|version| (secret, version))
    }

    /// A version with its value. A secret outside of its `nbf` and `exp` is still given: they only inform.
    /// <https://learn.microsoft.com/azure/key-vault/secrets/about-secrets#date-time-controlled-operations>
    pub(super) fn get(&self, name: &str, id: Option<&str>) -> Result<(&Secret, &Version), Refusal> {
        let secret = self.find(name)?;
        let version = secret.version(id)?;
        if version.enabled { Ok((secret, version)) } else { Err(disabled()) }
    }

    /// Changes attributes of a version.
    pub(super) fn update(
        &mut self,
        name: &str,
        id: Option<&str>,
        change: Change,
        now: i64,
    ) -> Result<(&Secret, &Version), Refusal> {
        change.check()?;
        let id = self.find(name)?.version(id)?.id.clone();
        let secret = self.live.get_mut(&name.to_lowercase()).ok_or_else(|| absent(name))?;
        if let Some(version) = secret.versions.iter_mut().find(|v| v.id == id) {
            version.change(change, now);
        }
        let secret: &Secret = secret;
        secret.version(Some(&id)).map(|version| (secret, version))
    }

    /// All versions of a secret.
    pub(super) fn versions(&self, name: &str) -> Result<&Secret, Refusal> {
        self.find(name)
    }

    /// Deletes a secret; it can be recovered for so many days.
    pub(super) fn delete(&mut self, name: &str, days: u8, now: i64) -> Result<&Tombstone, Refusal> {
        let key = name.to_lowercase();
        let secret = self.live.remove(&key).ok_or_else(|| absent(name))?;
        let tombstone = Tombstone { secret, deleted: now, purge: now + i64::from(days) * DAY };
        Ok(self.deleted.entry(key).or_insert(tombstone))
    }

    /// A deleted secret. The real vault refuses to show one whose current version is disabled, too.
    pub(super) fn deleted(&self, name: &str) -> Result<&Tombstone, Refusal> {
        let tombstone = self.deleted.get(&name.to_lowercase()).ok_or_else(|| not_deleted(name))?;
        if tombstone.secret.version(None)?.enabled { Ok(tombstone) } else { Err(disabled()) }
    }

    /// Takes a secret back from deletion.
    pub(super) fn recover(&mut self, name: &str) -> Result<(&Secret, &Version), Refusal> {
        let key = name.to_lowercase();
        let tombstone = self.deleted.remove(&key).ok_or_else(|| not_deleted(name))?;
        let secret: &Secret = self.live.entry(key).or_insert(tombstone.secret);
        secret.version(None).map(|version| (secret, version))
    }

    /// Deletes a deleted secret for good.
    pub(super) fn purge(&mut self, name: &str) -> Result<(), Refusal> {
        self.deleted.remove(&name.to_lowercase()).map(|_| ()).ok_or_else(|| not_deleted(name))
    }

    /// Brings a secret in that was in a backup.
    pub(super) fn restore(&mut self, secret: Secret) -> Result<(&Secret, &Version), Refusal> {
        self.reserved(&secret.name)?;
        let key = secret.name.to_lowercase();
        if self.live.contains_key(&key) {
            // wording not verified
            let message = format!("A secret with the name {} exists already in this vault.", secret.name);
            return Err(Refusal::new(StatusCode::CONFLICT, "Conflict", message));
        }
        let secret: &Secret = self.live.entry(key).or_insert(secret);
        secret.version(None).map(|version| (secret, version))
    }
}
