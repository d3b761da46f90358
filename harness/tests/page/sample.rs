//! Reports to make pages of.

use serde_json::{Value, json};
use trinity_e2e::report::data::Report;

/// Texts that would do something if they were taken for markup.
pub const HOSTILE: [&str; 4] = [
    "</script><img src=x onerror=\"window.owned=1\"><script>window.owned=1</script>",
    "<!--<script>",
    "javascript:window.owned=1//\"'`${window.owned=1}&lt;b&gt;",
    "<svg onload=window.owned=1><iframe srcdoc='<script>parent.owned=1</script>'></svg>",
];

const CLOUDS: [&str; 3] = ["aws", "gcp", "azure"];

/// A run of three clouds of which one fails, with verdicts of every outcome, texts of every length, and hostile ones.
pub fn mixed() -> Report {
    serde_json::from_value(mixture()).unwrap()
}

fn mixture() -> Value {
    let clouds: Vec<Value> = CLOUDS.iter().enumerate().map(|(place, cloud)| world(cloud, place)).collect();
    let mut verdicts = Vec::new();
    for (place, cloud) in CLOUDS.iter().enumerate() {
        let broken = place == 0;
        for wrong in
            ["a forged signature", "another audience", "another subject", "an expired token", "another cluster's token"]
        {
            verdicts.push(json!({"cloud": cloud, "subject": "canaries", "claim": format!("{wrong} is refused"), "outcome": "passed", "seconds": 0.04}));
        }
        verdicts.push(match broken {
            true => json!({
                "cloud": cloud, "subject": "platform", "claim": "trinity-root-aws and all its applications are Synced and Healthy",
                "outcome": "failed", "seconds": 41.7,
                "reason": "identity-refused: the role does not trust the operator's token\n  next: compare the role's trust policy",
                "cause": {
                    "kind": "identity-refused",
                    "evidence": [
                        "AccessDenied: role trinity-external-secrets: oidc.eks.us-west-2.amazonaws.com/id/5F1A:aud shall be sts.us-west-2.amazonaws.com (StringEquals) and is sts.amazonaws.com",
                        "ClusterSecretStore aws-secrets-manager: InvalidProviderConfig: unable to assume role arn:aws:iam::111122223333:role/trinity-external-secrets",
                        HOSTILE[0],
                    ],
                    "next": "compare the role's trust policy with the token's issuer, audience and subject",
                },
            }),
            false => json!({"cloud": cloud, "subject": "platform", "claim": format!("trinity-root-{cloud} and all its applications are Synced and Healthy"), "outcome": "passed", "seconds": 38.21 + place as f64}),
        });
        for claim in [
            "order of sync waves",
            "samples of every target arrive with the cloud's labels",
            "no secret value is where it does not belong",
            "nothing outside was called that the platform does not name",
        ] {
            verdicts.push(match broken {
                true => json!({"cloud": cloud, "subject": "suites", "claim": claim, "outcome": "not-run", "seconds": 0.0, "reason": "the platform did not come up"}),
                false => json!({"cloud": cloud, "subject": "suites", "claim": claim, "outcome": "passed", "seconds": 3.4}),
            });
        }
    }
    verdicts.push(json!({"subject": "operator", "claim": "External Secrets 2.4.1 is what ran", "outcome": "unproven", "seconds": 0.0, "reason": "no source has it: 0.20.4 stood in"}));
    verdicts.push(json!({"subject": HOSTILE[1], "claim": HOSTILE[0], "outcome": "failed", "seconds": 0.1, "note": HOSTILE[1], "reason": HOSTILE[3], "cause": {"kind": HOSTILE[2], "evidence": [HOSTILE[2]], "next": HOSTILE[3]}}));
    let mut counts = json!({"passed": 0, "failed": 0, "unproven": 0, "not-run": 0});
    for verdict in &verdicts {
        let outcome = verdict["outcome"].as_str().unwrap();
        counts[outcome] = json!(counts[outcome].as_u64().unwrap() + 1);
    }
    json!({
        "schema": 1, "run": "1a2b3c4d", "begun": "2026-11-28T18:00:00Z", "seconds": 171.2, "version": "0.1.0",
        "headline": "fixtures/platforms/trinity on aws, gcp and azure with External Secrets 2.4.1, Kubernetes 1.34.4, Argo CD 3.2.11",
        "conclusion": "failed", "time": "171.2 s, most of it: azure suites 53.8 s, azure platform 43.0 s, azure metrics 25.3 s",
        "substituted": ["docker.io/grafana/grafana:11.2.2", HOSTILE[0]],
        "clouds": clouds,
        "phases": [
            {"name": "components", "begun": 0.1, "seconds": 2.4, "critical": true},
            {"name": "platform rendered", "begun": 2.5, "seconds": 1.3, "critical": true},
            {"name": "suites compiled", "begun": 0.4, "seconds": 21.6, "critical": false},
            {"name": "central queries", "begun": 158.0, "seconds": 8.2, "critical": true},
            {"name": "report", "begun": 166.2, "seconds": 5.0, "critical": true},
        ],
        "verdicts": verdicts, "counts": counts,
        "components": [
            {"name": "argocd", "version": "3.2.11", "origin": "cache, built from source"},
            {"name": "docker.io/prom/prometheus", "version": "v2.55.1", "origin": "composed on this machine"},
            {"name": "ghcr.io/external-secrets/external-secrets", "version": "v2.4.1", "origin": "mirror images/external-secrets-v2.4.1.tar.zst"},
            {"name": HOSTILE[0], "version": "1", "origin": HOSTILE[3]},
        ],
        "queries": [
            {"query": "sum by (cloud) (rate(trinity_secret_reads_total[5m]))", "answers": ["{cloud=\"aws\"} 0.21", "{cloud=\"gcp\"} 0.2"]},
            {"query": HOSTILE[0], "answers": [HOSTILE[3]]},
        ],
    })
}

