//! A cause in its parts, from the text in which it was told: a suite tells its causes in a process of its own, and a verdict
//! may have several. The text is that of [`Cause`](super::Cause) and [`Failure`](crate::failure::Failure).

use serde::{Deserialize, Serialize};

use super::kind;

/// Begin of the line that says what to do next; what is indented deeper below it belongs to it.
const NEXT: &str = "  next: ";
const DEEPER: &str = "    ";

/// What is known of why a claim does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Told {
    /// Name of the kind of cause, as in `docs/causes.md`; nothing when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What was seen, line by line.
    pub evidence: Vec<String>,
    /// What to do next; it may have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Told {
    /// The parts of a text; nothing when it names neither a kind nor what to do.
    pub fn of(text: &str) -> Option<Self> {
        let (mut named, mut evidence, mut next) = (None, Vec::new(), Vec::<String>::new());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(step) = line.strip_prefix(NEXT) {
                let mut step = step.to_owned();
                while let Some(more) = lines.next_if(|line| line.starts_with(DEEPER)) {
                    step += "\n";
                    step += more.strip_prefix(DEEPER).unwrap_or(more);
                }
                if !next.contains(&step) {
                    next.push(step);
                }
                continue;
            }
            let (kind, seen) = match line.split_once(": ") {
                Some((name, seen)) if kind::ALL.iter().any(|kind| kind.name() == name) => (Some(name), seen),
                _ => (None, line),
            };
            named = named.or(kind);
            if !seen.trim().is_empty() {
                evidence.push(seen.trim_end().to_owned());
            }
        }
        let next = (!next.is_empty()).then(|| next.join("\n"));
        (named.is_some() || next.is_some()).then(|| Self { kind: named.map(Into::into), evidence, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{failure::Failure, judge::cause::Cause};

    #[test]
    fn every_cause_comes_apart_as_it_was_put_together() {
        for kind in kind::ALL {
            let told = Told::of(&Cause::new(kind, "an object: it says so\nand more").to_string()).unwrap();
            assert_eq!(told.kind.as_deref(), Some(kind.name()));
            assert_eq!(told.evidence, ["an object: it says so", "and more"]);
            assert_eq!(told.next.as_deref(), Some(kind.next()));
        }
    }

    #[test]
    fn several_causes_have_all_their_evidence_and_each_step_once() {
        let text = "ordering: a\nand 2 pairs more\n  next: add:\n    one\n      two\nordering: b\n  next: add:\n    one\n      two\nknown upstream: c";
        let told = Told::of(text).unwrap();
        assert_eq!(told.kind.as_deref(), Some("ordering"));
        assert_eq!(told.evidence, ["a", "and 2 pairs more", "b", "known upstream: c"]);
        assert_eq!(told.next.as_deref(), Some("add:\none\n  two"));
    }

    #[test]
    fn a_failure_has_no_kind_and_words_alone_are_no_cause() {
        let told = Told::of(&Failure::new("read a", "it is not there").next("make it").to_string()).unwrap();
        assert_eq!((told.kind, told.next.as_deref()), (None, Some("make it")));
        assert_eq!(told.evidence, ["could not read a: it is not there"]);
        assert_eq!(Told::of("expected 1, seen 2: a"), None);
    }
}
