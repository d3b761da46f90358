//! How a command ends: the exit codes, on which scripts may rely.

use std::process::ExitCode;

use crate::{
    failure::{Failure, Kind},
    judge::verdict::Conclusion,
};

/// How a command ends; the number is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All that was asked holds, or is done.
    Passed = 0,
    /// Something was found.
    Findings = 1,
    /// Nothing was found, and that proves nothing, or not all could be run.
    Unproven = 2,
    /// The command means nothing.
    Usage = 3,
    /// The machine, the network or a program that died stands against it.
    Environment = 4,
}

/// The codes, for the end of the help.
pub const HELP: &str = "\
Exit codes of every command:
  0  passed, or done
  1  findings: something does not hold
  2  unproven, or not all could be run; an interrupted run, too
  3  wrong usage: an argument that means nothing, or two that contradict each other
  4  environment: the machine, the network, or a program that died
A second Ctrl-C ends at once, with 130.";

impl Exit {
    /// Of a search that may have found nothing.
    pub const fn of_search(nothing: bool) -> Self {
        if nothing { Self::Passed } else { Self::Findings }
    }

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Conclusion> for Exit {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::Passed => Self::Passed,
            Conclusion::Failed => Self::Findings,
            Conclusion::Unproven => Self::Unproven,
        }
    }
}

impl From<&Failure> for Exit {
    fn from(failure: &Failure) -> Self {
        match failure.kind() {
            Kind::Usage => Self::Usage,
            Kind::Interruption => Self::Unproven,
            Kind::Environment => Self::Environment,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_tells_every_code() {
        for exit in [Exit::Passed, Exit::Findings, Exit::Unproven, Exit::Usage, Exit::Environment] {
            assert!(HELP.contains(&format!("\n  {}  ", exit.code())), "{exit:?}");
        }
    }

    #[test]
    fn a_failure_is_the_environments_unless_it_says_otherwise() {
        let failure = || Failure::new("do it", "it is not there");
        assert_eq!(Exit::from(&failure()), Exit::Environment);
        assert_eq!(Exit::from(&failure().next("name another").misused()), Exit::Usage);
        assert_eq!(Exit::from(&failure().interrupted()), Exit::Unproven);
    }
}
