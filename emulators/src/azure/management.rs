//! The resource manager, as far as it makes and unmakes vaults: `https://management.azure.com`.

use axum::http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    bearer::{Claims, Invalid},
    refusal::{Refusal, document},
    resource::{buried, change, create, invalid_name, name_in_use, shown, taken, valid},
    scope,
    tenant::Tenant,
    vaults::{Grave, Vault, Vaults},
};
use crate::{Answer, Request, cloud::Trouble, journal::Note};

/// The host.
pub(super) const HOST: &str = "management.azure.com";

/// The API under its names.
const AUDIENCES: [&str; 4] = [
    "https://management.azure.com",
    "https://management.azure.com/",
    "https://management.core.windows.net",
    "https://management.core.windows.net/",
];

/// Versions of the vaults' interface.
const VERSIONS: [&str; 11] = [
    "2019-09-01",
    "2021-10-01",
    "2022-07-01",
    "2022-11-01",
    "2023-02-01",
    "2023-07-01",
    "2024-11-01",
    "2025-05-01",
    "2026-02-01",
    "2026-03-01",
    "2026-05-15",
];

/// What is asked of the resource manager.
enum Call<'a> {
    CreateVault { group: &'a str, name: &'a str },
    UpdateVault { group: &'a str, name: &'a str },
    GetVault { group: &'a str, name: &'a str },
    DeleteVault { group: &'a str, name: &'a str },
    ListVaults { group: Option<&'a str> },
    ListDeletedVaults,
    GetDeletedVault { location: &'a str, name: &'a str },
    PurgeDeletedVault { location: &'a str, name: &'a str },
    GetOperation { id: &'a str },
    CheckNameAvailability,
}

/// A call and the subscription that it is about.
fn call(request: &Request) -> Option<(&str, Call<'_>)> {
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    let known: Vec<String> = path.iter().map(|part| part.to_lowercase()).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let ["subscriptions", _, rest @ ..] = known.as_slice() else { return None };
    // Names are given as the caller writes them.
    let at = |index: usize| path.get(index + 2).copied().unwrap_or_default();
    let call = match (request.method(), rest) {
        (method, ["resourcegroups", _, "providers", "microsoft.keyvault", "vaults", _]) => {
            let (group, name) = (at(1), at(5));
            match *method {
                Method::PUT => Call::CreateVault { group, name },
                Method::PATCH => Call::UpdateVault { group, name },
                Method::GET => Call::GetVault { group, name },
                Method::DELETE => Call::DeleteVault { group, name },
                _ => return None,
            }
        }
        (&Method::GET, ["resourcegroups", _, "providers", "microsoft.keyvault", "vaults"]) => {
            Call::ListVaults { group: Some(at(1)) }
        }
        (&Method::GET, ["providers", "microsoft.keyvault", "vaults"]) => Call::ListVaults { group: None },
        (&Method::GET, ["providers", "microsoft.keyvault", "deletedvaults"]) => Call::ListDeletedVaults,
        (&Method::GET, ["providers", "microsoft.keyvault", "locations", _, "deletedvaults", _]) => {
            Call::GetDeletedVault { location: at(3), name: at(5) }
        }
        (&Method::POST, ["providers", "microsoft.keyvault", "locations", _, "deletedvaults", _, "purge"]) => {
            Call::PurgeDeletedVault { location: at(3), name: at(5) }
        }
        (&Method::GET, ["providers", "microsoft.keyvault", "locations", _, "operationresults", _]) => {
            Call::GetOperation { id: at(5) }
        }
        (&Method::POST, ["providers", "microsoft.keyvault", "checknameavailability"]) => Call::CheckNameAvailability,
        _ => return None,
    };
    Some((path.get(1).copied().unwrap_or_default(), call))
}

/// The operation that a request asks for.
pub(super) fn operation(request: &Request) -> &'static str {
    let Some((_, call)) = call(request) else { return "management:Unknown" };
    match call {
        Call::CreateVault { .. } => "management:CreateVault",
        Call::UpdateVault { .. } => "management:UpdateVault",
        Call::GetVault { .. } => "management:GetVault",
        Call::DeleteVault { .. } => "management:DeleteVault",
        Call::ListVaults { .. } => "management:ListVaults",
        Call::ListDeletedVaults => "management:ListDeletedVaults",
        Call::GetDeletedVault { .. } => "management:GetDeletedVault",
        Call::PurgeDeletedVault { .. } => "management:PurgeDeletedVault",
        Call::GetOperation { .. } => "management:GetOperation",
        Call::CheckNameAvailability => "management:CheckNameAvailability",
    }
}

