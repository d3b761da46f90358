//! Whether the External Secrets Operator and its webhook are there at all.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::{Cause, Kind};
use crate::{
    failure::{Attempt, Result},
    observe::{key, kinds},
};

/// Labels that the operator's chart puts on its Deployments.
const CONTROLLER: &str = "external-secrets";
const WEBHOOK: &str = "external-secrets-webhook";

/// The operator is there before its definitions are.
///
/// # Errors
/// When the objects concerned cannot be read.
pub async fn undefined(client: &Client) -> Result<Option<Cause>> {
    let all = ListParams::default();
    match kinds::Kind::ExternalSecret.all(client).list(&all).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        _ => return Ok(None),
    }
    let deployments = deployments(client).await?;
    Ok(part(&deployments, CONTROLLER).map(|controller| {
        let seen = format!("Deployment {} is there, and nothing defines the kind ExternalSecret", key(controller));
        Cause::new(Kind::CrdMissing, seen).next(
            "let the operator's chart install its definitions, or apply them in an earlier wave than the operator",
        )
    }))
}

/// What the operator lacks, when all of the platform is applied and something needs it.
///
/// # Errors
/// When the objects concerned cannot be read.
pub async fn of(client: &Client) -> Result<Option<Cause>> {
    let all = ListParams::default();
    let wanted = kinds::Kind::ExternalSecret.all(client).list(&all).await;
    // Before the definitions are there, nobody needs the operator; that they are missing is another cause.
    let Some(wanted) = wanted.ok().and_then(|list| list.items.first().map(key)) else { return Ok(None) };
    let deployments = deployments(client).await?;
    Ok(match part(&deployments, CONTROLLER) {
        None => Some(Cause::new(
            Kind::OperatorAbsent,
            format!("ExternalSecret {wanted} is there, and no Deployment of the operator"),
        )),
        Some(controller) if replicas(controller) == 0 => {
            let name = key(controller);
            Some(Cause::new(
                Kind::OperatorAbsent,
                format!("Deployment {name} has no replicas, and ExternalSecret {wanted} waits for it"),
            ))
        }
        Some(_) => part(&deployments, WEBHOOK).filter(|webhook| replicas(webhook) == 0).map(|webhook| {
            Cause::new(
                Kind::WebhookNotReady,
                format!(
                    "Deployment {} has no replicas, and the API server asks it about every store and ExternalSecret",
                    key(webhook)
                ),
            )
            .certain()
        }),
    })
}

async fn deployments(client: &Client) -> Result<Vec<Deployment>> {
    let all: Api<Deployment> = Api::all(client.clone());
    let list = all.list(&ListParams::default()).await;
    Ok(list.attempting(|| "look for the operator".into())?.items)
}

fn part<'d>(deployments: &'d [Deployment], name: &str) -> Option<&'d Deployment> {
    deployments.iter().find(|d| d.labels().get("app.kubernetes.io/name").is_some_and(|label| label == name))
}

fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}
