//! The main job: worlds of all clouds side by side, each judged by itself, and one report.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use futures::{FutureExt, future::join_all};
use tracing::info;

use crate::{
    cluster::{Backend, embedded::preflight},
    components::{Store, stand_in::Role},
    defects, example,
    failure::{Attempt, Failure, Result},
    faults::{self, Fault, copy::Tree},
    gitops::{abroad::Abroad, checkout, container::Container, layout::Layout, render::Renderer, roots},
    judge::{
        central,
        leaks::{
            self,
            sources::{self, Values},
        },
        verdict::{Conclusion, Verdict},
    },
    report::{self, Phases, conclusion, junit, table, terminal},
    suite::Suites,
    trial::{Halves, Record, Trial, left_to_others, uninterrupted},
    workspace,
    world::{
        Cloud, Engine, Nodes, Parts, Run, bringup::Wish, declared::declaration, nodes::Asked, ownership::Estate, sweep,
    },
};

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// The clouds; when none is named, all that the platform has (and that the fault can break).
    pub clouds: Vec<Cloud>,
    /// Working tree of the platform, or the URL of its repository.
    pub platform: PathBuf,
    /// Release of External Secrets to test; without one, the pinned release where a source has it.
    pub operator: Option<String>,
    /// Faults of the catalogue to break copies with: `<name>` for every cloud that has it, or `<cloud>/<name>`.
    pub faults: Vec<String>,
    /// The worlds' nodes, where they shall not be as declared.
    pub nodes: Asked,
    /// What makes their clusters.
    pub backend: Backend,
    /// Make Docker able to run kind, where it can be.
    pub fix_docker: bool,
    /// Let something that only answers stand in for images that no source has.
    pub stand_ins: bool,
    /// Leave the worlds running.
    pub keep: bool,
    /// Folder for reports; the run makes one of its own in it.
    pub report: PathBuf,
}

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

/// Runs the main job.
///
/// # Errors
/// When the run could not even begin, or something of it could not be removed.
pub async fn e2e(store: &Store, job: &Job) -> Result<Conclusion> {
    let mut phases = Phases::begin("run", "sweep");
    let subject = Subject::find(store, job).await?;
    let further = subject.further_nodes()?;
    let estate = Estate::open()?;
    let worlds = subject.clouds.len() as u64;
    preflight::check(estate.root(), &store.cache().blobs(), worlds, further)?;
    tidy(&estate, store)?;
    let concluded =
        Run::during(&estate, async |run| conduct(store, job, &subject, &estate, run, &mut phases).await).await;
    // A world whose making was interrupted has no owner any more.
    tidy(&estate, store)?;
    concluded
}

