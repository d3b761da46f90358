//! One secret: its versions, the staging labels that move between them, and its way to oblivion.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{super::policy::ResourcePolicy, refusal::Refusal};

/// Label of the version that is read when none is asked for.
pub const CURRENT: &str = "AWSCURRENT";
/// Label of the version that had [`CURRENT`] before.
pub const PREVIOUS: &str = "AWSPREVIOUS";

/// Most versions of a secret.
const VERSIONS: usize = 100;
/// Most labels on all versions of a secret together.
const LABELS: usize = 20;
/// Versions without a label that are younger are never removed.
const YOUNG: SignedDuration = SignedDuration::from_hours(24);

/// A value.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// `SecretString`.
    Text(String),
    /// `SecretBinary`.
    Binary(Vec<u8>),
}

/// So that no value gets into a log.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content")
    }
}

/// A version of a secret.
#[derive(Clone, Debug)]
pub struct Version {
    /// The client request token that made it.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last read.
    pub accessed: Option<Timestamp>,
    /// Its labels. One without is deprecated.
    pub stages: Vec<String>,
    content: Content,
}

/// A secret.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Name.
    pub name: String,
    /// ARN, with six random characters at its end.
    pub arn: String,
    /// Description, when there is one.
    pub description: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// When it was last read.
    pub accessed: Option<Timestamp>,
    /// When it ceases to exist, if it is scheduled for deletion.
    pub deletion: Option<Timestamp>,
    /// Its policy, read and as it was written.
    pub policy: Option<(ResourcePolicy, String)>,
    versions: Vec<Version>,
}

impl Secret {
    /// A secret without versions.
    pub fn new(name: String, arn: String, now: Timestamp) -> Self {
        Self {
            name,
            arn,
            description: None,
            tags: BTreeMap::new(),
            created: now,
            changed: now,
            accessed: None,
            deletion: None,
            policy: None,
            versions: Vec::new(),
        }
    }

