//! What Argo CD makes of sync waves, with small applications of the suite's own.

use std::collections::BTreeMap;

use rstest::rstest;
use suites::{
    Cloud,
    application::{Own, Sync, retried, says},
};
use trinity_e2e::{
    gitops::tree::Tree,
    judge::waves::{
        history::History,
        order::{self, Order},
    },
    lint,
    observe::{Expectation, audit::Write, condition},
};

/// Whether a write has made an object.
fn made(write: &Write) -> bool {
    write.code == 201 && write.target.subresource.is_empty()
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn objects_come_by_their_waves_and_go_in_reverse(#[case] cloud: Cloud) {
    let own = Own::new(cloud, "waves-ordered", "waves/ordered", Sync::default()).await;
    own.sees("it is Synced", condition::synced_and_healthy).await;
    let log = own.log();
    let planned = own.planned("waves/ordered");
    let history = History::new(&log);
    let pairs = order::judge(&own.name, &planned, &history, &BTreeMap::new());
    assert!(pairs.iter().all(|pair| pair.order == Order::Proven), "{pairs:#?}");
    assert_eq!(pairs.len(), 5);
    own.moves_to("waves/pruned").await;
    own.sees("all but one of its objects are gone", |application| {
        let left = application.and_then(|a| a.data["status"]["resources"].as_array()).map_or(0, Vec::len);
        match left {
            1 => condition::synced_and_healthy(application),
            left => Expectation::Pending(format!("{left} objects are left")),
        }
    })
    .await;
    let deleted = own.names(&own.log(), |write| write.verb == "delete" && write.code == 200);
    assert_eq!(deleted, ["third", "second", "first"]);
    own.leaves().await;
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn a_retry_begins_again_from_the_lowest_wave(#[case] cloud: Cloud) {
    const LATER: &str = "trinity-e2e-waves-later";
    let sync = Sync { options: &["ServerSideApply=true"], retries: 30, ..Sync::default() };
    let own = Own::new(cloud, "waves-retried", "waves/retried", sync).await;
    own.sees("its operation is tried again", retried).await;
    own.makes_namespace(LATER).await;
    own.sees("it is Synced when the namespace is there", condition::synced_and_healthy).await;
    let log = own.log();
    assert!(History::new(&log).retries(&own.name) > 0);
    let ours = |write: &&Write| write.target.resource == "configmaps" && write.verb == "patch";
    let tries = log.iter().filter(ours).filter(|w| [&own.name, LATER].contains(&w.target.namespace.as_str()));
    let tries: Vec<(&str, u16)> = tries.map(|write| (write.target.name.as_str(), write.code)).collect();
    // Another try may have begun before the namespace was there.
    let [("lowest", 201), ("later", 404), again @ ..] = tries.as_slice() else { panic!("{tries:?}") };
    assert!(again.chunks(2).all(|pair| pair[0].0 == "lowest"), "a retry left out the lowest wave: {tries:?}");
    assert!(again.contains(&("lowest", 200)) && again.contains(&("later", 201)), "{tries:?}");
    own.removes_namespace(LATER).await;
    own.leaves().await;
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn one_undefined_kind_refuses_the_whole_sync(#[case] cloud: Cloud) {
    let own = Own::new(cloud, "waves-undefined", "waves/undefined", Sync::default()).await;
    own.sees("its sync is refused", says("one or more synchronization tasks are not valid")).await;
    assert_eq!(own.names(&own.log(), made), [""; 0], "an object of an earlier wave was made");
    // Its twin: with the definition in the same application, in whatever wave, all of it is made, and in order.
    own.moves_to("waves/defined").await;
    own.sees("it is Synced", condition::synced_and_healthy).await;
    let log = own.log();
    let first = |such: &dyn Fn(&&Write) -> bool| {
        let found = log.iter().find(|write| made(write) && such(write));
        found.unwrap_or_else(|| panic!("there is no such write among {} ones", log.len()))
    };
    let definition = first(&|w| w.target.name == "trials.waves.trinity-e2e.dev");
    let trial = first(&|w| w.target.resource == "trials" && w.target.namespace == own.name);
    assert!(definition.before(trial));
    own.leaves().await;
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn an_annotation_without_effect_leaves_an_object_in_wave_0(#[case] cloud: Cloud) {
    const PATH: &str = "waves/ineffective";
    let own = Own::new(cloud, "waves-ineffective", PATH, Sync::default()).await;
    let application = own.sees("it is Synced", condition::synced_and_healthy).await;
    let resources = application.data["status"]["resources"].as_array().expect("it has resources");
    let waves: BTreeMap<&str, i64> =
        resources.iter().map(|r| (r["name"].as_str().unwrap_or(""), r["syncWave"].as_i64().unwrap_or(0))).collect();
    assert_eq!(waves, BTreeMap::from([("misplaced", 0), ("worded", 0), ("last", 1)]));
    let mut names = own.names(&own.log(), made);
    assert_eq!(names.pop().as_deref(), Some("last"), "after {names:?}");
    // And the manifests alone tell it.
    let folder = trinity_e2e::workspace().join("fixtures/suites").join(PATH);
    let tree = suites::hold(Tree::read(&folder, ["."]));
    let findings = lint::waves::findings(&[(own.rendered(PATH), tree)], &BTreeMap::new());
    let told: Vec<String> = findings.iter().map(|finding| finding.object.to_string()).collect();
    assert_eq!(told, ["Deployment misplaced", "ConfigMap worded"]);
    own.leaves().await;
}
