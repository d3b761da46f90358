//! The claim that a running platform works now: everything of Git is applied, the operator has read every secret again, and
//! samples arrive.

use std::{collections::BTreeSet, time::Duration};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
    core::{ApiResource, DynamicObject},
};
use serde_json::Value;

use crate::{
    failure::{Attempt, Result},
    gitops::{
        argocd, refresh,
        roots::{self, Roots},
    },
    judge::{cause::Cause, metrics, missing},
    observe::{Expectation, Objects, condition::is_ready, forced, key, kinds::Kind, until, until_all},
    world::{Description, OWN},
};

/// What has to be looked at again.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// The commit that all applications have to be at; nothing when Git has not changed.
    pub commit: Option<String>,
    /// Deployments (`namespace/name`) that have to start anew.
    pub restart: &'a [String],
    /// Whether samples have to arrive.
    pub metrics: bool,
    /// Time for each step.
    pub deadline: Duration,
}

/// A world whose platform was seen to work before.
pub struct Patient<'a> {
    /// The world.
    pub world: &'a Description,
    /// Its API server.
    pub client: &'a Client,
    /// Its roots.
    pub roots: Roots,
}

impl Patient<'_> {
    /// Waits until the platform works. A cause that is seen in the samples is the answer.
    ///
    /// # Errors
    /// What does not work until the deadline.
    pub async fn well(&self, look: &Look<'_>) -> Result<Option<Cause>> {
        if let Some(commit) = &look.commit {
            self.synced(commit, look.deadline).await?;
        }
        self.read_again(look.deadline).await?;
        for deployment in look.restart {
            self.restarted(deployment, look.deadline).await?;
        }
        if !look.metrics {
            return Ok(None);
        }
        let grafana = self.world.grafana_control()?;
        let latest = grafana.latest_write().await.attempting(|| "ask for the latest write".into())?;
        metrics::arrive(self.client, self.world, latest).await
    }

    /// Waits until the platform is as this commit has it. Comparisons are asked for where there has been none yet.
    ///
    /// # Errors
    /// What is not so until the deadline.
    pub async fn at(&self, commit: &str, deadline: Duration) -> Result<BTreeSet<String>> {
        let all = self.own(&Kind::Application.within(self.client, argocd::NAMESPACE)).await?;
        let mut comparable = all.iter().filter(|application| !self.world.is_without(&application.name_any()));
        if comparable.all(|application| compared(&application.data, commit) == Expectation::Held) {
            return self.settled(deadline).await;
        }
        // What waits to try an older commit again would be in the way.
        argocd::end_operations(self.client).await?;
        self.synced(commit, deadline).await
    }

    /// Every application is compared with this commit, and is Synced and Healthy.
    async fn synced(&self, commit: &str, deadline: Duration) -> Result<BTreeSet<String>> {
        let api = Kind::Application.within(self.client, argocd::NAMESPACE);
        let short = &commit[..commit.len().min(7)];
        // The root first: the children are compared with what it has applied, also with their project.
        for set in &self.roots.sets {
            refresh::set(self.client, set).await?;
        }
        // Nobody has what some are made from: these cannot be compared.
        for root in self.roots.applications.iter().filter(|root| !self.world.is_without(root)) {
            refresh::normal(self.client, root).await?;
            let what = format!("the root {root} has applied commit {short}");
            until(api.clone(), root, &what, deadline, |root| match root {
                Some(root) => compared(&root.data, commit).and(applied(&root.data)),
                None => Expectation::refuted("it does not exist"),
            })
            .await?;
        }
        let mut children = self.own(&api).await?;
        children.retain(|child| !self.world.is_without(&child.name_any()));
        let asked = children.iter().map(ResourceExt::name_any).filter(|name| !self.roots.applications.contains(name));
        try_join_all(asked.map(async |name| refresh::normal(self.client, &name).await)).await?;
        let what = format!("all applications are compared with commit {short}");
        let names: BTreeSet<String> = children.iter().map(key).collect();
        let claim = |all: &Objects| {
            let own = all.iter().filter(|(name, _)| names.contains(*name));
            own.map(|(name, object)| match compared(&object.data, commit) {
                Expectation::Pending(why) => Expectation::Pending(format!("{name} {why}")),
                other => other,
            })
            .fold(Expectation::Held, Expectation::and)
        };
        until_all(api, &what, deadline, claim).await?;
        self.settled(deadline).await
    }

    async fn settled(&self, deadline: Duration) -> Result<BTreeSet<String>> {
        let what = "all applications are Synced and Healthy";
        missing::settled(self.client, self.world, &self.roots, what, deadline).await
    }

    /// The operator validates every store and reads every secret again.
    ///
    /// # Errors
    /// When it does not until the deadline.
    pub async fn read_again(&self, deadline: Duration) -> Result<()> {
        for kind in [Kind::ClusterSecretStore, Kind::SecretStore] {
            for store in self.own(&kind.all(self.client)).await? {
                let stores = kind.within(self.client, &store.namespace().unwrap_or_default());
                let name = store.name_any();
                forced::look(&stores, &name).await?;
                until(stores, &name, &format!("the store {name} is ready"), deadline, |store| match store {
                    Some(store) if !is_ready(&store.data) => Expectation::pending("it is not ready"),
                    _ => Expectation::Held,
                })
                .await?;
            }
        }
        let secrets = self.own(&Kind::ExternalSecret.all(self.client)).await?;
        forced::read_again(self.client, &secrets, deadline).await
    }

    /// The Pods of a Deployment are replaced, and the new ones are ready.
    async fn restarted(&self, deployment: &str, deadline: Duration) -> Result<()> {
        let (namespace, name) = deployment.split_once('/').unwrap_or(("default", deployment));
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let selector = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
        let attempted = || format!("restart {deployment}");
        let old = pods.list(&selector).await.attempting(attempted)?;
        let old: BTreeSet<String> = old.items.iter().map(ResourceExt::name_any).collect();
        for pod in &old {
            match pods.delete(pod, &DeleteParams::default()).await {
                // It has gone by itself.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                deleted => deleted.map(drop).attempting(attempted)?,
            }
        }
        let resource = ApiResource::erase::<Pod>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        until_all(api, &format!("{deployment} runs anew"), deadline, |all| {
            let of =
                |pod: &&DynamicObject| pod.labels().get("app.kubernetes.io/name").is_some_and(|label| label == name);
            let mut pods = all.values().filter(of).peekable();
            if pods.peek().is_none() {
                return Expectation::pending("it has no Pod");
            }
            match pods.find(|pod| old.contains(&pod.name_any()) || !is_ready(&pod.data)) {
                Some(pod) => Expectation::Pending(format!("Pod {} is old or not ready", pod.name_any())),
                None => Expectation::Held,
            }
        })
        .await
    }

    /// The platform's own objects of a kind; the suites' are their business. A kind that is not served has none.
    async fn own(&self, api: &Api<DynamicObject>) -> Result<Vec<DynamicObject>> {
        let list = match api.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            list => list.attempting(|| format!("list {}", api.resource_url()))?.items,
        };
        let foreign = |object: &DynamicObject| key(object).starts_with(OWN);
        Ok(list.into_iter().filter(|object| !foreign(object)).collect())
    }
}

