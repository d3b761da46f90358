//! Naming what is wrong: failures look alike from the application list, and their causes do not.

pub mod capacity;
pub mod cause;
pub mod drift;
pub mod fault;
pub mod outside;
pub mod quantity;
pub mod shortage;
pub mod verdict;

pub use cause::Cause;
