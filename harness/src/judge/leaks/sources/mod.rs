//! Everything that a world leaves behind, and everything that is published of a run.

mod api;
mod files;
mod git;
mod process;
mod redis;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use super::{Search, Searched, scanner, sentinel};
use crate::{
    failure::{Attempt, Failure, Result},
    report::terminal,
    world::Description,
};

/// Values by their names; a secret may have had several.
pub type Values = BTreeMap<String, BTreeSet<String>>;

/// Time for the cluster to show what it has; a second is usual.
const PATIENCE: Duration = Duration::from_secs(60);

/// The secret values that a world's gateway has ever been given.
///
/// # Errors
/// When it cannot be asked.
pub async fn values(world: &Description) -> Result<Values> {
    world.control()?.values().await.attempting(|| format!("learn the secret values of world {}", world.name))
}

/// Searches all that a running world has made, and the folder with what is reported of it.
///
/// # Errors
/// When there is nothing to search for, or the search cannot be prepared.
pub async fn world(values: &Values, world: &Description, report: Option<&Path>) -> Result<Searched> {
    let search = begin(values)?;
    let cluster = async {
        if tokio::time::timeout(PATIENCE, cluster(&search, world)).await.is_err() {
            search.missed("the cluster", format!("it has not shown everything in {} s", PATIENCE.as_secs()));
        }
    };
    let repository = async { done(&search, "the Git repository", git::objects(&search, &world.repository()).await) };
    let machine = {
        let (search, world, report) = (search.clone(), world.clone(), report.map(Path::to_owned));
        tokio::task::spawn_blocking(move || {
            files::folder(&search, "the world's folder", &world.folder);
            files::folder(&search, "the platform's snapshots", &crate::workspace().join("suites/snapshots"));
            if let Some(report) = report {
                files::folder(&search, "the report", &report);
            }
            process::all(&search, &world);
        })
    };
    search.bytes("what was printed", &terminal::shown());
    let ((), (), machine) = tokio::join!(cluster, repository, machine);
    machine.attempting(|| "search the machine".into())?;
    Ok(search.end())
}

/// Searches what is published of a whole run, and what its worlds share.
///
/// # Errors
/// When there is nothing to search for, or the search cannot be prepared.
pub fn run(values: &Values, report: &Path, engine: &Path) -> Result<Searched> {
    let search = begin(values)?;
    search.bytes("what was printed", &terminal::shown());
    files::folder(&search, "the report", report);
    files::folder(&search, "Grafana Cloud's Prometheus", engine);
    Ok(search.end())
}

async fn cluster(search: &Search, world: &Description) {
    // That nobody serves a page is an answer here (503), and no reason to ask again and again, as clients do by default.
    let access = world.access().await.map(|mut access| {
        access.default_retry = false;
        access
    });
    let client = access.and_then(|access| kube::Client::try_from(access).attempting(|| "reach the API server".into()));
    let client = match client {
        Ok(client) => client,
        Err(failure) => return search.missed("the cluster", failure),
    };
    // What one of them cannot read is no reason not to search the others.
    tokio::join!(
        async { done(search, "the API's objects", api::objects(search, &client).await) },
        async { done(search, "the logs of Pods", api::logs(search, &client).await) },
        async { done(search, "metrics and configurations", api::pages(search, &client, world).await) },
        async { done(search, "Argo CD's Redis", redis::keys(search, &client).await) },
    );
}

/// What could not even be begun is missed as a whole.
fn done(search: &Search, what: &str, outcome: Result<()>) {
    if let Err(failure) = outcome {
        search.missed(what, failure);
    }
}

/// A search for the random parts of values. Without any it would pass whatever there is.
fn begin(values: &Values) -> Result<Search> {
    let sentinels = sentinel::all(values);
    if sentinels.is_empty() {
        return Err(Failure::new("search for secret values", "none is known")
            .next("the cloud was not set up; see what went wrong before"));
    }
    Ok(Search::new(scanner::needles(sentinels.into_iter().map(|(part, name)| (name, part)))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{leaks::sentinel::unique, verdict::Outcome};

    #[test]
    fn what_was_printed_is_searched() {
        let (value, folder) = (unique(), tempfile::tempdir().unwrap());
        let values: Values = [("password".to_owned(), [format!("glc_{value}")].into())].into();
        assert_eq!(run(&values, folder.path(), folder.path()).unwrap().finds, []);
        terminal::print(format!("the password is {value}"));
        let searched = run(&values, folder.path(), folder.path()).unwrap();
        let [find] = searched.finds.as_slice() else { panic!("{searched:?}") };
        assert_eq!((find.artifact.as_str(), find.form.as_str()), ("what was printed", "plain"));
    }

    #[test]
    fn a_search_for_nothing_is_refused() {
        let values: Values = [("url".to_owned(), ["https://example.com/push".to_owned()].into())].into();
        let folder = tempfile::tempdir().unwrap();
        let refused = super::super::verdict(run(&values, folder.path(), folder.path()));
        assert!(matches!(refused.outcome, Outcome::Unproven(_)), "{refused:?}");
    }
}
