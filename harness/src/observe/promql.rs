//! Answers of the Prometheus query API.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

use crate::failure::{Attempt, Failure, Result};

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels, with the metric's name as `__name__` when it has one.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// As PromQL writes it, with its value.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &&String| name.as_str() != "__name__";
        let labels = self.labels.iter().filter(|(name, _)| named(name));
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
        let metric = self.labels.get("__name__").map_or("", String::as_str);
        write!(f, "{metric}{{{}}} {}", labels.join(", "), self.value)
    }
}

/// Reads the answer to an instant query.
///
/// # Errors
/// When it is an error, or no vector.
pub fn vector(answer: &str) -> Result<Vec<Sample>> {
    #[derive(Deserialize)]
    struct Answer {
        status: String,
        #[serde(default)]
        error: String,
        data: Option<Data>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        result_type: String,
        result: Vec<Element>,
    }
    #[derive(Deserialize)]
    struct Element {
        metric: BTreeMap<String, String>,
        value: (f64, String),
    }
    let attempted = || "understand the answer to a query".to_owned();
    let answer: Answer = serde_json::from_str(answer)
        .map_err(|e| Failure::new(attempted(), format!("{e}: {}", answer.chars().take(200).collect::<String>())))?;
    let data = match answer.data {
        Some(data) if answer.status == "success" && data.result_type == "vector" => data,
        Some(data) => return Err(Failure::new(attempted(), format!("it is a {}, no vector", data.result_type))),
        None => return Err(Failure::new(attempted(), answer.error)),
    };
    data.result
        .into_iter()
        .map(|Element { metric, value: (_, value) }| {
            // Prometheus writes +Inf, -Inf and NaN, which Rust reads too.
            let value = value.parse().attempting(attempted)?;
            Ok(Sample { labels: metric, value })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_vectors_or_errors() {
        let good = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up","cloud":"aws"},"value":[1.5,"3"]},{"metric":{},"value":[1.5,"+Inf"]}]}}"#;
        let samples = vector(good).unwrap();
        assert_eq!(samples[0].to_string(), r#"up{cloud="aws"} 3"#);
        assert_eq!(samples[1].value, f64::INFINITY);
        let bad = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert!(vector(bad).unwrap_err().to_string().contains("parse error"));
        let scalar = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert!(vector(scalar).is_err());
        assert!(vector("no json").is_err());
    }
}
