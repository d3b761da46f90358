//! What Argo CD says of an application: its conditions, its last operation, and the objects that failed in it.

use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::Value;

use super::{Cause, Kind};
use crate::observe::key;

/// The causes that an application's status names, as it is now. An operation that was over before `since` is past.
pub fn of(application: &DynamicObject, since: Timestamp) -> Vec<Cause> {
    let name = format!("application {}", key(application));
    let status = &application.data["status"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut causes = Vec::new();
    for condition in list(&status["conditions"]) {
        causes.extend(classify(&name, &text(&condition["message"])));
    }
    let operation = &status["operationState"];
    // An operation that has succeeded has nothing to say any more, nor has one that failed before Git was corrected.
    let over = operation["finishedAt"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    // Argo CD writes whole seconds.
    let past = over.is_some_and(|over| over.as_second() < since.as_second());
    if !past && operation["phase"] != "Succeeded" && status["sync"]["status"] != "Synced" {
        for resource in list(&operation["syncResult"]["resources"]) {
            if resource["status"] == "SyncFailed" {
                let object = format!("{} {} of {name}", text(&resource["kind"]), text(&resource["name"]));
                causes.extend(classify(&object, &text(&resource["message"])));
            }
        }
        causes.extend(classify(&name, &text(&operation["message"])));
    }
    causes
}

/// The cause that a message of Argo CD or the API server about `object` names, if it names one.
pub fn classify(object: &str, message: &str) -> Option<Cause> {
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    // Messages of generators quote whole commands.
    let seen: String = message.chars().take(600).collect();
    let cause = |kind| Some(Cause::new(kind, format!("{object}: {seen}")));
    if says(&["failed calling webhook"]) {
        return cause(Kind::WebhookNotReady);
    }
    if says(&["denied the request"]) {
        return cause(Kind::ManifestRefused);
    }
    if says(&[
        "is not permitted in project",
        "is not permitted in the project",
        "do not match any of the allowed destinations",
        "not permitted to use project",
    ]) {
        return cause(Kind::NotPermitted);
    }
    if says(&["which does not exist"]) && says(&["referencing project", "references project"]) {
        return cause(Kind::NotPermitted).map(|c| c.passing("the project may come in a wave that is not over"));
    }
    if says(&[
        "CRD is installed on the destination cluster",
        "no matches for kind",
        "could not find the requested resource",
    ]) {
        return cause(Kind::CrdMissing);
    }
    if says(&["namespaces \""]) && says(&["not found"]) {
        return cause(Kind::NamespaceMissing);
    }
    if says(&[
        " is invalid: ",
        "strict decoding error",
        "field not declared in schema",
        "failed to create typed patch object",
        "field is immutable",
        "unable to decode",
        "metadata.annotations: Too long",
    ]) {
        return cause(Kind::ManifestRefused);
    }
    if says(&["exceeded quota"]) {
        return cause(Kind::QuotaExceeded);
    }
    if says(&[
        "dial tcp",
        "i/o timeout",
        "context deadline exceeded",
        "connection refused",
        "connection reset",
        "EOF",
        "transport is closing",
    ]) {
        return says(&["Failed to load target state", "rpc error"]).then(|| {
            Cause::new(Kind::SourceUnavailable, format!("{object}: {seen}"))
                .passing("the network or the repository server may come back")
        });
    }
    if says(&[
        "app path does not exist",
        "unable to resolve",
        "Unable to resolve",
        "failed to generate manifest",
        "Failed to generate manifest",
        "Manifest generation error",
        "repository not found",
        "Failed to load target state",
    ]) {
        return cause(Kind::SourceUnavailable);
    }
    None
}

/// Whether Argo CD has applied all that an application has in Git.
pub fn applied(application: &DynamicObject) -> bool {
    let status = &application.data["status"];
    let missing = |r: &Value| r["health"]["status"] == "Missing";
    status["sync"]["status"] == "Synced" && !status["resources"].as_array().into_iter().flatten().any(missing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_name_their_cause() {
        for (message, kind) in [
            ("application repo https://github.com/a/b.git is not permitted in project 'trinity'", Kind::NotPermitted),
            (
                "application destination server 'https://kubernetes.default.svc' and namespace 'x' do not match any of the allowed destinations in project 'trinity'",
                Kind::NotPermitted,
            ),
            ("resource external-secrets.io:ClusterSecretStore is not permitted in project trinity", Kind::NotPermitted),
            (
                "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = a/b: app path does not exist",
                Kind::SourceUnavailable,
            ),
            (
                "Failed to load target state: rpc error: code = Unknown desc = dial tcp 10.0.0.1:443: connect: connection refused",
                Kind::SourceUnavailable,
            ),
            (
                "The Kubernetes API could not find external-secrets.io/ExternalSecret for requested resource a/b. Make sure the \"ExternalSecret\" CRD is installed on the destination cluster.",
                Kind::CrdMissing,
            ),
            (
                "Internal error occurred: failed calling webhook \"validate.externalsecret.external-secrets.io\": no endpoints available",
                Kind::WebhookNotReady,
            ),
            (
                "admission webhook \"validate.externalsecret.external-secrets.io\" denied the request: x",
                Kind::ManifestRefused,
            ),
            (
                "ExternalSecret.external-secrets.io \"a\" is invalid: spec.refreshInterval: Invalid value",
                Kind::ManifestRefused,
            ),
            ("namespaces \"secrets-demo\" not found", Kind::NamespaceMissing),
        ] {
            assert_eq!(classify("x", message).map(|c| c.kind), Some(kind), "{message}");
        }
        assert_eq!(classify("x", "successfully synced (all tasks run)"), None);
        assert_eq!(classify("x", "waiting for healthy state of apps/Deployment/a"), None);
    }

    #[test]
    fn an_operation_that_succeeded_accuses_nobody() {
        let with = |phase: &str, sync: &str, second: &str| -> Vec<Kind> {
            let over = format!("2026-01-01T00:00:0{second}Z");
            let status = json!({"sync": {"status": sync}, "operationState": {"phase": phase, "message": "done", "finishedAt": over, "syncResult": {"resources": [
                {"kind": "A", "name": "a", "status": "SyncFailed", "message": "admission webhook \"w\" denied the request: x"}]}}});
            let application = serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap();
            let since = "2026-01-01T00:00:05.9Z".parse().unwrap();
            of(&application, since).into_iter().map(|c| c.kind).collect()
        };
        assert_eq!(with("Failed", "OutOfSync", "5"), [Kind::ManifestRefused]);
        assert_eq!(with("Succeeded", "OutOfSync", "5"), []);
        assert_eq!(with("Failed", "Synced", "5"), [], "Git was corrected");
        assert_eq!(with("Failed", "OutOfSync", "4"), [], "it is past");
    }
}
