//! For how long a machine has come to nothing because its disk or its memory did not follow.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::failure::Failure;

/// From this part of the time on, what a platform did not do in time says nothing about it.
const MOST: f64 = 0.5;
/// What of a machine can be waited for, and how that is told. Work that has to wait for a processor goes on all the same.
const WAITED_FOR: [(&str, &str); 2] = [("io", "its disk"), ("memory", "its memory")];

/// What the kernel has counted until a moment.
#[derive(Clone, Debug)]
pub struct Stalls {
    at: Instant,
    counted: Vec<(&'static str, Duration)>,
}

impl Stalls {
    /// Until now. Of a kernel that does not count stalls there is nothing.
    pub fn now() -> Self {
        let count = |(file, what)| {
            let text = fs::read_to_string(Path::new("/proc/pressure").join(file)).ok()?;
            Some((what, full(&text)?))
        };
        Self { at: Instant::now(), counted: WAITED_FOR.into_iter().filter_map(count).collect() }
    }

    /// What the machine has waited for since then, when it was for most of the time.
    pub fn since(&self) -> Option<Failure> {
        self.until(&Self::now())
    }

    fn until(&self, later: &Self) -> Option<Failure> {
        let time = later.at.duration_since(self.at).as_secs_f64();
        let waited = |(what, before): &(&'static str, Duration)| {
            let (_, after) = later.counted.iter().find(|(other, _)| other == what)?;
            Some((*what, after.saturating_sub(*before).as_secs_f64() / time))
        };
        let (what, part) = self.counted.iter().filter_map(waited).find(|(_, part)| *part > MOST)?;
        let seen = format!("all work on the machine waited for {what} for {:.0} % of {time:.0} s", part * 100.0);
        Some(Failure::new("keep the world running", seen).next("end what else uses it, or run on a faster machine"))
    }
}

/// The time in which nothing went on, in the text of one of the kernel's files: `full … total=` and microseconds.
fn full(text: &str) -> Option<Duration> {
    let line = text.lines().find_map(|line| line.strip_prefix("full "))?;
    let total = line.split(' ').find_map(|field| field.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_waited_for_most_of_the_time_is_told() {
        let before = Stalls { at: Instant::now(), counted: vec![("its disk", Duration::from_secs(100))] };
        let after = |seconds: u64| Stalls {
            at: before.at + Duration::from_secs(60),
            counted: vec![("its disk", Duration::from_secs(100 + seconds))],
        };
        assert!(before.until(&after(29)).is_none());
        let told = before.until(&after(45)).unwrap().to_string();
        assert!(told.contains("all work on the machine waited for its disk for 75 % of 60 s"), "{told}");
        // The kernel of another machine may count nothing.
        assert!(before.until(&Stalls { counted: vec![], ..after(45) }).is_none());
    }

    #[test]
    fn only_time_in_which_nothing_went_on_counts() {
        let text = "some avg10=0.01 avg60=0.05 avg300=0.31 total=4443212\nfull avg10=0.00 avg60=0.01 avg300=0.25 total=3746961\n";
        assert_eq!(full(text), Some(Duration::from_micros(3_746_961)));
        assert_eq!(full("some avg10=0.01 avg60=0.05 avg300=0.31 total=4443212\n"), None);
    }
}
