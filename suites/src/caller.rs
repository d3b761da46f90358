//! A caller of the cloud with a namespace of its own: a service account, a store and an ExternalSecret, as a platform
//! has them. Denials make callers that are wrong in one point, see them refused, and mend them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Event, Namespace, Secret, ServiceAccount};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use trinity_e2e::{
    observe::{Expectation, condition, kinds::Kind, until, until_all},
    world::{OWN, RUN_LABEL},
};
use trinity_emulators::{config, journal};

use crate::{Cloud, DEADLINE, Subject, hold};

/// Secret that every caller wants.
pub const SECRET: &str = "trinity-denial";
/// Identity that may read it, and that trusts the service account of every caller.
pub const RIGHT: &str = "denial-reader";
/// Name of the service account of every caller.
pub const READER: &str = "reader";
/// Vault of what denials need, where there are vaults.
const VAULT: &str = "trinity-canaries";
const STORE: &str = "store";
const WANTED: &str = "wanted";
const KEY: &str = "value";

/// In which point a caller is wrong when it begins.
#[derive(Clone, Debug)]
pub enum Wrong {
    /// In none: what is wrong is elsewhere.
    Nothing,
    /// Its service account has no identity.
    NoIdentity,
    /// Its service account has this identity of the declared cloud.
    Identity(&'static str),
    /// Its store has these fields in the provider's place.
    Provider(Value),
}

/// Where the operator meets a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The store does not become ready.
    Store,
    /// The store is ready, and the ExternalSecret gets nothing.
    ExternalSecret,
}

/// What a refusal looks like.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Where.
    pub place: Place,
    /// Part of the operator's event.
    pub event: &'static str,
    /// The cloud's error code in the gateway's journal; nothing when the operator does not even call.
    pub code: Option<&'static str>,
}

/// A caller.
pub struct Caller {
    /// The world it is in.
    pub subject: Subject,
    namespace: String,
}