async fn conduct(
    store: &Store,
    job: &Job,
    subject: &Subject,
    estate: &Estate,
    run: &Run,
    phases: &mut Phases,
) -> Result<Conclusion> {
    let (temporary, run) = (run.folder().to_owned(), run.id());
    let report = report::folder(&job.report, run)?;
    phases.next("components");
    let backend = job.backend.choose(job.fix_docker).await?;
    let (parts, nextest) = uninterrupted(async {
        let parts = Parts::find(store, job.operator.as_deref(), &subject.pinned, None).await?;
        let parts = subject.complete(parts, store).await?.with(backend, store).await?;
        Ok((parts, store.obtain("cargo-nextest").await?.path.join("cargo-nextest")))
    })
    .await?;
    let headline = subject.headline(job, &parts);
    terminal::print(&headline);

    phases.next("metrics");
    let engine = uninterrupted(Engine::start(estate, &parts.prometheus, run, &report)).await?;

    phases.next("worlds");
    let compiling = Suites::new(nextest.clone(), &report)?;
    // Compiling the suites overlaps with the bring-up, which mostly waits for others.
    let compiled = tokio::spawn(async move { compiling.compile(&temporary).await });
    let compiled = async move { compiled.await.attempting(|| "compile the suites".into())? }.boxed().shared();
    let trials = subject.clouds.iter().enumerate().map(async |(place, cloud)| {
        let folder = report.join(cloud.name());
        fs::create_dir(&folder).attempting(|| format!("make {}", folder.display()))?;
        let trial = Trial {
            estate,
            parts: &parts,
            store,
            run,
            wish: subject.wish(*cloud, subject.fault(*cloud)?.as_ref(), &folder).await?,
            engine: engine.socket(),
            broken: !subject.faults.is_empty(),
            suites: Halves {
                rest: Suites::new(nextest.clone(), &folder.join("rest"))?,
                secrets: Suites::new(nextest.clone(), &folder.join("secrets"))?,
                metrics: Suites::new(nextest.clone(), &folder.join("metrics"))?,
            },
            elsewhere: subject.left_out(place),
            compiled: compiled.clone(),
            keep: job.keep,
            report: folder,
        };
        trial.hold().await
    });
    // Each world is taken down before the first error of any is told.
    let records = tokio::select! {
        records = join_all(trials) => records.into_iter().collect::<Result<Vec<Record>>>()?,
        failure = engine.broken() => return Err(failure),
    };

    phases.next("report");
    let answers = central::answers(&engine, &records).await?;
    terminal::print(table::components(&parts.provenance));
    terminal::print(table::secret_rows(records.iter().flat_map(|r| &r.secrets)));
    terminal::print(table::worlds(&records));
    terminal::print(table::queries(&answers));
    let of_run = parts.not_run().chain(central::verdicts(&answers, &records));
    let mut verdicts: Vec<_> = of_run.chain(records.iter().flat_map(|r| r.verdicts.clone())).collect();
    defects::explain(&mut verdicts, &defects::of_world(&store.lock, &parts.operator.version, &subject.clouds)?);
    let suites: Vec<&Path> = records.iter().flat_map(|r| &r.junit).map(PathBuf::as_path).collect();
    let file = report.join("junit.xml");
    junit::write(&file, &suites, &verdicts, &parts.provenance)?;
    phases.next("leaks");
    // What the conclusion will print is in the file: the verdicts.
    verdicts.push(leaks(&records, &report, engine.folder()));
    junit::write(&file, &suites, &verdicts, &parts.provenance)?;
    phases.next("teardown");
    match job.keep {
        true => engine.keep().await?,
        false => engine.stop().await?,
    }
    Ok(conclusion::print(&headline, &report, &verdicts, &phases.end()))
}

/// Whether a secret value of any world is in what is published of the run, or in what its worlds share.
fn leaks(records: &[Record], report: &Path, engine: &Path) -> Verdict {
    let begun = Instant::now();
    let named = |record: &Record| {
        let cloud = record.cloud;
        record.values.clone().into_iter().map(move |(name, values)| (format!("{name} of {cloud}"), values))
    };
    let values: Values = records.iter().flat_map(named).collect();
    leaks::verdict(sources::run(&values, report, engine)).took(begun.elapsed())
}

/// What the job names. A name that means nothing is refused before anything is made.
pub(crate) struct Subject {
    /// Working tree of the platform.
    pub(crate) platform: PathBuf,
    /// Where things are in it.
    layout: Layout,
    /// The clouds, in the order of reports.
    pub(crate) clouds: Vec<Cloud>,
    /// Release of External Secrets that the platform pins.
    pub(crate) pinned: String,
    faults: Vec<String>,
    nodes: Asked,
    stand_ins: bool,
}

impl Subject {
    /// Finds everything that the job names.
    ///
    /// # Errors
    /// The first name that means nothing.
    pub(crate) async fn find(store: &Store, job: &Job) -> Result<Self> {
        let platform = checkout::folder(&job.platform).await?;
        if let Some(version) = &job.operator {
            store.lock.operator_release(version)?;
        }
        let layout = Layout::find(&platform)?;
        let mut subject = Self {
            platform,
            layout,
            clouds: job.clouds.clone(),
            pinned: store.lock.operator.pinned.clone(),
            faults: job.faults.clone(),
            nodes: job.nodes,
            stand_ins: job.stand_ins,
        };
        // Named twice is named once; the order is that of reports.
        subject.clouds.sort();
        subject.clouds.dedup();
        if subject.clouds.is_empty() {
            subject.clouds = subject.all()?;
        }
        if let Some(pinned) = subject.pin()? {
            subject.pinned = pinned;
        }
        for cloud in &subject.clouds {
            subject.root(*cloud, None)?;
            subject.fault(*cloud)?;
            subject.nodes(*cloud)?;
        }
        Ok(subject)
    }

