//! Entra ID's sign-in service: its public documents, and the token endpoint for applications.

use axum::http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    aadsts::Refusal,
    refusal::document,
    tenant::Tenant,
    token::{claimed, grant},
};
use crate::{Answer, Request, cloud::Trouble, journal::Note};

/// The name of this service, and the names that it had before.
pub(super) const HOSTS: [&str; 4] =
    ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"];

/// What is asked of this service, and of which directory.
enum Call<'a> {
    InstanceDiscovery,
    Configuration { directory: &'a str, version: Version },
    Keys { directory: &'a str },
    Token { directory: &'a str },
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

fn call(request: &Request) -> Call<'_> {
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    match (request.method(), path.as_slice()) {
        (&Method::GET, ["common", "discovery", "instance"]) => Call::InstanceDiscovery,
        (&Method::GET, [directory, "v2.0", ".well-known", "openid-configuration"]) => {
            Call::Configuration { directory, version: Version::Two }
        }
        (&Method::GET, [directory, ".well-known", "openid-configuration"]) => {
            Call::Configuration { directory, version: Version::One }
        }
        (&Method::GET, [directory, "discovery", "keys"] | [directory, "discovery", "v2.0", "keys"]) => {
            Call::Keys { directory }
        }
        (&Method::POST, [directory, "oauth2", "v2.0", "token"]) => Call::Token { directory },
        _ => Call::Unknown,
    }
}

/// The operation that a request asks for.
pub(super) fn operation(request: &Request) -> &'static str {
    match call(request) {
        Call::InstanceDiscovery => "login:InstanceDiscovery",
        Call::Configuration { .. } => "login:OpenIdConfiguration",
        Call::Keys { .. } => "login:Keys",
        Call::Token { .. } => "login:Token",
        Call::Unknown => "login:Unknown",
    }
}

/// Answers one request.
pub(super) fn answer(tenant: &Tenant, request: &Request) -> Answer {
    let mut caller = None;
    let outcome = match call(request) {
        Call::InstanceDiscovery => Ok(instances(tenant)),
        Call::Configuration { directory, version } => {
            find(tenant, directory, true).map(|()| configuration(directory, version))
        }
        Call::Keys { directory } => find(tenant, directory, true).map(|()| tenant.mint.keys()),
        Call::Token { directory } => {
            let form = form_urlencoded::parse(request.body()).into_owned().collect();
            caller = claimed(&form);
            find(tenant, directory, false).and_then(|()| grant(tenant, &form))
        }
        Call::Unknown => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "invalid_request",
            900_561,
            format!("The endpoint does not accept this request: {} {}", request.method(), request.uri().path()),
        )
        .finding()),
    };
    let mut answer = match outcome {
        Ok(body) => document(StatusCode::OK, &body).noting(Note { caller, ..Note::default() }),
        Err(refusal) => refusal.answer(tenant, request, caller),
    };
    let headers = answer.response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-store, no-cache"));
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        headers.insert("x-ms-request-id", id);
    }
    answer
}

/// The answer when something befalls a request.
pub(super) fn trouble(tenant: &Tenant, request: &Request, trouble: Trouble) -> Answer {
    match trouble {
        // wording not verified
        Trouble::Throttled => {
            let message = "The tenant is throttled because there were too many requests. Please try again later.";
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", 90055, message);
            let mut answer = refusal.answer(tenant, request, None);
            answer.response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
            answer
        }
        Trouble::Internal => {
            let message = "A transient error has occurred. Please try again.";
            let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "temporarily_unavailable", 90033, message);
            refusal.answer(tenant, request, None)
        }
    }
}

/// Whether a directory in a path is the tenant, or one of the names for any tenant where those will do.
fn find(tenant: &Tenant, directory: &str, any_will_do: bool) -> Result<(), Refusal> {
    if directory.eq_ignore_ascii_case(&tenant.id) {
        return Ok(());
    }
    match directory {
        "common" | "organizations" if any_will_do => Ok(()),
        "common" | "organizations" => Err(Refusal::invalid_request(
            50059,
            "No tenant-identifying information found in either the request or implied by any provided credentials.",
        )),
        other => Err(Refusal::invalid_request(
            90002,
            format!(
                "Tenant '{other}' not found. This may happen if there are no active subscriptions for the tenant. Check \
                 to make sure you have the correct tenant ID. Check with your subscription administrator."
            ),
        )),
    }
}

fn instances(tenant: &Tenant) -> Value {
    let [name, ..] = HOSTS;
    json!({
        "tenant_discovery_endpoint": format!("https://{name}/{}/v2.0/.well-known/openid-configuration", tenant.id),
        "api-version": "1.1",
        "metadata": [{"preferred_network": name, "preferred_cache": "login.windows.net", "aliases": HOSTS}],
    })
}

fn configuration(directory: &str, version: Version) -> Value {
    let [host, ..] = HOSTS;
    let part = if version == Version::Two { "v2.0/" } else { "" };
    // A document for any tenant has a place for the tenant's id in its issuer.
    let of = if directory == "common" || directory == "organizations" { "{tenantid}" } else { directory };
    let issuer = match version {
        Version::One => format!("https://sts.windows.net/{of}/"),
        Version::Two => format!("https://{host}/{of}/v2.0"),
    };
    json!({
        "token_endpoint": format!("https://{host}/{directory}/oauth2/{part}token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("https://{host}/{directory}/discovery/{part}keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "authorization_endpoint": format!("https://{host}/{directory}/oauth2/{part}authorize"),
        "device_authorization_endpoint": format!("https://{host}/{directory}/oauth2/{part}devicecode"),
        "end_session_endpoint": format!("https://{host}/{directory}/oauth2/{part}logout"),
        "tenant_region_scope": "NA",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
    })
}
