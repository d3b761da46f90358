//! A kept world that is judged again: what has changed since it was made, and whether the platform has followed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use kube::Client;
use tracing::info;
use trinity_emulators::{config, git};

use crate::{
    cluster::embedded::settings,
    command::Run,
    components::{Chart, Missing},
    failure::{Attempt, Failure, Result},
    gitops::roots::{self, Roots},
    judge::{
        cause::{self, Cause},
        well::Patient,
    },
    workspace,
    world::{
        Description, Parts,
        bringup::{PLATFORM, SUITES, Wish},
        description,
    },
};

/// What to do when a world cannot follow.
const ANEW: &str = "`trinity-e2e down` ends it, and `trinity-e2e up` makes one of what there is now";

/// A kept world with the platform's files as they are now.
#[derive(Clone, Debug)]
pub struct Rerun {
    /// The world.
    pub world: Description,
    /// The commit that Argo CD is given.
    pub commit: String,
    /// When that was.
    pub since: Timestamp,
}

impl Rerun {
    /// Gives the platform's files, as they are now, to the world's Git.
    ///
    /// # Errors
    /// When something has changed that no world learns after it is made: the declared clouds, or Argo CD's settings.
    pub async fn begin(world: &Description, wish: &Wish) -> Result<Self> {
        unchanged(world, wish)?;
        let since = Timestamp::now();
        let repository = world.repository();
        let attempted = || format!("give the platform's files to world {}", world.name);
        let before = git_in(&repository, &["rev-parse", "main"]).await?;
        let commit = git::snapshot(&world.platform, &repository).await.attempting(attempted)?;
        git::snapshot(&workspace().join(SUITES), &world.folder.join(description::SUITES))
            .await
            .attempting(attempted)?;
        let changed = changed(&repository, [&before, &commit]).await?;
        if !changed.is_empty() {
            info!("world {} is given what has changed since: {}", world.name, changed.join(", "));
        }
        let first = git_in(&repository, &["rev-list", "--max-parents=0", "main"]).await?;
        let settings = world.settings.strip_prefix(&world.platform).unwrap_or(&world.settings);
        let all = self::changed(&repository, [&first, &commit]).await?;
        if let Some(file) = all.iter().find(|file| Path::new(file).starts_with(settings)) {
            let seen = format!("{file} has changed since, and Argo CD gets its settings when a world is made");
            return Err(Failure::new(format!("use world {} again", world.name), seen).next(ANEW));
        }
        Ok(Self { world: world.clone(), commit, since })
    }

    /// Applies the root, as a person would who changes it, and waits until the platform is as Git has it. Returns what it consists
    /// of, and what is excused, or the cause why it does not get there.
    ///
    /// # Errors
    /// When the root cannot be applied.
    pub(crate) async fn followed(&self, client: &Client) -> Result<(Roots, Result<BTreeSet<String>, Cause>)> {
        let Self { world, commit, since } = self;
        let roots = roots::plant(client, &world.root).await?;
        let patient = Patient { world, client, roots };
        let up = cause::explained(client, world, *since, patient.at(commit, PLATFORM)).await;
        Ok((patient.roots, up))
    }
}

impl Parts {
    /// The same as kept worlds were made from: charts, and what nobody had.
    ///
    /// # Errors
    /// When a world's folder does not tell.
    pub fn of_kept(mut self, worlds: &[&Description]) -> Result<Self> {
        for world in worlds {
            for config::Charts { host, path, archives } in gateway(world)?.charts {
                let repository = format!("https://{host}{path}");
                let charts = archives.into_iter().map(|archive| Chart { repository: repository.clone(), archive });
                for chart in charts {
                    if !self.charts.iter().any(|known| known.archive == chart.archive) {
                        self.charts.push(chart);
                    }
                }
            }
        }
        let all = |of: fn(&Description) -> &Vec<Missing>| {
            let mut found: Vec<Missing> = Vec::new();
            for missing in worlds.iter().flat_map(|world| of(world)) {
                if !found.iter().any(|known| known.what == missing.what) {
                    found.push(missing.clone());
                }
            }
            found
        };
        self.missing = all(|world| &world.missing);
        self.substituted = all(|world| &world.substituted);
        if let Some(world) = worlds.first() {
            self.operator.clone_from(&world.operator);
            self.provenance.clone_from(&world.components);
        }
        Ok(self)
    }
}

/// The socket of the Prometheus behind a kept world's Grafana Cloud.
///
/// # Errors
/// When the world's folder does not tell.
pub fn engine(world: &Description) -> Result<PathBuf> {
    let engine = gateway(world)?.grafana.and_then(|grafana| grafana.engine);
    engine.ok_or_else(|| Failure::new(format!("find the metrics of world {}", world.name), "it has none").next(ANEW))
}

/// How a kept world's gateway was told to play.
fn gateway(world: &Description) -> Result<config::Config> {
    let file = world.folder.join(settings::GATEWAY);
    let attempted = || format!("read {}", file.display());
    serde_json::from_slice(&fs::read(&file).attempting(attempted)?).attempting(attempted)
}

/// Refuses a world in whose clouds something else stands than is declared now.
fn unchanged(world: &Description, wish: &Wish) -> Result<()> {
    let attempted = || format!("use world {} again", world.name);
    let read = |file: &Path| {
        fs::read_to_string(file).map_err(|e| {
            Failure::new(attempted(), format!("what its cloud was made from is gone: {}: {e}", file.display()))
                .next(ANEW)
        })
    };
    if read(world.emulated.declared())? != read(&wish.declared)? {
        let seen = format!("what is declared to stand in {} has changed since", world.cloud);
        return Err(Failure::new(attempted(), seen).next(ANEW));
    }
    let changed = |file: &Path| fs::metadata(file).and_then(|file| file.modified()).attempting(attempted);
    if wish.grafana != world.grafana || changed(&wish.grafana)? > changed(&world.folder.join("world.json"))? {
        let seen = format!("{} has changed since", wish.grafana.display());
        return Err(Failure::new(attempted(), seen).next(ANEW));
    }
    Ok(())
}

/// The files that differ between two commits.
async fn changed(repository: &Path, [one, other]: [&str; 2]) -> Result<Vec<String>> {
    let names = git_in(repository, &["diff", "--name-only", "--no-renames", one, other]).await?;
    Ok(names.lines().map(Into::into).collect())
}

async fn git_in(repository: &Path, args: &[&str]) -> Result<String> {
    Run::new("git").arg("--git-dir").arg(repository).args(args).text().await
}
