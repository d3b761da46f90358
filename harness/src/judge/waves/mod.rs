//! Sync waves: for all objects of all applications, whether those of earlier waves were ready before those of later waves
//! were made. The audit log knows the order of all writes, from before there was an application.

pub mod history;
pub mod order;
pub mod planned;
pub mod state;
pub mod told;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use super::verdict::{Outcome, Verdict};
use crate::{
    failure::{Attempt, Result},
    gitops::{
        argocd,
        rendered::{Rendered, Unrendered},
        tree::Tree,
    },
    lint,
    observe::audit,
    world::Description,
};
use history::History;
use told::Told;

/// The verdict's group.
pub const GROUP: &str = "waves";

/// Judges the waves of a platform that is up, and is as it was rendered.
///
/// # Errors
/// When the platform's files, the log or Argo CD's settings cannot be read.
pub async fn verdict(rendered: &Rendered, world: &Description, client: &Client) -> Result<Verdict> {
    let mut applications = Vec::new();
    for application in rendered.applications(world.cloud) {
        let tree = Tree::of(&world.platform, application)?;
        applications.push((application.clone(), tree));
    }
    let attempted = || "read Argo CD's settings".to_owned();
    let settings: Api<ConfigMap> = Api::namespaced(client.clone(), argocd::NAMESPACE);
    let settings = settings.get("argocd-cm").await.attempting(attempted)?.data.unwrap_or_default();
    let writes = audit::read(&world.audit)?;
    let history = History::new(&writes);
    let mut told = Told::default();
    let mut notes: Vec<String> = rendered
        .unrendered(world.cloud)
        .filter(|(_, why)| !matches!(why, Unrendered::Absent(_)))
        .map(|(declared, _)| format!("nothing is known of {}", declared.name()))
        .collect();
    for (application, tree) in &applications {
        let planned = planned::all(application);
        for pair in order::judge(&application.name, &planned, &history, &settings) {
            told.add(&application.name, tree, &pair);
        }
        match history.retries(&application.name) {
            0 => {}
            retries => notes.push(format!("{} began again from its lowest wave ({retries} times)", application.name)),
        }
    }
    let findings = lint::waves::findings(&applications, &settings);
    let problems: Vec<String> =
        told.problems().into_iter().chain(findings.iter().map(|finding| format!("ordering: {finding}"))).collect();
    let notes: String = notes.iter().map(|note| format!("; {note}")).collect();
    let outcome = match (problems.is_empty(), told.proven) {
        (true, 0) => Outcome::NotRun("no application has objects in more than one wave".into()),
        (true, _) => Outcome::Passed,
        (false, _) => Outcome::Failed(problems.join("\n")),
    };
    let claim = "every object waits for the waves before its own";
    Ok(Verdict::new(GROUP, claim, outcome).noting(format!("{} pairs are proven{notes}", told.proven)))
}
