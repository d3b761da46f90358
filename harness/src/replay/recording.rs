//! What a run keeps of a world, so that it can be judged again when the world has gone: a folder in its report. No secret value
//! is in it, and the search for leaks reads it as every file of the report.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use jiff::Timestamp;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::info;
use trinity_emulators::config;

use super::{
    objects::{self, Objects},
    platform,
};
use crate::{
    failure::{Attempt, Failure, Result},
    folder,
    gitops::{rendered::Rendered, roots::Roots},
    judge::verdict::Verdict,
    observe::audit,
    report::redact::Redactor,
    rerun::Rerun,
    world::Description,
};

/// Folder of a recording in what is reported of a world.
pub const FOLDER: &str = "recording";
/// Objects as they were when the platform was judged.
pub const JUDGED: &str = "objects";
/// Objects as they were when the world ended.
pub const ENDED: &str = "end";
/// The audit log, in zstd.
pub const AUDIT: &str = "audit.jsonl.zst";
/// What else there is.
const FILE: &str = "recording.json";
/// The version of the form. Keys may be added without another one.
const SCHEMA: u32 = 1;
/// How hard zstd tries. The objects of an audit log resemble each other.
pub(super) const LEVEL: i32 = 3;
/// What is kept of an audit event: what judges read.
const READ: [&str; 9] = [
    "objectRef",
    "requestReceivedTimestamp",
    "requestURI",
    "responseObject",
    "responseStatus",
    "stageTimestamp",
    "user",
    "userAgent",
    "verb",
];

/// What is known of a recorded world beside its records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// Version of this form.
    pub schema: u32,
    /// Version of the trinity-e2e that recorded it.
    pub version: String,
    /// The world, without its paths and its key.
    pub world: Description,
    /// Names of the platform's roots; nothing when they could not be read.
    pub roots: Option<Roots>,
    /// The commit that a kept world was given.
    pub commit: Option<String>,
    /// What happened before is past: when that commit was given, or the beginning of time.
    pub since: Timestamp,
    /// When the objects were read by which the platform was judged; nothing when it was not.
    pub seen: Option<Timestamp>,
    /// From when on suites stirred the world, if they did. The audit log ends there.
    pub stirred: Option<Timestamp>,
    /// What puts its failures in doubt, if something does.
    pub doubtful: Option<String>,
    /// Groups of the claims that were judged.
    pub judged: BTreeSet<String>,
}

impl Recording {
    /// Whether what is reported of a world has a recording.
    pub fn is_in(report: &Path) -> bool {
        report.join(FOLDER).join(FILE).exists()
    }

    /// Reads the recording in what is reported of a world.
    ///
    /// # Errors
    /// When it is not there, or has another form.
    pub fn read(report: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            schema: u32,
            version: String,
        }
        let file = report.join(FOLDER).join(FILE);
        let attempted = || format!("read {}", file.display());
        let text = fs::read(&file).attempting(attempted)?;
        let Form { schema, version } = serde_json::from_slice(&text).attempting(attempted)?;
        let next = format!("judge it with trinity-e2e {version}, which recorded it");
        if schema != SCHEMA {
            let seen = format!("it has version {schema} of its form, and not {SCHEMA}");
            return Err(Failure::new(attempted(), seen).next(next).misused());
        }
        serde_json::from_slice(&text).attempting(attempted).map_err(|failure| failure.next(next).misused())
    }
}

/// What the judges of a platform have read, before anything stirs it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub(super) at: Timestamp,
    pub(super) objects: Objects,
}

impl Seen {
    /// What an API server has now.
    pub async fn of(client: &Client) -> Self {
        Self { at: Timestamp::now(), objects: Objects::take(client, objects::of_platform()).await }
    }
}

