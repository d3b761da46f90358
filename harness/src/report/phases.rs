//! The phases of a run and the time each took.

use std::time::{Duration, Instant};

use tracing::info;

/// Phases in order.
#[derive(Debug)]
pub struct Phases {
    done: Vec<(&'static str, Duration)>,
    running: (&'static str, Instant),
}

impl Phases {
    /// Begins with a first phase.
    pub fn begin(name: &'static str) -> Self {
        info!("{name} …");
        Self { done: Vec::new(), running: (name, Instant::now()) }
    }

    /// Ends the running phase and begins another.
    pub fn next(&mut self, name: &'static str) {
        self.end();
        info!("{name} …");
        self.running = (name, Instant::now());
    }

    /// Ends the running phase and returns all.
    pub fn end(&mut self) -> &[(&'static str, Duration)] {
        let (name, begun) = self.running;
        if !name.is_empty() {
            self.done.push((name, begun.elapsed()));
            self.running = ("", begun);
        }
        &self.done
    }

    /// Name of the running phase.
    pub const fn current(&self) -> &'static str {
        self.running.0
    }
}
