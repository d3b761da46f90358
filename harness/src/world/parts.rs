//! What worlds are made from, found before the first of them starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::description::{Operator, Provenance, SUBSTITUTED};
use crate::{
    cluster::{Backend, kind::Tools},
    components::{self, Chart, ImageSet, Lock, Missing, Need, Product, Store, debian, stand_in::Role},
    failure::{Failure, Result},
    gitops::{argocd::MANIFESTS, rendered::Rendered},
    judge::verdict::Verdict,
};

/// Names of the components that every world needs beside images.
///
/// # Errors
/// When a chosen release is not listed.
pub fn programs(lock: &Lock) -> Result<Vec<&str>> {
    let argocd = lock.argocd()?;
    // The last two render the platform as Argo CD does.
    Ok(vec![lock.kubernetes()?, "etcd", "coredns", "prometheus", &argocd.files, &argocd.helm, &argocd.kustomize])
}

/// Programs and images for worlds.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Folder of the Kubernetes programs.
    pub kubernetes: PathBuf,
    /// etcd.
    pub etcd: PathBuf,
    /// CoreDNS.
    pub coredns: PathBuf,
    /// Prometheus, which evaluates queries for the harness itself.
    pub prometheus: PathBuf,
    /// Argo CD's manifests.
    pub argocd: PathBuf,
    /// Their release.
    pub argocd_version: String,
    /// Folder of the other release of Kubernetes or Argo CD that worlds will get: programs, or manifests.
    pub next: Option<PathBuf>,
    /// Charts to serve.
    pub charts: Vec<Chart>,
    /// Images to serve.
    pub images: ImageSet,
    /// The same, unpacked.
    pub unpacked: PathBuf,
    /// What no source has.
    pub missing: Vec<Missing>,
    /// Images that no source has, and for which something stands in.
    pub substituted: Vec<Missing>,
    /// The operator under test.
    pub operator: Operator,
    /// Kubernetes and Argo CD with their versions, for people.
    pub releases: String,
    /// Where everything came from.
    pub provenance: Vec<Provenance>,
    /// What makes clusters in Docker, when that is what makes them.
    pub kind: Option<Tools>,
}

impl Parts {
    /// Verdicts about what this run cannot say anything about.
    pub fn not_run(&self) -> impl Iterator<Item = Verdict> {
        let missing = self.missing.iter().map(Missing::not_run);
        self.operator.not_run().into_iter().chain(missing).chain(self.substituted.iter().map(Missing::substituted))
    }

    /// Finds or makes them all; `operator` is a release of External Secrets, by default the one that the platform has
    /// `pinned`, and `next` is a release that worlds will get while they run.
    ///
    /// # Errors
    /// The first that no source has and no run can do without.
    pub async fn find(
        store: &Store,
        operator: Option<&str>,
        pinned: &str,
        next: Option<(Product, &str)>,
    ) -> Result<Self> {
        let machine = debian::machine(&store.lock.debian).await?;
        let (kubernetes, argocd) = (store.lock.kubernetes()?, store.lock.argocd()?);
        let mut names = programs(&store.lock)?;
        let (mut argocds, mut another, mut further) = (vec![argocd], None, None);
        match next {
            None => {}
            Some((Product::ExternalSecrets, version)) => another = Some(version),
            Some((Product::Argocd, version)) => {
                let release = store.lock.argocd_release(version)?;
                argocds.push(release);
                further = Some(release.files.as_str());
            }
            Some((Product::Kubernetes, version)) => further = Some(store.lock.kubernetes_release(version)?),
        }
        names.extend(further);
        let artifacts = store.all(&names).await?;
        let operator = store.operator(operator, pinned).await?;
        let (mut images, missing) = store.available(&store.lock.images(&argocds)).await?;
        let (version, stands_in) = (operator.version.clone(), operator.stands_in.clone());
        let mut releases = vec![operator];
        if let Some(another) = another {
            releases.push(store.operator(Some(another), pinned).await?);
        }
        let charts = releases.iter().map(components::Operator::archive).collect();
        let mut archives = Vec::new();
        for release in releases {
            images.refs.extend(release.image.refs);
            images.artifacts.extend(release.image.artifacts);
            archives.push(release.chart);
        }
        let unpacked = store.unpacked(&images).await?;
        let provenance =
            machine.iter().chain(&artifacts).chain(&images.artifacts).chain(&archives).map(Provenance::of).collect();
        let path = |name: &str| artifacts.iter().find(|a| a.name == name).map(|a| a.path.clone()).unwrap_or_default();
        Ok(Self {
            kubernetes: path(kubernetes),
            etcd: path("etcd").join("etcd"),
            coredns: path("coredns").join("coredns"),
            prometheus: path("prometheus").join("prometheus"),
            argocd: path(&argocd.files).join(MANIFESTS),
            argocd_version: store.lock.argocd.chosen.clone(),
            next: further.map(path),
            charts,
            images,
            unpacked,
            missing,
            substituted: Vec::new(),
            operator: Operator { version, pinned: pinned.into(), stands_in },
            releases: format!("Kubernetes {}, Argo CD {}", store.lock.kubernetes.chosen, store.lock.argocd.chosen),
            provenance,
            kind: None,
        })
    }

