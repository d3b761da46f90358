//! Clusters: where a platform runs.

pub mod backend;
pub mod embedded;
pub mod kind;

use std::path::Path;

pub use backend::Backend;
use embedded::cgroups::Hierarchies;
pub use embedded::settings::Inputs;
use futures::{FutureExt, future::BoxFuture};

use crate::failure::{Failure, Result};

/// A running cluster and its gateway. Whoever has it need not know what made it.
#[derive(Debug)]
pub enum Cluster {
    /// Processes in namespaces of their own.
    Embedded(Box<embedded::supervisor::Supervisor>),
    /// Containers of Docker.
    Kind(kind::Cluster),
}

impl Cluster {
    /// Starts a cluster, by kind when there are the tools for it; returns when the API server and the gateway serve.
    ///
    /// # Errors
    /// What could not be started.
    pub async fn start(inputs: &Inputs<'_>, kind: Option<&kind::Tools>) -> Result<Self> {
        Ok(match kind {
            None => Self::Embedded(embedded::start(inputs).await?.into()),
            Some(tools) => Self::Kind(kind::Cluster::start(inputs, tools).await?),
        })
    }

    /// A future that ends only when the cluster breaks, with the reason.
    pub fn broken(&self) -> BoxFuture<'static, Failure> {
        match self {
            Self::Embedded(supervisor) => supervisor.broken().boxed(),
            Self::Kind(cluster) => cluster.broken().boxed(),
        }
    }

    /// Replaces the programs that run from the folder `old` by those of the same names in `new`; see
    /// [`embedded::supervisor::Supervisor::replace`].
    ///
    /// # Errors
    /// When one cannot be replaced, or the cluster is one by kind.
    pub async fn replace(&self, old: &Path, new: &Path, settled: impl AsyncFn() -> Result<()>) -> Result<()> {
        match self {
            Self::Embedded(supervisor) => supervisor.replace(old, new, settled).await,
            Self::Kind(_) => {
                let attempted = format!("replace Kubernetes by {} in a running cluster", new.display());
                Err(Failure::new(attempted, "the cluster is one by kind, whose node image has its Kubernetes")
                    .next("use --backend embedded"))
            }
        }
    }

    /// Lets it outlive the harness.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn keep(self) -> Result<()> {
        match self {
            Self::Embedded(supervisor) => supervisor.keep().await,
            // Nothing of it depends on this process.
            Self::Kind(_) => Ok(()),
        }
    }

    /// Ends it. What is left then is for [`crate::world::sweep`], as after a death.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop(self) -> Result<()> {
        match self {
            Self::Embedded(supervisor) => supervisor.stop().await,
            Self::Kind(_) => Ok(()),
        }
    }
}

/// Ids of all processes of the world in `folder`.
pub fn processes(hierarchies: &Hierarchies, folder: &Path, world: &str) -> Vec<i32> {
    let mut ids = hierarchies.processes(world);
    ids.extend(kind::groups(folder).iter().flat_map(|group| hierarchies.processes_in(group)));
    ids
}

/// The memory that the processes of the world in `folder` use now (bytes), if the kernel tells.
pub fn memory_in_use(hierarchies: &Hierarchies, folder: &Path, world: &str) -> Option<u64> {
    let groups = kind::groups(folder);
    if groups.is_empty() {
        return hierarchies.memory_in_use(world);
    }
    groups.iter().map(|group| hierarchies.memory_in_use_in(group)).sum()
}

/// The most memory that the processes of the world in `folder` have used (bytes), if the kernel tells. Where they are in
/// several control groups, it is the sum of the most of each.
pub fn memory_peak(hierarchies: &Hierarchies, folder: &Path, world: &str) -> Option<u64> {
    let groups = kind::groups(folder);
    if groups.is_empty() {
        return hierarchies.memory_peak(world);
    }
    groups.iter().map(|group| hierarchies.memory_peak_in(group)).sum()
}
