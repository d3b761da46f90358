//! Evidence of a failed run: events, objects, logs and gateway requests, redacted.

use std::{fs, path::Path};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};

use super::redact::Redactor;
use crate::{
    failure::{Attempt, Result},
    observe::kinds::Kind,
    world::Description,
};

/// Writes the gateway's requests to `folder`.
///
/// # Errors
/// When the file cannot be written.
pub fn journal(folder: &Path, world: &Description, redactor: &Redactor) -> Result<()> {
    let path = folder.join("gateway.jsonl");
    let journal = fs::read_to_string(&world.journal).unwrap_or_else(|e| format!("{}: {e}\n", world.journal.display()));
    fs::write(&path, redactor.clean(&journal)).attempting(|| format!("write {}", path.display()))
}

/// Writes what the world's processes have said to the bundle in `folder`.
///
/// # Errors
/// When the folder cannot be written.
pub fn logs(folder: &Path, world: &Description, redactor: &Redactor) -> Result<()> {
    for log in fs::read_dir(world.folder.join("logs")).into_iter().flatten().flatten() {
        let text =
            fs::read(log.path()).map_or_else(|e| e.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
        save(folder, &format!("logs/{}", log.file_name().to_string_lossy()), &text, redactor)?;
    }
    Ok(())
}

/// Writes what the API server has to the bundle in `folder`. A part that cannot be had is replaced by the reason.
///
/// # Errors
/// When the folder cannot be written.
pub async fn objects(folder: &Path, client: &Client, redactor: &Redactor) -> Result<()> {
    let save = |name: &str, text: String| save(folder, name, &text, redactor);
    for (kind, name) in [
        (Kind::Application, "applications.yaml"),
        (Kind::ApplicationSet, "application-sets.yaml"),
        (Kind::ClusterSecretStore, "cluster-secret-stores.yaml"),
        (Kind::SecretStore, "secret-stores.yaml"),
        (Kind::ExternalSecret, "external-secrets.yaml"),
    ] {
        let list = kind.all(client).list(&ListParams::default()).await;
        save(name, list.map_or_else(|e| e.to_string(), |l| yaml(&l.items)))?;
    }
    let events = Api::<Event>::all(client.clone()).list(&ListParams::default()).await;
    let events = events.map_or_else(|e| e.to_string(), |list| told(&list.items));
    save("events.txt", events)?;
    match Api::<Pod>::all(client.clone()).list(&ListParams::default()).await {
        Ok(pods) => {
            for pod in pods {
                let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
                let api = Api::<Pod>::namespaced(client.clone(), &namespace);
                for container in pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers)) {
                    let params = LogParams {
                        container: Some(container.name.clone()),
                        tail_lines: Some(2000),
                        ..LogParams::default()
                    };
                    let log = api.logs(&name, &params).await.unwrap_or_else(|e| e.to_string());
                    save(&format!("logs/{namespace}.{name}.{}.log", container.name), log)?;
                }
            }
        }
        Err(e) => save("logs/pods.txt", e.to_string())?,
    }
    Ok(())
}

fn save(folder: &Path, name: &str, text: &str, redactor: &Redactor) -> Result<()> {
    let path = folder.join(name);
    let attempted = || format!("write {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(folder)).attempting(attempted)?;
    fs::write(&path, redactor.clean(text)).attempting(attempted)
}

fn yaml<T: serde::Serialize>(items: &T) -> String {
    serde_yaml::to_string(items).unwrap_or_else(|e| e.to_string())
}

/// Events in the order of their times, which are seconds since the first one: so those of two runs can be compared.
fn told(events: &[Event]) -> String {
    let time = |event: &Event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        let time = last.or_else(|| event.event_time.as_ref().map(|time| time.0));
        time.or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0)).unwrap_or_default()
    };
    let mut timed: Vec<(Timestamp, &Event)> = events.iter().map(|event| (time(event), event)).collect();
    timed.sort_by_key(|(time, _)| *time);
    let Some((first, _)) = timed.first().copied() else { return "there are no events\n".into() };
    let lines = timed.into_iter().map(|(time, event)| line(time.duration_since(first).as_secs_f64(), event));
    std::iter::once(format!("seconds since {first}\n")).chain(lines).collect()
}

fn line(seconds: f64, event: &Event) -> String {
    let object = &event.involved_object;
    format!(
        "{seconds:+7.1} {} {}/{} {}: {}\n",
        event.type_.clone().unwrap_or_default(),
        object.kind.clone().unwrap_or_default(),
        object.name.clone().unwrap_or_default(),
        event.reason.clone().unwrap_or_default(),
        event.message.clone().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

    use super::*;

    #[test]
    fn events_are_in_order_with_their_distance_from_the_first() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let event = |reason: &str| Event { reason: Some(reason.into()), ..Event::default() };
        let late = Event { last_timestamp: Some(Time(at(105))), ..event("Late") };
        let early = Event { event_time: Some(MicroTime(at(100))), ..event("Early") };
        let text = told(&[late, early]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("seconds since 1970-01-01T00:01:40Z"), "{text}");
        assert!(lines[1].starts_with("   +0.0 ") && lines[1].contains("Early"), "{text}");
        assert!(lines[2].starts_with("   +5.0 ") && lines[2].contains("Late"), "{text}");
        assert_eq!(told(&[]), "there are no events\n");
    }
}
