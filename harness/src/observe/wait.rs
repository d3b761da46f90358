//! The one wait: a watch on an object, or on all objects of a kind, a claim about them, and a deadline.

use std::{
    collections::BTreeMap,
    fmt::{Debug, Display},
    time::Duration,
};

use futures::{Stream, TryStreamExt};
use kube::{
    Api, ResourceExt,
    core::{DynamicObject, Resource},
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, Event, watch_object},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use super::Expectation;
use crate::failure::{Failure, Result};

/// Time for one answer to something that is only asked. An answer that is lost on the way never comes.
const ANSWER: Duration = Duration::from_secs(10);

/// Objects by `name`, or `namespace/name`.
pub type Objects = BTreeMap<String, DynamicObject>;

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
    let mut seen = None;
    let objects = watch_object(api, name).default_backoff();
    settle(objects, what, deadline, |object| {
        seen = object;
        Some(claim(seen.as_ref()))
    })
    .await?;
    Ok(seen)
}

/// Waits until `claim` holds for all objects of `api` together. `what` describes it.
///
/// # Errors
/// As those of [`until`].
pub async fn until_all(
    api: Api<DynamicObject>,
    what: &str,
    deadline: Duration,
    claim: impl Fn(&Objects) -> Expectation,
) -> Result<()> {
    let mut known = Known::default();
    let events = watcher::watcher(api, Config::default()).default_backoff();
    settle(events, what, deadline, |event| known.after(event).map(&claim)).await
}

/// What a watch has told of the objects of a kind.
#[derive(Default)]
struct Known {
    objects: Objects,
    arriving: Objects,
}

impl Known {
    /// All objects after an event; nothing while a list arrives: it is complete, or it says nothing.
    fn after(&mut self, event: Event<DynamicObject>) -> Option<&Objects> {
        match event {
            Event::Init => {
                self.arriving.clear();
                return None;
            }
            Event::InitApply(object) => {
                self.arriving.insert(key(&object), object);
                return None;
            }
            Event::InitDone => self.objects = std::mem::take(&mut self.arriving),
            Event::Apply(object) => {
                self.objects.insert(key(&object), object);
            }
            Event::Delete(object) => {
                self.objects.remove(&key(&object));
            }
        }
        Some(&self.objects)
    }
}

/// Asks `judge` after every event of a watch, until what it expects holds; `None` leaves it at what it said before.
pub(crate) async fn settle<E>(
    events: impl Stream<Item = watcher::Result<E>>,
    what: &str,
    deadline: Duration,
    mut judge: impl FnMut(E) -> Option<Expectation>,
) -> Result<()> {
    let begun = Instant::now();
    let attempted = || format!("see that {what}");
    let mut last = "nothing was observed".to_owned();
    let mut events = std::pin::pin!(events);
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
        match judge(event) {
            Some(Expectation::Held) => {
                tracing::debug!("{what} ({:.1} s)", begun.elapsed().as_secs_f64());
                return Ok(());
            }
            Some(Expectation::Refuted(why)) => return Err(Failure::new(attempted(), why)),
            Some(Expectation::Pending(why)) if why != last => {
                tracing::debug!("not yet: {what}: {why}");
                last = why;
            }
            Some(Expectation::Pending(_)) | None => {}
        }
    }
}

/// Asks until the answer is no error. For what has no watch and can only be asked, and takes no more than seconds; a question
/// whose answer takes longer is asked again.
///
/// # Errors
/// At the deadline, with the last error.
pub async fn answered<E: Display>(
    what: &str,
    deadline: Duration,
    ask: impl AsyncFn() -> std::result::Result<(), E>,
) -> Result<()> {
    answered_within(ANSWER, what, deadline, ask).await
}

async fn answered_within<E: Display>(
    patience: Duration,
    what: &str,
    deadline: Duration,
    ask: impl AsyncFn() -> std::result::Result<(), E>,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let missed = match timeout(patience, ask()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("no answer within {patience:?}"),
        };
        if begun.elapsed() > deadline {
            return Err(Failure::new(format!("see {what}"), missed));
        }
        // There is no event to wait for.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// An object's `namespace/name`, or its name when it has no namespace.
pub fn key(object: &impl ResourceExt) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
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

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use kube::core::Status;

    use super::*;

    /// How a wait ends whose watch brings these, and then nothing more.
    async fn end(events: impl IntoIterator<Item = watcher::Result<Option<Expectation>>>) -> String {
        let events = stream::iter(events).chain(stream::pending());
        let deadline = Duration::from_millis(10);
        settle(events, "it is so", deadline, |said| said).await.map_or_else(|e| e.to_string(), |()| "held".into())
    }

    fn refused(code: u16) -> watcher::Error {
        watcher::Error::WatchStartFailed(kube::Error::Api(Status::failure("no", "No").with_code(code).boxed()))
    }

    #[tokio::test]
    async fn a_wait_ends_as_soon_as_it_is_decided() {
        let pending = || Ok(Some(Expectation::pending("not yet")));
        assert_eq!(end([pending(), Ok(Some(Expectation::Held))]).await, "held");
        let refuted = [pending(), Ok(Some(Expectation::refuted("never"))), Ok(Some(Expectation::Held))];
        assert_eq!(end(refuted).await, "could not see that it is so: never");
        assert!(end([Err(refused(403)), Ok(Some(Expectation::Held))]).await.contains("No"), "a refusal stays one");
        assert_eq!(end([Err(refused(404)), Ok(Some(Expectation::Held))]).await, "held", "a kind may come later");
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_is_asked_for_again() {
        let asked = std::cell::Cell::new(0);
        let ask = async || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 { std::future::pending().await } else { Ok::<(), String>(()) }
        };
        let moment = Duration::from_millis(1);
        answered_within(moment, "it", Duration::from_secs(60), ask).await.unwrap();
        assert_eq!(asked.get(), 2);
        let never = async || std::future::pending::<std::result::Result<(), String>>().await;
        let failure = answered_within(moment, "it", moment, never).await.unwrap_err().to_string();
        assert!(failure.contains("no answer within 1ms"), "{failure}");
    }

    #[test]
    fn a_list_says_nothing_until_it_is_complete() {
        let object = |name: &str| DynamicObject {
            types: None,
            metadata: kube::core::ObjectMeta { name: Some(name.into()), ..Default::default() },
            data: serde_json::Value::Null,
        };
        let mut known = Known::default();
        let mut names = |event| known.after(event).map(|all| all.keys().cloned().collect::<Vec<_>>().join(" "));
        assert_eq!(names(Event::Init), None);
        assert_eq!(names(Event::InitApply(object("a"))), None);
        assert_eq!(names(Event::InitDone).as_deref(), Some("a"));
        assert_eq!(names(Event::Apply(object("b"))).as_deref(), Some("a b"));
        assert_eq!(names(Event::Delete(object("a"))).as_deref(), Some("b"));
        assert_eq!(names(Event::Init), None, "a new list");
        assert_eq!(names(Event::InitDone).as_deref(), Some(""));
    }

    #[tokio::test]
    async fn a_deadline_tells_the_last_state() {
        let late = "could not see that it is so: after 0 s: ";
        assert_eq!(end([]).await, format!("{late}nothing was observed"));
        let events = ["first", "second"].map(|why| Ok(Some(Expectation::pending(why))));
        assert_eq!(end(events.into_iter().chain([Ok(None)])).await, format!("{late}second"));
    }
}
