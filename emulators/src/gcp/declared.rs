//! The declared set-up.
