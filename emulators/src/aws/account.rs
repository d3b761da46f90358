//! The account's state: what is declared, and who has a session.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
};

use jiff::Timestamp;

use super::{declared::Declared, store::Store};
use crate::{Attempt, Result, cloud::Ground, config, seed};

/// Temporary credentials that STS has issued.
#[derive(Clone)]
pub struct Session {
    /// Secret access key.
    pub secret: String,
    /// Session token.
    pub token: String,
    /// Name of the role.
    pub role: String,
    /// `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
    pub arn: String,
    /// End of validity.
    pub expires: Timestamp,
}

/// One AWS account in one region.
#[derive(Clone)]
pub struct Account {
    /// Account id.
    pub id: String,
    /// Region.
    pub region: String,
    /// Keeper of the values.
    pub store: Store,
    /// Time, and the one issuer whose keys this account can fetch.
    pub ground: Ground,
    declared: Arc<RwLock<Arc<Declared>>>,
    sessions: Arc<RwLock<HashMap<String, Session>>>,
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
            store: Store::new("http://127.0.0.1:4566", &config.account, &config.region),
            ground,
            declared: Arc::default(),
            sessions: Arc::default(),
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
        let declared: Declared = seed::read(text, "aws", &facts)?;
        *self.declared.write().attempting(|| "change the declared set-up".into())? = Arc::new(declared);
        Ok(())
    }

    /// The declared set-up.
    pub fn declared(&self) -> Arc<Declared> {
        self.declared.read().map(|d| d.clone()).unwrap_or_default()
    }

    /// Creates the declared secrets in the store with the run's values.
    ///
    /// # Errors
    /// When a value is missing or the store refuses.
    pub async fn apply(&self, values: &BTreeMap<String, String>) -> Result<()> {
        let secrets = self.declared().secrets(values)?;
        self.store.started().await?;
        for (name, value) in secrets {
            self.store.put(&name, value.as_deref()).await?;
        }
        Ok(())
    }

    /// Remembers a session under its access key id.
    pub fn admit(&self, key: String, session: Session) {
        if let Ok(mut sessions) = self.sessions.write() {
            sessions.insert(key, session);
        }
    }

    /// The session of an access key id.
    pub fn session(&self, key: &str) -> Option<Session> {
        self.sessions.read().ok()?.get(key).cloned()
    }
}
