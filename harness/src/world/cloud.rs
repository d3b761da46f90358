//! The clouds that a world can be of.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// Amazon Web Services: EKS, IAM roles for service accounts, Secrets Manager.
    Aws,
    /// Google Cloud: GKE, Workload Identity, Secret Manager.
    Gcp,
    /// Microsoft Azure: AKS, federated credentials, Key Vault.
    Azure,
}

impl Cloud {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 3] = [Self::Aws, Self::Gcp, Self::Azure];

    /// Its name in platforms, worlds and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
        }
    }

    /// Its provider's field in stores of External Secrets.
    pub const fn provider(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcpsm",
            Self::Azure => "azurekv",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
