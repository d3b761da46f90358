//! The set-up of a Google Cloud project as a platform's infrastructure code declares it: resource types and attributes
//! have the names of the Terraform Google provider.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    iam::{Binding, Condition, Member, Role},
    resource::{Resource, SecretName, is_id},
};
use crate::{Error, Result, seed};

/// All resources by type and name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declared {
    /// Service accounts.
    pub google_service_account: BTreeMap<String, ServiceAccount>,
    /// Who may do what with a service account.
    pub google_service_account_iam_member: BTreeMap<String, AccountMember>,
    /// Who may do what in the whole project.
    pub google_project_iam_member: BTreeMap<String, ProjectMember>,
    /// Global secrets, without values.
    pub google_secret_manager_secret: BTreeMap<String, Secret>,
    /// Values of global secrets: never in this file, only the name of a value that the run supplies.
    pub google_secret_manager_secret_version: BTreeMap<String, SecretVersion>,
    /// Who may do what with a global secret.
    pub google_secret_manager_secret_iam_member: BTreeMap<String, SecretMember>,
    /// Regional secrets, without values.
    pub google_secret_manager_regional_secret: BTreeMap<String, RegionalSecret>,
    /// Values of regional secrets.
    pub google_secret_manager_regional_secret_version: BTreeMap<String, SecretVersion>,
    /// Who may do what with a regional secret.
    pub google_secret_manager_regional_secret_iam_member: BTreeMap<String, RegionalSecretMember>,
}

/// A service account.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccount {
    /// First part of its email address.
    pub account_id: String,
    /// Whether it may not be used.
    #[serde(default)]
    pub disabled: bool,
}

/// A role on a service account.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountMember {
    /// `projects/<project>/serviceAccounts/<email>`.
    pub service_account_id: String,
    /// Role.
    pub role: Role,
    /// Member.
    pub member: Member,
}

/// A role in the project.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectMember {
    /// Project id.
    pub project: String,
    /// Role.
    pub role: Role,
    /// Member.
    pub member: Member,
    /// When it counts.
    #[serde(default)]
    pub condition: Option<Condition>,
}

/// A global secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Secret id.
    pub secret_id: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where its values are kept.
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub replication: Replication,
}

/// Where values are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Replication {
    /// Google decides.
    Auto {},
    /// In these places.
    UserManaged {
        /// The places.
        replicas: Vec<Replica>,
    },
}

/// A place of values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// Location.
    pub location: String,
}

/// A regional secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionalSecret {
    /// Secret id.
    pub secret_id: String,
    /// Its one location.
    pub location: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The value of a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretVersion {
    /// Full name of the secret.
    pub secret: String,
    /// `${value:<name>}`: the value of that name that the run supplies.
    pub secret_data: String,
    /// Whether it can be read.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

/// A role on a global secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretMember {
    /// Secret id.
    pub secret_id: String,
    /// Role.
    pub role: Role,
    /// Member.
    pub member: Member,
    /// When it counts.
    #[serde(default)]
    pub condition: Option<Condition>,
}

/// A role on a regional secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionalSecretMember {
    /// Secret id.
    pub secret_id: String,
    /// Location of the secret.
    pub location: String,
    /// Role.
    pub role: Role,
    /// Member.
    pub member: Member,
    /// When it counts.
    #[serde(default)]
    pub condition: Option<Condition>,
}

/// A secret that shall exist.
pub(crate) struct Wanted<'a> {
    /// Its name.
    pub name: SecretName,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Where its values are kept; nothing for regional secrets.
    pub replication: Option<&'a Replication>,
    /// Its newest value.
    pub version: Option<&'a SecretVersion>,
}

impl Declared {
    /// The service account with an email address.
    pub fn account(&self, email: &str, project: &str) -> Option<&ServiceAccount> {
        self.google_service_account.values().find(|account| account.email(project) == email)
    }

    /// Bindings in the project.
    pub(crate) fn of_project(&self) -> impl Iterator<Item = Binding> {
        self.google_project_iam_member.values().map(|m| Binding {
            role: m.role,
            member: m.member.clone(),
            condition: m.condition.clone(),
        })
    }

