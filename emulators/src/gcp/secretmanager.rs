//! Secret Manager: one method for each operation, whichever way it is called.

use std::collections::BTreeMap;

use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1 as pb;
use googleapis_tonic_google_iam_v1::google::iam::v1 as iam_pb;
use jiff::{SignedDuration, Timestamp};
use prost_types::FieldMask;
use tonic::Code;

use super::{
    caller::Caller,
    iam::Binding,
    list::{Filter, page},
    policy,
    project::Project,
    refusal::Refusal,
    resource::{Resource, SecretName, is_id},
    time,
    vault::{Change, Transition, Vault},
};

/// Largest value (bytes).
const PAYLOAD: usize = 64 << 10;
/// Largest annotations of a secret (bytes of keys and values).
const ANNOTATIONS: usize = 16 << 10;
/// Labels of a secret.
const LABELS: usize = 64;

/// Names of the operations, which are those of the gRPC methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    AccessSecretVersion,
    AddSecretVersion,
    CreateSecret,
    DeleteSecret,
    DestroySecretVersion,
    DisableSecretVersion,
    EnableSecretVersion,
    GetIamPolicy,
    GetSecret,
    GetSecretVersion,
    ListSecrets,
    ListSecretVersions,
    SetIamPolicy,
    TestIamPermissions,
    UpdateSecret,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::AccessSecretVersion,
        Self::AddSecretVersion,
        Self::CreateSecret,
        Self::DeleteSecret,
        Self::DestroySecretVersion,
        Self::DisableSecretVersion,
        Self::EnableSecretVersion,
        Self::GetIamPolicy,
        Self::GetSecret,
        Self::GetSecretVersion,
        Self::ListSecrets,
        Self::ListSecretVersions,
        Self::SetIamPolicy,
        Self::TestIamPermissions,
        Self::UpdateSecret,
    ];

    /// Its name.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// The depth of a resource's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Parent,
    Secret,
    Version,
}

/// Secret Manager as one caller meets it at one endpoint.
pub(crate) struct SecretManager<'a> {
    pub project: &'a Project,
    pub caller: &'a Caller,
    /// Location of a regional endpoint; nothing at the global one.
    pub location: Option<&'a str>,
}

