//! Operations on the policies of secrets.

use serde_json::{Value, json};

use super::{
    super::policy::{Effect, ResourcePolicy},
    call::Call,
    input::{self, OfPolicy, PutResourcePolicy, ValidateResourcePolicy},
    refusal::Refusal,
};

/// Longest policy.
const POLICY: usize = 20_480;

/// `GetResourcePolicy`.
pub fn get(call: &mut Call<'_>, request: &OfPolicy) -> Result<Value, Refusal> {
    unnamed(request.policy_name.as_deref())?;
    let secret = call.living("GetResourcePolicy", &request.secret_id)?;
    let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
    if let Some((_, text)) = &secret.policy {
        answer["ResourcePolicy"] = json!(text);
    }
    Ok(answer)
}

/// `PutResourcePolicy`.
pub fn put(call: &mut Call<'_>, request: PutResourcePolicy) -> Result<Value, Refusal> {
    unnamed(request.policy_name.as_deref())?;
    input::length("resourcePolicy", &request.resource_policy, 1, POLICY)?;
    let secret = call.living("PutResourcePolicy", &request.secret_id)?;
    let policy = read(&request.resource_policy)?;
    if request.block_public_policy.unwrap_or_default() && is_public(&policy) {
        // wording not verified
        let message = "You can't put a resource policy that grants broad access to the secret.";
        return Err(Refusal::new("PublicPolicyException", message));
    }
    secret.policy = Some((policy, request.resource_policy));
    Ok(json!({"ARN": secret.arn, "Name": secret.name}))
}

/// `DeleteResourcePolicy`.
pub fn delete(call: &mut Call<'_>, request: &OfPolicy) -> Result<Value, Refusal> {
    unnamed(request.policy_name.as_deref())?;
    let secret = call.living("DeleteResourcePolicy", &request.secret_id)?;
    secret.policy = None;
    Ok(json!({"ARN": secret.arn, "Name": secret.name}))
}

/// `ValidateResourcePolicy`.
pub fn validate(call: &mut Call<'_>, request: &ValidateResourcePolicy) -> Result<Value, Refusal> {
    input::length("resourcePolicy", &request.resource_policy, 1, POLICY)?;
    match &request.secret_id {
        Some(id) => drop(call.living("ValidateResourcePolicy", id)?),
        None => call.authorise("ValidateResourcePolicy", None, None)?,
    }
    let policy = read(&request.resource_policy)?;
    let errors = match is_public(&policy) {
        true => vec![json!({
            "CheckName": "BLOCK_PUBLIC_POLICY",
            // wording not verified
            "ErrorMessage": "The resource policy grants broad access to the secret.",
        })],
        false => Vec::new(),
    };
    Ok(json!({"PolicyValidationPassed": errors.is_empty(), "ValidationErrors": errors}))
}

/// A secret has one policy here, which has no name.
fn unnamed(name: Option<&str>) -> Result<(), Refusal> {
    name.map_or(Ok(()), |_| Err(Refusal::not_played("several policies on a secret")))
}

/// Reads a policy. What AWS would evaluate and this account does not is refused as malformed, with the element's name.
fn read(text: &str) -> Result<ResourcePolicy, Refusal> {
    serde_json::from_str(text).map_err(|e| {
        let malformed = format!("This resource policy contains a syntax error: {e}");
        Refusal { finding: true, ..Refusal::new("MalformedPolicyDocumentException", malformed) }
    })
}

fn is_public(policy: &ResourcePolicy) -> bool {
    let public = |principals: &[String]| principals.iter().any(|p| p == "*");
    policy.0.iter().any(|s| s.effect == Effect::Allow && public(&s.principal.aws) && s.condition.is_empty())
}
