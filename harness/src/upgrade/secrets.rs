//! What becomes of the platform's Secrets while something else changes: every event of a watch, without values.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, Event},
    },
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    failure::{Attempt, Failure, Result},
    observe::wait,
    report::digest::Digester,
};

/// Time for the watch to tell what a list has.
const TOLD: Duration = Duration::from_secs(30);

/// A Secret at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    uid: String,
    version: String,
    /// Digest of every value, by its key.
    data: BTreeMap<String, String>,
}

/// What a watch has told of the Secrets that operators own.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// They, by `namespace/name`, as they are.
    known: BTreeMap<String, State>,
    /// Their events since the first list.
    pub events: usize,
    /// What must not happen to them, and did.
    pub harm: Vec<String>,
    /// Whether a Secret was written at a time of which nothing else is known.
    pub gap: bool,
    listed: bool,
    /// Those that a later list has not told yet.
    untold: BTreeSet<String>,
}

/// A watch under way.
pub struct Recording {
    told: watch::Receiver<Record>,
    task: JoinHandle<()>,
    client: Client,
}

impl Recording {
    /// Begins; returns when the watch has told of all Secrets that there are. Values become digests at once.
    ///
    /// # Errors
    /// When the watch does not begin.
    pub async fn begin(client: &Client, digester: Digester) -> Result<Self> {
        let (tell, mut told) = watch::channel(Record::default());
        let events = watcher::watcher(Api::<Secret>::all(client.clone()), Config::default()).default_backoff();
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                tell.send_modify(|record| match event {
                    Ok(event) => record.after(event, &digester, Timestamp::now()),
                    // It begins again with a list; whether anything is missed is seen then.
                    Err(e) if wait::passing(&e) => {}
                    Err(_) => record.gap = true,
                });
            }
        });
        let attempted = || "watch the Secrets".to_owned();
        let begun = timeout(TOLD, told.wait_for(|record| record.listed)).await;
        begun.attempting(attempted)?.attempting(attempted)?;
        Ok(Self { told, task, client: client.clone() })
    }

    /// Everything that has happened until now.
    ///
    /// # Errors
    /// When the watch does not tell what the API server has.
    pub async fn until_now(&self) -> Result<Record> {
        let attempted = || "see what the watch tells of the Secrets".to_owned();
        let api: Api<Secret> = Api::all(self.client.clone());
        let list = api.list(&ListParams::default()).await.attempting(attempted)?;
        let now: BTreeMap<String, String> = list
            .items
            .iter()
            .filter(|s| owned(s))
            .map(|s| (name(s), s.resource_version().unwrap_or_default()))
            .collect();
        let mut told = self.told.clone();
        let same = |record: &Record| {
            record.known.len() == now.len() && record.known.iter().all(|(n, s)| now.get(n) == Some(&s.version))
        };
        let record = timeout(TOLD, told.wait_for(same)).await;
        let record = record.map_err(|_| Failure::new(attempted(), "they do not come to rest"))?;
        Ok(record.attempting(attempted)?.clone())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Record {
    /// How many Secrets there are.
    pub fn secrets(&self) -> usize {
        self.known.len()
    }

    fn after(&mut self, event: Event<Secret>, digester: &Digester, at: Timestamp) {
        match event {
            Event::Init => self.untold = self.known.keys().cloned().collect(),
            Event::InitDone => {
                self.listed = true;
                std::mem::take(&mut self.untold).into_iter().for_each(|key| self.vanished(&key, at));
            }
            // Of a Secret that has the version which it had, nothing was missed between the watch and a list.
            Event::InitApply(secret) => {
                let key = name(&secret);
                self.untold.remove(&key);
                let before = self.known.get(&key).map(|state| state.version.clone());
                if before.is_none() || before != secret.resource_version() {
                    self.gap |= before.is_some();
                    self.applied(&secret, digester, at);
                }
            }
            Event::Apply(secret) => self.applied(&secret, digester, at),
            Event::Delete(secret) => self.vanished(&name(&secret), at),
        }
    }

    fn applied(&mut self, secret: &Secret, digester: &Digester, at: Timestamp) {
        let key = name(secret);
        if !owned(secret) && !self.known.contains_key(&key) {
            return;
        }
        self.events += usize::from(self.listed);
        let now = State {
            uid: secret.uid().unwrap_or_default(),
            version: secret.resource_version().unwrap_or_default(),
            data: digests(secret, digester),
        };
        if let Some(before) = self.known.get(&key) {
            self.harm.extend(harm(before, &now).map(|what| format!("Secret {key} {what} at {at}")));
        }
        self.known.insert(key, now);
    }

    fn vanished(&mut self, key: &str, at: Timestamp) {
        if self.known.remove(key).is_some() {
            self.events += 1;
            self.harm.push(format!("Secret {key} vanished at {at}"));
        }
    }
}

/// What the step from one state to the next has done to a Secret's users.
fn harm(before: &State, now: &State) -> Option<String> {
    if before.uid != now.uid {
        return Some("was made anew".into());
    }
    let keys: Vec<&str> = before
        .data
        .keys()
        .chain(now.data.keys().filter(|key| !before.data.contains_key(*key)))
        .filter(|key| before.data.get(*key) != now.data.get(*key))
        .map(String::as_str)
        .collect();
    (!keys.is_empty()).then(|| format!("changed in {}", keys.join(", ")))
}

/// Whether an ExternalSecret has made it.
fn owned(secret: &Secret) -> bool {
    secret.owner_references().iter().any(|owner| owner.kind == "ExternalSecret")
}

fn name(secret: &Secret) -> String {
    format!("{}/{}", secret.namespace().unwrap_or_default(), secret.name_any())
}

fn digests(secret: &Secret, digester: &Digester) -> BTreeMap<String, String> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), digester.of(&value.0))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(uid: &str, version: &str, value: &str, owner: &str) -> Secret {
        let owners = json!([{"apiVersion": "v1", "kind": owner, "name": "o", "uid": "u"}]);
        let metadata =
            json!({"name": "a", "namespace": "n", "uid": uid, "resourceVersion": version, "ownerReferences": owners});
        serde_json::from_value(json!({"metadata": metadata, "data": {"key": value}})).unwrap()
    }

    fn told(events: Vec<Event<Secret>>) -> Record {
        let digester = Digester::new("key");
        let mut record = Record::default();
        for event in events {
            record.after(event, &digester, Timestamp::UNIX_EPOCH);
        }
        record
    }

    #[test]
    fn what_harms_a_secrets_users_is_told() {
        let own = |uid: &str, version: &str, value: &str| secret(uid, version, value, "ExternalSecret");
        let first = || vec![Event::Init, Event::InitApply(own("1", "1", "YQ==")), Event::InitDone];
        let after = |event: Event<Secret>| told(first().into_iter().chain([event]).collect());
        let harm = |event| after(event).harm.join("");
        assert_eq!(harm(Event::Apply(own("1", "2", "YQ=="))), "");
        assert!(harm(Event::Apply(own("1", "2", "Yg=="))).starts_with("Secret n/a changed in key at "));
        assert!(harm(Event::Apply(own("2", "2", "YQ=="))).starts_with("Secret n/a was made anew at "));
        assert!(harm(Event::Delete(own("1", "2", "YQ=="))).starts_with("Secret n/a vanished at "));
        assert!(!after(Event::Apply(own("1", "2", "YQ=="))).gap);
    }

    #[test]
    fn a_second_list_proves_as_much_as_it_can() {
        let own = |uid: &str, version: &str, value: &str| secret(uid, version, value, "ExternalSecret");
        let again = |secrets: Vec<Secret>| {
            let listed = |all: Vec<Secret>| {
                [Event::Init].into_iter().chain(all.into_iter().map(Event::InitApply)).chain([Event::InitDone])
            };
            let record = told(listed(vec![own("1", "1", "YQ==")]).chain(listed(secrets)).collect());
            (record.gap, record.events, record.harm.join(""))
        };
        assert_eq!(again(vec![own("1", "1", "YQ==")]), (false, 0, String::new()), "nobody has written it");
        assert_eq!(
            again(vec![own("1", "2", "YQ==")]),
            (true, 1, String::new()),
            "it may have been another one meanwhile"
        );
        assert!(again(vec![own("2", "2", "YQ==")]).2.contains("made anew"));
        assert!(again(vec![]).2.contains("Secret n/a vanished"));
    }

    #[test]
    fn other_secrets_are_nobodys_business() {
        let other = || secret("1", "1", "YQ==", "Certificate");
        let record = told(vec![Event::Init, Event::InitApply(other()), Event::InitDone, Event::Delete(other())]);
        assert_eq!((record.secrets(), record.events, record.harm.len()), (0, 0, 0));
    }
}
