//! Secrets in every state of their life, brought there through the cloud's public API, and the ways to want them.

use reqwest::Method;
use rsa::rand_core::{OsRng, RngCore};
use serde_json::{Value, json};
use trinity_e2e::backend::{Backend, Said, plan::Wanted};
use trinity_emulators::config;

use crate::{Cloud, Subject};

/// What has become of a secret since it was made and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Live,
    /// It is deleted and can be recovered: AWS's scheduled deletion, Azure's soft deletion.
    Deleted,
    /// It was deleted, which the operator has seen, and is recovered.
    Recovered,
    /// It is deleted for good. Google Cloud has no other deletion.
    Purged,
    /// It is deleted for good, and there is another one of its name, with another value.
    Recreated,
    /// It is a container without a version. Azure has none such.
    Empty,
    /// Its version is disabled. AWS cannot do that.
    Disabled,
    /// Its version was disabled, which the operator has seen, and is enabled again.
    Enabled,
    /// Its version is destroyed, which only Google Cloud can do.
    Destroyed,
    /// It is deleted in a vault that is protected against purging, which only Azure has.
    Protected,
}

impl State {
    /// The states that a secret can have in a cloud.
    pub const fn of(cloud: Cloud) -> &'static [Self] {
        use State::*;
        match cloud {
            Cloud::Aws => &[Live, Deleted, Recovered, Purged, Recreated, Empty],
            Cloud::Gcp => &[Live, Purged, Recreated, Empty, Disabled, Enabled, Destroyed],
            Cloud::Azure => &[Live, Deleted, Recovered, Purged, Recreated, Disabled, Enabled, Protected],
        }
    }

    /// Whether it is reached by a second step, before which the operator has to have seen the first.
    pub const fn has_second_step(self) -> bool {
        matches!(self, Self::Recovered | Self::Enabled)
    }

    /// Its name in names of objects.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Azure's vault.
    pub const fn vault(self) -> &'static str {
        match self {
            Self::Protected => "trinity-lifecycle-locked",
            _ => "trinity-lifecycle",
        }
    }
}

/// The secrets of one run of the suite, one for each state.
pub struct Lives {
    cloud: config::Cloud,
    backend: Backend,
    run: String,
}

impl Lives {
    /// Signs in as the cloud's administrator.
    ///
    /// # Panics
    /// When the cloud does not know it.
    pub async fn begin(subject: &Subject) -> Self {
        let backend = Backend::open(&subject.world.place()).await.expect("the administrator is known");
        // Tombstones of an earlier run on the same world reserve their names.
        Self { cloud: subject.world.emulated.clone(), backend, run: format!("{:08x}", OsRng.next_u32()) }
    }

    /// Name of the secret that gets into a state.
    pub fn name(&self, state: State) -> String {
        format!("trinity-lifecycle-{}-{}", state.name(), self.run)
    }

    /// A value that no other secret has.
    pub fn value(&self, which: &str) -> String {
        format!("lifecycle-{which}-{}", self.run)
    }

    /// Makes the secret, with a value.
    ///
    /// # Panics
    /// When the cloud refuses.
    pub async fn make(&self, state: State, value: Option<&str>) {
        let about = match self.cloud {
            config::Cloud::Gcp(_) => json!({"replication": {"automatic": {}}}),
            config::Cloud::Aws(_) | config::Cloud::Azure(_) => json!({}),
        };
        let place = matches!(self.cloud, config::Cloud::Azure(_)).then(|| state.vault().to_owned());
        let wanted = Wanted { name: self.name(state), place, about, window: Some(7), reference: None };
        self.backend.create(&wanted, value).await.expect("the cloud makes a secret");
    }

    /// Brings a live secret into its state, or half-way where that takes two steps.
    ///
    /// # Panics
    /// When the cloud does otherwise than expected.
    pub async fn turn(&self, state: State) {
        let other = self.value("second");
        match (&self.cloud, state) {
            (_, State::Live) => {}
            (config::Cloud::Aws(_), State::Deleted | State::Recovered) => {
                self.aws(state, "DeleteSecret", json!({"RecoveryWindowInDays": 7})).await;
            }
            (config::Cloud::Aws(_), _) => {
                self.aws(state, "DeleteSecret", json!({"ForceDeleteWithoutRecovery": true})).await
            }
            (config::Cloud::Gcp(_), State::Disabled | State::Enabled) => {
                self.gcp(state, Method::POST, "/versions/1:disable").await;
            }
            (config::Cloud::Gcp(_), State::Destroyed) => self.gcp(state, Method::POST, "/versions/1:destroy").await,
            (config::Cloud::Gcp(_), _) => self.gcp(state, Method::DELETE, "").await,
            (config::Cloud::Azure(_), State::Disabled | State::Enabled) => self.enable(state, false).await,
            (config::Cloud::Azure(_), _) => {
                self.azure(state, Method::DELETE, "secrets", "", Value::Null, 200).await;
                match state {
                    State::Purged | State::Recreated => {
                        self.azure(state, Method::DELETE, "deletedsecrets", "", Value::Null, 204).await;
                    }
                    State::Protected => {
                        self.azure(state, Method::DELETE, "deletedsecrets", "", Value::Null, 403).await;
                        let value = json!({"value": other});
                        self.azure(state, Method::PUT, "secrets", "", value, 409).await;
                    }
                    _ => {}
                }
            }
        }
        match state {
            State::Recreated => self.make(state, Some(&other)).await,
            State::Empty => self.make(state, None).await,
            _ => {}
        }
    }

