//! The worlds that run on this machine, for people who name one of them, or the only one.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use nix::fcntl::Flock;

use super::{
    Cloud, Description,
    ownership::{Estate, State},
};
use crate::{
    components::Store,
    failure::{Attempt, Failure, Result},
};

/// What a rerun asks of kept worlds: that they were made for what it tests.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Working tree of the platform.
    pub platform: &'a Path,
    /// Clouds, in the order of reports.
    pub clouds: &'a [Cloud],
    /// Whether each of them was named, and has to have a world.
    pub named: bool,
    /// Component and release of Kubernetes.
    pub kubernetes: [&'a str; 2],
    /// Release of Argo CD.
    pub argocd: &'a str,
    /// Release of the operator that was asked for, which is no world's where it only stands in for another. Without one, the world
    /// has the pinned one, or what stands in for it.
    pub operator: Option<&'a str>,
    /// Release of the operator that the platform pins.
    pub pinned: &'a str,
}

/// A kept world that a rerun uses; nobody else uses or removes it meanwhile.
#[derive(Debug)]
pub struct Borrowed {
    /// The world.
    pub description: Description,
    _lock: Flock<File>,
}

/// The one running world of this name and of this cloud, as far as they are said.
///
/// # Errors
/// When there is none, or there are several.
pub fn find(estate: &Estate, name: Option<&str>, cloud: Option<Cloud>) -> Result<Description> {
    let mut worlds =
        described(estate, |state, folder| state != State::Abandoned && name.is_none_or(|name| folder.ends_with(name)))?;
    worlds.retain(|world| cloud.is_none_or(|cloud| world.cloud == cloud));
    if worlds.len() > 1 {
        let names: Vec<&str> = worlds.iter().map(|world| world.name.as_str()).collect();
        let seen = format!("these are running: {}", names.join(", "));
        return Err(Failure::new("choose a world", seen).next("name one of them").misused());
    }
    worlds.pop().ok_or_else(|| {
        Failure::new("find the world", "none is running").next("`trinity-e2e e2e --keep` leaves one running").misused()
    })
}

/// The worlds of this machine that have come up, and whose state and folder are wanted.
fn described(estate: &Estate, wanted: impl Fn(State, &Path) -> bool) -> Result<Vec<Description>> {
    let folders = estate.worlds().into_iter();
    let folders = folders.filter(|folder| wanted(Estate::state(folder), folder) && folder.join("world.json").exists());
    let read = |folder: PathBuf| {
        let file = folder.join("world.json");
        Description::read(&file).attempting(|| format!("read {}", file.display()))
    };
    folders.map(read).collect()
}

/// How many worlds of a run there are still.
///
/// # Errors
/// When one cannot be read.
pub fn of_run(estate: &Estate, run: &str) -> Result<usize> {
    let all = described(estate, |state, _| state != State::Abandoned)?;
    Ok(all.iter().filter(|world| world.run == run).count())
}

/// The kept worlds that are wanted, one of a cloud.
///
/// # Errors
/// When there are none, they were made for something else, or another run uses one.
pub fn borrow(estate: &Estate, wanted: &Wanted<'_>) -> Result<Vec<Borrowed>> {
    let kept = described(estate, |state, _| state == State::Kept)?;
    let lend = |description: Description| Ok(Borrowed { _lock: estate.borrow(&description.folder)?, description });
    wanted.choose(kept)?.into_iter().map(lend).collect()
}

