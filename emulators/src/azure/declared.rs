//! The set-up of an Azure tenant as a platform's infrastructure code declares it: resource types and attributes have
//! the names of the Terraform providers azurerm and azuread.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    access::{Permission, Role},
    scope,
};
use crate::{Error, Result};

/// Label of the vault in which the control interface reads and writes secrets that are not declared.
pub const PLATFORM: &str = "platform";

/// Most federated credentials of one identity.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
const CREDENTIALS: usize = 20;

/// All resources by type and name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declared {
    /// Resource groups.
    pub azurerm_resource_group: BTreeMap<String, ResourceGroup>,
    /// Managed identities.
    pub azurerm_user_assigned_identity: BTreeMap<String, Identity>,
    /// Which foreign tokens get a managed identity.
    pub azurerm_federated_identity_credential: BTreeMap<String, FederatedCredential>,
    /// What the directory says about an identity: a managed identity itself cannot be disabled, its service principal
    /// can.
    pub azuread_service_principal: BTreeMap<String, ServicePrincipal>,
    /// Vaults.
    pub azurerm_key_vault: BTreeMap<String, KeyVault>,
    /// Permissions in vaults without RBAC.
    pub azurerm_key_vault_access_policy: BTreeMap<String, AccessPolicy>,
    /// Permissions everywhere else.
    pub azurerm_role_assignment: BTreeMap<String, RoleAssignment>,
    /// Secrets. Their values are never in this file, only the name of a value that the run supplies.
    pub azurerm_key_vault_secret: BTreeMap<String, Secret>,
}

/// A resource group.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceGroup {
    /// Name.
    pub name: String,
    /// Region.
    pub location: String,
}

/// A user-assigned managed identity. Azure makes up both ids; here they are declared, so that manifests can name them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// Resource group.
    pub resource_group_name: String,
    /// Region.
    pub location: String,
    /// Client id (application id).
    pub client_id: String,
    /// Object id of its service principal.
    pub principal_id: String,
}

/// A federated identity credential.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedCredential {
    /// Name.
    pub name: String,
    /// Resource id of the managed identity.
    pub parent_id: String,
    /// Issuer URL, compared to the letter.
    pub issuer: String,
    /// Subject, compared to the letter.
    pub subject: String,
    /// Accepted audiences.
    pub audience: Vec<String>,
}

/// A service principal that exists already.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServicePrincipal {
    /// Client id.
    pub client_id: String,
    /// Always true: Azure has made the principal together with the identity.
    pub use_existing: bool,
    /// Whether it may sign in.
    pub account_enabled: bool,
}

/// A key vault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyVault {
    /// Name, unique in the world.
    pub name: String,
    /// Region.
    pub location: String,
    /// Resource group.
    pub resource_group_name: String,
    /// Tenant whose tokens it accepts.
    pub tenant_id: String,
    /// `standard` or `premium`.
    pub sku_name: String,
    /// Whether role assignments decide instead of access policies.
    #[serde(default)]
    pub rbac_authorization_enabled: bool,
    /// Whether nobody can purge before the retention is over.
    #[serde(default)]
    pub purge_protection_enabled: bool,
    /// Days between deletion and oblivion, 7 to 90.
    #[serde(default = "ninety")]
    pub soft_delete_retention_days: u8,
}

/// The default of Key Vault.
const fn ninety() -> u8 {
    90
}

/// An access policy of a vault.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessPolicy {
    /// Resource id of the vault.
    pub key_vault_id: String,
    /// Tenant of the principal.
    pub tenant_id: String,
    /// Object id of the principal.
    pub object_id: String,
    /// What it may do with secrets.
    pub secret_permissions: Vec<Permission>,
}

/// A role assignment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleAssignment {
    /// Resource id below which it holds.
    pub scope: String,
    /// Built-in role.
    pub role_definition_name: Role,
    /// Object id of the principal.
    pub principal_id: String,
}

