//! What becomes of a Secret when its value goes from the backend, or comes back: every state of a cloud's secrets under
//! every policy of an ExternalSecret, seen on the world.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Event, Namespace, Secret, ServiceAccount};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use rstest::rstest;
use serde_json::{Value, json};
use suites::{
    Cloud, DEADLINE, Subject,
    caller::{READER, annotation, create, provider},
    hold,
    lifecycle::{Creation, Deletion, Lives, Policies, State, contradiction, object, policies},
};
use trinity_e2e::{
    observe::{Expectation, condition, kinds::Kind, until, until_all},
    world::{OWN, RUN_LABEL},
};

const KEY: &str = "value";
/// Key of a Secret that somebody else has made.
const THEIRS: &str = "theirs";

/// What the operator makes of the backend's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// A value: the first or the second.
    Value(&'static str),
    /// There is no such secret. This is what deletion policies are about.
    Absent,
    /// An error, which says this. No deletion policy counts, and nothing changes until it is gone.
    Error(&'static str),
}

/// What the operator makes of a cloud's answer about a secret in a state.
fn answer(cloud: Cloud, state: State, operator: &str) -> Answer {
    match (cloud, state) {
        (_, State::Live | State::Recovered | State::Enabled) => Answer::Value("first"),
        (_, State::Recreated) => Answer::Value("second"),
        // Known regression: AWS answers InvalidRequestException, and the operator takes InvalidParameterException for it,
        // so a scheduled deletion is an error under every deletion policy.
        (Cloud::Aws, State::Deleted) if !recognises_scheduled_deletion(operator) => {
            Answer::Error("was marked for deletion")
        }
        // Google's `latest` is the newest version, whatever its state: an older one that is enabled is not looked for.
        (Cloud::Gcp, State::Disabled) => Answer::Error("is in DISABLED state"),
        (Cloud::Gcp, State::Destroyed) => Answer::Error("is in DESTROYED state"),
        (_, State::Disabled) => Answer::Error("not allowed on a disabled secret"),
        // A soft-deleted secret and one that never was have the same answer in Azure: 404.
        (_, State::Deleted | State::Purged | State::Empty | State::Protected | State::Destroyed) => Answer::Absent,
    }
}

/// Releases 0.15.0 to 0.17.x know AWS's scheduled deletion (external-secrets#4562). The move to version 2 of AWS's SDK,
/// which is in 0.18.0 and all releases since, up to 2.9.0 at least, lost it (external-secrets#4484).
fn recognises_scheduled_deletion(operator: &str) -> bool {
    let mut numbers = operator.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let release = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    ((0, 15)..(0, 18)).contains(&release)
}

/// One row of the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// What the Secret holds, or that there is none.
    secret: String,
    /// Status, reason and message of the condition Ready.
    ready: String,
    /// What events say of the change.
    event: String,
}

/// What comes of an answer under policies.
fn expected(answer: Answer, (deletion, creation): Policies) -> Row {
    let row = |secret: &str, ready: &str, event: &str| {
        // Without a Secret nothing can become of it; the status is the same.
        let secret = if creation == Creation::None { "none" } else { secret };
        Row { secret: secret.into(), ready: ready.into(), event: event.into() }
    };
    let synced = "True SecretSynced: secret synced";
    let failed = "False SecretSyncedError: could not get secret data from provider";
    // The operator says dataFrom where it means data.
    let missing = "MissingProviderSecret secret does not exist at provider using spec.dataFrom[0]";
    match (answer, deletion) {
        (Answer::Value(value), _) => row(value, synced, ""),
        (Answer::Error(text), _) => row("first", failed, &format!("UpdateFailed …{text}")),
        (Answer::Absent, Deletion::Retain) => row("first", failed, "UpdateFailed …Secret does not exist"),
        (Answer::Absent, Deletion::Delete) if creation == Creation::Owner => {
            row("none", "True SecretDeleted: secret deleted due to DeletionPolicy=Delete", missing)
        }
        // The webhook lets it in, and the operator then refuses its own work, and does not try again.
        (Answer::Absent, Deletion::Delete) => row(
            "first",
            "False SecretSyncedError: could not delete secret",
            "UpdateFailed …creationPolicy=Orphan is not Owner",
        ),
        // The Secret stays, without the key: its users find an empty Secret and not none.
        (Answer::Absent, Deletion::Merge) => row("no value", synced, missing),
    }
}

