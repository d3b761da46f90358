//! The secrets of a project: what exists, in which state, and how it changes. It asks nobody who calls.

use std::collections::BTreeMap;

use bytes::Bytes;
use googleapis_tonic_google_cloud_secretmanager_v1::google::cloud::secretmanager::v1::{
    Replication, ReplicationStatus, Secret, SecretVersion,
    replication::Replication as Where,
    replication_status::{
        AutomaticStatus, ReplicationStatus as Status, UserManagedStatus, user_managed_status::ReplicaStatus,
    },
    secret::Expiration,
    secret_version::State,
};
use jiff::Timestamp;
use tonic::Code;

use super::{iam::Binding, refusal::Refusal, resource::SecretName, time};

/// Aliases of one secret.
const ALIASES: usize = 50;

/// All secrets.
#[derive(Default)]
pub(crate) struct Vault {
    secrets: BTreeMap<SecretName, Kept>,
    /// The last entity tag; each is greater than the one before.
    tag: i64,
    /// How many secrets were ever made, to list them in that order.
    made: u64,
}

/// A secret and all that is below it.
pub(crate) struct Kept {
    /// Place in the order of creation.
    pub sequence: u64,
    /// As the service tells it.
    pub secret: Secret,
    /// Own allow policy.
    pub policy: Vec<Binding>,
    versions: Vec<Version>,
}

struct Version {
    version: SecretVersion,
    data: Bytes,
}

/// What an update changes.
#[derive(Default)]
pub(crate) struct Change {
    /// New labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// New annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// New aliases.
    pub version_aliases: Option<BTreeMap<String, i64>>,
    /// New end, or none.
    pub expires: Option<Option<Timestamp>>,
}

/// The change of a version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    /// It can be read.
    Enable,
    /// It cannot be read.
    Disable,
    /// It is gone, for ever.
    Destroy,
}

impl Vault {
    /// Forgets secrets whose time is over.
    pub fn expire(&mut self, now: Timestamp) {
        self.secrets.retain(|_, kept| match &kept.secret.expiration {
            Some(Expiration::ExpireTime(end)) => time::read(*end).is_none_or(|end| end > now),
            _ => true,
        });
    }

    /// All secrets in one place, in the order of creation, newest first.
    pub fn list(&self, location: Option<&str>) -> Vec<&Kept> {
        let mut found: Vec<_> = self
            .secrets
            .iter()
            .filter(|(name, _)| name.location.as_deref() == location)
            .map(|(_, kept)| kept)
            .collect();
        found.sort_by_key(|kept| std::cmp::Reverse(kept.sequence));
        found
    }

    /// All bindings on secrets.
    pub fn policies(&self) -> impl Iterator<Item = (&SecretName, &Binding)> {
        self.secrets.iter().flat_map(|(name, kept)| kept.policy.iter().map(move |binding| (name, binding)))
    }

    /// Makes a secret. `secret` has its full name and what the caller chose.
    pub fn create(&mut self, name: SecretName, mut secret: Secret, now: Timestamp) -> Result<Secret, Refusal> {
        if self.secrets.contains_key(&name) {
            return Err(Refusal::new(Code::AlreadyExists, format!("Secret [{}] already exists.", secret.name)));
        }
        secret.create_time = Some(time::write(now));
        secret.etag = self.tag(now);
        self.made += 1;
        let kept = Kept { sequence: self.made, secret: secret.clone(), policy: Vec::new(), versions: Vec::new() };
        self.secrets.insert(name, kept);
        Ok(secret)
    }

    /// A secret.
    pub fn get(&self, name: &SecretName, number: &str) -> Result<&Kept, Refusal> {
        self.secrets.get(name).ok_or_else(|| absent(name, number))
    }

