//! Worlds: one cluster of one cloud with everything it needs, from bring-up to the last trace of it.

pub mod bringup;
pub mod cloud;
pub mod declared;
pub mod description;
pub mod disk;
pub mod engine;
pub mod kept;
pub mod machine;
pub mod nodes;
pub mod outside;
pub mod ownership;
pub mod parts;
pub mod relay;
pub mod retain;
pub mod run;
pub mod stall;
pub mod sweep;

pub use bringup::World;
pub use cloud::Cloud;
pub use description::Description;
pub use engine::Engine;
pub use nodes::Nodes;
pub use parts::Parts;
pub use retain::Retain;
pub use run::Run;

/// Namespaces that the harness makes for trials of its own begin with this; what happens there says nothing about the
/// platform.
pub const OWN: &str = "trinity-e2e-";
/// Label on everything that the harness itself creates in a cluster; its value is the run.
pub const RUN_LABEL: &str = "trinity-e2e.dev/run";
