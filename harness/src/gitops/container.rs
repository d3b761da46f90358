//! The containers that objects declare, whatever kind of object it is that makes the Pods.

use kube::core::DynamicObject;
use serde_json::Value;

/// A container, and what is known of it from its place.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    /// Its declaration.
    pub declared: &'a Value,
    /// Whether it has to end for the rest to go on: one that prepares a Pod, or is a Job's.
    pub ends: bool,
}

impl<'a> Container<'a> {
    /// All containers of an object.
    pub fn of(object: &'a DynamicObject) -> impl Iterator<Item = Self> {
        let spec = &object.data["spec"];
        let job = object.types.as_ref().is_some_and(|types| ["Job", "CronJob"].contains(&types.kind.as_str()));
        let pods = [&spec["template"]["spec"], &spec["jobTemplate"]["spec"]["template"]["spec"], spec];
        let lists = pods.into_iter().flat_map(|pod| [(&pod["initContainers"], true), (&pod["containers"], false)]);
        lists.flat_map(move |(list, prepares)| {
            let containers = list.as_array().into_iter().flatten();
            // One that prepares a Pod and is always restarted goes on beside it.
            containers.map(move |declared| Self {
                declared,
                ends: job || (prepares && declared["restartPolicy"] != "Always"),
            })
        })
    }

    /// The whole name of its image, as Docker and containerd read it.
    pub fn image(self) -> Option<String> {
        self.declared["image"].as_str().map(full)
    }
}

/// An image's whole name.
fn full(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => image.into(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_of_every_kind_of_object_are_found() {
        let told = |kind: &str, spec: Value| {
            let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "n"}, "spec": spec});
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            Container::of(&object).map(|c| (c.image().unwrap(), c.ends)).collect::<Vec<_>>()
        };
        let pod = json!({"initContainers": [{"image": "a"}, {"image": "b/c:1", "restartPolicy": "Always"}],
            "containers": [{"image": "quay.io/d"}]});
        let names = ["docker.io/library/a", "docker.io/b/c:1", "quay.io/d"];
        let of = |ends: [bool; 3]| names.iter().map(|name| (*name).to_owned()).zip(ends).collect::<Vec<_>>();
        assert_eq!(told("Pod", pod.clone()), of([true, false, false]));
        assert_eq!(told("Deployment", json!({"template": {"spec": pod}})), of([true, false, false]));
        let cron = json!({"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": "e"}]}}}}});
        assert_eq!(told("CronJob", cron), [("docker.io/library/e".to_owned(), true)]);
    }
}
