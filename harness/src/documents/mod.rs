//! The documents of the repository: what they link to and name is there, what they say to type is understood, and what they
//! quote is in the file. Two of them are made from the code.
//!
//! `UPDATE_DOCS=1 cargo test --release -p trinity-e2e --bin trinity-e2e documents` writes those.

mod architecture;
mod commands;
mod links;
mod markdown;
mod quotations;
mod troubleshooting;

use std::fs;

use trinity_e2e::workspace;

/// A document of `docs` is what it is made from; with `UPDATE_DOCS` it is written first.
#[track_caller]
fn is_made(name: &str, text: &str) {
    let file = workspace().join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, text).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == text, "docs/{name} is not what it is made from; UPDATE_DOCS=1 writes it anew");
}
