//! Clusters by kind. `trinity-e2e test` leaves this out where Docker cannot run it, and says why.

use crate::{capacity, machine::Machine};

/// What the backends make differently shows in no verdict, and neither does how many nodes there are.
#[test]
fn both_backends_come_to_the_same_verdicts() {
    let machine = Machine::new();
    let kind = machine.run_e2e(&[&capacity::two()[..], &["--backend", "kind", "--keep"]].concat());
    kind.assert_success();
    capacity::assert_a_second_node(&machine);
    machine.run(&["down"]).assert_success();
    machine.assert_clean();
    let embedded = machine.run_e2e(&["--cloud", "gcp", "--backend", "embedded"]);
    embedded.assert_success();
    let told = machine.run(&["report", kind.report().to_str().unwrap(), embedded.report().to_str().unwrap()]);
    told.assert_success();
    assert!(told.stdout.trim_end().ends_with("0 worse, 0 gone, 0 new, 0 better"), "{}", told.stdout);
    machine.assert_clean();
}
