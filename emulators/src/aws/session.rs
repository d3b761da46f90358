//! Temporary credentials that STS has issued.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;

use super::setup::Setup;

/// Expired sessions are looked for when there are this many.
const MANY: usize = 1024;

/// Temporary credentials.
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
    /// When they were issued.
    pub issued: Timestamp,
    /// End of validity.
    pub expires: Timestamp,
    /// The set-up at that time. What was revoked since would still be in it, so nothing is decided by it.
    pub setup: Arc<Setup>,
}

/// Sessions by access key id. Clones share them.
#[derive(Clone, Default)]
pub struct Sessions(Arc<RwLock<Table>>);

#[derive(Default)]
struct Table {
    sessions: HashMap<String, Arc<Session>>,
    /// How many there may be before expired ones are looked for.
    limit: usize,
}

impl Sessions {
    /// Remembers a session. Expired ones are dropped when the living may have doubled.
    pub fn admit(&self, key: String, session: Session, now: Timestamp) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if table.sessions.len() >= table.limit.max(MANY) {
            table.sessions.retain(|_, session| session.expires > now);
            table.limit = table.sessions.len() * 2;
        }
        table.sessions.insert(key, Arc::new(session));
    }

    /// The session of an access key id.
    pub fn find(&self, key: &str) -> Option<Arc<Session>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).sessions.get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn expired_sessions_do_not_pile_up() {
        let (sessions, now) = (Sessions::default(), Timestamp::now());
        let session = Session {
            secret: String::new(),
            token: String::new(),
            role: String::new(),
            arn: String::new(),
            issued: now,
            expires: now + SignedDuration::from_hours(1),
            setup: Arc::default(),
        };
        let later = now + SignedDuration::from_hours(2);
        for i in 0..MANY {
            sessions.admit(i.to_string(), session.clone(), now);
        }
        assert!(sessions.find("0").is_some());
        sessions.admit("new".into(), Session { expires: later + SignedDuration::from_hours(1), ..session }, later);
        assert!(sessions.find("0").is_none() && sessions.find("new").is_some());
    }
}