fn world(cloud: &str, place: usize) -> Value {
    let (broken, later) = (place == 0, place as f64 * 1.3);
    let mut phases = Vec::new();
    let mut begun = 3.8;
    for (name, seconds) in [
        ("cluster", 9.4),
        ("argo cd", 12.8),
        ("platform", 41.7),
        ("metrics", 24.0),
        ("suites", 52.5),
        ("report", 2.1),
        ("leaks", 6.2),
        ("teardown", 1.4),
    ] {
        if broken && ["metrics", "suites"].contains(&name) {
            continue;
        }
        let seconds = seconds + later / 2.0;
        phases.push(json!({"name": name, "begun": begun, "seconds": seconds, "critical": place == 2}));
        begun += seconds;
    }
    let mut timeline = Vec::new();
    let mut told = |at: f64, lane: &str, object: String, what: &str, outcome: &str| {
        timeline.push(json!({"at": at + later, "lane": lane, "object": object, "what": what, "outcome": outcome}));
    };
    for (n, app) in ["root", "external-secrets", "secrets", "workloads", "observability"].iter().enumerate() {
        let at = 27.0 + n as f64 * 4.0;
        told(at, "applications", format!("Application trinity-{app}-{cloud}"), "OutOfSync, Missing", "neutral");
        told(at + 3.0, "applications", format!("Application trinity-{app}-{cloud}"), "Synced, Progressing", "neutral");
        told(
            at + 11.0,
            "applications",
            format!("Application trinity-{app}-{cloud}"),
            if broken && n == 2 { "Synced, Degraded" } else { "Synced, Healthy" },
            if broken && n == 2 { "bad" } else { "good" },
        );
    }
    for pod in 0..14 {
        let name = format!("Pod trinity-system/mandelbrot-{pod}-7c9f6d5b84-x{pod}k2p");
        let at = 40.0 + f64::from(pod) * 1.7;
        told(at, "pods", name.clone(), "Pending", "neutral");
        told(at + 2.0, "pods", name.clone(), "Running", "neutral");
        told(at + 6.5, "pods", name, "Ready", "good");
    }
    let store = format!("ClusterSecretStore {cloud}-secrets");
    told(36.0, "stores", store.clone(), "created", "neutral");
    told(37.5, "stores", store, if broken { HOSTILE[0] } else { "Ready" }, if broken { "bad" } else { "good" });
    for n in 0..4 {
        let (what, outcome) =
            if broken { ("SecretSyncedError: could not get provider client", "bad") } else { ("SecretSynced", "good") };
        told(
            44.0 + f64::from(n) * 2.0,
            "secrets",
            format!("ExternalSecret observability/remote-write-{n}"),
            what,
            outcome,
        );
    }
    for n in 0..120 {
        let refused = broken && n % 3 == 0;
        told(
            30.0 + f64::from(n) * 0.71,
            "requests",
            format!("{cloud} GetSecretValue"),
            if refused { "403 AccessDenied" } else { "200" },
            if refused { "bad" } else { "good" },
        );
    }
    told(61.0, "requests", HOSTILE[0].into(), HOSTILE[3], "bad");
    timeline.push(json!({
        "at": 64.0 + later, "until": 140.0 + later, "count": 31, "lane": "requests", "object": format!("{cloud} push"),
        "what": "200", "outcome": "good",
    }));
    for (wave, length) in [(-2, 4.0), (0, 9.0), (5, 14.0)] {
        let at = 29.0 + f64::from(wave + 2) * 3.0;
        timeline.push(json!({"at": at, "until": at + length, "lane": "waves", "object": format!("trinity-root-{cloud}"), "what": format!("wave {wave}"), "outcome": "good"}));
    }
    let link = |link: &str, outcome: &str, seen: &str| json!({"link": link, "outcome": outcome, "seen": seen});
    let chain = match broken {
        true => json!([
            link(
                "service account",
                "passed",
                "external-secrets/external-secrets with the role arn:aws:iam::111122223333:role/trinity-external-secrets"
            ),
            link(
                "token",
                "passed",
                "audience sts.amazonaws.com, subject system:serviceaccount:external-secrets:external-secrets"
            ),
            link(
                "exchange",
                "failed",
                "AssumeRoleWithWebIdentity: AccessDenied: aud shall be sts.us-west-2.amazonaws.com and is sts.amazonaws.com"
            ),
            link("permission", "not-run", "was not asked for"),
            link("value", "not-run", ""),
        ]),
        false => json!([
            link("service account", "passed", "external-secrets/external-secrets"),
            link("token", "passed", "signed by the cluster, audience as bound"),
            link("exchange", "passed", "a token of the cloud, for an hour"),
            link("permission", "passed", "only the platform's secrets"),
            link("value", "passed", "3 Secrets hold what the cloud has"),
        ]),
    };
    let secret = |name: &str| {
        let (store_state, state, holds) = match broken {
            true => ("InvalidProviderConfig", "SecretSyncedError", "missing"),
            false => ("Valid", "SecretSynced", "password digest:8f14e45fceea, username digest:c9f0f895fb98"),
        };
        json!({
            "store": format!("{cloud}-secrets"), "store_state": store_state, "external_secret": name, "state": state,
            "ready": !broken, "secret": name, "holds": holds,
        })
    };
    json!({
        "cloud": cloud, "world": format!("{cloud}-1a2b"), "phases": phases, "chain": chain, "timeline": timeline,
        "memory": 1_181_116_006 + place * 90_000_000, "left_out": place * 12,
        "secrets": [secret("observability/grafana-cloud-remote-write"), secret("trinity-system/provider-test")],
    })
}

/// The same with so many entries in its timeline, of so many objects.
pub fn long(entries: usize, objects: usize) -> Report {
    let mut report = mixture();
    let share = entries / CLOUDS.len();
    for cloud in report["clouds"].as_array_mut().unwrap() {
        let entry = |n: usize| {
            let object = format!("ExternalSecret scale/secret-{}", n % (objects / CLOUDS.len()));
            let at = 20.0 + n as f64 * 140.0 / share as f64;
            json!({"at": at, "lane": "secrets", "object": object, "what": "SecretSynced", "outcome": "good"})
        };
        cloud["timeline"] = (0..share).map(entry).collect();
    }
    serde_json::from_value(report).unwrap()
}
