//! The harness as its users run it, on real worlds: the main job, its cells, its faults, and what it leaves behind.
//! These tests need root and take minutes; each one leaves the machine as it was, and says so.

// A test that cannot go on fails by a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod breakage;
mod capacity;
mod faults;
mod kept;
mod killed;
mod kind;
mod leaks;
mod lint;
mod machine;
mod platforms;
mod refusals;
mod upgrade;
mod verify;
mod witness;
