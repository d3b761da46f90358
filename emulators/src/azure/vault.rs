//! Key Vault's data plane: `https://<vault>.vault.azure.net`.

use axum::http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    access::{Action, Decision, decide, permitted},
    bearer::{Claims, Invalid},
    bundle::{deleted, item, valued},
    query::Query,
    refusal::{Refusal, document},
    secrets::{Change, Secret, Version, bad},
    tenant::Tenant,
    vaults::Vault,
};
use crate::{Answer, Request, cloud::Trouble, journal::Note};

/// The domain below which every vault has a host.
pub(super) const DOMAIN: &str = ".vault.azure.net";

/// The API that access tokens must be for: its URL, or its application id.
const AUDIENCES: [&str; 2] = ["https://vault.azure.net", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"];

/// What is asked of a vault.
enum Call<'a> {
    GetSecrets,
    GetSecret { name: &'a str, version: Option<&'a str> },
    GetSecretVersions { name: &'a str },
    SetSecret { name: &'a str },
    UpdateSecret { name: &'a str, version: Option<&'a str> },
    DeleteSecret { name: &'a str },
    BackupSecret { name: &'a str },
    RestoreSecret,
    GetDeletedSecrets,
    GetDeletedSecret { name: &'a str },
    RecoverDeletedSecret { name: &'a str },
    PurgeDeletedSecret { name: &'a str },
}

/// Reads a path; the old client libraries end it with a slash when they name no version.
fn call(request: &Request) -> Option<Call<'_>> {
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    Some(match (request.method(), path.as_slice()) {
        (&Method::GET, ["secrets"]) => Call::GetSecrets,
        (&Method::POST, ["secrets", "restore"]) => Call::RestoreSecret,
        (&Method::GET, ["secrets", name]) => Call::GetSecret { name, version: None },
        (&Method::PUT, ["secrets", name]) => Call::SetSecret { name },
        (&Method::PATCH, ["secrets", name]) => Call::UpdateSecret { name, version: None },
        (&Method::DELETE, ["secrets", name]) => Call::DeleteSecret { name },
        (&Method::GET, ["secrets", name, "versions"]) => Call::GetSecretVersions { name },
        (&Method::POST, ["secrets", name, "backup"]) => Call::BackupSecret { name },
        (&Method::GET, ["secrets", name, version]) => Call::GetSecret { name, version: Some(version) },
        (&Method::PATCH, ["secrets", name, version]) => Call::UpdateSecret { name, version: Some(version) },
        (&Method::GET, ["deletedsecrets"]) => Call::GetDeletedSecrets,
        (&Method::GET, ["deletedsecrets", name]) => Call::GetDeletedSecret { name },
        (&Method::DELETE, ["deletedsecrets", name]) => Call::PurgeDeletedSecret { name },
        (&Method::POST, ["deletedsecrets", name, "recover"]) => Call::RecoverDeletedSecret { name },
        _ => return None,
    })
}

impl<'a> Call<'a> {
    /// Name in the REST reference.
    const fn operation(&self) -> &'static str {
        match self {
            Self::GetSecrets => "vault:GetSecrets",
            Self::GetSecret { .. } => "vault:GetSecret",
            Self::GetSecretVersions { .. } => "vault:GetSecretVersions",
            Self::SetSecret { .. } => "vault:SetSecret",
            Self::UpdateSecret { .. } => "vault:UpdateSecret",
            Self::DeleteSecret { .. } => "vault:DeleteSecret",
            Self::BackupSecret { .. } => "vault:BackupSecret",
            Self::RestoreSecret => "vault:RestoreSecret",
            Self::GetDeletedSecrets => "vault:GetDeletedSecrets",
            Self::GetDeletedSecret { .. } => "vault:GetDeletedSecret",
            Self::RecoverDeletedSecret { .. } => "vault:RecoverDeletedSecret",
            Self::PurgeDeletedSecret { .. } => "vault:PurgeDeletedSecret",
        }
    }

    /// The permission that it needs, on the named secret or on the vault.
    const fn needs(&self) -> (Action, Option<&'a str>) {
        match self {
            Self::GetSecret { name, .. } => (Action::Get, Some(name)),
            Self::SetSecret { name } => (Action::Set, Some(name)),
            Self::UpdateSecret { name, .. } => (Action::Update, Some(name)),
            Self::DeleteSecret { name } => (Action::Delete, Some(name)),
            Self::BackupSecret { name } => (Action::Backup, Some(name)),
            Self::GetSecretVersions { name } => (Action::ReadMetadata, Some(name)),
            Self::GetDeletedSecret { name } => (Action::GetDeleted, Some(name)),
            Self::RecoverDeletedSecret { name } => (Action::Recover, Some(name)),
            Self::PurgeDeletedSecret { name } => (Action::Purge, Some(name)),
            Self::GetSecrets | Self::GetDeletedSecrets => (Action::ReadMetadata, None),
            Self::RestoreSecret => (Action::Restore, None),
        }
    }
}

/// The operation that a request asks for.
pub(super) fn operation(request: &Request) -> &'static str {
    call(request).map_or("vault:Unknown", |call| call.operation())
}

/// Answers one request to the host of a vault.
pub(super) fn answer(tenant: &Tenant, host: &str, request: &Request) -> Answer {
    let name = host.strip_suffix(DOMAIN).unwrap_or(host);
    let Some(location) = tenant.vaults().live.get(name).map(|vault| vault.location.clone()) else {
        // In the real cloud the name does not resolve. The status is none that a client takes for an absent secret.
        let text = format!("there is no vault {name}: the real cloud has no DNS name {host}\n");
        return Answer::text(StatusCode::MISDIRECTED_REQUEST, text.clone()).noting(Note::finding(text.trim()));
    };
    let (mut caller, mut administrator) = (None, false);
    let outcome = authenticate(tenant, request).and_then(|claims| {
        caller = Some(format!("appid={};oid={}", claims.appid, claims.oid));
        administrator = claims.oid == tenant.administrator.object_id;
        serve(tenant, name, &claims, request)
    });
    let mut answer = match outcome {
        Ok(Some(body)) => document(StatusCode::OK, &body).noting(Note { caller, ..Note::default() }),
        Ok(None) => {
            Answer::body(StatusCode::NO_CONTENT, "application/json", "").noting(Note { caller, ..Note::default() })
        }
        Err(refusal) => refusal.answer(caller),
    };
    answer.note.administrator = administrator;
    let headers = answer.response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    let named = [("x-ms-keyvault-region", location), ("x-ms-request-id", Uuid::new_v4().to_string())];
    for (name, value) in named {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    answer
}

/// The answer when something befalls a request.
pub(super) fn trouble(trouble: Trouble) -> Answer {
    match trouble {
        Trouble::Throttled => {
            let message = "Request was not processed because too many requests were received. Reason: \
                           VaultRequestTypeLimitReached";
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "Throttled", message);
            refusal.header("retry-after", "1").answer(None)
        }
        // wording not verified
        Trouble::Internal => {
            let message = "An unexpected error occurred in the service.";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message).answer(None)
        }
    }
}

/// Whose token is this?
fn authenticate(tenant: &Tenant, request: &Request) -> Result<Claims, Refusal> {
    let challenge = format!(
        "Bearer authorization=\"https://login.microsoftonline.com/{}\", resource=\"https://vault.azure.net\"",
        tenant.id
    );
    let refused = |message: String| {
        Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", message).header("www-authenticate", challenge.clone())
    };
    let header = request.headers().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(refused("AKV10000: Request is missing a Bearer or PoP token.".into())),
    };
    tenant.mint.verify(token, &tenant.issuer(), &AUDIENCES, tenant.now()).map_err(|invalid| match invalid {
        Invalid::Audience(found) => {
            refused(format!("AKV10022: Invalid audience. Expected https://vault.azure.net, found: {found}."))
        }
        Invalid::Issuer(found) => {
            refused(format!("AKV10032: Invalid issuer. Expected one of {}, found {found}.", tenant.issuer()))
        }
        Invalid::Key => refused("AKV10046: Unable to resolve the key used for signature validation.".into()),
        Invalid::Expired => refused("[TokenExpired] Error validating token: 'S2S12086'.".into()),
        // wording of these three not verified
        Invalid::NotYetValid => refused("[TokenNotYetValid] Error validating token.".into()),
        Invalid::Signature => refused("Error validating token: IDX10511".into()),
        Invalid::Malformed => refused("AKV10001: The token is malformed.".into()),
    })
}

/// What the host of a vault does for somebody. Nothing is an answer without content.
fn serve(tenant: &Tenant, name: &str, caller: &Claims, request: &Request) -> Result<Option<Value>, Refusal> {
    let query = Query::of(request)?;
    let call = call(request).ok_or_else(|| {
        let what = format!("{} {}", request.method(), request.uri().path());
        bad(format!("this vault does not play {what:.200}"))
            .because("only secrets are played here, no certificates and no keys")
            .finding()
    })?;
    let now = tenant.now();
    let mut vaults = tenant.vaults();
    let vault = vaults.live.get_mut(name).ok_or_else(gone)?;
    let (action, secret) = call.needs();
    authorise(tenant, vault, caller, action, secret)?;
    let (retention, protected) = (vault.retention, vault.purge_protection);
    let here = format!("{}{}", vault.url().trim_end_matches('/'), request.uri().path());
    Ok(Some(match call {
        Call::GetSecret { name, version } => {
            let (secret, version) = vault.secrets.get(name, version)?;
            valued(vault, secret, version)
        }
        Call::SetSecret { name } => {
            let (secret, version) = cloned(vault.secrets.set(name, body(request)?, now)?);
            valued(vault, &secret, &version)
        }
        Call::UpdateSecret { name, version } => {
            let (secret, version) = cloned(vault.secrets.update(name, version, body(request)?, now)?);
            item(vault, &secret, &version, true)
        }
        Call::GetSecrets => {
            let (page, next) = query.page(&vault.secrets.live, &here);
            let current = |secret: &Secret| secret.versions.last().map(|version| item(vault, secret, version, false));
            json!({"value": page.into_iter().filter_map(current).collect::<Vec<_>>(), "nextLink": next})
        }
        Call::GetSecretVersions { name } => {
            let secret = vault.secrets.versions(name)?;
            let by_id = secret.versions.iter().map(|version| (version.id.clone(), version)).collect();
            let (page, next) = query.page(&by_id, &here);
            let value: Vec<_> = page.into_iter().map(|version| item(vault, secret, version, true)).collect();
            json!({"value": value, "nextLink": next})
        }
        Call::DeleteSecret { name } => {
            let tombstone = vault.secrets.delete(name, retention, now)?.clone();
            deleted(vault, &tombstone, true)
        }
        Call::GetDeletedSecrets => {
            let (page, next) = query.page(&vault.secrets.deleted, &here);
            let value: Vec<_> = page.into_iter().map(|tombstone| deleted(vault, tombstone, false)).collect();
            json!({"value": value, "nextLink": next})
        }
        Call::GetDeletedSecret { name } => deleted(vault, vault.secrets.deleted(name)?, true),
        Call::RecoverDeletedSecret { name } => {
            let (secret, version) = cloned(vault.secrets.recover(name)?);
            item(vault, &secret, &version, true)
        }
        Call::PurgeDeletedSecret { .. } if protected => {
            let message = format!(
                "Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key Vault \
                 service will automatically purge it after the retention period has passed.\r\nVault: {};location={}",
                vault.name, vault.location
            );
            return Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message));
        }
        Call::PurgeDeletedSecret { name } => {
            vault.secrets.purge(name)?;
            return Ok(None);
        }
        Call::BackupSecret { name } => {
            let secret = vault.secrets.versions(name)?.clone();
            json!({"value": vaults.back_up(secret)})
        }
        Call::RestoreSecret => {
            let blob: Change = body(request)?;
            let secret = blob.value.and_then(|blob| vaults.backup(&blob));
            // wording not verified
            let secret = secret.ok_or_else(|| bad("Backup blob contains invalid or corrupt data."))?;
            let vault = vaults.live.get_mut(name).ok_or_else(gone)?;
            let (secret, version) = cloned(vault.secrets.restore(secret)?);
            item(vault, &secret, &version, true)
        }
    }))
}

