//! One shape for what went wrong: what was attempted, what was seen, what to do next.

use std::fmt;

/// Result of a step that can fail with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A step that did not succeed, in words for the person who runs the harness.
#[derive(Clone, Debug)]
pub struct Failure {
    attempted: String,
    seen: String,
    next: Option<String>,
    kind: Kind,
}

/// What a failure is due to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The machine, the network, or a program that died.
    #[default]
    Environment,
    /// The words of the command: a name that means nothing, or two that contradict each other.
    Usage,
    /// A signal that ended the run.
    Interruption,
}

impl Failure {
    /// `attempted` completes the sentence "could not …"; `seen` is the observation.
    pub fn new(attempted: impl Into<String>, seen: impl fmt::Display) -> Self {
        Self { attempted: attempted.into(), seen: seen.to_string(), next: None, kind: Kind::default() }
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The same as what was seen of a larger attempt. What the reader can do about it stays.
    #[must_use]
    pub fn within(self, attempted: impl Into<String>) -> Self {
        Self { attempted: attempted.into(), seen: self.what(), next: self.next, kind: self.kind }
    }

    /// Marks it as due to the words of the command.
    #[must_use]
    pub const fn misused(mut self) -> Self {
        self.kind = Kind::Usage;
        self
    }

    /// Marks it as due to a signal.
    #[must_use]
    pub const fn interrupted(mut self) -> Self {
        self.kind = Kind::Interruption;
        self
    }

    /// What it is due to.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What the reader can do about it.
    pub fn advice(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// The observation.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// What was attempted, and what was seen.
    pub fn what(&self) -> String {
        format!("could not {}: {}", self.attempted, self.seen)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        match &self.next {
            Some(next) => write!(f, "\n  next: {next}"),
            None => Ok(()),
        }
    }
}

impl Failure {
    /// All of it on one line.
    pub fn on_one_line(&self) -> String {
        self.to_string().lines().map(str::trim).collect::<Vec<_>>().join(": ")
    }
}

impl std::error::Error for Failure {}

/// Turns any error into a [`Failure`] by saying what was attempted.
pub trait Attempt<T> {
    /// `attempted` completes the sentence "could not …".
    ///
    /// # Errors
    /// The original error, with the attempt in front of it.
    fn attempting(self, attempted: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Attempt<T> for std::result::Result<T, E> {
    fn attempting(self, attempted: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Failure::new(attempted(), e))
    }
}
