//! Making Argo CD compare an application anew, and knowing when it has.

use std::time::Duration;

use jiff::Timestamp;
use kube::{
    Client, ResourceExt,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::json;

use super::{argocd, manifest::MANAGER};
use crate::{
    failure::{Attempt, Result},
    observe::{Expectation, condition, kinds::Kind, until},
};

/// Annotation that asks for it; the controller removes it in the patch that writes the result.
pub const ANNOTATION: &str = "argocd.argoproj.io/refresh";
/// Annotation that asks for a set's applications to be made anew; the controller removes it when it has.
const OF_SETS: &str = "argocd.argoproj.io/application-set-refresh";
/// Time for a comparison with everything rendered anew.
const DEADLINE: Duration = Duration::from_secs(60);

/// Lets Argo CD fetch and render an application anew and compare it, and waits until it has. Returns it as it is then.
///
/// # Errors
/// When the API server refuses, or the comparison is not done in time.
pub async fn hard(client: &Client, application: &str) -> Result<Option<DynamicObject>> {
    ask(client, application, "hard").await
}

/// The same, with what is rendered of a commit already taken as it is.
///
/// # Errors
/// As those of [`hard`].
pub async fn normal(client: &Client, application: &str) -> Result<Option<DynamicObject>> {
    ask(client, application, "normal").await
}

/// Lets Argo CD make the applications of an ApplicationSet anew, and waits until it has.
///
/// # Errors
/// As those of [`hard`].
pub async fn set(client: &Client, name: &str) -> Result<()> {
    let api = Kind::ApplicationSet.within(client, argocd::NAMESPACE);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {OF_SETS: "true"}}}));
    let own = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let patched = api.patch(name, &own, &patch).await;
    patched.attempting(|| format!("ask for a refresh of ApplicationSet {name}"))?;
    let what = format!("Argo CD has made the applications of ApplicationSet {name} anew");
    until(api, name, &what, DEADLINE, |set| match set {
        Some(set) if set.annotations().contains_key(OF_SETS) => Expectation::pending("the controller has not done it"),
        set => condition::generated(set),
    })
    .await
    .map(drop)
}

async fn ask(client: &Client, application: &str, how: &str) -> Result<Option<DynamicObject>> {
    let api = Kind::Application.within(client, argocd::NAMESPACE);
    let asked = Timestamp::now();
    let patch = Patch::Merge(json!({"metadata": {"annotations": {ANNOTATION: how}}}));
    let own = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let patched = api.patch(application, &own, &patch).await;
    patched.attempting(|| format!("ask for a refresh of application {application}"))?;
    let what = format!("Argo CD has compared application {application} anew");
    until(api, application, &what, DEADLINE, |application| compared(application, asked)).await
}

/// The application has been compared since it was asked for.
fn compared(application: Option<&DynamicObject>, asked: Timestamp) -> Expectation {
    let Some(application) = application else { return Expectation::refuted("it does not exist") };
    if application.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(ANNOTATION)) {
        return Expectation::pending("the controller has not taken the request");
    }
    // Argo CD writes whole seconds.
    let at = application.data["status"]["reconciledAt"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match at {
        Some(at) if at.as_second() >= asked.as_second() => Expectation::Held,
        Some(at) => Expectation::pending(format!("it was compared last at {at}")),
        None => Expectation::pending("it has never been compared"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_from_before_is_none() {
        let asked: Timestamp = "2026-01-01T00:00:05.9Z".parse().unwrap();
        let application = |annotations: serde_json::Value, at: &str| {
            let value = json!({"metadata": {"name": "a", "annotations": annotations}, "status": {"reconciledAt": at}});
            compared(Some(&serde_json::from_value(value).unwrap()), asked)
        };
        assert_eq!(application(json!({}), "2026-01-01T00:00:05Z"), Expectation::Held);
        assert!(matches!(application(json!({}), "2026-01-01T00:00:04Z"), Expectation::Pending(_)));
        assert!(matches!(application(json!({ANNOTATION: "hard"}), "2026-01-01T00:00:06Z"), Expectation::Pending(_)));
        assert!(matches!(compared(None, asked), Expectation::Refuted(_)));
    }
}