/// A status, a body where there is one, and where to ask how it goes on.
struct Reply {
    status: StatusCode,
    body: Option<Value>,
    location: Option<String>,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), location: None }
    }

    fn empty(status: StatusCode) -> Self {
        Self { status, body: None, location: None }
    }
}

/// Answers one request.
pub(super) fn answer(tenant: &Tenant, request: &Request) -> Answer {
    let (mut caller, mut administrator) = (None, false);
    let outcome = authenticate(tenant, request).and_then(|claims| {
        caller = Some(format!("appid={};oid={}", claims.appid, claims.oid));
        administrator = claims.oid == tenant.administrator.object_id;
        serve(tenant, &claims, request)
    });
    let mut answer = match outcome {
        Ok(reply) => {
            let mut answer = match reply.body {
                Some(body) => document(reply.status, &body),
                None => Answer::body(reply.status, "application/json; charset=utf-8", ""),
            };
            if let Some(Ok(location)) = reply.location.map(HeaderValue::try_from) {
                answer.response.headers_mut().insert("location", location);
                answer.response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
            }
            answer.noting(Note { caller, ..Note::default() })
        }
        Err(refusal) => refusal.answer(caller),
    };
    answer.note.administrator = administrator;
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        answer.response.headers_mut().insert("x-ms-request-id", id);
    }
    answer
}

/// The answer when something befalls a request.
pub(super) fn trouble(trouble: Trouble) -> Answer {
    match trouble {
        Trouble::Throttled => {
            let message = "The request is being throttled as the limit has been reached for operation type. For more \
                           information, see https://aka.ms/arm-throttling";
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
            refusal.header("retry-after", "1").answer(None)
        }
        Trouble::Internal => {
            let message = "The server encountered an internal error. Please retry the request.";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message).answer(None)
        }
    }
}

/// Whose token is this?
fn authenticate(tenant: &Tenant, request: &Request) -> Result<Claims, Refusal> {
    let refused = |code, message: String| {
        let challenge = format!(
            "Bearer authorization_uri=\"https://login.windows.net/{}\", error=\"invalid_token\", \
             error_description=\"{message}\"",
            tenant.id
        );
        Refusal::new(StatusCode::UNAUTHORIZED, code, message).header("www-authenticate", challenge)
    };
    let header = request.headers().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => {
            let message = "Authentication failed. The 'Authorization' header is missing.";
            return Err(refused("AuthenticationFailed", message.into()));
        }
    };
    tenant.mint.verify(token, &tenant.issuer(), &AUDIENCES, tenant.now()).map_err(|invalid| match invalid {
        Invalid::Audience(found) => refused(
            "InvalidAuthenticationTokenAudience",
            format!(
                "The access token has been obtained for wrong audience or resource '{found}'. It should exactly match \
                 with one of the allowed audiences '{}'.",
                AUDIENCES.join("','")
            ),
        ),
        Invalid::Expired => refused(
            "ExpiredAuthenticationToken",
            "The access token expiry UTC time is earlier than current UTC time.".into(),
        ),
        Invalid::Issuer(found) => refused(
            "InvalidAuthenticationTokenTenant",
            format!(
                "The access token is from the wrong issuer '{found}'. It must match the tenant '{}'.",
                tenant.issuer()
            ),
        ),
        _ => refused("InvalidAuthenticationToken", "The access token is invalid.".into()),
    })
}

