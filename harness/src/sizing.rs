//! Whether a platform has room on its nodes, told before anything runs. Pods that an operator makes of its own kinds are
//! known to a running cluster only.

use std::{collections::BTreeSet, path::PathBuf};

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use k8s_openapi::api::core::v1::PodSpec;
use kube::core::DynamicObject;
use serde_json::Value;

use crate::{
    components::Store,
    failure::{Attempt, Result},
    gitops::{argocd, manifest},
    judge::capacity::{Demand, Fit, Requests},
    subject::{Job, Subject},
    world::{Cloud, nodes::Asked},
};

/// What to size.
#[derive(Clone, Debug)]
pub struct Question {
    /// The clouds; when none is named, all that the platform has.
    pub clouds: Vec<Cloud>,
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// The nodes, where they shall not be as declared.
    pub nodes: Asked,
}

/// Equal Pods.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Workload {
    kind: String,
    name: String,
    /// How many; a DaemonSet has one on each node.
    count: Option<usize>,
    requests: Requests,
}

/// Prints what each cloud's cluster needs, and what could not be counted; true when all have enough.
///
/// # Errors
/// When the platform's roots cannot be read, or a Pod has a request that is no quantity.
pub async fn answer(store: &Store, question: &Question) -> Result<bool> {
    let Question { clouds, platform, nodes } = question.clone();
    let subject = Subject::find(store, &Job { clouds, platform, nodes, ..Job::default() }).await?;
    let operator = store.operator(None, &subject.pinned).await?;
    if operator.stands_in.is_some() {
        println!("external-secrets {} is sized in the place of {}", operator.version, subject.pinned);
    }
    let cell = (operator.version != subject.pinned).then_some(operator.version.as_str());
    let installed = store.obtain(&store.lock.argocd()?.files).await?.path.join(argocd::MANIFESTS);
    let text = std::fs::read_to_string(&installed).attempting(|| format!("read {}", installed.display()))?;
    let installed = manifest::parse(&text, "Argo CD")?;
    let rendered = subject.rendered(store, cell).await?;
    let mut enough = true;
    for cloud in &subject.clouds {
        let mut workloads = Vec::new();
        let unrendered = rendered.unrendered(*cloud);
        let mut notes: Vec<String> =
            unrendered.map(|(declared, why)| format!("{}: {}", declared.name(), why.on_one_line())).collect();
        let mut add = |objects: &[DynamicObject], namespace: &str| -> Result<()> {
            for object in objects {
                workloads.extend(workload(object, namespace)?);
                notes.extend(note(object));
            }
            Ok(())
        };
        add(&installed, argocd::NAMESPACE)?;
        for application in rendered.applications(*cloud) {
            add(&application.objects, &application.namespace)?;
        }
        let nodes = subject.nodes(*cloud)?;
        enough &= tell(*cloud, &workloads, &notes, nodes.size()?, nodes.count.into());
    }
    Ok(enough)
}

/// Prints one cloud's table and its sum; true when it fits.
fn tell(cloud: Cloud, workloads: &[Workload], notes: &[String], size: Requests, nodes: usize) -> bool {
    let fit = Fit::of(&workloads.iter().flat_map(demands).collect::<Vec<_>>(), size, nodes);
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["pods", "kind", "count", "cpu, each", "memory, each"]);
    for Workload { kind, name, count, requests } in workloads {
        let count = count.map_or_else(|| "one a node".into(), |count| count.to_string());
        table.add_row([name, kind, &count, &requests.cpu.to_string(), &requests.memory.to_string()]);
    }
    println!("{cloud}\n{table}");
    println!("requested  {}", fit.requested);
    println!("offered    {} (nodes: {nodes}, each {size})", fit.offered);
    println!("verdict    {}", verdict(&fit));
    let nodes = fit.nodes.map_or_else(|| "none is enough, a Pod is larger than a node".into(), |n| n.to_string());
    println!("smallest number of such nodes  {nodes}");
    println!("smallest single node           {}", fit.single);
    for note in notes {
        println!("not counted: {note}");
    }
    println!();
    fit.fits
}

fn verdict(fit: &Fit) -> String {
    let missing = fit.missing();
    match (fit.fits, missing == Requests::default()) {
        (true, _) => "fits".into(),
        (false, false) => format!("does not fit: {missing} missing"),
        (false, true) => "does not fit: the sum is enough, and some Pod has no place".into(),
    }
}

fn demands(workload: &Workload) -> impl Iterator<Item = Demand> {
    let Workload { name, count, requests, .. } = workload;
    let demand = Demand { name: name.clone(), requests: *requests, everywhere: count.is_none() };
    std::iter::repeat_n(demand, count.unwrap_or(1))
}

/// What Pods of an object are, and how many there are; one on each node when there is no number.
fn pods(object: &DynamicObject) -> Option<(&Value, Option<usize>)> {
    let spec = &object.data["spec"];
    let number = |field: &str| spec[field].as_u64().and_then(|number| usize::try_from(number).ok());
    Some(match kind(object) {
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet") | ("", "ReplicationController") => {
            (&spec["template"]["spec"], Some(number("replicas").unwrap_or(1)))
        }
        ("apps", "DaemonSet") => (&spec["template"]["spec"], None),
        ("batch", "Job") => {
            let parallel = number("parallelism").unwrap_or(1);
            (&spec["template"]["spec"], Some(number("completions").map_or(parallel, |all| all.min(parallel))))
        }
        ("", "Pod") => (spec, Some(1)),
        _ => return None,
    })
}

