//! The wait for claims about several objects of one kind: a watch on all of them, and a deadline.

use std::{collections::BTreeMap, time::Duration};

use futures::TryStreamExt;
use kube::{
    Api, ResourceExt,
    core::DynamicObject,
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, Event},
    },
};
use tokio::time::{Instant, timeout_at};

use super::{Expectation, wait::passing};
use crate::failure::{Failure, Result};

/// Objects by `name`, or `namespace/name`.
pub type Objects = BTreeMap<String, DynamicObject>;

/// Waits until `claim` holds for all objects of `api` together. `what` describes it.
///
/// # Errors
/// At once when the claim is refuted or the API refuses the watch; at the deadline with the last state seen.
pub async fn until_all(
    api: Api<DynamicObject>,
    what: &str,
    deadline: Duration,
    claim: impl Fn(&Objects) -> Expectation,
) -> Result<Objects> {
    let begun = Instant::now();
    let attempted = || format!("see that {what}");
    let mut last = "nothing was observed".to_owned();
    let mut objects = Objects::new();
    let mut arriving = Objects::new();
    let mut events = std::pin::pin!(watcher::watcher(api, Config::default()).default_backoff());
    loop {
        let event = match timeout_at(begun + deadline, events.try_next()).await {
            Err(_) => return Err(Failure::new(attempted(), format!("after {} s: {last}", deadline.as_secs()))),
            Ok(Ok(Some(event))) => event,
            Ok(Ok(None)) => return Err(Failure::new(attempted(), "the watch ended")),
            // A kind that the API does not serve yet, or a connection that broke: the watch goes on.
            Ok(Err(error)) if passing(&error) => {
                last = error.to_string();
                continue;
            }
            Ok(Err(error)) => return Err(Failure::new(attempted(), error)),
        };
        match event {
            Event::Init => arriving.clear(),
            Event::InitApply(object) => {
                arriving.insert(key(&object), object);
                // A list is complete or nothing.
                continue;
            }
            Event::InitDone => objects = std::mem::take(&mut arriving),
            Event::Apply(object) => {
                objects.insert(key(&object), object);
            }
            Event::Delete(object) => {
                objects.remove(&key(&object));
            }
        }
        match claim(&objects) {
            Expectation::Held => return Ok(objects),
            Expectation::Refuted(why) => return Err(Failure::new(attempted(), why)),
            Expectation::Pending(why) => {
                if why != last {
                    tracing::debug!("not yet: {what}: {why}");
                }
                last = why;
            }
        }
    }
}

fn key(object: &DynamicObject) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}
