//! What Grafana Cloud knows of all worlds together.

use std::path::Path;

use super::{
    metrics::QUERIES,
    verdict::{Outcome, Verdict},
};
use crate::{
    failure::Result,
    observe::promql::Sample,
    trial::Record,
    world::{Cloud, engine},
};

/// One query of the platform and its answer.
pub struct Answer {
    /// In PromQL.
    pub query: &'static str,
    /// What it gives.
    pub samples: Vec<Sample>,
}

/// Asks the platform's queries of the Prometheus behind the socket `engine`, when any world has sent something.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn answers(engine: &Path, records: &[Record]) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    if records.iter().any(Record::sends) {
        for query in QUERIES {
            answers.push(Answer { query, samples: engine::query(engine, query).await? });
        }
    }
    Ok(answers)
}

/// Whether each query has exactly the answers of the worlds whose samples arrive.
pub fn verdicts(answers: &[Answer], records: &[Record]) -> Vec<Verdict> {
    let clouds: Vec<Cloud> = records.iter().filter(|r| r.sends()).map(|r| r.cloud).collect();
    // A world may have sent something before it was broken off.
    let all: Vec<Cloud> = records.iter().map(|r| r.cloud).collect();
    let verdict = |answer: &Answer| {
        let claim = format!("{} answers for {}", answer.query, names(&clouds));
        Verdict::new("queries", claim, judge(answer, &clouds, &all))
    };
    answers.iter().map(verdict).collect()
}

fn names(clouds: &[Cloud]) -> String {
    clouds.iter().map(|c| c.name()).collect::<Vec<_>>().join(", ")
}

/// `clouds` have to be in the answer, and others than `all` must not be.
fn judge(answer: &Answer, clouds: &[Cloud], all: &[Cloud]) -> Outcome {
    let expected = |cloud: Cloud| (cloud.to_string(), format!("trinity-dev-{cloud}"));
    let label = |sample: &Sample, name: &str| sample.labels.get(name).cloned().unwrap_or_default();
    let seen: Vec<_> = answer.samples.iter().map(|s| (label(s, "cloud"), label(s, "cluster"))).collect();
    let missing: Vec<Cloud> = clouds.iter().copied().filter(|cloud| !seen.contains(&expected(*cloud))).collect();
    if !missing.is_empty() {
        return Outcome::Failed(format!("it says nothing of {}", names(&missing)));
    }
    let strange = seen.iter().find(|pair| !all.iter().any(|cloud| expected(*cloud) == **pair));
    if let Some((cloud, cluster)) = strange {
        return Outcome::Failed(format!("it has a series of cloud {cloud:?}, cluster {cluster:?}, which no world is"));
    }
    match answer.samples.iter().find(|s| !(s.value.is_finite() && s.value > 0.0)) {
        Some(sample) => Outcome::Failed(format!("{sample} is no count of anything")),
        None => Outcome::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(samples: &[(&str, &str, f64)]) -> Answer {
        let sample = |(cloud, cluster, value): &(&str, &str, f64)| Sample {
            labels: [("cloud", cloud), ("cluster", cluster)].map(|(k, v)| (k.to_owned(), (*v).to_owned())).into(),
            value: *value,
        };
        Answer { query: "q", samples: samples.iter().map(sample).collect() }
    }

    #[test]
    fn every_world_has_an_answer_and_nobody_else() {
        let both = [Cloud::Aws, Cloud::Gcp];
        let judge = |samples: &[(&str, &str, f64)]| judge(&answer(samples), &both, &both);
        let (aws, gcp) = (("aws", "trinity-dev-aws", 1.0), ("gcp", "trinity-dev-gcp", 2.0));
        assert_eq!(judge(&[aws, gcp]), Outcome::Passed);
        assert_eq!(judge(&[aws]), Outcome::Failed("it says nothing of gcp".into()));
        for strange in [("azure", "trinity-dev-azure", 1.0), ("aws", "trinity-dev-gcp", 1.0), ("", "", 1.0)] {
            assert!(matches!(judge(&[aws, gcp, strange]), Outcome::Failed(_)));
        }
        assert!(matches!(judge(&[aws, ("gcp", "trinity-dev-gcp", 0.0)]), Outcome::Failed(_)));
        assert!(matches!(judge(&[aws, ("gcp", "trinity-dev-gcp", f64::NAN)]), Outcome::Failed(_)));
    }

    #[test]
    fn a_world_that_was_broken_off_may_have_sent_something() {
        let (aws, gcp) = (("aws", "trinity-dev-aws", 1.0), ("gcp", "trinity-dev-gcp", 2.0));
        let judge = |samples: &[(&str, &str, f64)]| judge(&answer(samples), &[Cloud::Aws], &[Cloud::Aws, Cloud::Gcp]);
        assert_eq!((judge(&[aws, gcp]), judge(&[aws])), (Outcome::Passed, Outcome::Passed));
        assert!(matches!(judge(&[gcp]), Outcome::Failed(_)));
    }
}