/// What is recorded of a world.
pub struct Material<'a> {
    /// The world.
    pub world: &'a Description,
    /// Its platform.
    pub rendered: &'a Rendered,
    /// What has changed since it was made, of a kept one.
    pub rerun: Option<&'a Rerun>,
    /// What was seen when the platform was judged.
    pub seen: Option<Seen>,
    /// Whether it still answers.
    pub answers: bool,
    /// From when on suites stirred it.
    pub stirred: Option<Timestamp>,
    /// What puts its failures in doubt.
    pub doubtful: Option<&'a Failure>,
    /// All verdicts until now.
    pub verdicts: &'a [Verdict],
    /// What takes values out.
    pub redactor: &'a Redactor,
}

impl Material<'_> {
    /// Writes the recording to what is reported of the world.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub async fn record(self, report: &Path) -> Result<()> {
        let (begun, world, folder) = (Instant::now(), self.world, report.join(FOLDER));
        fs::create_dir_all(&folder).attempting(|| format!("make {}", folder.display()))?;
        if let Some(seen) = &self.seen {
            seen.objects.save(&folder.join(JUDGED), self.redactor)?;
        }
        if self.answers {
            let objects = Objects::take(&world.client().await?, objects::of_chain()).await;
            objects.save(&folder.join(ENDED), self.redactor)?;
        }
        platform::save(&folder, self.rendered, world, self.redactor)?;
        let (log, packed) = (world.audit.clone(), folder.join(AUDIT));
        let (stirred, redactor) = (self.stirred, self.redactor.clone());
        // The log is long, and other worlds go on meanwhile.
        let copying = tokio::task::spawn_blocking(move || copied(&log, stirred, &packed, &redactor));
        copying.await.attempting(|| format!("record {}", world.name))??;
        let recording = serde_json::to_value(self.recording()).attempting(|| format!("record {}", world.name))?;
        let file = folder.join(FILE);
        fs::write(&file, cleaned(&recording, self.redactor)).attempting(|| format!("write {}", file.display()))?;
        let (size, seconds) = (folder::size(&folder) >> 10, begun.elapsed().as_secs_f64());
        info!("{}: recorded, {size} KiB in {seconds:.1} s", world.cloud);
        Ok(())
    }

    fn recording(&self) -> Recording {
        Recording {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
            world: bare(self.world),
            roots: Roots::read(&self.world.root).ok(),
            commit: self.rerun.map(|rerun| rerun.commit.clone()),
            since: self.rerun.map_or(Timestamp::UNIX_EPOCH, |rerun| rerun.since),
            seen: self.seen.as_ref().map(|seen| seen.at),
            stirred: self.stirred,
            doubtful: self.doubtful.map(|failure| failure.seen().lines().next().unwrap_or_default().to_owned()),
            judged: self.verdicts.iter().map(|verdict| verdict.group.clone()).collect(),
        }
    }
}

/// A world as others may know it: where its parts were on this machine says nothing to them, and with the key of its digests
/// values could be guessed.
fn bare(world: &Description) -> Description {
    let path = PathBuf::new;
    let mut emulated = world.emulated.clone();
    match &mut emulated {
        config::Cloud::Aws(aws) => aws.declared = path(),
        config::Cloud::Gcp(gcp) => gcp.declared = path(),
        config::Cloud::Azure(azure) => azure.declared = path(),
    }
    Description {
        emulated,
        grafana: path(),
        folder: path(),
        kubectl: path(),
        kubeconfig: path(),
        control: path(),
        journal: path(),
        audit: path(),
        authority: path(),
        token_key: path(),
        platform: path(),
        root: path(),
        settings: path(),
        components: Vec::new(),
        digest_key: String::new(),
        ..world.clone()
    }
}

/// Copies an audit log until a time, as far as judges read it.
fn copied(log: &Path, until: Option<Timestamp>, to: &Path, redactor: &Redactor) -> Result<()> {
    let writing = || format!("write {}", to.display());
    let mut packed = zstd::Encoder::new(File::create(to).attempting(writing)?, LEVEL).attempting(writing)?;
    for event in audit::events(log)? {
        let mut event: Map<String, Value> = event?;
        let done = event.get("stageTimestamp").and_then(|time| time.as_str()?.parse::<Timestamp>().ok());
        if until.zip(done).is_some_and(|(until, done)| done >= until) {
            continue;
        }
        event.retain(|key, _| READ.contains(&key.as_str()));
        writeln!(packed, "{}", cleaned(&Value::Object(event), redactor)).attempting(writing)?;
    }
    packed.finish().attempting(writing)?;
    Ok(())
}

