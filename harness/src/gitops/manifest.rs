//! Applying YAML manifests as `kubectl apply --server-side` does.

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::DynamicObject,
    discovery::{ApiCapabilities, ApiResource, Discovery, Scope},
};

use crate::failure::{Attempt, Failure, Result};

/// Field manager of what the harness writes.
pub(crate) const MANAGER: &str = "trinity-e2e";

/// Objects of a YAML text, document by document.
///
/// # Errors
/// When a document is no Kubernetes object.
pub fn parse(yaml: &str, source: &str) -> Result<Vec<DynamicObject>> {
    serde_yaml::Deserializer::from_str(yaml)
        .map(<Option<DynamicObject> as serde::Deserialize>::deserialize)
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()
        .attempting(|| format!("read the manifests of {source}"))
}

/// Applies objects; those without a namespace of their own go to `namespace` when their kind has namespaces.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    discovery: std::sync::Arc<Discovery>,
}

impl Applier {
    /// Learns what the API server serves now.
    ///
    /// # Errors
    /// When discovery fails.
    pub async fn new(client: &Client) -> Result<Self> {
        let discovery =
            Discovery::new(client.clone()).run().await.attempting(|| "discover what the API server serves".into())?;
        Ok(Self { client: client.clone(), discovery: discovery.into() })
    }

    /// Applies all objects, up to eight at once. Order them by calling it more than once.
    ///
    /// # Errors
    /// The first object that the API server refuses.
    pub async fn apply(&self, objects: Vec<DynamicObject>, namespace: &str) -> Result<()> {
        stream::iter(objects)
            .map(|object| self.one(object, namespace))
            .buffer_unordered(8)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn one(&self, object: DynamicObject, namespace: &str) -> Result<()> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let kind = object.types.clone().unwrap_or_default();
        let attempted = || format!("apply {} {name}", kind.kind);
        let (resource, capabilities) = self.find(&kind.api_version, &kind.kind).ok_or_else(|| {
            Failure::new(attempted(), format!("the API server does not serve {} {}", kind.api_version, kind.kind))
        })?;
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
        };
        api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await.attempting(attempted)?;
        Ok(())
    }

    fn find(&self, api_version: &str, kind: &str) -> Option<(ApiResource, ApiCapabilities)> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.discovery.get(group)?.versioned_resources(version).into_iter().find(|(resource, _)| resource.kind == kind)
    }
}