    /// The second step of states that have one.
    ///
    /// # Panics
    /// When the cloud refuses it.
    pub async fn turn_again(&self, state: State) {
        match &self.cloud {
            config::Cloud::Aws(_) => self.aws(state, "RestoreSecret", json!({})).await,
            config::Cloud::Gcp(_) => self.gcp(state, Method::POST, "/versions/1:enable").await,
            config::Cloud::Azure(_) if state == State::Enabled => self.enable(state, true).await,
            config::Cloud::Azure(_) => {
                self.azure(state, Method::POST, "deletedsecrets", "/recover", Value::Null, 200).await;
            }
        }
    }

    async fn aws(&self, state: State, action: &str, mut request: Value) {
        request["SecretId"] = json!(self.name(state));
        expect(self.backend.act(action, &request).await, 200, action);
    }

    async fn gcp(&self, state: State, method: Method, below: &str) {
        let config::Cloud::Gcp(gcp) = &self.cloud else { panic!("this is {}", self.cloud.name()) };
        let name = self.name(state);
        let url = format!("https://secretmanager.googleapis.com/v1/projects/{}/secrets/{name}{below}", gcp.project);
        expect(self.backend.call(method, &url, &Value::Null).await, 200, &url);
    }

    async fn enable(&self, state: State, enabled: bool) {
        let body = json!({"attributes": {"enabled": enabled}});
        self.azure(state, Method::PATCH, "secrets", "", body, 200).await;
    }

    async fn azure(&self, state: State, method: Method, kind: &str, below: &str, body: Value, status: u16) {
        let (vault, name) = (state.vault(), self.name(state));
        let url = format!("https://{vault}.vault.azure.net/{kind}/{name}{below}?api-version=7.6");
        expect(self.backend.call(method, &url, &body).await, status, &url);
    }
}

#[track_caller]
fn expect(said: trinity_e2e::failure::Result<Said>, status: u16, what: &str) {
    let said = said.expect("the cloud answers");
    assert_eq!(said.status, status, "{what}: {}", said.code());
}

/// What shall become of a Secret whose value is nowhere any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It stays.
    Retain,
    /// It goes.
    Delete,
    /// It loses the keys that have no value any more.
    Merge,
}

/// How a Secret comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is made, and goes with the ExternalSecret.
    Owner,
    /// It is made, and stays.
    Orphan,
    /// Somebody else has made it.
    Merge,
    /// It is not made.
    None,
}

impl Deletion {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Retain, Self::Delete, Self::Merge];
}

impl Creation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Orphan, Self::Merge, Self::None];
}

/// Two policies.
pub type Policies = (Deletion, Creation);

/// Why the operator's webhook takes no ExternalSecret with such policies; nothing when it does.
pub const fn contradiction(policies: Policies) -> Option<&'static str> {
    match policies {
        // The webhook knows Merge and None as policies under which the operator does not own the Secret. Orphan is one
        // too, and is let in: what it comes to is told when the value is gone.
        (Deletion::Delete, Creation::Merge | Creation::None) => {
            Some("deletionPolicy=Delete must not be used when the controller doesn't own the secret")
        }
        (Deletion::Merge, Creation::None) => Some("deletionPolicy=Merge must not be used with creationPolicy=None"),
        _ => None,
    }
}

/// Name of the ExternalSecret, and of its Secret, that wants the secret of a state.
pub fn object(state: State, (deletion, creation): Policies) -> String {
    format!("{}-{deletion:?}-{creation:?}", state.name()).to_lowercase()
}

/// All policies with which there can be an ExternalSecret.
pub fn policies() -> impl Iterator<Item = Policies> {
    let all = Deletion::ALL.into_iter().flat_map(|deletion| Creation::ALL.map(|creation| (deletion, creation)));
    all.filter(|policies| contradiction(*policies).is_none())
}
