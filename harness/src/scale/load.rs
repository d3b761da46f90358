//! A step of a load in one world: so many ExternalSecrets are made, and waited for without keeping any of them.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    core::{DynamicObject, ObjectMeta, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, Event},
    },
};

use super::pattern::Pattern;
use crate::{
    failure::{Attempt, Result},
    observe::{Expectation, condition, kinds::Kind, wait::settle},
    world::{OWN, RUN_LABEL},
};

/// Requests that are under way at once.
const AT_ONCE: usize = 8;
/// Time for the first to be Ready.
const FIRST: Duration = Duration::from_secs(120);
/// Time for each: the operator reads one after the other.
const EACH: Duration = Duration::from_secs(2);
/// How their names begin; the rest is their number.
const PREFIX: &str = "secret-";

/// What is made in a step.
pub struct Load<'a> {
    /// The world's API server.
    pub client: &'a Client,
    /// After what they are made.
    pub pattern: &'a Pattern,
    /// The run.
    pub run: &'a str,
    /// The step; each has a namespace of its own.
    pub step: usize,
    /// How many.
    pub secrets: usize,
}

impl Load<'_> {
    /// Makes them, and waits until all are Ready and each has its Secret. Returns when each was seen to be Ready, since the
    /// first was asked for (s), in the order of time.
    ///
    /// # Errors
    /// When one is refused, or not all are Ready at the deadline.
    pub async fn bring(&self) -> Result<Vec<f64>> {
        self.make_namespace().await?;
        let begun = Instant::now();
        let (mut times, (), ()) = tokio::try_join!(self.ready(begun), self.kept(), self.make())?;
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    fn namespace(&self) -> String {
        format!("{OWN}scale-{}", self.step)
    }

    fn deadline(&self) -> Duration {
        let each = u32::try_from(self.secrets).map_or(Duration::MAX, |secrets| EACH.saturating_mul(secrets));
        FIRST.saturating_add(each)
    }

    async fn make_namespace(&self) -> Result<()> {
        let name = self.namespace();
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some([(RUN_LABEL.to_owned(), self.run.to_owned())].into()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &namespace).await.attempting(|| format!("make the namespace {name}"))?;
        Ok(())
    }

    async fn make(&self) -> Result<()> {
        let api = Kind::ExternalSecret.within(self.client, &self.namespace());
        let one = async |number: usize| {
            let name = format!("{PREFIX}{number}");
            let object = self.pattern.external_secret(&name, self.run);
            let attempted = || format!("make the ExternalSecret {name} after {}", self.pattern.of);
            api.create(&PostParams::default(), &object).await.attempting(attempted).map(drop)
        };
        stream::iter(0..self.secrets).map(one).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Waits for all ExternalSecrets; when each was seen to be Ready, by its number.
    async fn ready(&self, begun: Instant) -> Result<Vec<f64>> {
        let what = format!("{} ExternalSecrets in {} are Ready", self.secrets, self.namespace());
        let events = watcher::watcher(Kind::ExternalSecret.within(self.client, &self.namespace()), Config::default());
        let mut seen = Seen::of(self.secrets);
        settle(events.default_backoff(), &what, self.deadline(), |event| {
            let object: DynamicObject = applied(event)?;
            match condition::is_ready(&object.data) {
                true => seen.note(&object.name_any(), begun.elapsed().as_secs_f64()),
                false => seen.refused = refusal(&object).or(seen.refused.take()),
            }
            Some(seen.expectation())
        })
        .await?;
        Ok(seen.times.into_iter().flatten().collect())
    }

    /// Waits for all Secrets, of which it gets the names alone.
    async fn kept(&self) -> Result<()> {
        let what = format!("{} Secrets are in {}", self.secrets, self.namespace());
        let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(self.client.clone(), &self.namespace());
        let events = watcher::watcher(api, Config::default());
        let mut seen = Seen::of(self.secrets);
        settle(events.default_backoff(), &what, self.deadline(), |event| {
            seen.note(&applied(event)?.name_any(), 0.0);
            Some(seen.expectation())
        })
        .await
    }
}

/// The object that an event tells of, which is there.
fn applied<K>(event: Event<K>) -> Option<K> {
    match event {
        Event::Apply(object) | Event::InitApply(object) => Some(object),
        Event::Init | Event::InitDone | Event::Delete(_) => None,
    }
}

/// Why one is not Ready; nothing when nobody has looked at it yet.
fn refusal(object: &DynamicObject) -> Option<String> {
    let mut conditions = object.data["status"]["conditions"].as_array()?.iter();
    let ready = conditions.find(|condition| condition["type"] == "Ready")?;
    Some(format!("{} is not: {}", object.name_any(), ready["message"].as_str()?))
}

/// Which objects have been seen, by their numbers: all that is kept of them.
struct Seen {
    times: Vec<Option<f64>>,
    missing: usize,
    refused: Option<String>,
}

impl Seen {
    fn of(all: usize) -> Self {
        Self { times: vec![None; all], missing: all, refused: None }
    }

    /// The first time counts. A name of another form is somebody else's.
    fn note(&mut self, name: &str, time: f64) {
        let number = name.strip_prefix(PREFIX).and_then(|number| number.parse::<usize>().ok());
        if let Some(place) = number.and_then(|number| self.times.get_mut(number))
            && place.is_none()
        {
            *place = Some(time);
            self.missing -= 1;
        }
    }

    fn expectation(&self) -> Expectation {
        match (self.missing, &self.refused) {
            (0, _) => Expectation::Held,
            (missing, None) => Expectation::Pending(format!("{missing} of {} are missing", self.times.len())),
            (missing, Some(why)) => {
                Expectation::Pending(format!("{missing} of {} are missing; {why}", self.times.len()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_counts_once_and_strangers_never() {
        let mut seen = Seen::of(2);
        for (name, time) in [("secret-1", 1.0), ("secret-1", 2.0), ("secret-2", 3.0), ("other", 4.0)] {
            seen.note(name, time);
        }
        assert_eq!((seen.times.as_slice(), seen.missing), ([None, Some(1.0)].as_slice(), 1));
        let Expectation::Pending(why) = seen.expectation() else { panic!("one is missing") };
        assert_eq!(why, "1 of 2 are missing");
        seen.note("secret-0", 5.0);
        assert!(matches!(seen.expectation(), Expectation::Held));
    }

    #[test]
    fn why_one_is_not_ready_is_told() {
        let object = |status: serde_json::Value| -> DynamicObject {
            serde_json::from_value(json!({"metadata": {"name": "secret-0"}, "status": status})).unwrap()
        };
        assert_eq!(refusal(&object(json!(null))), None);
        let not = json!({"conditions": [{"type": "Ready", "status": "False", "message": "no store"}]});
        let mut seen = Seen { refused: refusal(&object(not)), ..Seen::of(3) };
        seen.note("secret-2", 0.0);
        let Expectation::Pending(why) = seen.expectation() else { panic!("two are missing") };
        assert_eq!(why, "2 of 3 are missing; secret-0 is not: no store");
    }
}
