//! What happened in a world and when, from what was recorded there: the API server's audit log and the gateway's journal.
//! Objects of the suites' own are left out; their requests are not, because nothing in a request says whose it is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use trinity_emulators::journal::Line;

use super::{
    data::{Lane, Moment, Tone},
    redact::Redactor,
};
use crate::{
    clock::Clock,
    judge::waves::planned::WAVE,
    observe::audit::{Target, Write},
    world::OWN,
};

/// Entries of a world. A run of three suites' worth has about half as many.
const ROOM: usize = 3000;
/// Characters of a text.
const LONGEST: usize = 240;
/// Seconds after which the same request is another one.
const GAP: f64 = 10.0;
/// Objects of a wave that are named.
const NAMED: usize = 4;
/// Annotation by which Argo CD knows its objects: `<application>:<group>/<kind>:<namespace>/<name>`.
const TRACKING: &str = "argocd.argoproj.io/tracking-id";
/// Why a container waits that will not start by waiting alone.
const STUCK: [&str; 7] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// What is made of a world's records.
pub struct Timeline<'a> {
    clock: Clock,
    redactor: &'a Redactor,
    moments: Vec<Moment>,
    /// Place of the last entry of each object.
    last: BTreeMap<(Lane, String), usize>,
}

/// The objects of a wave that were made.
struct Wave {
    first: Timestamp,
    last: Timestamp,
    objects: Vec<String>,
}

impl<'a> Timeline<'a> {
    /// By the clock of the run; texts are cleaned.
    pub const fn new(clock: Clock, redactor: &'a Redactor) -> Self {
        Self { clock, redactor, moments: Vec::new(), last: BTreeMap::new() }
    }

    /// Adds what was written to the cluster.
    pub fn writes(&mut self, writes: &[Write]) {
        let mut waves: BTreeMap<(&str, i64), Wave> = BTreeMap::new();
        for write in writes.iter().filter(|write| (200..300).contains(&write.code) && !of_suites(write)) {
            self.write(write);
            if let Some((application, wave, object)) = made_in_a_wave(write) {
                let one = Wave { first: write.done, last: write.done, objects: Vec::new() };
                let wave = waves.entry((application, wave)).or_insert(one);
                wave.last = wave.last.max(write.done);
                wave.objects.push(object);
            }
        }
        for ((application, wave), Wave { first, last, objects }) in waves {
            let mut what = objects.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            if let Some(more) = objects.len().checked_sub(NAMED).filter(|more| *more > 0) {
                what += &format!(" and {more} more");
            }
            let object = format!("wave {wave} of {application}");
            let mut moment = self.moment(first, Lane::Waves, object, &format!("made {what}"), Tone::Neutral);
            if objects.len() > 1 {
                moment.until = Some(seconds(self.clock, last));
                moment.count = Some(objects.len() as u64);
            }
            self.put(moment);
        }
    }

    fn write(&mut self, write: &Write) {
        let Write { target, object, done, verb, .. } = write;
        let name = named(write);
        let deleted = verb == "delete" && target.subresource.is_empty();
        let (lane, kind) = match (&*target.group, &*target.resource) {
            ("argoproj.io", "applications") => (Lane::Applications, "Application"),
            ("", "pods") => (Lane::Pods, "Pod"),
            ("external-secrets.io", "clustersecretstores") => (Lane::Stores, "ClusterSecretStore"),
            ("external-secrets.io", "secretstores") => (Lane::Stores, "SecretStore"),
            ("external-secrets.io", "externalsecrets") => (Lane::Stores, "ExternalSecret"),
            ("", "secrets") => {
                let (what, tone) = match (verb.as_str(), write.code) {
                    ("create", _) | (_, 201) => ("made", Tone::Good),
                    ("delete" | "deletecollection", _) => ("deleted", Tone::Neutral),
                    _ => ("written", Tone::Neutral),
                };
                let by = write.user.trim_start_matches("system:serviceaccount:");
                self.again(*done, Lane::Secrets, format!("Secret {name}"), &format!("{what} by {by}"), tone);
                return;
            }
            _ => return,
        };
        let label = format!("{kind} {name}");
        if deleted {
            return self.change(*done, lane, label, "deleted", Tone::Neutral);
        }
        let Some(object) = object else { return };
        let (what, tone) = match lane {
            Lane::Applications => application(object),
            Lane::Pods if target.subresource == "eviction" => ("evicted".into(), Tone::Neutral),
            Lane::Pods => pod(object),
            _ => condition(object),
        };
        if lane == Lane::Applications
            && let Some(waits) = object["status"]["operationState"]["message"].as_str()
            && object["status"]["operationState"]["phase"] == "Running"
            && waits.starts_with("waiting for")
        {
            self.change(*done, Lane::Waves, label.clone(), waits, Tone::Neutral);
        }
        self.change(*done, lane, label, &what, tone);
    }

