//! Azure Key Vault's data plane, with a token of Entra ID.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use trinity_emulators::{azure::declared::Secret, config, seed};

use super::{
    Backend, Said,
    plan::{Seen, Tombstone, Wanted},
};
use crate::failure::{Attempt, Failure, Result};

/// What of a declaration is about secrets.
#[derive(Deserialize)]
struct Declared {
    #[serde(default)]
    azurerm_key_vault_secret: BTreeMap<String, Secret>,
}

/// An access token for vaults.
pub(super) async fn sign_in(http: &Client, cloud: &config::Cloud, id: &str, secret: &str) -> Result<String> {
    let attempted = || "sign in at Entra ID".to_owned();
    let config::Cloud::Azure(azure) = cloud else {
        return Err(Failure::new(attempted(), format!("{} has a client secret", cloud.name())));
    };
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", id)
        .append_pair("client_secret", secret)
        .append_pair("scope", "https://vault.azure.net/.default")
        .finish();
    let request = http
        .post(format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", azure.tenant))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .build()
        .attempting(attempted)?;
    let answer = super::send(http, request).await?.good(attempted())?;
    let token = answer["access_token"].as_str().map(Into::into);
    token.ok_or_else(|| Failure::new(attempted(), "there is no access_token in the answer"))
}

pub(super) fn wanted(text: &str, azure: &config::Azure) -> Result<Vec<Wanted>> {
    let facts = [("tenant", azure.tenant.as_str()), ("subscription", &azure.subscription)];
    let declared: Declared = seed::read(text, "azure", &facts).attempting(|| "find the declared secrets".into())?;
    Ok(declared
        .azurerm_key_vault_secret
        .into_values()
        .map(|secret| Wanted {
            name: secret.name,
            place: secret.key_vault_id.rsplit('/').next().map(str::to_lowercase),
            about: json!({"contentType": secret.content_type, "tags": secret.tags}),
            window: None,
            reference: Some(secret.value),
        })
        .collect())
}

pub(super) async fn look(backend: &Backend, wanted: &Wanted) -> Result<Seen> {
    let live = call(backend, Method::GET, "secrets", wanted, &Value::Null).await?;
    match (live.status, live.code()) {
        // Whether its name is free, the data plane tells at another place.
        (404, _) => {}
        (403, "SecretDisabled") => return Ok(Seen::Live(None)),
        _ => {
            let value = live.good(format!("read secret {}", wanted.name))?;
            return Ok(Seen::Live(value["value"].as_str().map(Into::into)));
        }
    }
    let deleted = call(backend, Method::GET, "deletedsecrets", wanted, &Value::Null).await?;
    let date = match (deleted.status, deleted.code()) {
        (404, _) => return Ok(Seen::Absent),
        // A vault does not show a deleted secret whose current version is disabled, and reserves its name all the same.
        (403, "SecretDisabled") => None,
        _ => Some(deleted.good(format!("find deleted secret {}", wanted.name))?),
    };
    Ok(Seen::Buried(tombstone(date.as_ref())))
}

/// What a vault says of a deleted secret, and what can be done about it there.
fn tombstone(deleted: Option<&Value>) -> Tombstone {
    let Some(deleted) = deleted else {
        let ways = "recover it (az keyvault secret recover) and enable its version, or use another name";
        return Tombstone { seen: "is soft-deleted, with a disabled version".into(), ways: ways.into() };
    };
    let purge = deleted["scheduledPurgeDate"].as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let purge = purge.map_or_else(|| "a day that is not told".into(), |time| time.to_string());
    let purgeable = deleted["attributes"]["recoveryLevel"].as_str().is_some_and(|level| level.contains("Purgeable"));
    let by_hand = match purgeable {
        true => ", purge it by hand (az keyvault secret purge)",
        false => " (its vault is protected: nobody can purge it before)",
    };
    Tombstone {
        seen: format!("is soft-deleted until {purge}"),
        ways: format!("recover it (az keyvault secret recover), wait until then{by_hand}, or use another name"),
    }
}

/// A new version, which makes the secret when there is none of the name.
pub(super) async fn set(backend: &Backend, wanted: &Wanted, value: &str) -> Result<()> {
    let mut request = wanted.about.clone();
    request["value"] = json!(value);
    let said = call(backend, Method::PUT, "secrets", wanted, &request).await?;
    said.good(format!("set secret {}", wanted.name)).map(drop)
}

pub(super) async fn delete(backend: &Backend, wanted: &Wanted) -> Result<String> {
    let said = call(backend, Method::DELETE, "secrets", wanted, &Value::Null).await?;
    let deleted = said.good(format!("delete secret {}", wanted.name))?;
    Ok(tombstone(Some(&deleted)).seen.replacen("is ", "", 1) + "; until then it can be recovered")
}

async fn call(backend: &Backend, method: Method, kind: &str, wanted: &Wanted, body: &Value) -> Result<Said> {
    let vault = wanted.place.as_deref().unwrap_or_default();
    let url = format!("https://{vault}.vault.azure.net/{kind}/{}?api-version=7.6", wanted.name);
    backend.call(method, &url, body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purging_is_offered_only_where_the_vault_permits_it() {
        let deleted =
            |level: &str| json!({"scheduledPurgeDate": 1_767_225_600, "attributes": {"recoveryLevel": level}});
        let purgeable = tombstone(Some(&deleted("Recoverable+Purgeable")));
        assert_eq!(purgeable.seen, "is soft-deleted until 2026-01-01T00:00:00Z");
        assert!(purgeable.ways.contains("secret purge"), "{purgeable:?}");
        let protected = tombstone(Some(&deleted("Recoverable")));
        assert!(!protected.ways.contains("secret purge") && protected.ways.contains("protected"), "{protected:?}");
    }
}
