//! The project's state: what is declared, who holds tokens, and the secrets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use tonic::Code;

use super::{
    caller::{CLOUD_PLATFORM, Caller},
    declared::Declared,
    iam::{Principal, administers},
    refusal::Refusal,
    resource::Resource,
    tokens::{Credential, Tokens},
    vault::Vault,
};
use crate::{
    Attempt, Result,
    check::{Check, made},
    cloud::Ground,
    config, seed,
};

/// One Google Cloud project with one cluster.
pub struct Project {
    /// Which project and cluster.
    pub config: config::Gcp,
    /// Time, and the one issuer whose keys this project can fetch.
    pub ground: Ground,
    pub(crate) tokens: Tokens,
    /// The administrator's token.
    pub(crate) administrator: String,
    declared: RwLock<Arc<Declared>>,
    vault: Mutex<Vault>,
}

impl Project {
    /// Opens the project as configured.
    ///
    /// # Errors
    /// When the declared set-up cannot be read.
    pub fn open(config: &config::Gcp, ground: Ground) -> Result<Self> {
        let text =
            std::fs::read_to_string(&config.declared).attempting(|| format!("read {}", config.declared.display()))?;
        let tokens = Tokens::default();
        let administrator = Credential {
            principal: Principal::Administrator,
            scopes: vec![CLOUD_PLATFORM.into()],
            expires: Timestamp::MAX,
            issued_under: Arc::default(),
        };
        let project = Self {
            config: config.clone(),
            administrator: tokens.issue("ya29.", administrator, ground.clock.now()),
            ground,
            tokens,
            declared: RwLock::default(),
            vault: Mutex::default(),
        };
        project.replace(&text)?;
        Ok(project)
    }

    /// Replaces the declared set-up.
    ///
    /// # Errors
    /// When the text is no declaration; the old one stays.
    pub(crate) fn replace(&self, text: &str) -> Result<()> {
        let config::Gcp { project, number, location, cluster, .. } = &self.config;
        let facts = [("project", project.as_str()), ("number", number), ("location", location), ("cluster", cluster)];
        let declared: Declared = seed::read(text, "gcp", &facts)?;
        declared.check(project, number)?;
        *self.declared.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(declared);
        Ok(())
    }

    /// The declared set-up.
    pub(crate) fn declared(&self) -> Arc<Declared> {
        self.declared.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The secrets as they are now: those that have expired are gone.
    pub(crate) fn vault(&self) -> MutexGuard<'_, Vault> {
        let mut vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        vault.expire(self.ground.clock.now());
        vault
    }

    /// Forgets every secret.
    pub(super) fn forget(&self) {
        *self.vault() = Vault::default();
    }

    /// Whether the caller may do something with a resource.
    ///
    /// Bindings on a secret are those of its own policy and the declared ones: what infrastructure code declares, it
    /// restores at once, so that a policy set through the API can add to it but not take away from it.
    pub(crate) fn authorise(
        &self,
        vault: &Vault,
        caller: &Caller,
        permission: &str,
        resource: &Resource,
    ) -> Result<(), Refusal> {
        let canonical = resource.canonical(&self.config.number);
        let refused = |why: String| {
            // The name as the caller wrote it, as the real one repeats it.
            let written = resource.canonical(&resource.project);
            let message = format!("Permission '{permission}' denied for resource '{written}' (or it may not exist).");
            let metadata = [("permission", permission), ("resource", written.as_str())];
            let refusal = Refusal::new(Code::PermissionDenied, message);
            Err(refusal.info("IAM_PERMISSION_DENIED", "iam.googleapis.com", metadata).because(why))
        };
        let (id, number) = (&self.config.project, &self.config.number);
        if resource.project != *id && resource.project != *number {
            return refused(format!("project {} is another one than {id}", resource.project));
        }
        if caller.principal == Principal::Administrator && administers(permission) {
            return Ok(());
        }
        let secret = resource.secret();
        let own = vault.policies().map(|(name, binding)| (Some(name.clone()), binding.clone()));
        let declared = caller.policy.of_secrets().map(|(name, binding)| (Some(name), binding));
        let grants: Vec<_> = caller
            .policy
            .of_project()
            .map(|binding| (None, binding))
            .chain(declared)
            .chain(own)
            .filter(|(_, binding)| binding.gives(permission, &caller.principal))
            .collect();
        if grants.is_empty() && made(Check::Permission) {
            return refused(format!("nothing gives {} {permission} on anything", caller.principal));
        }
        let covered = grants.iter().any(|(on, binding)| (on.is_none() || *on == secret) && binding.covers(&canonical));
        if !grants.is_empty() && !covered && made(Check::Resource) {
            return refused(format!("what gives {} {permission} does not cover {canonical}", caller.principal));
        }
        Ok(())
    }
}