/// A secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Name.
    pub name: String,
    /// Resource id of the vault.
    pub key_vault_id: String,
    /// `${value:<name>}`: the value of that name that the run supplies.
    pub value: String,
    /// What the value is, for people.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl Declared {
    /// Refuses what Azure would refuse, or would accept and then never use.
    ///
    /// # Errors
    /// When a resource refers to one that is not declared, or a vault is impossible.
    pub fn check(&self, tenant: &str, subscription: &str) -> Result<()> {
        let refused = |what: String| Err(Error::new("use the declared set-up of azure", what));
        let identities: Vec<String> =
            self.azurerm_user_assigned_identity.values().map(|i| i.id(subscription).to_lowercase()).collect();
        let vaults: Vec<String> = self.azurerm_key_vault.values().map(|v| v.id(subscription).to_lowercase()).collect();
        for (label, credential) in &self.azurerm_federated_identity_credential {
            if !identities.contains(&credential.parent_id.to_lowercase()) {
                return refused(format!("federated credential {label} is of an identity that is not declared"));
            }
        }
        for id in &identities {
            let own = self.azurerm_federated_identity_credential.values().filter(|c| c.parent_id.to_lowercase() == *id);
            if own.count() > CREDENTIALS {
                return refused(format!("more than {CREDENTIALS} federated credentials are of {id}"));
            }
        }
        let policies = self.azurerm_key_vault_access_policy.iter().map(|(label, p)| (label, &p.key_vault_id));
        let secrets = self.azurerm_key_vault_secret.iter().map(|(label, s)| (label, &s.key_vault_id));
        for (label, vault) in policies.chain(secrets) {
            if !vaults.contains(&vault.to_lowercase()) {
                return refused(format!("{label} is in a vault that is not declared: {vault}"));
            }
        }
        for policy in self.azurerm_key_vault_access_policy.values() {
            if policy.tenant_id != tenant {
                return refused(format!("an access policy is for tenant {}", policy.tenant_id));
            }
        }
        for (label, principal) in &self.azuread_service_principal {
            let known = self.azurerm_user_assigned_identity.values().any(|i| i.client_id == principal.client_id);
            if !principal.use_existing || !known {
                return refused(format!("service principal {label} is none of a declared identity"));
            }
        }
        for (label, vault) in &self.azurerm_key_vault {
            if vault.tenant_id != tenant {
                return refused(format!("vault {label} is of tenant {}", vault.tenant_id));
            }
            if !self.azurerm_resource_group.values().any(|g| g.name == vault.resource_group_name) {
                return refused(format!("vault {label} is in a resource group that is not declared"));
            }
        }
        Ok(())
    }

    /// The vault of this resource id.
    pub(super) fn vault(&self, id: &str, subscription: &str) -> Option<&KeyVault> {
        self.azurerm_key_vault.values().find(|vault| vault.id(subscription).eq_ignore_ascii_case(id))
    }

    /// The vault in which a secret of this name is declared, of several the first by the labels of the secrets; that of the
    /// platform when it is declared there, or nowhere.
    pub(super) fn vault_of(&self, name: &str, subscription: &str) -> Option<&KeyVault> {
        let own = self.azurerm_key_vault.get(PLATFORM);
        let secrets = self.azurerm_key_vault_secret.values().filter(|secret| secret.name.eq_ignore_ascii_case(name));
        let vaults = || secrets.clone().filter_map(|secret| self.vault(&secret.key_vault_id, subscription));
        let is_own = |vault: &&KeyVault| own.is_some_and(|own| own.name.eq_ignore_ascii_case(&vault.name));
        vaults().find(is_own).or_else(|| vaults().next()).or(own)
    }

    /// The identity that has a client id.
    pub(super) fn identity(&self, client_id: &str) -> Option<&Identity> {
        self.azurerm_user_assigned_identity.values().find(|i| i.client_id.eq_ignore_ascii_case(client_id))
    }

    /// Whether an identity may sign in.
    pub(super) fn enabled(&self, identity: &Identity) -> bool {
        let principal = self.azuread_service_principal.values().find(|p| p.client_id == identity.client_id);
        principal.is_none_or(|p| p.account_enabled)
    }

    /// Adds the permissions of `former` that this set-up takes away: what a cloud would do that never revokes.
    pub(super) fn keep_permissions(&mut self, former: &Self) {
        let kept = |label: &String| format!("{label} (former)");
        let assignments = former.azurerm_role_assignment.iter().map(|(label, a)| (kept(label), a.clone()));
        self.azurerm_role_assignment.extend(assignments);
        let policies = former.azurerm_key_vault_access_policy.iter().map(|(label, p)| (kept(label), p.clone()));
        self.azurerm_key_vault_access_policy.extend(policies);
    }
}

impl Identity {
    /// Resource id.
    pub(super) fn id(&self, subscription: &str) -> String {
        format!(
            "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}",
            scope::group(subscription, &self.resource_group_name),
            self.name
        )
    }
}

impl KeyVault {
    /// Resource id.
    pub(super) fn id(&self, subscription: &str) -> String {
        scope::vault(subscription, &self.resource_group_name, &self.name)
    }
}
