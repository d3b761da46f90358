//! All vaults of the subscription, deleted ones too, and what belongs to none of them: backups.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

use super::{
    access::Permission,
    scope,
    secrets::{DAY, Secret, Secrets},
};
use crate::random;

/// So many backups are kept; who takes more finds the oldest useless.
const BACKUPS: usize = 256;
/// So many purges can be asked about.
const OPERATIONS: usize = 64;

/// Permissions of one principal that the vault itself keeps.
#[derive(Clone)]
pub(super) struct Policy {
    pub object_id: String,
    pub permissions: Vec<Permission>,
}

/// A key vault.
#[derive(Clone)]
pub(super) struct Vault {
    pub name: String,
    pub group: String,
    pub location: String,
    pub sku: String,
    pub rbac: bool,
    pub purge_protection: bool,
    pub retention: u8,
    pub policies: Vec<Policy>,
    pub tags: Map<String, Value>,
    pub secrets: Secrets,
}

/// A vault that was deleted and can be recovered.
#[derive(Clone)]
pub(super) struct Grave {
    pub vault: Vault,
    pub deleted: i64,
    pub purge: i64,
}

/// All vaults, by their names in lower case.
#[derive(Default)]
pub(super) struct Vaults {
    pub live: BTreeMap<String, Vault>,
    pub deleted: BTreeMap<String, Grave>,
    backups: VecDeque<(String, Secret)>,
    operations: VecDeque<String>,
}

impl Vault {
    /// Resource id.
    pub(super) fn id(&self, subscription: &str) -> String {
        scope::vault(subscription, &self.group, &self.name)
    }

    /// URL, with a slash at its end.
    pub(super) fn url(&self) -> String {
        format!("https://{}.vault.azure.net/", self.name.to_lowercase())
    }

    /// What deletion means for what is in it.
    pub(super) fn recovery_level(&self) -> &'static str {
        match (self.retention, self.purge_protection) {
            (90, false) => "Recoverable+Purgeable",
            (90, true) => "Recoverable",
            (_, false) => "CustomizedRecoverable+Purgeable",
            (_, true) => "CustomizedRecoverable",
        }
    }
}

impl Vaults {
    /// Forgets what is due to be purged.
    pub(super) fn settle(&mut self, now: i64) {
        self.deleted.retain(|_, grave| grave.purge > now);
        let buried = self.deleted.values_mut().map(|grave| &mut grave.vault);
        for vault in self.live.values_mut().chain(buried) {
            vault.secrets.settle(now);
        }
    }

    /// Deletes a vault; it can be recovered as long as it has said. Whether there was one.
    pub(super) fn delete(&mut self, name: &str, now: i64) -> bool {
        let key = name.to_lowercase();
        let Some(vault) = self.live.remove(&key) else { return false };
        let purge = now + i64::from(vault.retention) * DAY;
        self.deleted.insert(key, Grave { vault, deleted: now, purge });
        true
    }

    /// Keeps a backup and returns the name under which it can be restored. The real blob has the secret in it,
    /// encrypted; this one stays in the process, so that it gives nothing away either.
    pub(super) fn back_up(&mut self, secret: Secret) -> String {
        if self.backups.len() >= BACKUPS {
            self.backups.pop_front();
        }
        let blob = random::text(60, 80);
        self.backups.push_back((blob.clone(), secret));
        blob
    }

    /// The secret of a backup.
    pub(super) fn backup(&self, blob: &str) -> Option<Secret> {
        self.backups.iter().find(|(name, _)| name == blob).map(|(_, secret)| secret.clone())
    }

    /// Remembers an operation that is done, by a new id.
    pub(super) fn done(&mut self) -> String {
        if self.operations.len() >= OPERATIONS {
            self.operations.pop_front();
        }
        let id = random::text(24, 32);
        self.operations.push_back(id.clone());
        id
    }

    /// Whether an operation is known.
    pub(super) fn knows(&self, operation: &str) -> bool {
        self.operations.iter().any(|id| id == operation)
    }
}
