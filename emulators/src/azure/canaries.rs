//! The canaries of an Azure tenant, see [`crate::canary`].

use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use crate::{
    Attempt, Result,
    canary::{Outcome, Probe, SUCCESS},
    config,
};

/// Client ids and names that the declared set-up of every tenant gives to what canaries touch.
const IDENTITY: &str = "11111111-1111-4111-8111-000000000001";
const POWERLESS: &str = "11111111-1111-4111-8111-000000000002";
const DISABLED: &str = "11111111-1111-4111-8111-000000000003";
const UNBOUND: &str = "11111111-1111-4111-8111-000000000004";
const UNKNOWN: &str = "11111111-1111-4111-8111-00000000dead";
const SECRET: &str = "trinity-canary";
const FORBIDDEN: &str = "forbidden";
const ABSENT: &str = "trinity-absent";

/// Hosts: where tokens come from, the canaries' vault with role assignments and the one with access policies.
const LOGIN: &str = "login.microsoftonline.com";
const VAULT: &str = "trinity-canaries.vault.azure.net";
const POLICIES: &str = "trinity-canary-policies.vault.azure.net";

/// Scopes.
const SECRETS: &str = "https://vault.azure.net/.default";
const MANAGEMENT: &str = "https://management.azure.com/.default";

const UNREADABLE: &str = "an answer without error code";

/// Sends all canaries.
pub(crate) async fn run(probe: &Probe, tenant: &config::Azure) -> Result<Vec<Outcome>> {
    let caller = Caller { client: probe.client(&[LOGIN, VAULT, POLICIES])?, tenant: &tenant.tenant };
    let mut outcomes = Vec::new();
    let mut note = |name: &str, expected: &str, seen: String| {
        outcomes.push(Outcome { name: name.into(), expected: expected.into(), seen });
    };
    let code = |outcome: &Result<String, String>| outcome.as_ref().err().cloned().unwrap_or_else(|| SUCCESS.into());
    for forgery in probe.forgeries()?.into_iter().chain(probe.strangers()?) {
        let expected = match forgery.name {
            "forged signature" => "AADSTS50013",
            "wrong aud" => "AADSTS700212",
            "wrong iss" | "token of another world" => "AADSTS700211",
            "expired" | "not yet valid" => "AADSTS700024",
            _ => "AADSTS700213",
        };
        note(forgery.name, expected, code(&caller.exchange(IDENTITY, &forgery.token, SECRETS).await?));
    }
    let good = caller.exchange(IDENTITY, &probe.token, SECRETS).await?;
    note("a token that is right", SUCCESS, code(&good));
    if let Ok(token) = good {
        note("a secret that the identity may read", SUCCESS, caller.read(VAULT, Some(&token), SECRET).await?);
        note("permission on another secret", "ForbiddenByRbac", caller.read(VAULT, Some(&token), FORBIDDEN).await?);
        note("absent secret", "SecretNotFound", caller.read(VAULT, Some(&token), ABSENT).await?);
        note("a secret that an access policy permits", SUCCESS, caller.read(POLICIES, Some(&token), SECRET).await?);
        note("forged access token", "Unauthorized", caller.read(VAULT, Some(&tampered(&token)), SECRET).await?);
    }
    note("no access token", "Unauthorized", caller.read(VAULT, None, SECRET).await?);
    if let Ok(token) = caller.exchange(IDENTITY, &probe.token, MANAGEMENT).await? {
        note("access token for another API", "Unauthorized", caller.read(VAULT, Some(&token), SECRET).await?);
    }
    match caller.exchange(POWERLESS, &probe.token, SECRETS).await? {
        Ok(token) => {
            let seen = caller.read(VAULT, Some(&token), SECRET).await?;
            note("identity without permission", "ForbiddenByRbac", seen);
            let seen = caller.read(POLICIES, Some(&token), SECRET).await?;
            note("identity without access policy", "AccessDenied", seen);
        }
        Err(code) => note("identity without permission", "ForbiddenByRbac", code),
    }
    note("disabled identity", "AADSTS7000112", code(&caller.exchange(DISABLED, &probe.token, SECRETS).await?));
    note("missing binding", "AADSTS70025", code(&caller.exchange(UNBOUND, &probe.token, SECRETS).await?));
    note("unknown client id", "AADSTS700016", code(&caller.exchange(UNKNOWN, &probe.token, SECRETS).await?));
    note("absent client id", "AADSTS900144", code(&caller.exchange("", &probe.token, SECRETS).await?));
    Ok(outcomes)
}

/// The token with another signature.
fn tampered(token: &str) -> String {
    let (claims, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let reversed: String = signature.chars().rev().collect();
    format!("{claims}.{reversed}")
}

struct Caller<'a> {
    client: Client,
    tenant: &'a str,
}

impl Caller<'_> {
    /// An access token for a service account's token; the inner error is Entra ID's code.
    async fn exchange(&self, identity: &str, token: &str, scope: &str) -> Result<Result<String, String>> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", identity)
            .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .append_pair("client_assertion", token)
            .append_pair("scope", scope)
            .finish();
        let url = format!("https://{LOGIN}/{}/oauth2/v2.0/token", self.tenant);
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = send(request, LOGIN).await?;
        Ok(match answer["access_token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(answer["error_codes"][0].as_u64().map_or_else(|| UNREADABLE.into(), |c| format!("AADSTS{c}"))),
        })
    }

    /// GetSecret: `success`, or the vault's code.
    async fn read(&self, vault: &str, token: Option<&str>, secret: &str) -> Result<String> {
        let request = self.client.get(format!("https://{vault}/secrets/{secret}?api-version=7.6"));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = send(request, vault).await?;
        if answer["value"].is_string() {
            return Ok(SUCCESS.into());
        }
        let error = &answer["error"];
        Ok(error["innererror"]["code"].as_str().or(error["code"].as_str()).unwrap_or(UNREADABLE).to_owned())
    }
}

async fn send(request: RequestBuilder, host: &str) -> Result<Value> {
    let attempted = || format!("call https://{host}/");
    request.send().await.attempting(attempted)?.json().await.attempting(attempted)
}

#[cfg(test)]
mod tests {
    use crate::{fixture::Gateway, seed};

    #[tokio::test]
    async fn all_behave_through_the_gateway() {
        Gateway::start("azure").await.withstands_canaries(22).await;
    }

    #[tokio::test]
    async fn all_behave_beside_a_platform_whose_vault_is_another() {
        let example = seed::example("azure");
        let (platform, beside) = example.split_once("\n---\n").unwrap();
        let other = [
            ("trinity-dev-azure", "payments"),
            ("trinity-dev", "payments-group"),
            ("eastus", "westeurope"),
            ("  platform:\n    name: payments", "  payments:\n    name: payments"),
        ];
        let platform = other.into_iter().fold(platform.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        let gateway = Gateway::declaring("azure", &format!("{platform}\n---\n{beside}")).await;
        gateway.withstands_canaries(22).await;
        let control = gateway.control();
        assert_eq!(control.secret("provider-test-secret").await.unwrap(), "value of provider_test");
        let undeclared = control.secret("undeclared").await.unwrap_err().to_string();
        assert!(undeclared.contains("no vault is declared as platform"), "{undeclared}");
    }
}
