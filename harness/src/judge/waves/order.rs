//! Whether an object was made after the objects of earlier waves were ready, and whether anything saw to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{history::History, planned::Planned, state};
use crate::observe::{Expectation, audit::Write};

/// Begin of the names of Argo CD's settings that are checks of health.
const CHECK: &str = "resource.customizations.health.";

/// Two objects of one application, and how they came one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The object of the earlier wave.
    pub earlier: &'a Planned,
    /// The object of the later wave.
    pub later: &'a Planned,
    /// How they came.
    pub order: Order,
}

/// How two objects came one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The earlier object was ready before the making of the later one began, and Argo CD waits for that.
    Proven,
    /// So it was, and nothing waits for it.
    Luck,
    /// The making of the later object began first.
    Violated(Breach),
    /// One of them was not made while the log was written: nothing can be said.
    NotMade,
}

/// What the earlier object was when the making of the later one began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What it was.
    pub kind: Early,
    /// Whether Argo CD should have waited.
    pub waits: bool,
    /// Its state then, in words.
    pub seen: String,
    /// Who made the later object.
    pub by: String,
}

/// How early the later object was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// The earlier object was not there: not even their making was in order.
    Creation,
    /// It was there and not ready: only their making was in order.
    Health,
    /// It was an application that passed for Healthy although its own sync had not succeeded.
    Premature,
}

/// Judges all pairs of objects of an application that are in different waves. `settings` are those of the live Argo CD.
pub fn judge<'a>(
    application: &'a str,
    planned: &'a [Planned],
    history: &History<'a>,
    settings: &BTreeMap<String, String>,
) -> Vec<Pair<'a>> {
    let told = history.told(application);
    let mut pairs = Vec::new();
    for earlier in planned {
        for later in planned.iter().filter(|later| later.wave > earlier.wave) {
            let order = match (history.creation(earlier), history.creation(later)) {
                (Some(made), Some(next)) => one(earlier, made, next, history, waits(earlier, settings, &told)),
                _ => Order::NotMade,
            };
            pairs.push(Pair { earlier, later, order });
        }
    }
    pairs
}

/// Whether Argo CD has a check of health for the kind: one of its settings, or one that is built in.
fn waits(object: &Planned, settings: &BTreeMap<String, String>, told: &BTreeSet<(&str, &str)>) -> bool {
    let setting = format!("{CHECK}{}_{}", object.group, object.kind);
    settings.contains_key(&setting) || told.contains(&(&*object.group, &*object.kind))
}

