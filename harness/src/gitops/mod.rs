//! Argo CD: its installation and what it is told.

pub mod argocd;
pub mod manifest;
