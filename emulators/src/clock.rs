//! The time of a cloud, which tests can move: tokens and sessions expire, and recovery windows end, without waiting.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};

/// The machine's time, moved by a number of seconds. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    /// The time of the cloud.
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.0.load(Ordering::Relaxed));
        Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// Moves the clock by `seconds`, backwards when negative, and returns how far it is ahead of the machine's.
    pub fn advance(&self, seconds: i64) -> i64 {
        let moved = self.0.load(Ordering::Relaxed).saturating_add(seconds);
        self.0.store(moved, Ordering::Relaxed);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_both_ways_and_never_overflows() {
        let clock = Clock::default();
        let before = Timestamp::now();
        assert_eq!(clock.advance(3600), 3600);
        assert!(clock.now() >= before + SignedDuration::from_hours(1));
        assert_eq!(clock.clone().advance(-7200), -3600);
        assert!(clock.now() < before);
        clock.advance(i64::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
