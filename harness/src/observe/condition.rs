//! Claims about single objects: pure functions of what is observed.

use std::{cell::RefCell, collections::BTreeSet};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{Node, Secret, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::core::DynamicObject;
use serde_json::Value;

use super::{Expectation, wait::Objects};

/// The object exists.
pub fn exists<K>(object: Option<&K>) -> Expectation {
    match object {
        Some(_) => Expectation::Held,
        None => Expectation::pending("it does not exist"),
    }
}

/// An Argo CD Application is Synced and Healthy, no operation runs, and the comparison that says so is not older than
/// the last operation.
pub fn synced_and_healthy(application: Option<&DynamicObject>) -> Expectation {
    let Some(application) = application else {
        return Expectation::pending("it does not exist");
    };
    let status = &application.data["status"];
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let (sync, health) = (text(&status["sync"]["status"]), text(&status["health"]["status"]));
    let operation = &status["operationState"];
    let idle = application.data.get("operation").is_none_or(Value::is_null);
    // Both are RFC 3339 in UTC with seconds, so they sort as texts do.
    let current = operation["finishedAt"].as_str() <= status["reconciledAt"].as_str();
    if sync == "Synced" && health == "Healthy" && idle && current {
        return Expectation::Held;
    }
    let mut why = format!("sync {sync}, health {health}");
    if let Some(message) = operation["message"].as_str() {
        why += &format!(", operation {}: {message}", text(&operation["phase"]));
    }
    for condition in status["conditions"].as_array().into_iter().flatten() {
        why += &format!("; {}", text(&condition["message"]));
    }
    Expectation::Pending(why)
}

/// These applications (`namespace/name`) and those of these ApplicationSets, the applications that they consist of, and
/// theirs in turn, are Synced and Healthy, but for the `excused` workloads, such as `Deployment observability/grafana`, and
/// what waits for them.
pub fn trees_settled(
    roots: Vec<String>,
    sets: Vec<String>,
    excused: &RefCell<BTreeSet<String>>,
) -> impl Fn(&Objects) -> Expectation {
    move |applications| {
        let excused = excused.borrow();
        let trees = roots.iter().map(|root| tree(root, applications, &excused));
        let made = sets.iter().map(|set| made(set, applications, &excused));
        trees.chain(made).fold(Expectation::Held, Expectation::and)
    }
}

/// The applications that an ApplicationSet has made, of which there is at least one.
fn made(set: &str, applications: &Objects, excused: &BTreeSet<String>) -> Expectation {
    let by = |application: &DynamicObject| {
        let namespace = application.metadata.namespace.as_deref().unwrap_or_default();
        let owners = application.metadata.owner_references.iter().flatten();
        owners.filter(|o| o.kind == "ApplicationSet").any(|o| format!("{namespace}/{}", o.name) == set)
    };
    let mut trees =
        applications.iter().filter(|(_, a)| by(a)).map(|(name, _)| tree(name, applications, excused)).peekable();
    match trees.peek() {
        Some(_) => trees.fold(Expectation::Held, Expectation::and),
        None => Expectation::Pending(format!("ApplicationSet {set} has made no application")),
    }
}

/// An ApplicationSet has made all that it has to.
pub fn generated(set: Option<&DynamicObject>) -> Expectation {
    let Some(set) = set else { return Expectation::pending("it does not exist") };
    let conditions = set.data["status"]["conditions"].as_array();
    let conditions: Vec<&Value> = conditions.into_iter().flatten().collect();
    let has = |kind: &str| conditions.iter().find(|c| c["type"] == kind && c["status"] == "True");
    let told = |condition: &Value| condition["message"].as_str().unwrap_or("unknown").to_owned();
    match (has("ResourcesUpToDate"), has("ErrorOccurred")) {
        (Some(_), None) => Expectation::Held,
        (_, Some(error)) => Expectation::Pending(told(error)),
        (None, None) => Expectation::pending("its controller has not finished with it"),
    }
}

fn tree(name: &str, applications: &Objects, excused: &BTreeSet<String>) -> Expectation {
    if excused.contains(&format!("Application {name}")) {
        return Expectation::Held;
    }
    let application = applications.get(name);
    let halted = application.is_some_and(|a| waits_for_excused(a, excused));
    let resources = application.and_then(|a| a.data["status"]["resources"].as_array());
    let resources: Vec<&Value> = resources.into_iter().flatten().collect();
    let named = |kind: &'static str| resources.iter().filter(move |r| r["kind"] == kind).map(|r| full_name(r));
    // What comes after an application that will not be well does not come.
    let due = named("Application").filter(|child| !halted || applications.contains_key(child));
    let children = due.map(|child| tree(&child, applications, excused));
    let made = named("ApplicationSet").map(|set| made(&set, applications, excused));
    let children: Vec<Expectation> = children.chain(made).collect();
    let own = match synced_and_healthy(application) {
        Expectation::Pending(_)
            if halted || application.is_some_and(|a| waits_for_excused_only(a, &resources, excused)) =>
        {
            Expectation::Held
        }
        Expectation::Pending(why) => Expectation::Pending(format!("application {name}: {why}")),
        other => other,
    };
    children.into_iter().fold(own, Expectation::and)
}

/// Whether a sync of the application waits for an excused one before it goes on to the next wave.
fn waits_for_excused(application: &DynamicObject, excused: &BTreeSet<String>) -> bool {
    let operation = &application.data["status"]["operationState"];
    let namespace = application.metadata.namespace.as_deref().unwrap_or_default();
    let message = operation["message"].as_str().unwrap_or_default();
    let awaited = message.strip_prefix("waiting for healthy state of argoproj.io/Application/");
    let awaited = awaited.and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    operation["phase"] == "Running" && excused.contains(&format!("Application {namespace}/{awaited}"))
}

/// Whether the application is Synced, and nothing but excused workloads and applications keeps it from being Healthy.
/// What becomes of the applications is for these to say.
fn waits_for_excused_only(application: &DynamicObject, resources: &[&Value], excused: &BTreeSet<String>) -> bool {
    let unhealthy = |r: &&&Value| r["health"]["status"].as_str().is_some_and(|health| health != "Healthy");
    let fine = |r: &Value| match r["kind"].as_str() {
        Some("Application") => true,
        Some(kind) => excused.contains(&format!("{kind} {}", full_name(r))),
        None => false,
    };
    let mut unhealthy = resources.iter().filter(unhealthy).peekable();
    let synced = application.data["status"]["sync"]["status"] == "Synced";
    let compared = resources.iter().all(|r| r["status"] == "Synced");
    synced && compared && !excused.is_empty() && unhealthy.peek().is_some() && unhealthy.all(|r| fine(r))
}

/// `namespace/name` of a resource in an application's status.
fn full_name(resource: &Value) -> String {
    let text = |field: &str| resource[field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

/// A Deployment has its latest generation rolled out and available.
pub fn available(deployment: Option<&Deployment>) -> Expectation {
    let Some(deployment) = deployment else {
        return Expectation::pending("it does not exist");
    };
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return Expectation::pending("its controller has not seen its latest generation");
    }
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (all, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    if updated < wanted || all > updated {
        return Expectation::Pending(format!(
            "{updated} of {all} replicas are of its latest generation, {wanted} shall be"
        ));
    }
    let conditions = status.conditions.unwrap_or_default();
    match conditions.iter().find(|c| c.type_ == "Available") {
        Some(c) if c.status == "True" => Expectation::Held,
        Some(c) => {
            Expectation::pending(format!("Available is {}: {}", c.status, c.message.clone().unwrap_or_default()))
        }
        None => Expectation::pending("it has no condition Available"),
    }
}

/// A StatefulSet has all replicas of its latest generation ready.
pub fn ready_set(set: Option<&StatefulSet>) -> Expectation {
    let Some(set) = set else {
        return Expectation::pending("it does not exist");
    };
    let status = set.status.clone().unwrap_or_default();
    let wanted = set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let ready = status.ready_replicas.unwrap_or(0);
    if status.observed_generation < set.metadata.generation || ready < wanted {
        return Expectation::Pending(format!("{ready} of {wanted} replicas are ready"));
    }
    if status.current_revision != status.update_revision {
        return Expectation::pending("not all replicas are of its latest generation");
    }
    Expectation::Held
}

/// A CRD is established.
pub fn established(crd: Option<&CustomResourceDefinition>) -> Expectation {
    let conditions = crd.and_then(|c| c.status.as_ref()).and_then(|s| s.conditions.as_ref());
    match conditions.into_iter().flatten().find(|c| c.type_ == "Established") {
        Some(c) if c.status == "True" => Expectation::Held,
        Some(c) => Expectation::pending(format!("Established is {}", c.status)),
        None if crd.is_none() => Expectation::pending("it does not exist"),
        None => Expectation::pending("it has no condition Established"),
    }
}

/// A node is Ready.
pub fn ready_node(node: Option<&Node>) -> Expectation {
    let conditions = node.and_then(|n| n.status.as_ref()).and_then(|s| s.conditions.as_ref());
    match conditions.into_iter().flatten().find(|c| c.type_ == "Ready") {
        Some(c) if c.status == "True" => Expectation::Held,
        Some(c) => Expectation::pending(c.message.clone().unwrap_or_default()),
        None => Expectation::pending("the kubelet has not registered it"),
    }
}

/// A node is Ready, and its kubelet is of this release.
pub fn ready_node_of(release: &str) -> impl Fn(Option<&Node>) -> Expectation {
    let wanted = format!("v{release}");
    move |node| {
        let info = node.and_then(|n| n.status.as_ref()).and_then(|s| s.node_info.as_ref());
        match info.map(|info| info.kubelet_version.as_str()) {
            Some(version) if version != wanted => Expectation::Pending(format!("its kubelet is {version}")),
            _ => ready_node(node),
        }
    }
}

/// Whether an object's condition `Ready` is True now.
pub fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// `Ready` of an External Secrets object is True, with this reason.
pub fn ready_because(reason: &'static str) -> impl Fn(Option<&DynamicObject>) -> Expectation {
    ready("True", reason)
}

/// `Ready` of an External Secrets object is False, with this reason.
pub fn not_ready_because(reason: &'static str) -> impl Fn(Option<&DynamicObject>) -> Expectation {
    ready("False", reason)
}

fn ready(status: &'static str, reason: &'static str) -> impl Fn(Option<&DynamicObject>) -> Expectation {
    move |object| {
        let Some(object) = object else {
            return Expectation::pending("it does not exist");
        };
        let conditions = object.data["status"]["conditions"].as_array();
        let Some(ready) = conditions.into_iter().flatten().find(|c| c["type"] == "Ready") else {
            return Expectation::pending("it has no condition Ready");
        };
        if ready["status"] == status && ready["reason"] == reason {
            return Expectation::Held;
        }
        let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
        Expectation::Pending(format!("Ready is {} ({}): {}", text("status"), text("reason"), text("message")))
    }
}

/// A Secret holds `value` under `key`. The value itself is in no reason.
pub fn holds(key: &str, value: &str) -> impl Fn(Option<&Secret>) -> Expectation {
    let (key, value) = (key.to_owned(), value.to_owned());
    move |secret| match secret {
        None => Expectation::pending("it does not exist"),
        Some(secret) => match secret.data.as_ref().and_then(|data| data.get(&key)) {
            None => Expectation::pending(format!("it has no key {key}")),
            Some(bytes) if bytes.0 == value.as_bytes() => Expectation::Held,
            Some(_) => Expectation::pending(format!("its {key} is another value than the expected one")),
        },
    }
}

/// A service account has an annotation.
pub fn annotated(name: &'static str) -> impl Fn(Option<&ServiceAccount>) -> Expectation {
    move |account| match account {
        None => Expectation::pending("it does not exist"),
        Some(account) if account.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(name)) => {
            Expectation::Held
        }
        Some(_) => Expectation::pending(format!("it has no annotation {name}")),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_application_that_is_out_of_sync_says_so() {
        let good = object(
            json!({"metadata": {"name": "a"}, "status": {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}}),
        );
        assert_eq!(synced_and_healthy(Some(&good)), Expectation::Held);
        let bad = object(json!({"metadata": {"name": "a"}, "status": {
            "sync": {"status": "OutOfSync"}, "health": {"status": "Healthy"}, "operationState": {"phase": "Running", "message": "waiting"}}}));
        assert_eq!(
            synced_and_healthy(Some(&bad)),
            Expectation::pending("sync OutOfSync, health Healthy, operation Running: waiting")
        );
        assert!(matches!(synced_and_healthy(None), Expectation::Pending(_)));
    }

    #[test]
    fn a_comparison_from_before_the_last_sync_says_nothing() {
        let application = |reconciled: &str| {
            object(json!({"metadata": {"name": "a"}, "status": {
                "sync": {"status": "Synced"}, "health": {"status": "Healthy"}, "reconciledAt": reconciled,
                "operationState": {"phase": "Succeeded", "finishedAt": "2026-01-01T00:00:10Z", "message": "done"}}}))
        };
        assert_eq!(synced_and_healthy(Some(&application("2026-01-01T00:00:10Z"))), Expectation::Held);
        assert!(matches!(synced_and_healthy(Some(&application("2026-01-01T00:00:09Z"))), Expectation::Pending(_)));
    }

    #[test]
    fn a_tree_is_as_healthy_as_its_least_healthy_child() {
        let application = |health: &str, children: &[&str]| {
            let resources: Vec<Value> =
                children.iter().map(|c| json!({"kind": "Application", "namespace": "argocd", "name": c})).collect();
            object(json!({"metadata": {"name": "x"}, "status": {
                "sync": {"status": "Synced"}, "health": {"status": health}, "resources": resources}}))
        };
        let excused = RefCell::new(BTreeSet::new());
        let claim = trees_settled(vec!["argocd/root".into()], Vec::new(), &excused);
        let mut objects = Objects::from([("argocd/root".to_owned(), application("Healthy", &["child"]))]);
        assert_eq!(claim(&objects), Expectation::pending("application argocd/child: it does not exist"));
        objects.insert("argocd/child".into(), application("Progressing", &[]));
        assert_eq!(claim(&objects), Expectation::pending("application argocd/child: sync Synced, health Progressing"));
        objects.insert("argocd/child".into(), application("Healthy", &[]));
        assert_eq!(claim(&objects), Expectation::Held);
        assert!(matches!(claim(&Objects::new()), Expectation::Pending(_)));
    }

    #[test]
    fn a_set_is_what_it_has_made() {
        let excused = RefCell::new(BTreeSet::new());
        let claim = trees_settled(Vec::new(), vec!["argocd/set".into()], &excused);
        let application = |owner: &str, health: &str| {
            let owners = json!([{"apiVersion": "a", "kind": "ApplicationSet", "name": owner, "uid": "u"}]);
            object(json!({"metadata": {"name": "x", "namespace": "argocd", "ownerReferences": owners},
                "status": {"sync": {"status": "Synced"}, "health": {"status": health}}}))
        };
        let mut objects = Objects::from([("argocd/other".to_owned(), application("other", "Healthy"))]);
        assert_eq!(claim(&objects), Expectation::pending("ApplicationSet argocd/set has made no application"));
        objects.insert("argocd/a".into(), application("set", "Healthy"));
        assert_eq!(claim(&objects), Expectation::Held);
        objects.insert("argocd/b".into(), application("set", "Missing"));
        assert!(matches!(claim(&objects), Expectation::Pending(_)));

        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "message": "m"});
        let set = |conditions: Value| {
            generated(Some(&object(json!({"metadata": {"name": "s"}, "status": {"conditions": conditions}}))))
        };
        assert_eq!(
            set(json!([condition("ResourcesUpToDate", "True"), condition("ErrorOccurred", "False")])),
            Expectation::Held
        );
        assert_eq!(set(json!([condition("ErrorOccurred", "True")])), Expectation::pending("m"));
        assert!(
            matches!(set(json!([])), Expectation::Pending(_)) && matches!(generated(None), Expectation::Pending(_))
        );
    }

    #[test]
    fn an_excuse_is_for_one_workload() {
        let resource = |kind: &str, name: &str, health: &str| json!({"kind": kind, "namespace": "a", "name": name, "status": "Synced", "health": {"status": health}});
        let with = |sync: &str, resources: Value| {
            let status = json!({"sync": {"status": sync}, "health": {"status": "Progressing"}, "resources": resources});
            Objects::from([("a/root".to_owned(), object(json!({"metadata": {"name": "root"}, "status": status})))])
        };
        let excused = RefCell::new(BTreeSet::from(["Deployment a/one".to_owned()]));
        let claim = trees_settled(vec!["a/root".into()], Vec::new(), &excused);
        let one = resource("Deployment", "one", "Progressing");
        assert_eq!(claim(&with("Synced", json!([one, resource("Deployment", "two", "Healthy")]))), Expectation::Held);
        for (sync, resources) in [
            ("OutOfSync", json!([one])),
            ("Synced", json!([one, resource("Deployment", "two", "Progressing")])),
            ("Synced", json!([one, resource("ExternalSecret", "one", "Degraded")])),
            ("Synced", json!([resource("StatefulSet", "one", "Progressing")])),
            ("Synced", json!([resource("Deployment", "one", "Healthy")])),
            ("Synced", json!([one, resource("Application", "child", "Progressing")])),
        ] {
            assert!(matches!(claim(&with(sync, resources.clone())), Expectation::Pending(_)), "{sync} {resources}");
        }
        excused.borrow_mut().clear();
        assert!(matches!(claim(&with("Synced", json!([one]))), Expectation::Pending(_)));
    }

    #[test]
    fn what_waits_for_an_excused_application_is_excused() {
        let child = |name: &str| json!({"kind": "Application", "namespace": "a", "name": name, "status": "OutOfSync"});
        let with = |message: &str| {
            let operation = json!({"phase": "Running", "message": message});
            let resources = json!([child("absent"), child("later")]);
            let status = json!({"sync": {"status": "OutOfSync"}, "operationState": operation, "resources": resources});
            let root = json!({"metadata": {"name": "root", "namespace": "a"}, "status": status});
            Objects::from([("a/root".to_owned(), object(root))])
        };
        let excused = RefCell::new(BTreeSet::from(["Application a/absent".to_owned()]));
        let claim = trees_settled(vec!["a/root".into()], Vec::new(), &excused);
        let waits = "waiting for healthy state of argoproj.io/Application/absent";
        assert_eq!(claim(&with(waits)), Expectation::Held);
        assert_eq!(claim(&with(&format!("{waits} and 1 more resources"))), Expectation::Held);
        for other in ["waiting for healthy state of argoproj.io/Application/later", "successfully synced"] {
            assert!(matches!(claim(&with(other)), Expectation::Pending(_)), "{other}");
        }
        // One that is there has to be well.
        let mut objects = with(waits);
        let status = json!({"sync": {"status": "OutOfSync"}, "health": {"status": "Missing"}});
        objects.insert(
            "a/later".into(),
            object(json!({"metadata": {"name": "later", "namespace": "a"}, "status": status})),
        );
        assert!(matches!(claim(&objects), Expectation::Pending(_)));
    }

    #[test]
    fn what_is_rolled_out_has_nothing_of_before() {
        let deployment = |all: i32, updated: i32| -> Deployment {
            let conditions = json!([{"type": "Available", "status": "True"}]);
            let status =
                json!({"observedGeneration": 2, "replicas": all, "updatedReplicas": updated, "conditions": conditions});
            serde_json::from_value(json!({"metadata": {"generation": 2}, "status": status})).unwrap()
        };
        assert_eq!(available(Some(&deployment(1, 1))), Expectation::Held);
        for (all, updated) in [(1, 0), (2, 1)] {
            assert!(matches!(available(Some(&deployment(all, updated))), Expectation::Pending(_)), "{all} {updated}");
        }
        let set = |update: &str| -> StatefulSet {
            let status = json!({"observedGeneration": 2, "replicas": 1, "readyReplicas": 1, "currentRevision": "a", "updateRevision": update});
            serde_json::from_value(json!({"metadata": {"generation": 2}, "status": status})).unwrap()
        };
        assert_eq!(ready_set(Some(&set("a"))), Expectation::Held);
        assert!(matches!(ready_set(Some(&set("b"))), Expectation::Pending(_)));
    }

    #[test]
    fn a_node_is_of_the_release_that_its_kubelet_is() {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "node"}, "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
                "kubeletVersion": "v1.34.4", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": ""}}}))
        .unwrap();
        assert_eq!(ready_node_of("1.34.4")(Some(&node)), Expectation::Held);
        assert_eq!(ready_node_of("1.35.4")(Some(&node)), Expectation::pending("its kubelet is v1.34.4"));
        assert!(matches!(ready_node_of("1.35.4")(None), Expectation::Pending(_)));
    }

    #[test]
    fn ready_needs_status_and_reason() {
        let with = |status: &str, reason: &str| {
            object(
                json!({"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "m"}]}}),
            )
        };
        let condition = ready_because("SecretSynced");
        assert_eq!(condition(Some(&with("True", "SecretSynced"))), Expectation::Held);
        assert_eq!(
            condition(Some(&with("False", "SecretSyncedError"))),
            Expectation::pending("Ready is False (SecretSyncedError): m")
        );
        assert!(matches!(condition(Some(&with("True", "SecretDeleted"))), Expectation::Pending(_)));
        let refused = not_ready_because("SecretSyncedError");
        assert_eq!(refused(Some(&with("False", "SecretSyncedError"))), Expectation::Held);
        assert!(matches!(refused(Some(&with("True", "SecretSynced"))), Expectation::Pending(_)));
        assert!(matches!(condition(None), Expectation::Pending(_)));
    }

    #[test]
    fn a_secrets_value_is_compared_and_not_shown() {
        let secret =
            Secret { data: Some([("message".to_owned(), ByteString(b"right".to_vec()))].into()), ..Secret::default() };
        assert_eq!(holds("message", "right")(Some(&secret)), Expectation::Held);
        let Expectation::Pending(why) = holds("message", "wrong")(Some(&secret)) else { panic!("not pending") };
        assert!(!why.contains("right") && !why.contains("wrong"), "{why}");
        assert!(matches!(holds("other", "right")(Some(&secret)), Expectation::Pending(_)));
        assert!(matches!(holds("message", "right")(None), Expectation::Pending(_)));
    }
}