    /// Adds requests to the outside. From `stirred` on suites try what must be refused: there a refusal is nothing bad.
    pub fn requests(&mut self, calls: &[Line], stirred: Option<Timestamp>) {
        for call in calls {
            let note = &call.note;
            let what = note.action.clone().unwrap_or_else(|| format!("{} {}", call.method, call.path));
            let answer = note.code.clone().unwrap_or_else(|| call.status.to_string());
            let by = match (note.administrator, note.canary) {
                (true, _) => " (administrator)",
                (_, true) => " (canary)",
                _ => "",
            };
            let refused = note.code.is_some() || call.status >= 400;
            let expected = !by.is_empty() || stirred.is_some_and(|stirred| call.time >= stirred);
            let tone = match (note.finding, refused) {
                (true, _) => Tone::Bad,
                (_, true) if !expected && note.action.is_some() => Tone::Bad,
                (_, false) if by.is_empty() => Tone::Good,
                _ => Tone::Neutral,
            };
            self.again(call.time, Lane::Requests, call.host.clone(), &format!("{what} → {answer}{by}"), tone);
        }
    }

    /// All entries in the order of time, and how many of them there was no room for: what is bad is kept, and then what is no
    /// request.
    pub fn end(self) -> (Vec<Moment>, usize) {
        let mut moments = self.moments;
        let left_out = moments.len().saturating_sub(ROOM);
        if left_out > 0 {
            moments.sort_by_key(|moment| (moment.outcome != Tone::Bad, moment.lane == Lane::Requests));
            moments.truncate(ROOM);
        }
        moments.sort_by(|one, other| one.at.total_cmp(&other.at));
        (moments, left_out)
    }

    /// An entry, unless the object's last one says the same.
    fn change(&mut self, time: Timestamp, lane: Lane, object: String, what: &str, tone: Tone) {
        let moment = self.moment(time, lane, object, what, tone);
        if self.last(&moment).is_none_or(|last| last.what != moment.what) {
            self.put(moment);
        }
    }

    /// An entry, or one more of the same.
    fn again(&mut self, time: Timestamp, lane: Lane, object: String, what: &str, tone: Tone) {
        let moment = self.moment(time, lane, object, what, tone);
        match self.last(&moment) {
            Some(last)
                if (&last.what, last.outcome) == (&moment.what, tone)
                    && moment.at - last.until.unwrap_or(last.at) <= GAP =>
            {
                last.until = Some(moment.at);
                last.count = Some(last.count.unwrap_or(1) + 1);
            }
            _ => self.put(moment),
        }
    }

    /// An entry with its texts cleaned.
    fn moment(&self, time: Timestamp, lane: Lane, object: String, what: &str, outcome: Tone) -> Moment {
        let (object, what) = (self.redactor.brief(&object, LONGEST), self.redactor.brief(what, LONGEST));
        Moment { at: seconds(self.clock, time), until: None, count: None, lane, object, what, outcome }
    }

    fn put(&mut self, moment: Moment) {
        self.last.insert((moment.lane, moment.object.clone()), self.moments.len());
        self.moments.push(moment);
    }

