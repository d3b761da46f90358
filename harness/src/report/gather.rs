//! The report as data, from everything that a run has.

use std::{path::Path, time::Duration};

use quick_junit::{TestCase, TestCaseStatus};

use super::{
    data::{self, Claim, Counts, Outcome, Query, Report},
    junit, phases,
    redact::Redactor,
};
use crate::{
    clock::Clock,
    defects::{self, Defect},
    failure::Result,
    judge::{
        cause::Told,
        central::Answer,
        verdict::{self, Conclusion, Verdict},
    },
    trial::{NO_TESTS, Record},
    world::{Cloud, Parts},
};

/// Phases that are told in one line.
const LONG: usize = 4;
/// The phase of a run in which its worlds have theirs.
const WORLDS: &str = "worlds";

/// What a run has.
pub struct Whole<'a> {
    /// Its name.
    pub run: &'a str,
    /// By what its times are.
    pub clock: Clock,
    /// What is tested.
    pub headline: &'a str,
    /// What its worlds are made from.
    pub parts: &'a Parts,
    /// Its worlds.
    pub records: &'a [Record],
    /// Grafana Cloud's answers.
    pub answers: &'a [Answer],
    /// The known defects of what its worlds consist of.
    pub defects: &'a [Defect],
}

impl Whole<'_> {
    /// The report with these verdicts and phases.
    ///
    /// # Errors
    /// When a suite's own report cannot be read.
    pub fn report(&self, verdicts: &[Verdict], phases: &[phases::Phase]) -> Result<Report> {
        let last = self.records.iter().max_by_key(|record| ended(&record.phases)).map(|record| record.cloud);
        let claims = claims(verdicts, self.records, self.defects)?;
        let world = |record: &Record| data::World {
            cloud: record.cloud,
            world: record.world.clone(),
            phases: self::phases(&record.phases, last == Some(record.cloud)),
            memory: record.memory,
            secrets: record.secrets.clone(),
            chain: record.story.chain.clone(),
            timeline: record.story.timeline.clone(),
            left_out: record.story.left_out,
        };
        let clouds: Vec<data::World> = self.records.iter().map(world).collect();
        let substituted = self.parts.substituted.iter().filter_map(|missing| missing.what.image()).map(Into::into);
        let query = |answer: &Answer| Query {
            query: answer.query.into(),
            answers: answer.samples.iter().map(ToString::to_string).collect(),
        };
        let phases = self::phases(phases, true);
        let seconds = phases.last().map_or(0.0, |phase| rounded(phase.begun + phase.seconds));
        Ok(Report {
            schema: data::SCHEMA,
            run: self.run.into(),
            begun: self.clock.begun(),
            seconds,
            version: env!("CARGO_PKG_VERSION").into(),
            headline: self.headline.into(),
            conclusion: Conclusion::of(verdicts),
            substituted: substituted.collect(),
            time: time(seconds, &phases, &clouds),
            counts: Counts::of(&claims),
            clouds,
            phases,
            verdicts: claims,
            components: self.parts.provenance.clone(),
            queries: self.answers.iter().map(query).collect(),
        })
    }
}

fn ended(phases: &[phases::Phase]) -> Duration {
    phases.last().map_or(Duration::ZERO, |phase| phase.begun + phase.took)
}

fn phases(phases: &[phases::Phase], critical: bool) -> Vec<data::Phase> {
    let one = |phase: &phases::Phase| data::Phase {
        name: phase.name.into(),
        begun: rounded(phase.begun.as_secs_f64()),
        seconds: rounded(phase.took.as_secs_f64()),
        critical,
    };
    phases.iter().map(one).collect()
}

