//! The token endpoint and the public documents beside it.

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::json;

use super::{
    super::fixture::{CANARY, LOGIN},
    *,
};

#[test]
fn the_token_endpoint_refuses_with_the_code_for_it() {
    let cluster = Cluster::new();
    let token = Cluster::issued(|c| c["sub"] = json!("system:serviceaccount:default:default"));
    let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let base = [
        ("grant_type", "client_credentials"),
        ("client_id", CANARY),
        ("client_assertion_type", jwt),
        ("client_assertion", &token),
        ("scope", "https://vault.azure.net/.default"),
    ];
    let with = |name: &str, value: &str| {
        let changed: Vec<_> = base.iter().map(|(n, v)| (*n, if *n == name { value } else { *v })).collect();
        let said = cluster.post(&changed);
        (said.status.as_u16(), said.body["error"].as_str().unwrap_or_default().to_owned(), said.code())
    };
    let expected = |status, error: &str, code: &str| (status, error.to_owned(), code.to_owned());
    assert_eq!(with("scope", "https://vault.azure.net/.default").0, 200);
    assert_eq!(with("grant_type", ""), expected(400, "invalid_request", "AADSTS900144"));
    assert_eq!(with("grant_type", "password"), expected(400, "unsupported_grant_type", "AADSTS70003"));
    assert_eq!(with("client_id", ""), expected(400, "invalid_request", "AADSTS900144"));
    assert_eq!(with("client_id", "none"), expected(400, "unauthorized_client", "AADSTS700016"));
    assert_eq!(with("client_assertion_type", "saml"), expected(400, "invalid_request", "AADSTS90014"));
    assert_eq!(with("client_assertion", "x"), expected(400, "invalid_request", "AADSTS50027"));
    assert_eq!(with("scope", "openid"), expected(400, "invalid_scope", "AADSTS70011"));
    assert_eq!(with("scope", "https://vault.azure.net/x"), expected(400, "invalid_scope", "AADSTS1002012"));
    assert_eq!(
        with("scope", "https://graph.microsoft.com/.default"),
        expected(400, "invalid_resource", "AADSTS500011")
    );
    let secret = [base[0], base[1], base[4], ("client_secret", "guess")];
    assert_eq!(cluster.post(&secret).code(), "AADSTS7000215");
    assert_eq!(cluster.post(&[base[0], base[1], base[4]]).code(), "AADSTS7000218");
    let administrator = &cluster.tenant.administrator.client_id;
    let secret = [base[0], ("client_id", administrator), base[4], ("client_secret", "guess")];
    assert_eq!(cluster.post(&secret).code(), "AADSTS7000215");
    let case = Cluster::issued(|c| c["sub"] = json!("system:serviceaccount:default:Default"));
    assert_eq!(with("client_assertion", &case).2, "AADSTS7002138");
}

#[test]
fn the_directory_publishes_where_tokens_come_from() {
    let cluster = Cluster::new();
    let get = |path: &str| cluster.send(LOGIN, axum::http::Request::builder().uri(path).body(Bytes::new()).unwrap());
    let document = get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).body;
    assert_eq!(document["issuer"], format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
    assert_eq!(document["token_endpoint"], format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"));
    let keys = document["jwks_uri"].as_str().unwrap().strip_prefix("https://login.microsoftonline.com").unwrap();
    assert_eq!(get(keys).body["keys"][0]["kty"], "RSA");
    let first = get(&format!("/{TENANT}/.well-known/openid-configuration")).body;
    assert_eq!(first["issuer"], format!("https://sts.windows.net/{TENANT}/"));
    let discovery = get("/common/discovery/instance?api-version=1.1&authorization_endpoint=x").body;
    assert_eq!(discovery["metadata"][0]["preferred_network"], "login.microsoftonline.com");
    assert_eq!(get("/another/v2.0/.well-known/openid-configuration").code(), "AADSTS90002");
    let nowhere = get("/nowhere");
    assert_eq!((nowhere.status, nowhere.note.finding), (StatusCode::NOT_FOUND, true));
}
