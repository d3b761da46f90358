//! YAML as it stands in a file: what is in which line.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, SpannedEventReceiver};

use super::field::{FieldPath, Step};
use crate::failure::{Attempt, Result};

/// A value with its place in the text.
#[derive(Clone, Debug)]
pub struct Node {
    /// First line, counted from 1.
    pub line: usize,
    /// Last line.
    pub last: usize,
    /// Column of its first character, counted from 0.
    pub column: usize,
    /// Whether it is written in braces or brackets.
    pub flow: bool,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Scalar(String),
    Mapping(Vec<(Node, Node)>),
    Sequence(Vec<Node>),
    /// It stands for another node of the text.
    Alias,
}

/// The documents of a text.
///
/// # Errors
/// When it is no YAML.
pub fn documents(text: &str) -> Result<Vec<Node>> {
    let mut reader = Reader { lines: text.lines().collect(), documents: Vec::new(), open: Vec::new() };
    Parser::new_from_str(text).load(&mut reader, true).attempting(|| "read YAML".into())?;
    Ok(reader.documents)
}

impl Node {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, value)| value)
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; nothing has none.
    pub fn items(&self) -> &[Self] {
        match &self.content {
            Content::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Whether it is a mapping.
    pub fn is_mapping(&self) -> bool {
        matches!(self.content, Content::Mapping(_))
    }

    /// Follows a path as far as it leads: the line where that is (of a field, the line with its name), what is there, and
    /// whether that is all of the path.
    pub fn reach(&self, path: &FieldPath) -> (usize, &Self, bool) {
        let (mut line, mut node) = (self.line, self);
        for step in path.steps() {
            let next = match step {
                Step::Field(name) => node.entry(name).map(|(key, value)| (key.line, value)),
                Step::Item(index) => node.items().get(*index).map(|item| (item.line, item)),
            };
            match next {
                Some(next) => (line, node) = next,
                None => return (line, node, false),
            }
        }
        (line, node, true)
    }

    fn entry(&self, name: &str) -> Option<(&Self, &Self)> {
        let Content::Mapping(fields) = &self.content else { return None };
        fields.iter().find(|(key, _)| key.text() == Some(name)).map(|(key, value)| (key, value))
    }
}

/// Builds nodes from the parser's events.
struct Reader<'t> {
    lines: Vec<&'t str>,
    documents: Vec<Node>,
    /// What has begun and not ended, with its children so far.
    open: Vec<(Span, Vec<Node>)>,
}

impl Reader<'_> {
    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            Some((_, children)) => children.push(node),
            None => self.documents.push(node),
        }
    }

    fn leaf(&mut self, span: Span, content: Content) {
        let (start, end) = (span.start, span.end);
        // A block scalar ends for the parser where the next thing begins.
        let blank = |line: &usize| {
            let text = self.lines.get(line - 1).copied().unwrap_or_default();
            let columns = if *line == end.line() { end.col() } else { usize::MAX };
            text.chars().take(columns).all(char::is_whitespace)
        };
        let last = (start.line()..=end.line()).rev().find(|line| !blank(line)).unwrap_or(start.line());
        self.add(Node { line: start.line(), last, column: start.col(), flow: false, content });
    }

    fn close(&mut self, end: Span, content: impl FnOnce(Vec<Node>) -> Content) {
        let Some((start, children)) = self.open.pop() else { return };
        // Only a bracket has a length; a block begins and ends where its parts do.
        let flow = !start.is_empty();
        let last = children.last().map_or(start.start.line(), |child| child.last);
        self.add(Node {
            line: start.start.line(),
            last: if flow { end.end.line() } else { last },
            column: start.start.col(),
            flow,
            content: content(children),
        });
    }
}

impl<'input> SpannedEventReceiver<'input> for Reader<'_> {
    fn on_event(&mut self, event: Event<'input>, span: Span) {
        match event {
            // What is left out, the parser places where it notices: behind the name, or before what comes next.
            Event::Scalar(text, ScalarStyle::Plain, ..) if span.is_empty() => {
                let line =
                    self.open.last().and_then(|(_, children)| children.last()).map_or(span.start.line(), |k| k.last);
                self.add(Node { line, last: line, column: 0, flow: false, content: Content::Scalar(text.into()) });
            }
            Event::Scalar(text, ..) => self.leaf(span, Content::Scalar(text.into())),
            Event::Alias(_) => self.leaf(span, Content::Alias),
            Event::SequenceStart(..) | Event::MappingStart(..) => self.open.push((span, Vec::new())),
            Event::SequenceEnd => self.close(span, Content::Sequence),
            Event::MappingEnd => self.close(span, |children| {
                let mut parts = children.into_iter();
                let pairs = std::iter::from_fn(|| parts.next().zip(parts.next()));
                Content::Mapping(pairs.collect())
            }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# A comment.
kind: One
spec:
  empty:
  data:
  # Another.
  - secretKey: a
    remoteRef:
      key: b
      text: |
        two
        lines

  - remoteRef: {key: c,
      more: d}
  \"quoted\": [e, f]
---
kind: Two
spec:
    data:
        - extract:
            key: g
          rewrite: []
";

    fn path(text: &str) -> FieldPath {
        text.split('.').fold(FieldPath::default(), |path, step| match step.parse() {
            Ok(index) => path.item(index),
            Err(_) => path.field(step),
        })
    }

    #[test]
    fn a_path_leads_to_a_line() {
        let documents = documents(TEXT).unwrap();
        assert_eq!(documents.len(), 2);
        for (document, to, line, last, column, whole) in [
            (0, "spec", 3, 16, 2, true),
            (0, "spec.empty", 4, 4, 0, true),
            (0, "spec.data", 5, 15, 4, true),
            (0, "spec.data.0", 7, 12, 4, true),
            (0, "spec.data.0.remoteRef", 8, 12, 6, true),
            (0, "spec.data.0.remoteRef.absent", 8, 12, 6, false),
            (0, "spec.data.1.remoteRef", 14, 15, 15, true),
            (0, "spec.quoted.1", 16, 16, 16, true),
            (1, "spec.data.0", 21, 23, 10, true),
            (1, "spec.data.0.extract.key", 22, 22, 17, true),
            (1, "spec.data.1.extract", 20, 23, 8, false),
        ] {
            let (at, node, all) = documents[document].reach(&path(to));
            assert_eq!((at, node.last, node.column, all), (line, last, column, whole), "{to}");
        }
        assert!(documents[0].reach(&path("spec.data.1.remoteRef")).1.flow);
        assert!(!documents[0].reach(&path("spec.data.1")).1.flow);
    }

    #[test]
    fn values_are_read() {
        let documents = documents(TEXT).unwrap();
        assert_eq!(documents[1].get("kind").and_then(Node::text), Some("Two"));
        assert_eq!(documents[0].reach(&path("spec.quoted")).1.items().len(), 2);
        assert!(documents_of("a: [").is_err());
    }

    fn documents_of(text: &str) -> Result<Vec<Node>> {
        documents(text)
    }
}