    /// The same with those images that a run gets only because its platform names them, of all that it `named`.
    ///
    /// # Errors
    /// When the images cannot be unpacked.
    pub async fn with_named(mut self, named: &BTreeSet<&str>, store: &Store) -> Result<Self> {
        let wanted = store.lock.on_demand(named);
        if wanted.is_empty() {
            return Ok(self);
        }
        let (images, missing) = store.available(&wanted).await?;
        self.missing.extend(missing);
        self.take(images);
        self.unpacked = store.unpacked(&self.images).await?;
        Ok(self)
    }

    fn take(&mut self, images: ImageSet) {
        self.provenance.extend(images.artifacts.iter().map(Provenance::of));
        self.images.refs.extend(images.refs);
        self.images.artifacts.extend(images.artifacts);
    }

    /// The same with what applications have from elsewhere.
    #[must_use]
    pub fn and(mut self, rendered: &Rendered) -> Self {
        for (repository, chart) in &rendered.charts {
            self.provenance.push(Provenance::of(chart));
            self.charts.push(Chart { repository: repository.clone(), archive: chart.path.clone() });
        }
        self.missing.extend(rendered.missing().cloned());
        self
    }

    /// The same with stand-ins for those of the images in these roles that no source has.
    ///
    /// # Errors
    /// When one cannot be made.
    pub async fn with_stand_ins(mut self, roles: &BTreeMap<String, Role>, store: &Store) -> Result<Self> {
        for (image, role) in roles {
            let what = Need::Image(image.clone());
            let reason = match self.missing.iter().position(|missing| missing.what == what) {
                Some(place) => self.missing.remove(place).reason,
                None if self.images.refs.contains_key(image) => continue,
                None => match store.pull(image).await {
                    Ok(_) => continue,
                    Err(failure) => failure.on_one_line(),
                },
            };
            let (artifact, manifest) = store.stand_in(image, role).await?;
            self.provenance.push(Provenance { origin: SUBSTITUTED.into(), ..Provenance::of(&artifact) });
            self.images.refs.insert(image.clone(), manifest);
            self.images.artifacts.push(artifact);
            self.substituted.push(Missing { what, reason });
        }
        self.unpacked = store.unpacked(&self.images).await?;
        Ok(self)
    }

    /// The same, with what the backend needs beside that.
    ///
    /// # Errors
    /// When no source has a part of it.
    pub async fn with(mut self, backend: Backend, store: &Store) -> Result<Self> {
        if backend != Backend::Kind {
            return Ok(self);
        }
        let (chosen, own) = (&store.lock.kubernetes.chosen, &store.lock.component("kubeadm")?.version);
        if chosen != own {
            return Err(Failure::new(
                format!("make a cluster of Kubernetes {chosen} by kind"),
                format!("its node image is of {own}"),
            )
            .next("leave --kubernetes out, or use --backend embedded")
            .misused());
        }
        let tools = Tools::find(store).await?;
        let references: Vec<&str> = store.lock.kind.images.iter().map(String::as_str).collect();
        let further = store.images(&references).await?;
        self.provenance.extend(tools.artifacts.iter().map(Provenance::of));
        self.take(further);
        self.unpacked = store.unpacked(&self.images).await?;
        self.kind = Some(tools);
        Ok(self)
    }
}