    /// Changes a secret.
    pub fn update(
        &mut self,
        name: &SecretName,
        number: &str,
        etag: &str,
        change: Change,
        now: Timestamp,
    ) -> Result<Secret, Refusal> {
        let tag = self.tag(now);
        let kept = self.secrets.get_mut(name).ok_or_else(|| absent(name, number))?;
        unchanged(&kept.secret.etag, etag, &kept.secret.name)?;
        if let Some(aliases) = &change.version_aliases {
            check_aliases(aliases, &kept.versions)?;
        }
        let secret = &mut kept.secret;
        secret.labels = change.labels.unwrap_or_else(|| secret.labels.clone());
        secret.annotations = change.annotations.unwrap_or_else(|| secret.annotations.clone());
        secret.version_aliases = change.version_aliases.unwrap_or_else(|| secret.version_aliases.clone());
        if let Some(expires) = change.expires {
            secret.expiration = expires.map(|end| Expiration::ExpireTime(time::write(end)));
        }
        secret.etag = tag;
        Ok(secret.clone())
    }

    /// Deletes a secret with all its versions and its policy. Nothing of it is kept, and its name is free.
    pub fn delete(&mut self, name: &SecretName, number: &str, etag: &str) -> Result<(), Refusal> {
        let kept = self.get(name, number)?;
        unchanged(&kept.secret.etag, etag, &kept.secret.name)?;
        self.secrets.remove(name);
        Ok(())
    }

    /// Replaces a secret's own policy.
    pub fn bind(&mut self, name: &SecretName, number: &str, policy: Vec<Binding>) -> Result<(), Refusal> {
        self.secrets.get_mut(name).ok_or_else(|| absent(name, number))?.policy = policy;
        Ok(())
    }

    /// Adds a version, which is the newest.
    pub fn add(
        &mut self,
        name: &SecretName,
        number: &str,
        data: Bytes,
        checked: bool,
        now: Timestamp,
    ) -> Result<SecretVersion, Refusal> {
        let etag = self.tag(now);
        let kept = self.secrets.get_mut(name).ok_or_else(|| absent(name, number))?;
        let version = SecretVersion {
            name: format!("{}/versions/{}", kept.secret.name, kept.versions.len() + 1),
            create_time: Some(time::write(now)),
            state: State::Enabled.into(),
            replication_status: kept.secret.replication.as_ref().map(status),
            etag,
            client_specified_payload_checksum: checked,
            ..SecretVersion::default()
        };
        kept.versions.push(Version { version: version.clone(), data });
        Ok(version)
    }

    /// A version by its number, an alias, or `latest`: the newest, whatever its state is.
    pub fn version(&self, name: &SecretName, number: &str, id: &str) -> Result<&SecretVersion, Refusal> {
        let kept = self.get(name, number)?;
        kept.place(id).map(|place| &kept.versions[place].version)
    }

    /// All versions of a secret, newest first.
    pub fn versions(&self, name: &SecretName, number: &str) -> Result<Vec<&SecretVersion>, Refusal> {
        Ok(self.get(name, number)?.versions.iter().rev().map(|v| &v.version).collect())
    }

    /// The value of a version, with the version's name.
    pub fn access(&self, name: &SecretName, number: &str, id: &str) -> Result<(String, Bytes), Refusal> {
        let kept = self.secrets.get(name).filter(|kept| !(kept.versions.is_empty() && id == "latest"));
        let Some(kept) = kept else {
            let message = format!("Secret [{}] not found or has no versions.", name.canonical(number));
            let why = if self.secrets.contains_key(name) {
                "the secret exists and has no versions"
            } else {
                "there is no such secret"
            };
            return Err(Refusal::new(Code::NotFound, message).because(why));
        };
        let Version { version, data } = &kept.versions[kept.place(id)?];
        match version.state() {
            State::Enabled => Ok((version.name.clone(), data.clone())),
            state => Err(Refusal::new(
                Code::FailedPrecondition,
                format!("Secret Version [{}] is in {} state.", version.name, state.as_str_name()),
            )),
        }
    }

