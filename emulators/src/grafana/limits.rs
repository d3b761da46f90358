//! Mimir's limits for what is written. Source: `pkg/distributor/validate.go`; the numbers are Mimir's defaults.

use jiff::{SignedDuration, Timestamp};

use super::{refusal::Refusal, remote_write::Series};

/// Most labels of a series.
const LABELS: usize = 30;
/// Longest label name (bytes).
const NAME: usize = 1024;
/// Longest label value (bytes).
const VALUE: usize = 2048;
/// How far ahead of the receiver's time a sample may be.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// Characters of a text that an error quotes.
const QUOTED: usize = 200;

/// Whether a series may be written at a time.
///
/// # Errors
/// The limit that it breaks.
pub(super) fn check(series: &Series, now: Timestamp) -> Result<(), Refusal> {
    let rejected = |id: &'static str, text: String| Err(Refusal::Rejected(id, format!("{text} ({id})")));
    let labels = &series.labels;
    let Some((_, metric)) = labels.iter().find(|(name, _)| name == "__name__") else {
        return rejected("err-mimir-missing-metric-name", "received series has no metric name".into());
    };
    let name = quoted(metric);
    if !valid(metric, ":") {
        let text = format!("received a series with invalid metric name: '{name}'");
        return rejected("err-mimir-metric-name-invalid", text);
    }
    if labels.len() > LABELS {
        let text = format!(
            "received a series whose number of labels exceeds the limit (actual: {}, limit: {LABELS}) series: '{name}'",
            labels.len()
        );
        return rejected("err-mimir-max-label-names-per-series", text);
    }
    for (i, (label, value)) in labels.iter().enumerate() {
        let shown = quoted(label);
        if label.len() > NAME {
            let text = format!(
                "received a series whose label name length exceeds the limit, label: '{shown}' series: '{name}'"
            );
            return rejected("err-mimir-label-name-too-long", text);
        }
        if !valid(label, "") {
            let text = format!("received a series with an invalid label: '{shown}' series: '{name}'");
            return rejected("err-mimir-label-invalid", text);
        }
        if value.len() > VALUE {
            let text = format!(
                "received a series whose label value length exceeds the limit, label: '{shown}', value: '{}' \
                 (truncated) series: '{name}'",
                quoted(value)
            );
            return rejected("err-mimir-label-value-too-long", text);
        }
        if labels[..i].iter().any(|(other, _)| other == label) {
            let text = format!("received a series with duplicate label name, label: '{shown}' series: '{name}'");
            return rejected("err-mimir-duplicate-label-names", text);
        }
    }
    let latest = now.saturating_add(AHEAD).map_or(i64::MAX, Timestamp::as_millisecond);
    if let Some((time, _)) = series.samples.iter().find(|(time, _)| *time > latest) {
        let text =
            format!("received a sample whose timestamp is too far in the future, timestamp: {time} series: '{name}'");
        return rejected("err-mimir-too-far-in-future", text);
    }
    Ok(())
}

/// A name of Prometheus: letters, digits, underscores and `also`, and no digit first.
fn valid(name: &str, also: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(fits)
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}