    /// Bindings on a service account.
    pub(crate) fn of_account(&self, email: &str) -> impl Iterator<Item = Binding> {
        self.google_service_account_iam_member
            .values()
            .filter(move |m| m.service_account_id.rsplit('/').next() == Some(email))
            .map(|m| Binding { role: m.role, member: m.member.clone(), condition: None })
    }

    /// Bindings on secrets.
    pub(crate) fn of_secrets(&self) -> impl Iterator<Item = (SecretName, Binding)> {
        let global = self.google_secret_manager_secret_iam_member.values().map(|m| {
            let name = SecretName { location: None, id: m.secret_id.clone() };
            (name, Binding { role: m.role, member: m.member.clone(), condition: m.condition.clone() })
        });
        let regional = self.google_secret_manager_regional_secret_iam_member.values().map(|m| {
            let name = SecretName { location: Some(m.location.clone()), id: m.secret_id.clone() };
            (name, Binding { role: m.role, member: m.member.clone(), condition: m.condition.clone() })
        });
        global.chain(regional)
    }

    /// The secrets that shall exist.
    pub(crate) fn secrets(&self) -> Vec<Wanted<'_>> {
        let version = |name: &SecretName| {
            let versions = self.google_secret_manager_secret_version.values();
            let mut versions = versions.chain(self.google_secret_manager_regional_secret_version.values());
            versions.find(|v| Resource::parse(&v.secret).and_then(|r| r.secret()).as_ref() == Some(name))
        };
        let global = self
            .google_secret_manager_secret
            .values()
            .map(|s| (SecretName { location: None, id: s.secret_id.clone() }, &s.labels, Some(&s.replication)));
        let regional = self
            .google_secret_manager_regional_secret
            .values()
            .map(|s| (SecretName { location: Some(s.location.clone()), id: s.secret_id.clone() }, &s.labels, None));
        global
            .chain(regional)
            .map(|(name, labels, replication)| Wanted { version: version(&name), name, labels, replication })
            .collect()
    }

    /// Refuses what refers to nothing: a name that is misspelt would otherwise be a grant that never counts.
    pub(crate) fn check(&self, project: &str, number: &str) -> Result<()> {
        let refused = |seen: String| Err(Error::new("read the declared set-up of gcp", seen));
        for member in self.google_service_account_iam_member.values() {
            let id = &member.service_account_id;
            let email = id.strip_prefix(&format!("projects/{project}/serviceAccounts/"));
            if email.is_none_or(|email| self.account(email, project).is_none()) {
                return refused(format!("there is no service account {id}"));
            }
        }
        if let Some(member) = self.google_project_iam_member.values().find(|m| m.project != project) {
            return refused(format!("the project is {project}, not {}", member.project));
        }
        let wanted = self.secrets();
        for name in wanted.iter().map(|w| &w.name) {
            if !is_id(&name.id) || wanted.iter().filter(|w| w.name == *name).count() > 1 {
                return refused(format!("secret {} has a bad name or is declared twice", name.id));
            }
        }
        if let Some((name, _)) = self.of_secrets().find(|(name, _)| wanted.iter().all(|w| w.name != *name)) {
            return refused(format!("there is no secret {} to give anybody a role on", name.id));
        }
        let versions = self.google_secret_manager_secret_version.values();
        for version in versions.chain(self.google_secret_manager_regional_secret_version.values()) {
            let resource = Resource::parse(&version.secret).filter(|r| r.project == project || r.project == number);
            let secret = resource.and_then(|r| r.secret());
            if secret.is_none_or(|name| wanted.iter().all(|w| w.name != name)) {
                return refused(format!("there is no secret {}", version.secret));
            }
        }
        Ok(())
    }
}

impl ServiceAccount {
    /// Its email address.
    pub fn email(&self, project: &str) -> String {
        format!("{}@{project}.iam.gserviceaccount.com", self.account_id)
    }
}

impl Wanted<'_> {
    /// Its value, from the run's values by name.
    ///
    /// # Errors
    /// When the run does not supply it.
    pub fn value(&self, values: &BTreeMap<String, String>) -> Result<Option<String>> {
        self.version.map(|v| seed::value(&v.secret_data, &self.name.id, values)).transpose()
    }
}
