//! Entra ID's sign-in service: its public documents, and the token endpoint for applications.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{bearer::Claims, federation, refusal::document, tenant::Tenant};
use crate::{
    Answer, Request,
    check::{Check, made},
    cloud::Trouble,
    issuer,
    journal::Note,
};

/// The name of this service, and the names that it had before.
pub(super) const HOSTS: [&str; 4] =
    ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"];

/// Seconds that an access token is valid.
const VALIDITY: i64 = 3599;

/// Entra ID lets a token begin so many seconds ago, for APIs whose clocks are behind.
const SKEW: i64 = 300;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An error of the token endpoint.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    code: u32,
    message: String,
    reason: Option<String>,
    finding: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: &'static str, code: u32, message: impl Into<String>) -> Self {
        Self { status, error, code, message: message.into(), reason: None, finding: false }
    }

    /// The client is not who it says.
    pub(super) fn invalid_client(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", code, message)
    }

    /// The request cannot be understood.
    pub(super) fn invalid_request(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", code, message)
    }

    fn missing(parameter: &str) -> Self {
        let message = format!("The request body must contain the following parameter: '{parameter}'.");
        Self::invalid_request(900_144, message)
    }

    /// Why, more exactly than the caller is told.
    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    fn finding(mut self) -> Self {
        self.finding = true;
        self
    }

    fn answer(self, tenant: &Tenant, request: &Request, caller: Option<String>) -> Answer {
        let given = request.headers().get("client-request-id").and_then(|v| v.to_str().ok());
        let correlation = given.and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_else(Uuid::new_v4).to_string();
        let trace = Uuid::new_v4().to_string();
        let time = tenant.ground.clock.now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let code = format!("AADSTS{}", self.code);
        let body = json!({
            "error": self.error,
            "error_description": format!(
                "{code}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}", self.message
            ),
            "error_codes": [self.code],
            "timestamp": time,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.code),
        });
        document(self.status, &body).noting(Note {
            caller,
            code: Some(code),
            reason: Some(self.reason.unwrap_or(self.message)),
            finding: self.finding,
            ..Note::default()
        })
    }
}

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
            find(tenant, directory, false).and_then(|()| token(tenant, &form))
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

type Form = BTreeMap<String, String>;

/// Who a request says it is, for the journal.
fn claimed(form: &Form) -> Option<String> {
    let subject = form.get("client_assertion").and_then(|assertion| issuer::subject(assertion));
    subject.or_else(|| form.get("client_id").map(|id| format!("{id:.64}")))
}

/// Grants an access token to an application.
fn token(tenant: &Tenant, form: &Form) -> Result<Value, Refusal> {
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
