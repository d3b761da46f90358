//! Argo CD: its installation and what it is told.

pub mod argocd;
pub mod edit;
pub mod field;
pub mod manifest;
pub mod pin;
pub mod refresh;
pub mod render;
pub mod schema;
pub mod text;
pub mod tree;
