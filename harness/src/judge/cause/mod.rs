//! Causes: what keeps a platform from working, with evidence and the next step.

pub mod application;
pub mod identity;
pub mod kind;
pub mod message;
pub mod operator;
pub mod search;
pub mod told;

pub use kind::Kind;
pub use search::explained;
pub use told::Told;

use std::fmt;

/// A cause with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its kind.
    pub kind: Kind,
    /// What was seen, and of what: an object with its event or condition, a request. Without values.
    pub seen: String,
    /// What to do next.
    pub next: String,
    /// Why waiting may cure it; nothing when it is certain.
    pub heals: Option<&'static str>,
}

impl Cause {
    /// A cause as its kind knows it.
    pub fn new(kind: Kind, seen: impl Into<String>) -> Self {
        Self { kind, seen: seen.into(), next: kind.next().into(), heals: kind.heals() }
    }

    /// With a more exact next step.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Waiting will not cure it, as is known from elsewhere.
    #[must_use]
    pub const fn certain(mut self) -> Self {
        self.heals = None;
        self
    }

    /// Waiting may cure it, for a reason of this case.
    #[must_use]
    pub const fn passing(mut self, why: &'static str) -> Self {
        self.heals = Some(why);
        self
    }

    /// Its kind's name.
    pub const fn name(&self) -> &'static str {
        self.kind.name()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  next: {}", self.name(), self.seen, self.next)
    }
}

/// A refused request in the gateway's journal, with these further fields, for tests.
#[cfg(test)]
fn line(text: &str) -> trinity_emulators::journal::Line {
    let rest = r#""time":"2026-01-01T00:00:00Z","host":"h","method":"GET","path":"/","status":404,"milliseconds":0"#;
    serde_json::from_str(&format!("{{{rest},{text}}}")).unwrap_or_else(|e| panic!("{text}: {e}"))
}