    /// The last entry of the same object.
    fn last(&mut self, moment: &Moment) -> Option<&mut Moment> {
        let place = *self.last.get(&(moment.lane, moment.object.clone()))?;
        self.moments.get_mut(place)
    }
}

/// Seconds since the run began, to the millisecond.
fn seconds(clock: Clock, time: Timestamp) -> f64 {
    super::gather::rounded(clock.seconds_to(time).max(0.0))
}

/// Whether an object is the suites' own.
fn of_suites(write: &Write) -> bool {
    let Target { namespace, name, .. } = &write.target;
    let destination = write.object.as_ref().and_then(|object| object["spec"]["destination"]["namespace"].as_str());
    [namespace.as_str(), name, destination.unwrap_or_default()].iter().any(|name| name.starts_with(OWN))
}

/// Namespace and name; a request that makes an object may leave its name to the API server.
fn named(write: &Write) -> String {
    let Target { namespace, name, .. } = &write.target;
    let stored = write.object.as_ref().and_then(|object| object["metadata"]["name"].as_str());
    let name = match name.as_str() {
        "" => stored.unwrap_or("*"),
        name => name,
    };
    if namespace.is_empty() { name.into() } else { format!("{namespace}/{name}") }
}

/// Application, wave and object, when this is the making of an object of an application.
fn made_in_a_wave(write: &Write) -> Option<(&str, i64, String)> {
    let object = write.object.as_ref().filter(|_| write.code == 201 && write.target.subresource.is_empty())?;
    let annotations = &object["metadata"]["annotations"];
    let (application, rest) = annotations[TRACKING].as_str()?.split_once(':')?;
    let kind = rest.split_once(':')?.0.rsplit('/').next()?;
    let wave = annotations[WAVE].as_str().and_then(|wave| wave.parse().ok()).unwrap_or(0);
    Some((application, wave, format!("{kind} {}", named(write))))
}

fn application(object: &Value) -> (String, Tone) {
    let status = &object["status"];
    let word = |value: &Value| value.as_str().filter(|word| !word.is_empty()).map(ToOwned::to_owned);
    let (sync, health) = (word(&status["sync"]["status"]), word(&status["health"]["status"]));
    let operation = word(&status["operationState"]["phase"]);
    let words: Vec<String> = [sync.clone(), health.clone()].into_iter().flatten().collect();
    let mut what = if words.is_empty() { "made".to_owned() } else { words.join(", ") };
    match operation.as_deref() {
        Some("Running") => what += ", syncing",
        Some(phase @ ("Failed" | "Error")) => {
            let message = status["operationState"]["message"].as_str().unwrap_or_default();
            what += &format!(", the sync has {}: {message}", if phase == "Failed" { "failed" } else { "an error" });
        }
        _ => {}
    }
    let tone = match (sync.as_deref(), health.as_deref(), operation.as_deref()) {
        (_, Some("Degraded"), _) | (_, _, Some("Failed" | "Error")) => Tone::Bad,
        (Some("Synced"), Some("Healthy"), _) => Tone::Good,
        _ => Tone::Neutral,
    };
    (what, tone)
}

fn pod(object: &Value) -> (String, Tone) {
    let status = &object["status"];
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return ("ends".into(), Tone::Neutral);
    }
    let list = |name: &str| status[name].as_array().into_iter().flatten();
    let waits = list("initContainerStatuses").chain(list("containerStatuses"));
    let waits = waits.filter_map(|container| container["state"]["waiting"]["reason"].as_str());
    if let Some(stuck) = waits.into_iter().find(|reason| STUCK.contains(reason)) {
        return (stuck.into(), Tone::Bad);
    }
    let ready = list("conditions").any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    match status["phase"].as_str() {
        Some("Running") if ready => ("ready".into(), Tone::Good),
        Some("Running") => ("started, not ready".into(), Tone::Neutral),
        Some("Succeeded") => ("succeeded".into(), Tone::Good),
        Some("Failed") => (format!("failed: {}", status["reason"].as_str().unwrap_or("a container failed")), Tone::Bad),
        _ if object["spec"]["nodeName"].is_string() => ("has a node".into(), Tone::Neutral),
        _ => ("made".into(), Tone::Neutral),
    }
}

