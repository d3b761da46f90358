//! A stack: its tokens, what it has received, and the engine behind it.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use super::{
    declared::Declared,
    engine::Engine,
    received::{Received, Sender},
    refusal::{self, Refusal},
};
use crate::{Answer, Error, Request, Result, clock::Clock, config, journal::Note, seed};

/// An emulated stack of Grafana Cloud.
pub struct Stack {
    host: String,
    user: String,
    pub(super) clock: Clock,
    pub(super) engine: Option<Engine>,
    /// What senders have written.
    pub received: Arc<Received>,
    tokens: RwLock<Tokens>,
}

struct Tokens {
    declared: Declared,
    /// Values by the tokens' names.
    issued: BTreeMap<String, String>,
}

impl Stack {
    /// Opens a configured stack.
    ///
    /// # Errors
    /// When its declaration cannot be read.
    pub fn open(config: &config::Grafana, clock: Clock) -> Result<Self> {
        let declared = Declared::read(&config.declared)?;
        let prometheus = declared.prometheus();
        Ok(Self {
            host: prometheus.host().to_owned(),
            user: prometheus.prometheus_user_id.to_string(),
            clock,
            engine: config.engine.as_deref().map(Engine::at).transpose()?,
            received: Arc::default(),
            tokens: RwLock::new(Tokens { declared, issued: BTreeMap::new() }),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Forgets every token.
    pub(super) fn forget(&self) {
        if let Ok(mut tokens) = self.tokens.write() {
            tokens.issued.clear();
        }
    }

    /// Lets a caller in whose token has a scope.
    pub(super) fn admit(&self, headers: &HeaderMap, scope: &str) -> Result<Sender, Refusal> {
        let header = headers.get(AUTHORIZATION).ok_or(Refusal::NoCredentials)?;
        let (user, password) = header
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("Basic "))
            .and_then(|text| STANDARD.decode(text.trim()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned())))
            .ok_or(Refusal::NoCredentials)?;
        if user != self.user {
            return Err(Refusal::UnknownUser(user));
        }
        let tokens = self.tokens.read().map_err(|_| Refusal::Internal("the tokens are gone".into()))?;
        let token = tokens.issued.iter().find(|(_, value)| value.as_bytes().ct_eq(password.as_bytes()).into());
        let Some((name, _)) = token else { return Err(Refusal::InvalidToken) };
        let may = tokens.declared.grafana_cloud_access_policy_token.get(name).is_some_and(|token| {
            let policy = tokens.declared.grafana_cloud_access_policy.get(&token.access_policy);
            policy.is_some_and(|policy| policy.scopes.iter().any(|s| s == scope))
        });
        if may {
            Ok(Sender { user, token: name.clone(), attempt: refusal::attempt(headers) })
        } else {
            Err(Refusal::Scope(scope.to_owned()))
        }
    }

    /// Answers a query by the engine.
    pub(super) async fn query(&self, request: &Request) -> Answer {
        let user = match self.admit(request.headers(), "metrics:read") {
            Ok(sender) => sender.user,
            Err(refusal) => return refusal::answer(request, &refusal),
        };
        let note = Note { caller: Some(user), ..Note::default() };
        let answer = match &self.engine {
            Some(engine) => engine.query(request).await,
            None => Err(Refusal::Internal("this stack has no engine".into())),
        };
        answer.unwrap_or_else(|refusal| refusal::answer(request, &refusal)).noting(note)
    }

    pub(super) fn set_up(&self, text: &str) -> Result<()> {
        let declared = Declared::parse(text)?;
        self.change(|tokens| tokens.declared = declared)
    }

    /// Gives all declared tokens their values.
    pub(super) fn issue(&self, values: &BTreeMap<String, String>) -> Result<()> {
        self.change(|tokens| {
            let declared = tokens.declared.grafana_cloud_access_policy_token.iter();
            tokens.issued = declared
                .map(|(name, token)| Ok((name.clone(), seed::value(&token.token, name, values)?)))
                .collect::<Result<_>>()?;
            Ok(())
        })?
    }

    pub(super) fn token(&self, name: &str) -> Result<String> {
        let issued = self.change(|tokens| tokens.issued.get(name).cloned())?;
        issued.ok_or_else(|| Error::new(format!("read token {name}"), "there is none"))
    }

    pub(super) fn rotate(&self, name: &str, value: &str) -> Result<()> {
        self.change(|tokens| match tokens.declared.grafana_cloud_access_policy_token.contains_key(name) {
            true => {
                tokens.issued.insert(name.to_owned(), value.to_owned());
                Ok(())
            }
            false => Err(Error::new(format!("rotate token {name}"), "it is not declared")),
        })?
    }

    pub(super) fn revoke(&self, name: &str) -> Result<()> {
        let gone = self.change(|tokens| tokens.issued.remove(name))?;
        gone.map(|_| ()).ok_or_else(|| Error::new(format!("revoke token {name}"), "there is none"))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Tokens) -> T) -> Result<T> {
        let attempted = || "use the tokens of Grafana Cloud".to_owned();
        self.tokens.write().map(|mut tokens| change(&mut tokens)).map_err(|e| Error::new(attempted(), e))
    }
}