/// The matrix while it is tried.
struct Trial {
    subject: Subject,
    lives: Lives,
    namespace: String,
}

/// How far the operator is with an ExternalSecret: whether it is Ready, and the digest of the labels and annotations with
/// which it was synced.
type Mark = (bool, String);

impl Trial {
    async fn begin(cloud: Cloud) -> Self {
        let subject = Subject::find(cloud).await;
        let lives = Lives::begin(&subject).await;
        let trial = Self { subject, lives, namespace: format!("{OWN}lifecycle") };
        let labels = json!({RUN_LABEL: trial.subject.world.run});
        let namespaces = Api::<Namespace>::all(trial.subject.client.clone());
        create(&namespaces, json!({"metadata": {"name": trial.namespace, "labels": labels}})).await;
        let accounts: Api<ServiceAccount> = Api::namespaced(trial.subject.client.clone(), &trial.namespace);
        let annotations = annotation(&trial.subject, "lifecycle-reader");
        create(&accounts, json!({"metadata": {"name": READER, "annotations": annotations}})).await;
        // One for each of Azure's vaults; elsewhere they are the same.
        let stores = Kind::SecretStore.within(&trial.subject.client, &trial.namespace);
        for state in [State::Live, State::Protected] {
            let store = json!({
                "apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": state.vault()},
                "spec": {"provider": provider(&trial.subject, state.vault())},
            });
            create(&stores, store).await;
            let claim = condition::ready_because("Valid");
            hold(until(stores.clone(), state.vault(), "the store is Valid", DEADLINE, claim).await);
        }
        trial
    }

    fn external(&self) -> Api<DynamicObject> {
        Kind::ExternalSecret.within(&self.subject.client, &self.namespace)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.subject.client.clone(), &self.namespace)
    }

    fn wanted(&self, state: State, policies: Policies) -> Value {
        let name = object(state, policies);
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": name},
            "spec": {
                "refreshInterval": "1h",
                "secretStoreRef": {"kind": "SecretStore", "name": state.vault()},
                "target": {
                    "name": name,
                    "deletionPolicy": format!("{:?}", policies.0), "creationPolicy": format!("{:?}", policies.1),
                },
                "data": [{"secretKey": KEY, "remoteRef": {"key": self.lives.name(state)}}],
            },
        })
    }

    /// Everything is there and synced.
    async fn all_begin_well(&self, states: &[State]) {
        for state in states {
            self.lives.make(*state, Some(&self.lives.value("first"))).await;
            for policies in policies() {
                if policies.1 == Creation::Merge {
                    let theirs =
                        json!({"metadata": {"name": object(*state, policies)}, "stringData": {(THEIRS): "theirs"}});
                    create(&self.secrets(), theirs).await;
                }
                create(&self.external(), self.wanted(*state, policies)).await;
            }
        }
        let before = names(states).map(|name| (name, (false, String::new()))).collect();
        self.all_answered("all ExternalSecrets are synced", &before, true).await;
    }

    /// Makes the operator look at all that were so before the cloud changed, and waits until it has.
    async fn all_look_again(&self, before: &BTreeMap<String, Mark>, step: &str) {
        for name in before.keys() {
            self.subject.refresh(&self.external(), name).await;
        }
        self.all_answered(&format!("the operator has looked ({step})"), before, false).await;
    }

    /// How far the operator is now with all that want the secrets of some states. It may look again at any time, so this
    /// comes before the cloud changes.
    async fn marks(&self, states: &[State]) -> BTreeMap<String, Mark> {
        let list = self.external().list(&ListParams::default()).await.expect("ExternalSecrets can be listed").items;
        let all: BTreeMap<String, Mark> =
            list.iter().map(|es| (es.metadata.name.clone().unwrap_or_default(), mark(es))).collect();
        names(states).map(|name| (name.clone(), all[&name].clone())).collect()
    }

    /// The operator has synced each with other annotations than before, or has failed with one that was well. With `well`, it
    /// shall have synced it.
    async fn all_answered(&self, what: &str, before: &BTreeMap<String, Mark>, well: bool) {
        let claim = |objects: &BTreeMap<String, DynamicObject>| {
            let waiting = |(name, before): (&String, &Mark)| {
                let Some(now) = objects.get(&format!("{}/{name}", self.namespace)).map(mark) else {
                    return Some(format!("{name}, which is not there"));
                };
                let answered = now.1 != before.1 || (before.0 && !now.0);
                (!answered || (well && !now.0)).then(|| format!("{name} {now:?}"))
            };
            match before.iter().filter_map(waiting).collect::<Vec<_>>() {
                all if all.is_empty() => Expectation::Held,
                some => Expectation::Pending(format!("waiting for {} of {}: {some:?}", some.len(), before.len())),
            }
        };
        hold(until_all(self.external(), what, DEADLINE, claim).await);
    }

    /// What is seen of an ExternalSecret and its Secret.
    async fn row(&self, state: State, policies: Policies, expected: &Row) -> Row {
        let name = object(state, policies);
        let es = self.external().get(&name).await.expect("the ExternalSecret can be read");
        let secret = self.secrets().get_opt(&name).await.expect("the Secret can be asked for");
        Row {
            secret: self.held(secret.as_ref(), policies.1),
            ready: ready(&es),
            event: self.event(&name, expected).await,
        }
    }

    /// What a Secret holds, in a word.
    fn held(&self, secret: Option<&Secret>, creation: Creation) -> String {
        let Some(secret) = secret else { return "none".into() };
        let data = secret.data.as_ref();
        if creation == Creation::Merge && data.is_none_or(|data| !data.contains_key(THEIRS)) {
            return "nothing, and not what others had in it".into();
        }
        let value = data.and_then(|data| data.get(KEY)).map(|value| String::from_utf8_lossy(&value.0).into_owned());
        match value {
            None => "no value".into(),
            Some(value) if value == self.lives.value("first") => "first".into(),
            Some(value) if value == self.lives.value("second") => "second".into(),
            Some(_) => "another value".into(),
        }
    }

    /// The expected event, once it is seen: events come after what they tell. Where none is expected, none is looked for.
    async fn event(&self, name: &str, expected: &Row) -> String {
        let Some((reason, text)) = expected.event.split_once(' ') else { return String::new() };
        let text = text.trim_start_matches('…');
        let resource = ApiResource::erase::<Event>(&());
        let events: Api<DynamicObject> = Api::namespaced_with(self.subject.client.clone(), &self.namespace, &resource);
        let claim = |events: &BTreeMap<String, DynamicObject>| {
            let of = events.values().filter(|event| event.data["involvedObject"]["name"] == name);
            let said: Vec<_> = of.map(|e| (e.data["reason"].as_str(), e.data["message"].as_str())).collect();
            match said.iter().any(|(r, message)| *r == Some(reason) && message.is_some_and(|m| m.contains(text))) {
                true => Expectation::Held,
                false => Expectation::Pending(format!("they say {said:?}")),
            }
        };
        hold(until_all(events, &format!("an event of {name} says {reason} {text:?}"), DEADLINE, claim).await);
        expected.event.clone()
    }

    /// The namespace goes, and with it, later, what is in it.
    async fn end(self) {
        let namespaces: Api<Namespace> = Api::all(self.subject.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.expect("the namespace can be deleted");
    }
}

