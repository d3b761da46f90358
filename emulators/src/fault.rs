//! Trouble on demand: the next calls of an operation are slow, throttled, failed, cut or reset, as clouds do to everyone
//! now and then.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The answer is late by so many milliseconds.
    Latency(u64),
    /// Refused as one call too many (429, or what the cloud says instead).
    Throttled,
    /// The cloud's internal error (500).
    Internal,
    /// The connection is reset before an answer.
    Reset,
    /// The connection ends in the middle of the answer's body.
    Truncated,
}

/// Trouble for the next calls of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Operation as in the journal, for example `secretsmanager:GetSecretValue`; `*` is every operation.
    pub operation: String,
    /// How many calls.
    pub count: u32,
    /// What happens to them.
    pub effect: Effect,
}

/// The faults that wait for their calls. Clones are the same port.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    /// Replaces all waiting faults.
    pub fn set(&self, faults: Vec<Fault>) {
        if let Ok(mut waiting) = self.0.lock() {
            *waiting = faults;
        }
    }

    /// The faults that still wait.
    pub fn waiting(&self) -> Vec<Fault> {
        self.0.lock().map(|waiting| waiting.clone()).unwrap_or_default()
    }

    /// What happens to a call of `operation`, which counts.
    pub fn strike(&self, operation: &str) -> Option<Effect> {
        let mut waiting = self.0.lock().ok()?;
        let place = waiting.iter().position(|f| f.count > 0 && (f.operation == "*" || f.operation == operation))?;
        let effect = waiting[place].effect;
        waiting[place].count -= 1;
        waiting.retain(|f| f.count > 0);
        Some(effect)
    }
}

/// A latency as a duration.
pub(crate) const fn delay(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_its_operation_as_often_as_it_says() {
        let faults = Faults::default();
        let get = Fault { operation: "get".into(), count: 2, effect: Effect::Throttled };
        let any = Fault { operation: "*".into(), count: 1, effect: Effect::Latency(5) };
        faults.set(vec![get, any]);
        assert_eq!(faults.strike("get"), Some(Effect::Throttled));
        assert_eq!(faults.strike("put"), Some(Effect::Latency(5)));
        assert_eq!(faults.strike("put"), None);
        assert_eq!(faults.strike("get"), Some(Effect::Throttled));
        assert_eq!(faults.strike("get"), None);
        assert_eq!(faults.waiting(), []);
    }
}
