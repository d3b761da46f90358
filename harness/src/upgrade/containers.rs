//! Whether containers notice that what runs them is replaced.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    failure::{Attempt, Result},
    judge::verdict::{Outcome, Verdict},
    observe::key,
};

/// The containers of all Pods, by `namespace/pod container`.
#[derive(Clone, Debug, Default)]
pub(super) struct Containers(BTreeMap<String, Container>);

#[derive(Clone, Debug)]
struct Container {
    /// Of its Pod.
    uid: String,
    restarts: i32,
    /// Whether it runs, in a Pod that shall run for good.
    lasts: bool,
    /// How it ended the last time.
    end: String,
}

impl Containers {
    /// Those of a cluster.
    ///
    /// # Errors
    /// When its Pods cannot be listed.
    pub async fn read(client: &Client) -> Result<Self> {
        let api: Api<Pod> = Api::all(client.clone());
        let pods = api.list(&ListParams::default()).await.attempting(|| "list the Pods".into())?;
        Ok(Self::of(&pods.items))
    }

    fn of(pods: &[Pod]) -> Self {
        let of = |pod: &Pod| -> Vec<(String, Container)> {
            let lasts = pod.spec.as_ref().is_some_and(|spec| spec.restart_policy.as_deref() == Some("Always"));
            let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
            let named =
                |status: &ContainerStatus| (format!("{} {}", key(pod), status.name), Container::of(pod, status, lasts));
            statuses.map(named).collect()
        };
        Self(pods.iter().flat_map(of).collect())
    }

    /// The claim that none of these that runs was restarted until `now`, or is gone.
    pub fn untouched(&self, now: &Self) -> Verdict {
        let running = || self.0.iter().filter(|(_, container)| container.lasts);
        let harm: Vec<String> = running().filter_map(|(name, before)| before.harm(name, now.0.get(name))).collect();
        let outcome = match (harm.is_empty(), running().next()) {
            (false, _) => Outcome::Failed(harm.join("\n")),
            (true, None) => Outcome::NotRun("nothing runs".into()),
            (true, Some(_)) => Outcome::Passed,
        };
        Verdict::new("containers", "no container is restarted, and no Pod is made anew", outcome)
            .noting(format!("{} containers", running().count()))
    }
}

impl Container {
    fn of(pod: &Pod, status: &ContainerStatus, lasts: bool) -> Self {
        let runs = status.state.as_ref().is_some_and(|state| state.running.is_some());
        let end = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        let end =
            end.map(|end| format!("{} with exit code {}", end.reason.as_deref().unwrap_or("ended"), end.exit_code));
        Self {
            uid: pod.uid().unwrap_or_default(),
            restarts: status.restart_count,
            lasts: lasts && runs,
            end: end.unwrap_or_default(),
        }
    }

    /// What has become of it that nobody wanted.
    fn harm(&self, name: &str, now: Option<&Self>) -> Option<String> {
        match now {
            None => Some(format!("container {name} is gone")),
            Some(now) if now.uid != self.uid => Some(format!("the Pod of container {name} was made anew")),
            Some(now) if now.restarts != self.restarts => {
                Some(format!("container {name} was restarted ({} times now, {})", now.restarts, now.end))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(uid: &str, policy: &str, restarts: u32, state: &Value) -> Pod {
        let last = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
        let status = json!({"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": restarts, "state": state, "lastState": last});
        serde_json::from_value(json!({
            "metadata": {"namespace": "n", "name": "p", "uid": uid},
            "spec": {"containers": [], "restartPolicy": policy},
            "status": {"containerStatuses": [status]},
        }))
        .unwrap()
    }

    #[test]
    fn a_container_that_is_restarted_is_told() {
        let runs = json!({"running": {}});
        let before = Containers::of(&[pod("1", "Always", 0, &runs)]);
        let told = |now: &[Pod]| before.untouched(&Containers::of(now)).outcome;
        assert_eq!(told(&[pod("1", "Always", 0, &runs)]), Outcome::Passed);
        let failed = |why: &str| Outcome::Failed(why.into());
        assert_eq!(told(&[]), failed("container n/p c is gone"));
        assert_eq!(told(&[pod("2", "Always", 0, &runs)]), failed("the Pod of container n/p c was made anew"));
        let restarted = "container n/p c was restarted (1 times now, Error with exit code 1)";
        assert_eq!(told(&[pod("1", "Always", 1, &runs)]), failed(restarted));
    }

    #[test]
    fn what_ends_by_itself_may_be_gone() {
        for other in [pod("1", "Never", 0, &json!({"running": {}})), pod("1", "Always", 3, &json!({"waiting": {}}))] {
            let before = Containers::of(&[other]);
            assert!(matches!(before.untouched(&Containers::default()).outcome, Outcome::NotRun(_)));
        }
    }
}