    /// Its versions, oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version with this id.
    pub fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.id == id)
    }

    fn labelled(&self, stage: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.stages.iter().any(|s| s == stage))
    }

    /// The version that a request asks for.
    ///
    /// # Errors
    /// When there is none, or id and label are of different versions.
    pub fn pick(&self, id: Option<&str>, stage: Option<&str>) -> Result<&Version, Refusal> {
        let Some(id) = id else {
            let stage = stage.unwrap_or(CURRENT);
            return self.labelled(stage).ok_or_else(|| Refusal::no_version(&format!("staging label: {stage}")));
        };
        let version = self.version(id).ok_or_else(|| Refusal::no_version(&format!("VersionId: {id}")))?;
        match stage {
            Some(stage) if !version.stages.iter().any(|s| s == stage) => {
                Err(Refusal::request("You provided a VersionStage that is not associated to the provided VersionId."))
            }
            _ => Ok(version),
        }
    }

    /// Adds a version with these labels, which move to it; without any, [`CURRENT`] does. A token that made a version of
    /// the same content already changes nothing.
    ///
    /// # Errors
    /// When the token made a version of other content, or there would be too many versions or labels.
    pub fn put(&mut self, id: &str, content: Content, stages: &[String], now: Timestamp) -> Result<(), Refusal> {
        if let Some(version) = self.version(id) {
            return if version.content == content { Ok(()) } else { Err(self.taken(id)) };
        }
        if self.versions.len() >= VERSIONS {
            let outdated = self.versions.iter().position(|v| v.stages.is_empty() && v.created + YOUNG <= now);
            // Versions stand by age: the first is the oldest.
            match outdated {
                Some(place) => drop(self.versions.remove(place)),
                // wording not verified
                None => return Err(limit(format!("The secret has {VERSIONS} versions, and none may be removed yet."))),
            }
        }
        let mut labels: Vec<&str> = stages.iter().map(String::as_str).collect();
        // The first version is the current one, whatever else it is.
        if labels.is_empty() || (self.versions.is_empty() && !labels.contains(&CURRENT)) {
            labels.push(CURRENT);
        }
        let others = self.versions.iter().flat_map(|v| &v.stages).filter(|s| !labels.contains(&s.as_str()));
        if others.count() + labels.len() > LABELS {
            // wording not verified
            return Err(limit(format!("The versions of a secret have no more than {LABELS} staging labels.")));
        }
        self.versions.push(Version { id: id.into(), created: now, accessed: None, stages: Vec::new(), content });
        for label in labels {
            self.label(label, Some(id));
        }
        self.changed = now;
        Ok(())
    }

    /// The error of a token that made another version.
    fn taken(&self, id: &str) -> Refusal {
        let message = format!(
            "You can't use ClientRequestToken {id} because that value is already in use for a version of secret {}.",
            self.arn
        );
        Refusal::new("ResourceExistsException", message)
    }

    /// Moves a label by `UpdateSecretVersionStage`.
    ///
    /// # Errors
    /// When the request does not say from where, or would leave the secret without a current version.
    pub fn move_label(
        &mut self,
        stage: &str,
        from: Option<&str>,
        to: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        for id in [from, to].into_iter().flatten() {
            self.version(id).ok_or_else(|| Refusal::no_version(&format!("VersionId: {id}")))?;
        }
        let holder = self.labelled(stage).map(|v| v.id.clone());
        match (holder.as_deref(), from, to) {
            (_, None, None) => {
                // wording not verified
                return Err(Refusal::parameter("You must specify MoveToVersionId, RemoveFromVersionId or both."));
            }
            (Some(holder), Some(from), _) if holder != from => {
                // wording not verified
                return Err(Refusal::parameter(format!(
                    "The staging label {stage} is currently attached to version {holder}, not to version {from}."
                )));
            }
            (None, Some(from), _) => {
                // wording not verified
                return Err(Refusal::parameter(format!(
                    "The staging label {stage} is not attached to version {from}."
                )));
            }
            (Some(holder), None, Some(to)) if holder != to => {
                return Err(Refusal::parameter(format!(
                    "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to \
                     version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
                )));
            }
            (_, _, None) if stage == CURRENT => {
                return Err(Refusal::parameter(
                    "You can only move staging label AWSCURRENT to a different secret version. It can’t be completely removed.",
                ));
            }
            _ => {}
        }
        let labels = self.versions.iter().map(|v| v.stages.len()).sum::<usize>();
        if holder.is_none() && labels >= LABELS {
            // wording not verified
            return Err(limit(format!("The versions of a secret have no more than {LABELS} staging labels.")));
        }
        self.label(stage, to);
        self.changed = now;
        Ok(())
    }

    /// Takes a label from whichever version has it and gives it to `to`. Whoever loses [`CURRENT`] gets [`PREVIOUS`].
    fn label(&mut self, stage: &str, to: Option<&str>) {
        let loser = self.labelled(stage).map(|v| v.id.clone());
        if loser.as_deref() == to {
            return;
        }
        for version in &mut self.versions {
            version.stages.retain(|s| s != stage);
            if Some(version.id.as_str()) == to {
                version.stages.push(stage.into());
            }
        }
        if let (CURRENT, Some(loser)) = (stage, loser) {
            self.label(PREVIOUS, Some(&loser));
        }
    }

    /// Notes that a version was read. AWS keeps the day only.
    pub fn touch(&mut self, id: &str, now: Timestamp) {
        let day = now.as_second() - now.as_second().rem_euclid(86_400);
        let day = Timestamp::from_second(day).ok();
        self.accessed = day;
        if let Some(version) = self.versions.iter_mut().find(|v| v.id == id) {
            version.accessed = day;
        }
    }

    /// A version's value with what AWS says about it.
    pub fn value(&self, version: &Version) -> Value {
        let mut answer = json!({
            "ARN": self.arn,
            "CreatedDate": seconds(version.created),
            "Name": self.name,
            "VersionId": version.id,
            "VersionStages": version.stages,
        });
        match &version.content {
            Content::Text(text) => answer["SecretString"] = json!(text),
            Content::Binary(bytes) => answer["SecretBinary"] = json!(STANDARD.encode(bytes)),
        }
        answer
    }

    /// What AWS says about the secret; `versions` is the name of the member with the labels of its versions.
    pub fn description(&self, versions: &str) -> Value {
        let labelled = self.versions.iter().filter(|v| !v.stages.is_empty());
        let stages: BTreeMap<&str, &[String]> = labelled.map(|v| (v.id.as_str(), v.stages.as_slice())).collect();
        let mut answer = json!({
            "ARN": self.arn,
            "CreatedDate": seconds(self.created),
            "LastChangedDate": seconds(self.changed),
            "Name": self.name,
        });
        let mut also = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                answer[member] = value;
            }
        };
        also("Description", self.description.as_ref().map(|text| json!(text)));
        also("LastAccessedDate", self.accessed.map(seconds));
        also("DeletedDate", self.deletion.map(seconds));
        also(versions, (!stages.is_empty()).then(|| json!(stages)));
        let tags: Vec<Value> = self.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        also("Tags", (!tags.is_empty()).then(|| json!(tags)));
        answer
    }
}