/// Where the time went, in one line: the longest phases of the critical path. In the phase of the worlds that is the way of
/// the world that ended last.
fn time(seconds: f64, phases: &[data::Phase], clouds: &[data::World]) -> String {
    let own = phases.iter().filter(|phase| phase.name != WORLDS).map(|phase| (phase.name.clone(), phase.seconds));
    let of_worlds = clouds.iter().flat_map(|world| {
        let critical = world.phases.iter().filter(|phase| phase.critical);
        critical.map(|phase| (format!("{} {}", world.cloud, phase.name), phase.seconds))
    });
    let mut all: Vec<(String, f64)> = own.chain(of_worlds).collect();
    all.sort_by(|one, other| other.1.total_cmp(&one.1));
    let told: Vec<String> = all.iter().take(LONG).map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect();
    format!("{seconds:.1} s, most of it: {}", told.join(", "))
}

/// One for each verdict and for each test of the suites. What the harness says of all tests of a half together is left out:
/// the tests say it one by one.
fn claims(verdicts: &[Verdict], records: &[Record], defects: &[Defect]) -> Result<Vec<Claim>> {
    let sum = |verdict: &&Verdict| {
        let of_tests = match &verdict.outcome {
            verdict::Outcome::Passed => true,
            verdict::Outcome::Failed(why) => !why.starts_with(NO_TESTS),
            _ => false,
        };
        !(verdict.group == "suites" && of_tests)
    };
    let mut claims: Vec<Claim> = verdicts.iter().filter(sum).map(of_verdict).collect();
    for record in records {
        let redactor = Redactor::knowing(&record.values);
        for file in record.junit.iter().filter(|file| file.exists()) {
            claims.extend(of_suites(file, record.cloud, &redactor, defects)?);
        }
    }
    Ok(claims)
}

/// A verdict as reports have it.
pub(crate) fn of_verdict(verdict: &Verdict) -> Claim {
    let (outcome, reason) = match &verdict.outcome {
        verdict::Outcome::Passed => (Outcome::Passed, None),
        verdict::Outcome::Failed(why) => (Outcome::Failed, Some(why.clone())),
        verdict::Outcome::Unproven(why) => (Outcome::Unproven, Some(why.clone())),
        verdict::Outcome::NotRun(why) => (Outcome::NotRun, Some(why.clone())),
    };
    Claim {
        cloud: verdict.cloud,
        subject: verdict.group.clone(),
        claim: verdict.claim.clone(),
        outcome,
        seconds: rounded(verdict.took.as_secs_f64()),
        note: (!verdict.note.is_empty()).then(|| verdict.note.clone()),
        cause: reason.as_deref().filter(|_| outcome == Outcome::Failed).and_then(Told::of),
        reason,
    }
}

fn of_suites(file: &Path, cloud: Cloud, redactor: &Redactor, defects: &[Defect]) -> Result<Vec<Claim>> {
    let suites = junit::read(file)?.test_suites;
    let all = suites.iter().flat_map(|suite| {
        let subject = suite.name.as_str().trim_start_matches("suites::");
        suite.test_cases.iter().map(move |case| of_test(subject, case, cloud, redactor, defects))
    });
    Ok(all.collect())
}

fn of_test(subject: &str, case: &TestCase, cloud: Cloud, redactor: &Redactor, defects: &[Defect]) -> Claim {
    // The cloud is told by itself, and the number of a case is its place among the clouds.
    let claim = case.name.as_str().rsplit_once("::case_").map_or(case.name.as_str(), |(claim, _)| claim);
    let (outcome, reason) = match &case.status {
        TestCaseStatus::Success { .. } => (Outcome::Passed, None),
        TestCaseStatus::NonSuccess { .. } => {
            let said = junit::said(&case.status).unwrap_or_default();
            (Outcome::Failed, Some(redactor.clean(said) + &defects::met(defects, claim)))
        }
        TestCaseStatus::Skipped { message, .. } => {
            let why = message.as_ref().map_or("it was skipped", |message| message.as_str());
            (Outcome::NotRun, Some(redactor.clean(why)))
        }
    };
    Claim {
        cloud: Some(cloud),
        subject: subject.into(),
        claim: claim.into(),
        outcome,
        seconds: rounded(case.time.unwrap_or_default().as_secs_f64()),
        note: None,
        cause: reason.as_deref().filter(|_| outcome == Outcome::Failed).and_then(Told::of),
        reason,
    }
}

