//! Platforms of other layouts than the example's, run as they are: an ApplicationSet of plain folders, and a folder of
//! Applications with a store of a tenant's own, searches and templates.

use rstest::rstest;

use crate::machine::{Machine, Told};

pub const FLEET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/platforms/fleet");
const TENANTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/platforms/tenants");

#[rstest]
#[case::set(FLEET, &[
    "aws: ", "argocd/applications.yaml, in the repository https://gitlab.com/fleet/platform.git",
    "| fleet-orders ", "| external-secrets ", "| secrets-manager | aws      | service account secrets-operator/external-secrets |",
    "fleet/orders/database",
])]
#[case::folder(TENANTS, &[
    "gcp: ", "applications, in the repository https://git.tenants.example/platform/tenants",
    "| billing/secret-manager | gcpsm    | service account (its own)/secrets-reader |",
    "all that are found by", "billing-database",
])]
fn the_plan_tells_what_a_platform_is(#[case] platform: &str, #[case] said: &[&str]) {
    let told = Machine::new().run(&["plan", platform]);
    told.assert_success();
    said.iter().for_each(|text| told.assert_says(text));
    assert!(!told.all().contains("not covered") && !told.all().contains("orders-old"), "{}", told.all());
}

/// Two runs share the machine.
#[test]
fn platforms_of_other_layouts_work_as_they_are() {
    let machine = Machine::new();
    let runs = [(FLEET, "aws", "ApplicationSet fleet"), (TENANTS, "gcp", "billing, operator")]
        .map(|(platform, cloud, roots)| (machine.e2e(&["--platform", platform]).spawn().unwrap(), cloud, roots));
    for (run, cloud, roots) in runs {
        let told = Told::from(run.wait_with_output().unwrap());
        told.assert_success();
        told.assert_says(&format!("passed  {cloud} platform {roots} and all its applications are Synced and Healthy"));
        told.assert_says(&format!("passed  {cloud} suites all claims about secrets"));
        told.assert_says("the platform has no ExternalSecret observability/grafana-cloud-remote-write");
    }
    machine.assert_clean();
}
