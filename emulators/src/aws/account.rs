//! The account's state: what is declared, who has a session, and the secrets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{administrator::Administrator, secretsmanager::store::Store, session::Sessions, setup::Setup};
use crate::{Attempt, Result, cloud::Ground, config, seed};

/// One AWS account in one region. Clones share its state.
#[derive(Clone)]
pub struct Account {
    /// Account id.
    pub id: String,
    /// Region.
    pub region: String,
    /// Time, and the one issuer whose keys this account can fetch.
    pub ground: Ground,
    /// Temporary credentials.
    pub sessions: Sessions,
    /// Who sets the account up.
    pub administrator: Arc<Administrator>,
    setup: Arc<RwLock<Arc<Setup>>>,
    secrets: Arc<Mutex<Store>>,
}

impl Account {
    /// Opens the account as configured.
    ///
    /// # Errors
    /// When the declared set-up cannot be read.
    pub fn open(config: &config::Aws, ground: Ground) -> Result<Self> {
        let text =
            std::fs::read_to_string(&config.declared).attempting(|| format!("read {}", config.declared.display()))?;
        let account = Self {
            id: config.account.clone(),
            region: config.region.clone(),
            ground,
            sessions: Sessions::default(),
            administrator: Arc::new(Administrator::new(&config.account)?),
            setup: Arc::default(),
            secrets: Arc::new(Mutex::new(Store::new(&config.account, &config.region))),
        };
        account.declare(&text)?;
        Ok(account)
    }

    /// Replaces the declared set-up.
    ///
    /// # Errors
    /// When the text is no declaration.
    pub fn declare(&self, text: &str) -> Result<()> {
        let issuer = self.ground.trust.issuer();
        let facts = [("account", self.id.as_str()), ("region", &self.region), ("issuer", issuer.provider())];
        let setup = Setup::new(seed::read(text, "aws", &facts)?, &self.id)?;
        *self.setup.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(setup);
        Ok(())
    }

    /// The declared set-up.
    pub fn setup(&self) -> Arc<Setup> {
        self.setup.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The secrets as they are now; nobody else reads or changes them meanwhile.
    pub(super) fn secrets(&self) -> MutexGuard<'_, Store> {
        let mut store = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        store.settle(self.ground.clock.now());
        store
    }

    /// Forgets every secret.
    pub(super) fn forget(&self) {
        *self.secrets() = Store::new(&self.id, &self.region);
    }

    /// Host name of a service in the account's region.
    pub fn host(&self, service: &str) -> String {
        format!("{service}.{}.amazonaws.com", self.region)
    }

    /// ARN of a role of this account.
    pub fn role_arn(&self, name: &str) -> String {
        format!("arn:aws:iam::{}:role/{name}", self.id)
    }
}
