//! A fault on a running world: its changes, and how each is taken back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use trinity_emulators::git;

use super::{
    Fault,
    catalogue::{Change, Patched},
    copy,
};
use crate::{
    failure::{Attempt, Result},
    gitops::manifest::Applier,
    observe::kinds,
    world::{Description, declared::declaration},
};

/// What can be broken of a running world, and the means to mend it.
pub struct Ground<'a> {
    /// The world.
    pub world: &'a Description,
    /// Its API server.
    pub client: &'a Client,
    /// The platform as it is meant.
    pub platform: PathBuf,
    /// The declared clouds as they are meant.
    pub worlds: PathBuf,
    /// A copy of them, which is broken.
    pub copy: PathBuf,
    /// The run's secret values.
    pub values: &'a BTreeMap<String, String>,
}

/// File of the declared Grafana Cloud.
const GRAFANA: &str = "grafana.yaml";

impl Ground<'_> {
    /// Makes the changes. Returns the commit when Git has changed.
    ///
    /// # Errors
    /// The first change that cannot be made.
    pub async fn break_with(&self, fault: &Fault) -> Result<Option<String>> {
        let mut files = BTreeSet::new();
        for change in &fault.change {
            match change {
                Change::Platform(text) => copy::replace(&self.world.platform, text)?,
                Change::Worlds(text) => {
                    copy::replace(&self.copy, text)?;
                    files.insert(text.file.as_str());
                }
                Change::Backend { delete, put, value } => {
                    let backend = self.world.control()?;
                    if let Some(name) = delete {
                        backend.delete_secret(name).await.attempting(|| format!("delete {name} in the backend"))?;
                    }
                    if let Some(name) = put {
                        backend.put_secret(name, value).await.attempting(|| format!("change {name} in the backend"))?;
                    }
                }
                Change::Cluster { create, patch } => {
                    let applier = Applier::new(self.client).await?;
                    applier.apply(self.objects(create)?, "default").await?;
                    if let Some(patched) = patch {
                        self.patch(patched, &patched.patch).await?;
                    }
                }
                Change::Gateway(trouble) => {
                    let gateway = self.world.control()?;
                    gateway.cause(std::slice::from_ref(trouble)).await.attempting(|| "cause trouble".into())?;
                }
            }
        }
        for file in files {
            self.set_up(file).await?;
        }
        self.committed(fault).await
    }

    /// Takes the changes back. Returns the commit when Git has changed.
    ///
    /// # Errors
    /// The first that cannot be taken back.
    pub async fn mend(&self, fault: &Fault) -> Result<Option<String>> {
        let own = format!("{}.yaml", self.world.cloud);
        let mut files = BTreeSet::new();
        let restore = |from: &Path, to: &Path, file: &str| {
            fs::copy(from.join(file), to.join(file)).map(drop).attempting(|| format!("restore {file}"))
        };
        for change in &fault.change {
            match change {
                Change::Platform(text) => restore(&self.platform, &self.world.platform, &text.file)?,
                Change::Worlds(text) => {
                    restore(&self.worlds, &self.copy, &text.file)?;
                    files.insert(text.file.as_str());
                }
                Change::Backend { .. } => {
                    files.insert(&own);
                }
                Change::Cluster { create, patch } => {
                    for object in self.objects(create)? {
                        let types = object.types.clone().unwrap_or_default();
                        let namespace = object.metadata.namespace.as_deref();
                        let api = self.api(&types.api_version, &types.kind, namespace);
                        let name = object.metadata.name.clone().unwrap_or_default();
                        api.delete(&name, &DeleteParams::default()).await.attempting(|| format!("delete {name}"))?;
                    }
                    if let Some(patched) = patch {
                        self.patch(patched, &patched.undo).await?;
                    }
                }
                Change::Gateway(_) => {
                    self.world.control()?.cause(&[]).await.attempting(|| "end the trouble".into())?;
                }
            }
        }
        for file in files {
            self.set_up(file).await?;
        }
        self.committed(fault).await
    }

    /// Sets the cloud of a file up anew, as the file is now.
    async fn set_up(&self, file: &str) -> Result<()> {
        let declared = self.copy.join(file);
        if file == GRAFANA {
            let attempted = || "set up Grafana Cloud anew".to_owned();
            let control = self.world.grafana_control()?;
            control.declare(fs::read_to_string(&declared).attempting(attempted)?).await.attempting(attempted)?;
            return control.apply(self.values.clone()).await.attempting(attempted);
        }
        let cloud = self.world.cloud;
        let attempted = || format!("set up cloud {cloud} anew");
        let control = self.world.control()?;
        control.forget().await.attempting(attempted)?;
        control.declare(declaration(&declared, cloud)?).await.attempting(attempted)?;
        control.apply(self.values.clone()).await.attempting(attempted)
    }

    /// Commits what the working tree has now.
    ///
    /// # Errors
    /// When git fails.
    pub async fn commit(&self) -> Result<String> {
        git::snapshot(&self.world.platform, &self.world.repository()).await.attempting(|| "commit the change".into())
    }

    /// Commits the changes of a fault; nothing when it changes nothing in Git.
    async fn committed(&self, fault: &Fault) -> Result<Option<String>> {
        match fault.change.iter().any(|change| matches!(change, Change::Platform(_))) {
            true => self.commit().await.map(Some),
            false => Ok(None),
        }
    }

    fn objects(&self, create: &[serde_yaml::Value]) -> Result<Vec<DynamicObject>> {
        let object = |value: &serde_yaml::Value| serde_yaml::from_value(value.clone());
        create.iter().map(object).collect::<Result<_, _>>().attempting(|| "read the objects to create".into())
    }

    fn api(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        kinds::objects(self.client, &resource, namespace.unwrap_or_default())
    }

    async fn patch(&self, object: &Patched, patch: &serde_yaml::Value) -> Result<()> {
        let api = self.api(&object.api_version, &object.kind, object.namespace.as_deref());
        let attempted = || format!("change {} {}", object.kind, object.name);
        api.patch(&object.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ()).attempting(attempted)
    }
}