/// The application has been compared, as it is specified now, and every source in Git at the commit.
fn compared(application: &Value, commit: &str) -> Expectation {
    let sync = &application["status"]["sync"];
    let revisions = sync["revisions"].as_array().cloned().unwrap_or_else(|| vec![sync["revision"].clone()]);
    let same = |field: &str| {
        let wanted = &application["spec"][field];
        wanted.is_null() || *wanted == sync["comparedTo"][field]
    };
    // What has nothing in Git is at no commit.
    let in_git = roots::sources(&application["spec"]).any(|source| source.get("chart").is_none());
    if in_git && !revisions.iter().any(|revision| revision == commit) {
        return Expectation::Pending(format!("is at {}", sync["revision"]));
    }
    match same("source") && same("sources") {
        true => Expectation::Held,
        false => Expectation::pending("was compared with another source"),
    }
}

/// What the application has in Git is applied.
fn applied(application: &Value) -> Expectation {
    let status = &application["status"];
    match status["sync"]["status"] == "Synced" && status["operationState"]["phase"] != "Running" {
        true => Expectation::Held,
        false => Expectation::pending("it is not applied"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_source_counts_for_the_commit() {
        let with = |sync: Value| json!({"spec": {"source": {"path": "a"}}, "status": {"sync": sync}});
        let to = |path: &str| json!({"source": {"path": path}});
        assert_eq!(compared(&with(json!({"revision": "abc", "comparedTo": to("a")})), "abc"), Expectation::Held);
        let several = json!({"revisions": ["2.4.1", "abc"], "comparedTo": to("a")});
        assert_eq!(compared(&with(several), "abc"), Expectation::Held);
        let chart = json!({"spec": {"source": {"chart": "c"}}, "status": {"sync": {"revision": "2.4.1", "comparedTo": {"source": {"chart": "c"}}}}});
        assert_eq!(compared(&chart, "abc"), Expectation::Held);
        for old in
            [json!({"revision": "abd", "comparedTo": to("a")}), json!({"revision": "abc", "comparedTo": to("b")})]
        {
            assert!(matches!(compared(&with(old), "abc"), Expectation::Pending(_)));
        }
    }
}
