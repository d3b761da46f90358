//! What the conformance tests share: the world they run against, and claims about it that fail with a cause.

pub mod application;
pub mod caller;
pub mod lifecycle;
pub mod metrics;
pub mod platform;
pub mod snapshot;

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;
use kube::{
    Api, Client,
    core::{DynamicObject, Resource},
};
use trinity_e2e::{
    failure::{Attempt, Result},
    judge::cause,
    observe::{Expectation, forced, until},
    world::Description,
};

use trinity_emulators::control;

pub use trinity_e2e::world::Cloud;

/// Time for a claim about a platform that is already up. A first synchronisation is over by then, so this covers
/// the propagation of one change.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The world under test, as a test sees it.
pub struct Subject {
    /// The world.
    pub world: Description,
    /// Its API server.
    pub client: Client,
    /// Its gateway.
    pub control: control::Client,
}

impl Subject {
    /// The world that `TRINITY_WORLD` describes.
    ///
    /// # Panics
    /// When there is none, or it is another cloud's.
    pub async fn find(cloud: Cloud) -> Self {
        let file = std::env::var_os("TRINITY_WORLD").map(PathBuf::from);
        let file = file.expect(
            "TRINITY_WORLD is not set: these tests need a world; `cargo run --release -- e2e` makes one and runs them",
        );
        let world = Description::read(&file).expect("TRINITY_WORLD names the world.json of a running world");
        assert_eq!(world.cloud, cloud, "the world at {} is of another cloud", file.display());
        let client = world.client().await.expect("the world's kubeconfig can be used");
        let control = world.control().expect("the gateway's socket can be used");
        Self { world, client, control }
    }

    /// Makes the operator look at one of its objects now, and not when its refresh is due.
    ///
    /// # Panics
    /// When the API server refuses the annotation.
    pub async fn refresh(&self, api: &Api<DynamicObject>, name: &str) {
        hold(forced::look(api, name).await);
    }

    /// Waits for a claim about one object. A cause that is certain ends the wait.
    ///
    /// # Errors
    /// The cause, or the last state at the deadline.
    pub async fn see<K>(
        &self,
        api: Api<K>,
        name: &str,
        what: &str,
        claim: impl Fn(Option<&K>) -> Expectation,
    ) -> Result<Option<K>>
    where
        K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    {
        let seen = until(api, name, what, DEADLINE, claim);
        let seen = cause::explained(&self.client, &self.world, Timestamp::UNIX_EPOCH, seen).await;
        seen.attempting(|| format!("see that {what}"))
    }
}

/// Unwraps a claim, with its failure as the panic's message.
///
/// # Panics
/// When the claim failed.
#[track_caller]
pub fn hold<T>(claim: Result<T>) -> T {
    match claim {
        Ok(value) => value,
        Err(failure) => panic!("{failure}"),
    }
}
