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
], &[])]
#[case::folder(TENANTS, &[
    "gcp: ", "applications, in the repository https://git.tenants.example/platform/tenants",
    "| billing/secret-manager | gcpsm    | service account (its own)/secrets-reader |",
    "all that are found by", "billing-database",
], &["application dashboards: could not get chart dashboards 1.0.0 of "])]
fn the_plan_tells_what_a_platform_is(#[case] platform: &str, #[case] said: &[&str], #[case] not_covered: &[&str]) {
    let told = Machine::new().run(&["plan", platform]);
    assert_eq!(told.success, not_covered.is_empty(), "{}", told.all());
    said.iter().for_each(|text| told.assert_says(text));
    not_covered.iter().for_each(|text| told.assert_says(&format!("not covered {text}")));
    assert_eq!(told.all().matches("not covered").count(), not_covered.len(), "{}", told.all());
    assert!(!told.all().contains("orders-old"), "{}", told.all());
}

/// Two runs share the machine.
#[test]
fn platforms_of_other_layouts_work_as_they_are() {
    let machine = Machine::new();
    let runs = [(FLEET, "aws", "ApplicationSet fleet"), (TENANTS, "gcp", "billing, dashboards, operator")]
        .map(|(platform, cloud, roots)| (machine.e2e(&["--platform", platform]).spawn().unwrap(), cloud, roots));
    for (run, cloud, roots) in runs {
        let told = Told::from(run.wait_with_output().unwrap());
        told.assert_success();
        told.assert_says(&format!("passed  {cloud} platform {roots} and all its applications are Synced and Healthy"));
        assert!(!told.stdout.contains("grafana/grafana"), "the platform has no Grafana: {}", told.all());
        // Nobody has the chart of this one, and the others do not mind.
        let absent = "application dashboards is Synced and Healthy: could not get chart dashboards 1.0.0";
        assert_eq!(told.all().contains(absent), cloud == "gcp", "{}", told.all());
        told.assert_says(&format!("passed  {cloud} suites all claims about secrets"));
        told.assert_says("the platform has no ExternalSecret observability/grafana-cloud-remote-write");
    }
    machine.assert_clean();
}
