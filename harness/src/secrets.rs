//! What a platform's separate workflow for its secret backends does: `secrets apply` and `secrets delete`. It never
//! restores or purges what is deleted: whoever deletes by mistake decides what becomes of it.

use std::{collections::BTreeMap, io::Read, path::PathBuf};

use clap::{Args, Subcommand};

use crate::{
    alone::PLACE,
    backend::{
        Backend, Place,
        plan::{self, Seen, Step, Wanted},
    },
    failure::{Attempt, Failure, Result},
    workspace,
    world::{Cloud, kept, ownership::Estate},
};

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Creates the platform's declared secrets, or adds a version to those whose value is another.
    Apply {
        /// Where.
        #[command(flatten)]
        at: At,
        /// File with values, a mapping in JSON or YAML from the names in `${value:…}`, or `-` for the standard input.
        /// What it does not name keeps its value.
        #[arg(long)]
        values: Option<PathBuf>,
    },
    /// Deletes the platform's declared secrets, in the way from which they can be recovered where the cloud has one.
    Delete {
        /// Where.
        #[command(flatten)]
        at: At,
        /// The word `delete`; without it nothing is deleted, and all that would be is told.
        #[arg(long)]
        confirm: Option<String>,
    },
}

/// Where the cloud is.
#[derive(Args, Clone, Debug)]
pub struct At {
    /// The cloud.
    #[arg(long, value_enum)]
    pub cloud: Cloud,
    /// Name of the running world; not needed when there is one of the cloud.
    #[arg(long)]
    pub world: Option<String>,
    /// Folder of `trinity-e2e emulators` instead of a world.
    #[arg(long, conflicts_with = "world")]
    pub folder: Option<PathBuf>,
}

/// Does it, and tells of each secret what became of it.
///
/// # Errors
/// What stands against it: nothing has been changed then; or the first refusal of the cloud.
pub async fn run(action: &Action) -> Result<()> {
    match action {
        Action::Apply { at, values } => {
            let values = values.as_ref().map(read).transpose()?.unwrap_or_default();
            apply(&at.place()?, &values, |line| println!("{line}")).await
        }
        Action::Delete { at, confirm } => delete(&at.place()?, confirm.as_deref(), |line| println!("{line}")).await,
    }
}

impl At {
    fn place(&self) -> Result<Place> {
        let Some(folder) = &self.folder else {
            let world = kept::find(&Estate::open()?, self.world.as_deref(), Some(self.cloud));
            return world.map(|world| world.place()).map_err(|failure| {
                failure.next("--world names one; `trinity-e2e e2e --keep` leaves one running; --folder names that of `trinity-e2e emulators`")
            });
        };
        let file = folder.join(PLACE);
        let attempted = || format!("find the cloud that is played for {}", folder.display());
        let text = std::fs::read(&file).attempting(attempted).map_err(Failure::misused)?;
        let place: Place = serde_json::from_slice(&text).attempting(attempted)?;
        match place.cloud.name() == self.cloud.name() {
            true => Ok(place),
            false => Err(Failure::new(attempted(), format!("{} is played there", place.cloud.name())).misused()),
        }
    }
}

/// The declared secrets, or nothing is changed.
///
/// # Errors
/// As for [`run`].
pub async fn apply(place: &Place, values: &BTreeMap<String, String>, mut tell: impl FnMut(String)) -> Result<()> {
    let (backend, secrets) = look(place).await?;
    for step in plan::apply(&secrets, values)? {
        tell(match step {
            Step::Create(wanted, value) => {
                backend.create(wanted, value.as_deref()).await?;
                format!("{}: created", wanted.name)
            }
            Step::Renew(wanted, value) => {
                backend.renew(wanted, &value).await?;
                format!("{}: has a new version", wanted.name)
            }
            Step::Keep(wanted) => format!("{}: stays as it is", wanted.name),
        });
    }
    Ok(())
}

/// The declared secrets go, or nothing is changed.
///
/// # Errors
/// As for [`run`].
pub async fn delete(place: &Place, confirm: Option<&str>, mut tell: impl FnMut(String)) -> Result<()> {
    let (backend, secrets) = look(place).await?;
    plan::confirmed(&secrets, backend.fate(), confirm)?;
    for (wanted, seen) in &secrets {
        let became = match seen {
            Seen::Absent => "is not there".into(),
            Seen::Buried(tombstone) => tombstone.seen.clone(),
            Seen::Live(_) => backend.delete(wanted).await?,
        };
        tell(format!("{}: {became}", wanted.name));
    }
    Ok(())
}

/// The platform's declared secrets, each as it is now.
async fn look(place: &Place) -> Result<(Backend, Vec<(Wanted, Seen)>)> {
    let file = place.cloud.declared();
    let read = |file: PathBuf| std::fs::read_to_string(&file).attempting(|| format!("read {}", file.display()));
    let mut wanted = Backend::wanted(&place.cloud, &read(file.to_owned())?)?;
    // What canaries and suites need stands in the same cloud and is not the platform's.
    let mut own = Vec::new();
    for kind in crate::world::declared::BESIDE {
        let file = workspace().join(format!("fixtures/{kind}/{}.yaml", place.cloud.name()));
        own.extend(Backend::wanted(&place.cloud, &read(file)?)?);
    }
    wanted.retain(|secret| !own.contains(secret));
    let backend = Backend::open(place).await?;
    let mut secrets = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let seen = backend.look(&wanted).await?;
        secrets.push((wanted, seen));
    }
    Ok((backend, secrets))
}

/// Values by name.
fn read(file: &PathBuf) -> Result<BTreeMap<String, String>> {
    let attempted = || format!("read the values in {}", file.display());
    let text = match file.to_str() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).attempting(attempted)?;
            text
        }
        _ => std::fs::read_to_string(file).attempting(attempted).map_err(Failure::misused)?,
    };
    // The error quotes the place and not the values.
    serde_yaml::from_str(&text).map_err(|e| {
        let place = e.location().map_or_else(String::new, |at| format!(" at line {}", at.line()));
        Failure::new(attempted(), format!("it is no mapping from names to texts{place}")).misused()
    })
}
