//! Where components and images come from: cache, mirror folder, and the hosts that have the rest.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::{
    line::{Line, State, told},
    programs,
};
use crate::{
    components::{
        Store,
        survey::{Host, Survey},
    },
    failure::{Failure, Result},
    world::parts,
};

/// What is to be said of them.
///
/// # Errors
/// When the component lock does not list what worlds need, or a part's sources cannot be read.
pub async fn lines(store: &Store) -> Result<Vec<Line>> {
    let lock = &store.lock;
    let mut wanted = parts::programs(lock)?;
    wanted.push("cargo-nextest");
    let optional = |name: &&str| lock.image.iter().any(|image| image.reference == *name && image.optional);
    wanted.extend(lock.images(&[lock.argocd()?]).into_iter().filter(|name| !optional(name)));
    let releases = [&lock.operator.pinned, &lock.operator.buildable].map(|version| lock.operator_release(version));
    let operators: Vec<[&str; 2]> =
        releases.into_iter().map(|found| found.map(|r| [r.chart.as_str(), &r.image])).collect::<Result<_>>()?;
    let survey = Survey::of(store, &[wanted.clone(), operators.concat()].concat()).await?;
    let hosts = survey.hosts();
    // Nobody is asked for what is in the cache.
    let asked = hosts.iter().filter(|(_, has)| !has.wanted.is_empty()).map(|(host, _)| *host);
    let answers = asked.map(async |host| (host, store.reaches(host).await));
    let answers: BTreeMap<&str, Result<()>> = join_all(answers).await.into_iter().collect();
    let mut lines = vec![mirror(store)];
    lines.extend(hosts.iter().map(|(host, has)| told_of(host, has, answers.get(host))));

    let mut there = Vec::new();
    for program in ["cargo", "go", "python3"] {
        if programs::there(program).await {
            there.push(program);
        }
    }
    let can = |name: &&str| {
        let reached = |host: &str| answers.get(host).is_some_and(Result::is_ok);
        survey.can_be_had(name, &reached, &|program| there.contains(&program))
    };
    lines.push(components(&survey, &wanted, &can));
    let had: Vec<bool> = operators.iter().map(|parts| parts.iter().all(can)).collect();
    lines.push(operator(&lock.operator.pinned, &lock.operator.buildable, &had));
    Ok(lines)
}

fn mirror(store: &Store) -> Line {
    let what = "mirror folder";
    match store.mirror() {
        None => {
            Line::optional(what, State::Missing, "what it would have is taken from the hosts below; --mirror names one")
        }
        Some((folder, there, 0)) => {
            Line::optional(what, State::Ok, format!("{} has all {there} files of the component lock", folder.display()))
        }
        Some((folder, there, absent)) => {
            let told = format!("{} has {there} files of the component lock, and lacks {absent}", folder.display());
            Line::optional(what, State::Unusable, told)
        }
    }
}

/// A host, and what became of asking it.
fn told_of(host: &str, has: &Host<'_>, answer: Option<&Result<()>>) -> Line {
    let wanted = || has.wanted.join(", ");
    match answer {
        None => Line::optional(host, State::Ok, format!("not asked: the cache has {}", has.cached.join(", "))),
        Some(Ok(())) => Line::optional(host, State::Ok, format!("has {}", wanted())),
        Some(Err(failure)) => {
            let told = format!("{}; another source is needed for {}", told(failure), wanted());
            Line::optional(host, State::Missing, told)
        }
    }
}

fn components(survey: &Survey, wanted: &[&str], can: &dyn Fn(&&str) -> bool) -> Line {
    let what = "components";
    let lacking: Vec<&str> = wanted.iter().copied().filter(|name| !can(name)).collect();
    let (all, cached) = (wanted.len(), survey.cached(wanted));
    match lacking.is_empty() {
        true if cached == all => Line::needed(what, State::Ok, format!("all {all} that a run needs are in the cache")),
        true => {
            Line::needed(what, State::Ok, format!("{cached} of {all} are in the cache, the next run gets the others"))
        }
        false => {
            let failure = Failure::new("get them", format!("no source has {}", lacking.join(", ")));
            let advice = "reach one of their hosts, install what builds them, or name a mirror folder with --mirror";
            Line::needed(what, State::Missing, told(&failure.next(advice)))
        }
    }
}

/// `had` says of the pinned and of the buildable release whether it can be had.
fn operator(pinned: &str, buildable: &str, had: &[bool]) -> Line {
    let what = "External Secrets";
    match had {
        [true, ..] => Line::needed(what, State::Ok, format!("{pinned}, which the example platform pins, can be had")),
        [false, true] => Line::optional(
            what,
            State::Missing,
            format!("no source has {pinned}: {buildable} stands in, and a run proves nothing about {pinned}"),
        ),
        _ => Line::needed(what, State::Missing, format!("no source has {pinned}, and none has {buildable}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_not_needed_is_not_asked() {
        let cached = Host { cached: vec!["helm"], wanted: vec![] };
        let line = told_of("get.helm.sh", &cached, None);
        assert!(line.state == State::Ok && line.told.contains("not asked"), "{line}");
        let wanted = Host { cached: vec![], wanted: vec!["etcd"] };
        let line = told_of("github.com", &wanted, Some(&Err(Failure::new("reach it", "refused"))));
        assert!(line.state == State::Missing && !line.forbids() && line.told.ends_with("needed for etcd"), "{line}");
    }

    #[test]
    fn a_release_that_stands_in_does_for_a_run() {
        assert!(!operator("2", "1", &[true, false]).forbids());
        let line = operator("2", "1", &[false, true]);
        assert!(!line.forbids() && line.told.contains("proves nothing about 2"), "{line}");
        assert!(operator("2", "1", &[false, false]).forbids());
    }
}
