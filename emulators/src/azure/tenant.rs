//! The tenant's state: what is declared, the vaults, and the administrator who loads them.

use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use uuid::Uuid;

use super::{
    access::{Grant, Permission, Role},
    bearer::Mint,
    declared::Declared,
    scope,
    vaults::{Vault, Vaults},
};
use crate::{
    Attempt, Result,
    check::{Check, made},
    cloud::Ground,
    config, random, seed,
};

/// The application that loads the declared set-up. Its secret is made at random,
/// and only the control interface tells it.
pub(super) struct Administrator {
    pub client_id: String,
    pub object_id: String,
    pub secret: String,
}

/// One Azure tenant with one subscription.
pub struct Tenant {
    pub(super) id: String,
    pub(super) subscription: String,
    pub(super) ground: Ground,
    pub(super) mint: &'static Mint,
    pub(super) administrator: Administrator,
    declared: RwLock<Arc<Declared>>,
    vaults: Mutex<Vaults>,
}

impl Tenant {
    /// Opens the tenant as configured.
    ///
    /// # Errors
    /// When the declared set-up cannot be read or a key cannot be made.
    pub fn open(config: &config::Azure, ground: Ground) -> Result<Self> {
        let text =
            std::fs::read_to_string(&config.declared).attempting(|| format!("read {}", config.declared.display()))?;
        let tenant = Self {
            id: config.tenant.clone(),
            subscription: config.subscription.clone(),
            ground,
            mint: Mint::get()?,
            administrator: Administrator {
                client_id: Uuid::new_v4().to_string(),
                object_id: Uuid::new_v4().to_string(),
                secret: random::text(30, 40),
            },
            declared: RwLock::default(),
            vaults: Mutex::default(),
        };
        tenant.set_up(&text)?;
        Ok(tenant)
    }

    /// Replaces the declared set-up: an error leaves the old one.
    pub(super) fn set_up(&self, text: &str) -> Result<()> {
        let issuer = self.ground.trust.issuer();
        let facts = [("tenant", self.id.as_str()), ("subscription", &self.subscription), ("issuer", issuer.url())];
        let mut declared: Declared = seed::read(text, "azure", &facts)?;
        declared.check(&self.id, &self.subscription)?;
        if !made(Check::Revocation) {
            declared.keep_permissions(&self.declared());
        }
        *self.declared.write().attempting(|| "change the declared set-up".into())? = Arc::new(declared);
        Ok(())
    }

    /// The declared set-up.
    pub(super) fn declared(&self) -> Arc<Declared> {
        self.declared.read().map(|d| d.clone()).unwrap_or_default()
    }

    /// Forgets every secret.
    pub(super) fn forget(&self) {
        *self.vaults() = Vaults::default();
    }

    /// The vaults as they are now: what is due to be purged is gone.
    pub(super) fn vaults(&self) -> MutexGuard<'_, Vaults> {
        // Whoever panicked while holding the lock changed one secret or none.
        let mut vaults = self.vaults.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        vaults.settle(self.now());
        vaults
    }

    /// Seconds since 1970, by the cloud's clock.
    pub(super) fn now(&self) -> i64 {
        self.ground.clock.now().as_second()
    }

    /// Issuer in the access tokens of this tenant.
    pub(super) fn issuer(&self) -> String {
        format!("https://sts.windows.net/{}/", self.id)
    }

    /// The role assignments of a principal at this moment, so that what was revoked is gone for tokens issued before.
    pub(super) fn grants(&self, object_id: &str) -> Vec<Grant> {
        if object_id == self.administrator.object_id {
            let scope = scope::subscription(&self.subscription);
            return [Role::Owner, Role::KeyVaultAdministrator].map(|role| Grant { scope: scope.clone(), role }).into();
        }
        let declared = self.declared();
        let own = declared.azurerm_role_assignment.values().filter(|a| a.principal_id == object_id);
        own.map(|a| Grant { scope: a.scope.clone(), role: a.role_definition_name }).collect()
    }

    /// What the access policies of a vault permit to a principal at this moment.
    pub(super) fn permissions(&self, vault: &Vault, object_id: &str) -> Vec<Permission> {
        let id = vault.id(&self.subscription);
        let declared = self.declared();
        let of_terraform = declared
            .azurerm_key_vault_access_policy
            .values()
            .filter(|p| p.key_vault_id.eq_ignore_ascii_case(&id) && p.object_id == object_id)
            .flat_map(|p| p.secret_permissions.iter().copied());
        let of_the_vault =
            vault.policies.iter().filter(|p| p.object_id == object_id).flat_map(|p| p.permissions.iter().copied());
        of_terraform.chain(of_the_vault).collect()
    }
}
