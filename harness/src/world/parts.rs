//! What worlds are made from, found before the first of them starts.

use std::path::PathBuf;

use super::description::{self, Provenance};
use crate::{
    components::{Artifact, ImageSet, Store, debian},
    failure::Result,
};

/// Programs and images for worlds.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Folder of the Kubernetes programs.
    pub kubernetes: PathBuf,
    /// etcd.
    pub etcd: PathBuf,
    /// CoreDNS.
    pub coredns: PathBuf,
    /// Python of LocalStack's environment.
    pub localstack: PathBuf,
    /// Argo CD's manifests.
    pub argocd: PathBuf,
    /// Charts to serve.
    pub charts: Vec<PathBuf>,
    /// Images to serve.
    pub images: ImageSet,
    /// The operator under test.
    pub operator: description::Operator,
    /// Where everything came from.
    pub provenance: Vec<Provenance>,
}

impl Parts {
    /// Finds or makes them all.
    ///
    /// # Errors
    /// The first that no source has.
    pub async fn find(store: &Store) -> Result<Self> {
        let machine = debian::machine(&store.lock.debian).await?;
        let names = ["kubernetes", "etcd", "coredns", "localstack", "argocd-files"];
        let artifacts = store.all(&names).await?;
        let (operator, operator_images, chart) = store.operator().await?;
        let references: Vec<&str> = store
            .lock
            .image
            .iter()
            .map(|image| image.reference.as_str())
            .filter(|reference| !reference.contains("/external-secrets:"))
            .collect();
        let mut images = store.images(&references).await?;
        images.refs.extend(operator_images.refs);
        images.artifacts.extend(operator_images.artifacts);
        let provenance = machine
            .iter()
            .chain(&artifacts)
            .chain(&images.artifacts)
            .chain([&chart])
            .map(|Artifact { name, version, origin, .. }| Provenance {
                name: name.clone(),
                version: version.clone(),
                origin: origin.to_string(),
            })
            .collect();
        let path = |name: &str| artifacts.iter().find(|a| a.name == name).map(|a| a.path.clone()).unwrap_or_default();
        Ok(Self {
            kubernetes: path("kubernetes"),
            etcd: path("etcd").join("etcd"),
            coredns: path("coredns").join("coredns"),
            localstack: path("localstack").join("bin/python"),
            argocd: path("argocd-files").join("core-install.yaml"),
            charts: vec![operator.chart],
            images,
            operator: description::Operator {
                version: operator.version,
                substituted: operator.substituted,
            },
            provenance,
        })
    }
}
