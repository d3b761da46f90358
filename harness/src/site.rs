//! Where the worlds of a run stand: one is made, used and removed again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::join_all;
use kube::Client;
use tracing::info;

use crate::{
    clock::Clock,
    cluster::embedded::preflight,
    components::{Product, Store},
    failure::{Attempt, Result},
    gitops::{rendered::Rendered, roots::Roots},
    interrupt::uninterrupted,
    judge::{
        cause::{Cause, Kind},
        metrics,
        verdict::{Conclusion, Outcome, Verdict},
        waves,
    },
    report::{self, Phases, conclusion, junit, terminal},
    sbom,
    subject::Subject,
    trial::{planted, values},
    world::{Cloud, Description, Engine, Parts, Run, World, bringup::Wish, ownership::Estate, sweep},
};

/// Removes what killed runs have left, and says so.
///
/// # Errors
/// What could not be removed.
pub fn tidy(estate: &Estate, store: &Store) -> Result<()> {
    for name in sweep::sweep(estate, sweep::Which::Abandoned)? {
        info!("removed what was left of {name}");
    }
    for name in store.cache().sweep()? {
        info!("removed the half-made artifact {name}");
    }
    Ok(())
}

/// What worlds need of their run.
pub struct Site<'a> {
    /// Where worlds live.
    estate: &'a Estate,
    /// Where artifacts come from.
    store: &'a Store,
    /// What worlds are made from.
    pub(crate) parts: &'a Parts,
    /// The platform.
    pub(crate) rendered: &'a Rendered,
    /// The run.
    pub(crate) run: &'a str,
    /// By what its times are.
    clock: Clock,
    /// Socket of the Prometheus behind Grafana Cloud.
    engine: &'a Path,
}

/// A run with one piece of work for every cloud.
pub struct Trials<'a> {
    /// Where artifacts come from.
    pub store: &'a Store,
    /// What is tried.
    pub(crate) subject: &'a Subject,
    /// Release of the operator that worlds begin with; the pinned one when there is none.
    pub operator: Option<&'a str>,
    /// Release that worlds will get while they run.
    pub next: Option<(Product, &'a str)>,
    /// What the work is called.
    pub phase: &'static str,
    /// Folder for reports; the run makes one of its own in it.
    pub report: &'a Path,
}

impl Trials<'_> {
    /// Does `work` for every cloud side by side, each with a folder of its own for what it reports, and prints the verdicts.
    ///
    /// # Errors
    /// When the run could not even begin, or something of it could not be removed.
    pub async fn side_by_side<T>(
        &self,
        headline: impl FnOnce(&Parts) -> String,
        work: impl AsyncFn(&Site<'_>, Cloud, PathBuf) -> Result<T>,
        verdicts: impl FnOnce(&Parts, Vec<T>) -> Vec<Verdict>,
    ) -> Result<Conclusion> {
        let mut phases = Phases::begin("run", "sweep");
        let (store, clouds) = (self.store, &self.subject.clouds);
        let estate = Estate::open()?;
        preflight::check(estate.root(), &store.cache().blobs(), clouds.len() as u64, 0)?;
        tidy(&estate, store)?;
        let concluded = Run::during(&estate, async |run| {
            let run = run.id();
            let report = report::folder(self.report, run)?;
            phases.next("components");
            let (parts, rendered) = uninterrupted(async {
                let parts = Parts::find(store, self.operator, &self.subject.pinned, self.next).await?;
                self.subject.complete(parts, store).await
            })
            .await?;
            sbom::of_worlds(store, &parts)?.write(&report)?;
            let headline = headline(&parts);
            terminal::print(&headline);
            phases.next("metrics");
            let engine = uninterrupted(Engine::start(&estate, &parts.prometheus, run, &report)).await?;
            phases.next(self.phase);
            let site = Site {
                estate: &estate,
                store,
                parts: &parts,
                rendered: &rendered,
                run,
                clock: phases.clock(),
                engine: engine.socket(),
            };
            let works = clouds.iter().map(async |cloud| {
                let folder = report.join(cloud.name());
                std::fs::create_dir(&folder).attempting(|| format!("make {}", folder.display()))?;
                work(&site, *cloud, folder).await
            });
            let done = tokio::select! {
                done = join_all(works) => done.into_iter().collect::<Result<Vec<_>>>()?,
                failure = engine.broken() => return Err(failure),
            };
            phases.next("report");
            engine.stop().await?;
            let verdicts: Vec<Verdict> = rendered.verdicts().chain(verdicts(&parts, done)).collect();
            junit::write(&report.join("junit.xml"), &[], &verdicts, &parts.provenance)?;
            Ok(conclusion::print(&headline, &report, &verdicts, &phases.end()))
        })
        .await;
        tidy(&estate, store)?;
        concluded
    }
}

impl Site<'_> {
    /// The platform of a world whose files were changed.
    ///
    /// # Errors
    /// As those of [`Wish::rendered`].
    pub async fn rendered_copy(&self, wish: &Wish) -> Result<Rendered> {
        wish.rendered(self.store, self.parts.operator.cell()).await
    }

    /// Does `work` in a new world, which is gone then. The work is given the world's secret values.
    ///
    /// # Errors
    /// What the work could not do, or that the world could not be made or removed.
    pub async fn in_a_world<T>(
        &self,
        wish: &Wish,
        report: &Path,
        work: impl AsyncFnOnce(&World, &Client, &BTreeMap<String, String>) -> Result<T>,
    ) -> Result<T> {
        let values = values(wish)?;
        let world = uninterrupted(World::start(self.estate, self.parts, wish, self.engine, self.run, report)).await?;
        let done = tokio::select! {
            done = uninterrupted(async {
                let client = world.description.client().await?;
                work(&world, &client, &values).await
            }) => done,
            failure = world.broken(self.clock) => Err(failure),
        };
        world.stop().await?;
        done
    }

    /// Brings the platform up, which is as it was rendered; its roots, or the cause why not.
    ///
    /// # Errors
    /// When Argo CD or the cloud could not be set up.
    pub async fn up(
        &self,
        rendered: &Rendered,
        world: &Description,
        client: &Client,
        values: &BTreeMap<String, String>,
        deadline: Duration,
    ) -> Result<Result<Roots, Cause>> {
        tokio::try_join!(world.fill_cloud(values), world.install_argocd(client, &self.parts.argocd))?;
        let (roots, up) = planted(world, client, deadline).await?;
        if let Err(cause) = up {
            return Ok(Err(cause));
        }
        if metrics::wanted(client).await?
            && let Some(cause) = metrics::arrive(client, world, 0).await?
        {
            return Ok(Err(cause));
        }
        Ok(match waves::verdict(rendered, world, client).await?.outcome {
            Outcome::Failed(why) => Err(Cause::new(Kind::Ordering, why)),
            _ => Ok(roots),
        })
    }
}
