//! Operations that change secrets.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    call::Call,
    input::{
        self, CreateSecret, DeleteSecret, OfSecret, PutSecretValue, TagResource, UntagResource, UpdateSecret,
        UpdateSecretVersionStage,
    },
    refusal::Refusal,
    secret::{Secret, seconds},
};

/// `CreateSecret`.
pub fn create(call: &mut Call<'_>, request: CreateSecret) -> Result<Value, Refusal> {
    if request.add_replica_regions.is_some_and(|regions| !regions.is_empty()) || request.primary.is_some() {
        return Err(Refusal::not_played("replication"));
    }
    if request.kind.is_some() {
        return Err(Refusal::not_played("secrets that a partner manages"));
    }
    input::name(&request.name)?;
    let token = input::client_request_token(request.client_request_token)?;
    let tags = input::tags(request.tags.unwrap_or_default())?;
    let description = request.description.unwrap_or_default();
    input::length("description", &description, 0, 2048)?;
    let content = request.given.content()?;
    call.authorise("CreateSecret", Some(&request.name), None)?;
    if !tags.is_empty() {
        call.authorise("TagResource", Some(&request.name), None)?;
    }
    too_many(tags.len())?;
    let now = call.now;
    match call.store.find_mut(&request.name) {
        Some(secret) if secret.deletion.is_some() => {
            return Err(Refusal::request(
                "You can't create this secret because a secret with this name is already scheduled for deletion.",
            ));
        }
        Some(secret) => {
            // A repeated request is answered as the first; any other finds the name taken.
            return match content {
                Some(content) if secret.version(&token).is_some() => {
                    secret.put(&token, content, &[], now)?;
                    Ok(named(secret, Some(&token)))
                }
                _ => Err(Refusal::new(
                    "ResourceExistsException",
                    format!("The operation failed because the secret {} already exists.", secret.name),
                )),
            };
        }
        None => {}
    }
    let secret = call.store.add(&request.name, now)?;
    secret.description = Some(description).filter(|text| !text.is_empty());
    secret.tags = tags;
    let version = match content {
        Some(content) => {
            secret.put(&token, content, &[], now)?;
            Some(token.as_str())
        }
        None => None,
    };
    Ok(named(secret, version))
}

/// `PutSecretValue`.
pub fn put(call: &mut Call<'_>, request: PutSecretValue) -> Result<Value, Refusal> {
    if request.rotation_token.is_some() {
        return Err(Refusal::not_played("rotation"));
    }
    let token = input::client_request_token(request.client_request_token)?;
    let stages = request.version_stages.unwrap_or_default();
    if !stages.is_empty() {
        input::stages(&stages)?;
    }
    let content = request.given.content()?;
    let now = call.now;
    let secret = call.living("PutSecretValue", &request.secret_id)?;
    let content = content
        // wording not verified
        .ok_or_else(|| Refusal::request("You must provide either SecretString or SecretBinary."))?;
    secret.put(&token, content, &stages, now)?;
    let mut answer = named(secret, Some(&token));
    answer["VersionStages"] = json!(secret.version(&token).map(|v| &v.stages));
    Ok(answer)
}

/// `UpdateSecret`.
pub fn update(call: &mut Call<'_>, request: UpdateSecret) -> Result<Value, Refusal> {
    if request.kind.is_some() {
        return Err(Refusal::not_played("secrets that a partner manages"));
    }
    let token = input::client_request_token(request.client_request_token)?;
    if let Some(text) = &request.description {
        input::length("description", text, 0, 2048)?;
    }
    let content = request.given.content()?;
    let now = call.now;
    let secret = call.living("UpdateSecret", &request.secret_id)?;
    let version = match content {
        Some(content) => {
            secret.put(&token, content, &[], now)?;
            Some(token.as_str())
        }
        None => None,
    };
    if let Some(text) = request.description {
        secret.description = Some(text).filter(|text| !text.is_empty());
        secret.changed = now;
    }
    Ok(named(secret, version))
}