/// The condition Ready.
fn condition(object: &Value) -> (String, Tone) {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let Some(ready) = conditions.find(|condition| condition["type"] == "Ready") else {
        return ("made".into(), Tone::Neutral);
    };
    let text = |field: &str| ready[field].as_str().unwrap_or_default();
    match text("status") {
        "True" => (format!("Ready: {}", text("reason")), Tone::Good),
        _ => (format!("not Ready: {}: {}", text("reason"), text("message")), Tone::Bad),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    /// A write some seconds after the clock began.
    fn write(clock: Clock, second: u64, target: (&str, &str, &str), code: u16, object: Value) -> Write {
        let (group, resource, name) = target;
        let namespace = "n".to_owned();
        let target = Target {
            group: group.into(),
            resource: resource.into(),
            namespace,
            name: name.into(),
            ..Target::default()
        };
        let done = clock.begun() + Duration::from_secs(second);
        let (verb, user) = ("patch".into(), "system:serviceaccount:e:external-secrets".into());
        let object = (!object.is_null()).then_some(object);
        Write { begun: done, done, verb, user, manager: String::new(), target, code, version: None, object }
    }

    fn call(clock: Clock, second: u64, more: Value) -> Line {
        let mut line = json!({
            "time": clock.begun() + Duration::from_secs(second), "host": "h", "method": "GET", "path": "/p", "status": 200,
            "milliseconds": 0,
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(line).unwrap()
    }

    fn told(moments: &[Moment]) -> Vec<(f64, &str, &str, Tone)> {
        moments.iter().map(|m| (m.at, m.object.as_str(), m.what.as_str(), m.outcome)).collect()
    }

    #[test]
    fn an_object_is_told_when_it_changes_and_the_suites_own_never() {
        let (clock, redactor) = (Clock::start(), Redactor::default());
        let state =
            |sync: &str, health: &str| json!({"status": {"sync": {"status": sync}, "health": {"status": health}}});
        let application = ("argoproj.io", "applications", "root");
        let ready =
            json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "R", "message": "m"}]}});
        let writes = [
            write(clock, 1, application, 201, state("OutOfSync", "Missing")),
            write(clock, 2, application, 200, state("OutOfSync", "Missing")),
            write(clock, 3, application, 200, state("Synced", "Healthy")),
            write(clock, 4, application, 409, state("OutOfSync", "Missing")),
            write(clock, 5, ("external-secrets.io", "externalsecrets", "a"), 200, ready.clone()),
            write(clock, 6, ("external-secrets.io", "externalsecrets", "trinity-e2e-a"), 200, ready),
            write(clock, 7, ("", "secrets", "s"), 201, Value::Null),
            write(clock, 8, ("", "configmaps", "s"), 201, Value::Null),
        ];
        let mut timeline = Timeline::new(clock, &redactor);
        timeline.writes(&writes);
        let (moments, left_out) = timeline.end();
        let expected = [
            (1.0, "Application n/root", "OutOfSync, Missing", Tone::Neutral),
            (3.0, "Application n/root", "Synced, Healthy", Tone::Good),
            (5.0, "ExternalSecret n/a", "not Ready: R: m", Tone::Bad),
            (7.0, "Secret n/s", "made by e:external-secrets", Tone::Good),
        ];
        assert_eq!((told(&moments), left_out), (expected.to_vec(), 0));
    }

    #[test]
    fn a_wave_is_one_entry_with_its_objects() {
        let (clock, redactor) = (Clock::start(), Redactor::default());
        let object = |wave: &str| {
            let tracking = "root:apps/Deployment:n/d";
            json!({"metadata": {"annotations": {TRACKING: tracking, WAVE: wave}}})
        };
        let made =
            |second, name: &'static str, wave| write(clock, second, ("apps", "deployments", name), 201, object(wave));
        let mut timeline = Timeline::new(clock, &redactor);
        timeline.writes(&[made(1, "a", "0"), made(2, "b", "0"), made(3, "c", "5")]);
        let (moments, _) = timeline.end();
        assert_eq!(
            told(&moments),
            [
                (1.0, "wave 0 of root", "made Deployment n/a, Deployment n/b", Tone::Neutral),
                (3.0, "wave 5 of root", "made Deployment n/c", Tone::Neutral)
            ]
        );
        assert_eq!((moments[0].until, moments[0].count, moments[1].count), (Some(2.0), Some(2), None));
    }

    #[test]
    fn a_pod_is_followed_from_its_making_to_its_readiness() {
        let status = |phase: &str, ready: &str| json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
        let waits = json!({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}});
        assert_eq!(pod(&json!({})), ("made".into(), Tone::Neutral));
        assert_eq!(pod(&json!({"spec": {"nodeName": "a"}})).0, "has a node");
        assert_eq!(pod(&status("Running", "False")), ("started, not ready".into(), Tone::Neutral));
        assert_eq!(pod(&status("Running", "True")), ("ready".into(), Tone::Good));
        assert_eq!(pod(&waits), ("ErrImagePull".into(), Tone::Bad));
    }

    #[test]
    fn equal_requests_in_a_row_are_one_and_refusals_are_bad_where_nobody_provokes_them() {
        let (clock, redactor) = (Clock::start(), Redactor::default());
        let refused = json!({"action": "vault:GetSecret", "code": "Forbidden", "status": 403});
        let calls = [
            call(clock, 1, json!({})),
            call(clock, 2, json!({})),
            call(clock, 3, refused.clone()),
            call(clock, 4, json!({"canary": true, "code": "C", "action": "a"})),
            call(clock, 30, refused),
            call(clock, 31, json!({})),
            call(clock, 45, json!({})),
        ];
        let mut timeline = Timeline::new(clock, &redactor);
        timeline.requests(&calls, Some(clock.begun() + Duration::from_secs(20)));
        let (moments, _) = timeline.end();
        let expected = [
            (1.0, "h", "GET /p → 200", Tone::Good),
            (3.0, "h", "vault:GetSecret → Forbidden", Tone::Bad),
            (4.0, "h", "a → C (canary)", Tone::Neutral),
            (30.0, "h", "vault:GetSecret → Forbidden", Tone::Neutral),
            (31.0, "h", "GET /p → 200", Tone::Good),
            (45.0, "h", "GET /p → 200", Tone::Good),
        ];
        assert_eq!(told(&moments), expected);
        assert_eq!((moments[0].until, moments[0].count), (Some(2.0), Some(2)));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_what_is_bad_stays() {
        let (clock, redactor) = (Clock::start(), Redactor::default());
        let calls: Vec<Line> = (0..ROOM + 5)
            .map(|n| call(clock, n as u64, json!({"path": format!("/{n}")})))
            .chain([call(clock, 9999, json!({"finding": true}))])
            .collect();
        let mut timeline = Timeline::new(clock, &redactor);
        timeline.requests(&calls, None);
        let (moments, left_out) = timeline.end();
        assert_eq!((moments.len(), left_out), (ROOM, 6));
        assert_eq!(moments.last().unwrap().outcome, Tone::Bad);
    }

    #[test]
    fn no_value_is_in_it_not_even_where_a_text_is_cut() {
        let (clock, value) = (Clock::start(), "s3cr3t-0123456789");
        let redactor = Redactor::new([value.to_owned()]);
        for longer in 0..=value.len() {
            let message = format!("{}{value}", "x".repeat(LONGEST - longer - 15));
            let object = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "R", "message": message}]}});
            let mut timeline = Timeline::new(clock, &redactor);
            timeline.writes(&[write(clock, 1, ("external-secrets.io", "secretstores", "a"), 200, object)]);
            let (moments, _) = timeline.end();
            assert!(!moments[0].what.contains("s3c"), "{longer}: {}", moments[0].what);
        }
    }
}
