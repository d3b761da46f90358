//! Clusters by kind. `trinity-e2e test` leaves this out where Docker cannot run it, and says why.

use crate::machine::Machine;

/// What the backends make differently shows in no verdict.
#[test]
fn both_backends_come_to_the_same_verdicts() {
    let machine = Machine::new();
    let reports = ["kind", "embedded"].map(|backend| {
        let told = machine.run_e2e(&["--cloud", "gcp", "--backend", backend]);
        told.assert_success();
        told.stdout.lines().find_map(|line| line.strip_prefix("report: ")).unwrap().to_owned()
    });
    machine.run(&["compare", &reports[0], &reports[1]]).assert_success();
    machine.assert_clean();
}
