//! A recorded world, set up so that judges find in it what they found in the real one.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use kube::Client;
use tempfile::TempDir;
use trinity_emulators::journal;

use super::{
    apiserver,
    objects::Objects,
    platform,
    recording::{AUDIT, ENDED, FOLDER, JUDGED, Recording},
    verdicts::Replay,
};
use crate::{
    failure::{Attempt, Failure, Result},
    gitops::roots::Roots,
    judge::{
        cause, destructive, drift, missing, outside,
        verdict::{Outcome, Verdict},
        waves,
        well::Patient,
    },
    observe::audit,
    report::{
        chain::{self, Evidence},
        data::{self, Claim, Link},
        redact::Redactor,
        table,
    },
    trial::{all_of, came_up, doubt},
    world::{Cloud, Description},
};

/// Time for a judge to hear of everything, which is there from the beginning: nothing comes later.
const MOMENT: Duration = Duration::from_secs(2);
/// The journal in what is reported of a world.
const JOURNAL: &str = "gateway.jsonl";
/// Logs of containers in what is reported of a world in which something failed.
const LOGS: &str = "bundle/logs";

/// A recorded world.
pub struct Stage {
    recording: Recording,
    world: Description,
    /// What is reported of it.
    report: PathBuf,
    /// All requests to the outside that the run was about.
    calls: Result<Vec<journal::Line>>,
    _scratch: TempDir,
}

impl Stage {
    /// Sets up the world of a cloud from what is reported of it.
    ///
    /// # Errors
    /// When the recording cannot be read, or is of another world.
    pub fn open(report: &Path, cloud: Cloud) -> Result<Self> {
        let recording = Recording::read(report)?;
        let attempted = || format!("set up what is recorded in {}", report.display());
        if recording.world.cloud != cloud {
            return Err(Failure::new(attempted(), format!("it is of {}", recording.world.cloud)).misused());
        }
        let scratch = tempfile::tempdir().attempting(attempted)?;
        let path = |name: &str| scratch.path().join(name);
        let (journal, log) = (path(JOURNAL), path("audit.jsonl"));
        platform::unpack(&report.join(FOLDER).join(AUDIT), &log)?;
        let mut calls = journal::read(&report.join(JOURNAL)).attempting(attempted);
        if let Ok(calls) = &mut calls {
            calls.retain(|call| call.time >= recording.since);
        }
        // Who looks for a cause must not find what suites provoked afterwards.
        let until = recording.seen.unwrap_or(Timestamp::MAX);
        let early = calls.iter().flatten().filter(|call| call.time <= until);
        let lines =
            early.map(|call| Ok(serde_json::to_string(call)? + "\n")).collect::<Result<String, serde_json::Error>>();
        fs::write(&journal, lines.attempting(attempted)?).attempting(attempted)?;
        let world = Description {
            folder: scratch.path().to_owned(),
            platform: report.join(FOLDER).join(platform::FILES),
            journal,
            audit: log,
            ..recording.world.clone()
        };
        Ok(Self { recording, world, report: report.to_owned(), calls, _scratch: scratch })
    }

    /// Judges all that the run has judged of it and that can be judged again.
    pub async fn judge(&self, recorded: &data::World, replay: &mut Replay) {
        let cloud = self.world.cloud;
        let canaries = replay.canaries(cloud);
        let calls = || self.calls.as_deref().map_err(Clone::clone);
        if self.has("platform") {
            replay.judged(cloud, "platform", self.platform().await);
        }
        if self.has(waves::GROUP) {
            replay.judged(cloud, waves::GROUP, self.waves().await);
        }
        if self.has("outside") {
            replay.judged(cloud, "outside", calls().map(|calls| outside::verdict(calls, &self.world.missing)));
        }
        if self.has("lifecycle") {
            replay.judged(cloud, "lifecycle", calls().map(destructive::verdict));
        }
        replay.linked(cloud, &recorded.chain, self.chain(&canaries).await);
    }

    fn has(&self, group: &str) -> bool {
        self.recording.judged.contains(group)
    }

