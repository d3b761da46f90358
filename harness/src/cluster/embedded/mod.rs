//! A cluster on this machine without Docker: the real control plane, kubelet and containerd in private
//! mount, network, PID, UTS and IPC namespaces.
//!
//! The harness computes a [`plan::Plan`] (files, processes and their order), writes it to the world's folder and
//! starts [`namespaces`], which becomes [`init`] as PID 1. Killing that one process removes everything but
//! cgroups and files, which [`crate::world::sweep`] removes.

pub mod cgroups;
pub mod init;
pub mod namespaces;
pub mod network;
pub mod node;
pub mod pki;
pub mod plan;
pub mod preflight;
pub mod settings;
pub mod supervisor;

use cgroups::Hierarchies;
use settings::Inputs;
use supervisor::Supervisor;

use crate::failure::Result;

/// Starts a cluster and its gateway; returns when the API server serves.
///
/// # Errors
/// What could not be started.
pub async fn start(inputs: &Inputs<'_>) -> Result<Supervisor> {
    let hierarchies = Hierarchies::find()?;
    inputs.nodes.iter().try_for_each(|node| hierarchies.join(inputs.world, *node))?;
    let plan = settings::write(inputs)?;
    let supervisor = Supervisor::start(&plan, &inputs.folder.join("plan.json")).await?;
    supervisor.ready("kube-apiserver").await?;
    supervisor.ready("gateway").await?;
    Ok(supervisor)
}
