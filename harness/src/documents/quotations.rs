//! A block of code after a line that ends with "From `path`:" is in that file, line by line. A line `…` stands for what is left
//! out.

use std::fs;

use trinity_e2e::workspace;

use super::markdown::{What, documents, nothing_against};

/// The file that a line of text says the next block is from.
fn source(before: &str) -> Option<&str> {
    before.strip_suffix("`:")?.rsplit_once("From `").map(|(_, file)| file)
}

/// Why a block is no quotation of a text.
fn misquoted(code: &str, text: &str) -> Option<String> {
    let text: Vec<&str> = text.lines().collect();
    let mut rest = text.as_slice();
    for part in code.lines().collect::<Vec<_>>().split(|line| line.trim() == "…") {
        let place = rest.windows(part.len().max(1)).position(|lines| lines == part);
        match place {
            _ if part.is_empty() => {}
            Some(place) => rest = &rest[place + part.len()..],
            None => return Some(format!("the part that begins with {:?}", part[0])),
        }
    }
    None
}

#[test]
fn quotations_are_in_their_files() {
    nothing_against(|_, part| {
        let What::Block { before, code } = part else { return Vec::new() };
        let Some(file) = source(before) else { return Vec::new() };
        let text = fs::read_to_string(workspace().join(file)).unwrap_or_default();
        misquoted(code, &text).map(|why| format!("{file} does not have {why}")).into_iter().collect()
    });
}

#[test]
fn there_are_quotations() {
    let quotes = |part: &What| matches!(part, What::Block { before, .. } if source(before).is_some());
    assert!(documents().iter().flat_map(super::markdown::Document::parts).any(|part| quotes(&part.what)));
}

#[test]
fn what_is_not_in_the_file_is_told() {
    let text = "one\n  two\nthree\nfour\n";
    assert_eq!(source("As it is. From `a/b.rs`:"), Some("a/b.rs"));
    assert_eq!(source("From `a/b.rs`"), None);
    for right in ["one\n  two\n", "one\n…\nfour\n", "…\nthree\n…\n"] {
        assert_eq!(misquoted(right, text), None, "{right}");
    }
    for wrong in ["two\n", "one\nthree\n", "four\n…\none\n", "on\n"] {
        assert!(misquoted(wrong, text).is_some(), "{wrong}");
    }
}
