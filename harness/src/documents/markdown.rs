//! What a document consists of, as far as it can be checked.

use std::fs;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use trinity_e2e::workspace;

/// A document.
pub struct Document {
    /// Its path in the repository.
    pub name: String,
    text: String,
}

/// A part of a document.
pub struct Part {
    /// Its first line, from 1.
    pub line: usize,
    /// What it is.
    pub what: What,
}

/// What a part is.
pub enum What {
    /// The text of a heading.
    Heading(String),
    /// Where a link leads.
    Link(String),
    /// A block of code, with the line of text before it.
    Block { before: String, code: String },
    /// Code within a sentence.
    Span(String),
}

impl Document {
    pub fn new(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// All parts, in their order.
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        // The text of the heading or the block that is not over.
        let mut collected: Option<(usize, String)> = None;
        for (event, range) in Parser::new_ext(&self.text, Options::ENABLE_TABLES).into_offset_iter() {
            let mut found = |start: usize, what| {
                parts.push(Part { line: self.text[..start].matches('\n').count() + 1, what });
            };
            if let (Some((_, text)), Event::Text(more) | Event::Code(more)) = (&mut collected, &event) {
                text.push_str(more);
            }
            match event {
                Event::Start(Tag::Heading { .. } | Tag::CodeBlock(_)) => collected = Some((range.start, String::new())),
                Event::End(TagEnd::Heading(_)) => {
                    let (start, text) = collected.take().unwrap_or_default();
                    found(start, What::Heading(text));
                }
                Event::End(TagEnd::CodeBlock) => {
                    let (start, code) = collected.take().unwrap_or_default();
                    let before = self.text[..start].trim_end().lines().last().unwrap_or_default().to_owned();
                    found(start, What::Block { before, code });
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    found(range.start, What::Link(dest_url.into_string()));
                }
                Event::Code(code) => found(range.start, What::Span(code.into_string())),
                _ => {}
            }
        }
        parts
    }
}

/// Every document of the repository.
pub fn documents() -> Vec<Document> {
    let page = |name: String| {
        let text = fs::read_to_string(workspace().join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        Document::new(&name, text)
    };
    let mut names: Vec<String> = ["README.md", "CONTRIBUTING.md"].map(Into::into).into();
    for entry in fs::read_dir(workspace().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        names.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    names.sort();
    names.into_iter().map(page).collect()
}

/// What a check says against the parts of all documents, each with the document and the line.
#[track_caller]
pub fn nothing_against(check: impl Fn(&Document, &What) -> Vec<String>) {
    let mut told = Vec::new();
    for document in documents() {
        for Part { line, what } in document.parts() {
            told.extend(check(&document, &what).into_iter().map(|why| format!("{}:{line}: {why}", document.name)));
        }
    }
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

#[test]
fn all_parts_are_found() {
    let text = "# A `b` c\n\nSee [it](x.md#y), `z`.\nFrom `f`:\n\n    one\n    two\n\n| a |\n|---|\n| `t` |\n\n```sh\nthree\n```\n";
    let parts = Document::new("a.md", text).parts();
    let told = parts.into_iter().map(|Part { line, what }| match what {
        What::Heading(text) => format!("{line} heading {text}"),
        What::Link(to) => format!("{line} link {to}"),
        What::Block { before, code } => format!("{line} block {code:?} after {before}"),
        What::Span(code) => format!("{line} span {code}"),
    });
    let expected = [
        "1 span b",
        "1 heading A b c",
        "3 link x.md#y",
        "3 span z",
        "4 span f",
        "6 block \"one\\ntwo\\n\" after From `f`:",
        "11 span t",
        "13 block \"three\\n\" after | `t` |",
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}