    async fn platform(&self) -> Result<Verdict> {
        let attempted = || "judge the platform again".to_owned();
        let objects = self.objects(JUDGED)?;
        let roots = self.recording.roots.as_ref();
        let roots = roots.ok_or_else(|| Failure::new(attempted(), "its roots are not recorded"))?;
        let applications = objects.items("applications.argoproj.io");
        let drifting = applications.iter().find(|application| drift::suspected(application));
        let drifting = drifting.map(|application| application["metadata"]["name"].to_string());
        let client = apiserver::client(objects, self.report.join(LOGS));
        let up = match (self.settled(&client, roots).await, drifting) {
            // What came to an end well did so, whatever was said of it before.
            (Ok(excused), _) => Ok(excused),
            (Err(_), Some(name)) => {
                let seen = format!("application {name} may drift, and what Argo CD has compared is not recorded");
                return Err(Failure::new(attempted(), seen));
            }
            (Err(_), None) => {
                let again = self.settled(&client, roots);
                cause::explained(&client, &self.world, self.recording.since, again).await
            }
        };
        Ok(self.doubted(came_up(&self.world, roots, up)))
    }

    /// Waits as the run has done.
    async fn settled(&self, client: &Client, roots: &Roots) -> Result<std::collections::BTreeSet<String>> {
        let world = &self.world;
        match &self.recording.commit {
            Some(commit) => Patient { world, client, roots: roots.clone() }.at(commit, MOMENT).await,
            None => missing::settled(client, world, roots, &all_of(roots), MOMENT).await,
        }
    }

    async fn waves(&self) -> Result<Verdict> {
        let rendered = platform::read(&self.report.join(FOLDER), self.world.cloud)?;
        let client = apiserver::client(self.objects(JUDGED)?, self.report.join(LOGS));
        waves::verdict(&rendered, &self.world, &client).await.map(|verdict| self.doubted(verdict))
    }

    async fn chain(&self, canaries: &[Claim]) -> Result<Vec<Link>> {
        let calls = self.calls.as_deref().map_err(Clone::clone)?;
        // A world that did not answer in the end had nothing to tell of its secrets.
        let answered = self.report.join(FOLDER).join(ENDED).exists();
        let objects = if answered { self.objects(ENDED)? } else { Objects::default() };
        let client = apiserver::client(objects, self.report.join(LOGS));
        let secrets = if answered { table::secrets(&client, &self.world).await } else { Vec::new() };
        let (accounts, writes) = (&chain::accounts(&client).await, &audit::read(&self.world.audit));
        let let_in = canaries.iter().filter(|claim| claim.outcome == data::Outcome::Unproven);
        let verdicts: Vec<Verdict> = let_in
            .map(|claim| {
                let why = claim.reason.clone().unwrap_or_default();
                Verdict::new(&claim.subject, claim.claim.clone(), Outcome::Unproven(why))
            })
            .collect();
        let (secrets, verdicts, stirred) = (&secrets, &verdicts, self.recording.stirred);
        // What is recorded has no values.
        Ok(Evidence { accounts, writes, calls, secrets, verdicts, stirred }.chain(&Redactor::default()))
    }

    /// The objects of a moment, if it is known what there was.
    fn objects(&self, moment: &str) -> Result<Objects> {
        let objects = Objects::read(&self.report.join(FOLDER).join(moment))?;
        match objects.unknown() {
            unknown if unknown.is_empty() => Ok(objects),
            unknown => {
                let attempted = format!("read the recorded objects of world {}", self.world.name);
                Err(Failure::new(attempted, format!("the run could not list all of them: {}", unknown.join(", "))))
            }
        }
    }

    /// The same when nothing puts failures of the world in doubt.
    fn doubted(&self, mut verdict: Verdict) -> Verdict {
        if let Some(seen) = &self.recording.doubtful {
            doubt(&mut verdict, &Failure::new("keep the world running", seen));
        }
        verdict
    }
}

