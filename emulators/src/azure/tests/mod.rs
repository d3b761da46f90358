//! What the emulated Azure does, asked through its public interfaces.

use serde_json::{Value, json};

use super::{
    fixture::{Cluster, LIFECYCLE, MANAGEMENT, SUBSCRIPTION, Said, TENANT, VAULT},
    secrets::DAY,
};

mod login;
mod secrets;
mod setup;
mod strangers;
mod vaults;

/// Versions of the two interfaces.
const SECRETS: &str = "api-version=7.6";
const VAULTS: &str = "api-version=2023-07-01";

/// The one who may do everything, with tokens for both interfaces.
struct Master {
    cluster: Cluster,
    secrets: String,
    vaults: String,
}

impl Master {
    fn new() -> Self {
        let cluster = Cluster::new();
        let [secrets, vaults] =
            ["https://vault.azure.net/.default", "https://management.azure.com/.default"].map(|s| cluster.master(s));
        Self { cluster, secrets, vaults }
    }

    fn at(&self, host: &str, method: &str, path: &str, body: Value) -> Said {
        let sign = if path.contains('?') { '&' } else { '?' };
        self.cluster.call(&self.secrets, method, host, &format!("{path}{sign}{SECRETS}"), &body)
    }

    fn secret(&self, method: &str, path: &str, body: Value) -> Said {
        self.at(VAULT, method, path, body)
    }

    fn vault(&self, method: &str, path: &str, body: Value) -> Said {
        let path = format!("/subscriptions/{SUBSCRIPTION}{path}?{VAULTS}");
        self.cluster.call(&self.vaults, method, MANAGEMENT, &path, &body)
    }

    fn create(&self, name: &str, properties: Value) -> Said {
        let mut body = json!({"location": "East US", "properties": {
            "tenantId": TENANT, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": true,
        }});
        for (key, value) in properties.as_object().unwrap() {
            body["properties"][key] = value.clone();
        }
        self.vault("PUT", &format!("{GROUP}/{name}"), body)
    }

    /// New tokens, after the clock was moved.
    fn later(mut self, seconds: i64) -> Self {
        self.cluster.tenant.ground.clock.advance(seconds);
        let (object, now) = (LIFECYCLE, self.cluster.tenant.now());
        let fresh = Cluster::issued(|c| {
            c["sub"] = json!("system:serviceaccount:trinity-suites:lifecycle");
            c["nbf"] = json!(now);
            c["exp"] = json!(now + 3600);
        });
        self.secrets = self.cluster.exchange(object, &fresh, "https://vault.azure.net/.default").unwrap();
        self.vaults = self.cluster.exchange(object, &fresh, "https://management.azure.com/.default").unwrap();
        self
    }
}

const GROUP: &str = "/resourceGroups/trinity-dev/providers/Microsoft.KeyVault/vaults";
const NOTHING: Value = Value::Null;

fn seen(said: &Said) -> (u16, String) {
    (said.status.as_u16(), said.code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.into())
}
