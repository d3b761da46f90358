//! One line of what was looked at.

use std::fmt;

use crate::failure::Failure;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// Not there.
    Missing,
    /// There, and not as it should be.
    Unusable,
}

/// What was looked at, how it is, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub what: String,
    /// How it is.
    pub state: State,
    /// What follows from it, and what can be done.
    pub told: String,
    /// Whether the main job cannot do without.
    pub needed: bool,
}

impl Line {
    /// A line about something that the main job cannot do without.
    pub fn needed(what: impl Into<String>, state: State, told: impl Into<String>) -> Self {
        Self { what: what.into(), state, told: told.into(), needed: true }
    }

    /// A line about something that the main job can do without.
    pub fn optional(what: impl Into<String>, state: State, told: impl Into<String>) -> Self {
        Self { needed: false, ..Self::needed(what, state, told) }
    }

    /// A line about something that the main job cannot do without, as a check of it went.
    pub fn checked(what: &str, outcome: Result<String, Failure>) -> Self {
        match outcome {
            Ok(told) => Self::needed(what, State::Ok, told),
            Err(failure) => Self::needed(what, State::Unusable, told(&failure)),
        }
    }

    /// Whether the main job cannot run because of it.
    pub fn forbids(&self) -> bool {
        self.needed && self.state != State::Ok
    }
}

/// A failure without what was attempted, on one line.
pub fn told(failure: &Failure) -> String {
    let lines = failure.seen().lines().chain(failure.advice()).map(str::trim);
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Unusable => "not usable",
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:28} {:10}  {}", self.what, self.state, self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_with_what_to_do() {
        let failure = Failure::new("make a world", "this user is not root\n  at all").next("run it with sudo");
        let line = Line::checked("user", Err(failure));
        assert_eq!(line.told, "this user is not root; at all; run it with sudo");
        assert!(line.forbids() && line.to_string().contains(" not usable  this user"), "{line}");
        assert!(!Line::checked("user", Ok("root".into())).forbids());
        assert!(!Line::optional("go", State::Missing, "install it").forbids());
    }
}
