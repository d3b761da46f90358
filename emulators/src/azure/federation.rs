//! Federated identity credentials: which foreign token is worth which identity.
//!
//! <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>

use jiff::Timestamp;
use jsonwebtoken::dangerous::insecure_decode;

use super::{
    aadsts::Refusal,
    declared::{FederatedCredential, Identity},
    tenant::Tenant,
};
use crate::{
    check::{Check, made},
    issuer::{Claims, Unverified, service_account},
};

/// Where Entra ID sends whoever has set up a federation wrongly.
const HELP: &str = "Check your federated identity credential Subject, Audience and Issuer against the presented \
                    assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

/// Verifies a client assertion of `identity` and returns its claims.
///
/// Entra ID finds the credential first and fetches its issuer's keys then; here the one issuer's keys are known, so a
/// token that is wrong in two points can be refused for the other one.
pub(super) fn verify(tenant: &Tenant, identity: &Identity, assertion: &str) -> Result<Claims, Refusal> {
    let declared = tenant.declared();
    let parent = identity.id(&tenant.subscription);
    let own: Vec<&FederatedCredential> = declared
        .azurerm_federated_identity_credential
        .values()
        .filter(|c| c.parent_id.eq_ignore_ascii_case(&parent) || !made(Check::Binding))
        .collect();
    if own.is_empty() {
        let (id, name) = (&identity.client_id, &identity.name);
        let message = format!("The client '{id}'({name}) has no configured federated identity credentials.");
        return Err(Refusal::invalid_client(70025, message));
    }
    let claims = tenant
        .ground
        .trust
        .verify(assertion, tenant.ground.clock.now())
        .map_err(|e| unverified(tenant, assertion, &e))?;
    let of_issuer: Vec<_> =
        own.into_iter().filter(|c| c.issuer == claims.iss || !made(Check::Issuer) || !made(Check::World)).collect();
    if of_issuer.is_empty() {
        return Err(unmatched(700_211, "issuer", &claims.iss));
    }
    let of_subject: Vec<_> = of_issuer.iter().filter(|c| same_subject(&c.subject, &claims.sub)).collect();
    if of_subject.is_empty() {
        if of_issuer.iter().any(|c| c.subject.eq_ignore_ascii_case(&claims.sub)) {
            let message = format!(
                "No matching federated identity record found for presented assertion subject '{}'. The subject matches \
                 with case-insensitive comparison, but not with case-sensitive comparison. {HELP}",
                claims.sub
            );
            return Err(Refusal::invalid_client(7_002_138, message));
        }
        return Err(unmatched(700_213, "subject", &claims.sub));
    }
    let for_us = of_subject.iter().any(|c| claims.aud.iter().any(|aud| c.audience.contains(aud)));
    if !for_us && made(Check::Audience) {
        return Err(unmatched(700_212, "audience", &claims.aud.join(", ")));
    }
    Ok(claims)
}

/// No credential fits what the assertion presents.
fn unmatched(code: u32, what: &str, presented: &str) -> Refusal {
    let message =
        format!("No matching federated identity record found for presented assertion {what} '{presented}'. {HELP}");
    Refusal::invalid_client(code, message)
}

fn unverified(tenant: &Tenant, assertion: &str, error: &Unverified) -> Refusal {
    let issuer = tenant.ground.trust.issuer();
    let out_of_time = || {
        let claims = insecure_decode::<Claims>(assertion).map(|data| data.claims).ok();
        let at = |second: Option<i64>| {
            let time = Timestamp::from_second(second.unwrap_or_default()).unwrap_or_default();
            time.strftime("%Y-%m-%dT%H:%M:%S.0000000Z").to_string()
        };
        format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry \
             time of assertion {}. Review the documentation at \
             https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
            at(Some(tenant.now())),
            at(claims.as_ref().and_then(|c| c.nbf)),
            at(claims.map(|c| c.exp)),
        )
    };
    let refusal = match error {
        // wording not verified
        Unverified::Malformed(_) => Refusal::invalid_request(50027, "JWT token is invalid or malformed."),
        Unverified::Issuer(presented) => unmatched(700_211, "issuer", presented),
        Unverified::Key(key) => Refusal::invalid_client(
            7_000_272,
            format!(
                "The certificate with identifier {key} used to sign the federated credential could not be found in the \
                 metadata of identity provider {}. Please validate that your Identity Provider's metadata exposes the \
                 key used to sign the incoming token.",
                issuer.url()
            ),
        ),
        // The code and its wording are those of assertions on behalf of users; not verified for federation.
        Unverified::Signature => Refusal::invalid_client(
            50013,
            "Assertion failed signature validation. [Reason - Key was found, but use of the key to verify the signature \
             failed.]",
        ),
        Unverified::Expired { .. } | Unverified::NotYetValid { .. } => Refusal::invalid_client(700_024, out_of_time()),
    };
    refusal.because(error.to_string())
}

/// Whether a claimed subject is the trusted one. The two parts of a service account's are compared one by one, which
/// comes to the same and lets each be tested alone.
fn same_subject(trusted: &str, claimed: &str) -> bool {
    match (service_account(trusted), service_account(claimed)) {
        (Some((namespace, name)), Some((other_namespace, other_name))) => {
            (namespace == other_namespace || !made(Check::Namespace)) && (name == other_name || !made(Check::Name))
        }
        _ => trusted == claimed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn subjects_are_the_same_to_the_letter(a in "[a-c:]{0,6}", b in "[a-c:]{0,6}") {
            let subject = |rest: &str| format!("system:serviceaccount:{rest}");
            prop_assert_eq!(same_subject(&subject(&a), &subject(&b)), a == b);
            prop_assert_eq!(same_subject(&a, &b), a == b);
            prop_assert!(!same_subject(&a, &subject(&b)));
        }
    }
}
