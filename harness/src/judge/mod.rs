//! Naming what is wrong: failures look alike from the application list, and their causes do not.

pub mod capacity;
pub mod cause;
pub mod central;
pub mod destructive;
pub mod drift;
pub mod finding;
pub mod leaks;
pub mod metrics;
pub mod missing;
pub mod outside;
pub mod quantity;
pub mod quiescence;
pub mod remote_write;
pub mod shortage;
pub mod start;
pub mod verdict;
pub mod waves;
pub mod well;
