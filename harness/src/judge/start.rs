//! Why a Pod does not start, from the kubelet's events and what they are about.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Client,
    api::{ListParams, LogParams},
};

use super::{
    cause::{Cause, Kind, application::applied},
    metrics,
};
use crate::{
    failure::{Attempt, Result},
    observe::kinds,
};

/// The cause behind a Pod's event, when there is one: a Secret that nothing will make, a ConfigMap that is not there, or an
/// init container that fails to render a configuration. Whatever else is missing may still come.
///
/// # Errors
/// When the objects concerned cannot be read.
pub async fn of(client: &Client, event: &Event) -> Result<Option<Cause>> {
    let message = event.message.as_deref().unwrap_or_default();
    let object = &event.involved_object;
    let (Some(namespace), Some(name)) = (object.namespace.as_deref(), object.name.as_deref()) else { return Ok(None) };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let attempted = || format!("look at Pod {namespace}/{name}");
    if let Some(secret) = absent_secret(message) {
        // It may have come since, and the Pod may have gone.
        let waiting = pods.get_opt(name).await.attempting(attempted)?.is_some_and(|pod| phase(&pod) == "Pending");
        if waiting && will_never_come(client, namespace, secret).await? {
            let pod = format!("Pod {namespace}/{name}");
            let seen = format!(
                "{pod} waits for Secret {secret}, and no ExternalSecret of its namespace makes one of that name"
            );
            return Ok(Some(Cause::new(Kind::SecretAbsent, seen)));
        }
        return Ok(None);
    }
    if absent_config(message) {
        let waiting = pods.get_opt(name).await.attempting(attempted)?.is_some_and(|pod| phase(&pod) == "Pending");
        return Ok(waiting.then(|| Cause::new(Kind::ConfigAbsent, format!("Pod {namespace}/{name}: {message}"))));
    }
    let Some(container) = failing_container(message) else { return Ok(None) };
    let Some(pod) = pods.get_opt(name).await.attempting(attempted)? else { return Ok(None) };
    if !renders(&pod, container) {
        return Ok(None);
    }
    let parameters = LogParams { container: Some(container.to_owned()), ..LogParams::default() };
    let said = pods.logs(name, &parameters).await.attempting(|| format!("read the log of {container}"))?;
    let said = said.lines().last().unwrap_or("it says nothing");
    let seen = format!("Pod {namespace}/{name}: init container {container} fails: {said}");
    Ok(Some(Cause::new(Kind::RenderedConfigWrong, seen)))
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The Secret that the kubelet does not find.
fn absent_secret(message: &str) -> Option<&str> {
    let (before, after) = message.split_once("secret \"")?;
    let (secret, rest) = after.split_once('"')?;
    let about = before.starts_with("MountVolume.SetUp failed") || before.starts_with("Error: ");
    (about && rest.starts_with(" not found")).then_some(secret)
}

/// Whether the kubelet does not find a ConfigMap or a key of it. That its own copy of one came too late is no such sign.
fn absent_config(message: &str) -> bool {
    let absent = ["not found", "non-existent config key", "couldn't find key"];
    message.to_lowercase().contains("configmap") && absent.iter().any(|absent| message.contains(absent))
}

/// The container that the kubelet starts again and again.
fn failing_container(message: &str) -> Option<&str> {
    message.strip_prefix("Back-off restarting failed container ")?.split(' ').next()
}

/// Whether an init container reads the Secret from which the configuration is rendered.
fn renders(pod: &Pod, container: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let of_secret = |volume: &str| {
        let volume = spec.volumes.iter().flatten().find(|v| v.name == volume);
        let secret = volume.and_then(|v| v.secret.as_ref()).and_then(|s| s.secret_name.as_deref());
        secret == Some(metrics::SECRET)
    };
    let init = spec.init_containers.iter().flatten().find(|c| c.name == container);
    init.is_some_and(|c| c.volume_mounts.iter().flatten().any(|mount| of_secret(&mount.name)))
}

/// Whether no ExternalSecret makes the Secret, although Argo CD has applied all that Git has for the namespace.
async fn will_never_come(client: &Client, namespace: &str, secret: &str) -> Result<bool> {
    let all = ListParams::default();
    let attempted = || format!("look for what makes Secret {namespace}/{secret}");
    let external = kinds::Kind::ExternalSecret.within(client, namespace).list(&all).await.attempting(attempted)?;
    let made = external.items.iter().any(|object| {
        let target = object.data["spec"]["target"]["name"].as_str();
        target.or(object.metadata.name.as_deref()) == Some(secret)
    });
    if made {
        return Ok(false);
    }
    let applications = kinds::Kind::Application.all(client).list(&all).await.attempting(attempted)?;
    let mut own =
        applications.items.iter().filter(|a| a.data["spec"]["destination"]["namespace"] == namespace).peekable();
    Ok(own.peek().is_some() && own.all(applied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_the_kubelet_name_what_is_missing() {
        let mount =
            r#"MountVolume.SetUp failed for volume "remote-write" : secret "grafana-cloud-remote-write" not found"#;
        assert_eq!(absent_secret(mount), Some("grafana-cloud-remote-write"));
        assert_eq!(absent_secret(r#"Error: secret "a" not found"#), Some("a"));
        assert_eq!(absent_secret(r#"MountVolume.SetUp failed for volume "a" : configmap "b" not found"#), None);
        assert!(absent_config(r#"MountVolume.SetUp failed for volume "a" : configmap "b" not found"#));
        assert!(absent_config("Error: couldn't find key k in ConfigMap observability/b"));
        let late = "MountVolume.SetUp failed for volume \"a\" : failed to sync configmap cache: timed out waiting for the condition";
        assert!(!absent_config(late));
        let back = "Back-off restarting failed container render in pod prometheus-1_observability(uid)";
        assert_eq!(failing_container(back), Some("render"));
        assert_eq!(failing_container("Back-off pulling image \"a\""), None);
    }

    #[test]
    fn only_an_init_container_with_the_secret_renders() {
        let pod = |volume: &str| -> Pod {
            serde_json::from_value(serde_json::json!({"spec": {
                "containers": [],
                "initContainers": [{"name": "render", "volumeMounts": [{"name": volume, "mountPath": "/a"}]}],
                "volumes": [{"name": "secret", "secret": {"secretName": metrics::SECRET}}, {"name": "other", "emptyDir": {}}],
            }}))
            .unwrap()
        };
        assert!(renders(&pod("secret"), "render"));
        assert!(!renders(&pod("other"), "render"));
        assert!(!renders(&pod("secret"), "another"));
    }
}