/// A document as text without values. These are taken out of its texts one by one, so that it stays a document.
pub(super) fn cleaned(document: &Value, redactor: &Redactor) -> String {
    let text = document.to_string();
    if redactor.clean(&text) == text {
        return text;
    }
    let mut document = document.clone();
    clean(&mut document, redactor);
    document.to_string()
}

fn clean(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => *text = redactor.clean(text),
        Value::Array(items) => items.iter_mut().for_each(|item| clean(item, redactor)),
        Value::Object(fields) => {
            let of = |(name, mut field): (String, Value)| {
                clean(&mut field, redactor);
                (redactor.clean(&name), field)
            };
            *fields = std::mem::take(fields).into_iter().map(of).collect();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::replay::stage::tests::world;

    fn event(second: u8, name: &str) -> Value {
        json!({"level": "RequestResponse", "auditID": "u", "stage": "ResponseComplete", "requestURI": "/a", "verb": "create",
            "user": {"username": "u"}, "userAgent": "argocd/1", "objectRef": {"resource": "configmaps", "name": name},
            "responseStatus": {"code": 201}, "requestObject": {"twice": true}, "responseObject": {"kind": "ConfigMap", "data": {"a": "hunter22"}},
            "requestReceivedTimestamp": format!("2026-01-01T00:00:0{second}Z"), "stageTimestamp": format!("2026-01-01T00:00:0{second}Z")})
    }

    #[test]
    fn a_document_stays_one_when_values_are_taken_out() {
        let redactor = Redactor::new([r#"{"message":"hunter22"}"#.to_owned()]);
        let document = json!({"a": {"message": "hunter22"}, "b": "say \"hunter22\"", "hunter22": 1});
        let text = cleaned(&document, &redactor);
        let expected = json!({"a": {"message": "[redacted]"}, "b": "say \"[redacted]\"", "[redacted]": 1});
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn the_audit_log_is_kept_until_suites_stir_the_world() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let lines = [event(1, "early").to_string(), event(5, "late").to_string(), "{\"requestURI\":\"/b".to_owned()];
        fs::write(path("audit.log"), lines.join("\n")).unwrap();
        let stirred = Some("2026-01-01T00:00:05Z".parse().unwrap());
        copied(&path("audit.log"), stirred, &path(AUDIT), &Redactor::new(["hunter22".to_owned()])).unwrap();
        platform::unpack(&path(AUDIT), &path("again")).unwrap();
        let text = fs::read_to_string(path("again")).unwrap();
        assert!(!text.contains("hunter22") && !text.contains("twice"), "{text}");
        let [write] = &audit::read(&path("again")).unwrap()[..] else { panic!("{text}") };
        assert_eq!((write.target.name.as_str(), write.code, write.manager.as_str()), ("early", 201, "argocd"));
        assert_eq!(write.object.as_ref().unwrap()["data"]["a"], "[redacted]");
        fs::write(path("audit.log"), "no event\n").unwrap();
        assert!(copied(&path("audit.log"), None, &path(AUDIT), &Redactor::default()).is_err());
    }

    #[test]
    fn a_recorded_world_has_no_key_and_no_paths() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        assert!(!world.digest_key.is_empty());
        let text = serde_json::to_string(&bare(&world)).unwrap();
        assert!(!text.contains(&world.digest_key) && !text.contains(folder.path().to_str().unwrap()), "{text}");
    }

    #[test]
    fn a_recording_of_another_form_names_who_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FOLDER).join(FILE);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, json!({"schema": 99, "version": "9.9.9"}).to_string()).unwrap();
        assert!(Recording::is_in(folder.path()));
        let failure = Recording::read(folder.path()).unwrap_err().to_string();
        assert!(failure.contains("version 99") && failure.contains("9.9.9"), "{failure}");
    }
}