    /// Changes the state of a version.
    pub fn change(
        &mut self,
        name: &SecretName,
        number: &str,
        id: &str,
        etag: &str,
        transition: Transition,
        now: Timestamp,
    ) -> Result<SecretVersion, Refusal> {
        let tag = self.tag(now);
        let kept = self.secrets.get_mut(name).ok_or_else(|| absent(name, number))?;
        let place = kept.place(id)?;
        let Version { version, data } = &mut kept.versions[place];
        unchanged(&version.etag, etag, &version.name)?;
        if version.state() == State::Destroyed {
            let message = format!("Secret Version [{}] is in DESTROYED state.", version.name);
            return Err(Refusal::new(Code::FailedPrecondition, message));
        }
        match transition {
            Transition::Enable => version.set_state(State::Enabled),
            Transition::Disable => version.set_state(State::Disabled),
            Transition::Destroy => {
                version.set_state(State::Destroyed);
                version.destroy_time = Some(time::write(now));
                *data = Bytes::new();
            }
        }
        // Also a change that changes nothing is one, documented as such.
        version.etag = tag;
        Ok(version.clone())
    }

    fn tag(&mut self, now: Timestamp) -> String {
        self.tag = now.as_microsecond().max(self.tag.saturating_add(1));
        format!("\"{:x}\"", self.tag)
    }
}

impl Kept {
    /// Index of a version.
    fn place(&self, id: &str) -> Result<usize, Refusal> {
        let ordinal = match id {
            "latest" => i64::try_from(self.versions.len()).ok(),
            id if id.bytes().all(|b| b.is_ascii_digit()) => id.parse().ok(),
            alias => self.secret.version_aliases.get(alias).copied(),
        };
        let place = ordinal.and_then(|n| usize::try_from(n).ok()).and_then(|n| n.checked_sub(1));
        place.filter(|place| *place < self.versions.len()).ok_or_else(|| {
            Refusal::new(Code::NotFound, format!("Secret Version [{}/versions/{id}] not found.", self.secret.name))
        })
    }
}

fn absent(name: &SecretName, number: &str) -> Refusal {
    Refusal::new(Code::NotFound, format!("Secret [{}] not found.", name.canonical(number)))
}

/// Whether the caller's entity tag, if it sent one, is the current one.
fn unchanged(current: &str, etag: &str, name: &str) -> Result<(), Refusal> {
    match etag.is_empty() || etag == current {
        true => Ok(()),
        // Wording not verified; code and status are documented.
        false => Err(Refusal::new(
            Code::FailedPrecondition,
            format!("The etag provided for [{name}] does not match the current etag of the resource."),
        )
        .because(format!("{name} has changed since etag {etag:.64}"))),
    }
}

fn check_aliases(aliases: &BTreeMap<String, i64>, versions: &[Version]) -> Result<(), Refusal> {
    // Wordings not verified; the rules are documented.
    let refused = |text: String| Err(Refusal::field("secret.version_aliases", text));
    if aliases.len() > ALIASES {
        return refused(format!("A secret can have at most {ALIASES} version aliases."));
    }
    for (alias, version) in aliases {
        let begins = alias.starts_with(|c: char| c.is_ascii_alphabetic());
        let plain = alias.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !begins || !plain || alias.len() > 63 || alias == "latest" {
            return refused(format!("[{alias:.80}] is not a valid version alias."));
        }
        if usize::try_from(*version).map_or(true, |n| n == 0 || n > versions.len()) {
            return refused(format!("Alias [{alias}] is for version [{version}], which does not exist."));
        }
    }
    Ok(())
}

/// Where a version's value is kept.
fn status(replication: &Replication) -> ReplicationStatus {
    let status = replication.replication.as_ref().map(|replication| match replication {
        Where::Automatic(_) => Status::Automatic(AutomaticStatus::default()),
        Where::UserManaged(managed) => {
            let replicas = managed
                .replicas
                .iter()
                .map(|r| ReplicaStatus { location: r.location.clone(), ..ReplicaStatus::default() })
                .collect();
            Status::UserManaged(UserManagedStatus { replicas })
        }
    });
    ReplicationStatus { replication_status: status }
}
