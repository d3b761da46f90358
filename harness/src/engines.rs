//! The Prometheus behind the Grafana Cloud of a run's worlds: one of its own, or those of the kept worlds that it judges again.

use std::{
    future::pending,
    path::{Path, PathBuf},
};

use crate::{
    failure::{Failure, Result},
    judge::verdict::{Outcome, Verdict},
    rerun,
    trial::Record,
    world::{Description, Engine, kept, ownership::Estate},
};

/// Those of one run.
pub enum Engines {
    /// The one that it has started.
    Own(Box<Engine>),
    /// Those that others have started, which go on.
    Kept {
        /// Their sockets.
        sockets: Vec<PathBuf>,
        /// Whether there is one, and it has samples of no world that is not in this run.
        alone: bool,
    },
}

impl Engines {
    /// Starts one.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start(estate: &Estate, prometheus: &Path, run: &str, report: &Path) -> Result<Self> {
        Engine::start(estate, prometheus, run, report).await.map(Box::new).map(Self::Own)
    }

    /// Those of kept worlds.
    ///
    /// # Errors
    /// When the folder of a world does not tell.
    pub fn of_kept(estate: &Estate, worlds: &[&Description]) -> Result<Self> {
        let mut sockets = worlds.iter().map(|world| rerun::engine(world)).collect::<Result<Vec<PathBuf>>>()?;
        sockets.sort();
        sockets.dedup();
        let alone = match worlds {
            [world, ..] => sockets.len() == 1 && kept::of_run(estate, &world.run)? == worlds.len(),
            [] => false,
        };
        Ok(Self::Kept { sockets, alone })
    }

    /// Socket of the one that new worlds write to.
    pub fn own(&self) -> Option<&Path> {
        match self {
            Self::Own(engine) => Some(engine.socket()),
            Self::Kept { .. } => None,
        }
    }

    fn sockets(&self) -> Vec<&Path> {
        match self {
            Self::Own(engine) => vec![engine.socket()],
            Self::Kept { sockets, .. } => sockets.iter().map(PathBuf::as_path).collect(),
        }
    }

    /// Their folders.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.sockets().into_iter().filter_map(Path::parent)
    }

    /// Socket of the one that has samples of this run's worlds and no others, if it is so.
    pub fn of_these_alone(&self) -> Option<&Path> {
        match self {
            Self::Own(engine) => Some(engine.socket()),
            Self::Kept { sockets, alone } => sockets.first().filter(|_| *alone).map(PathBuf::as_path),
        }
    }

    /// That queries over all clouds could not be judged, where worlds have sent samples to an engine that others use, too.
    pub fn strangers(&self, records: &[Record]) -> Option<Verdict> {
        if self.of_these_alone().is_some() || !records.iter().any(Record::sends) {
            return None;
        }
        let why = "their Prometheus has samples of worlds that are not in this run".to_owned();
        Some(Verdict::new("queries", "all claims", Outcome::NotRun(why)))
    }

    /// Ends only when the one dies that this run has started, with its last words.
    pub async fn broken(&self) -> Failure {
        match self {
            Self::Own(engine) => engine.broken().await,
            Self::Kept { .. } => pending().await,
        }
    }

    /// Ends the run's own, unless a kept world goes on to send samples.
    ///
    /// # Errors
    /// What could not be ended.
    pub async fn end(self, records: &[Record]) -> Result<()> {
        match self {
            Self::Own(engine) if records.iter().any(|record| record.reached.is_some()) => engine.keep().await,
            Self::Own(engine) => engine.stop().await,
            Self::Kept { .. } => Ok(()),
        }
    }
}