impl Caller {
    /// Makes a caller for a row of the denial matrix.
    ///
    /// # Panics
    /// When the API server refuses one of its objects.
    pub async fn new(cloud: Cloud, row: &str, wrong: Wrong) -> Self {
        let caller = Self { subject: Subject::find(cloud).await, namespace: format!("{OWN}{row}") };
        let labels = json!({RUN_LABEL: caller.subject.world.run});
        let namespace = json!({"metadata": {"name": caller.namespace, "labels": labels}});
        create(&Api::<Namespace>::all(caller.subject.client.clone()), namespace).await;
        let identity = match wrong {
            Wrong::NoIdentity => None,
            Wrong::Identity(identity) => Some(identity),
            Wrong::Nothing | Wrong::Provider(_) => Some(RIGHT),
        };
        let annotations = identity.map(|identity| annotation(&caller.subject, identity));
        create(&caller.accounts(), json!({"metadata": {"name": READER, "annotations": annotations}})).await;
        let mut provider = provider(&caller.subject, VAULT);
        if let Wrong::Provider(fields) = wrong {
            merge(&mut provider, fields);
        }
        let store = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": STORE},
            "spec": {"provider": provider},
        });
        create(&caller.stores(), store).await;
        let wanted = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": WANTED},
            "spec": {
                "refreshInterval": "1h",
                "secretStoreRef": {"kind": "SecretStore", "name": STORE},
                "target": {"name": WANTED},
                "data": [{"secretKey": KEY, "remoteRef": {"key": SECRET}}],
            },
        });
        create(&caller.wanted(), wanted).await;
        caller
    }

    /// The caller is refused, and everybody says so: the operator's conditions and event, the cloud, and no Secret.
    ///
    /// # Panics
    /// When one of them does not.
    pub async fn is_refused(&self, refusal: Refusal) {
        let kind = match refusal.place {
            Place::Store => {
                let what = self.what("the store is not ready");
                let claim = condition::not_ready_because("InvalidProviderConfig");
                hold(until(self.stores(), STORE, &what, DEADLINE, claim).await);
                "SecretStore"
            }
            Place::ExternalSecret => {
                let what = self.what("the store is Valid all the same");
                hold(until(self.stores(), STORE, &what, DEADLINE, condition::ready_because("Valid")).await);
                "ExternalSecret"
            }
        };
        let what = self.what("the ExternalSecret is not synced");
        let claim = condition::not_ready_because("SecretSyncedError");
        hold(until(self.wanted(), WANTED, &what, DEADLINE, claim).await);
        self.hears(kind, refusal.event).await;
        if let Some(code) = refusal.code {
            let lines = journal::read(&self.subject.world.journal).expect("the gateway's journal can be read");
            let codes = lines.iter().filter(|l| !l.note.canary).filter_map(|l| l.note.code.as_deref());
            let codes: std::collections::BTreeSet<&str> = codes.collect();
            assert!(codes.contains(code), "the cloud never refused with {code}, but with {codes:?}");
        }
    }

    /// No Secret has been written.
    ///
    /// # Panics
    /// When there is one.
    pub async fn has_no_secret(&self) {
        let secret = self.secrets().get_opt(WANTED).await.expect("the Secret can be asked for");
        assert!(secret.is_none(), "{} has got its Secret", self.namespace);
    }

    /// Mends the caller: it gets the right identity and the right store.
    ///
    /// # Panics
    /// When the API server refuses a change.
    pub async fn is_mended(&self) {
        let account = json!({"metadata": {"annotations": annotation(&self.subject, RIGHT)}});
        patch(&self.accounts(), READER, Patch::Merge(account)).await;
        let store = json!([{"op": "replace", "path": "/spec/provider", "value": provider(&self.subject, VAULT)}]);
        let store = serde_json::from_value(store).expect("it is a JSON patch");
        patch(&self.stores(), STORE, Patch::Json::<()>(store)).await;
    }

    /// The operator looks again, and the Secret holds what the backend holds.
    ///
    /// # Panics
    /// When it does not.
    pub async fn gets_its_secret(&self) {
        let value = self.subject.control.secret(SECRET).await.expect("the backend holds the secret");
        // By itself the operator looks at a store every five minutes.
        self.subject.refresh(&self.stores(), STORE).await;
        let what = self.what("the store is Valid");
        hold(until(self.stores(), STORE, &what, DEADLINE, condition::ready_because("Valid")).await);
        self.asks_again().await;
        let what = self.what("the Secret holds what the backend holds");
        hold(until(self.secrets(), WANTED, &what, DEADLINE, condition::holds(KEY, &value)).await);
    }

    /// The operator reads the secret again now, not after its ever longer waits.
    ///
    /// # Panics
    /// When the API server refuses the annotation.
    pub async fn asks_again(&self) {
        self.subject.refresh(&self.wanted(), WANTED).await;
    }

    /// The Secret still holds a value.
    ///
    /// # Panics
    /// When it does not.
    pub async fn still_has(&self, value: &str) {
        let secret = self.secrets().get_opt(WANTED).await.expect("the Secret can be asked for");
        assert_eq!(condition::holds(KEY, value)(secret.as_ref()), Expectation::Held);
    }

    /// The platform's own secret path is as it was: what has upset the whole cloud for a moment may have met it too.
    ///
    /// # Panics
    /// When it is not.
    pub async fn the_platform_goes_on(&self) {
        for (kind, reason) in
            [(Kind::ClusterSecretStore, "Valid"), (Kind::SecretStore, "Valid"), (Kind::ExternalSecret, "SecretSynced")]
        {
            let ready = condition::ready_because(reason);
            for (api, object) in self.subject.own(kind).await {
                let name = object.name_any();
                if ready(Some(&object)) != Expectation::Held {
                    self.subject.refresh(&api, &name).await;
                    hold(until(api, &name, &self.what(&format!("{name} is {reason} again")), DEADLINE, &ready).await);
                }
            }
        }
    }

    /// The namespace goes, and with it, later, what is in it.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn leaves(self) {
        let namespaces: Api<Namespace> = Api::all(self.subject.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.expect("the namespace can be deleted");
    }

    /// An event of an object of `kind` says `text`.
    async fn hears(&self, kind: &str, text: &str) {
        let resource = ApiResource::erase::<Event>(&());
        let events: Api<DynamicObject> = Api::namespaced_with(self.subject.client.clone(), &self.namespace, &resource);
        let what = self.what(&format!("an event of its {kind} says {text:?}"));
        let claim = |events: &BTreeMap<String, DynamicObject>| {
            let mut of = events.values().filter(|e| e.data["involvedObject"]["kind"] == kind);
            let messages: Vec<&str> = of.by_ref().filter_map(|e| e.data["message"].as_str()).collect();
            match messages.iter().any(|message| message.contains(text)) {
                true => Expectation::Held,
                false => Expectation::Pending(format!("they say {messages:?}")),
            }
        };
        hold(until_all(events, &what, DEADLINE, claim).await);
    }

    fn what(&self, what: &str) -> String {
        format!("{what} ({})", self.namespace)
    }

    fn accounts(&self) -> Api<ServiceAccount> {
        Api::namespaced(self.subject.client.clone(), &self.namespace)
    }

    fn stores(&self) -> Api<DynamicObject> {
        Kind::SecretStore.within(&self.subject.client, &self.namespace)
    }

    fn wanted(&self) -> Api<DynamicObject> {
        Kind::ExternalSecret.within(&self.subject.client, &self.namespace)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.subject.client.clone(), &self.namespace)
    }
}

