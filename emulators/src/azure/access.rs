//! Who may do what: the built-in roles as far as they touch vaults, and the permissions of access policies.

use serde::Deserialize;

use super::scope;
use crate::check::{Check, made};

/// What can be done with secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    ReadMetadata,
    Set,
    Update,
    Delete,
    GetDeleted,
    Recover,
    Purge,
    Backup,
    Restore,
}

impl Action {
    /// Name of the data action that a role must have.
    pub(super) const fn data_action(self) -> &'static str {
        match self {
            Self::Get => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            Self::ReadMetadata | Self::GetDeleted => "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            Self::Set => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
            Self::Update => "Microsoft.KeyVault/vaults/secrets/update/action",
            Self::Delete => "Microsoft.KeyVault/vaults/secrets/delete",
            Self::Recover => "Microsoft.KeyVault/vaults/secrets/recover/action",
            Self::Purge => "Microsoft.KeyVault/vaults/secrets/purge/action",
            Self::Backup => "Microsoft.KeyVault/vaults/secrets/backup/action",
            Self::Restore => "Microsoft.KeyVault/vaults/secrets/restore/action",
        }
    }

    /// The permission that an access policy must have.
    pub(super) const fn permission(self) -> Permission {
        match self {
            Self::Get | Self::GetDeleted => Permission::Get,
            Self::ReadMetadata => Permission::List,
            Self::Set | Self::Update => Permission::Set,
            Self::Delete => Permission::Delete,
            Self::Recover => Permission::Recover,
            Self::Purge => Permission::Purge,
            Self::Backup => Permission::Backup,
            Self::Restore => Permission::Restore,
        }
    }
}

/// A permission of an access policy, as Terraform spells it; the resource manager writes it in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Permission {
    /// Read a value.
    #[serde(alias = "get")]
    Get,
    /// List names.
    #[serde(alias = "list")]
    List,
    /// Write a value or attributes.
    #[serde(alias = "set")]
    Set,
    /// Delete.
    #[serde(alias = "delete")]
    Delete,
    /// Take back from deletion.
    #[serde(alias = "recover")]
    Recover,
    /// Take a backup.
    #[serde(alias = "backup")]
    Backup,
    /// Bring a backup in.
    #[serde(alias = "restore")]
    Restore,
    /// Delete for good.
    #[serde(alias = "purge")]
    Purge,
}

impl Permission {
    /// All of them.
    pub(super) const ALL: [Self; 8] =
        [Self::Get, Self::List, Self::Set, Self::Delete, Self::Recover, Self::Backup, Self::Restore, Self::Purge];

    /// Name in messages and in the resource manager's bodies.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Recover => "recover",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Purge => "purge",
        }
    }
}

/// A built-in role. Others are refused when a set-up is read, so that none is silently worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Role {
    /// Everything in the resource manager.
    Owner,
    /// Everything in the resource manager but permissions.
    Contributor,
    /// Reads in the resource manager.
    Reader,
    /// Manages vaults, and cannot look into them.
    #[serde(rename = "Key Vault Contributor")]
    KeyVaultContributor,
    /// Everything inside of vaults.
    #[serde(rename = "Key Vault Administrator")]
    KeyVaultAdministrator,
    /// Reads metadata, no values.
    #[serde(rename = "Key Vault Reader")]
    KeyVaultReader,
    /// Everything with secrets.
    #[serde(rename = "Key Vault Secrets Officer")]
    KeyVaultSecretsOfficer,
    /// Reads secrets.
    #[serde(rename = "Key Vault Secrets User")]
    KeyVaultSecretsUser,
}

impl Role {
    /// Whether its data actions include one.
    /// <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/security>
    pub(super) const fn acts(self, action: Action) -> bool {
        match self {
            Self::KeyVaultAdministrator | Self::KeyVaultSecretsOfficer => true,
            Self::KeyVaultSecretsUser => matches!(action, Action::Get | Action::ReadMetadata | Action::GetDeleted),
            Self::KeyVaultReader => matches!(action, Action::ReadMetadata | Action::GetDeleted),
            Self::Owner | Self::Contributor | Self::Reader | Self::KeyVaultContributor => false,
        }
    }

