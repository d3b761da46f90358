//! A server that a bench starts.

use std::{fs, process::Child, time::Duration};

/// The process of a server; it ends with the bench.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Neither is an error of a process that has ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Process {
    /// Processor time that it has used so far, from proc_pid_stat(5).
    pub fn processor(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // A tick is 10 ms on every Linux that Rust runs on.
        Duration::from_millis(ticks * 10)
    }
}
