//! What an observation says about a claim.

/// Three states: a claim that has become impossible need not wait for its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Not yet, and why.
    Pending(String),
    /// It is so.
    Held,
    /// It can no longer become so, and why.
    Refuted(String),
}

impl Expectation {
    /// Pending with a reason.
    pub fn pending(why: impl Into<String>) -> Self {
        Self::Pending(why.into())
    }

    /// Refuted with a reason.
    pub fn refuted(why: impl Into<String>) -> Self {
        Self::Refuted(why.into())
    }

    /// Both must hold; a refutation wins, then the first pending one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refuted(why), _) | (_, Self::Refuted(why)) => Self::Refuted(why),
            (Self::Pending(why), _) | (_, Self::Pending(why)) => Self::Pending(why),
            _ => Self::Held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refutation_wins_over_waiting() {
        let pending = || Expectation::pending("a");
        assert_eq!(pending().and(Expectation::refuted("b")), Expectation::refuted("b"));
        assert_eq!(Expectation::Held.and(pending()), pending());
        assert_eq!(Expectation::Held.and(Expectation::Held), Expectation::Held);
    }
}
