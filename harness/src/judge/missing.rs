//! The platform's applications when some images or charts cannot be had here: what needs one of them does not run, and that
//! alone does not fail the rest.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt, watcher, watcher::Config},
};

use crate::{
    failure::{Failure, Result},
    gitops::{argocd, container::Container, roots::Roots},
    observe::{condition, key, kinds::Kind, until, until_all, wait},
    world::Description,
};

/// Waits until all of the platform's roots and all their applications are Synced and Healthy, but for workloads whose images
/// no source has, and applications that are made from what nobody has. Returns these, as `Deployment namespace/name`.
///
/// # Errors
/// At the deadline, with the last state; or when a watch is refused.
pub async fn settled(
    client: &Client,
    world: &Description,
    roots: &Roots,
    what: &str,
    deadline: Duration,
) -> Result<BTreeSet<String>> {
    let absent = world.without().map(|name| format!("Application {}/{name}", argocd::NAMESPACE));
    let excused = RefCell::new(absent.collect());
    let full = |names: &[String]| names.iter().map(|name| format!("{}/{name}", argocd::NAMESPACE)).collect();
    let claim = condition::trees_settled(full(&roots.applications), full(&roots.sets), &excused);
    let settled = async {
        let sets = Kind::ApplicationSet.within(client, argocd::NAMESPACE);
        for set in &roots.sets {
            let what = format!("ApplicationSet {set} has made its applications");
            until(sets.clone(), set, &what, deadline, condition::generated).await?;
        }
        until_all(Kind::Application.all(client), what, deadline, claim).await
    };
    tokio::select! {
        settled = settled => settled?,
        failure = excuse(client, world, &excused) => return Err(failure),
    }
    Ok(excused.into_inner())
}

/// Adds every workload that has a missing image, as long as it is polled; returns when a watch is refused.
async fn excuse(client: &Client, world: &Description, excused: &RefCell<BTreeSet<String>>) -> Failure {
    let workloads = ["Deployment", "StatefulSet", "DaemonSet"].map(|kind| {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        watcher(api, Config::default()).default_backoff().applied_objects().map(move |object| (kind, object)).boxed()
    });
    let mut workloads = stream::select_all(workloads);
    while let Some((kind, workload)) = workloads.next().await {
        match workload {
            Ok(workload) if Container::of(&workload).filter_map(Container::image).any(|image| world.lacks(&image)) => {
                excused.borrow_mut().insert(format!("{kind} {}", key(&workload)));
            }
            Ok(_) => {}
            Err(e) if wait::passing(&e) => {}
            Err(e) => return Failure::new("watch the platform's workloads", e),
        }
    }
    Failure::new("watch the platform's workloads", "the watch ended")
}