impl SecretManager<'_> {
    /// The resource that a text names. An endpoint sees the resources of its own place only.
    fn resource(&self, text: &str, depth: Depth) -> Result<Resource, Refusal> {
        let found = match Resource::parse(text) {
            Some(r) if r.version.is_some() => Some((Depth::Version, r)),
            Some(r) if r.secret.is_some() => Some((Depth::Secret, r)),
            other => other.map(|r| (Depth::Parent, r)),
        };
        let Some((_, resource)) = found.filter(|(is, _)| *is == depth) else {
            return Err(Refusal::invalid("Invalid resource field value in the request.")
                .info("RESOURCE_PROJECT_INVALID", "googleapis.com", [("service", "secretmanager.googleapis.com")])
                .because(format!("{text:.200} is no such name")));
        };
        if resource.location.as_deref() != self.location {
            // Wording not verified.
            let place = self.location.unwrap_or("global");
            return Err(Refusal::invalid("The location in the resource name does not match the endpoint.")
                .because(format!("{text:.200} was asked for at the endpoint for {place}")));
        }
        Ok(resource)
    }

    fn secret(&self, text: &str) -> Result<(Resource, SecretName), Refusal> {
        let resource = self.resource(text, Depth::Secret)?;
        let name = named(&resource)?;
        Ok((resource, name))
    }

    fn version(&self, text: &str) -> Result<(Resource, SecretName, String), Refusal> {
        let resource = self.resource(text, Depth::Version)?;
        let (name, id) = (named(&resource)?, resource.version.clone().unwrap_or_default());
        Ok((resource, name, id))
    }

    fn may(&self, vault: &Vault, permission: &str, resource: &Resource) -> Result<(), Refusal> {
        self.project.authorise(vault, self.caller, permission, resource)
    }

    fn now(&self) -> Timestamp {
        self.project.ground.clock.now()
    }

    pub fn create_secret(&self, request: pb::CreateSecretRequest) -> Result<pb::Secret, Refusal> {
        let parent = self.resource(&request.parent, Depth::Parent)?;
        let mut vault = self.project.vault();
        self.may(&vault, "secretmanager.secrets.create", &parent)?;
        if !is_id(&request.secret_id) {
            return Err(Refusal::field("secret_id", "Secret ID must match the pattern [a-zA-Z0-9-_]{1,255}."));
        }
        let secret = request.secret.ok_or_else(|| Refusal::field("secret", "The secret is missing."))?;
        let name = SecretName { location: parent.location, id: request.secret_id };
        let secret = pb::Secret { name: name.canonical(&self.project.config.number), ..self.made(secret)? };
        vault.create(name, secret, self.now())
    }

    /// What a caller may choose of a new secret.
    fn made(&self, asked: pb::Secret) -> Result<pb::Secret, Refusal> {
        let unplayed = [
            ("topics", !asked.topics.is_empty()),
            ("rotation", asked.rotation.is_some()),
            ("version_destroy_ttl", asked.version_destroy_ttl.is_some()),
            ("customer_managed_encryption", asked.customer_managed_encryption.is_some()),
            ("tags", !asked.tags.is_empty()),
            ("customer_managed_encryption", asked.replication.as_ref().is_some_and(encrypted)),
        ];
        if let Some((field, _)) = unplayed.iter().find(|(_, set)| *set) {
            return Err(Refusal::unplayed(&format!("secret.{field}")));
        }
        if !asked.version_aliases.is_empty() {
            return Err(Refusal::field("secret.version_aliases", "A new secret has no versions to give aliases to."));
        }
        let replicated = asked.replication.as_ref().and_then(|r| r.replication.as_ref());
        let complete = match replicated {
            Some(pb::replication::Replication::Automatic(_)) => true,
            Some(pb::replication::Replication::UserManaged(managed)) => {
                !managed.replicas.is_empty() && managed.replicas.iter().all(|r| is_id(&r.location))
            }
            None => false,
        };
        // Wordings not verified.
        match self.location {
            None if !complete => return Err(Refusal::field("secret.replication", "Replication must be specified.")),
            Some(_) if replicated.is_some() => {
                return Err(Refusal::field("secret.replication", "A regional secret has no replication."));
            }
            _ => {}
        }
        check_labels(&asked.labels)?;
        check_annotations(&asked.annotations)?;
        let expiration = match asked.expiration {
            Some(expiration) => Some(pb::secret::Expiration::ExpireTime(time::write(end(expiration, self.now())?))),
            None => None,
        };
        let (replication, labels, annotations) = (asked.replication, asked.labels, asked.annotations);
        Ok(pb::Secret { replication, labels, annotations, expiration, ..pb::Secret::default() })
    }

    pub fn get_secret(&self, request: pb::GetSecretRequest) -> Result<pb::Secret, Refusal> {
        let (resource, name) = self.secret(&request.name)?;
        let vault = self.project.vault();
        self.may(&vault, "secretmanager.secrets.get", &resource)?;
        vault.get(&name, &self.project.config.number).map(|kept| kept.secret.clone())
    }

    pub fn list_secrets(&self, request: pb::ListSecretsRequest) -> Result<pb::ListSecretsResponse, Refusal> {
        let parent = self.resource(&request.parent, Depth::Parent)?;
        let vault = self.project.vault();
        self.may(&vault, "secretmanager.secrets.list", &parent)?;
        let filter = Filter::parse(&request.filter)?;
        let found: Vec<_> = vault
            .list(self.location)
            .into_iter()
            .filter(|kept| filter.meets_secret(&kept.secret))
            .map(|kept| (kept.sequence, &kept.secret))
            .collect();
        let total_size = total(&filter, found.len());
        let of = format!("{}?{}", parent.canonical(&self.project.config.number), request.filter);
        let page = page(found, request.page_size, &request.page_token, &of)?;
        let secrets = page.entries.into_iter().cloned().collect();
        Ok(pb::ListSecretsResponse { secrets, next_page_token: page.next, total_size })
    }

    pub fn update_secret(&self, request: pb::UpdateSecretRequest) -> Result<pb::Secret, Refusal> {
        let secret = request.secret.ok_or_else(|| Refusal::field("secret", "The secret is missing."))?;
        let (resource, name) = self.secret(&secret.name)?;
        let mut vault = self.project.vault();
        self.may(&vault, "secretmanager.secrets.update", &resource)?;
        let now = self.now();
        let etag = secret.etag.clone();
        let change = change(secret, request.update_mask.unwrap_or_default(), now)?;
        vault.update(&name, &self.project.config.number, &etag, change, now)
    }

    pub fn delete_secret(&self, request: pb::DeleteSecretRequest) -> Result<(), Refusal> {
        let (resource, name) = self.secret(&request.name)?;
        let mut vault = self.project.vault();
        self.may(&vault, "secretmanager.secrets.delete", &resource)?;
        vault.delete(&name, &self.project.config.number, &request.etag)
    }

    pub fn add_secret_version(&self, request: pb::AddSecretVersionRequest) -> Result<pb::SecretVersion, Refusal> {
        let (resource, name) = self.secret(&request.parent)?;
        let mut vault = self.project.vault();
        self.may(&vault, "secretmanager.versions.add", &resource)?;
        let payload = request.payload.filter(|payload| !payload.data.is_empty());
        let payload = payload.ok_or_else(|| Refusal::field("payload", "Secret Payload cannot be empty."))?;
        if payload.data.len() > PAYLOAD {
            // Wording not verified.
            let message = format!("The payload is larger than the maximum of {PAYLOAD} bytes.");
            return Err(Refusal::field("payload.data", message));
        }
        let sum = i64::from(crc32c::crc32c(&payload.data));
        if payload.data_crc32c.is_some_and(|claimed| claimed != sum) {
            // Wording not verified.
            let message = "The checksum provided does not match the checksum of the payload.";
            return Err(Refusal::field("payload.data_crc32c", message));
        }
        vault.add(&name, &self.project.config.number, payload.data, payload.data_crc32c.is_some(), self.now())
    }

    pub fn get_secret_version(&self, request: pb::GetSecretVersionRequest) -> Result<pb::SecretVersion, Refusal> {
        let (resource, name, id) = self.version(&request.name)?;
        let vault = self.project.vault();
        self.may(&vault, "secretmanager.versions.get", &resource)?;
        vault.version(&name, &self.project.config.number, &id).cloned()
    }

    pub fn list_secret_versions(
        &self,
        request: pb::ListSecretVersionsRequest,
    ) -> Result<pb::ListSecretVersionsResponse, Refusal> {
        let (resource, name) = self.secret(&request.parent)?;
        let vault = self.project.vault();
        self.may(&vault, "secretmanager.versions.list", &resource)?;
        let filter = Filter::parse(&request.filter)?;
        let versions = vault.versions(&name, &self.project.config.number)?;
        let numbered = (1..=versions.len() as u64).rev().zip(versions);
        let found: Vec<_> = numbered.filter(|(_, version)| filter.meets_version(version)).collect();
        let total_size = total(&filter, found.len());
        let of = format!("{}?{}", resource.canonical(&self.project.config.number), request.filter);
        let page = page(found, request.page_size, &request.page_token, &of)?;
        let versions = page.entries.into_iter().cloned().collect();
        Ok(pb::ListSecretVersionsResponse { versions, next_page_token: page.next, total_size })
    }

    pub fn access_secret_version(
        &self,
        request: pb::AccessSecretVersionRequest,
    ) -> Result<pb::AccessSecretVersionResponse, Refusal> {
        let (resource, name, id) = self.version(&request.name)?;
        let vault = self.project.vault();
        self.may(&vault, "secretmanager.versions.access", &resource)?;
        let (name, data) = vault.access(&name, &self.project.config.number, &id)?;
        let data_crc32c = Some(i64::from(crc32c::crc32c(&data)));
        Ok(pb::AccessSecretVersionResponse { name, payload: Some(pb::SecretPayload { data, data_crc32c }) })
    }

    pub fn enable_secret_version(&self, r: pb::EnableSecretVersionRequest) -> Result<pb::SecretVersion, Refusal> {
        self.transition(&r.name, &r.etag, "secretmanager.versions.enable", Transition::Enable)
    }

    pub fn disable_secret_version(&self, r: pb::DisableSecretVersionRequest) -> Result<pb::SecretVersion, Refusal> {
        self.transition(&r.name, &r.etag, "secretmanager.versions.disable", Transition::Disable)
    }

    pub fn destroy_secret_version(&self, r: pb::DestroySecretVersionRequest) -> Result<pb::SecretVersion, Refusal> {
        self.transition(&r.name, &r.etag, "secretmanager.versions.destroy", Transition::Destroy)
    }

    fn transition(
        &self,
        name: &str,
        etag: &str,
        permission: &str,
        transition: Transition,
    ) -> Result<pb::SecretVersion, Refusal> {
        let (resource, name, id) = self.version(name)?;
        let mut vault = self.project.vault();
        self.may(&vault, permission, &resource)?;
        vault.change(&name, &self.project.config.number, &id, etag, transition, self.now())
    }

    pub fn get_iam_policy(&self, request: iam_pb::GetIamPolicyRequest) -> Result<iam_pb::Policy, Refusal> {
        let (resource, name) = self.secret(&request.resource)?;
        let vault = self.project.vault();
        self.may(&vault, "secretmanager.secrets.getIamPolicy", &resource)?;
        self.policy(&vault, &name)
    }

    pub fn set_iam_policy(&self, request: iam_pb::SetIamPolicyRequest) -> Result<iam_pb::Policy, Refusal> {
        let (resource, name) = self.secret(&request.resource)?;
        let mut vault = self.project.vault();
        self.may(&vault, "secretmanager.secrets.setIamPolicy", &resource)?;
        let policy = request.policy.ok_or_else(|| Refusal::field("policy", "The policy is missing."))?;
        if request.update_mask.is_some_and(|mask| !mask.paths.iter().all(|p| p == "bindings" || p == "etag")) {
            return Err(Refusal::unplayed("parts of a policy other than its bindings"));
        }
        if !policy.audit_configs.is_empty() {
            return Err(Refusal::unplayed("audit configurations"));
        }
        if !policy.etag.is_empty() && policy.etag != self.policy(&vault, &name)?.etag {
            let message = "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.";
            return Err(Refusal::new(Code::Aborted, message).because("the policy's etag is an old one"));
        }
        let declared = self.declared(&name);
        let mut own = policy::read(policy)?;
        own.retain(|binding| !declared.contains(binding));
        vault.bind(&name, &self.project.config.number, own)?;
        self.policy(&vault, &name)
    }

    pub fn test_iam_permissions(
        &self,
        request: iam_pb::TestIamPermissionsRequest,
    ) -> Result<iam_pb::TestIamPermissionsResponse, Refusal> {
        let (resource, name) = self.secret(&request.resource)?;
        let vault = self.project.vault();
        if request.permissions.iter().any(|permission| permission.contains('*')) {
            return Err(Refusal::field("permissions", "Permissions with wildcards are not allowed."));
        }
        // Of a secret that does not exist, nobody has any permission; that is documented, and no error.
        let exists = vault.get(&name, &self.project.config.number).is_ok();
        let mut permissions = request.permissions;
        permissions.retain(|permission| exists && self.may(&vault, permission, &resource).is_ok());
        Ok(iam_pb::TestIamPermissionsResponse { permissions })
    }

    /// What is declared for a secret.
    fn declared(&self, name: &SecretName) -> Vec<Binding> {
        self.project.declared().of_secrets().filter(|(on, _)| on == name).map(|(_, binding)| binding).collect()
    }

    /// The allow policy of a secret, declared and own bindings together.
    fn policy(&self, vault: &Vault, name: &SecretName) -> Result<iam_pb::Policy, Refusal> {
        let own = &vault.get(name, &self.project.config.number)?.policy;
        Ok(policy::write(self.declared(name).iter().chain(own)))
    }
}

