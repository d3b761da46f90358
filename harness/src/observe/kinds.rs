//! The custom kinds that are observed, without generated types: their schemas belong to the releases under test.

use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};

/// A kind of Argo CD or External Secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// argoproj.io/v1alpha1 Application.
    Application,
    /// argoproj.io/v1alpha1 ApplicationSet.
    ApplicationSet,
    /// external-secrets.io/v1 ClusterSecretStore.
    ClusterSecretStore,
    /// external-secrets.io/v1 ExternalSecret.
    ExternalSecret,
    /// external-secrets.io/v1 SecretStore.
    SecretStore,
}

impl Kind {
    /// Its API resource.
    pub fn resource(self) -> ApiResource {
        let (group, version, kind) = match self {
            Self::Application => ("argoproj.io", "v1alpha1", "Application"),
            Self::ApplicationSet => ("argoproj.io", "v1alpha1", "ApplicationSet"),
            Self::ClusterSecretStore => ("external-secrets.io", "v1", "ClusterSecretStore"),
            Self::ExternalSecret => ("external-secrets.io", "v1", "ExternalSecret"),
            Self::SecretStore => ("external-secrets.io", "v1", "SecretStore"),
        };
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
    }

    /// All objects of the kind.
    pub fn all(self, client: &Client) -> Api<DynamicObject> {
        Api::all_with(client.clone(), &self.resource())
    }

    /// Objects of the kind in a namespace; a cluster-scoped kind has none.
    pub fn within(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        match self {
            Self::ClusterSecretStore => self.all(client),
            _ => objects(client, &self.resource(), namespace),
        }
    }
}

/// Objects of any kind in a namespace; without one, cluster-scoped objects.
pub fn objects(client: &Client, kind: &ApiResource, namespace: &str) -> Api<DynamicObject> {
    match namespace {
        "" => Api::all_with(client.clone(), kind),
        namespace => Api::namespaced_with(client.clone(), namespace, kind),
    }
}