/// The annotation of a service account that claims an identity of the declared cloud.
///
/// # Panics
/// When it is none that is declared for the suites.
pub fn annotation(subject: &Subject, identity: &str) -> Value {
    match &subject.world.emulated {
        config::Cloud::Aws(aws) => {
            json!({"eks.amazonaws.com/role-arn": format!("arn:aws:iam::{}:role/{identity}", aws.account)})
        }
        config::Cloud::Gcp(gcp) => {
            json!({"iam.gke.io/gcp-service-account": format!("{identity}@{}.iam.gserviceaccount.com", gcp.project)})
        }
        config::Cloud::Azure(_) => json!({"azure.workload.identity/client-id": client_id(identity)}),
    }
}

/// A store's provider, as a platform has it; `vault` is Azure's.
pub fn provider(subject: &Subject, vault: &str) -> Value {
    let account = json!({"name": READER});
    match &subject.world.emulated {
        config::Cloud::Aws(aws) => json!({"aws": {
            "service": "SecretsManager", "region": aws.region, "auth": {"jwt": {"serviceAccountRef": account}},
        }}),
        config::Cloud::Gcp(gcp) => json!({"gcpsm": {
            "projectID": gcp.project, "auth": {"workloadIdentity": {"serviceAccountRef": account}},
        }}),
        config::Cloud::Azure(azure) => json!({"azurekv": {
            "authType": "WorkloadIdentity", "tenantId": azure.tenant,
            "vaultUrl": format!("https://{vault}.vault.azure.net"), "serviceAccountRef": account,
        }}),
    }
}

/// Client ids of the identities in `fixtures/denials/azure.yaml` and `fixtures/lifecycles/azure.yaml`.
fn client_id(identity: &str) -> &'static str {
    match identity {
        "denial-reader" => "d0000000-0000-4000-8000-000000000001",
        "denial-wrong-aud" => "d0000000-0000-4000-8000-000000000002",
        "denial-wrong-namespace" => "d0000000-0000-4000-8000-000000000003",
        "denial-wrong-name" => "d0000000-0000-4000-8000-000000000004",
        "denial-powerless" => "d0000000-0000-4000-8000-000000000005",
        "denial-elsewhere" => "d0000000-0000-4000-8000-000000000006",
        "denial-disabled" => "d0000000-0000-4000-8000-000000000007",
        "lifecycle-reader" => "d0000000-0000-4000-8000-000000000008",
        other => panic!("{other} is no identity of denials and lifecycles"),
    }
}

/// Creates an object.
///
/// # Panics
/// When the API server refuses it.
pub async fn create<K>(api: &Api<K>, object: Value)
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let object = serde_json::from_value(object).expect("the object is one of its kind");
    api.create(&PostParams::default(), &object).await.expect("the API server takes the object");
}

async fn patch<K, P>(api: &Api<K>, name: &str, patch: Patch<P>)
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
    P: Serialize + std::fmt::Debug,
{
    api.patch(name, &PatchParams::default(), &patch).await.expect("the API server takes the change");
}

/// Sets the fields of `with` in `value`.
fn merge(value: &mut Value, with: Value) {
    match (value, with) {
        (Value::Object(value), Value::Object(with)) => {
            for (name, field) in with {
                merge(value.entry(name).or_insert(Value::Null), field);
            }
        }
        (value, with) => *value = with,
    }
}