fn named(resource: &Resource) -> Result<SecretName, Refusal> {
    resource.secret().ok_or_else(|| Refusal::invalid("Invalid resource field value in the request."))
}

/// Documented: the number of all entries, but 0 when a filter is set.
fn total(filter: &Filter, entries: usize) -> i32 {
    if filter.is_empty() { i32::try_from(entries).unwrap_or(i32::MAX) } else { 0 }
}

fn encrypted(replication: &pb::Replication) -> bool {
    match &replication.replication {
        Some(pb::replication::Replication::Automatic(automatic)) => automatic.customer_managed_encryption.is_some(),
        Some(pb::replication::Replication::UserManaged(managed)) => {
            managed.replicas.iter().any(|replica| replica.customer_managed_encryption.is_some())
        }
        None => false,
    }
}

/// When a secret ends.
fn end(expiration: pb::secret::Expiration, now: Timestamp) -> Result<Timestamp, Refusal> {
    let end = match expiration {
        pb::secret::Expiration::ExpireTime(end) => time::read(end),
        pb::secret::Expiration::Ttl(ttl) => {
            time::span(ttl).filter(SignedDuration::is_positive).and_then(|ttl| now.checked_add(ttl).ok())
        }
    };
    end.filter(|end| *end > now)
        .ok_or_else(|| Refusal::field("secret.expiration", "The expiration must be in the future."))
}

