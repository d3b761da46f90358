//! Worlds: one cluster of one cloud with everything it needs.

pub mod description;
pub mod ownership;
pub mod sweep;

pub use description::Description;
