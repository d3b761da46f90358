//! Judging what a world's Prometheus has written: labels, cardinality, secrets, gaps and repetitions. Pure functions of
//! what Grafana Cloud has received.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use trinity_emulators::grafana::received::{Excerpt, Labels};

use super::cause::{Cause, Kind};
use crate::world::Cloud;

/// Most series of one metric; the largest of Prometheus' own has a few hundred.
const SERIES_OF_METRIC: usize = 1_000;
/// Most series of a world.
const SERIES: usize = 10_000;
/// Labels that a platform has no business to send: they name what is gone after the next deployment, or are Prometheus'
/// own.
const FORBIDDEN: [&str; 4] = ["pod_uid", "pod_template_hash", "__address__", "__replica__"];

/// What a series has to be labelled with.
#[derive(Clone, Debug)]
pub struct Rules {
    /// External labels with the values that belong to the world.
    required: BTreeMap<&'static str, String>,
    /// Values of these labels that belong to other worlds.
    foreign: BTreeMap<&'static str, Vec<String>>,
}

/// One thing that is wrong with the labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A required label is not there.
    Missing {
        /// Label.
        label: String,
        /// Metric of the first series without it.
        metric: String,
        /// How many series are without it.
        series: usize,
    },
    /// A required label has a value that is not this world's.
    Foreign {
        /// Label.
        label: String,
        /// Its value.
        seen: String,
        /// This world's.
        expected: String,
        /// Whether it is another world's.
        another_world: bool,
    },
    /// A label that must not be there.
    Forbidden {
        /// Label.
        label: String,
        /// Metric of the first series with it.
        metric: String,
    },
    /// Too many series.
    Cardinality {
        /// Metric; nothing for all of the world.
        metric: Option<String>,
        /// Number of series.
        series: usize,
        /// Bound.
        bound: usize,
    },
}

impl Rules {
    /// The labels of a world of `cloud` of the platform.
    pub fn of(cloud: Cloud) -> Self {
        let cluster = |cloud: Cloud| format!("trinity-dev-{cloud}");
        let others: Vec<Cloud> = Cloud::ALL.into_iter().filter(|other| *other != cloud).collect();
        Self {
            required: BTreeMap::from([
                ("cloud", cloud.to_string()),
                ("cluster", cluster(cloud)),
                ("platform", "trinity".into()),
            ]),
            foreign: BTreeMap::from([
                ("cloud", others.iter().map(ToString::to_string).collect()),
                ("cluster", others.iter().map(|other| cluster(*other)).collect()),
            ]),
        }
    }
}

impl Violation {
    /// The cause that it is.
    pub fn cause(&self) -> Cause {
        let kind = match self {
            Self::Missing { .. } => Kind::LabelMissing,
            Self::Foreign { .. } => Kind::LabelForeign,
            Self::Forbidden { .. } => Kind::LabelForbidden,
            Self::Cardinality { .. } => Kind::LabelCardinality,
        };
        Cause::new(kind, self.to_string())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { label, metric, series } => {
                write!(f, "{series} series have no label {label}, for example {metric}")
            }
            Self::Foreign { label, seen, expected, another_world } => {
                let whose = if *another_world { ", which is another world's" } else { "" };
                write!(f, "the label {label} is {seen:?}{whose}, and this world's is {expected:?}")
            }
            Self::Forbidden { label, metric } => write!(f, "{metric} has the label {label}"),
            Self::Cardinality { metric: Some(metric), series, bound } => {
                write!(f, "{metric} has {series} series, more than {bound}")
            }
            Self::Cardinality { metric: None, series, bound } => {
                write!(f, "the world has {series} series, more than {bound}")
            }
        }
    }
}