/// What an update with this mask changes.
fn change(secret: pb::Secret, mask: FieldMask, now: Timestamp) -> Result<Change, Refusal> {
    let mut change = Change::default();
    let played = ["annotations", "expire_time", "labels", "ttl", "version_aliases"];
    if mask.paths.is_empty() {
        return Err(Refusal::field("update_mask", "The update mask must name at least one field."));
    }
    for path in &mask.paths {
        match path.as_str() {
            "annotations" => {
                check_annotations(&secret.annotations)?;
                change.annotations = Some(secret.annotations.clone());
            }
            "expire_time" | "ttl" => {
                change.expires = Some(secret.expiration.map(|expiration| end(expiration, now)).transpose()?);
            }
            "labels" => {
                check_labels(&secret.labels)?;
                change.labels = Some(secret.labels.clone());
            }
            "version_aliases" => change.version_aliases = Some(secret.version_aliases.clone()),
            "etag" => {}
            "create_time" | "name" | "replication" => {
                return Err(Refusal::field("update_mask", format!("The field {path} cannot be changed.")));
            }
            _ => {
                let refusal = Refusal::field("update_mask", format!("Invalid field mask path {path:.64}."));
                return Err(Refusal { finding: true, ..refusal.because(format!("played are {}", played.join(", "))) });
            }
        }
    }
    Ok(change)
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let plain = |text: &str| {
        text.chars().count() <= 63
            && text.chars().all(|c| (c.is_alphanumeric() && !c.is_uppercase()) || c == '-' || c == '_')
    };
    let good = |(key, value): (&String, &String)| {
        key.starts_with(|c: char| c.is_alphabetic() && !c.is_uppercase()) && plain(key) && plain(value)
    };
    match labels.len() <= LABELS && labels.iter().all(good) {
        true => Ok(()),
        false => Err(Refusal::field("secret.labels", "The labels are not valid.")),
    }
}

fn check_annotations(annotations: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    let good = |key: &String| {
        key.len() <= 63
            && key.starts_with(|c: char| c.is_ascii_alphanumeric())
            && key.ends_with(|c: char| c.is_ascii_alphanumeric())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    match size < ANNOTATIONS && annotations.keys().all(good) {
        true => Ok(()),
        false => Err(Refusal::field("secret.annotations", "The annotations are not valid.")),
    }
}
