//! A platform that has settled stays as it is, however often it is compared: no application leaves Synced, no operation runs,
//! and nobody writes to what Git manages.
//!
//! It has the world for itself: the harness runs it before all other suites.

use rstest::rstest;
use suites::{Cloud, DEADLINE, Subject, hold};
use trinity_e2e::{
    gitops::roots::Roots,
    judge::{missing, quiescence::Rest},
};

/// How often everything is compared anew.
const ROUNDS: usize = 3;

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn a_platform_at_rest_stays_as_it_is(#[case] cloud: Cloud) {
    let Subject { world, client, .. } = Subject::find(cloud).await;
    let roots = hold(Roots::read(&world.root));
    let what = format!("{roots} and all their applications are Synced and Healthy");
    hold(missing::settled(&client, &world, &roots, &what, DEADLINE).await);
    let rest = hold(Rest::see(&client, &world, ROUNDS).await);
    assert!(rest.applications > 0, "the platform has no applications");
    for (manager, count) in rest.managers {
        println!("{manager}: {count}");
    }
    let told: Vec<String> = rest.disturbances.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "the platform does not rest:\n{}", told.join("\n"));
}