/// `UpdateSecretVersionStage`.
pub fn stage(call: &mut Call<'_>, request: &UpdateSecretVersionStage) -> Result<Value, Refusal> {
    input::length("versionStage", &request.version_stage, 1, 256)?;
    let (from, to) = (request.remove_from_version_id.as_deref(), request.move_to_version_id.as_deref());
    for (member, id) in [("removeFromVersionId", from), ("moveToVersionId", to)] {
        id.map_or(Ok(()), |id| input::length(member, id, 32, 64))?;
    }
    let now = call.now;
    let secret = call.living("UpdateSecretVersionStage", &request.secret_id)?;
    secret.move_label(&request.version_stage, from, to, now)?;
    Ok(named(secret, None))
}

/// `DeleteSecret`.
pub fn delete(call: &mut Call<'_>, request: &DeleteSecret) -> Result<Value, Refusal> {
    let (id, force) = (request.secret_id.as_str(), request.force_delete_without_recovery.unwrap_or_default());
    let days = match request.recovery_window_in_days {
        Some(_) if force => {
            return Err(Refusal::parameter(
                "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
            ));
        }
        Some(days) if !(7..=30).contains(&days) => {
            return Err(Refusal::parameter(
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
            ));
        }
        days => days.unwrap_or(30),
    };
    let now = call.now;
    let secret = match call.any("DeleteSecret", id) {
        // Documented: a forced deletion of what does not exist succeeds.
        Err(absent) if force && absent == Refusal::no_secret() => {
            let name = id.rsplit_once(":secret:").map_or(id, |(_, name)| name);
            return Ok(json!({"ARN": call.store.arn(id), "Name": name, "DeletionDate": seconds(now)}));
        }
        found => found?,
    };
    let mut answer = named(secret, None);
    if force {
        answer["DeletionDate"] = seconds(now);
        call.store.forget(id);
        return Ok(answer);
    }
    if secret.deletion.is_some() {
        return Err(Refusal::buried());
    }
    let end = now.checked_add(SignedDuration::from_hours(24 * days));
    let end = end.map_err(|_| Refusal::parameter("The deletion date is beyond all time."))?;
    answer["DeletionDate"] = seconds(end);
    call.store.bury(id, end);
    Ok(answer)
}

/// `RestoreSecret`. One that is not scheduled for deletion stays as it is.
pub fn restore(call: &mut Call<'_>, request: &OfSecret) -> Result<Value, Refusal> {
    let secret = call.any("RestoreSecret", &request.secret_id)?;
    secret.deletion = None;
    Ok(named(secret, None))
}

/// `TagResource`.
pub fn tag(call: &mut Call<'_>, request: TagResource) -> Result<(), Refusal> {
    let tags = input::tags(request.tags)?;
    let now = call.now;
    let secret = call.living("TagResource", &request.secret_id)?;
    let new = tags.keys().filter(|key| !secret.tags.contains_key(*key)).count();
    too_many(secret.tags.len() + new)?;
    secret.tags.extend(tags);
    secret.changed = now;
    Ok(())
}

/// `UntagResource`.
pub fn untag(call: &mut Call<'_>, request: &UntagResource) -> Result<(), Refusal> {
    let now = call.now;
    let secret = call.living("UntagResource", &request.secret_id)?;
    secret.tags.retain(|key, _| !request.tag_keys.contains(key));
    secret.changed = now;
    Ok(())
}

fn too_many(tags: usize) -> Result<(), Refusal> {
    if tags > input::TAGS {
        // wording not verified
        return Err(Refusal::parameter(format!("A secret has no more than {} tags.", input::TAGS)));
    }
    Ok(())
}

/// How AWS names a secret in an answer, with the version that the request made.
fn named(secret: &Secret, version: Option<&str>) -> Value {
    let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
    if let Some(id) = version {
        answer["VersionId"] = json!(id);
    }
    answer
}
