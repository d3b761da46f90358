//! Clusters: where a platform runs.

pub mod embedded;
