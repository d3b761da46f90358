//! By what the times of a run are, and whether the machine's clock can be trusted for them.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::interval;

use crate::failure::Failure;

/// Leaps from this on are told (seconds). Tokens and certificates become valid, and conditions change, by the second. A clock
/// that is corrected bit by bit goes wrong by at most 500 parts in a million, so it takes more than an hour for as much.
const LEAP: f64 = 2.0;
/// How often the two clocks are compared. Linux alone could tell of a leap.
const OFTEN: Duration = Duration::from_secs(1);

/// A beginning from which times count.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    begun: Timestamp,
    instant: Instant,
}

impl Clock {
    /// One that begins now.
    pub fn start() -> Self {
        Self { begun: Timestamp::now(), instant: Instant::now() }
    }

    /// One that began at a time of the past.
    pub fn since(begun: Timestamp) -> Self {
        let now = Self::start();
        let elapsed = Duration::try_from(now.begun.duration_since(begun)).unwrap_or_default();
        Self { begun, instant: now.instant.checked_sub(elapsed).unwrap_or(now.instant) }
    }

    /// When it began.
    pub const fn begun(&self) -> Timestamp {
        self.begun
    }

    /// Time since then.
    pub fn elapsed(&self) -> Duration {
        self.instant.elapsed()
    }

    /// Seconds from then to a time that something else has recorded; negative before it began.
    pub fn seconds_to(&self, time: Timestamp) -> f64 {
        time.duration_since(self.begun).as_secs_f64()
    }

    /// Ends only when the machine's clock has leapt since then, because it was set or the machine slept, with by how much.
    pub async fn leapt(self) -> Failure {
        let mut moments = interval(OFTEN);
        loop {
            moments.tick().await;
            let leap = self.leap();
            if leap.abs() >= LEAP {
                let seen = format!("the machine's clock has leapt by {leap:+.1} s: it was set, or the machine slept");
                return Failure::new("keep the world running", seen)
                    .next("run it again on a machine that stays awake and sets its clock before or after");
            }
        }
    }

    /// How far the time of day has gone ahead of the time that has passed (seconds); negative when it has fallen behind.
    fn leap(&self) -> f64 {
        self.seconds_to(Timestamp::now()) - self.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_clock_can_have_begun_before() {
        let now = Timestamp::now();
        let clock = Clock::since(now - Duration::from_secs(1));
        assert_eq!((clock.begun(), clock.seconds_to(now)), (now - Duration::from_secs(1), 1.0));
        assert!(clock.elapsed() >= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_clock_that_was_set_is_told_and_one_that_goes_is_not() {
        let clock = Clock::start();
        assert!(timeout(Duration::from_millis(50), clock.leapt()).await.is_err());
        for (begun, leap) in [(-3, "+3.0 s"), (5, "-5.0 s")] {
            let set = Clock { begun: clock.begun + jiff::SignedDuration::from_secs(begun), ..clock };
            let told = timeout(Duration::from_secs(5), set.leapt()).await.unwrap().to_string();
            assert!(told.contains(&format!("the machine's clock has leapt by {leap}: ")), "{told}");
        }
    }
}