/// The vault was deleted while a request to it was under way.
fn gone() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "VaultNotFound", "The vault was deleted during the request.")
}

/// May this caller do this, to this secret or to the vault?
fn authorise(
    tenant: &Tenant,
    vault: &Vault,
    caller: &Claims,
    action: Action,
    secret: Option<&str>,
) -> Result<(), Refusal> {
    let who = format!("appid={};oid={};iss={}", caller.appid, caller.oid, caller.iss);
    let place = format!("{};location={}", vault.name, vault.location);
    if !vault.rbac {
        if permitted(&tenant.permissions(vault, &caller.oid), action) {
            return Ok(());
        }
        let message = format!(
            "The user, group or application '{who}' does not have secrets {} permission on key vault '{place}'. For \
             help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
            action.permission().name()
        );
        return Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message).inner("AccessDenied"));
    }
    let id = vault.id(&tenant.subscription);
    let resource = secret.map_or_else(|| id.clone(), |secret| format!("{id}/secrets/{secret:.150}"));
    let reason = match decide(&tenant.grants(&caller.oid), action, &id, &resource) {
        Decision::Granted => return Ok(()),
        Decision::NoRole => "no role of the caller has this action in this vault",
        Decision::OtherScope => "a role of the caller has this action, but for other secrets",
    };
    let shown =
        resource.replace("/resourceGroups/", "/resourcegroups/").replace("Microsoft.KeyVault", "microsoft.keyvault");
    let message = format!(
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role \
         definitions were changed recently, please observe propagation time.\r\nCaller: {who}\r\nAction: '{}'\r\n\
         Resource: '{shown}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\n\
         Vault: {place}\r\n",
        action.data_action()
    );
    Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message).inner("ForbiddenByRbac").because(reason))
}

fn body(request: &Request) -> Result<Change, Refusal> {
    // The cause is not told: it could quote the value.
    serde_json::from_slice(request.body()).map_err(|_| bad("The request body is not a valid JSON document."))
}

fn cloned((secret, version): (&Secret, &Version)) -> (Secret, Version) {
    (secret.clone(), version.clone())
}
