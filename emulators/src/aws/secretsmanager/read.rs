//! Operations that change nothing.

use serde_json::{Value, json};

use super::{
    call::Call,
    input::{self, BatchGetSecretValue, GetSecretValue, ListSecretVersionIds, ListSecrets, OfSecret},
    listing::{self, Order, Page},
    refusal::Refusal,
    secret::seconds,
};

/// Most results of a list.
const PAGE: usize = 100;
/// Most values of one answer.
const BATCH: usize = 20;

/// `GetSecretValue`.
pub fn get(call: &mut Call<'_>, request: &GetSecretValue) -> Result<Value, Refusal> {
    input::secret_id(&request.secret_id)?;
    if let Some(id) = &request.version_id {
        input::length("versionId", id, 32, 64)?;
    }
    if let Some(stage) = &request.version_stage {
        input::length("versionStage", stage, 1, 256)?;
    }
    value(call, &request.secret_id, request.version_id.as_deref(), request.version_stage.as_deref())
}

fn value(call: &mut Call<'_>, id: &str, version: Option<&str>, stage: Option<&str>) -> Result<Value, Refusal> {
    call.authorise("GetSecretValue", Some(id), stage)?;
    let now = call.now;
    let secret = call.store.find_mut(id).ok_or_else(Refusal::no_secret)?;
    if secret.deletion.is_some() {
        return Err(Refusal::buried());
    }
    let version = secret.pick(version, stage)?;
    let (answer, id) = (secret.value(version), version.id.clone());
    secret.touch(&id, now);
    Ok(answer)
}

/// `BatchGetSecretValue`. Each value needs the permission to get it; what cannot be got is an error in the answer.
pub fn batch(call: &mut Call<'_>, request: &BatchGetSecretValue) -> Result<Value, Refusal> {
    let size = input::page(request.max_results, BATCH)?;
    call.authorise("BatchGetSecretValue", None, None)?;
    let page = match (&request.secret_id_list, &request.filters) {
        (Some(ids), None) => {
            if request.max_results.is_some() {
                return Err(Refusal::parameter(
                    "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.",
                ));
            }
            if !(1..=BATCH).contains(&ids.len()) {
                return Err(Refusal::constraint("secretIdList", "Member must have length between 1 and 20"));
            }
            ids.iter().try_for_each(|id| input::secret_id(id))?;
            Page { items: ids.clone(), next: None }
        }
        (None, Some(filters)) => {
            listing::check(filters)?;
            call.authorise("ListSecrets", None, None)?;
            let order = Order::read(None, None)?;
            let found = call.store.all().filter(|s| s.deletion.is_none() && listing::passes(s, filters));
            let found = found.map(|s| (order.key(s), s.name.clone())).collect();
            listing::page(found, order.descending(), size, request.next_token.as_deref())?
        }
        _ => {
            return Err(Refusal::parameter("Either 'SecretIdList' or 'Filters' must be provided, but not both."));
        }
    };
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for id in page.items {
        match value(call, &id, None, None) {
            Ok(value) => values.push(value),
            Err(e) => errors.push(json!({"SecretId": id, "ErrorCode": e.code, "Message": e.message})),
        }
    }
    Ok(with_next(json!({"SecretValues": values, "Errors": errors}), page.next))
}

/// `DescribeSecret`.
pub fn describe(call: &mut Call<'_>, request: &OfSecret) -> Result<Value, Refusal> {
    Ok(call.any("DescribeSecret", &request.secret_id)?.description("VersionIdsToStages"))
}

/// `ListSecrets`.
pub fn list(call: &mut Call<'_>, request: &ListSecrets) -> Result<Value, Refusal> {
    let (filters, buried) =
        (request.filters.as_deref().unwrap_or_default(), request.include_planned_deletion.unwrap_or_default());
    let size = input::page(request.max_results, PAGE)?;
    let order = Order::read(request.sort_by.as_deref(), request.sort_order.as_deref())?;
    listing::check(filters)?;
    call.authorise("ListSecrets", None, None)?;
    let shown = call.store.all().filter(|s| buried || s.deletion.is_none()).filter(|s| listing::passes(s, filters));
    let shown = shown.map(|s| (order.key(s), s)).collect();
    let page = listing::page(shown, order.descending(), size, request.next_token.as_deref())?;
    let list: Vec<Value> = page.items.into_iter().map(|s| s.description("SecretVersionsToStages")).collect();
    Ok(with_next(json!({"SecretList": list}), page.next))
}

/// `ListSecretVersionIds`.
pub fn versions(call: &mut Call<'_>, request: &ListSecretVersionIds) -> Result<Value, Refusal> {
    let size = input::page(request.max_results, PAGE)?;
    let deprecated = request.include_deprecated.unwrap_or_default();
    let secret = call.any("ListSecretVersionIds", &request.secret_id)?;
    let shown = secret.versions().iter().filter(|v| deprecated || !v.stages.is_empty());
    let shown = shown.map(|v| (listing::key(v.created.as_nanosecond(), &v.id), v)).collect();
    let page = listing::page(shown, false, size, request.next_token.as_deref())?;
    let list: Vec<Value> = page
        .items
        .into_iter()
        .map(|version| {
            let mut item = json!({
                "VersionId": version.id,
                "CreatedDate": seconds(version.created),
                "KmsKeyIds": ["DefaultEncryptionKey"],
            });
            if !version.stages.is_empty() {
                item["VersionStages"] = json!(version.stages);
            }
            if let Some(time) = version.accessed {
                item["LastAccessedDate"] = seconds(time);
            }
            item
        })
        .collect();
    Ok(with_next(json!({"ARN": secret.arn, "Name": secret.name, "Versions": list}), page.next))
}

fn with_next(mut answer: Value, next: Option<String>) -> Value {
    if let Some(token) = next {
        answer["NextToken"] = json!(token);
    }
    answer
}
