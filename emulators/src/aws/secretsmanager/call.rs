//! One call of a known caller: may it, and what is there.

use std::sync::{Arc, MutexGuard};

use jiff::Timestamp;

use super::{
    super::{
        account::Account,
        caller::Caller,
        condition::Context,
        iam::{self, Decision, Wish},
        setup::Setup,
    },
    refusal::Refusal,
    secret::Secret,
    store::Store,
};

/// A call while it is served; no other call sees or changes the secrets meanwhile.
pub struct Call<'a> {
    account: &'a Account,
    caller: &'a Caller,
    setup: Arc<Setup>,
    /// The cloud's time.
    pub now: Timestamp,
    /// The secrets.
    pub store: MutexGuard<'a, Store>,
}

impl<'a> Call<'a> {
    /// Begins to serve a call.
    pub fn new(account: &'a Account, caller: &'a Caller) -> Self {
        let (setup, store) = (account.setup(), account.secrets());
        Self { account, caller, setup, now: account.ground.clock.now(), store }
    }

    /// May the caller do this to this secret, or, without one, at all?
    ///
    /// # Errors
    /// When no policy says so or one forbids it.
    pub fn authorise(&self, action: &str, id: Option<&str>, stage: Option<&str>) -> Result<(), Refusal> {
        let action = &format!("secretsmanager:{action}");
        let secret = id.and_then(|id| self.store.find(id));
        let arn = &id.map_or_else(|| "*".into(), |id| self.store.arn(id));
        let context = Context { tags: secret.map(|s| &s.tags), version_stage: stage, ..self.caller.context() };
        let wish = Wish { action, resource: arn, context };
        let own = self.caller.may(&self.setup, &wish);
        let policy = secret.and_then(|s| s.policy.as_ref());
        let secrets =
            policy.map_or(Decision::ImplicitDeny, |(p, _)| iam::resource(p, &self.caller.who(self.account), &wish));
        let because = match (own, secrets) {
            (Decision::ExplicitDeny, _) => "with an explicit deny in an identity-based policy".into(),
            (_, Decision::ExplicitDeny) => "with an explicit deny in a resource-based policy".into(),
            (Decision::Allowed, _) | (_, Decision::Allowed) => return Ok(()),
            _ => format!("because no identity-based policy allows the {action} action"),
        };
        Err(Refusal::new(
            "AccessDeniedException",
            format!("User: {} is not authorized to perform: {action} on resource: {arn} {because}", self.caller.arn),
        ))
    }

    /// The secret, if the caller may do this to it; also when it is scheduled for deletion.
    ///
    /// # Errors
    /// When it may not, or there is none.
    pub fn any(&mut self, action: &str, id: &str) -> Result<&mut Secret, Refusal> {
        super::input::secret_id(id)?;
        self.authorise(action, Some(id), None)?;
        self.store.find_mut(id).ok_or_else(Refusal::no_secret)
    }

    /// The secret, if the caller may do this to it and it is not scheduled for deletion.
    ///
    /// # Errors
    /// When it may not, or there is none, or it is scheduled for deletion.
    pub fn living(&mut self, action: &str, id: &str) -> Result<&mut Secret, Refusal> {
        let secret = self.any(action, id)?;
        if secret.deletion.is_some() { Err(Refusal::buried()) } else { Ok(secret) }
    }
}
