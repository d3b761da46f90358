//! One run of the harness: its identifier, and the control groups that hold every process it starts.

use std::path::Path;

use super::{
    ownership::{Claim, Estate},
    sweep,
};
use crate::{cluster::embedded::cgroups::Hierarchies, failure::Result};

/// A run. The programs that it starts are in its control groups, where a sweep finds them after it was killed.
#[derive(Debug)]
pub struct Run {
    id: String,
    claim: Claim,
}

impl Run {
    /// Does `work`, which gets the run, and ends the run whatever came of it.
    ///
    /// # Errors
    /// When control groups are refused, the work fails, or something of the run is left.
    pub async fn during<T>(estate: &Estate, work: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let run = Self::begin(estate)?;
        let outcome = work(&run).await;
        run.end()?;
        outcome
    }

    /// Eight hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A folder that ends with the run, for what its programs leave when they are killed.
    pub fn folder(&self) -> &Path {
        &self.claim.folder
    }

    /// From here on, this process and its children are in the run's control groups.
    fn begin(estate: &Estate) -> Result<Self> {
        use rsa::rand_core::{OsRng, RngCore};
        let id = format!("{:08x}", OsRng.next_u32());
        let claim = estate.claim_run(&id)?;
        Hierarchies::find()?.enter(&claim.name)?;
        Ok(Self { id, claim })
    }

    /// Ends whatever the run has started and not ended.
    fn end(self) -> Result<()> {
        let hierarchies = Hierarchies::find()?;
        hierarchies.leave()?;
        sweep::remove(&hierarchies, &self.claim.folder, &self.claim.name)
    }
}