    /// The clouds that the platform has, and of these the ones that the fault can break.
    fn all(&self) -> Result<Vec<Cloud>> {
        let found = |all: &[Cloud], has: &dyn Fn(Cloud) -> Result<()>| -> Result<Vec<Cloud>> {
            let (mut some, mut missing) = (Vec::new(), None);
            for cloud in all {
                match has(*cloud) {
                    Ok(()) => some.push(*cloud),
                    Err(failure) => missing = missing.or(Some(failure)),
                }
            }
            match missing {
                Some(failure) if some.is_empty() => Err(failure),
                _ => Ok(some),
            }
        };
        let clouds = found(&Cloud::ALL, &|cloud| self.root(cloud, None).map(|_| ()))?;
        found(&clouds, &|cloud| self.fault(cloud).map(|_| ()))
    }

    /// The release of External Secrets that the platform pins for all of these clouds; nothing where its files do not say it
    /// plainly.
    fn pin(&self) -> Result<Option<String>> {
        let pins = self.clouds.iter().map(|cloud| self.layout.pins(&self.platform, *cloud, "external-secrets"));
        let pins: BTreeSet<String> = pins.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        if pins.len() > 1 {
            let seen = format!("it pins {}", pins.into_iter().collect::<Vec<_>>().join(" and "));
            return Err(Failure::new("find the platform's release of External Secrets", seen)
                .next("a run has one: test the clouds one by one with --cloud"));
        }
        Ok(pins.into_iter().next())
    }

