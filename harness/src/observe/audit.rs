//! Every write to the cluster, from the API server's audit log: who wrote what, when, and in which order.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::failure::{Attempt, Result};

/// What the API server shall record: all writes when they are done, none of what may hold a secret or fills disks, with the
/// objects as they were stored.
pub fn policy() -> Value {
    let of = |group: &str, resources: &[&str]| json!({"group": group, "resources": resources});
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitManagedFields": true,
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "verbs": ["get", "list", "watch"]},
            {"level": "None", "resources": [
                of("", &["events"]), of("coordination.k8s.io", &["leases"]), of("events.k8s.io", &["events"]),
                of("authentication.k8s.io", &["tokenreviews"]), of("authorization.k8s.io", &["*"]),
            ]},
            {"level": "Metadata", "resources": [
                of("", &["configmaps", "endpoints", "nodes", "nodes/status", "secrets", "serviceaccounts/token"]),
                of("apiextensions.k8s.io", &["*"]), of("discovery.k8s.io", &["endpointslices"]),
            ]},
            {"level": "RequestResponse"},
        ],
    })
}

/// One write that the API server has answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// When the request arrived.
    pub begun: Timestamp,
    /// When it was answered.
    pub done: Timestamp,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Who asked, for example `system:serviceaccount:argocd:argocd-application-controller`.
    pub user: String,
    /// Field manager: the one that was named, or else the first part of the user agent, as the API server takes it.
    pub manager: String,
    /// What was written.
    pub target: Target,
    /// Status code of the answer.
    pub code: u16,
    /// Resource version of the object as it was stored; nothing where [`policy`] leaves objects out.
    pub version: Option<u64>,
    /// The object as it was stored, without managed fields; nothing where [`policy`] leaves objects out.
    pub object: Option<Value>,
}

/// An object, as requests name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Target {
    /// API group; empty for the core group.
    #[serde(rename = "apiGroup")]
    pub group: String,
    /// Plural resource name, for example `externalsecrets`.
    pub resource: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name; empty for a collection.
    pub name: String,
    /// Subresource, for example `status`; empty for the object itself.
    pub subresource: String,
}

impl Write {
    /// Whether it was over before `other` could begin. The order of resource versions is the order in the store; where
    /// one is not known, the times say it.
    pub fn before(&self, other: &Self) -> bool {
        match (self.version, other.version) {
            (Some(own), Some(others)) => own < others,
            _ => self.done < other.begun,
        }
    }
}

/// An audit event, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "requestURI")]
    uri: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Target,
    #[serde(default)]
    response_status: Status,
    response_object: Option<Value>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Event {
    /// The write that it records; a rehearsal (dry run) is none.
    fn write(self) -> Option<Write> {
        let query = self.uri.split_once('?').map_or("", |(_, query)| query);
        let value =
            |name| form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
        if value("dryRun").is_some() {
            return None;
        }
        let agent = || self.user_agent.split('/').next().unwrap_or_default().to_owned();
        let object = self.response_object.filter(|object| object["kind"] != "Status");
        let version = object.as_ref().and_then(|o| o["metadata"]["resourceVersion"].as_str()?.parse().ok());
        Some(Write {
            begun: self.request_received_timestamp,
            done: self.stage_timestamp,
            verb: self.verb,
            user: self.user.username,
            manager: value("fieldManager").unwrap_or_else(agent),
            target: self.object_ref,
            code: self.response_status.code,
            version,
            object,
        })
    }
}

/// All writes until now that succeeded or failed, in the order of their answers.
///
/// # Errors
/// When the log cannot be read, or a line is no audit event.
pub fn read(log: &Path) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for event in events::<Event>(log)? {
        writes.extend(event?.write());
    }
    writes.sort_by_key(|write| write.done);
    Ok(writes)
}

/// All events until now, in the order of the log.
///
/// # Errors
/// When the log cannot be read, or, of each, when it is no audit event.
pub fn events<T: DeserializeOwned>(log: &Path) -> Result<impl Iterator<Item = Result<T>>> {
    let attempted = move || format!("read the audit log {}", log.display());
    let lines = BufReader::new(File::open(log).attempting(attempted)?).split(b'\n');
    Ok(lines.filter_map(move |line| match line.map(|line| serde_json::from_slice(&line)) {
        Ok(Ok(event)) => Some(Ok(event)),
        // The API server is writing it at this moment.
        Ok(Err(e)) if e.is_eof() => None,
        Ok(Err(e)) => Some(Err(e).attempting(attempted)),
        Err(e) => Some(Err(e).attempting(attempted)),
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn event(uri: &str, more: &str) -> String {
        format!(
            r#"{{"requestURI":"{uri}","verb":"patch","user":{{"username":"u"}},"userAgent":"argocd/v3.2 (linux)","requestReceivedTimestamp":"2026-01-01T00:00:01.000001Z","stageTimestamp":"2026-01-01T00:00:01.000009Z"{more}}}"#
        )
    }

    fn read_lines(lines: &[String]) -> Vec<Write> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(lines.join("\n").as_bytes()).unwrap();
        read(file.path()).unwrap()
    }

    #[test]
    fn a_write_says_who_wrote_what() {
        let object = r#","objectRef":{"resource":"externalsecrets","namespace":"n","name":"a","apiGroup":"external-secrets.io","apiVersion":"v1","subresource":"status"},"responseStatus":{"code":200},"responseObject":{"kind":"ExternalSecret","metadata":{"resourceVersion":"12"}}"#;
        let writes =
            read_lines(&[event("/a?fieldManager=own%20one", object), event("/a", ""), "{\"requestURI\":\"/b".into()]);
        let [named, unnamed] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!((named.manager.as_str(), named.version, named.code), ("own one", Some(12), 200));
        assert_eq!((named.target.resource.as_str(), named.target.subresource.as_str()), ("externalsecrets", "status"));
        assert_eq!((unnamed.manager.as_str(), unnamed.version), ("argocd", None));
    }

    #[test]
    fn a_rehearsal_is_no_write() {
        assert_eq!(read_lines(&[event("/a?dryRun=All", "")]), []);
    }

    #[test]
    fn versions_order_writes_and_times_do_where_there_are_none() {
        let [write] = read_lines(&[event("/a", "")]).try_into().unwrap();
        let with = |version, second: i64| Write {
            version,
            begun: Timestamp::from_second(second).unwrap(),
            done: Timestamp::from_second(second + 1).unwrap(),
            ..write.clone()
        };
        assert!(with(Some(1), 9).before(&with(Some(2), 0)));
        assert!(!with(Some(2), 0).before(&with(Some(1), 9)));
        assert!(with(None, 0).before(&with(Some(1), 2)));
        assert!(!with(None, 0).before(&with(Some(1), 1)), "they overlap");
    }
}
