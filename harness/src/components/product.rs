//! What worlds have several releases of, and a running world can get another release of.

use std::fmt;

use clap::ValueEnum;

/// A part of a platform, or of what it stands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Product {
    /// The External Secrets Operator: the platform's files pin its chart.
    #[default]
    ExternalSecrets,
    /// Argo CD: an administrator applies its manifests.
    Argocd,
    /// Kubernetes: its programs run on the machine.
    Kubernetes,
}

impl Product {
    /// Its name in the list of known defects.
    pub const fn upstream(self) -> &'static str {
        match self {
            Self::ExternalSecrets => "external-secrets",
            Self::Argocd => "argo-cd",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExternalSecrets => "external-secrets",
            Self::Argocd => "Argo CD",
            Self::Kubernetes => "Kubernetes",
        })
    }
}
