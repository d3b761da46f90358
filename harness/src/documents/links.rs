//! Links lead to files and headings, and files that are named are there.

use std::path::{Component, Path, PathBuf};

use trinity_e2e::workspace;

use super::markdown::{Document, What, documents, nothing_against};

/// Folders of the repository whose files a document may name.
const FOLDERS: [&str; 10] =
    [".ci", ".config", ".github", "docs", "emulators", "fixtures", "harness", "mandelbrot", "stand-in", "suites"];
/// Where a path begins that a document shortens.
const SOURCES: [&str; 3] = ["harness/src", "emulators/src", "suites/src"];

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.to_lowercase().replace(' ', "-");
    heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// A path without its steps back.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            part => whole.push(part),
        }
        whole
    })
}

/// Why a link of a document leads nowhere.
fn astray(from: &Document, link: &str, pages: &[Document]) -> Option<String> {
    if link.contains("://") {
        return None;
    }
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let file = match path {
        "" => PathBuf::from(&from.name),
        path => plain(&Path::new(&from.name).parent()?.join(path)),
    };
    if !workspace().join(&file).exists() {
        return Some(format!("the link {link} leads to {}, which is not there", file.display()));
    }
    if heading.is_empty() {
        return None;
    }
    let page = pages.iter().find(|page| Path::new(&page.name) == file);
    let headings = page.into_iter().flat_map(Document::parts);
    let mut anchors = headings.filter_map(|part| match part.what {
        What::Heading(text) => Some(anchor(&text)),
        _ => None,
    });
    (!anchors.any(|known| known == heading))
        .then(|| format!("the link {link} leads to a heading that {} does not have", file.display()))
}

/// Why a name in a document, when it is the path of a file of the repository, names nothing. Paths of sources may be
/// shortened; patterns are none.
fn nameless(span: &str) -> Option<String> {
    let path = span.split([' ', ':', '#']).next().unwrap_or_default();
    let (folder, _) = path.split_once('/')?;
    let known = FOLDERS.contains(&folder);
    if path.contains(['*', '<', '>', '$', '{', '…', '?', '(']) || !(known || path.ends_with(".rs")) {
        return None;
    }
    let places = std::iter::once("").chain(SOURCES).map(|place| workspace().join(place).join(path));
    (!places.into_iter().any(|place| place.exists())).then(|| format!("{path} is not there"))
}

#[test]
fn links_lead_to_files_and_headings() {
    let pages = documents();
    nothing_against(|document, part| match part {
        What::Link(link) => astray(document, link, &pages).into_iter().collect(),
        _ => Vec::new(),
    });
}

#[test]
fn files_that_are_named_are_there() {
    nothing_against(|_, part| match part {
        What::Span(span) => nameless(span).into_iter().collect(),
        _ => Vec::new(),
    });
}

#[test]
fn a_link_or_a_name_that_leads_nowhere_is_told() {
    let page = Document::new("docs/a.md", "# What it `is`, then?\n");
    let pages = [Document::new("docs/upgrade.md", "# What it `is`, then?\n")];
    let astray = |link: &str| astray(&page, link, &pages).unwrap_or_default();
    for right in ["../README.md", "upgrade.md#what-it-is-then", "https://example.com/x"] {
        assert_eq!(astray(right), "");
    }
    assert!(astray("absent.md").contains("leads to docs/absent.md, which is not there"));
    assert!(astray("upgrade.md#what-it-was").contains("a heading that docs/upgrade.md does not have"));
    for right in ["harness/src/lib.rs", "gitops/pin.rs", "fixtures/faults/<name>.yaml", "and/or", "target/e2e"] {
        assert_eq!(nameless(right), None);
    }
    for wrong in ["harness/src/absent.rs", "gitops/absent.rs", "docs/absent.md"] {
        assert!(nameless(wrong).is_some(), "{wrong}");
    }
}
