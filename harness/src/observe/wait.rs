//! The one wait: a watch on an object, a claim about it, and a deadline.

use std::{fmt::Debug, time::Duration};

use futures::TryStreamExt;
use kube::{
    Api,
    core::Resource,
    runtime::{WatchStreamExt, watcher, watcher::watch_object},
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::Expectation;
use crate::failure::{Failure, Result};

/// Waits until `claim` holds for the object `name`. `what` describes it, for example `ClusterSecretStore trinity-aws is valid`.
///
/// # Errors
/// At once when the claim is refuted or the API refuses the watch; at the deadline with the last state seen.
pub async fn until<K>(
    api: Api<K>,
    name: &str,
    what: &str,
    deadline: Duration,
    claim: impl Fn(Option<&K>) -> Expectation,
) -> Result<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let begun = Instant::now();
    let attempted = || format!("see that {what}");
    let mut last = "nothing was observed".to_owned();
    let mut objects = std::pin::pin!(watch_object(api, name).default_backoff());
    loop {
        match timeout_at(begun + deadline, objects.try_next()).await {
            Err(_) => {
                let seconds = deadline.as_secs();
                return Err(Failure::new(attempted(), format!("after {seconds} s: {last}")));
            }
            Ok(Ok(Some(object))) => match claim(object.as_ref()) {
                Expectation::Held => {
                    tracing::debug!("{what} ({:.1} s)", begun.elapsed().as_secs_f64());
                    return Ok(object);
                }
                Expectation::Refuted(why) => return Err(Failure::new(attempted(), why)),
                Expectation::Pending(why) => {
                    tracing::debug!("not yet: {what}: {why}");
                    last = why;
                }
            },
            Ok(Ok(None)) => return Err(Failure::new(attempted(), "the watch ended")),
            // A kind that the API does not serve yet, or a connection that broke: the watch goes on.
            Ok(Err(error)) if passing(&error) => last = error.to_string(),
            Ok(Err(error)) => return Err(Failure::new(attempted(), error)),
        }
    }
}

/// Errors that a watch recovers from by itself. A refusal (401, 403, 400) is none.
pub(crate) fn passing(error: &watcher::Error) -> bool {
    let api = match error {
        watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e) | watcher::Error::WatchFailed(e) => {
            e
        }
        watcher::Error::WatchError(_) => return true,
        _ => return false,
    };
    match api {
        kube::Error::Api(status) => {
            status.code == 404 || status.code == 410 || status.code == 429 || status.code >= 500
        }
        kube::Error::SerdeError(_) => false,
        _ => true,
    }
}
