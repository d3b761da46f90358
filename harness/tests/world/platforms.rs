//! Platforms of other layouts than the example's, run as they are: an ApplicationSet of plain folders, and a folder of
//! Applications with a store of a tenant's own, searches and templates.

use std::{fs, path::Path, process::Command};

use rstest::rstest;

use crate::{
    kept::Cluster,
    machine::{Machine, Told},
};

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

/// Two runs share the machine; the world of one is kept, and its platform is changed.
#[test]
fn platforms_of_other_layouts_work_as_they_are() {
    let machine = Machine::new();
    let fleet = machine.folder().join("fleet");
    assert!(Command::new("cp").args(["-a", FLEET]).arg(&fleet).status().unwrap().success());
    let place = fleet.to_str().unwrap();
    let runs = [
        (&["--keep", "--platform", place][..], "aws", "ApplicationSet fleet"),
        (&["--platform", TENANTS], "gcp", "billing, dashboards, operator"),
    ]
    .map(|(args, cloud, roots)| (machine.e2e(args).spawn().unwrap(), cloud, roots));
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
    a_change_is_tried_on_the_kept_world(&machine, &fleet);
    machine.run(&["down"]).assert_success();
    machine.assert_clean();
}

/// What is changed in the platform's files reaches the world; what a world cannot learn is refused.
fn a_change_is_tried_on_the_kept_world(machine: &Machine, fleet: &Path) {
    let change = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(fleet.join(file)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(fleet.join(file), text.replace(from, to)).unwrap();
    };
    let again = || {
        let chosen = ["--suite", "secret_path", "--filter", "applications_are_synced"];
        machine.run_e2e(&[&["--reuse", "--platform", fleet.to_str().unwrap()][..], &chosen].concat())
    };
    change("apps/orders/settings.yaml", "orders.cluster-abc", "orders.cluster-xyz");
    let told = again();
    told.assert_success();
    told.assert_says("is given what has changed since: apps/orders/settings.yaml");
    told.assert_says("passed  aws suites the chosen claims about secrets");
    let moved = told.stderr.split([' ', '\n']).find(|word| word.starts_with("aws-")).unwrap().to_owned();
    let settings = ["get", "configmap", "-n", "orders", "orders", "-o", "jsonpath={.data}"];
    let settings = Cluster::find(machine, &moved).kubectl(&settings);
    assert!(settings.contains("orders.cluster-xyz"), "{settings}");

    change("infrastructure/aws.yaml", "fleet/orders/database", "fleet/orders/other");
    let told = again();
    assert!(!told.success);
    told.assert_says("what is declared to stand in aws has changed since");
    told.assert_says("next: `trinity-e2e down`");
}
