//! The token endpoint's work: an application proves who it is and gets an access token.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{aadsts::Refusal, bearer::Claims, federation, tenant::Tenant};
use crate::{
    check::{Check, made},
    issuer,
};

/// Seconds that an access token is valid.
const VALIDITY: i64 = 3599;

/// Entra ID lets a token begin so many seconds ago, for APIs whose clocks are behind.
const SKEW: i64 = 300;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Parameters of a request.
pub(super) type Form = BTreeMap<String, String>;

/// Who a request says it is, for the journal.
pub(super) fn claimed(form: &Form) -> Option<String> {
    let subject = form.get("client_assertion").and_then(|assertion| issuer::subject(assertion));
    subject.or_else(|| form.get("client_id").map(|id| format!("{id:.64}")))
}

/// Grants an access token to an application.
pub(super) fn grant(tenant: &Tenant, form: &Form) -> Result<Value, Refusal> {
    let parameter = |name: &str| form.get(name).filter(|v| !v.is_empty()).ok_or_else(|| Refusal::missing(name));
    let grant = parameter("grant_type")?;
    if grant != "client_credentials" {
        let message = format!("The app requested an unsupported grant type '{grant:.64}'.");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", 70003, message).finding());
    }
    let client = parameter("client_id")?;
    let audience = audience(parameter("scope")?)?;
    let bearer = client_of(tenant, client, form)?;
    let now = tenant.now();
    let claims = Claims {
        aud: audience.to_owned(),
        iss: tenant.issuer(),
        iat: now - SKEW,
        nbf: now - SKEW,
        exp: now + VALIDITY,
        appid: bearer.client_id,
        appidacr: bearer.proof.to_owned(),
        idp: tenant.issuer(),
        sub: bearer.object_id.clone(),
        oid: bearer.object_id,
        tid: tenant.id.clone(),
        uti: Uuid::new_v4().simple().to_string(),
        ver: "1.0".into(),
    };
    let token = tenant.mint.issue(&claims).map_err(|e| {
        let message = "A transient error has occurred. Please try again.";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "temporarily_unavailable", 90033, message)
            .because(e.to_string())
    })?;
    Ok(json!({"token_type": "Bearer", "expires_in": VALIDITY, "ext_expires_in": VALIDITY, "access_token": token}))
}

/// The API that a scope names.
fn audience(scope: &str) -> Result<&'static str, Refusal> {
    // Libraries add these, and they say nothing for an application.
    let of_users = ["openid", "profile", "offline_access"];
    let wanted: Vec<&str> = scope.split_whitespace().filter(|s| !of_users.contains(s)).collect();
    let [wanted] = wanted.as_slice() else {
        let message = format!(
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter \
             'scope' is not valid. The scope {scope:.200} is not valid."
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_scope", 70011, message));
    };
    match *wanted {
        "https://vault.azure.net/.default" | "https://vault.azure.net//.default" => Ok("https://vault.azure.net"),
        "https://management.azure.com/.default" => Ok("https://management.azure.com"),
        "https://management.azure.com//.default" => Ok("https://management.azure.com/"),
        "https://management.core.windows.net//.default" => Ok("https://management.core.windows.net/"),
        "https://management.core.windows.net/.default" => Ok("https://management.core.windows.net"),
        other => Err(match other.strip_suffix("/.default") {
            Some(resource) => Refusal::new(
                StatusCode::BAD_REQUEST,
                "invalid_resource",
                500_011,
                format!(
                    "The resource principal named {resource:.200} was not found in the tenant. This can happen if the \
                     application has not been installed by the administrator of the tenant or consented to by any user \
                     in the tenant. You might have sent your authentication request to the wrong tenant."
                ),
            )
            .because("only Key Vault and the resource manager are played here")
            .finding(),
            None => Refusal::new(
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                1_002_012,
                format!(
                    "The provided value for scope {other:.200} is not valid. Client credential flows must have a scope \
                     value with /.default suffixed to the resource identifier (application ID URI)."
                ),
            ),
        }),
    }
}

/// An application that has proved who it is.
struct Bearer {
    client_id: String,
    object_id: String,
    proof: &'static str,
}

/// Finds the application with a client id and lets it prove that it is the one.
fn client_of(tenant: &Tenant, client: &str, form: &Form) -> Result<Bearer, Refusal> {
    let administrator = &tenant.administrator;
    if client.eq_ignore_ascii_case(&administrator.client_id) {
        let secret = form.get("client_secret").ok_or_else(unproved)?;
        if !bool::from(secret.as_bytes().ct_eq(administrator.secret.as_bytes())) {
            return Err(wrong_secret(client));
        }
        return Ok(Bearer {
            client_id: administrator.client_id.clone(),
            object_id: administrator.object_id.clone(),
            proof: "1",
        });
    }
    let declared = tenant.declared();
    let Some(identity) = declared.identity(client) else {
        let message = format!(
            "Application with identifier '{client:.64}' was not found in the directory '{}'. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You may have sent your authentication request to the wrong tenant.",
            tenant.id
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "unauthorized_client", 700_016, message));
    };
    match (form.get("client_assertion"), form.get("client_secret")) {
        (Some(assertion), _) => {
            match form.get("client_assertion_type").map(String::as_str) {
                Some(ASSERTION) => {}
                Some(_) => {
                    // code and wording not verified
                    let message = "The provided value for the input parameter 'client_assertion_type' is not valid.";
                    return Err(Refusal::invalid_request(90014, message));
                }
                None => return Err(Refusal::missing("client_assertion_type")),
            }
            federation::verify(tenant, identity, assertion)?;
        }
        // A managed identity has no secrets, so that every one is wrong.
        (None, Some(_)) => return Err(wrong_secret(client)),
        (None, None) => return Err(unproved()),
    }
    if !declared.enabled(identity) && made(Check::Disabled) {
        let message = format!("Application '{}'({}) is disabled.", identity.client_id, identity.name);
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "unauthorized_client", 7_000_112, message));
    }
    Ok(Bearer { client_id: identity.client_id.clone(), object_id: identity.principal_id.clone(), proof: "2" })
}

fn unproved() -> Refusal {
    let message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
    Refusal::invalid_client(7_000_218, message)
}

fn wrong_secret(client: &str) -> Refusal {
    let message = format!(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
         the client secret ID, for a secret added to app '{client:.64}'."
    );
    Refusal::invalid_client(7_000_215, message)
}
