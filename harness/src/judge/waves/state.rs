//! The state in which the next wave may begin, for the kinds that have one: as Argo CD's own checks of health have it, but
//! for an Application, of which its sync has succeeded too.

use serde_json::Value;

use crate::observe::Expectation;

/// What a wave waits for in an object, and whether it is so. Nothing for a kind that is done when it is created.
pub fn of(group: &str, kind: &str, object: &Value) -> Option<Expectation> {
    let (spec, status) = (&object["spec"], &object["status"]);
    match (group, kind) {
        ("argoproj.io", "Application") => Some(application(object)),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet") => Some(rolled_out(kind, object)),
        ("batch", "Job") => Some(condition(status, "Complete")),
        ("apiregistration.k8s.io", "APIService") => Some(condition(status, "Available")),
        ("", "PersistentVolumeClaim") => Some(is(&status["phase"], "Bound")),
        ("", "Pod") if status["phase"] == "Succeeded" => Some(Expectation::Held),
        ("", "Service") if spec["type"] == "LoadBalancer" => Some(balanced(status)),
        ("networking.k8s.io", "Ingress") => Some(balanced(status)),
        ("", "Pod") | ("external-secrets.io", _) => Some(condition(status, "Ready")),
        // A kind that says of itself whether it is ready, whatever it is.
        _ if has(status, "Ready").is_some() => Some(condition(status, "Ready")),
        _ => None,
    }
}

/// How an application stands: Synced, Healthy, and by an operation that has succeeded.
fn application(object: &Value) -> Expectation {
    let status = &object["status"];
    let sync = is(&status["sync"]["status"], "Synced");
    let ended = match object.get("operation") {
        None | Some(Value::Null) => is(&status["operationState"]["phase"], "Succeeded"),
        Some(_) => Expectation::pending("an operation has been asked for"),
    };
    is(&status["health"]["status"], "Healthy").and(sync).and(ended)
}

/// Whether an application passes for Healthy before its own sync has succeeded.
pub fn premature(object: &Value) -> bool {
    object["status"]["health"]["status"] == "Healthy" && application(object) != Expectation::Held
}

fn rolled_out(kind: &str, object: &Value) -> Expectation {
    let status = &object["status"];
    let number = |field: &str| status[field].as_u64().unwrap_or(0);
    if number("observedGeneration") < object["metadata"]["generation"].as_u64().unwrap_or(1) {
        return Expectation::pending("its controller has not seen it");
    }
    let (wanted, updated, ready) = match kind {
        "DaemonSet" => (number("desiredNumberScheduled"), number("updatedNumberScheduled"), number("numberAvailable")),
        kind => {
            let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
            let ready = number(if kind == "StatefulSet" { "readyReplicas" } else { "availableReplicas" });
            (wanted, number("updatedReplicas"), ready)
        }
    };
    match updated >= wanted && ready >= wanted {
        true => Expectation::Held,
        false => Expectation::Pending(format!("{ready} of {wanted} replicas are there")),
    }
}

fn balanced(status: &Value) -> Expectation {
    match status["loadBalancer"]["ingress"].as_array() {
        Some(addresses) if !addresses.is_empty() => Expectation::Held,
        _ => Expectation::pending("it has no address"),
    }
}

fn has<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == name)
}

fn condition(status: &Value, name: &str) -> Expectation {
    match has(status, name) {
        Some(condition) if condition["status"] == "True" => Expectation::Held,
        Some(condition) => Expectation::Pending(format!("{name} is {}", condition["status"])),
        None => Expectation::Pending(format!("it has no condition {name}")),
    }
}

fn is(value: &Value, wanted: &str) -> Expectation {
    match value.as_str() {
        Some(seen) if seen == wanted => Expectation::Held,
        Some(seen) => Expectation::pending(seen),
        None => Expectation::Pending(format!("not {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn held(group: &str, kind: &str, object: &Value) -> Option<bool> {
        of(group, kind, object).map(|state| state == Expectation::Held)
    }

    #[test]
    fn an_application_is_done_when_its_own_sync_has_succeeded() {
        let with = |sync: &str, phase: &str| json!({"status": {"health": {"status": "Healthy"}, "sync": {"status": sync}, "operationState": {"phase": phase}}});
        let application = |object: &Value| held("argoproj.io", "Application", object);
        assert_eq!(application(&with("Synced", "Succeeded")), Some(true));
        for early in [with("OutOfSync", "Succeeded"), with("Synced", "Running"), with("OutOfSync", "")] {
            assert_eq!(application(&early), Some(false));
            assert!(premature(&early));
        }
        let mut asked = with("Synced", "Succeeded");
        asked["operation"] = json!({"sync": {}});
        assert_eq!(application(&asked), Some(false));
        assert!(!premature(&with("Synced", "Succeeded")) && !premature(&json!({})));
    }

    #[test]
    fn a_workload_is_done_when_its_latest_generation_is_there() {
        let deployment = |seen: u64, available: u64| {
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 2},
                "status": {"observedGeneration": seen, "updatedReplicas": 2, "availableReplicas": available}})
        };
        assert_eq!(held("apps", "Deployment", &deployment(2, 2)), Some(true));
        assert_eq!(held("apps", "Deployment", &deployment(1, 2)), Some(false));
        assert_eq!(held("apps", "Deployment", &deployment(2, 1)), Some(false));
        assert_eq!(held("apps", "Deployment", &json!({"metadata": {"generation": 1}})), Some(false));
    }

    #[test]
    fn what_is_ready_says_so_and_what_says_nothing_is_done_at_once() {
        let ready = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        for (group, kind) in [("external-secrets.io", "ClusterSecretStore"), ("example.com", "Database")] {
            assert_eq!(held(group, kind, &ready("True")), Some(true));
            assert_eq!(held(group, kind, &ready("False")), Some(false));
        }
        assert_eq!(held("external-secrets.io", "ExternalSecret", &json!({})), Some(false));
        assert_eq!(held("", "ConfigMap", &json!({})), None);
        assert_eq!(held("", "Service", &json!({"spec": {"type": "ClusterIP"}})), None);
        assert_eq!(held("", "Service", &json!({"spec": {"type": "LoadBalancer"}})), Some(false));
    }
}