/// What the resource manager does for somebody.
fn serve(tenant: &Tenant, caller: &Claims, request: &Request) -> Result<Reply, Refusal> {
    let version = version(request)?;
    let (subscription, call) = call(request).ok_or_else(|| {
        let what = format!("{} {}", request.method(), request.uri().path());
        let message = format!("The resource type could not be found for the request '{what:.200}'.");
        Refusal::new(StatusCode::NOT_FOUND, "InvalidResourceType", message)
            .because("only vaults are played here")
            .finding()
    })?;
    if !subscription.eq_ignore_ascii_case(&tenant.subscription) {
        let message = format!("The subscription '{subscription:.64}' could not be found.");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "SubscriptionNotFound", message));
    }
    let (action, scope) = needs(tenant, &call);
    let granted = tenant.grants(&caller.oid).iter().any(|g| g.role.manages(action) && scope::covers(&g.scope, &scope));
    if !granted {
        let message = format!(
            "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope \
             '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            caller.appid, caller.oid
        );
        return Err(Refusal::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message));
    }
    let now = tenant.now();
    let mut vaults = tenant.vaults();
    Ok(match call {
        Call::CreateVault { group, name } => {
            Reply::ok(create(tenant, &mut vaults, group, name, version, &body(request)?)?)
        }
        Call::UpdateVault { group, name } => {
            find(&vaults, group, name)?;
            let properties = body(request)?;
            let vault = vaults.live.get_mut(&name.to_lowercase()).ok_or_else(|| absent(group, name))?;
            let mut changed = vault.clone();
            change(tenant, &mut changed, &properties)?;
            *vault = changed;
            Reply::ok(shown(tenant, vault, "Succeeded"))
        }
        Call::GetVault { group, name } => Reply::ok(shown(tenant, find(&vaults, group, name)?, "Succeeded")),
        Call::DeleteVault { group, name } => {
            let there = find(&vaults, group, name).is_ok() && vaults.delete(name, now);
            Reply::empty(if there { StatusCode::OK } else { StatusCode::NO_CONTENT })
        }
        Call::ListVaults { group } => {
            let in_group = |v: &&Vault| group.is_none_or(|group| v.group.eq_ignore_ascii_case(group));
            let value: Vec<_> = vaults.live.values().filter(in_group).map(|v| shown(tenant, v, "Succeeded")).collect();
            Reply::ok(json!({"value": value}))
        }
        Call::ListDeletedVaults => {
            let value: Vec<_> = vaults.deleted.values().map(|grave| buried(tenant, grave)).collect();
            Reply::ok(json!({"value": value}))
        }
        Call::GetDeletedVault { location, name } => Reply::ok(buried(tenant, grave(&vaults, location, name)?)),
        Call::PurgeDeletedVault { location, name } => {
            if grave(&vaults, location, name)?.vault.purge_protection {
                let message = "Operation 'DeletedVaultPurge' is not allowed.";
                return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
                    .because("the vault has purge protection"));
            }
            vaults.deleted.remove(&name.to_lowercase());
            let location = format!(
                "https://{HOST}/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{location}/\
                 operationResults/{}?api-version={version}",
                vaults.done()
            );
            Reply { status: StatusCode::ACCEPTED, body: None, location: Some(location) }
        }
        // Everything is done at once here, so that whoever asks finds it done.
        Call::GetOperation { id } if vaults.knows(id) => Reply::empty(StatusCode::NO_CONTENT),
        Call::GetOperation { id } => {
            let message = format!("The operation '{id:.64}' was not found.");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "NotFound", message));
        }
        Call::CheckNameAvailability => {
            let body = body(request)?;
            let name = body["name"].as_str().unwrap_or_default();
            Reply::ok(match (valid(name), taken(&vaults, name)) {
                (false, _) => {
                    json!({"nameAvailable": false, "reason": "AccountNameInvalid", "message": invalid_name(name)})
                }
                (true, true) => {
                    json!({"nameAvailable": false, "reason": "AlreadyExists", "message": name_in_use(name)})
                }
                (true, false) => json!({"nameAvailable": true}),
            })
        }
    })
}