/// Seconds to the millisecond.
pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// A report for the tests of what is made from one.
#[cfg(test)]
pub(crate) fn example() -> Report {
    use data::{Lane, Link, Moment, Phase, SecretState, Tone, World};

    use crate::world::description::Provenance;

    let verdicts = [
        Verdict::new("canaries", "forged signature → AccessDenied", verdict::Outcome::Passed).of(Cloud::Aws),
        Verdict::new(
            "platform",
            "root and all its applications are Synced and Healthy",
            verdict::Outcome::Failed(
                "identity-refused: the role does not trust the token: <aud> | is `wrong`\n  next: compare the policy"
                    .into(),
            ),
        )
        .of(Cloud::Aws)
        .took(Duration::from_millis(41_500)),
        Verdict::new("images", "what needs grafana works", verdict::Outcome::NotRun("no source has it".into())),
        Verdict::new("leaks", "no value got out", verdict::Outcome::Unproven("nothing was searched".into()))
            .noting("2 MB"),
    ];
    let verdicts: Vec<Claim> = verdicts.iter().map(of_verdict).collect();
    let phase = |name: &str, begun, seconds, critical| Phase { name: name.into(), begun, seconds, critical };
    let world = |cloud, seconds, critical| World {
        cloud,
        world: Some(format!("{cloud}-1")),
        phases: vec![phase("cluster", 2.0, 4.0, critical), phase("suites", 6.0, seconds, critical)],
        memory: Some(1 << 30),
        secrets: vec![SecretState {
            store: "store".into(),
            store_state: "Valid".into(),
            external_secret: "n/a".into(),
            state: "SecretSynced".into(),
            ready: true,
            secret: "n/a".into(),
            holds: "key digest:0123456789ab".into(),
        }],
        chain: vec![Link { link: "token".into(), outcome: Outcome::Passed, seen: "3 tokens".into() }],
        timeline: vec![Moment {
            at: 3.0,
            until: Some(4.5),
            count: Some(2),
            lane: Lane::Requests,
            object: "sts.amazonaws.com".into(),
            what: "sts:AssumeRoleWithWebIdentity → 200".into(),
            outcome: Tone::Good,
        }],
        left_out: 0,
    };
    let phases = vec![phase("components", 0.0, 2.0, true), phase(WORLDS, 2.0, 90.0, true)];
    let clouds = vec![world(Cloud::Aws, 86.0, true), world(Cloud::Gcp, 20.0, false)];
    Report {
        schema: data::SCHEMA,
        run: "1a2b3c4d".into(),
        begun: jiff::Timestamp::UNIX_EPOCH,
        seconds: 92.0,
        version: "0.1.0".into(),
        headline: "platform p, clouds aws, gcp".into(),
        conclusion: Conclusion::Failed,
        substituted: Vec::new(),
        time: time(92.0, &phases, &clouds),
        counts: Counts::of(&verdicts),
        clouds,
        phases,
        verdicts,
        components: vec![Provenance { name: "etcd".into(), version: "3.6.4".into(), origin: "build".into() }],
        queries: vec![Query { query: "sum(up)".into(), answers: vec!["{} 1".into()] }],
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_longest_phases_of_the_way_of_the_last_world_say_where_the_time_went() {
        let report = example();
        assert_eq!(report.time, "92.0 s, most of it: aws suites 86.0 s, aws cluster 4.0 s, components 2.0 s");
    }

    #[test]
    fn a_test_of_a_suite_is_a_claim_of_its_cloud_without_values() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("junit.xml");
        let text = r#"<testsuites name="n" tests="3" failures="1" errors="0">
            <testsuite name="suites::secret_path" tests="3" disabled="0" errors="0" failures="1">
            <testcase name="arrives::case_1_aws" time="1.2344"/>
            <testcase name="is_refused::case_1_aws"><failure type="f">drift: a hunter22 of b
  next: write it</failure></testcase>
            <testcase name="later"><skipped/></testcase></testsuite></testsuites>"#;
        fs::write(&file, text).unwrap();
        let claims = of_suites(&file, Cloud::Aws, &Redactor::new(["hunter22".to_owned()]), &[]).unwrap();
        let told: Vec<_> = claims.iter().map(|c| (c.about(), c.claim.as_str(), c.outcome, c.seconds)).collect();
        let about = || "aws secret_path".to_owned();
        assert_eq!(
            told,
            [
                (about(), "arrives", Outcome::Passed, 1.234),
                (about(), "is_refused", Outcome::Failed, 0.0),
                (about(), "later", Outcome::NotRun, 0.0)
            ]
        );
        let cause = claims[1].cause.as_ref().unwrap();
        assert_eq!((cause.kind.as_deref(), cause.next.as_deref()), (Some("drift"), Some("write it")));
        assert_eq!(cause.evidence, ["a [redacted] of b"]);
    }

    #[test]
    fn what_suites_say_one_by_one_is_not_said_again_in_sum() {
        let verdict = |outcome| Verdict::new("suites", "all claims about secrets", outcome);
        let failed = verdict(verdict::Outcome::Failed("a: b".into()));
        let not_run = verdict(verdict::Outcome::NotRun("the platform did not come up".into()));
        let nothing = verdict(verdict::Outcome::Failed(format!("{NO_TESTS}binary(/^(drift)$/)")));
        let claims = claims(&[failed, verdict(verdict::Outcome::Passed), not_run, nothing], &[], &[]).unwrap();
        let outcomes: Vec<Outcome> = claims.iter().map(|claim| claim.outcome).collect();
        assert_eq!(outcomes, [Outcome::NotRun, Outcome::Failed]);
    }

    #[test]
    fn a_test_that_shows_a_known_defect_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("junit.xml");
        let text = r#"<testsuites name="n" tests="1" failures="1" errors="0">
            <testsuite name="suites::lifecycle" tests="1" disabled="0" errors="0" failures="1">
            <testcase name="every_state_under_every_policy::case_1_aws"><failure type="f">x</failure></testcase>
            </testsuite></testsuites>"#;
        fs::write(&file, text).unwrap();
        let claims = of_suites(&file, Cloud::Aws, &Redactor::default(), &defects::known().unwrap()).unwrap();
        let reason = claims[0].reason.as_deref().unwrap();
        assert!(reason.contains("known upstream: scheduled-deletion-as-error"), "{reason}");
    }

    #[test]
    fn the_report_is_what_its_published_schema_says() {
        let schema = schemars::schema_for!(Report);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let file = crate::workspace().join("docs/report.schema.json");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap_or_default(), text, "UPDATE_DOCS=1 writes it");
        // The schema is that of the types, which have to take what others wrote by it.
        let of_scripts = fs::read_to_string(crate::workspace().join(".github/tests/report.json")).unwrap();
        let mut report: serde_json::Value = serde_json::from_str(&of_scripts).unwrap();
        serde_json::from_value::<Report>(report.clone()).unwrap();
        report["verdicts"][0]["outcome"] = "perhaps".into();
        assert!(serde_json::from_value::<Report>(report).is_err(), "they take anything");
    }

    #[test]
    fn what_is_written_is_read_again_and_another_form_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let report = example();
        let file = folder.path().join(data::FILE);
        assert!(Report::read(folder.path()).unwrap_err().to_string().contains("name the folder of a run"));
        fs::write(&file, report.json().unwrap()).unwrap();
        assert_eq!(Report::read(folder.path()).unwrap(), report);
        fs::write(&file, Report { schema: 2, ..report }.json().unwrap()).unwrap();
        assert!(Report::read(folder.path()).unwrap_err().to_string().contains("version 2"));
    }
}
