//! The chain of identity from service account to secret, and which link of it is broken.

use super::{Cause, Kind};
use crate::world::Cloud;

/// A link of the chain of identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// There is a service account whose token can be asked for.
    Token,
    /// The service account says which cloud identity it has.
    Annotation,
    /// The cloud trusts the cluster's token for that identity.
    Trust,
    /// The identity may read the secret.
    Permission,
}

impl Link {
    /// The cause that this link is broken.
    pub fn broken(self, cloud: Cloud, seen: &str) -> Cause {
        let (what, next) = self.explained(cloud);
        Cause::new(Kind::IdentityRefused, format!("{what}: {seen}")).next(next)
    }

    /// What is broken, in the cloud's words, and what to do about it.
    const fn explained(self, cloud: Cloud) -> (&'static str, &'static str) {
        match (self, cloud) {
            (Self::Token, _) => (
                "the service account that the store names does not exist",
                "compare serviceAccountRef of the store with the service account that Git has",
            ),
            (Self::Annotation, Cloud::Aws) => {
                ("the service account names no role", "annotate it with eks.amazonaws.com/role-arn")
            }
            (Self::Annotation, Cloud::Gcp) => (
                "the Kubernetes service account calls as itself, because it names no Google service account",
                "annotate it with iam.gke.io/gcp-service-account, or grant the role to the Kubernetes service account",
            ),
            (Self::Annotation, Cloud::Azure) => {
                ("the service account names no client id", "annotate it with azure.workload.identity/client-id")
            }
            (Self::Trust, Cloud::Aws) => (
                "the role does not trust the operator's token",
                "compare the role's trust policy with the token's issuer, audience and subject",
            ),
            (Self::Trust, Cloud::Gcp) => (
                "Google does not let the operator's token become the service account",
                "compare the member of roles/iam.workloadIdentityUser on the service account with the token's subject, and \
                 the cluster's workload pool with its audience",
            ),
            (Self::Trust, Cloud::Azure) => (
                "Entra ID does not accept the operator's token for the identity",
                "compare the identity's federated credential with the token's issuer, audience and subject",
            ),
            (Self::Permission, Cloud::Aws) => (
                "the role may not read the secret",
                "if the key is spelt as the secret is, allow it in a policy of the role, by the secret's ARN",
            ),
            (Self::Permission, Cloud::Gcp) => (
                "the service account may not read the secret",
                "if the key is spelt as the secret is, grant it roles/secretmanager.secretAccessor on the secret",
            ),
            (Self::Permission, Cloud::Azure) => (
                "the identity may not read the secret",
                "if the key is spelt as the secret is, assign it Key Vault Secrets User there, or an access policy with get",
            ),
        }
    }
}
