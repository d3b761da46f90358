//! The phases of a run and the time each took.

use std::time::{Duration, Instant};

use tracing::info;

/// Phases in order.
#[derive(Debug)]
pub struct Phases {
    of: &'static str,
    done: Vec<(&'static str, Duration)>,
    running: (&'static str, Instant),
}

impl Phases {
    /// Begins with a first phase; `of` says whose phases they are.
    pub fn begin(of: &'static str, name: &'static str) -> Self {
        info!("{of}: {name} …");
        Self { of, done: Vec::new(), running: (name, Instant::now()) }
    }

    /// Ends the running phase and begins another.
    pub fn next(&mut self, name: &'static str) {
        self.close();
        info!("{}: {name} …", self.of);
        self.running = (name, Instant::now());
    }

    /// Ends the running phase and returns all.
    pub fn end(&mut self) -> Vec<(&'static str, Duration)> {
        self.close();
        self.done.clone()
    }

    fn close(&mut self) {
        let (name, begun) = self.running;
        if !name.is_empty() {
            self.done.push((name, begun.elapsed()));
            self.running = ("", begun);
        }
    }

    /// Name of the running phase.
    pub const fn current(&self) -> &'static str {
        self.running.0
    }
}
