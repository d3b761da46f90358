//! A world whose platform is being changed, and what it takes for the platform to work.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::try_join_all;
use jiff::Timestamp;
use kube::{ResourceExt, api::ListParams, core::DynamicObject};
use tracing::info;
use trinity_emulators::git;

use super::change::Change;
use crate::{
    command::Run,
    failure::{Attempt, Result},
    gitops::{
        argocd,
        edit::{self, Edit},
        refresh,
    },
    judge::{
        cause::{self, Cause},
        drift::Drift,
        verdict::Outcome,
        well::{Look, Patient},
    },
    observe::kinds::Kind,
    world::{OWN, World},
};

/// Time for each step of a roll-out. Argo CD's and the operator's own retries pause for up to a minute.
const STEP: Duration = Duration::from_secs(240);
/// Time for each step of the way back by itself.
const RETURN: Duration = Duration::from_secs(120);
/// How often the files are mended: what one change uncovers may need another.
const MENDINGS: usize = 3;

/// A world whose platform is being changed.
pub(super) struct Stage<'a> {
    /// The world.
    pub world: &'a World,
    /// Its platform.
    pub patient: Patient<'a>,
    /// Files that were changed, as they were before.
    before: BTreeMap<PathBuf, String>,
}

impl<'a> Stage<'a> {
    /// A world in which nothing has been changed yet.
    pub const fn new(world: &'a World, patient: Patient<'a>) -> Self {
        Self { world, patient, before: BTreeMap::new() }
    }

    /// Commits what the working tree has now.
    ///
    /// # Errors
    /// When git fails.
    pub async fn commit(&self) -> Result<String> {
        git::snapshot(&self.patient.world.platform, &self.patient.world.repository())
            .await
            .attempting(|| "commit the change".into())
    }

    /// Changes the platform's files. What a file was in the beginning is remembered, however often it is changed.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn edit(&mut self, edits: &[Edit]) -> Result<()> {
        for (file, text) in edit::make(&self.patient.world.platform, edits)? {
            self.before.entry(file).or_insert(text);
        }
        Ok(())
    }

    /// Waits until the platform works as Git has it now; the first cause why it cannot ends that.
    ///
    /// # Errors
    /// When git fails.
    pub async fn rolled(&self) -> Result<Option<Cause>> {
        let look = self.look(STEP).await?;
        match cause::explained(self.patient.client, self.patient.world, Timestamp::now(), self.works(&look)).await {
            Ok(found) => Ok(found),
            Err(cause) => Ok(Some(cause)),
        }
    }

    /// The same of a platform that may not work now: what is wrong with it yet says nothing.
    async fn mended(&self, deadline: Duration) -> Result<Option<Cause>> {
        argocd::end_operations(self.patient.client).await?;
        let look = self.look(deadline).await?;
        Ok(self
            .works(&look)
            .await
            .unwrap_or_else(|failure| Some(Cause::new(cause::Kind::Unknown, failure.to_string()))))
    }

    async fn look(&self, deadline: Duration) -> Result<Look<'static>> {
        Ok(Look { commit: Some(self.commit().await?), restart: &[], metrics: true, deadline })
    }

    /// The platform works, also when everything is compared anew: a comparison from before the operator has written to its
    /// objects does not know what the new definitions have filled in.
    async fn works(&self, look: &Look<'_>) -> Result<Option<Cause>> {
        if let Some(cause) = self.patient.well(look).await? {
            return Ok(Some(cause));
        }
        self.compared().await?;
        self.patient.well(look).await
    }

    /// All applications of the platform, compared anew.
    ///
    /// # Errors
    /// When one is not compared in time.
    pub async fn compared(&self) -> Result<Vec<DynamicObject>> {
        let all = Kind::Application.within(self.patient.client, argocd::NAMESPACE).list(&ListParams::default()).await;
        let all = all.attempting(|| "list the applications".into())?.items;
        let own = all.iter().map(ResourceExt::name_any).filter(|name| !name.starts_with(OWN));
        let compared = try_join_all(own.map(async |name| refresh::hard(self.patient.client, &name).await)).await?;
        Ok(compared.into_iter().flatten().collect())
    }

    /// Takes all changes back, those of the files first. When that alone does not do it, the operator is made to write to its objects, as it does by
    /// itself within their refresh intervals: Argo CD may know them with fields that the old definitions do not have.
    ///
    /// # Errors
    /// When a file cannot be written, or git fails.
    pub async fn back(&self, change: &Change<'_>) -> Result<Outcome> {
        edit::restore(&self.patient.world.platform, &self.before)?;
        if let Err(failure) = change.back(self).await {
            return Ok(Outcome::Failed(failure.to_string()));
        }
        let Some(alone) = self.mended(RETURN).await? else { return Ok(Outcome::Passed) };
        let Err(failure) = self.patient.read_again(STEP).await else {
            return Ok(Outcome::Failed(match self.mended(STEP).await? {
                None => format!("it does only after the operator has written to its objects; before, {alone}"),
                Some(cause) => cause.to_string(),
            }));
        };
        Ok(Outcome::Failed(format!("{alone}\n{failure}")))
    }

    /// Makes the changes that the drift of the applications asks for, until the platform works. Returns their number, and
    /// what no change of the files mends.
    ///
    /// # Errors
    /// When a file cannot be written, or the applications cannot be compared.
    pub async fn mend(&mut self, found: &Cause) -> Result<(usize, Option<Cause>)> {
        let (mut found, mut changes) = (found.clone(), 0);
        // No pin of a default cures it, and what stands still is not waited for.
        if found.heals.is_none() && found.kind != cause::Kind::Drift {
            return Ok((changes, Some(found)));
        }
        for _ in 0..MENDINGS {
            let edits = self.remedies().await?;
            if edits.is_empty() {
                break;
            }
            changes += edits.len();
            self.edit(&edits)?;
            match self.mended(STEP).await? {
                None => return Ok((changes, None)),
                Some(cause) => found = cause,
            }
        }
        Ok((changes, Some(found)))
    }

    /// What would have to be in the files for the applications not to differ.
    async fn remedies(&self) -> Result<Vec<Edit>> {
        // The definitions fill in what the operator writes to. One that does not is no matter of the files.
        if let Err(failure) = self.patient.read_again(STEP).await {
            info!("nothing is mended: {failure}");
            return Ok(Vec::new());
        }
        let compared = self.compared().await?;
        let drifts = compared.iter().map(|application| Drift::of(self.patient.client, self.patient.world, application));
        let drifts = try_join_all(drifts).await?;
        Ok(drifts.into_iter().flat_map(|drift| drift.defaults).filter_map(|finding| finding.edit).collect())
    }

    /// Writes everything that was changed since a commit, as a patch of the platform's tree.
    ///
    /// # Errors
    /// When git fails, or the file cannot be written.
    pub async fn patch(&self, old: &str, file: &Path) -> Result<PathBuf> {
        let new = self.commit().await?;
        let diff = Run::new("git")
            .arg("--git-dir")
            .arg(self.patient.world.repository())
            .args(["diff", "--no-color", old, &new])
            .output()
            .await?;
        fs::write(file, diff).attempting(|| format!("write {}", file.display()))?;
        Ok(file.to_owned())
    }
}
