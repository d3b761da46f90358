//! What the standard error can show: lines, or also what changes in its place, and colours.

use std::{
    env,
    ffi::OsStr,
    io::{self, IsTerminal},
};

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// Lines, one after the other: it is no terminal, or a dumb one.
    Lines,
    /// What changes in its place, too; no colours, because `NO_COLOR` asks for none.
    Uncoloured,
    /// Everything.
    Coloured,
}

impl Screen {
    /// That of this process.
    pub fn find() -> Self {
        let [kind, no_color] = ["TERM", "NO_COLOR"].map(env::var_os);
        Self::of(io::stderr().is_terminal(), kind.as_deref(), no_color.as_deref())
    }

    fn of(terminal: bool, kind: Option<&OsStr>, no_color: Option<&OsStr>) -> Self {
        match terminal && kind.is_some_and(|kind| kind != "dumb") {
            false => Self::Lines,
            true if no_color.is_some_and(|text| !text.is_empty()) => Self::Uncoloured,
            true => Self::Coloured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_that_is_not_dumb_shows_more_than_lines() {
        let of = |terminal, kind: &str, no_color: &str| {
            Screen::of(terminal, Some(OsStr::new(kind)), Some(OsStr::new(no_color)))
        };
        assert_eq!(of(true, "xterm", ""), Screen::Coloured);
        assert_eq!(of(true, "xterm", "1"), Screen::Uncoloured);
        for (terminal, kind, no_color) in [(false, "xterm", ""), (true, "dumb", ""), (true, "dumb", "1")] {
            assert_eq!(of(terminal, kind, no_color), Screen::Lines, "{terminal} {kind} {no_color}");
        }
        assert_eq!(Screen::of(true, None, None), Screen::Lines, "nobody says what it can do");
    }
}
