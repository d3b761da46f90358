//! What a stack has received, for those who judge it: every write with its samples, or why it was refused.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::remote_write::Write;

/// Samples that are remembered; older writes are forgotten first.
const SAMPLES: usize = 500_000;
/// Time for which an answer about new writes may wait for one.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The value by which Prometheus says that a series has ended. `model/value/value.go`
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Labels of a series.
pub type Labels = BTreeMap<String, String>;

/// A part of what was received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Excerpt {
    /// All series ever seen; samples refer to them by their place.
    pub series: Vec<Labels>,
    /// Names and help texts of metric families.
    pub metadata: BTreeMap<String, String>,
    /// The writes that were asked for.
    pub writes: Vec<Push>,
    /// Number of the latest write; the first has 1.
    pub latest: u64,
    /// Writes that are forgotten.
    pub forgotten: u64,
}

/// One request of a sender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Push {
    /// Its number in the order of arrival.
    pub number: u64,
    /// When it was answered.
    pub time: Timestamp,
    /// User name, when it was let in.
    pub user: String,
    /// Name of its token, when it was let in.
    pub token: String,
    /// How often it was tried before, as its sender says (`Retry-Attempt`).
    pub attempt: u32,
    /// HTTP status of the answer.
    pub status: u16,
    /// Why it was refused.
    pub refusal: Option<String>,
    /// What was written.
    pub samples: Vec<Sample>,
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Place of its series in [`Excerpt::series`].
    pub series: usize,
    /// Milliseconds since 1970.
    pub time: i64,
    /// Value; nothing when it is not a number, or infinite.
    pub value: Option<f64>,
    /// True for the marker that ends a series.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Who writes; nobody, when he was not let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sender {
    pub user: String,
    /// Name of the token.
    pub token: String,
    /// How often it has tried before.
    pub attempt: u32,
}

/// The record.
#[derive(Debug)]
pub struct Received {
    inner: Mutex<Inner>,
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    places: HashMap<Vec<(String, String)>, usize>,
    series: Vec<Labels>,
    metadata: BTreeMap<String, String>,
    writes: VecDeque<Push>,
    samples: usize,
    latest: u64,
    forgotten: u64,
}

impl Excerpt {
    /// All samples in the order of their arrival, each with the labels of its series.
    pub fn samples(&self) -> impl Iterator<Item = (&Labels, &Sample)> {
        let samples = self.writes.iter().flat_map(|write| &write.samples);
        samples.filter_map(|sample| Some((self.series.get(sample.series)?, sample)))
    }

    /// Adds what has been received since.
    pub fn extend(&mut self, news: Self) {
        self.writes.extend(news.writes);
        *self = Self { writes: std::mem::take(&mut self.writes), ..news };
    }
}

impl Default for Received {
    fn default() -> Self {
        Self { inner: Mutex::default(), latest: watch::channel(0).0 }
    }
}

impl Received {
    /// Records a write that was taken.
    pub(super) fn accept(&self, sender: Sender, write: Write) {
        self.note(|inner| {
            inner.metadata.extend(write.metadata);
            let mut samples = Vec::new();
            for one in write.series {
                let series = inner.place(one.labels);
                samples.extend(one.samples.into_iter().map(|(time, value)| Sample {
                    series,
                    time,
                    value: value.is_finite().then_some(value),
                    stale: value.to_bits() == STALE,
                }));
            }
            (sender, 200, None, samples)
        });
    }

    /// Records a refusal.
    pub(super) fn refuse(&self, sender: Sender, status: u16, refusal: String) {
        self.note(|_| (sender, status, Some(refusal), Vec::new()));
    }

    fn note(&self, what: impl FnOnce(&mut Inner) -> (Sender, u16, Option<String>, Vec<Sample>)) {
        // Whoever panicked with the lock has left a record that can be read all the same.
        let mut inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (Sender { user, token, attempt }, status, refusal, samples) = what(&mut inner);
        inner.latest += 1;
        let number = inner.latest;
        inner.samples += samples.len();
        inner.writes.push_back(Push { number, time: Timestamp::now(), user, token, attempt, status, refusal, samples });
        while inner.samples > SAMPLES
            && let Some(old) = inner.writes.pop_front()
        {
            inner.samples -= old.samples.len();
            inner.forgotten += 1;
        }
        drop(inner);
        self.latest.send_replace(number);
    }

    /// Number of the latest write.
    pub fn latest(&self) -> u64 {
        *self.latest.borrow()
    }

    /// The writes after number `after`; when there are none, it waits for one, up to [`PATIENCE`].
    pub async fn after(&self, after: u64) -> Excerpt {
        let mut latest = self.latest.subscribe();
        // Nothing new is an answer too.
        let _ = tokio::time::timeout(PATIENCE, latest.wait_for(|latest| *latest > after)).await;
        let inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Excerpt {
            series: inner.series.clone(),
            metadata: inner.metadata.clone(),
            writes: inner.writes.iter().filter(|push| push.number > after).cloned().collect(),
            latest: inner.latest,
            forgotten: inner.forgotten,
        }
    }
}

impl Inner {
    fn place(&mut self, labels: Vec<(String, String)>) -> usize {
        if let Some(place) = self.places.get(&labels) {
            return *place;
        }
        let place = self.series.len();
        self.series.push(labels.iter().cloned().collect());
        self.places.insert(labels, place);
        place
    }
}