impl<'a> Wanted<'a> {
    /// Of the releases that runs are made with now.
    ///
    /// # Errors
    /// When the component lock has no such release of Kubernetes.
    pub fn new(
        store: &'a Store,
        platform: &'a Path,
        (clouds, named): (&'a [Cloud], bool),
        operator: Option<&'a str>,
        pinned: &'a str,
    ) -> Result<Self> {
        let kubernetes = [store.lock.kubernetes()?, &store.lock.kubernetes.chosen];
        Ok(Self { platform, clouds, named, kubernetes, argocd: &store.lock.argocd.chosen, operator, pinned })
    }

    /// One world of each cloud.
    fn choose(&self, kept: Vec<Description>) -> Result<Vec<Description>> {
        let mut others: Vec<String> = Vec::new();
        let mut chosen = Vec::new();
        for cloud in self.clouds {
            let (fit, unfit): (Vec<_>, Vec<_>) =
                kept.iter().filter(|world| world.cloud == *cloud).partition(|world| self.differs(world).is_none());
            let attempted = || format!("use a kept world of {cloud} again");
            others.extend(unfit.iter().filter_map(|world| Some(format!("{} {}", world.name, self.differs(world)?))));
            match fit.as_slice() {
                [world] => chosen.push((*world).clone()),
                [] if self.named => return Err(absent(attempted(), &others)),
                [] => {}
                several => {
                    let names: Vec<&str> = several.iter().map(|world| world.name.as_str()).collect();
                    let seen = format!("several fit: {}", names.join(", "));
                    return Err(Failure::new(attempted(), seen)
                        .next("`trinity-e2e down` ends all, and `trinity-e2e up` makes new ones"));
                }
            }
        }
        if chosen.is_empty() {
            return Err(absent("use a kept world again".into(), &others));
        }
        Ok(chosen)
    }

    /// What a world was made for, when that is something else.
    fn differs(&self, world: &Description) -> Option<String> {
        let [component, kubernetes] = self.kubernetes;
        let operator = &world.operator;
        let fits = self.operator.map_or_else(
            || operator.pinned == self.pinned && (operator.is_pinned() || operator.stands_in.is_some()),
            |version| operator.version == version && operator.stands_in.is_none(),
        );
        if world.platform != self.platform {
            Some(format!("is of the platform {}", world.platform.display()))
        } else if !world.components.iter().any(|part| part.name == component && part.version == kubernetes) {
            Some(format!("is not of Kubernetes {kubernetes}"))
        } else if world.argocd_version != self.argocd {
            Some(format!("has Argo CD {} and not {}", world.argocd_version, self.argocd))
        } else if !fits {
            let wanted = self.operator.unwrap_or(self.pinned);
            Some(format!("has external-secrets {} and not {wanted}", operator.version))
        } else {
            None
        }
    }
}

/// That no world fits.
fn absent(attempted: String, others: &[String]) -> Failure {
    let seen = if others.is_empty() { "none is kept, or another run uses it".to_owned() } else { others.join("; ") };
    Failure::new(attempted, seen)
        .next("`trinity-e2e up` with the same --platform, --cloud and releases leaves some running")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn world(name: &str, platform: &str, operator: [&str; 2], stands_in: Option<&str>) -> Description {
        serde_json::from_value(json!({
            "run": "1", "name": name, "cloud": name.split('-').next(),
            "emulated": {"cloud": "gcp", "project": "p", "number": "1", "location": "l", "cluster": "c", "declared": "/d"},
            "grafana": "/g", "folder": "/w", "kubectl": "/k", "nodes": [], "kubeconfig": "/c", "control": "/s",
            "journal": "/j", "audit": "/a", "gateway": "10.0.0.1:443", "authority": "/ca", "issuer": "i", "jwks": "j",
            "token_key": "/t", "platform": platform, "root": "/r", "settings": "/s", "argocd_version": "3.2.11",
            "operator": {"version": operator[0], "pinned": operator[1], "stands_in": stands_in}, "missing": [],
            "substituted": [], "components": [{"name": "kubernetes", "version": "1.34.4", "origin": "build"}],
            "digest_key": "00",
        }))
        .unwrap()
    }

    fn wanted<'a>(clouds: &'a [Cloud], named: bool) -> Wanted<'a> {
        Wanted {
            platform: Path::new("/platform"),
            clouds,
            named,
            kubernetes: ["kubernetes", "1.34.4"],
            argocd: "3.2.11",
            operator: None,
            pinned: "2.4.1",
        }
    }

    const PINNED: [&str; 2] = ["2.4.1", "2.4.1"];

    #[test]
    fn a_world_of_each_cloud_is_used_that_was_made_for_the_same() {
        let clouds = [Cloud::Aws, Cloud::Gcp];
        let kept = [world("gcp-1", "/platform", PINNED, None), world("aws-1", "/other", PINNED, None)];
        let chosen = wanted(&clouds, false).choose(kept.to_vec()).unwrap();
        assert_eq!(chosen.iter().map(|world| world.name.as_str()).collect::<Vec<_>>(), ["gcp-1"]);
        // A cloud that was named has to be there.
        let refused = wanted(&clouds, true).choose(kept.to_vec()).unwrap_err().to_string();
        assert!(refused.contains("aws-1 is of the platform /other") && refused.contains("trinity-e2e up"), "{refused}");
    }

    #[test]
    fn worlds_of_something_else_are_refused_with_what_they_are() {
        let (clouds, kept) =
            ([Cloud::Gcp], |operator, stands_in| vec![world("gcp-1", "/platform", operator, stands_in)]);
        let refused = |wanted: &Wanted<'_>, kept| wanted.choose(kept).unwrap_err().to_string();
        let wanted = wanted(&clouds, false);
        assert!(refused(&wanted, Vec::new()).contains("none is kept"));
        let other = kept(["0.20.4", "2.4.1"], None);
        assert!(refused(&wanted, other.clone()).contains("gcp-1 has external-secrets 0.20.4 and not 2.4.1"));
        let asked = Wanted { operator: Some("0.20.4"), ..wanted.clone() };
        assert!(asked.choose(other).is_ok());
        let stands_in = kept(["0.20.4", "2.4.1"], Some("no source has 2.4.1"));
        assert!(wanted.choose(stands_in.clone()).is_ok() && asked.choose(stands_in).is_err());
        let argocd = Wanted { argocd: "3.6.1", ..wanted.clone() };
        assert!(refused(&argocd, kept(PINNED, None)).contains("Argo CD 3.2.11 and not 3.6.1"));
        let kubernetes = Wanted { kubernetes: ["kubernetes-1.35.4", "1.35.4"], ..wanted.clone() };
        assert!(refused(&kubernetes, kept(PINNED, None)).contains("is not of Kubernetes 1.35.4"));
        let two = [kept(PINNED, None), vec![world("gcp-2", "/platform", PINNED, None)]].concat();
        assert!(refused(&wanted, two).contains("several fit: gcp-1, gcp-2"));
    }
}
