//! The errors of STS.

use axum::http::StatusCode;

use super::super::{caller::Unauthenticated, sigv4};
use crate::issuer::Unverified;

/// An AWS error.
#[derive(Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// AWS's code.
    pub code: &'static str,
    /// AWS's message.
    pub message: String,
    /// What AWS does not tell, for the journal.
    pub reason: String,
    /// Whether the real service would have done it: the platform asks for something that is not played here.
    pub finding: bool,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), reason: reason.into(), finding: false }
    }

    /// An error that says all there is to say.
    pub fn plain(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(status, code, message.clone(), message)
    }

    /// A token that proves nothing.
    pub fn token(message: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidIdentityToken", message, reason)
    }

    /// `AccessDenied`, with AWS's message.
    pub fn denied(message: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", message, reason)
    }

    /// A parameter that is none.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "ValidationError", message)
    }

    /// A parameter that AWS evaluates and this STS does not: without it, the session would be able to do more.
    pub fn not_played(parameter: &str) -> Self {
        let message = format!("this STS does not play the parameter {parameter}");
        Self { finding: true, ..Self::validation(message) }
    }
}

impl From<Unverified> for Refusal {
    fn from(why: Unverified) -> Self {
        let reason = why.to_string();
        match why {
            Unverified::Malformed(_) => Self::token(
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
                reason,
            ),
            Unverified::Issuer(issuer) => {
                Self::token(format!("No OpenIDConnect provider found in your account for {issuer}"), reason)
            }
            Unverified::Key(_) => Self::token(
                "Couldn't retrieve verification key from your identity provider, please reference \
                 AssumeRoleWithWebIdentity documentation for requirements",
                reason,
            ),
            // wording not verified
            Unverified::Signature => Self::token("The signature of the identity token is invalid", reason),
            Unverified::Expired { now, exp } => Self::new(
                StatusCode::BAD_REQUEST,
                "ExpiredTokenException",
                format!("Token expired: current date/time {now} must be before the expiration date/time {exp}"),
                reason,
            ),
            // code and wording not verified
            Unverified::NotYetValid { .. } => Self::token("The ID Token is not yet valid", reason),
        }
    }
}

impl From<Unauthenticated> for Refusal {
    fn from(why: Unauthenticated) -> Self {
        let refused = |code: &'static str, message: &str| Self::plain(StatusCode::FORBIDDEN, code, message);
        match why {
            Unauthenticated::Unknown => {
                refused("InvalidClientTokenId", "The security token included in the request is invalid.")
            }
            Unauthenticated::Expired => {
                refused("ExpiredToken", "The security token included in the request is expired")
            }
            Unauthenticated::Signature(sigv4::Refusal::Missing) => {
                refused("MissingAuthenticationToken", "Request is missing Authentication Token")
            }
            Unauthenticated::Signature(sigv4::Refusal::Presigned) => Self {
                finding: true,
                ..refused("IncompleteSignature", "This account does not take signatures in the query.")
            },
            Unauthenticated::Signature(sigv4::Refusal::Incomplete(why)) => {
                Self::plain(StatusCode::BAD_REQUEST, "IncompleteSignature", why)
            }
            Unauthenticated::Signature(sigv4::Refusal::Invalid(why)) => refused("SignatureDoesNotMatch", &why),
        }
    }
}
