//! Making the operator look at its objects now, and knowing when it has.

use std::{collections::BTreeMap, time::Duration};

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};

use super::{Expectation, Objects, condition::is_ready, key, kinds::Kind, until_all};
use crate::{
    failure::{Attempt, Result},
    gitops::manifest::MANAGER,
};

/// Annotation whose change makes the operator look at an object.
pub const ANNOTATION: &str = "force-sync";

/// Makes the operator look at one of its objects, whatever else is due. Returns it as it was before; one that has gone
/// meanwhile is looked at by nobody.
///
/// # Errors
/// When the API server refuses the annotation.
pub async fn look(api: &Api<DynamicObject>, name: &str) -> Result<Option<DynamicObject>> {
    let attempted = || format!("make the operator look at {name}");
    let Some(object) = api.get_opt(name).await.attempting(attempted)? else { return Ok(None) };
    let touch = json!({"metadata": {"annotations": {ANNOTATION: object.metadata.resource_version}}});
    let own = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    match api.patch(name, &own, &Patch::Merge(&touch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        patched => patched.map(|_| Some(object)).attempting(attempted),
    }
}

/// Makes the operator read these ExternalSecrets again, and waits until all of them are ready since.
///
/// # Errors
/// When the API server refuses, or they are not read and ready in time.
pub async fn read_again(client: &Client, secrets: &[DynamicObject], deadline: Duration) -> Result<()> {
    // What the operator says first may be of a reading that had begun before; the next one has not.
    for _ in 0..2 {
        read_once_more(client, secrets, deadline).await?;
    }
    Ok(())
}

async fn read_once_more(client: &Client, secrets: &[DynamicObject], deadline: Duration) -> Result<()> {
    let mut before = BTreeMap::new();
    for secret in secrets {
        let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
        let api = Kind::ExternalSecret.within(client, &namespace);
        if let Some(now) = look(&api, &name).await? {
            before.insert(key(secret), state(&now.data).clone());
        }
    }
    let all = |all: &Objects| {
        let claims = before.iter().map(|(name, before)| match all.get(name).map(|secret| read(&secret.data, before)) {
            Some(Expectation::Pending(why)) => Expectation::Pending(format!("{name} {why}")),
            Some(claim) => claim,
            None => Expectation::Held,
        });
        claims.fold(Expectation::Held, Expectation::and)
    };
    until_all(Kind::ExternalSecret.all(client), "the operator has read every secret again", deadline, all).await
}

/// Which state of the object the operator has worked on: it tells generation, labels and annotations of it.
fn state(secret: &Value) -> &Value {
    &secret["status"]["syncedResourceVersion"]
}

/// The secret is ready, and was read after the operator was made to look.
fn read(secret: &Value, before: &Value) -> Expectation {
    match (is_ready(secret), state(secret) == before) {
        (false, _) => Expectation::pending("is not ready"),
        (true, true) => Expectation::pending("was not read again"),
        (true, false) => Expectation::Held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_ready_before_has_to_be_read_again() {
        let secret = |ready: &str, version: &str| {
            let conditions = json!([{"type": "Ready", "status": ready}]);
            json!({"status": {"conditions": conditions, "syncedResourceVersion": version}})
        };
        let before = json!("1-a");
        assert_eq!(read(&secret("True", "1-b"), &before), Expectation::Held);
        assert_eq!(read(&secret("True", "1-a"), &before), Expectation::pending("was not read again"));
        assert_eq!(read(&secret("False", "1-b"), &before), Expectation::pending("is not ready"));
    }
}
