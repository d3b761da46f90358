//! The worlds that run on this machine, for people who name one of them, or the only one.

use std::path::PathBuf;

use super::{
    Cloud, Description,
    ownership::{Estate, State},
};
use crate::failure::{Attempt, Failure, Result};

/// The one running world of this name and of this cloud, as far as they are said.
///
/// # Errors
/// When there is none, or there are several.
pub fn find(estate: &Estate, name: Option<&str>, cloud: Option<Cloud>) -> Result<Description> {
    let folders = estate
        .worlds()
        .into_iter()
        .filter(|folder| Estate::state(folder) != State::Abandoned && folder.join("world.json").exists())
        .filter(|folder| name.is_none_or(|name| folder.ends_with(name)));
    let read = |folder: PathBuf| {
        let file = folder.join("world.json");
        Description::read(&file).attempting(|| format!("read {}", file.display()))
    };
    let mut worlds = folders.map(read).collect::<Result<Vec<_>>>()?;
    worlds.retain(|world| cloud.is_none_or(|cloud| world.cloud == cloud));
    if worlds.len() > 1 {
        let names: Vec<&str> = worlds.iter().map(|world| world.name.as_str()).collect();
        let seen = format!("these are running: {}", names.join(", "));
        return Err(Failure::new("choose a world", seen).next("name one of them"));
    }
    worlds.pop().ok_or_else(|| {
        Failure::new("find the world", "none is running").next("`trinity-e2e e2e --keep` leaves one running")
    })
}