    /// The suites that the world in this place of the report leaves out: other worlds of the run try them, or they are about
    /// the example platform, which this is not.
    fn left_out(&self, place: usize) -> Vec<&'static str> {
        let is_example = example().canonicalize().is_ok_and(|example| example == self.platform);
        let example = (!is_example).then_some("example");
        left_to_others(place, self.clouds.len()).into_iter().chain(example).collect()
    }

    /// The platform's root for a cloud, or for its cell with another release of the operator.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn root(&self, cloud: Cloud, cell: Option<&str>) -> Result<PathBuf> {
        self.layout.root(&self.platform, cloud, cell)
    }

    /// Folder with the platform's settings of Argo CD.
    pub(crate) fn settings(&self) -> PathBuf {
        self.platform.join(&self.layout.settings)
    }

    /// Folder of the declared clouds.
    pub(crate) fn worlds(&self) -> &Path {
        &self.layout.clouds
    }

    /// File with what stands in a cloud.
    pub(crate) fn declared(&self, cloud: Cloud) -> PathBuf {
        self.worlds().join(format!("{cloud}.yaml"))
    }

    /// What renders the platform (its cell with another release of the operator, where it has one) with these chart archives
    /// of the component lock; and what it has from elsewhere. Applications that cannot be had here are left out.
    ///
    /// # Errors
    /// When no source has a program for it, or the platform cannot be read.
    pub(crate) async fn renderer(
        &self,
        store: &Store,
        charts: Vec<PathBuf>,
        cell: Option<&str>,
    ) -> Result<(Renderer, Abroad)> {
        let renderer = Renderer::find(store, &self.platform, &self.settings(), charts).await?;
        let mut abroad = Abroad::default();
        for cloud in &self.clouds {
            let root = self.root(*cloud, cell).or_else(|_| self.root(*cloud, None))?;
            let own = roots::repository(&root)?;
            abroad.add(store, *cloud, &renderer.declared(&root).await?, &own).await;
        }
        let archives = abroad.charts.iter().map(|(_, chart)| chart.path.clone()).collect();
        let without = abroad.applications().map(Into::into).collect();
        Ok((renderer.with(archives, without), abroad))
    }

    /// The parts with what the platform's applications need from elsewhere, and of what nobody has only that which they need;
    /// with stand-ins for images, when these are wanted.
    ///
    /// # Errors
    /// When the platform cannot be read.
    pub(crate) async fn complete(&self, parts: Parts, store: &Store) -> Result<Parts> {
        let archives = parts.charts.iter().map(|chart| chart.archive.clone()).collect();
        let (renderer, abroad) = self.renderer(store, archives, parts.operator.cell()).await?;
        let mut parts = parts.and(abroad);
        let mut roles: BTreeMap<String, Role> = BTreeMap::new();
        for cloud in &self.clouds {
            let applications = renderer.applications(&self.root(*cloud, parts.operator.cell())?).await?;
            for container in applications.iter().flat_map(|application| &application.objects).flat_map(Container::of) {
                if let Some(image) = container.image() {
                    roles.entry(image).or_default().add(container);
                }
            }
        }
        parts.missing.retain(|missing| missing.what.image().is_none_or(|image| roles.contains_key(image)));
        if self.stand_ins { parts.with_stand_ins(&roles, store).await } else { Ok(parts) }
    }

    /// Number of nodes beside the first of each world, all of which this machine can have.
    fn further_nodes(&self) -> Result<u64> {
        let further = |cloud: &Cloud| {
            let nodes = self.nodes(*cloud)?;
            nodes.possible().map(|()| u64::from(nodes.count - 1))
        };
        self.clouds.iter().map(further).sum()
    }

    /// The nodes of a cloud's world.
    ///
    /// # Errors
    /// When no world has such nodes.
    pub(crate) fn nodes(&self, cloud: Cloud) -> Result<Nodes> {
        Nodes::find(&self.declared(cloud), self.nodes)
    }

    fn fault(&self, cloud: Cloud) -> Result<Option<Fault>> {
        let mut named = self.faults.iter().filter_map(|fault| match fault.split_once('/') {
            Some((of, name)) => (of == cloud.name()).then_some(name),
            None => Some(fault.as_str()),
        });
        match (named.next(), named.next()) {
            (None, _) if self.faults.is_empty() => Ok(None),
            (None, _) => {
                let seen = format!("none of {} is for it", self.faults.join(", "));
                Err(Failure::new(format!("break {cloud}"), seen).next("leave the cloud out, or name a fault for it"))
            }
            (Some(name), None) => {
                let fault = Fault::read(&faults::folder(), cloud, name)?;
                fault.on_copies(name)?;
                Ok(Some(fault))
            }
            (Some(one), Some(two)) => {
                let seen = format!("{one} and {two} were asked for");
                Err(Failure::new(format!("break {cloud}"), seen).next("a world takes one fault: its cause is judged"))
            }
        }
    }

    /// First and last line of a run: what is tested, and what stands in.
    pub(crate) fn headline(&self, job: &Job, parts: &Parts) -> String {
        let clouds: Vec<&str> = self.clouds.iter().map(|cloud| cloud.name()).collect();
        let clouds = clouds.join(", ");
        let (platform, Parts { releases, operator, .. }) = (job.platform.display(), parts);
        let mut line = format!("platform {platform}, clouds {clouds}, {releases}, {operator}{}", job.nodes);
        let substituted: Vec<&str> = parts.substituted.iter().filter_map(|missing| missing.what.image()).collect();
        if !substituted.is_empty() {
            line += &format!(", substituted: {}", substituted.join(", "));
        }
        if !self.faults.is_empty() {
            line += &format!(", broken on purpose: {}", self.faults.join(", "));
        }
        line
    }

    /// The platform and the declared cloud, or copies of them in the folder `report` that a fault has broken.
    pub(crate) async fn wish(&self, cloud: Cloud, fault: Option<&Fault>, report: &Path) -> Result<Wish> {
        let (platform, worlds) = match fault {
            Some(fault) => (
                fault.break_copy(Tree::Platform, &self.platform, &report.join("broken-platform")).await?,
                fault.break_copy(Tree::Worlds, self.worlds(), &report.join("broken-worlds")).await?,
            ),
            None => (self.platform.clone(), self.worlds().to_owned()),
        };
        let own = worlds.join("grafana.yaml");
        let grafana = if own.exists() { own } else { workspace().join("fixtures/worlds/grafana.yaml") };
        let (world, declared) = (worlds.join(format!("{cloud}.yaml")), report.join("declared.yaml"));
        fs::write(&declared, declaration(&world, cloud)?).attempting(|| format!("write {}", declared.display()))?;
        Ok(Wish {
            cloud,
            platform,
            layout: self.layout.clone(),
            declared,
            grafana,
            nodes: Nodes::find(&world, self.nodes)?,
        })
    }
}
