//! Whatever is sent by somebody without credentials: nothing panics, and nobody gets in.

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    super::fixture::{CANARIES, CANARY, LOGIN, POLICIES},
    *,
};
use crate::{Request, cloud::Cloud};

/// A request of any method, to any path, with any query, header and body.
fn request() -> impl Strategy<Value = Request> {
    let method = prop::sample::select(vec!["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"]);
    let parts = prop::sample::select(vec![
        "",
        "secrets",
        "deletedsecrets",
        "restore",
        "backup",
        "versions",
        "recover",
        "trinity-canary",
        "subscriptions",
        SUBSCRIPTION,
        "providers",
        "Microsoft.KeyVault",
        "vaults",
        "oauth2",
        "v2.0",
        "token",
        TENANT,
        "%00",
        "..",
        "a?b",
    ]);
    let path = prop::collection::vec(parts, 0..7);
    let query = "[a-z$=&%0-9.-]{0,20}";
    let authorization = prop_oneof![Just(String::new()), "[ -~]{0,40}", "Bearer [A-Za-z0-9._-]{0,80}"];
    (method, path, query, authorization, prop::collection::vec(any::<u8>(), 0..200)).prop_filter_map(
        "only what a server would read",
        |(method, path, query, authorization, body)| {
            let uri = format!("/{}?api-version=7.6&{query}", path.join("/"));
            let request = axum::http::Request::builder().method(method).uri(uri).header("authorization", authorization);
            request.body(Bytes::from(body)).ok()
        },
    )
}

static CLUSTER: std::sync::LazyLock<Cluster> = std::sync::LazyLock::new(Cluster::new);

proptest! {
    #[test]
    fn no_made_up_request_gets_in(request in request()) {
        for host in [VAULT, CANARIES, POLICIES, MANAGEMENT, LOGIN] {
            prop_assert!(CLUSTER.tenant.operation(host, &request).len() < 80);
            let again = axum::http::Request::from_parts(request.clone().into_parts().0, request.body().clone());
            let said = CLUSTER.send(host, again);
            // Only the public documents of the directory are for everybody.
            prop_assert!(!said.status.is_success() || host == LOGIN, "{} {said:?}", request.uri());
            prop_assert!(said.body.get("access_token").is_none() && said.body.get("value").is_none());
        }
    }

    #[test]
    fn no_made_up_form_gets_a_token(id in "[ -~]{0,40}", proof in "[ -~]{0,80}", dotted in "[A-Za-z0-9_-]{1,20}") {
        let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let scope = ("scope", "https://vault.azure.net/.default");
        let token = format!("{dotted}.{dotted}.{dotted}");
        for assertion in [&proof, &token] {
            for client in [CANARY, LIFECYCLE, &id] {
                let said = CLUSTER.post(&[
                    ("grant_type", "client_credentials"), ("client_id", client), scope,
                    ("client_assertion_type", jwt), ("client_assertion", assertion), ("client_secret", &proof),
                ]);
                prop_assert!(said.status.is_client_error() && said.body.get("access_token").is_none());
            }
        }
    }
}
