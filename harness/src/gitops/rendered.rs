//! A platform as its files make it: every application of every cloud with its objects, or with the reason why there are none. A
//! command renders it once and hands it on.

use std::{collections::BTreeMap, fmt};

use super::render::{Application, Declared};
use crate::{
    components::{Artifact, Missing},
    failure::Failure,
    judge::verdict::{Outcome, Verdict},
    world::Cloud,
};

/// Group of verdicts on single applications.
const GROUP: &str = "applications";

/// Why an application is without its objects.
#[derive(Clone, Debug)]
pub enum Unrendered {
    /// What it is made from is wrong, and Argo CD will say the same.
    Broken(Failure),
    /// Argo CD may make something of it, and this cannot.
    Unknown(Failure),
    /// Nobody has what it is made from.
    Absent(Missing),
}

impl Unrendered {
    /// The same, said of an application.
    #[must_use]
    pub(super) fn of(self, name: &str) -> Self {
        let attempted = format!("render application {name}");
        match self {
            Self::Broken(failure) if failure.advice().is_none() => {
                Self::Broken(failure.within(attempted).next("correct the application, or what it is made from"))
            }
            Self::Broken(failure) => Self::Broken(failure.within(attempted)),
            Self::Unknown(failure) => Self::Unknown(failure.within(attempted)),
            Self::Absent(missing) => Self::Absent(missing),
        }
    }

    /// All of it on one line.
    pub fn on_one_line(&self) -> String {
        match self {
            Self::Broken(failure) | Self::Unknown(failure) => failure.on_one_line(),
            Self::Absent(missing) => missing.reason.clone(),
        }
    }
}

impl fmt::Display for Unrendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(failure) | Self::Unknown(failure) => failure.fmt(f),
            Self::Absent(missing) => f.write_str(&missing.reason),
        }
    }
}

/// All applications of a platform.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    clouds: BTreeMap<Cloud, Vec<Declared>>,
    /// Charts that the component lock does not have and applications are made from, with the URLs of their repositories.
    pub charts: Vec<(String, Artifact)>,
}

impl Rendered {
    /// Applications that are made from no charts of others, or of which nobody asks for these any more.
    pub(crate) fn new(clouds: impl IntoIterator<Item = (Cloud, Vec<Declared>)>) -> Self {
        Self { clouds: clouds.into_iter().collect(), charts: Vec::new() }
    }

    /// With the applications of a cloud, and the charts that they are made from.
    pub(super) fn add(&mut self, cloud: Cloud, declared: Vec<Declared>, charts: Vec<(String, Artifact)>) {
        self.clouds.insert(cloud, declared);
        for (repository, chart) in charts {
            if !self.charts.iter().any(|(_, known)| known.path == chart.path) {
                self.charts.push((repository, chart));
            }
        }
    }

    /// The applications of a cloud, parents first.
    pub fn of(&self, cloud: Cloud) -> &[Declared] {
        self.clouds.get(&cloud).map(Vec::as_slice).unwrap_or_default()
    }

    /// Those of them that have objects.
    pub fn applications(&self, cloud: Cloud) -> impl Iterator<Item = &Application> {
        self.of(cloud).iter().filter_map(|declared| declared.rendered.as_ref().ok())
    }

    /// Those that have none, each with the reason.
    pub fn unrendered(&self, cloud: Cloud) -> impl Iterator<Item = (&Declared, &Unrendered)> {
        self.of(cloud).iter().filter_map(|declared| Some((declared, declared.rendered.as_ref().err()?)))
    }

    /// The same of all clouds.
    fn all_unrendered(&self) -> impl Iterator<Item = (Cloud, &Declared, &Unrendered)> {
        let clouds = self.clouds.keys().copied();
        clouds.flat_map(|cloud| self.unrendered(cloud).map(move |(declared, why)| (cloud, declared, why)))
    }

    /// What nobody has.
    pub fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.all_unrendered().filter_map(|(.., why)| match why {
            Unrendered::Absent(missing) => Some(missing),
            Unrendered::Broken(_) | Unrendered::Unknown(_) => None,
        })
    }

    /// Whether the objects are known of every application that can be had.
    pub fn is_whole(&self) -> bool {
        self.all_unrendered().all(|(.., why)| matches!(why, Unrendered::Absent(_)))
    }

    /// Verdicts on applications that can be had, and whose objects are not known.
    pub fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.all_unrendered().filter_map(|(cloud, declared, why)| {
            let name = declared.name();
            let (claim, outcome) = match why {
                Unrendered::Broken(failure) => {
                    (format!("{name} can be rendered"), Outcome::Failed(failure.to_string()))
                }
                Unrendered::Unknown(failure) => {
                    (format!("the files of {name} are judged"), Outcome::NotRun(failure.on_one_line()))
                }
                Unrendered::Absent(_) => return None,
            };
            Some(Verdict::new(GROUP, claim, outcome).of(cloud))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::components::Need;

    fn rendered(why: Unrendered) -> Rendered {
        let manifest = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a"}});
        let declared = Declared { manifest: serde_json::from_value(manifest).unwrap(), rendered: Err(why) };
        Rendered::new([(Cloud::Gcp, vec![declared])])
    }

    #[test]
    fn only_what_is_broken_fails() {
        let failure = || Failure::new("run kustomize", "no such file").next("add it");
        let told = |why| rendered(why).verdicts().collect::<Vec<_>>();
        let broken = told(Unrendered::Broken(failure()).of("a"));
        assert_eq!((broken[0].cloud, broken[0].claim.as_str()), (Some(Cloud::Gcp), "application a can be rendered"));
        let why = "could not render application a: could not run kustomize: no such file\n  next: add it";
        assert_eq!(broken[0].outcome, Outcome::Failed(why.into()));
        let unknown = told(Unrendered::Unknown(failure()));
        assert!(matches!(unknown[0].outcome, Outcome::NotRun(_)), "{unknown:?}");
        let what = Need::Application { cloud: Cloud::Gcp, name: "a".into(), repository: "r".into() };
        let absent = rendered(Unrendered::Absent(Missing { what, reason: "nobody has it".into() }));
        // What it lacks has a verdict of its own.
        assert_eq!((absent.verdicts().count(), absent.missing().count(), absent.is_whole()), (0, 1, true));
        assert!(!rendered(Unrendered::Unknown(failure())).is_whole());
    }
}