    /// Whether its actions in the resource manager include one, for example `Microsoft.KeyVault/vaults/write`.
    pub(super) fn manages(self, action: &str) -> bool {
        let reads = action.ends_with("/read");
        match self {
            Self::Owner | Self::Contributor => true,
            Self::Reader => reads,
            // Purging is among its NotActions.
            Self::KeyVaultContributor => action != "Microsoft.KeyVault/locations/deletedVaults/purge/action",
            Self::KeyVaultAdministrator | Self::KeyVaultReader | Self::KeyVaultSecretsOfficer => reads,
            Self::KeyVaultSecretsUser => false,
        }
    }
}

/// A role and where it holds.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub scope: String,
    pub role: Role,
}

/// What the grants of a caller come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Granted,
    /// No role of the caller has the action, anywhere in the vault or above.
    NoRole,
    /// A role has it, but for other secrets.
    OtherScope,
}

/// Decides about a data action on `resource`, a vault's or a secret's id in `vault`.
pub(super) fn decide(grants: &[Grant], action: Action, vault: &str, resource: &str) -> Decision {
    let able = || grants.iter().filter(|g| g.role.acts(action));
    let somewhere = able().any(|g| scope::covers(&g.scope, vault) || scope::covers(vault, &g.scope));
    if !somewhere {
        return if made(Check::Permission) { Decision::NoRole } else { Decision::Granted };
    }
    match able().any(|g| scope::covers(&g.scope, resource)) {
        false if made(Check::Resource) => Decision::OtherScope,
        _ => Decision::Granted,
    }
}

/// Whether an access policy's permissions have what an action needs.
pub(super) fn permitted(permissions: &[Permission], action: Action) -> bool {
    permissions.contains(&action.permission()) || !made(Check::Permission)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v";

    fn grants(list: &[(&str, Role)]) -> Vec<Grant> {
        list.iter().map(|(scope, role)| Grant { scope: (*scope).to_owned(), role: *role }).collect()
    }

    #[test]
    fn no_role_and_a_role_elsewhere_are_told_apart() {
        let (own, other) = (format!("{VAULT}/secrets/own"), format!("{VAULT}/secrets/other"));
        let one = grants(&[(&own, Role::KeyVaultSecretsUser)]);
        assert_eq!(decide(&one, Action::Get, VAULT, &own), Decision::Granted);
        assert_eq!(decide(&one, Action::Get, VAULT, &other), Decision::OtherScope);
        assert_eq!(decide(&one, Action::ReadMetadata, VAULT, VAULT), Decision::OtherScope);
        assert_eq!(decide(&one, Action::Set, VAULT, &own), Decision::NoRole);
        assert_eq!(decide(&[], Action::Get, VAULT, &own), Decision::NoRole);
        let elsewhere = grants(&[("/subscriptions/s/resourceGroups/other", Role::KeyVaultAdministrator)]);
        assert_eq!(decide(&elsewhere, Action::Get, VAULT, &own), Decision::NoRole);
        let above = grants(&[("/subscriptions/s", Role::KeyVaultSecretsUser)]);
        assert_eq!(decide(&above, Action::Get, VAULT, &other), Decision::Granted);
    }

    #[test]
    fn managing_vaults_opens_none() {
        for role in [Role::Owner, Role::Contributor, Role::KeyVaultContributor, Role::Reader, Role::KeyVaultReader] {
            let grants = grants(&[("/subscriptions/s", role)]);
            assert_eq!(decide(&grants, Action::Get, VAULT, VAULT), Decision::NoRole, "{role:?}");
        }
        assert!(!Role::KeyVaultAdministrator.manages("Microsoft.KeyVault/vaults/write"));
        assert!(Role::KeyVaultContributor.manages("Microsoft.KeyVault/vaults/write"));
        assert!(!Role::KeyVaultContributor.manages("Microsoft.KeyVault/locations/deletedVaults/purge/action"));
        assert!(Role::Contributor.manages("Microsoft.KeyVault/locations/deletedVaults/purge/action"));
    }

    #[test]
    fn a_role_that_is_not_played_is_refused_when_read() {
        assert!(serde_yaml::from_str::<Role>("Key Vault Secrets User").is_ok());
        assert!(serde_yaml::from_str::<Role>("Key Vault Crypto User").is_err());
    }
}
