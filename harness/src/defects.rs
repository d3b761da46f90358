//! Known defects of the parts of a platform, and breaks of their behaviour: which of them the releases under test have.

use std::fmt;

use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::{
    components::Lock,
    failure::{Attempt, Result},
    judge::verdict::{Outcome, Verdict},
    world::Cloud,
};

/// A defect, as `harness/components/defects.yaml` has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defect {
    /// Name, unique in the file.
    pub id: String,
    /// `external-secrets`, `argo-cd`, `kubernetes` or `prometheus`.
    pub component: String,
    /// The releases that have it.
    pub affected: VersionReq,
    /// The clouds in which it shows; all when none is named.
    #[serde(default)]
    pub clouds: Vec<Cloud>,
    /// What one sees of it.
    pub what: String,
    /// What to do about it.
    #[serde(rename = "do")]
    pub remedy: String,
    /// Where upstream says so.
    pub link: String,
    /// What here shows it: a suite's test, a judge, or a fault of the catalogue; nothing when nothing does.
    pub shown_by: Option<String>,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, component, affected, what, remedy, link, .. } = self;
        write!(f, "{id} ({component} {affected}): {what}\n  next: {remedy}\n  {link}")
    }
}

/// Everything that is known.
///
/// # Errors
/// When the file cannot be understood.
pub fn known() -> Result<Vec<Defect>> {
    let text = include_str!("../components/defects.yaml");
    serde_yaml::from_str(text).attempting(|| "read harness/components/defects.yaml".into())
}

/// The defects that a release of a component has in one of these clouds.
///
/// # Errors
/// When the file cannot be understood, or the version is none.
pub fn of(component: &str, version: &str, clouds: &[Cloud]) -> Result<Vec<Defect>> {
    let version = Version::parse(version).attempting(|| format!("look up the defects of {component} {version}"))?;
    let shows = |defect: &Defect| defect.clouds.is_empty() || defect.clouds.iter().any(|cloud| clouds.contains(cloud));
    let has = |defect: &Defect| defect.component == component && defect.affected.matches(&version) && shows(defect);
    Ok(known()?.into_iter().filter(has).collect())
}

/// The defects of everything that a world consists of, with this release of the operator.
///
/// # Errors
/// As those of [`of`].
pub fn of_world(lock: &Lock, operator: &str, clouds: &[Cloud]) -> Result<Vec<Defect>> {
    let mut all = of("external-secrets", operator, clouds)?;
    let prometheus = &lock.component("prometheus")?.version;
    let (kubernetes, argocd) = (&lock.kubernetes.chosen, &lock.argocd.chosen);
    for (component, version) in [("argo-cd", argocd), ("kubernetes", kubernetes), ("prometheus", prometheus)] {
        all.extend(of(component, version, clouds)?);
    }
    Ok(all)
}

/// Adds to every failure the defects that show in a test which failed in it.
pub fn explain(verdicts: &mut [Verdict], defects: &[Defect]) {
    for verdict in verdicts {
        let Outcome::Failed(why) = &mut verdict.outcome else { continue };
        let met = told(defects, |test| why.contains(&format!("{test}::")));
        why.push_str(&met);
    }
}

/// What is to be added to the failure of a test: the defects that show in it.
pub fn met(defects: &[Defect], test: &str) -> String {
    told(defects, |shows| shows == test)
}

fn told(defects: &[Defect], failed: impl Fn(&str) -> bool) -> String {
    let shows = |defect: &&Defect| {
        let test = defect.shown_by.as_deref().and_then(|shown| shown.split_once("::"));
        test.is_some_and(|(_, test)| failed(test))
    };
    defects.iter().filter(shows).map(|defect| format!("\nknown upstream: {defect}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use walkdir::WalkDir;

    use super::*;
    use crate::workspace;

    #[test]
    fn a_release_has_its_own_defects() {
        let ids = |component: &str, version: &str, clouds: &[Cloud]| -> BTreeSet<String> {
            of(component, version, clouds).unwrap().into_iter().map(|defect| defect.id).collect()
        };
        let has = |version: &str, id: &str| ids("external-secrets", version, &[Cloud::Aws]).contains(id);
        assert!(!has("0.20.4", "null-byte-policy-default") && has("2.4.1", "null-byte-policy-default"));
        assert!(!has("2.9.0", "null-byte-policy-default") && has("2.9.0", "strategy-defaults-gone"));
        assert!(has("2.4.1", "scheduled-deletion-as-error"));
        assert!(!ids("external-secrets", "2.4.1", &[Cloud::Gcp]).contains("scheduled-deletion-as-error"));
        assert!(ids("argo-cd", "3.3.7", &Cloud::ALL).contains("no-periodic-refresh"));
        assert!(of("argo-cd", "three", &Cloud::ALL).is_err());
    }

    #[test]
    fn a_failure_is_explained_by_its_test() {
        let defects = known().unwrap();
        let failed = |why: &str| Verdict::new("suites", "all claims", Outcome::Failed(why.into()));
        let mut verdicts = [failed("every_state_under_every_policy::case_1_aws: x"), failed("something::case_1: y")];
        explain(&mut verdicts, &defects);
        let told = verdicts.map(|verdict| match verdict.outcome {
            Outcome::Failed(why) => why,
            other => panic!("{other:?}"),
        });
        assert!(told[0].contains("known upstream: scheduled-deletion-as-error"), "{}", told[0]);
        assert_eq!(told[1], "something::case_1: y");
    }

    /// Whatever is said to show a defect is there, and no defect is there twice.
    #[test]
    fn what_shows_a_defect_exists() {
        let defects = known().unwrap();
        let ids: BTreeSet<&str> = defects.iter().map(|defect| defect.id.as_str()).collect();
        assert_eq!(ids.len(), defects.len());
        for defect in &defects {
            let Some(shown) = &defect.shown_by else { continue };
            let there = match shown.split_once("::") {
                Some(("judge", judge)) => workspace().join("harness/src/judge").join(judge).exists(),
                Some((suite, test)) => {
                    let text = fs::read_to_string(workspace().join(format!("suites/tests/{suite}.rs"))).unwrap();
                    text.contains(&format!("fn {test}("))
                }
                None => {
                    let fault = format!("{}.yaml", shown.trim_start_matches("faults/"));
                    let all = WalkDir::new(workspace().join("fixtures/faults")).into_iter().flatten();
                    all.into_iter().any(|entry| entry.path().ends_with(&fault))
                }
            };
            assert!(there, "{}: there is no {shown}", defect.id);
        }
    }
}
