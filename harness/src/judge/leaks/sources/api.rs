//! What the API server shows: objects, logs, and pages of what runs in the cluster.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
    discovery::{ApiResource, Discovery, verbs},
};
use serde_json::Value;

use crate::{
    failure::{Attempt, Result},
    judge::{
        leaks::{Search, places},
        metrics::{NAMESPACE, PROMETHEUS},
    },
    world::Description,
};

/// Requests at once.
const WIDTH: usize = 8;
/// Names of ports on which programs tell their metrics.
const PORTS: [&str; 2] = ["metrics", "http"];

/// Searches every object of every kind, Events among them, but for the kinds that hold values.
///
/// # Errors
/// When a kind cannot be listed.
pub async fn objects(search: &Search, client: &Client) -> Result<()> {
    let discovery = Discovery::new(client.clone()).run().await.attempting(|| "discover the API".into())?;
    let kinds = discovery.groups().flat_map(|group| group.recommended_resources());
    let kinds = kinds.filter(|(_, abilities)| abilities.supports_operation(verbs::LIST)).map(|(kind, _)| kind);
    let kinds = kinds.filter(|kind| !(kind.group.is_empty() && places::belong_in_kind(&kind.kind)));
    stream::iter(kinds).map(|kind| list(search, client, kind)).buffer_unordered(WIDTH).try_collect::<Vec<()>>().await?;
    Ok(())
}

async fn list(search: &Search, client: &Client, kind: ApiResource) -> Result<()> {
    let group = if kind.group.is_empty() { "/api".into() } else { format!("/apis/{}", kind.group) };
    let text = page(client, &format!("{group}/{}/{}", kind.version, kind.plural)).await?;
    let list: Value = serde_json::from_str(&text).attempting(|| format!("understand the list of {}", kind.plural))?;
    for object in list["items"].as_array().into_iter().flatten() {
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let name = metadata["namespace"].as_str().map_or_else(|| name.into(), |space| format!("{space}/{name}"));
        search.bytes(&format!("{} {name}", kind.kind), object.to_string().as_bytes());
    }
    Ok(())
}

/// Searches the logs of all containers, and of those before them.
///
/// # Errors
/// When Pods cannot be listed, or a log cannot be read.
pub async fn logs(search: &Search, client: &Client) -> Result<()> {
    let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await;
    let pods = pods.attempting(|| "list Pods".into())?;
    let logs = pods.iter().flat_map(|pod| {
        containers(pod).into_iter().map(move |(container, previous)| (pod, container.to_owned(), previous))
    });
    stream::iter(logs)
        .map(async |(pod, container, previous)| {
            let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
            let which = if previous { "earlier log" } else { "log" };
            let what = format!("{which} of Pod {namespace}/{name}, container {container}");
            let parameters = LogParams { container: Some(container), previous, ..LogParams::default() };
            let api = Api::<Pod>::namespaced(client.clone(), &namespace);
            match api.logs(&name, &parameters).await {
                Ok(text) => search.bytes(&what, text.as_bytes()),
                // The Pod has gone since it was listed, and its logs with it.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(e) => search.missed(&what, e),
            }
        })
        .buffer_unordered(WIDTH)
        .collect::<Vec<()>>()
        .await;
    Ok(())
}

/// The containers of a Pod that have a log, and whether it is that of an earlier run.
fn containers(pod: &Pod) -> Vec<(&str, bool)> {
    let status = pod.status.as_ref();
    let all = status.into_iter().flat_map(|status| {
        let kinds = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
        kinds.into_iter().flatten().flatten()
    });
    all.flat_map(|container| {
        let has = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
            state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        };
        let now = has(&container.state).then_some((container.name.as_str(), false));
        let before = has(&container.last_state).then_some((container.name.as_str(), true));
        now.into_iter().chain(before)
    })
    .collect()
}

/// Searches the metrics of all that runs, and what Prometheus tells about itself.
///
/// # Errors
/// When Pods or Services cannot be listed.
pub async fn pages(search: &Search, client: &Client, world: &Description) -> Result<()> {
    let mut pages = vec!["/metrics".to_owned()];
    pages.extend(world.nodes.iter().map(|node| format!("/api/v1/nodes/{node}/proxy/metrics")));
    let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await;
    pages.extend(pods.attempting(|| "list Pods".into())?.iter().flat_map(of_pod));
    let services = Api::<Service>::all(client.clone()).list(&ListParams::default()).await;
    pages.extend(services.attempting(|| "list Services".into())?.iter().flat_map(of_service));
    let own = ["status/config", "status/flags", "status/runtimeinfo", "targets", "metadata"];
    let prometheus = format!("/api/v1/namespaces/{NAMESPACE}/services/{PROMETHEUS}:http/proxy/api/v1");
    pages.extend(own.map(|page| format!("{prometheus}/{page}")));
    stream::iter(pages)
        .map(async |path| match ask(client, &path).await {
            Ok(text) => search.bytes(&path, text.as_bytes()),
            Err(e) if nobody(&e) => {}
            Err(e) => search.missed(&path, e),
        })
        .buffer_unordered(WIDTH)
        .collect::<Vec<()>>()
        .await;
    Ok(())
}

/// Metrics of a Pod that is ready: one that is not may not listen yet.
fn of_pod(pod: &Pod) -> Vec<String> {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.filter(|c| c.type_ == "Ready" && c.status == "True").count() > 0;
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).filter(|_| ready);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports
        .filter(|port| port.name.as_deref().is_some_and(|name| PORTS.contains(&name)))
        .map(|port| format!("/api/v1/namespaces/{namespace}/pods/{name}:{}/proxy/metrics", port.container_port))
        .collect()
}

/// Metrics behind a Service: Argo CD names the ports there only.
fn of_service(service: &Service) -> Vec<String> {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| port.name.as_deref().filter(|name| PORTS.contains(name)))
        .map(|port| format!("/api/v1/namespaces/{namespace}/services/{name}:{port}/proxy/metrics"))
        .collect()
}

/// There is no such page, or nothing runs that could have it.
fn nobody(e: &kube::Error) -> bool {
    match e {
        kube::Error::Api(status) => {
            status.code == 404 || (status.code == 503 && status.message.contains("no endpoints available"))
        }
        _ => false,
    }
}

async fn page(client: &Client, path: &str) -> Result<String> {
    ask(client, path).await.attempting(|| format!("ask the API server for {path}"))
}

async fn ask(client: &Client, path: &str) -> std::result::Result<String, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request_text(request).await
}
