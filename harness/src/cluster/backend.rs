//! What can make clusters, and what does on this machine.

use clap::ValueEnum;
use tracing::info;

use super::kind::doctor;
use crate::failure::{Failure, Result};

/// What makes clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// This machine, without Docker.
    #[default]
    Embedded,
    /// kind, in Docker.
    Kind,
    /// kind where Docker can run it, else embedded.
    Auto,
}

impl Backend {
    /// Decides between the two, and says why; [`Self::Auto`] is none. With `fix`, Docker is made to run kind where it can be.
    ///
    /// # Errors
    /// When kind is wanted, and Docker cannot run it; or nobody uses what shall be fixed.
    pub async fn choose(self, fix: bool) -> Result<Self> {
        if self == Self::Embedded {
            return match fix {
                true => Err(Failure::new("fix Docker", "embedded clusters do not use it")
                    .next("add --backend kind")
                    .misused()),
                false => Ok(self),
            };
        }
        let mut able = doctor::check().await;
        if fix && able.as_ref().is_err_and(doctor::curable) {
            doctor::fix().await?;
            able = doctor::check().await;
        }
        match (self, able) {
            (_, Ok(())) => {
                info!("clusters are made by kind: Docker runs privileged containers");
                Ok(Self::Kind)
            }
            (Self::Auto, Err(failure)) => {
                info!("clusters are embedded ones, because kind cannot be used: {failure}");
                Ok(Self::Embedded)
            }
            (_, Err(failure)) => Err(failure),
        }
    }
}
