//! Argo CD: its installation and what it is told.

pub mod argocd;
pub mod manifest;
pub mod render;
