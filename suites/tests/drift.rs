//! Drift: by which of Argo CD's ways of comparing a default that Git does not say is a difference; and an edit by hand.
//!
//! The applications are the suites' own (`fixtures/suites/drift`), in namespaces of their own.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject},
};
use rstest::rstest;
use serde_json::{Value, json};
use suites::{
    Cloud, DEADLINE, Subject,
    application::{Own, Sync},
    hold,
};
use tokio::task::JoinSet;
use trinity_e2e::{
    gitops::{
        refresh,
        schema::{self, Schemas},
        tree::Tree,
    },
    judge::{drift::Drift, quiescence::Baseline},
    observe::{Expectation, audit, comparison, condition, kinds::Kind, until},
    workspace,
};

const WANTED: &str = "wanted";

/// How Argo CD compares.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// With what was applied last; its fields decide which of the live ones count, also inside lists.
    Fields,
    /// By what `ServerSideApply=true` brings along. Before Argo CD 3.6 that is a merge of what Git has into the live object,
    /// field by field, as the API server would, but without its defaults, and a list is one value; since then, a rehearsal.
    Merge,
    /// With the API server's own answer to a rehearsal of the sync, which has the defaults.
    Rehearsal,
}

/// An application of the suite's own, compared in this way, whose sync has succeeded; Argo CD has seen what it made, and
/// the operator has, too.
async fn made(cloud: Cloud, row: &str, manifests: &str, way: Way) -> Own {
    let (options, annotations): (&[&str], _) = match way {
        Way::Fields => (&[], json!({})),
        Way::Merge => (&["ServerSideApply=true"], json!({})),
        Way::Rehearsal => {
            (&["ServerSideApply=true"], json!({"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}))
        }
    };
    let sync = Sync { options, annotations, ..Sync::default() };
    let own = Own::new(cloud, &format!("drift-{row}"), &format!("drift/{manifests}"), sync).await;
    own.sees("its sync has succeeded", |application| {
        let operation = application.map(|a| &a.data["status"]["operationState"]).unwrap_or(&Value::Null);
        match operation["phase"].as_str() {
            Some("Succeeded") => match application.map(|a| &a.data["status"]["health"]["status"]) {
                Some(health) if health != "Missing" => Expectation::Held,
                health => Expectation::pending(format!("its objects are {health:?}")),
            },
            phase => Expectation::pending(format!("it is {phase:?}: {}", operation["message"])),
        }
    })
    .await;
    // Until it has, Argo CD may know the object as it was, and the API server's rehearsal as it is.
    let what = "the operator has written what it writes into a new ExternalSecret";
    let secrets = Kind::ExternalSecret.within(&own.subject.client, &own.name);
    hold(until(secrets, WANTED, what, DEADLINE, condition::not_ready_because("SecretSyncedError")).await);
    own
}

/// Argo CD's verdict on a comparison made now, and the fields that it has found to differ.
async fn verdict(own: &Own) -> (String, Vec<String>) {
    let application = hold(refresh::hard(&own.subject.client, &own.name).await).expect("it is there");
    let verdict = application.data["status"]["sync"]["status"].as_str().unwrap_or_default().to_owned();
    let compared = hold(comparison::read(&own.subject.client, &own.name).await).expect("Argo CD has compared it");
    assert_eq!(compared.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), [WANTED]);
    let differences = hold(compared[0].differences());
    (verdict, differences.iter().map(|difference| difference.path.to_string()).collect())
}

/// The folder with everything said that the release under test would fill in, and nothing that it does not know.
fn pinned(subject: &Subject) -> String {
    let own = format!("pinned-eso-{}", subject.world.operator.version);
    if workspace().join("fixtures/suites/drift").join(&own).is_dir() { own } else { "pinned".into() }
}

/// Whether the definitions of a release have defaults inside lists: those from 2.9.0 on have none any more, the operator takes
/// what is not said for its default.
fn has_defaults_in_lists(operator: &str) -> bool {
    numbers(operator) < (2, 9)
}

/// Whether a default that Git does not say inside a list is a difference to the merge of this world's Argo CD.
fn differs_by_merge(subject: &Subject) -> bool {
    numbers(&subject.world.argocd_version) < (3, 6) && has_defaults_in_lists(&subject.world.operator.version)
}

/// The first two numbers of a release.
fn numbers(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// What the release under test fills in, by the definition in the cluster and the file in Git.
async fn unpinned(subject: &Subject) -> Vec<String> {
    let kind = ApiResource::erase::<CustomResourceDefinition>(&());
    let definitions: Api<DynamicObject> = Api::all_with(subject.client.clone(), &kind);
    let definition = definitions.get("externalsecrets.external-secrets.io").await.expect("the definition is there");
    let file = workspace().join("fixtures/suites/drift/unpinned/external-secret.yaml");
    let object: Value =
        serde_yaml::from_str(&std::fs::read_to_string(file).expect("the fixture is there")).expect("YAML");
    let schemas = Schemas::of([&definition]);
    let schema = schemas.get("external-secrets.io/v1", "ExternalSecret").expect("it has a schema");
    schema::unpinned(schema, &object).iter().map(|default| default.path.to_string()).collect()
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn a_default_inside_a_list_differs_by_the_merge_alone(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let filled_in = unpinned(&subject).await;
    let policy = "spec.data[0].remoteRef.metadataPolicy".to_owned();
    let has_defaults = has_defaults_in_lists(&subject.world.operator.version);
    assert_eq!(
        filled_in.contains(&policy),
        has_defaults,
        "the operator's definition has other defaults: {filled_in:?}"
    );
    let differs = differs_by_merge(&subject);
    let mut rows = JoinSet::new();
    for way in [Way::Fields, Way::Merge, Way::Rehearsal] {
        for (row, manifests) in [("pinned", pinned(&subject)), ("unpinned", "unpinned".into())] {
            let row = format!("{way:?}-{row}").to_lowercase();
            rows.spawn(async move {
                let own = made(cloud, &row, &manifests, way).await;
                let verdict = verdict(&own).await;
                own.leaves().await;
                (row, verdict)
            });
        }
    }
    let synced = || ("Synced".to_owned(), Vec::new());
    let verdicts: BTreeMap<_, _> = rows.join_all().await.into_iter().collect();
    let expected = [
        ("fields-pinned", synced()),
        // Fields that were not applied do not count, wherever they are.
        ("fields-unpinned", synced()),
        ("merge-pinned", synced()),
        // The list is Git's as a whole: what Git does not say in it, a sync would take away, and the API server adds again.
        ("merge-unpinned", if differs { ("OutOfSync".to_owned(), filled_in) } else { synced() }),
        ("rehearsal-pinned", synced()),
        // The rehearsal's answer has the defaults, too.
        ("rehearsal-unpinned", synced()),
    ];
    assert_eq!(verdicts, expected.map(|(row, verdict)| (row.to_owned(), verdict)).into());
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn a_default_is_explained_with_the_line_that_pins_it(#[case] cloud: Cloud) {
    let own = made(cloud, "explained", "unpinned", Way::Merge).await;
    let (told, _) = verdict(&own).await;
    let tree = hold(Tree::read(&workspace().join("fixtures/suites"), ["drift/unpinned"]));
    let drift = hold(Drift::read(&own.subject.client, &tree, &own.name).await);
    if !differs_by_merge(&own.subject) {
        assert_eq!((told.as_str(), drift.defaults), ("Synced", Vec::new()));
        own.leaves().await;
        return;
    }
    let [finding] = drift.defaults.as_slice() else { panic!("there is not one finding: {drift:?}") };
    let told = finding.to_string();
    let line = "drift/unpinned/external-secret.yaml:16: add below this line\n";
    for text in [line, "spec.data[0].remoteRef.metadataPolicy = \"None\"", "    metadataPolicy: None"] {
        assert!(told.contains(text), "it does not say {text:?}:\n{told}");
    }
    own.leaves().await;
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn an_edit_by_hand_is_caught_and_attributed(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let own = made(cloud, "edited", &pinned(&subject), Way::Merge).await;
    assert_eq!(verdict(&own).await, ("Synced".to_owned(), Vec::new()));
    let secrets = Kind::ExternalSecret.within(&subject.client, &own.name);
    let itself = |name: &str| name == own.name;
    let baseline = hold(Baseline::take(&subject.client, itself).await);

    // Nothing has moved yet: the same judge, before the edit.
    let application = hold(refresh::hard(&subject.client, &own.name).await).expect("it is there");
    assert_eq!(baseline.moved(&application), None);
    let after = hold(Baseline::take(&subject.client, itself).await);
    assert_eq!(baseline.written(&after, &hold(audit::read(&subject.world.audit))), []);

    let by_hand = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    let edit = Patch::Merge(json!({"spec": {"refreshInterval": "2h0m0s"}}));
    secrets.patch(WANTED, &by_hand, &edit).await.expect("the API server takes the edit");

    own.sees("the edit is compared", |application| match application.map(|a| &a.data["status"]["sync"]["status"]) {
        Some(status) if status != "Synced" => Expectation::Held,
        status => Expectation::pending(format!("it is {status:?}")),
    })
    .await;
    let (told, paths) = verdict(&own).await;
    assert_eq!((told.as_str(), paths), ("OutOfSync", vec!["spec.refreshInterval".to_owned()]));
    let application = own.applications().get(&own.name).await.expect("it is there");
    let moved = baseline.moved(&application).expect("it has left Synced");
    assert_eq!(moved.what, "it left Synced and is OutOfSync");
    let written = baseline.written(&after, &hold(audit::read(&subject.world.audit)));
    let [write] = written.as_slice() else { panic!("there is not one write: {written:?}") };
    assert!(write.what.starts_with("spec.refreshInterval changed by kubectl-edit (patch as "), "{write}");
    let tree = hold(Tree::read(&workspace().join("fixtures/suites"), [format!("drift/{}", pinned(&subject)).as_str()]));
    let drift = hold(Drift::read(&subject.client, &tree, &own.name).await);
    let told: Vec<String> = drift.changes.iter().map(ToString::to_string).collect();
    let line = "drift/pinned/external-secret.yaml:8: kubectl-edit (at ";
    assert!(told.iter().any(|finding| finding.contains(line)), "{told:?}");
    own.leaves().await;
}
