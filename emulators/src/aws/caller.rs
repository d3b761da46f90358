//! Who signs a request: a role by a session of STS, or the account's administrator by a long-lived key.

use std::sync::Arc;

use axum::http::HeaderValue;
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::{
    account::Account,
    administrator::Administrator,
    condition::Context,
    iam::{self, Decision, Who, Wish},
    session::Session,
    setup::Setup,
    sigv4::{Refusal, Signature},
};
use crate::{
    Request,
    check::{Check, made},
};

/// A caller whose signature has been verified.
#[derive(Clone)]
pub struct Caller {
    /// ARN of the session or user, as errors and the journal name it.
    pub arn: String,
    /// ARN of the role or user.
    pub principal: String,
    credentials: Credentials,
}

#[derive(Clone)]
enum Credentials {
    Session(Arc<Session>),
    Administrator(Arc<Administrator>),
}

/// Why nobody is known to have sent a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// The signature is missing, malformed or wrong.
    Signature(Refusal),
    /// No living credentials have this key id and token.
    Unknown,
    /// The session is over.
    Expired,
}

impl Caller {
    /// Verifies the signature of a request to `service` in `region`.
    ///
    /// # Errors
    /// What does not hold.
    pub(crate) fn of(
        account: &Account,
        request: &Request,
        region: &str,
        service: &str,
    ) -> Result<Self, Unauthenticated> {
        let signature = Signature::of(request).map_err(Unauthenticated::Signature)?;
        let token = request.headers().get("x-amz-security-token").map(HeaderValue::as_bytes);
        let credentials = match (account.sessions.find(&signature.key), token) {
            (Some(session), Some(token)) if same(token, &session.token) => Credentials::Session(session),
            (None, None) if same(signature.key.as_bytes(), &account.administrator.credentials.key) => {
                Credentials::Administrator(account.administrator.clone())
            }
            _ => return Err(Unauthenticated::Unknown),
        };
        let (secret, arn, principal) = match &credentials {
            Credentials::Session(session) if session.expires <= account.ground.clock.now() => {
                return Err(Unauthenticated::Expired);
            }
            Credentials::Session(session) => (&session.secret, &session.arn, account.role_arn(&session.role)),
            Credentials::Administrator(user) => (&user.credentials.secret, &user.arn, user.arn.clone()),
        };
        // The caller's machine signs, so its clock and ours must agree, wherever tests have moved the cloud's.
        let verified = signature.verify(request, secret, region, service, Timestamp::now());
        verified.map_err(Unauthenticated::Signature)?;
        Ok(Self { arn: arn.clone(), principal, credentials })
    }

    /// Name of the role, when it is one.
    pub fn role(&self) -> Option<&str> {
        match &self.credentials {
            Credentials::Session(session) => Some(&session.role),
            Credentials::Administrator(_) => None,
        }
    }

    /// What policies call it.
    pub fn who<'a>(&'a self, account: &'a Account) -> Who<'a> {
        let session = self.role().map(|_| self.arn.as_str());
        Who { account: &account.id, principal: &self.principal, session, provider: None }
    }

    /// What conditions find in its credentials.
    pub fn context(&self) -> Context<'_> {
        let issued = match &self.credentials {
            Credentials::Session(session) => Some(session.issued),
            Credentials::Administrator(_) => None,
        };
        Context { principal: Some(&self.principal), issued, ..Context::default() }
    }

    /// What its own policies decide in the account's present set-up.
    pub fn may(&self, setup: &Setup, wish: &Wish<'_>) -> Decision {
        match &self.credentials {
            Credentials::Administrator(administrator) => iam::identity([&administrator.policy], wish),
            Credentials::Session(session) => {
                let setup = if made(Check::Revocation) { setup } else { &session.setup };
                iam::identity(setup.role(&session.role).into_iter().flat_map(|role| role.policies()), wish)
            }
        }
    }
}

/// Compares in constant time.
fn same(seen: &[u8], known: &str) -> bool {
    seen.ct_eq(known.as_bytes()).into()
}
