//! Observing a cluster: three-state expectations on watched objects.

pub mod condition;
pub mod expectation;
pub mod kinds;
pub mod promql;
pub mod wait;

pub use expectation::Expectation;
pub use wait::{until, until_all};