fn one(earlier: &Planned, made: &Write, next: &Write, history: &History<'_>, waits: bool) -> Order {
    let states: Vec<(&Write, &Value, Option<Expectation>)> = history
        .of(earlier)
        .into_iter()
        .filter_map(|write| Some((write, write.object.as_ref()?)))
        .map(|(write, object)| (write, object, state::of(&earlier.group, &earlier.kind, object)))
        .collect();
    let by = format!("{} ({})", next.manager, next.user);
    let breach = |kind, seen: String| Order::Violated(Breach { kind, waits, seen, by: by.clone() });
    if !made.before(next) {
        return breach(Early::Creation, "was not there".into());
    }
    if states.iter().all(|(_, _, state)| state.is_none()) {
        // Argo CD applies a wave whole before the next one, whatever is in it.
        return Order::Proven;
    }
    if states.iter().any(|(write, _, state)| *state == Some(Expectation::Held) && write.before(next)) {
        return if waits { Order::Proven } else { Order::Luck };
    }
    let last = states.iter().rfind(|(write, _, _)| write.before(next));
    let premature = last.is_some_and(|(_, object, _)| earlier.kind == "Application" && state::premature(object));
    let seen = match last {
        Some((_, _, Some(Expectation::Pending(why) | Expectation::Refuted(why)))) => format!("was not ready: {why}"),
        _ => "had no state yet".into(),
    };
    breach(if premature { Early::Premature } else { Early::Health }, seen)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::judge::waves::planned::application;
    use crate::observe::audit::Target;

    fn map(name: &str, wave: i64) -> Planned {
        let (group, kind, resource) = (String::new(), "ConfigMap".into(), "configmaps".into());
        Planned { group, kind, resource, ..application(name, wave) }
    }

    /// A write at a time, with a version when the object was recorded.
    fn write(of: &Planned, at: u64, verb: &str, object: Option<Value>) -> Write {
        let instant = Timestamp::from_second(i64::try_from(at).unwrap()).unwrap();
        Write {
            begun: instant,
            done: instant,
            verb: verb.into(),
            user: "system:serviceaccount:argocd:argocd-application-controller".into(),
            manager: "argocd-controller".into(),
            target: Target {
                group: of.group.clone(),
                resource: of.resource.clone(),
                namespace: of.namespace.clone(),
                name: of.name.clone(),
                subresource: String::new(),
            },
            code: if verb == "create" { 201 } else { 200 },
            version: object.is_some().then_some(at),
            object,
        }
    }

    fn status(sync: &str, health: &str, phase: &str) -> Option<Value> {
        let operation = json!({"phase": phase, "retryCount": 2});
        Some(json!({"status": {"sync": {"status": sync}, "health": {"status": health}, "operationState": operation}}))
    }

    fn settings(with: bool) -> BTreeMap<String, String> {
        let check = ("resource.customizations.health.argoproj.io_Application".to_owned(), "return hs".to_owned());
        with.then_some(check).into_iter().collect()
    }

    fn orders(planned: &[Planned], writes: &[Write], check: bool) -> Vec<Order> {
        let history = History::new(writes);
        judge("root", planned, &history, &settings(check)).into_iter().map(|pair| pair.order).collect()
    }

    fn early(order: &Order) -> Option<Early> {
        if let Order::Violated(breach) = order { Some(breach.kind) } else { None }
    }

    #[test]
    fn order_is_proven_when_something_sees_to_it_and_luck_otherwise() {
        let planned = [application("a", 0), application("b", 1)];
        let writes = [
            write(&planned[0], 1, "create", Some(json!({}))),
            write(&planned[0], 2, "patch", status("OutOfSync", "Missing", "Running")),
            write(&planned[0], 3, "patch", status("Synced", "Healthy", "Succeeded")),
            write(&planned[1], 4, "create", Some(json!({}))),
        ];
        assert_eq!(orders(&planned, &writes, true), [Order::Proven]);
        assert_eq!(orders(&planned, &writes, false), [Order::Luck]);
        assert_eq!(History::new(&writes).retries("a"), 2);
    }

    #[test]
    fn what_comes_too_early_is_told_apart() {
        let planned = [application("a", -1), application("b", 1)];
        let next = |at| write(&planned[1], at, "create", Some(json!({})));
        let made = write(&planned[0], 2, "create", Some(json!({})));
        let ready = write(&planned[0], 9, "patch", status("Synced", "Healthy", "Succeeded"));
        let at = |before: Write, after| [made.clone(), before, next(after), ready.clone()];
        let progressing = write(&planned[0], 3, "patch", status("Synced", "Progressing", "Succeeded"));
        let premature = write(&planned[0], 3, "patch", status("OutOfSync", "Healthy", ""));
        for (writes, expected) in [
            (at(progressing.clone(), 1), Early::Creation),
            (at(progressing, 5), Early::Health),
            (at(premature, 5), Early::Premature),
        ] {
            let orders = orders(&planned, &writes, true);
            assert_eq!(early(&orders[0]), Some(expected), "{orders:?}");
        }
    }

    #[test]
    fn what_was_not_made_now_is_not_judged() {
        let planned = [application("a", 0), application("b", 1)];
        let older = [write(&planned[0], 1, "patch", status("Synced", "Healthy", "Succeeded"))];
        assert_eq!(orders(&planned, &older, true), [Order::NotMade]);
        let refused = Write { code: 403, ..write(&planned[0], 1, "create", None) };
        let writes = [refused, write(&planned[1], 2, "create", Some(json!({})))];
        assert_eq!(orders(&planned, &writes, true), [Order::NotMade]);
    }

    #[test]
    fn what_has_no_state_is_ordered_by_its_making() {
        let planned = [map("a", -1), map("b", 0)];
        let [a, b] = planned.each_ref().map(|of| move |at| write(of, at, "create", None));
        assert_eq!(orders(&planned, &[a(1), b(2)], false), [Order::Proven]);
        assert_eq!(early(&orders(&planned, &[b(1), a(2)], false)[0]), Some(Early::Creation));
        assert!(orders(&[map("a", 0), map("b", 0)], &[b(1), a(2)], false).is_empty(), "one wave has no order");
    }

    #[test]
    fn a_check_that_is_built_in_is_known_from_what_argo_cd_tells() {
        let store = Planned {
            group: "external-secrets.io".into(),
            kind: "ClusterSecretStore".into(),
            resource: "clustersecretstores".into(),
            ..application("s", -1)
        };
        let planned = [store, map("m", 0)];
        let ready = Some(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
        let mut root = write(&application("root", 0), 9, "patch", None);
        let told =
            json!({"group": "external-secrets.io", "kind": "ClusterSecretStore", "health": {"status": "Healthy"}});
        root.object = Some(json!({"status": {"resources": [told]}}));
        let mut writes = vec![
            write(&planned[0], 1, "create", Some(json!({}))),
            write(&planned[0], 2, "update", ready),
            write(&planned[1], 3, "create", None),
        ];
        assert_eq!(orders(&planned, &writes, false), [Order::Luck]);
        writes.push(root);
        assert_eq!(orders(&planned, &writes, false), [Order::Proven]);
    }
}
