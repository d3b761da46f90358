//! Observing a cluster: three-state expectations on watched objects.

pub mod audit;
pub mod condition;
pub mod expectation;
pub mod kinds;
pub mod promql;
pub mod wait;

pub use expectation::Expectation;
pub use wait::{answered, key, until, until_all};
