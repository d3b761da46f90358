//! Shared steps of the conformance tests.