#[cfg(test)]
pub(super) mod tests {
    use k8s_openapi::api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        core::v1::{ConfigMap, Event, Node, Pod, ServiceAccount},
    };
    use kube::core::{ApiResource, DynamicObject};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        exit::Exit,
        gitops::{
            render::{Application, Declared},
            rendered::Rendered,
        },
        judge::waves::planned::WAVE,
        observe::kinds::Kind,
        replay::{
            self,
            recording::{Material, Seen},
        },
        report::{
            data::Report,
            gather::{self, example},
        },
    };

    /// A secret value.
    const VALUE: &str = "hunter22-0123456789abcdef";
    const ACCOUNT: &str = "system:serviceaccount:external-secrets:eso";

    /// A world whose files are in a folder.
    pub(in crate::replay) fn world(folder: &Path) -> Description {
        let path = |name: &str| folder.join("world").join(name);
        fs::create_dir_all(path("platform")).unwrap();
        serde_json::from_value(json!({
            "run": "1", "name": "aws-1", "cloud": "aws", "nodes": ["node"], "gateway": "10.0.0.1:443", "issuer": "i", "jwks": "j",
            "emulated": {"cloud": "aws", "account": "123456789012", "region": "us-east-1", "declared": path("declared")},
            "grafana": path("g"), "folder": path("w"), "kubectl": path("k"), "kubeconfig": path("c"), "control": path("s"),
            "journal": path("journal.jsonl"), "audit": path("audit.log"), "authority": path("ca"), "token_key": path("t"),
            "platform": path("platform"), "root": path("platform/root.yaml"), "settings": path("platform"),
            "argocd_version": "3.2.11", "operator": {"version": "2.4.1", "pinned": "2.4.1", "stands_in": null},
            "missing": [], "substituted": [], "components": [], "digest_key": "0123456789abcdef0123456789abcdef",
        }))
        .unwrap()
    }

    fn application(name: &str, wave: &str, status: Value) -> Value {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd", "annotations": {WAVE: wave}},
            "spec": {"destination": {"namespace": "argocd"}}, "status": status})
    }

    fn status(sync: &str, health: &str) -> Value {
        json!({"sync": {"status": sync}, "health": {"status": health}, "operationState": {"phase": "Succeeded", "message": "done"}})
    }

    fn ready(status: &str, reason: &str) -> Value {
        json!({"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": format!("it says {VALUE}")}]})
    }

    /// What an API server of a platform has: a root with two applications, a store, and an ExternalSecret.
    struct Cluster {
        second: Value,
        external: Value,
        warnings: Vec<Value>,
    }

    impl Cluster {
        fn healthy() -> Self {
            Self { second: status("Synced", "Healthy"), external: ready("True", "SecretSynced"), warnings: Vec::new() }
        }

        /// The operator has said this of the ExternalSecret.
        fn warned(message: &str) -> Self {
            let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "demo"},
                "type": "Warning", "reason": "UpdateFailed", "message": message,
                "lastTimestamp": "2026-01-01T00:00:03Z",
                "involvedObject": {"kind": "ExternalSecret", "namespace": "demo", "name": "secret"}});
            let external = ready("False", "SecretSyncedError");
            Self { second: status("Synced", "Degraded"), external, warnings: vec![event] }
        }

        fn objects(&self) -> Objects {
            let mut root = status("Synced", "Healthy");
            let child =
                |name: &str| json!({"kind": "Application", "namespace": "argocd", "name": name, "status": "Synced"});
            root["resources"] = json!([child("first"), child("second")]);
            let applications = vec![
                application("root", "0", root),
                application("first", "0", status("Synced", "Healthy")),
                application("second", "1", self.second.clone()),
            ];
            let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": "argocd"},
                "data": {"resource.customizations.health.argoproj.io_Application": "return hs"}});
            let external = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
                "metadata": {"name": "secret", "namespace": "demo"}, "status": self.external,
                "spec": {"secretStoreRef": {"kind": "ClusterSecretStore", "name": "store"}, "target": {"name": "secret"}}});
            let reference = json!({"serviceAccountRef": {"name": "eso", "namespace": "external-secrets"}});
            let store = json!({"apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": {"name": "store"},
                "spec": {"provider": {"aws": {"auth": {"jwt": reference}}}}, "status": ready("True", "Valid")});
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "eso", "namespace": "external-secrets",
                "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/eso"}}});
            let operator = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "external-secrets",
                "namespace": "external-secrets", "labels": {"app.kubernetes.io/name": "external-secrets"}}});
            Objects::new([
                (Kind::Application.resource(), applications),
                (Kind::ApplicationSet.resource(), Vec::new()),
                (Kind::ClusterSecretStore.resource(), vec![store]),
                (Kind::ExternalSecret.resource(), vec![external]),
                (Kind::SecretStore.resource(), Vec::new()),
                (ApiResource::erase::<ConfigMap>(&()), vec![settings]),
                (ApiResource::erase::<DaemonSet>(&()), Vec::new()),
                (ApiResource::erase::<Deployment>(&()), vec![operator]),
                (ApiResource::erase::<Event>(&()), self.warnings.clone()),
                (ApiResource::erase::<Node>(&()), Vec::new()),
                (ApiResource::erase::<Pod>(&()), Vec::new()),
                (ApiResource::erase::<ServiceAccount>(&()), vec![account]),
                (ApiResource::erase::<StatefulSet>(&()), Vec::new()),
            ])
        }
    }

    /// A line of the audit log: the write number `version`, in that second.
    fn write(version: u8, verb: &str, name: &str, status: Value) -> String {
        let time = format!("2026-01-01T00:00:0{version}Z");
        let mut object = application(name, "0", status);
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        json!({"requestURI": "/a?fieldManager=argocd-controller", "verb": verb, "user": {"username": "argocd"}, "userAgent": "a",
            "objectRef": {"apiGroup": "argoproj.io", "resource": "applications", "namespace": "argocd", "name": name},
            "responseStatus": {"code": if verb == "create" { 201 } else { 200 }}, "responseObject": object,
            "requestReceivedTimestamp": time, "stageTimestamp": time})
        .to_string()
    }

    fn token() -> String {
        let time = "2026-01-01T00:00:02Z";
        json!({"requestURI": "/token", "verb": "create", "user": {"username": ACCOUNT}, "responseStatus": {"code": 201},
            "objectRef": {"resource": "serviceaccounts", "subresource": "token", "namespace": "external-secrets", "name": "eso"},
            "requestReceivedTimestamp": time, "stageTimestamp": time})
        .to_string()
    }

    fn call(action: &str, more: &Value) -> String {
        let mut line = json!({"time": "2026-01-01T00:00:03Z", "host": "h", "method": "POST", "path": "/", "status": 200,
            "milliseconds": 0, "action": action, "caller": ACCOUNT});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    }

    /// Records a world, and a report that says `came` of its platform.
    async fn recorded(folder: &Path, cluster: &Cluster, calls: &[String], came: Outcome) -> PathBuf {
        let world = world(folder);
        fs::write(&world.root, "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: root\n")
            .unwrap();
        let log = [
            write(1, "create", "first", json!({})),
            token(),
            write(3, "patch", "first", status("Synced", "Healthy")),
            write(4, "create", "second", json!({})),
        ];
        fs::write(&world.audit, log.join("\n") + "\n").unwrap();
        let objects: Vec<DynamicObject> = [("first", "0"), ("second", "1")]
            .map(|(name, wave)| serde_json::from_value(application(name, wave, Value::Null)).unwrap())
            .into();
        let root = Application { name: "root".into(), namespace: "argocd".into(), paths: Vec::new(), objects };
        let manifest = serde_json::from_value(application("root", "0", Value::Null)).unwrap();
        let rendered = Rendered::new([(world.cloud, vec![Declared { manifest, rendered: Ok(root) }])]);
        let verdicts: Vec<Verdict> = [
            ("platform", came.clone()),
            (waves::GROUP, Outcome::Passed),
            ("outside", Outcome::Passed),
            ("lifecycle", Outcome::Passed),
            ("leaks", Outcome::Passed),
        ]
        .map(|(group, outcome)| Verdict::new(group, "it is so", outcome).of(world.cloud))
        .into();
        let report = folder.join("report");
        let own = report.join("aws");
        fs::create_dir_all(&own).unwrap();
        let redactor = Redactor::new([VALUE.to_owned()]);
        let material = Material {
            world: &world,
            rendered: &rendered,
            rerun: None,
            seen: Some(Seen { at: "2026-01-01T00:00:05Z".parse().unwrap(), objects: cluster.objects() }),
            // There is nobody to answer.
            answers: false,
            stirred: None,
            doubtful: None,
            verdicts: &verdicts,
            redactor: &redactor,
        };
        material.record(&own).await.unwrap();
        cluster.objects().save(&own.join(FOLDER).join(ENDED), &redactor).unwrap();
        fs::write(own.join(JOURNAL), calls.join("\n")).unwrap();
        let value = if came == Outcome::Passed { data::Outcome::Passed } else { data::Outcome::Failed };
        let link = |(link, outcome): (&str, data::Outcome)| Link { link: link.into(), outcome, seen: "seen".into() };
        let passed = chain::LINKS[..4].iter().map(|name| (*name, data::Outcome::Passed));
        let mut whole = Report { verdicts: verdicts.iter().map(gather::of_verdict).collect(), ..example() };
        whole.clouds.truncate(1);
        whole.clouds[0].chain = passed.chain([("value", value)]).map(link).collect();
        whole.write(&report).unwrap();
        report
    }

    fn well() -> Vec<String> {
        vec![call("sts:AssumeRoleWithWebIdentity", &json!({})), call("secretsmanager:GetSecretValue", &json!({}))]
    }

    #[tokio::test]
    async fn a_healthy_recording_is_judged_healthy() {
        let folder = tempfile::tempdir().unwrap();
        let report = recorded(folder.path(), &Cluster::healthy(), &well(), Outcome::Passed).await;
        let replay = replay::of(&report).await.unwrap();
        let text = replay.to_string();
        assert_eq!(replay.exit(), Exit::Passed, "{text}");
        assert!(text.contains("9 claims judged again: 9 came out as before, 0 differ"), "{text}");
        assert!(text.contains("aws leaks: needs a cluster; the run said 1 passed"), "{text}");
    }

    #[tokio::test]
    async fn a_degraded_application_is_no_pass_whatever_the_run_said() {
        let folder = tempfile::tempdir().unwrap();
        let degraded = Cluster { second: status("Synced", "Degraded"), ..Cluster::healthy() };
        let report = recorded(folder.path(), &degraded, &well(), Outcome::Passed).await;
        let replay = replay::of(&report).await.unwrap();
        let text = replay.to_string();
        assert_eq!(replay.exit(), Exit::Findings, "{text}");
        assert!(text.contains("DIFFERS  aws platform it is so: passed → failed (unknown)"), "{text}");
        assert!(text.contains("application argocd/second: sync Synced, health Degraded"), "{text}");
        assert!(text.contains("9 claims judged again: 8 came out as before, 1 differ"), "{text}");
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_read_is_judged_as_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let absent = "error processing spec.data[0] (key: provider-test-secret), err: Secret does not exist";
        let cluster = Cluster::warned(absent);
        let came = Outcome::Failed("value-missing: as it was told\n  next: make it".into());
        let report = recorded(folder.path(), &cluster, &well(), came).await;
        let replay = replay::of(&report).await.unwrap();
        let text = replay.to_string();
        assert_eq!(replay.exit(), Exit::Passed, "{text}");
        assert!(text.contains("    same  aws platform it is so: failed (value-missing)\n"), "{text}");
        assert!(text.contains("    same  aws chain value: failed\n"), "{text}");
    }

    #[tokio::test]
    async fn calls_are_judged_again() {
        let folder = tempfile::tempdir().unwrap();
        let undeclared = json!({"finding": true, "reason": "nothing here plays https://example.com/"});
        let calls = [well(), vec![call("secretsmanager:DeleteSecret", &json!({})), call("x", &undeclared)]].concat();
        let report = recorded(folder.path(), &Cluster::healthy(), &calls, Outcome::Passed).await;
        let text = replay::of(&report).await.unwrap().to_string();
        assert!(text.contains("DIFFERS  aws outside it is so: passed → failed"), "{text}");
        assert!(text.contains("DIFFERS  aws lifecycle it is so: passed → failed"), "{text}");
    }

    #[tokio::test]
    async fn an_application_that_may_drift_is_not_judged() {
        let folder = tempfile::tempdir().unwrap();
        let mut drifting = status("OutOfSync", "Healthy");
        drifting["operationState"]["operation"] = json!({"sync": {"autoHealAttemptsCount": 1}});
        let cluster = Cluster { second: drifting, ..Cluster::healthy() };
        let came = Outcome::Failed("drift: as it was told\n  next: pin it".into());
        let report = recorded(folder.path(), &cluster, &well(), came).await;
        let text = replay::of(&report).await.unwrap().to_string();
        assert!(text.contains("is not recorded; the run said failed (drift)"), "{text}");
    }

    #[tokio::test]
    async fn no_file_of_a_recording_has_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let report = recorded(folder.path(), &Cluster::healthy(), &well(), Outcome::Passed).await;
        let own = report.join("aws").join(FOLDER);
        let text = fs::read_to_string(own.join(JUDGED).join("externalsecrets.external-secrets.io.json")).unwrap();
        assert!(text.contains("it says [redacted]"), "{text}");
        let mut files = 0;
        for entry in walkdir::WalkDir::new(&own).into_iter().map(|entry| entry.unwrap()) {
            if entry.file_type().is_file() {
                let bytes = fs::read(entry.path()).unwrap();
                let packed = entry.path().extension().is_some_and(|end| end == "zst");
                let bytes = if packed { zstd::decode_all(&bytes[..]).unwrap() } else { bytes };
                let text = String::from_utf8(bytes).unwrap();
                assert!(!text.contains(VALUE) && !entry.path().ends_with("secrets.json"), "{}", entry.path().display());
                files += 1;
            }
        }
        assert!(files > 15, "{files}");
    }

    #[tokio::test]
    async fn a_run_without_a_recording_is_no_run_to_judge() {
        let folder = tempfile::tempdir().unwrap();
        example().write(folder.path()).unwrap();
        let failure = replay::of(folder.path()).await.unwrap_err();
        assert_eq!(Exit::from(&failure), Exit::Usage);
        assert!(failure.to_string().contains("trinity-e2e 0.1.0"), "{failure}");
    }
}
