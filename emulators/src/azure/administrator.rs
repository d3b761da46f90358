//! The administrator, who loads the declared set-up through the public API like any other caller.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{
    access::Permission,
    declared::{KeyVault, PLATFORM},
    login, management,
    tenant::Tenant,
    vault::DOMAIN,
};
use crate::{Attempt, Error, Request, Result, cloud::Cloud, seed};

/// Versions of the two interfaces.
const SECRETS: &str = "api-version=7.6";
const VAULTS: &str = "api-version=2023-07-01";

/// What the API said.
struct Said {
    status: StatusCode,
    body: Value,
}

impl Said {
    /// The body, unless it is an error.
    fn body(self, attempted: &str) -> Result<Value> {
        if self.status.is_success() { Ok(self.body) } else { Err(self.error(attempted)) }
    }

    fn error(&self, attempted: &str) -> Error {
        let error = &self.body["error"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let hint = match error["innererror"]["code"].as_str().or(error["code"].as_str()) {
            Some("ObjectIsDeletedButRecoverable" | "ConflictError") => {
                "; recover it or purge it, or wait until it is purged"
            }
            Some("SecretDisabled") => "; enable its current version first",
            _ => "",
        };
        let seen = format!("{}: {}{hint}", text(&error["code"]), text(&error["message"]));
        Error::new(attempted.to_owned(), if error.is_object() { seen } else { self.status.to_string() })
    }
}

impl Tenant {
    /// Makes the declared vaults and gives the declared secrets the run's values.
    pub(super) async fn load(&self, values: &BTreeMap<String, String>) -> Result<()> {
        let declared = self.declared();
        let (manager, reader) = self.sign_in().await?;
        for vault in declared.azurerm_key_vault.values() {
            let path = format!("{}?{VAULTS}", vault.id(&self.subscription));
            let attempted = format!("make the vault {}", vault.name);
            let body = self.vault_body(vault);
            self.call(&manager, "PUT", management::HOST, &path, &body).await?.body(&attempted)?;
        }
        for secret in declared.azurerm_key_vault_secret.values() {
            let attempted = format!("give the secret {} its value", secret.name);
            let vault = declared
                .vault(&secret.key_vault_id, &self.subscription)
                .ok_or_else(|| Error::new(attempted.clone(), "its vault is not declared"))?;
            let value = seed::value(&secret.value, &secret.name, values)?;
            let body = json!({"value": value, "contentType": secret.content_type, "tags": secret.tags});
            self.put_when_different(&reader, vault, &secret.name, &body).await?;
        }
        Ok(())
    }

    /// Adds a version when the current one has another value.
    async fn put_when_different(&self, token: &str, vault: &KeyVault, name: &str, body: &Value) -> Result<()> {
        let attempted = format!("give the secret {name} its value");
        let (host, path) = place(vault, name);
        let current = self.call(token, "GET", &host, &path, &Value::Null).await?;
        match current.status {
            StatusCode::NOT_FOUND => {}
            _ if current.body(&attempted)?["value"] == body["value"] => return Ok(()),
            _ => {}
        }
        self.call(token, "PUT", &host, &path, body).await?.body(&attempted).map(|_| ())
    }

    /// The current value of a secret.
    pub(super) async fn value(&self, name: &str) -> Result<String> {
        let said = self.at_its_vault("GET", name, &Value::Null).await?;
        Ok(said.body(&format!("read the secret {name}"))?["value"].as_str().unwrap_or_default().to_owned())
    }

    /// A new value of a secret.
    pub(super) async fn put(&self, name: &str, value: &str) -> Result<()> {
        let said = self.at_its_vault("PUT", name, &json!({"value": value})).await?;
        said.body(&format!("change the secret {name}")).map(|_| ())
    }

    /// Deletes a secret; it can be recovered.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        let said = self.at_its_vault("DELETE", name, &Value::Null).await?;
        said.body(&format!("delete the secret {name}")).map(|_| ())
    }

    async fn at_its_vault(&self, method: &str, name: &str, body: &Value) -> Result<Said> {
        let declared = self.declared();
        let vault = declared.vault_of(name, &self.subscription).ok_or_else(|| {
            let seen = format!("it is declared in no vault, and no vault is declared as {PLATFORM}");
            Error::new(format!("find the secret {name}"), seen)
        })?;
        let (_, token) = self.sign_in().await?;
        let (host, path) = place(vault, name);
        self.call(&token, method, &host, &path, body).await
    }

    /// Tokens for the resource manager and for the vaults.
    async fn sign_in(&self) -> Result<(String, String)> {
        let manager = self.token("https://management.azure.com/.default").await?;
        Ok((manager, self.token("https://vault.azure.net/.default").await?))
    }

    async fn token(&self, scope: &str) -> Result<String> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.administrator.client_id)
            .append_pair("client_secret", &self.administrator.secret)
            .append_pair("scope", scope)
            .finish();
        let path = format!("/{}/oauth2/v2.0/token", self.id);
        let [host, ..] = login::HOSTS;
        let request = axum::http::Request::builder().method("POST").uri(path).body(Bytes::from(form));
        let said = self.send(host, request).await?;
        let token = said.body["access_token"].as_str().map(Into::into);
        token.ok_or_else(|| Error::new("sign in as administrator", &said.body["error_description"]))
    }

    async fn call(&self, token: &str, method: &str, host: &str, path: &str, body: &Value) -> Result<Said> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", host)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(body);
        self.send(host, request).await
    }

    async fn send(&self, host: &str, request: axum::http::Result<Request>) -> Result<Said> {
        let attempted = || format!("call {host}");
        let answer = self.answer(host, request.attempting(attempted)?).await;
        let status = answer.response.status();
        let bytes = answer.response.into_body().collect().await.attempting(attempted)?.to_bytes();
        // Only errors of the gateway are no JSON, and an answer without content.
        Ok(Said { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }

    fn vault_body(&self, vault: &KeyVault) -> Value {
        let permissions: Vec<_> = Permission::ALL.iter().map(|p| p.name()).collect();
        let mut body = json!({"location": vault.location, "properties": {
            "tenantId": vault.tenant_id,
            "sku": {"family": "A", "name": vault.sku_name},
            "enableRbacAuthorization": vault.rbac_authorization_enabled,
            "softDeleteRetentionInDays": vault.soft_delete_retention_days,
            "accessPolicies": [{
                "tenantId": self.id,
                "objectId": self.administrator.object_id,
                "permissions": {"secrets": permissions},
            }],
        }});
        if vault.purge_protection_enabled {
            body["properties"]["enablePurgeProtection"] = json!(true);
        }
        body
    }
}

/// Host and path of a secret.
fn place(vault: &KeyVault, name: &str) -> (String, String) {
    (format!("{}{DOMAIN}", vault.name.to_lowercase()), format!("/secrets/{name}?{SECRETS}"))
}
