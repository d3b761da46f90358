//! The times of a run's phases and the counts of its claims as OpenMetrics text, for a scraper or a file collector.

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::data::{Outcome, Report};
use crate::failure::{Attempt, Result};

/// The file in the folder of a run.
pub const FILE: &str = "phases.openmetrics";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    /// `run`, or the cloud of a world.
    of: String,
    phase: String,
    critical: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClaims {
    outcome: String,
}

type Number<Labels> = Family<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>;

/// The text.
///
/// # Errors
/// When it cannot be written, which a string never refuses.
pub fn text(report: &Report) -> Result<String> {
    let (phases, claims) = (Number::<OfPhase>::default(), Number::<OfClaims>::default());
    let worlds = report.clouds.iter().map(|world| (world.cloud.name(), &world.phases));
    for (of, all) in std::iter::once(("run", &report.phases)).chain(worlds) {
        for phase in all {
            let (of, critical) = (of.to_owned(), phase.critical.to_string());
            phases.get_or_create(&OfPhase { of, phase: phase.name.clone(), critical }).set(phase.seconds);
        }
    }
    for outcome in Outcome::ALL {
        let labels = OfClaims { outcome: outcome.name().into() };
        claims.get_or_create(&labels).set(report.counts.get(outcome) as f64);
    }
    let labels = [("run".into(), report.run.clone().into())].into_iter();
    let mut registry = Registry::with_labels(labels);
    registry.register_with_unit("trinity_e2e_phase", "Time that a phase of a run took", Unit::Seconds, phases);
    registry.register("trinity_e2e_claims", "Claims of a run by their outcomes", claims);
    let mut written = String::new();
    text::encode(&mut written, &registry).attempting(|| "write the times of the phases".into())?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::gather::example;

    #[test]
    fn phases_are_seconds_of_the_run_and_of_its_worlds() {
        let text = text(&example()).unwrap();
        assert!(text.contains("# TYPE trinity_e2e_phase_seconds gauge\n"), "{text}");
        assert!(text.contains("# UNIT trinity_e2e_phase_seconds seconds\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        for (labels, value) in [
            (r#"run="1a2b3c4d",of="run",phase="components",critical="true""#, "2.0"),
            (r#"run="1a2b3c4d",of="gcp",phase="suites",critical="false""#, "20.0"),
        ] {
            assert!(text.contains(&format!("trinity_e2e_phase_seconds{{{labels}}} {value}\n")), "{text}");
        }
        assert!(text.contains(r#"trinity_e2e_claims{run="1a2b3c4d",outcome="not run"} 1.0"#), "{text}");
    }
}
