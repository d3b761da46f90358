//! A cloud in a test of your own: an Azure tenant with one vault, in this process, and a client that reads a secret from it as
//! a workload does. Who is somebody else is refused, as Azure refuses.
//!
//! `cargo run --release -p trinity-emulators --example azure`

// An example stops where something is wrong.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, net::Ipv4Addr};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Certificate, Client};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
    rand_core::OsRng,
};
use serde_json::{Value, json};
use trinity_emulators::{authority, config, control, gateway::Bound, issuer::Issuer};

const LOGIN: &str = "login.microsoftonline.com";
const VAULT: &str = "shop.vault.azure.net";
/// What stands in the tenant, as Terraform has it. The value is not in it.
const DECLARED: &str = "\
locals: {tenant: 22222222-2222-4222-8222-222222222222, subscription: 33333333-3333-4333-8333-333333333333, location: eastus}
azurerm_resource_group:
  shop: {name: shop, location: eastus}
azurerm_user_assigned_identity:
  till:
    name: till
    resource_group_name: shop
    location: eastus
    client_id: 11111111-1111-4111-8111-111111111111
    principal_id: aaaaaaaa-0000-4000-8000-000000000000
azurerm_federated_identity_credential:
  till:
    name: till
    parent_id: /subscriptions/${subscription}/resourceGroups/shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/till
    issuer: ${issuer}
    subject: system:serviceaccount:shop:till
    audience: [api://AzureADTokenExchange]
azurerm_key_vault:
  platform:
    name: shop
    location: eastus
    resource_group_name: shop
    tenant_id: ${tenant}
    sku_name: standard
    rbac_authorization_enabled: true
azurerm_role_assignment:
  till:
    scope: /subscriptions/${subscription}/resourceGroups/shop/providers/Microsoft.KeyVault/vaults/shop/secrets/price
    role_definition_name: Key Vault Secrets User
    principal_id: aaaaaaaa-0000-4000-8000-000000000000
azurerm_key_vault_secret:
  price:
    name: price
    key_vault_id: /subscriptions/${subscription}/resourceGroups/shop/providers/Microsoft.KeyVault/vaults/shop
    value: ${value:price}
";

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let cloud = config::Cloud::read("azure", &put("declared.yaml", DECLARED)).unwrap();
    let authority = authority::mint("an example").unwrap();
    // The cluster: its issuer, and the key that signs the tokens of its service accounts.
    let key = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
    let public = key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let (issuer, jwks) = cloud.issuer("0123456789abcdef0123456789abcdef");

    let gateway = Bound::open(
        config::Config {
            https: (Ipv4Addr::LOCALHOST, 0).into(),
            registry: None,
            metadata: None,
            control: folder.path().join("control.sock"),
            journal: folder.path().join("journal.jsonl"),
            authority: config::Pair {
                certificate: put("ca.crt", &authority.certificate),
                key: put("ca.key", &authority.key),
            },
            git: Vec::new(),
            charts: Vec::new(),
            images: config::Images::default(),
            issuer: config::Issuer { url: issuer.clone(), jwks: jwks.clone(), key: put("issuer.pub", &public) },
            clouds: vec![cloud.clone()],
            grafana: None,
        },
        None,
    );
    let gateway = gateway.await.unwrap();
    let address = gateway.address().unwrap();
    tokio::spawn(gateway.serve());
    let control = control::Client::connect(&folder.path().join("control.sock"), "azure").unwrap();
    control.apply(BTreeMap::from([("price".to_owned(), "1.99".to_owned())])).await.unwrap();

    // Your client, which knows the tenant's real host names and trusts the gateway's authority.
    let client = Client::builder()
        .tls_certs_only([Certificate::from_pem(authority.certificate.as_bytes()).unwrap()])
        .no_proxy()
        .resolve(LOGIN, address)
        .resolve(VAULT, address)
        .build()
        .unwrap();
    let kid = Issuer::new(&issuer, &jwks, &public).unwrap().key_id().to_owned();
    let token = |account: &str| {
        let now = Timestamp::now().as_second();
        let claims = json!({
            "iss": issuer, "aud": [cloud.audience()], "sub": format!("system:serviceaccount:shop:{account}"),
            "iat": now, "nbf": now, "exp": now + 600,
        });
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::RS256) };
        let key = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        encode(&header, &claims, &EncodingKey::from_rsa_pem(key.as_bytes()).unwrap()).unwrap()
    };

    let session = sign_in(&client, &token("till")).await;
    let secret = client
        .get(format!("https://{VAULT}/secrets/price/?api-version=7.4"))
        .bearer_auth(session["access_token"].as_str().unwrap());
    let secret: Value = serde_json::from_str(&secret.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(secret["value"], "1.99");

    let refused = sign_in(&client, &token("stranger")).await;
    let why = refused["error_description"].as_str().unwrap();
    assert!(why.starts_with("AADSTS700213"), "{why}");
    println!("till reads the price; a stranger is told: {why}");
}

/// The exchange of a service account's token for one of Entra ID.
async fn sign_in(client: &Client, token: &str) -> Value {
    let form = format!(
        "grant_type=client_credentials&client_id=11111111-1111-4111-8111-111111111111&client_assertion={token}\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
         &scope=https%3A%2F%2Fvault.azure.net%2F.default"
    );
    let request = client
        .post(format!("https://{LOGIN}/22222222-2222-4222-8222-222222222222/oauth2/v2.0/token"))
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(form).send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[test]
fn a_workload_reads_its_secret_and_a_stranger_does_not() {
    main();
}
