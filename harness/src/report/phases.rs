//! The phases of a run and the time each took.

use std::time::Duration;

use jiff::Timestamp;
use tracing::info;

use super::tree::Line;
use crate::clock::Clock;

/// A phase that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// When it began, since its clock did.
    pub begun: Duration,
    /// Time it took.
    pub took: Duration,
}

/// Phases in order.
#[derive(Debug)]
pub struct Phases {
    of: &'static str,
    clock: Clock,
    done: Vec<Phase>,
    running: Option<(&'static str, Duration)>,
    line: Line,
}

impl Phases {
    /// Begins with a first phase; `of` says whose phases they are.
    pub fn begin(of: &'static str, name: &'static str) -> Self {
        Self::by(Clock::start(), of, name)
    }

    /// The same, by the clock of something larger.
    pub fn by(clock: Clock, of: &'static str, name: &'static str) -> Self {
        let mut phases = Self { of, clock, done: Vec::new(), running: None, line: Line::begin(of, name) };
        phases.next(name);
        phases
    }

    /// Ends the running phase and begins another.
    pub fn next(&mut self, name: &'static str) {
        self.close();
        self.line.at(name);
        info!("{}: {name} …", self.of);
        self.running = Some((name, self.clock.elapsed()));
    }

    /// Ends the running phase and returns all.
    pub fn end(&mut self) -> Vec<Phase> {
        self.close();
        self.line.end();
        self.done.clone()
    }

    fn close(&mut self) {
        if let Some((name, begun)) = self.running.take() {
            self.done.push(Phase { name, begun, took: self.clock.elapsed() - begun });
        }
    }

    /// Name of the running phase.
    pub fn current(&self) -> &'static str {
        self.running.map_or("", |(name, _)| name)
    }

    /// All phases until now, the running one as if it ended.
    pub fn until_now(&self) -> Vec<Phase> {
        let now = self.clock.elapsed();
        let running = self.running.map(|(name, begun)| Phase { name, begun, took: now - begun });
        self.done.iter().copied().chain(running).collect()
    }

    /// By what their times are.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// When a phase began, if it has.
    pub fn begun(&self, name: &str) -> Option<Timestamp> {
        let phase = self.until_now().into_iter().find(|phase| phase.name == name)?;
        Some(self.clock.begun() + phase.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other_without_a_gap_by_the_clock_of_their_run() {
        let clock = Clock::start();
        let mut phases = Phases::by(clock, "test", "one");
        phases.next("two");
        assert_eq!(phases.current(), "two");
        assert!(phases.begun("two").is_some_and(|begun| begun >= clock.begun()) && phases.begun("three").is_none());
        let done = phases.end();
        assert_eq!(done.iter().map(|phase| phase.name).collect::<Vec<_>>(), ["one", "two"]);
        assert!(done[0].begun + done[0].took <= done[1].begun);
        assert_eq!((phases.current(), phases.end()), ("", done));
    }
}
