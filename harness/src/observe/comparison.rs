//! What Argo CD has compared: for every object of an application, how it is and how Git wants it, as the controller's last
//! comparison left it in Redis. Whatever the way of comparing (field by field with the last applied object, by a merge, or on
//! the API server), the controller's verdict is whether these two are equal.

use std::{collections::BTreeSet, io::Read};

use flate2::read::GzDecoder;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use super::redis::{self, Reply};
use crate::{
    failure::{Attempt, Failure, Result},
    gitops::field::FieldPath,
};

/// Argo CD's own `common.CacheVersion`, which is part of every key.
const CACHE_VERSION: &str = "1.8.3";

/// An object of an application, compared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Compared {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Whether it is a hook, which does not count.
    pub hook: bool,
    normalized_live_state: String,
    predicted_live_state: String,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where; the empty path is the object itself.
    pub path: FieldPath,
    /// What the cluster has.
    pub live: Option<Value>,
    /// What it would have after a sync.
    pub git: Option<Value>,
}

impl Compared {
    /// The object as it is, without what Argo CD does not compare; null when it does not exist.
    ///
    /// # Errors
    /// When Argo CD's record is none.
    pub fn live(&self) -> Result<Value> {
        self.state(&self.normalized_live_state)
    }

    /// Every field that differs.
    ///
    /// # Errors
    /// When Argo CD's record is none.
    pub fn differences(&self) -> Result<Vec<Difference>> {
        let mut found = Vec::new();
        let (live, git) = (self.live()?, self.state(&self.predicted_live_state)?);
        differ(Some(&live), Some(&git), &FieldPath::default(), &mut found);
        Ok(found)
    }

    fn state(&self, text: &str) -> Result<Value> {
        let attempted = || format!("understand Argo CD's comparison of {} {}", self.kind, self.name);
        if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(text).attempting(attempted) }
    }
}

/// The fields in which two values differ, from `path` on.
pub fn differ(live: Option<&Value>, git: Option<&Value>, path: &FieldPath, found: &mut Vec<Difference>) {
    match (live, git) {
        (Some(Value::Object(live)), Some(Value::Object(git))) => {
            let names: BTreeSet<&String> = live.keys().chain(git.keys()).collect();
            names.into_iter().for_each(|name| differ(live.get(name), git.get(name), &path.field(name), found));
        }
        (Some(Value::Array(live)), Some(Value::Array(git))) => {
            let longer = live.len().max(git.len());
            (0..longer).for_each(|i| differ(live.get(i), git.get(i), &path.item(i), found));
        }
        (live, git) if live != git => {
            found.push(Difference { path: path.clone(), live: live.cloned(), git: git.cloned() });
        }
        _ => {}
    }
}

/// What Argo CD's last comparison of an application has found; nothing when there has been none.
///
/// # Errors
/// When Redis cannot be reached or says something else.
pub async fn read(client: &Client, application: &str) -> Result<Option<Vec<Compared>>> {
    let attempted = || format!("read Argo CD's comparison of {application}");
    let mut redis = redis::open(client).await?.ok_or_else(|| Failure::new(attempted(), "no Pod of Redis runs"))?;
    let key = format!("app|managed-resources|{application}|{CACHE_VERSION}.gz");
    match redis.ask(&[b"GET", key.as_bytes()]).await? {
        Reply::One(bytes) => parse(&bytes).attempting(attempted).map(Some),
        Reply::Many(_) => Ok(None),
    }
}

/// Reads a record: JSON, in gzip.
fn parse(bytes: &[u8]) -> Result<Vec<Compared>> {
    let attempted = || "understand what is in Redis".to_owned();
    let mut json = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut json).attempting(attempted)?;
    let compared: Option<Vec<Compared>> = serde_json::from_slice(&json).attempting(attempted)?;
    Ok(compared.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_have_paths() {
        let live = json!({"spec": {"data": [{"key": "a", "policy": "None"}, {"key": "b"}], "same": 1}});
        let git = json!({"spec": {"data": [{"key": "a"}], "same": 1, "more": true}});
        let mut found = Vec::new();
        differ(Some(&live), Some(&git), &FieldPath::default(), &mut found);
        let told: Vec<String> = found.iter().map(|d| format!("{} {:?} {:?}", d.path, d.live, d.git)).collect();
        assert_eq!(
            told,
            [
                r#"spec.data[0].policy Some(String("None")) None"#,
                r#"spec.data[1] Some(Object {"key": String("b")}) None"#,
                "spec.more None Some(Bool(true))",
            ]
        );
    }

    #[test]
    fn a_record_is_read() {
        let record = json!([{"group": "g", "kind": "K", "name": "n", "modified": true,
            "normalizedLiveState": r#"{"spec":{"a":1}}"#, "predictedLiveState": r#"{"spec":{}}"#}]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(record.to_string().as_bytes()).unwrap();
        let compared = parse(&gzip.finish().unwrap()).unwrap();
        assert_eq!((compared[0].kind.as_str(), compared[0].namespace.as_str()), ("K", ""));
        assert_eq!(compared[0].differences().unwrap()[0].path.to_string(), "spec.a");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(b"null").unwrap();
        assert_eq!(parse(&gzip.finish().unwrap()).unwrap(), []);
    }
}