/// The Pods that an object makes.
fn workload(object: &DynamicObject, namespace: &str) -> Result<Option<Workload>> {
    let Some((pod, count)) = pods(object) else { return Ok(None) };
    let ((_, kind), name) = (kind(object), name(object, namespace));
    let attempted = || format!("size {kind} {name}");
    let pod: PodSpec = serde_json::from_value(quantities(pod.clone())).attempting(attempted)?;
    let requests = Requests::of(&pod).attempting(attempted)?;
    Ok(Some(Workload { kind: kind.into(), name, count, requests }))
}

/// Why the Pods of an object are not counted, or not as it may have them.
fn note(object: &DynamicObject) -> Option<String> {
    let why = match kind(object) {
        ("autoscaling", "HorizontalPodAutoscaler") => "replicas count as their workload says".into(),
        ("batch", "CronJob") => "its Pods come and go".into(),
        ("argoproj.io", "ApplicationSet") => "what it generates is known to a running cluster only".into(),
        _ => format!("its Pods request {}, too", others(pods(object)?.0)?),
    };
    Some(format!("{} {}: {why}", kind(object).1, name(object, "")))
}

/// What a Pod requests beside CPU and memory, for example a part of a node's disk; nothing when it does not.
fn others(pod: &Value) -> Option<String> {
    let lists = ["containers", "initContainers"].into_iter().filter_map(|list| pod[list].as_array());
    let resources =
        lists.flatten().flat_map(|container| ["requests", "limits"].map(|list| &container["resources"][list]));
    let names = resources.filter_map(Value::as_object).flat_map(|list| list.keys().map(String::as_str));
    let names: BTreeSet<&str> = names.filter(|name| !["cpu", "memory"].contains(name)).collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}

/// Group and kind.
fn kind(object: &DynamicObject) -> (&str, &str) {
    let types = object.types.as_ref();
    types.map_or(("", ""), |t| (t.api_version.split_once('/').map_or("", |(group, _)| group), t.kind.as_str()))
}

fn name(object: &DynamicObject, namespace: &str) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    match object.metadata.namespace.as_deref().unwrap_or(namespace) {
        "" => name.into(),
        namespace => format!("{namespace}/{name}"),
    }
}

/// Manifests may write a quantity as a number, which the API server takes for its text.
fn quantities(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let list = matches!(name.as_str(), "requests" | "limits" | "overhead");
                for quantity in field.as_object_mut().filter(|_| list).into_iter().flat_map(|list| list.values_mut()) {
                    if quantity.is_number() {
                        *quantity = quantity.to_string().into();
                    }
                }
                *field = quantities(field.take());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = quantities(item.take())),
        _ => {}
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::judge::quantity::{Cpu, Memory};

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn of(api_version: &str, kind: &str, mut spec: Value) -> Option<Workload> {
        let container = json!({"name": "c", "resources": {"requests": {"cpu": 0.5}, "limits": {"memory": 1_048_576}}});
        spec["template"] = json!({"spec": {"containers": [container]}});
        let metadata = json!({"name": "n"});
        workload(&object(json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})), "ns")
            .unwrap()
    }

    #[test]
    fn workloads_have_the_pods_that_they_make() {
        for (api_version, kind, spec, count) in [
            ("apps/v1", "Deployment", json!({}), Some(1)),
            ("apps/v1", "Deployment", json!({"replicas": 0}), Some(0)),
            ("apps/v1", "StatefulSet", json!({"replicas": 3}), Some(3)),
            ("apps/v1", "DaemonSet", json!({}), None),
            ("batch/v1", "Job", json!({"parallelism": 4, "completions": 2}), Some(2)),
        ] {
            let workload = of(api_version, kind, spec).unwrap();
            assert_eq!((workload.count, workload.name.as_str()), (count, "ns/n"), "{kind}");
            assert_eq!(workload.requests, Requests { cpu: Cpu(500), memory: Memory(1 << 20) }, "{kind}");
        }
        assert_eq!(of("example.com/v1", "Deployment", json!({})), None);
        assert_eq!(of("v1", "Service", json!({})), None);
    }

    #[test]
    fn what_is_not_counted_is_said() {
        let autoscaler = object(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a", "namespace": "b"}}));
        let told = note(&autoscaler).unwrap();
        assert!(told.starts_with("HorizontalPodAutoscaler b/a: "), "{told}");
        let pod = |resources: Value| {
            note(&object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                "spec": {"containers": [{"name": "c", "resources": resources}]}})))
        };
        assert_eq!(pod(json!({"requests": {"cpu": "1", "memory": "1Gi"}})), None);
        let disk = pod(json!({"requests": {"cpu": "1"}, "limits": {"ephemeral-storage": "1Gi"}}));
        assert_eq!(disk.as_deref(), Some("Pod p: its Pods request ephemeral-storage, too"));
    }

    #[test]
    fn the_verdict_says_what_is_missing() {
        let pod = |cpu| Demand {
            name: String::new(),
            requests: Requests { cpu: Cpu(cpu), memory: Memory(0) },
            everywhere: false,
        };
        let size = Requests { cpu: Cpu(100), memory: Memory(1) };
        let told = |pods: &[Demand], nodes| verdict(&Fit::of(pods, size, nodes));
        assert_eq!(told(&[pod(60), pod(40)], 1), "fits");
        assert_eq!(told(&[pod(60), pod(60)], 1), "does not fit: cpu 20m, memory 0 missing");
        assert!(told(&[pod(60), pod(60), pod(60)], 2).contains("some Pod has no place"));
    }
}