/// The action that a call needs, and where.
fn needs(tenant: &Tenant, call: &Call<'_>) -> (&'static str, String) {
    let subscription = scope::subscription(&tenant.subscription);
    let vault = |group: &str, name: &str| scope::vault(&tenant.subscription, group, name);
    match call {
        Call::CreateVault { group, name } | Call::UpdateVault { group, name } => {
            ("Microsoft.KeyVault/vaults/write", vault(group, name))
        }
        Call::GetVault { group, name } => ("Microsoft.KeyVault/vaults/read", vault(group, name)),
        Call::DeleteVault { group, name } => ("Microsoft.KeyVault/vaults/delete", vault(group, name)),
        Call::ListVaults { group } => {
            let scope = group.map_or(subscription, |group| scope::group(&tenant.subscription, group));
            ("Microsoft.KeyVault/vaults/read", scope)
        }
        Call::ListDeletedVaults => ("Microsoft.KeyVault/deletedVaults/read", subscription),
        Call::GetDeletedVault { .. } => ("Microsoft.KeyVault/locations/deletedVaults/read", subscription),
        Call::PurgeDeletedVault { .. } => ("Microsoft.KeyVault/locations/deletedVaults/purge/action", subscription),
        Call::GetOperation { .. } => ("Microsoft.KeyVault/locations/operationResults/read", subscription),
        Call::CheckNameAvailability => ("Microsoft.KeyVault/checkNameAvailability/read", subscription),
    }
}

fn version(request: &Request) -> Result<&'static str, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let Some((_, asked)) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "api-version") else {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "MissingApiVersionParameter", message));
    };
    VERSIONS.into_iter().find(|version| *version == asked).ok_or_else(|| {
        let message =
            format!("The api-version '{asked:.50}' is invalid. The supported versions are '{}'.", VERSIONS.join(","));
        Refusal::new(StatusCode::BAD_REQUEST, "InvalidApiVersionParameter", message)
    })
}

fn body(request: &Request) -> Result<Value, Refusal> {
    serde_json::from_slice(request.body()).map_err(|e| {
        let message = format!("The request content was invalid and could not be deserialized: '{e}'.");
        Refusal::new(StatusCode::BAD_REQUEST, "InvalidRequestContent", message)
    })
}

fn absent(group: &str, name: &str) -> Refusal {
    let message = format!(
        "The Resource 'Microsoft.KeyVault/vaults/{name:.64}' under resource group '{group:.90}' was not found. For more \
         details please go to https://aka.ms/ARMResourceNotFoundFix"
    );
    Refusal::new(StatusCode::NOT_FOUND, "ResourceNotFound", message)
}

fn find<'v>(vaults: &'v Vaults, group: &str, name: &str) -> Result<&'v Vault, Refusal> {
    let found = vaults.live.get(&name.to_lowercase()).filter(|v| v.group.eq_ignore_ascii_case(group));
    found.ok_or_else(|| absent(group, name))
}

fn grave<'v>(vaults: &'v Vaults, location: &str, name: &str) -> Result<&'v Grave, Refusal> {
    let found = vaults.deleted.get(&name.to_lowercase());
    found.filter(|grave| grave.vault.location.eq_ignore_ascii_case(location)).ok_or_else(|| {
        // wording not verified
        let message = format!("The specified deleted vault '{name:.64}' does not exist.");
        Refusal::new(StatusCode::NOT_FOUND, "DeletedVaultNotFound", message)
    })
}