/// Names of all objects of some states.
fn names(states: &[State]) -> impl Iterator<Item = String> {
    states.iter().flat_map(|state| policies().map(|policies| object(*state, policies)))
}

fn mark(es: &DynamicObject) -> Mark {
    // The number before it changes when the operator itself writes to the object, as release 0.20.4 does.
    let synced = es.data["status"]["syncedResourceVersion"].as_str().unwrap_or_default();
    (ready(es).starts_with("True"), synced.split_once('-').map(|(_, digest)| digest.to_owned()).unwrap_or_default())
}

/// Status, reason and message of the condition Ready.
fn ready(es: &DynamicObject) -> String {
    let conditions = es.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.into_iter().find(|c| c["type"] == "Ready").unwrap_or_default();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    format!("{} {}: {}", text("status"), text("reason"), text("message"))
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn every_state_under_every_policy(#[case] cloud: Cloud) {
    let trial = Trial::begin(cloud).await;
    let states = State::of(cloud);
    trial.all_begin_well(states).await;
    let before = trial.marks(states).await;
    for state in states {
        trial.lives.turn(*state).await;
    }
    trial.all_look_again(&before, "first").await;
    let twice: Vec<State> = states.iter().copied().filter(|state| state.has_second_step()).collect();
    let before = trial.marks(&twice).await;
    for state in &twice {
        trial.lives.turn_again(*state).await;
    }
    trial.all_look_again(&before, "second").await;

    let operator = trial.subject.world.operator.version.clone();
    let (mut table, mut different) = (Vec::new(), Vec::new());
    for state in states {
        for policies in policies() {
            let expected = expected(answer(cloud, *state, &operator), policies);
            let seen = trial.row(*state, policies, &expected).await;
            let name = object(*state, policies);
            if seen != expected {
                different.push(format!("{name}\n  expected {expected:?}\n  seen     {seen:?}"));
            }
            let Row { secret, ready, event } = seen;
            let row = format!("{name:24} | {secret:8} | {ready} | {event}");
            table.push(row.trim_end_matches([' ', '|']).to_owned());
        }
    }
    assert!(different.is_empty(), "with external-secrets {operator}:\n{}", different.join("\n"));
    trial.end().await;
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(format!("{}-{operator}-lifecycle", cloud.name()), table.join("\n"));
    });
}

