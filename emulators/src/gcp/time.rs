//! Google's well-known types of time, and ours.

use jiff::{SignedDuration, Timestamp};
use prost_types::{Duration, Timestamp as Wire};

/// A time as messages carry it.
pub(crate) fn write(time: Timestamp) -> Wire {
    let (mut seconds, mut nanos) = (time.as_second(), time.subsec_nanosecond());
    // Before 1970 jiff counts nanoseconds backwards, and Google forwards.
    if nanos < 0 {
        (seconds, nanos) = (seconds - 1, nanos + 1_000_000_000);
    }
    Wire { seconds, nanos }
}

/// The time in a message; nothing when it is none.
pub(crate) fn read(time: Wire) -> Option<Timestamp> {
    (0..1_000_000_000).contains(&time.nanos).then(|| Timestamp::new(time.seconds, time.nanos).ok()).flatten()
}

/// The duration in a message; nothing when it is none.
pub(crate) fn span(duration: Duration) -> Option<SignedDuration> {
    let like = duration.nanos == 0 || (duration.nanos < 0) == (duration.seconds < 0) || duration.seconds == 0;
    (like && duration.nanos.abs() < 1_000_000_000).then(|| SignedDuration::new(duration.seconds, duration.nanos))
}

/// A duration as JSON writes it, `3.5s`.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = whole.strip_prefix('-').unwrap_or(whole);
    if unsigned.is_empty() || !digits(unsigned) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    let nanos = if whole.starts_with('-') { -nanos } else { nanos };
    Some(Duration { seconds: whole.parse().ok()?, nanos })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(parse("3600s"), Some(Duration { seconds: 3600, nanos: 0 }));
        assert_eq!(parse("-1.5s"), Some(Duration { seconds: -1, nanos: -500_000_000 }));
        for text in ["", "s", "1", "1.0000000001s", "1e3s", "--1s", ".5s", "99999999999999999999s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_survive(seconds in -1_000_000_000i64..10_000_000_000, nanos in 0i32..1_000_000_000) {
            let wire = Wire { seconds, nanos };
            prop_assert_eq!(read(wire).map(write), Some(wire));
        }

        #[test]
        fn no_message_of_time_is_too_strange(seconds in any::<i64>(), nanos in any::<i32>(), text in "\\PC{0,20}") {
            let _ = (read(Wire { seconds, nanos }), span(Duration { seconds, nanos }), parse(&text));
        }
    }
}
