//! The version matrix: few cells that cover all pairs of releases, each run as an `e2e` of its own, and what has changed
//! since the last time.

pub mod cell;
pub mod cover;
pub mod obstacle;
pub mod record;
pub mod table;
mod trial;

use std::{ffi::OsString, path::PathBuf};

use crate::{
    components::{Lock, Store},
    failure::Result,
    judge::verdict::Conclusion,
    report::terminal,
    subject::{Job, Subject},
    world::Cloud,
};
use cell::Axes;
use cover::Cover;
use record::{Change, Results};
use trial::Trial;

/// Which cells to run.
#[derive(Clone, Debug)]
pub struct Question {
    /// The clouds; when none is named, all that the platform has.
    pub clouds: Vec<Cloud>,
    /// Working tree of the platform.
    pub platform: PathBuf,
    /// Releases of Kubernetes; when none is named, all in the component lock.
    pub kubernetes: Vec<String>,
    /// Releases of Argo CD; when none is named, all in the component lock.
    pub argocd: Vec<String>,
    /// Releases of External Secrets; when none is named, all in the component lock.
    pub operators: Vec<String>,
    /// Only tell what would be run.
    pub dry: bool,
    /// File with the results, of this time and of all times before.
    pub results: PathBuf,
    /// Folder for the reports of the runs.
    pub report: PathBuf,
    /// Arguments of all subcommands that each run is given, too.
    pub common: Vec<OsString>,
}

/// Runs the cells, or only tells them.
///
/// # Errors
/// When a name means nothing, a run could not be started, or the results cannot be read or written.
pub async fn run(store: &Store, question: &Question) -> Result<Conclusion> {
    let job = Job { clouds: question.clouds.clone(), platform: question.platform.clone(), ..Job::default() };
    let subject = Subject::find(store, &job).await?;
    let axes = axes(&store.lock, &subject.pinned, question)?;
    let obstacles = obstacle::find(store, &subject, &axes.operators).await;
    let cover = cover::cover(&axes, |cell| obstacles.get(&cell.operator).cloned());
    let mut results = Results::read(&question.results)?;
    terminal::print(table::cells(&cover));
    table::left_out(&cover).iter().for_each(terminal::print);
    let clouds: Vec<String> = subject.clouds.iter().map(ToString::to_string).collect();
    let headline = format!("matrix of platform {}, clouds {}", question.platform.display(), clouds.join(", "));
    if question.dry {
        terminal::print(format!("{headline}: {} cells, none was run", cover.cells.len()));
        return Ok(whole(&cover, Conclusion::Passed));
    }
    let trial = Trial { question, platform: &subject.platform, clouds: &clouds };
    let (mut rows, mut conclusion) = (Vec::new(), Conclusion::Passed);
    for (number, (cell, _)) in cover.cells.iter().enumerate() {
        terminal::print(format!("cell {} of {}: {cell}", number + 1, cover.cells.len()));
        let result = trial.run(cell).await?;
        let change = results.put(result.clone());
        // Written after each cell, so that an end on the way loses none.
        results.write(&question.results)?;
        conclusion = conclusion.max(if change == Change::Worse { Conclusion::Failed } else { result.verdict });
        rows.push((result, change));
    }
    let conclusion = whole(&cover, conclusion);
    terminal::print(table::results(&rows));
    table::left_out(&cover).iter().for_each(terminal::print);
    terminal::print(format!("results: {}", question.results.display()));
    let of = |verdict| rows.iter().filter(|(result, _)| result.verdict == verdict).count();
    let (passed, failed) = (of(Conclusion::Passed), of(Conclusion::Failed));
    let (unproven, left_out) = (of(Conclusion::Unproven), cover.left_out.len());
    terminal::print(format!(
        "{headline}: {passed} cells passed, {failed} failed, {unproven} unproven, {left_out} pairs not run"
    ));
    Ok(conclusion)
}

/// The releases to combine, those that are taken without being asked for first.
fn axes(lock: &Lock, pinned: &String, question: &Question) -> Result<Axes> {
    for version in &question.kubernetes {
        lock.kubernetes_release(version)?;
    }
    for version in &question.argocd {
        lock.argocd_release(version)?;
    }
    for version in &question.operators {
        lock.operator_release(version)?;
    }
    let order = |asked: &[String], all: Vec<&String>, first: &String| -> Vec<String> {
        let mut versions: Vec<String> = match asked {
            [] => all.into_iter().cloned().collect(),
            asked => asked.to_vec(),
        };
        versions.sort_by_cached_key(|version| (version != first, version.clone()));
        versions.dedup();
        versions
    };
    Ok(Axes {
        kubernetes: order(&question.kubernetes, lock.kubernetes.release.keys().collect(), &lock.kubernetes.chosen),
        argocd: order(&question.argocd, lock.argocd.release.keys().collect(), &lock.argocd.chosen),
        operators: order(&question.operators, lock.operator.release.keys().collect(), pinned),
    })
}

/// The conclusion of all cells, which is no pass when a pair of releases was left out.
fn whole(cover: &Cover, conclusion: Conclusion) -> Conclusion {
    if cover.left_out.is_empty() { conclusion } else { conclusion.max(Conclusion::Unproven) }
}
