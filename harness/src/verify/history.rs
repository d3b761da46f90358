//! The order of waves, from what Argo CD remembers of its applications.

use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::Value;

use crate::observe::key;

/// In which order the applications of app-of-apps came.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Order {
    /// How many applications have a wave.
    pub applications: usize,
    /// How many pairs of an earlier and a later wave could be compared.
    pub pairs: usize,
    /// Those that came too early.
    pub wrong: Vec<String>,
}

struct Child {
    name: String,
    wave: i64,
    made: Timestamp,
    /// When its first sync had succeeded; nothing when Argo CD does not remember it.
    deployed: Option<Timestamp>,
}

/// Compares the children of every application: one of a later wave is made when those of the earlier ones are healthy, and so
/// after their first sync.
pub(super) fn of(applications: &[DynamicObject]) -> Order {
    let mut order = Order::default();
    for parent in applications {
        let children = children(parent, applications);
        order.applications += children.len();
        for earlier in &children {
            let Some(deployed) = earlier.deployed else { continue };
            for later in children.iter().filter(|later| later.wave > earlier.wave) {
                order.pairs += 1;
                // Argo CD and the API server write whole seconds.
                if later.made.as_second() < deployed.as_second() {
                    order.wrong.push(format!(
                        "application {} of wave {} was made at {}, before {} of wave {} was deployed at {deployed}",
                        later.name, later.wave, later.made, earlier.name, earlier.wave
                    ));
                }
            }
        }
    }
    order
}

fn children(parent: &DynamicObject, applications: &[DynamicObject]) -> Vec<Child> {
    let resources = parent.data["status"]["resources"].as_array().into_iter().flatten();
    let of_parent = resources.filter(|resource| resource["kind"] == "Application");
    let child = |resource: &Value| {
        let name = format!("{}/{}", resource["namespace"].as_str()?, resource["name"].as_str()?);
        let application = applications.iter().find(|application| key(*application) == name)?;
        let first = application.data["status"]["history"].as_array().and_then(|history| history.first());
        Some(Child {
            wave: resource["syncWave"].as_i64().unwrap_or_default(),
            made: application.metadata.creation_timestamp.as_ref()?.0,
            // An entry with a number says that others before it are forgotten.
            deployed: first
                .filter(|entry| entry["id"].as_i64().unwrap_or_default() == 0)
                .and_then(|entry| entry["deployedAt"].as_str()?.parse().ok()),
            name,
        })
    };
    of_parent.filter_map(child).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn child(name: &str, made: u8, history: Value) -> DynamicObject {
        let metadata =
            json!({"name": name, "namespace": "argocd", "creationTimestamp": format!("2026-01-01T00:00:{made:02}Z")});
        serde_json::from_value(json!({"metadata": metadata, "status": {"history": history}})).unwrap()
    }

    fn order(history: Value, made: u8) -> Order {
        let resource = |name: &str, wave: i64| json!({"kind": "Application", "namespace": "argocd", "name": name, "syncWave": wave});
        let mut parent = child("root", 0, json!([]));
        parent.data["status"]["resources"] = json!([resource("a", 1), resource("b", 2), {"kind": "AppProject"}]);
        of(&[parent, child("a", 1, history), child("b", made, json!([]))])
    }

    #[test]
    fn a_later_wave_comes_after_the_earlier_ones_first_sync() {
        let deployed = || json!([{"deployedAt": "2026-01-01T00:00:05Z"}]);
        assert_eq!(order(deployed(), 5), Order { applications: 2, pairs: 1, wrong: vec![] });
        let wrong = order(deployed(), 4).wrong.join("");
        assert!(
            wrong.starts_with("application argocd/b of wave 2 was made at 2026-01-01T00:00:04Z, before argocd/a"),
            "{wrong}"
        );
        let forgotten = json!([{"id": 3, "deployedAt": "2026-01-01T00:00:05Z"}]);
        assert_eq!(order(forgotten, 4).pairs, 0);
    }
}