/// The operator's webhook knows which policies contradict each other, and takes all others.
#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn contradicting_policies_are_refused(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let api = Kind::ExternalSecret.within(&subject.client, "default");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let (mut taken, mut refused) = (0, 0);
    for deletion in Deletion::ALL {
        for creation in Creation::ALL {
            let wanted = json!({
                "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "wanted"},
                "spec": {
                    "secretStoreRef": {"kind": "SecretStore", "name": "none"},
                    "target": {"deletionPolicy": format!("{deletion:?}"), "creationPolicy": format!("{creation:?}")},
                    "data": [{"secretKey": KEY, "remoteRef": {"key": "none"}}],
                },
            });
            let wanted = serde_json::from_value(wanted).expect("it is an ExternalSecret");
            match (contradiction((deletion, creation)), api.create(&dry, &wanted).await) {
                (None, Ok(_)) => taken += 1,
                (Some(why), Err(e)) if e.to_string().contains(why) => refused += 1,
                (expected, seen) => panic!("{deletion:?} with {creation:?}: {expected:?}, and seen {seen:?}"),
            }
        }
    }
    assert_eq!((taken, refused), (9, 3));
}

#[test]
fn the_regression_has_a_beginning_and_an_end_before() {
    for (release, known) in
        [("0.14.4", false), ("0.15.0", true), ("0.17.0", true), ("0.18.0", false), ("0.20.4", false), ("2.4.1", false)]
    {
        assert_eq!(recognises_scheduled_deletion(release), known, "{release}");
    }
}
