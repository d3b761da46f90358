//! What the harness and a world have used until a moment, and what of it was spent in between.

use std::{fs, ops::Add, path::Path};

use serde::Serialize;

use super::cost::{self, Process, Used};
use crate::{
    cluster::embedded::cgroups::Hierarchies,
    failure::{Attempt, Failure, Result},
    world::Description,
};

/// What was used until a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// This process, which is one for all worlds.
    pub own: Used,
    /// Processor time of this process, its helpers and the Prometheus behind Grafana Cloud, for all worlds (s).
    pub run: f64,
    /// The harness's processes in the world: its clouds.
    pub emulators: Used,
    /// Processor time of the world, its clouds included (s).
    pub world: f64,
    /// Size of the journal (bytes).
    pub journal: u64,
    /// Size of the API server's audit log (bytes).
    pub audit: u64,
}

/// Takes samples of a world.
#[derive(Debug)]
pub struct Meter<'a> {
    world: &'a Description,
    hierarchies: Hierarchies,
}

impl Sample {
    /// Before there is a world.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn of_run(run: &str) -> Result<Self> {
        let hierarchies = Hierarchies::find()?;
        Ok(Self { own: own()?, run: processor(&hierarchies, &format!("run-{run}"))?, ..Self::default() })
    }
}

impl<'a> Meter<'a> {
    /// Of this world.
    ///
    /// # Errors
    /// When there are no control groups.
    pub fn new(world: &'a Description) -> Result<Self> {
        Ok(Self { world, hierarchies: Hierarchies::find()? })
    }

    /// What was used until now.
    ///
    /// # Errors
    /// When the kernel does not tell, or a record of the world is not there.
    pub fn read(&self) -> Result<Sample> {
        let Self { world, hierarchies } = self;
        Ok(Sample {
            emulators: cost::together(&cost::emulators(hierarchies, world)?)?,
            world: processor(hierarchies, &world.name)?,
            journal: size(&world.journal)?,
            audit: size(&world.audit)?,
            ..Sample::of_run(&world.run)?
        })
    }

    /// From now on, the most memory is that of what comes.
    ///
    /// # Errors
    /// When the harness's own program cannot be found.
    pub fn forget_peaks(&self) -> Result<()> {
        let emulators = cost::emulators(&self.hierarchies, self.world)?;
        emulators.into_iter().chain([Process::own()]).for_each(Process::forget_peak);
        Ok(())
    }
}

/// What this process has used.
///
/// # Errors
/// When the kernel does not tell.
pub fn own() -> Result<Used> {
    let used = Process::own().used()?;
    used.ok_or_else(|| Failure::new("tell what the harness has used", "the kernel has no such process"))
}

/// The size of a file (bytes).
///
/// # Errors
/// When it is not there.
pub fn size(file: &Path) -> Result<u64> {
    fs::metadata(file).map(|file| file.len()).attempting(|| format!("tell the size of {}", file.display()))
}

fn processor(hierarchies: &Hierarchies, name: &str) -> Result<f64> {
    let used = hierarchies.processor_time(name).map(|used| used.as_secs_f64());
    used.ok_or_else(|| {
        Failure::new(format!("tell the processor time of {name}"), "no control group of it counts any")
            .next("mount the controller cpuacct, or cgroup v2")
    })
}

/// Processor time by who spent it (s).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    /// This process.
    pub own: f64,
    /// What it has started beside worlds, and the Prometheus behind Grafana Cloud.
    pub helpers: f64,
    /// The harness's processes in worlds.
    pub emulators: f64,
    /// All else in worlds.
    pub cluster: f64,
}

impl Spent {
    /// Between two moments, in all worlds together: the samples of each world before and after. Each has the same of the
    /// run.
    pub fn between(worlds: &[(Sample, Sample)]) -> Self {
        let Some((before, after)) = worlds.first() else { return Self::default() };
        // Clocks of different grain may disagree by some milliseconds.
        let since = |before: f64, after: f64| (after - before).max(0.0);
        let own = since(before.own.processor, after.own.processor);
        let of =
            |of: fn(&Sample) -> f64| worlds.iter().map(|(before, after)| since(of(before), of(after))).sum::<f64>();
        let emulators = of(|sample| sample.emulators.processor);
        Self {
            own,
            helpers: since(own, since(before.run, after.run)),
            emulators,
            cluster: since(emulators, of(|sample| sample.world)),
        }
    }

    /// What is not the platform's.
    pub fn harness(self) -> f64 {
        self.own + self.helpers + self.emulators
    }

    /// The harness's part of all (%); nothing when nothing was spent.
    pub fn share(self) -> Option<f64> {
        let all = self.harness() + self.cluster;
        (all > 0.0).then(|| self.harness() / all * 100.0)
    }
}

impl Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            own: self.own + other.own,
            helpers: self.helpers + other.helpers,
            emulators: self.emulators + other.emulators,
            cluster: self.cluster + other.cluster,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(own: f64, run: f64, emulators: f64, world: f64) -> Sample {
        let used = |processor| Used { processor, peak: 0 };
        Sample { own: used(own), run, emulators: used(emulators), world, ..Sample::default() }
    }

    #[test]
    fn what_worlds_share_is_counted_once() {
        let before = sample(1.0, 2.0, 0.0, 0.0);
        let spent = Spent::between(&[(before, sample(2.0, 5.0, 1.0, 40.0)), (before, sample(2.0, 5.0, 2.0, 60.0))]);
        assert_eq!(spent, Spent { own: 1.0, helpers: 2.0, emulators: 3.0, cluster: 97.0 });
        assert_eq!(spent.harness(), 6.0);
        assert_eq!(Spent { cluster: 94.0, ..spent }.share(), Some(6.0));
    }

    #[test]
    fn nothing_is_spent_backwards_and_of_nothing_there_is_no_share() {
        let spent = Spent::between(&[(sample(1.0, 1.0, 1.0, 1.0), sample(1.01, 1.0, 1.01, 1.0))]);
        assert_eq!((spent.helpers, spent.cluster), (0.0, 0.0));
        assert_eq!(Spent::between(&[]).share(), None);
        assert_eq!((Spent::default() + spent).own, spent.own);
    }
}
