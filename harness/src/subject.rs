//! What a run is about: the job as somebody gives it, and what its names mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::{
    cluster::Backend,
    components::{Store, stand_in::Role},
    example,
    failure::{Attempt, Failure, Result},
    faults::{self, Fault, copy::Tree},
    gitops::{checkout, container::Container, layout::Layout, render::Renderer, rendered::Rendered},
    suite::{self, Choice, choice},
    trial::left_to_others,
    workspace,
    world::{
        Cloud, Description, Nodes, Parts, Retain,
        bringup::Wish,
        declared::declaration,
        kept::{self, Borrowed, Wanted},
        nodes::Asked,
        ownership::Estate,
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
    /// Bring the worlds up and try nothing else.
    pub up: bool,
    /// Judge kept worlds again, and make none.
    pub reuse: bool,
    /// Which claims are tried.
    pub choice: choice::Asked,
    /// How often suites run; never is once, too.
    pub rounds: usize,
    /// Which worlds are left running.
    pub keep: Retain,
    /// Folder for reports; the run makes one of its own in it.
    pub report: PathBuf,
    /// Print the report as data on the standard output, and nothing else there.
    pub json: bool,
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
    pub(crate) faults: Vec<String>,
    nodes: Asked,
    stand_ins: bool,
    /// Which claims are tried.
    pub(crate) choice: Choice,
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
            choice: match job.up {
                true => Choice::none(),
                false => Choice::of(&job.choice, &suite::names()?).map_err(Failure::misused)?,
            },
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

    /// The kept worlds of the platform with these releases. Without named clouds, those that have one are what is tested.
    pub(crate) fn kept(&mut self, store: &Store, job: &Job, estate: &Estate) -> Result<Vec<Borrowed>> {
        let clouds = (self.clouds.as_slice(), !job.clouds.is_empty());
        let wanted = Wanted::new(store, &self.platform, clouds, job.operator.as_deref(), &self.pinned)?;
        let kept = kept::borrow(estate, &wanted)?;
        self.clouds = kept.iter().map(|borrowed| borrowed.description.cloud).collect();
        Ok(kept)
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
                .next("a run has one: test the clouds one by one with --cloud")
                .misused());
        }
        Ok(pins.into_iter().next())
    }

    /// The suites that the world in this place of the report leaves out: other worlds of the run try them, or they are about
    /// the example platform, which this is not.
    pub(crate) fn left_out(&self, place: usize) -> Vec<&'static str> {
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

    /// What renders the platform.
    ///
    /// # Errors
    /// When no source has a program for it, or the platform's settings cannot be read.
    pub(crate) async fn renderer<'a>(&self, store: &'a Store) -> Result<Renderer<'a>> {
        Renderer::find(store, &self.platform, &self.settings()).await
    }

    /// The platform, or its cell with another release of the operator, rendered.
    ///
    /// # Errors
    /// When the platform has no such cell, or its roots or settings cannot be read, or a program does not run. An application
    /// that cannot be rendered is none.
    pub(crate) async fn rendered(&self, store: &Store, cell: Option<&str>) -> Result<Rendered> {
        let roots = self.clouds.iter().map(|cloud| Ok((*cloud, self.root(*cloud, cell)?)));
        let roots = roots.collect::<Result<Vec<_>>>()?;
        self.renderer(store).await?.all(&roots).await
    }

    /// The platform rendered; and the parts with what its applications need from elsewhere, and of what nobody has only that
    /// which they need; with stand-ins for images, when these are wanted.
    ///
    /// # Errors
    /// As those of [`Self::rendered`]; or when a stand-in cannot be made.
    pub(crate) async fn complete(&self, parts: Parts, store: &Store) -> Result<(Parts, Rendered)> {
        let rendered = self.rendered(store, parts.operator.cell()).await?;
        let mut parts = parts.and(&rendered);
        let mut roles: BTreeMap<String, Role> = BTreeMap::new();
        let applications = self.clouds.iter().flat_map(|cloud| rendered.applications(*cloud));
        for container in applications.flat_map(|application| &application.objects).flat_map(Container::of) {
            if let Some(image) = container.image() {
                roles.entry(image).or_default().add(container);
            }
        }
        parts = parts.with_named(&roles.keys().map(String::as_str).collect(), store).await?;
        // An application whose objects are not known may need any of them.
        let needed = |image: &str| roles.contains_key(image) || !rendered.is_whole();
        parts.missing.retain(|missing| missing.what.image().is_none_or(needed));
        let parts = if self.stand_ins { parts.with_stand_ins(&roles, store).await? } else { parts };
        Ok((parts, rendered))
    }

    /// Number of nodes beside the first of each world, all of which this machine can have.
    pub(crate) fn further_nodes(&self) -> Result<u64> {
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

    pub(crate) fn fault(&self, cloud: Cloud) -> Result<Option<Fault>> {
        let mut named = self.faults.iter().filter_map(|fault| match fault.split_once('/') {
            Some((of, name)) => (of == cloud.name()).then_some(name),
            None => Some(fault.as_str()),
        });
        match (named.next(), named.next()) {
            (None, _) if self.faults.is_empty() => Ok(None),
            (None, _) => {
                let seen = format!("none of {} is for it", self.faults.join(", "));
                Err(Failure::new(format!("break {cloud}"), seen)
                    .next("leave the cloud out, or name a fault for it")
                    .misused())
            }
            (Some(name), None) => {
                let fault = Fault::read(&faults::folder(), cloud, name)?;
                fault.on_copies(name)?;
                Ok(Some(fault))
            }
            (Some(one), Some(two)) => {
                let seen = format!("{one} and {two} were asked for");
                Err(Failure::new(format!("break {cloud}"), seen)
                    .next("a world takes one fault: its cause is judged")
                    .misused())
            }
        }
    }

    /// First and last line of a run: what is tested, on what, and what stands in.
    pub(crate) fn headline(&self, job: &Job, parts: &Parts, kept: Option<&[&Description]>) -> String {
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
        line += &self.choice.to_string();
        if let Some(worlds) = kept {
            let names: Vec<&str> = worlds.iter().map(|world| world.name.as_str()).collect();
            line += &format!(", on kept worlds {}", names.join(", "));
        }
        if job.rounds > 1 {
            line += &format!(", {} rounds of suites", job.rounds);
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