/// A time as AWS's JSON has it: seconds since 1970, with milliseconds.
pub fn seconds(time: Timestamp) -> Value {
    // Milliseconds since 1970 have less than 53 bits for the next hundred thousand years.
    #[allow(clippy::cast_precision_loss)]
    let seconds = time.as_millisecond() as f64 / 1000.0;
    json!(seconds)
}

fn limit(message: String) -> Refusal {
    Refusal::new("LimitExceededException", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> (Secret, Timestamp) {
        let now = Timestamp::now();
        (Secret::new("app".into(), "arn:app-AbCdEf".into(), now), now)
    }

    fn put(secret: &mut Secret, id: &str, stages: &[&str], now: Timestamp) -> Result<(), Refusal> {
        let stages: Vec<String> = stages.iter().map(|s| (*s).into()).collect();
        secret.put(id, Content::Text(id.into()), &stages, now)
    }

    fn stages(secret: &Secret) -> Vec<(&str, Vec<&str>)> {
        secret.versions().iter().map(|v| (v.id.as_str(), v.stages.iter().map(String::as_str).collect())).collect()
    }

    #[test]
    fn current_becomes_previous_and_previous_is_deprecated() {
        let (mut secret, now) = secret();
        put(&mut secret, "1", &[], now).unwrap();
        assert_eq!(stages(&secret), [("1", vec![CURRENT])]);
        put(&mut secret, "2", &[], now).unwrap();
        assert_eq!(stages(&secret), [("1", vec![PREVIOUS]), ("2", vec![CURRENT])]);
        put(&mut secret, "3", &["AWSPENDING"], now).unwrap();
        assert_eq!(stages(&secret), [("1", vec![PREVIOUS]), ("2", vec![CURRENT]), ("3", vec!["AWSPENDING"])]);
        put(&mut secret, "4", &[], now).unwrap();
        assert_eq!(stages(&secret)[..2], [("1", vec![]), ("2", vec![PREVIOUS])]);
    }

    #[test]
    fn the_first_version_is_current_whatever_it_is_called() {
        let (mut secret, now) = secret();
        put(&mut secret, "1", &["AWSPENDING"], now).unwrap();
        assert_eq!(stages(&secret), [("1", vec!["AWSPENDING", CURRENT])]);
    }

    #[test]
    fn a_token_makes_one_version() {
        let (mut secret, now) = secret();
        put(&mut secret, "1", &[], now).unwrap();
        put(&mut secret, "1", &[], now).unwrap();
        assert_eq!(secret.versions().len(), 1);
        let other = secret.put("1", Content::Text("other".into()), &[], now).unwrap_err();
        assert_eq!(other.code, "ResourceExistsException");
        let other = secret.put("1", Content::Binary(b"1".to_vec()), &[], now).unwrap_err();
        assert_eq!(other.code, "ResourceExistsException");
    }

    #[test]
    fn labels_move_when_it_is_said_from_where() {
        let (mut secret, now) = secret();
        for id in ["1", "2", "3"] {
            put(&mut secret, id, &[], now).unwrap();
        }
        let code = |secret: &mut Secret, stage: &str, from, to| {
            secret.move_label(stage, from, to, now).map_or_else(|r| r.code, |()| "success")
        };
        assert_eq!(code(&mut secret, CURRENT, None, Some("1")), "InvalidParameterException");
        assert_eq!(code(&mut secret, CURRENT, Some("2"), Some("1")), "InvalidParameterException");
        assert_eq!(code(&mut secret, CURRENT, Some("3"), None), "InvalidParameterException");
        assert_eq!(code(&mut secret, CURRENT, None, None), "InvalidParameterException");
        assert_eq!(code(&mut secret, CURRENT, Some("3"), Some("9")), "ResourceNotFoundException");
        assert_eq!(code(&mut secret, CURRENT, Some("3"), Some("1")), "success");
        assert_eq!(stages(&secret), [("1", vec![CURRENT]), ("2", vec![]), ("3", vec![PREVIOUS])]);
        assert_eq!(code(&mut secret, "blue", None, Some("2")), "success");
        assert_eq!(code(&mut secret, "blue", Some("1"), None), "InvalidParameterException");
        assert_eq!(code(&mut secret, "blue", Some("2"), None), "success");
        assert_eq!(code(&mut secret, "blue", Some("2"), None), "InvalidParameterException");
        assert_eq!(stages(&secret)[1], ("2", vec![]));
        assert_eq!(code(&mut secret, CURRENT, None, Some("1")), "success", "it is there already");
    }

    #[test]
    fn a_version_is_picked_by_id_label_or_both() {
        let (mut secret, now) = secret();
        assert_eq!(secret.pick(None, None).unwrap_err().code, "ResourceNotFoundException");
        for id in ["1", "2"] {
            put(&mut secret, id, &[], now).unwrap();
        }
        let id = |id, stage| secret.pick(id, stage).map(|v| v.id.as_str()).map_err(|r| r.code);
        assert_eq!(id(None, None), Ok("2"));
        assert_eq!(id(None, Some(PREVIOUS)), Ok("1"));
        assert_eq!(id(Some("1"), None), Ok("1"));
        assert_eq!(id(Some("1"), Some(PREVIOUS)), Ok("1"));
        assert_eq!(id(Some("1"), Some(CURRENT)), Err("InvalidRequestException"));
        assert_eq!(id(Some("3"), None), Err("ResourceNotFoundException"));
        assert_eq!(id(None, Some("AWSPENDING")), Err("ResourceNotFoundException"));
    }

    #[test]
    fn old_versions_without_label_make_room_and_young_ones_do_not() {
        let (mut secret, now) = secret();
        for id in 0..VERSIONS {
            put(&mut secret, &id.to_string(), &[], now).unwrap();
        }
        assert_eq!(put(&mut secret, "more", &[], now).unwrap_err().code, "LimitExceededException");
        put(&mut secret, "more", &[], now + YOUNG).unwrap();
        assert_eq!(secret.versions().len(), VERSIONS);
        assert!(secret.version("0").is_none() && secret.version("1").is_some());
    }

    #[test]
    fn labels_are_limited() {
        let (mut secret, now) = secret();
        let many: Vec<String> = (0..19).map(|i| i.to_string()).collect();
        put(&mut secret, "1", &many.iter().map(String::as_str).collect::<Vec<_>>(), now).unwrap();
        assert_eq!(put(&mut secret, "2", &["one more"], now).unwrap_err().code, "LimitExceededException");
        assert_eq!(secret.move_label("one more", None, Some("1"), now).unwrap_err().code, "LimitExceededException");
        put(&mut secret, "2", &["0", "1"], now).unwrap();
    }

    #[test]
    fn times_are_numbers() {
        let time: Timestamp = "2026-11-24T12:00:00.5Z".parse().unwrap();
        assert_eq!(seconds(time).to_string(), "1795521600.5");
    }
}
