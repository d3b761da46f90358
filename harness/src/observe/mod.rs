//! Observing a cluster: three-state expectations on watched objects.

pub mod audit;
pub mod comparison;
pub mod condition;
pub mod expectation;
pub mod forced;
pub mod kinds;
pub mod owner;
pub mod promql;
pub mod redis;
pub mod wait;

pub use expectation::Expectation;
pub use wait::{Objects, answered, key, until, until_all};
