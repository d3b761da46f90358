//! Answers of the query protocol.

use std::borrow::Cow;

use quick_xml::escape::escape;

/// An element, written.
pub struct Element(String);

impl Element {
    /// An element with a text in it.
    pub fn text(name: &str, text: &str) -> Self {
        Self(format!("<{name}>{}</{name}>", escape(printable(text))))
    }

    /// An element with elements in it.
    pub fn of(name: &str, inside: Vec<Self>) -> Self {
        let inside: String = inside.into_iter().map(|element| element.0).collect();
        Self(format!("<{name}>{inside}</{name}>"))
    }

    /// An element that begins a document.
    pub fn document(name: &str, inside: Vec<Self>) -> String {
        let inside: String = inside.into_iter().map(|element| element.0).collect();
        format!("<{name} xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">{inside}</{name}>")
    }
}

/// XML has no way to write most control characters.
fn printable(text: &str) -> Cow<'_, str> {
    let unprintable = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    if text.contains(unprintable) { text.replace(unprintable, "\u{fffd}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::{Reader, events::Event};

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(text in any::<String>()) {
            let document = Element::document("A", vec![Element::text("B", &text)]);
            let mut reader = Reader::from_str(&document);
            let (mut read, mut depth) = (String::new(), 0);
            loop {
                match reader.read_event().unwrap() {
                    Event::Start(_) => depth += 1,
                    Event::End(_) => depth -= 1,
                    Event::Text(text) => read.push_str(&text),
                    Event::GeneralRef(name) => match name.resolve_char_ref().unwrap() {
                        Some(c) => read.push(c),
                        None => read.push_str(quick_xml::escape::resolve_xml_entity(&name).unwrap()),
                    },
                    Event::Eof => break,
                    other => prop_assert!(false, "{:?}", other),
                }
                prop_assert!(depth <= 2);
            }
            prop_assert_eq!(read, printable(&text).into_owned());
        }
    }
}
