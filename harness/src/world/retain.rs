//! Which worlds of a run go on when it has ended.

use clap::ValueEnum;

use crate::judge::verdict::{Conclusion, Verdict};

/// Which worlds go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Retain {
    /// All.
    Always,
    /// Those in which something failed or is unproven.
    OnFailure,
    /// None.
    #[default]
    Never,
}

impl Retain {
    /// Whether a world with these verdicts goes on.
    pub fn keeps(self, verdicts: &[Verdict]) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => Conclusion::of(verdicts) != Conclusion::Passed,
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::verdict::Outcome;

    #[test]
    fn on_failure_keeps_what_did_not_pass() {
        let keeps = |retain: Retain, outcome: Outcome| {
            retain.keeps(&[
                Verdict::new("canaries", "refused", Outcome::Passed),
                Verdict::new("platform", "it comes up", outcome),
            ])
        };
        for bad in [Outcome::Failed("drift".into()), Outcome::Unproven("it was interrupted".into())] {
            assert!(keeps(Retain::OnFailure, bad.clone()) && keeps(Retain::Always, bad.clone()));
            assert!(!keeps(Retain::Never, bad));
        }
        for good in [Outcome::Passed, Outcome::NotRun("there is none".into())] {
            assert!(!keeps(Retain::OnFailure, good.clone()) && keeps(Retain::Always, good));
        }
    }
}