/// What is wrong with the labels of all series.
pub fn labels(received: &Excerpt, rules: &Rules) -> Vec<Violation> {
    let mut found = Vec::new();
    for (label, expected) in &rules.required {
        let without: Vec<&Labels> = received.series.iter().filter(|series| !series.contains_key(*label)).collect();
        if let Some(first) = without.first() {
            let metric = metric(first).to_owned();
            found.push(Violation::Missing { label: (*label).into(), metric, series: without.len() });
        }
        let seen: BTreeSet<&String> = received.series.iter().filter_map(|series| series.get(*label)).collect();
        for seen in seen.into_iter().filter(|seen| *seen != expected) {
            found.push(Violation::Foreign {
                label: (*label).into(),
                seen: seen.clone(),
                expected: expected.clone(),
                another_world: rules.foreign.get(label).is_some_and(|values| values.contains(seen)),
            });
        }
    }
    for label in FORBIDDEN {
        if let Some(series) = received.series.iter().find(|series| series.contains_key(label)) {
            found.push(Violation::Forbidden { label: label.into(), metric: metric(series).to_owned() });
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for series in &received.series {
        *counts.entry(metric(series)).or_default() += 1;
    }
    let crowded = counts.into_iter().filter(|(_, count)| *count > SERIES_OF_METRIC);
    found.extend(crowded.map(|(metric, series)| Violation::Cardinality {
        metric: Some(metric.to_owned()),
        series,
        bound: SERIES_OF_METRIC,
    }));
    if received.series.len() > SERIES {
        found.push(Violation::Cardinality { metric: None, series: received.series.len(), bound: SERIES });
    }
    found
}

/// Where one of `values` is in a label or in metadata. What is returned names the place and not the value.
pub fn secrets(received: &Excerpt, values: &[String]) -> Vec<String> {
    let has = |text: &str| values.iter().any(|value| !value.is_empty() && text.contains(value.as_str()));
    let labels = received.series.iter().flat_map(|series| {
        let of = series.iter().filter(|(name, value)| has(name) || has(value));
        of.map(
            |(name, _)| if has(name) { "the name of a label".into() } else { format!("{}{{{name}}}", metric(series)) },
        )
    });
    let help = received.metadata.iter().filter(|(name, help)| has(name) || has(help));
    labels.chain(help.map(|_| "metadata".into())).collect::<BTreeSet<String>>().into_iter().collect()
}

/// How the samples of one series arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrival {
    /// Times of its samples (milliseconds since 1970), each once, in order.
    pub times: Vec<i64>,
    /// Samples that arrived more than once with the same value, as after an answer that was lost: harmless.
    pub repeated: usize,
    /// Times for which different values arrived.
    pub conflicting: Vec<i64>,
}

/// The arrival of every series with which `wanted` agrees.
pub fn arrivals(received: &Excerpt, wanted: impl Fn(&Labels) -> bool) -> Vec<(&Labels, Arrival)> {
    let mut values: BTreeMap<usize, BTreeMap<i64, (Option<f64>, bool)>> = BTreeMap::new();
    let mut arrivals: BTreeMap<usize, Arrival> = BTreeMap::new();
    for (_, sample) in received.samples().filter(|(labels, _)| wanted(labels)) {
        let arrival = arrivals.entry(sample.series).or_default();
        let seen = (sample.value, sample.stale);
        match values.entry(sample.series).or_default().insert(sample.time, seen) {
            None => {}
            Some(before) if before == seen => arrival.repeated += 1,
            Some(_) => arrival.conflicting.push(sample.time),
        }
    }
    let finished = arrivals.into_iter().map(|(series, arrival)| {
        let times = values.get(&series).into_iter().flat_map(|values| values.keys().copied()).collect();
        (&received.series[series], Arrival { times, ..arrival })
    });
    finished.collect()
}

impl Arrival {
    /// Pauses that are longer than half an interval more than one scrape interval (milliseconds): their begin and end.
    pub fn gaps(&self, interval: i64) -> Vec<(i64, i64)> {
        let pairs = self.times.windows(2).filter_map(|pair| <[i64; 2]>::try_from(pair).ok());
        pairs.filter(|[from, to]| to - from > interval + interval / 2).map(|[from, to]| (from, to)).collect()
    }
}

/// The metric of a series.
pub fn metric(series: &Labels) -> &str {
    series.get("__name__").map_or("a series without a name", String::as_str)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use trinity_emulators::grafana::received::{Push, Sample};

    use super::*;

    fn series(pairs: &[(&str, &str)]) -> Labels {
        let own = [("__name__", "up"), ("cloud", "aws"), ("cluster", "trinity-dev-aws"), ("platform", "trinity")];
        own.iter().chain(pairs).filter(|(_, v)| !v.is_empty()).map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    fn received(all: Vec<Labels>, samples: &[(usize, i64, f64)]) -> Excerpt {
        let samples = samples.iter().map(|(series, time, value)| Sample {
            series: *series,
            time: *time,
            value: Some(*value),
            stale: false,
        });
        let write = Push {
            number: 1,
            time: Timestamp::UNIX_EPOCH,
            user: "1".into(),
            token: "write".into(),
            attempt: 0,
            status: 200,
            refusal: None,
            samples: samples.collect(),
        };
        Excerpt { series: all, writes: vec![write], latest: 1, ..Excerpt::default() }
    }

    fn judged(series: Vec<Labels>) -> Vec<String> {
        labels(&received(series, &[]), &Rules::of(Cloud::Aws)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn labels_are_the_worlds_own() {
        assert_eq!(judged(vec![series(&[]), series(&[("job", "a")])]), [""; 0]);
        let mut without = series(&[]);
        without.remove("cluster");
        assert_eq!(judged(vec![series(&[]), without]), ["1 series have no label cluster, for example up"]);
        assert_eq!(
            judged(vec![series(&[("cloud", "gcp")])]),
            [r#"the label cloud is "gcp", which is another world's, and this world's is "aws""#]
        );
        assert_eq!(
            judged(vec![series(&[("platform", "trinty")])]),
            [r#"the label platform is "trinty", and this world's is "trinity""#]
        );
        assert_eq!(judged(vec![series(&[("pod_uid", "x")])]), ["up has the label pod_uid"]);
    }

    #[test]
    fn cardinality_is_bounded() {
        let many = |n: usize| (0..n).map(|i| series(&[("path", &i.to_string())])).collect();
        assert_eq!(judged(many(SERIES_OF_METRIC)), [""; 0]);
        assert_eq!(judged(many(SERIES_OF_METRIC + 1)), ["up has 1001 series, more than 1000"]);
        let spread = |i: usize| series(&[("__name__", &format!("m{}", i % 20)), ("i", &i.to_string())]);
        assert_eq!(judged((0..=SERIES).map(spread).collect()), ["the world has 10001 series, more than 10000"]);
    }

    #[test]
    fn secrets_are_found_and_not_shown() {
        let mut all = received(vec![series(&[]), series(&[("url", "https://u:hunter22@host")])], &[]);
        all.metadata.insert("up".into(), "not hunter2".into());
        let values = ["hunter22".to_owned(), String::new()];
        assert_eq!(secrets(&all, &values), ["up{url}"]);
        all.metadata.insert("up".into(), "hunter22".into());
        assert_eq!(secrets(&all, &values), ["metadata", "up{url}"]);
    }

    #[test]
    fn gaps_repetitions_and_conflicts_are_told_apart() {
        let all = received(
            vec![series(&[]), series(&[("job", "other")])],
            &[(0, 1000, 1.0), (0, 2000, 1.0), (0, 2000, 1.0), (0, 4000, 1.0), (0, 4000, 2.0), (1, 9000, 1.0)],
        );
        let found = arrivals(&all, |series| !series.contains_key("job"));
        let [(_, arrival)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(arrival.times, [1000, 2000, 4000]);
        assert_eq!((arrival.repeated, arrival.conflicting.as_slice()), (1, &[4000][..]));
        assert_eq!(arrival.gaps(1000), [(2000, 4000)]);
        assert_eq!(arrival.gaps(2000), []);
    }
}
