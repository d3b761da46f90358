//! One run of the harness: its identifier, and the control groups that hold every process it starts.

use super::{
    ownership::{Claim, Estate},
    sweep,
};
use crate::{cluster::embedded::cgroups::Hierarchies, failure::Result};

/// A run. The programs that it starts are in its control groups, where a sweep finds them after it was killed.
#[derive(Debug)]
pub struct Run {
    /// Identifier: eight hexadecimal digits.
    pub id: String,
    claim: Claim,
}

impl Run {
    /// Begins a run: from here on, this process and its children are in the run's control groups.
    ///
    /// # Errors
    /// When control groups are refused.
    pub fn begin(estate: &Estate) -> Result<Self> {
        use rsa::rand_core::{OsRng, RngCore};
        let id = format!("{:08x}", OsRng.next_u32());
        let claim = estate.claim_run(&id)?;
        Hierarchies::find()?.enter(&claim.name)?;
        Ok(Self { id, claim })
    }

    /// Ends the run, and with it whatever it has started and not ended.
    ///
    /// # Errors
    /// What is left.
    pub fn end(self) -> Result<()> {
        let hierarchies = Hierarchies::find()?;
        hierarchies.leave()?;
        sweep::remove(&hierarchies, &self.claim.folder, &self.claim.name)
    }
}
