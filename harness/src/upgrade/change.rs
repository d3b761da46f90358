//! What gives a running world another release, and the old one again.

use std::path::{Path, PathBuf};

use super::{containers::Containers, stage::Stage, step::Step};
use crate::{
    components::Product,
    failure::{Failure, Result},
    gitops::{argocd::MANIFESTS, edit::Edit, pin, tree::Tree},
    judge::verdict::Verdict,
    site::Site,
    world::Description,
};

/// Chart of the operator.
const CHART: &str = "external-secrets";

/// What is changed for a step.
pub(super) enum Change<'a> {
    /// Pins of the operator's chart in the platform's files, as a pull request would.
    Pins(Vec<Edit>),
    /// Argo CD's manifests, as an administrator would.
    Manifests {
        /// Those of the release to begin with.
        old: &'a Path,
        /// Those of the release to go to.
        new: PathBuf,
    },
    /// Kubernetes' programs.
    Programs {
        /// Folder of the release to begin with.
        old: &'a Path,
        /// Folder of the release to go to.
        new: &'a Path,
        /// That release.
        release: &'a str,
        /// The containers, which are not to notice.
        containers: Containers,
    },
}

impl<'a> Change<'a> {
    /// Finds what has to be changed in a world whose platform has settled.
    ///
    /// # Errors
    /// When that cannot be found.
    pub async fn begin(step: &'a Step, site: &'a Site<'a>, stage: &Stage<'_>) -> Result<Self> {
        let next = || {
            site.parts
                .next
                .as_deref()
                .ok_or_else(|| Failure::new(format!("find {step}"), "the run did not get it before"))
        };
        let old = site.parts;
        Ok(match step.product {
            Product::ExternalSecrets => Self::Pins(pins(step, site, stage.patient.world)?),
            Product::Argocd => Self::Manifests { old: &old.argocd, new: next()?.join(MANIFESTS) },
            Product::Kubernetes => Self::Programs {
                old: &old.kubernetes,
                new: next()?,
                release: &step.to,
                containers: Containers::read(stage.patient.client).await?,
            },
        })
    }

    /// What is changed, in a word, and how that is said after "nothing but".
    pub const fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Pins(_) => ("pin", "its pin is changed"),
            Self::Manifests { .. } => ("manifests", "its manifests are applied"),
            Self::Programs { .. } => ("programs", "its programs are replaced"),
        }
    }

    /// How much is changed, where that can be counted.
    pub fn extent(&self) -> String {
        match self {
            Self::Pins(pins) => format!("{} pins", pins.len()),
            Self::Manifests { .. } | Self::Programs { .. } => String::new(),
        }
    }

    /// Makes the change. Whether the platform works with it is another question.
    ///
    /// # Errors
    /// What refuses it, or does not become ready.
    pub async fn forward(&self, stage: &mut Stage<'_>) -> Result<()> {
        match self {
            Self::Pins(pins) => stage.edit(pins),
            Self::Manifests { new, .. } => stage.patient.world.install_argocd(stage.patient.client, new).await,
            Self::Programs { old, new, release, .. } => {
                // Argo CD's controller is a Pod.
                let served = async || stage.compared().await.map(drop);
                stage.world.replace_kubernetes(stage.patient.client, [old, new], release, served).await
            }
        }
    }

    /// What has to hold of this kind of change as soon as the platform works with it.
    ///
    /// # Errors
    /// When it cannot be observed.
    pub async fn proof(&self, stage: &Stage<'_>) -> Result<Option<Verdict>> {
        match self {
            Self::Pins(_) | Self::Manifests { .. } => Ok(None),
            Self::Programs { containers, .. } => {
                Ok(Some(containers.untouched(&Containers::read(stage.patient.client).await?)))
            }
        }
    }

    /// Takes back what is not in the platform's files.
    ///
    /// # Errors
    /// As those of [`Self::forward`].
    pub async fn back(&self, stage: &Stage<'_>) -> Result<()> {
        match self {
            Self::Manifests { old, .. } => stage.patient.world.install_argocd(stage.patient.client, old).await,
            Self::Pins(_) | Self::Programs { .. } => Ok(()),
        }
    }
}

/// The changes that a pull request would make.
fn pins(step: &Step, site: &Site<'_>, world: &Description) -> Result<Vec<Edit>> {
    let attempted = || format!("find where the platform pins {CHART} {}", step.from);
    let applications = site.rendered.applications(world.cloud);
    let trees: Vec<Tree> = applications.map(|a| Tree::of(&world.platform, a)).collect::<Result<_>>()?;
    let pins = pin::moved(&world.platform, &trees, CHART, &step.from, &step.to)?;
    match pins.is_empty() {
        true => Err(Failure::new(attempted(), format!("no file below {} does", world.platform.display()))
            .next("--from names the release that the platform's Application has as targetRevision")
            .misused()),
        false => Ok(pins),
    }
}
