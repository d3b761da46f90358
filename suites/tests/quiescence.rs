//! A platform that has settled stays as it is, however often it is compared: no application leaves Synced, no operation runs,
//! and nobody writes to what Git manages.
//!
//! It has the world for itself: the harness runs it before all other suites.

use std::time::Duration;

use kube::{ResourceExt, api::ListParams};
use rstest::rstest;
use suites::{Cloud, DEADLINE, Subject, hold};
use tokio::task::JoinSet;
use trinity_e2e::{
    gitops::refresh,
    judge::{
        missing,
        quiescence::{Baseline, Disturbance},
    },
    observe::{audit, forced, kinds::Kind},
    world::OWN,
};

/// How often everything is compared anew.
const ROUNDS: usize = 3;
/// Time for one refresh of the operator.
const REFRESHED: Duration = Duration::from_secs(30);

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn a_platform_at_rest_stays_as_it_is(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let root = format!("trinity-root-{cloud}");
    let what = format!("{root} and all its applications are Synced and Healthy");
    hold(missing::settled(&subject.client, &subject.world, &root, &what, DEADLINE).await);
    let platform = |name: &str| !name.starts_with(OWN);
    let baseline = hold(Baseline::take(&subject.client, platform).await);
    assert!(baseline.applications.len() > 1, "the platform has no applications: {:?}", baseline.applications.keys());
    let disturbance = tokio::select! {
        disturbance = baseline.disturbed(&subject.client) => Some(hold(disturbance)),
        disturbance = everything_is_looked_at_again(&subject, &baseline) => disturbance,
    };
    let after = hold(Baseline::take(&subject.client, platform).await);
    let writes = hold(audit::read(&subject.world.audit));
    for (manager, count) in baseline.managers(&writes) {
        println!("{manager}: {count}");
    }
    let written = baseline.written(&after, &writes);
    let told: Vec<String> = disturbance.iter().chain(&written).map(ToString::to_string).collect();
    assert!(told.is_empty(), "the platform does not rest:\n{}", told.join("\n"));
}

/// Argo CD renders and compares every application anew, several times, and the operator reads every secret again.
async fn everything_is_looked_at_again(subject: &Subject, baseline: &Baseline) -> Option<Disturbance> {
    for _ in 0..ROUNDS {
        let mut comparisons = JoinSet::new();
        for application in baseline.applications.values() {
            let (client, name) = (subject.client.clone(), application.name_any());
            comparisons.spawn(async move { refresh::hard(&client, &name).await });
        }
        for outcome in comparisons.join_all().await {
            let application = hold(outcome).expect("it is there");
            let moved = baseline.moved(&application);
            if moved.is_some() {
                return moved;
            }
        }
        secrets_are_read_again(subject).await;
    }
    None
}

async fn secrets_are_read_again(subject: &Subject) {
    let all = Kind::ExternalSecret.all(&subject.client).list(&ListParams::default()).await;
    let all = all.expect("the ExternalSecrets can be listed");
    let ours: Vec<_> = all.into_iter().filter(|s| s.namespace().is_some_and(|n| !n.starts_with(OWN))).collect();
    assert!(!ours.is_empty(), "the platform has no ExternalSecrets");
    hold(forced::read_again(&subject.client, &ours, REFRESHED).await);
}
