//! Argo CD: its installation and what it is told.

mod abroad;
pub mod argocd;
pub mod checkout;
pub mod container;
pub mod edit;
pub mod field;
pub mod layout;
pub mod manifest;
pub mod pin;
pub mod refresh;
pub mod render;
pub mod rendered;
pub mod roots;
pub mod schema;
pub mod set;
pub mod text;
pub mod tree;
