//! Applications of a suite's own, from `fixtures/suites`, in namespaces of their own: the platform is not touched.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use trinity_e2e::{
    gitops::{argocd::NAMESPACE as ARGOCD, manifest, render},
    judge::waves::planned::{self, Planned},
    observe::{
        Expectation,
        audit::{self, Write},
        kinds::Kind,
        until,
    },
    world::{OWN, RUN_LABEL, bringup::SUITES_URL},
};

use crate::{Cloud, DEADLINE, Subject, hold};

/// An Application with a namespace for its objects, both of one name.
pub struct Own {
    /// The world it is in.
    pub subject: Subject,
    /// Name of the Application and of the namespace.
    pub name: String,
}

/// How an Application is synced and compared.
pub struct Sync<'a> {
    /// Sync options.
    pub options: &'a [&'a str],
    /// How often a failed operation is tried again, once a second.
    pub retries: u64,
    /// Annotations of the Application.
    pub annotations: Value,
}

impl Default for Sync<'_> {
    fn default() -> Self {
        Self { options: &[], retries: 1, annotations: Value::Null }
    }
}

impl Own {
    /// Makes an Application that is synced by itself from a folder of `fixtures/suites`. It does not heal itself: what
    /// differs stays, and can be looked at.
    ///
    /// # Panics
    /// When the API server refuses one of its objects.
    pub async fn new(cloud: Cloud, row: &str, path: &str, sync: Sync<'_>) -> Self {
        let own = Self { subject: Subject::find(cloud).await, name: format!("{OWN}{row}") };
        own.makes_namespace(&own.name).await;
        let labels = json!({RUN_LABEL: own.subject.world.run});
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {
                "name": own.name, "labels": labels, "annotations": sync.annotations, "finalizers": ["resources-finalizer.argocd.argoproj.io"],
            },
            "spec": {
                "project": "default",
                "source": {"repoURL": SUITES_URL, "targetRevision": "main", "path": path},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": own.name},
                "syncPolicy": {
                    "automated": {"prune": true},
                    "syncOptions": sync.options,
                    "retry": {"limit": sync.retries, "backoff": {"duration": "1s", "factor": 1, "maxDuration": "1s"}},
                },
            },
        });
        let application = serde_json::from_value(application).expect("it is an Application");
        own.applications()
            .create(&PostParams::default(), &application)
            .await
            .expect("the API server takes the Application");
        own
    }

    /// Makes one more namespace of the suite's own.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn makes_namespace(&self, name: &str) {
        let labels = json!({RUN_LABEL: self.subject.world.run});
        let namespace = json!({"metadata": {"name": name, "labels": labels}});
        let namespace: Namespace = serde_json::from_value(namespace).expect("it is a namespace");
        self.namespaces().create(&PostParams::default(), &namespace).await.expect("the API server takes the namespace");
    }

    /// Waits for a claim about the Application.
    ///
    /// # Panics
    /// When it is not seen.
    pub async fn sees(&self, what: &str, claim: impl Fn(Option<&DynamicObject>) -> Expectation) -> DynamicObject {
        let what = format!("{what} ({})", self.name);
        hold(until(self.applications(), &self.name, &what, DEADLINE, claim).await).expect("the Application is there")
    }

    /// Gives the Application another folder.
    ///
    /// # Panics
    /// When the API server refuses the change.
    pub async fn moves_to(&self, path: &str) {
        let change = json!({"spec": {"source": {"path": path}}});
        let changed = self.applications().patch(&self.name, &PatchParams::default(), &Patch::Merge(&change)).await;
        changed.expect("the API server takes the change");
    }

    /// All writes of the world until now.
    ///
    /// # Panics
    /// When the audit log cannot be read.
    pub fn log(&self) -> Vec<Write> {
        hold(audit::read(&self.subject.world.audit))
    }

    /// Names of the objects in the application's namespace that Argo CD has written to in such a way, in their order.
    pub fn names(&self, log: &[Write], such: impl Fn(&Write) -> bool) -> Vec<String> {
        let own = |write: &&Write| {
            write.target.namespace == self.name && write.user.ends_with(":argocd-application-controller")
        };
        let own = log.iter().filter(own);
        own.filter(|write| such(write)).map(|write| write.target.name.clone()).collect()
    }

    /// Application, namespace, and what is in it go.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn leaves(self) {
        let now = DeleteParams::default();
        self.applications().delete(&self.name, &now).await.expect("the Application can be deleted");
        let gone = |application: Option<&DynamicObject>| match application {
            None => Expectation::Held,
            Some(_) => Expectation::pending("it is still there"),
        };
        let what = format!("the Application {} is gone with its objects", self.name);
        hold(until(self.applications(), &self.name, &what, DEADLINE, gone).await);
        self.removes_namespace(&self.name).await;
    }

    /// Removes a namespace of the suite's own.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn removes_namespace(&self, name: &str) {
        self.namespaces().delete(name, &DeleteParams::default()).await.expect("the namespace can be deleted");
    }

    /// The Applications of the world.
    pub fn applications(&self) -> Api<DynamicObject> {
        Kind::Application.within(&self.subject.client, ARGOCD)
    }

    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.subject.client.clone())
    }

    /// The plain manifests of a folder of `fixtures/suites`, as Argo CD takes them for this application.
    ///
    /// # Panics
    /// When they cannot be read.
    pub fn rendered(&self, path: &str) -> render::Application {
        let file = trinity_e2e::workspace().join("fixtures/suites").join(path).join("objects.yaml");
        let text = std::fs::read_to_string(&file).expect("the fixture can be read");
        let objects = hold(manifest::parse(&text, path));
        render::Application { name: self.name.clone(), namespace: self.name.clone(), paths: Vec::new(), objects }
    }

    /// The same with their waves.
    ///
    /// # Panics
    /// When they cannot be read.
    pub fn planned(&self, path: &str) -> Vec<Planned> {
        planned::all(&self.rendered(path))
    }
}

/// An operation of an Application has begun again.
pub fn retried(application: Option<&DynamicObject>) -> Expectation {
    match application.map(|application| &application.data["status"]["operationState"]["retryCount"]) {
        Some(count) if count.as_u64() > Some(0) => Expectation::Held,
        _ => Expectation::pending("its operation has not begun again"),
    }
}

/// The operation of an Application says `text`.
pub fn says(text: &'static str) -> impl Fn(Option<&DynamicObject>) -> Expectation {
    move |application| {
        let message = application.map(|application| &application.data["status"]["operationState"]["message"]);
        match message.and_then(Value::as_str) {
            Some(message) if message.contains(text) => Expectation::Held,
            Some(message) => Expectation::pending(message),
            None => Expectation::pending("it has had no operation"),
        }
    }
}
