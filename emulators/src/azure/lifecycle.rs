//! The life of secrets and vaults, transition by transition.
