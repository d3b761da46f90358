//! Central metrics: whether a world's Prometheus runs with the configuration that was meant, and whether its samples
//! arrive at Grafana Cloud with the right labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, api::ListParams};
use serde::Deserialize;
use serde_json::Value;
use trinity_emulators::grafana::received::{Excerpt, Labels, Push, Sample};

use super::{
    cause::{Cause, Kind},
    remote_write::{self, Rules},
};
use crate::{
    failure::{Attempt, Failure, Result},
    observe::kinds,
    world::Description,
};

/// Namespace of Prometheus.
pub const NAMESPACE: &str = "observability";
/// Name of Prometheus' Deployment and Service; the Service's port is `http`.
pub const PROMETHEUS: &str = "prometheus";
/// Name of the ExternalSecret and the Secret with `url`, `username` and `password`.
pub const SECRET: &str = "grafana-cloud-remote-write";
/// What the platform asks of all clouds together. Each has an answer for every cloud and cluster.
pub const QUERIES: [&str; 3] = [
    r#"mandelbrot_render_requests_total{platform="trinity"}"#,
    r#"sum by (cloud, cluster) (mandelbrot_render_requests_total{platform="trinity"})"#,
    r#"sum by (cloud, cluster) (rate(mandelbrot_stage_renders_total{platform="trinity"}[5m]))"#,
];

/// Time for the first samples to arrive: two scrapes, and what remote write waits for more.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Scrapes in a row that fail before a target is down and not just late.
const SCRAPES: usize = 3;

/// Whether the platform has central metrics at all.
///
/// # Errors
/// When the API refuses.
pub async fn wanted(client: &Client) -> Result<bool> {
    let api = kinds::Kind::ExternalSecret.within(client, NAMESPACE);
    let found = api.get_opt(SECRET).await;
    Ok(found.attempting(|| format!("look for ExternalSecret {NAMESPACE}/{SECRET}"))?.is_some())
}

/// Waits until samples of every target of every job arrive after write number `since`, with the labels of this world and from targets
/// that are up. Ends at once when something keeps them from it for certain; the cause is the answer then.
///
/// # Errors
/// At the deadline, with what was seen; or when Prometheus or the gateway cannot be asked.
pub async fn arrive(client: &Client, world: &Description, since: u64) -> Result<Option<Cause>> {
    let running = Running::read(client).await?;
    if let Some(seen) = running.wrong() {
        let seen = format!("Deployment {NAMESPACE}/{PROMETHEUS}: {seen}");
        return Ok(Some(Cause::new(Kind::RenderedConfigWrong, seen)));
    }
    let jobs = running.jobs();
    let rules = Rules::of(world.cloud);
    let control = world.grafana_control()?;
    let begun = Instant::now();
    let mut received = Excerpt { latest: since, ..Excerpt::default() };
    loop {
        let news = control.writes(received.latest).await.attempting(|| "see what arrives".into())?;
        received.extend(news);
        if let Some(cause) = cause(&received, &rules) {
            return Ok(Some(cause));
        }
        let missing = not_yet(&received, &jobs, &targets(client).await?);
        if missing.is_empty() {
            return Ok(None);
        }
        if begun.elapsed() > ARRIVAL {
            // The sender comes again, and in vain.
            if let Some(write) = received.writes.last().filter(|write| write.status >= 429) {
                return Ok(Some(refused(write)));
            }
            let attempted = format!("see samples of {} arrive", jobs.iter().cloned().collect::<Vec<_>>().join(", "));
            let seen = format!("after {} s: {}", ARRIVAL.as_secs(), missing.join("; "));
            return Err(Failure::new(attempted, seen).next("read Prometheus' log, and gateway.jsonl for its requests"));
        }
    }
}

/// The certain cause in what has arrived, or not.
fn cause(received: &Excerpt, rules: &Rules) -> Option<Cause> {
    let refused = received.writes.iter().rev().find(|w| (400..500).contains(&w.status) && w.status != 429);
    if let Some(write) = refused {
        return Some(self::refused(write));
    }
    if let Some(violation) = remote_write::labels(&written(received), rules).into_iter().next() {
        return Some(violation.cause());
    }
    // The samples' order within a series is that of time.
    let mut down: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, sample) in received.samples().filter(|(labels, _)| remote_write::metric(labels) == "up") {
        let failed = down.entry(sample.series).or_default();
        *failed = if sample.value == Some(0.0) { *failed + 1 } else { 0 };
    }
    let (series, failed) = down.into_iter().find(|(_, failed)| *failed >= SCRAPES)?;
    let label = |name: &str| received.series[series].get(name).cloned().unwrap_or_default();
    let (instance, job) = (label("instance"), label("job"));
    let seen = format!("Prometheus does not reach {instance} of job {job}: {failed} scrapes in a row have failed");
    Some(Cause::new(Kind::ScrapeTargetDown, seen))
}

/// Only the series that its writes have samples of.
fn written(received: &Excerpt) -> Excerpt {
    let places: BTreeSet<usize> = received.samples().map(|(_, sample)| sample.series).collect();
    let series = places.iter().filter_map(|place| received.series.get(*place).cloned()).collect();
    Excerpt { series, ..Excerpt::default() }
}

/// Grafana Cloud does not take a write.
fn refused(write: &Push) -> Cause {
    let (status, code) = (write.status, write.refusal.as_deref().unwrap_or("no reason"));
    let cause = Cause::new(
        Kind::RemoteWriteRefused,
        format!("Grafana Cloud answers {status} ({code}) to what Prometheus writes"),
    );
    match status {
        401 | 403 => cause.next(
            "compare username and password in the backend with the stack's user and its token, and the token's scopes",
        ),
        404 => cause.next("compare the path of the url in the backend with the stack's remote write endpoint"),
        429 => cause.next("raise the stack's limits, or send less"),
        500.. => cause.next("look at Grafana Cloud's status page; the sender comes again by itself"),
        _ => cause,
    }
}

/// The jobs without a target, and the targets that have not been seen up. A scrape's `up` is the last of its samples.
fn not_yet(received: &Excerpt, jobs: &BTreeSet<String>, targets: &[Labels]) -> Vec<String> {
    let up = |sample: &Sample| sample.value == Some(1.0);
    let ups = received.samples().filter(|(labels, sample)| remote_write::metric(labels) == "up" && up(sample));
    let ups: BTreeSet<&Labels> = ups.map(|(labels, _)| labels).collect();
    let seen =
        |target: &&Labels| ups.iter().any(|labels| target.iter().all(|(name, value)| labels.get(name) == Some(value)));
    let of = |job: &&String| targets.iter().any(|target| target.get("job") == Some(*job));
    let writes = received.writes.len();
    let without = jobs.iter().filter(|job| !of(job)).map(|job| format!("job {job} has no target"));
    let unseen = targets.iter().filter(|target| !seen(target)).map(|target| {
        let label = |name: &str| target.get(name).map_or("", String::as_str);
        let (instance, job) = (label("instance"), label("job"));
        format!("no sample says that {instance} of job {job} is up ({writes} writes arrived)")
    });
    without.chain(unseen).collect()
}

/// The labels of what Prometheus scrapes now.
async fn targets(client: &Client) -> Result<Vec<Labels>> {
    #[derive(Deserialize)]
    struct Answer {
        data: Targets,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Targets {
        active_targets: Vec<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        labels: Labels,
    }
    let answer = ask(client, "api/v1/targets?state=active").await?;
    let answer: Answer = serde_json::from_str(&answer).attempting(|| "understand Prometheus' targets".into())?;
    Ok(answer.data.active_targets.into_iter().map(|target| target.labels).collect())
}

/// The configuration with which Prometheus runs, and what it was made from.
pub struct Running {
    /// As Prometheus prints it.
    pub text: String,
    config: Value,
    url: String,
    templates: String,
}

impl Running {
    /// Asks Prometheus through the API server, and reads the Secret.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub async fn read(client: &Client) -> Result<Self> {
        let attempted = || "read the configuration with which Prometheus runs".to_owned();
        let answer = ask(client, "api/v1/status/config").await?;
        let answer: Value = serde_json::from_str(&answer).attempting(attempted)?;
        let text = answer["data"]["yaml"].as_str().unwrap_or_default().to_owned();
        let config = serde_yaml::from_str(&text).attempting(attempted)?;
        let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
        let secret = secrets.get(SECRET).await.attempting(|| format!("read Secret {NAMESPACE}/{SECRET}"))?;
        let url = secret.data.and_then(|data| data.get("url").map(|v| String::from_utf8_lossy(&v.0).into_owned()));
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let maps = maps.list(&ListParams::default()).await.attempting(|| format!("list ConfigMaps in {NAMESPACE}"))?;
        let templates: Vec<String> = maps.into_iter().flat_map(|m| m.data.unwrap_or_default().into_values()).collect();
        Ok(Self { text, config, url: url.unwrap_or_default(), templates: templates.join("\n") })
    }

    /// The URLs of remote write.
    fn urls(&self) -> Vec<&str> {
        let all = self.config["remote_write"].as_array().into_iter().flatten();
        all.filter_map(|write| write["url"].as_str()).collect()
    }

    /// The jobs that it scrapes.
    pub fn jobs(&self) -> BTreeSet<String> {
        let all = self.config["scrape_configs"].as_array().into_iter().flatten();
        all.filter_map(|job| job["job_name"].as_str()).map(Into::into).collect()
    }

    /// How the running URL differs from the one in the Secret; nothing when it does not. Neither is shown.
    pub fn wrong(&self) -> Option<String> {
        let urls = self.urls();
        let Some(running) = urls.first() else { return Some("it runs without remote_write".into()) };
        if urls.contains(&self.url.as_str()) {
            return None;
        }
        if self.templates.contains(&format!("url: {running}\n")) {
            return Some(format!("the template is not rendered: remote_write[0].url is its own text {running:?}"));
        }
        let same = running.chars().zip(self.url.chars()).take_while(|(a, b)| a == b).count();
        let at = self.url.chars().nth(same).map_or_else(|| "its end".into(), |c| format!("{c:?}"));
        Some(format!(
            "remote_write[0].url is not the url in Secret {SECRET}: they have {} and {} characters and agree in the first \
             {same}, where the Secret has {at}",
            running.chars().count(),
            self.url.chars().count(),
        ))
    }
}

/// A page of Prometheus, through the API server.
///
/// # Errors
/// When it does not answer.
pub async fn ask(client: &Client, page: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/services/{PROMETHEUS}:http/proxy/{page}");
    let attempted = || format!("ask Prometheus for {page}");
    let request = http::Request::get(path).body(Vec::new()).attempting(attempted)?;
    client.request_text(request).await.attempting(attempted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Cloud;

    fn running(running: &str, secret: &str, template: &str) -> Running {
        let config = serde_json::json!({"remote_write": [{"url": running}], "scrape_configs": [{"job_name": "a"}]});
        Running { text: String::new(), config, url: secret.into(), templates: format!("  - url: {template}\n") }
    }

    #[test]
    fn a_url_that_was_not_meant_is_described_and_not_shown() {
        assert_eq!(running("https://a/push", "https://a/push", "__URL__").wrong(), None);
        assert_eq!(
            running("__URL__", "https://a/push", "__URL__").wrong().unwrap(),
            r#"the template is not rendered: remote_write[0].url is its own text "__URL__""#
        );
        let corrupted = running("https://a/push?a=1__URL__b=2", "https://a/push?a=1&b=2", "__URL__").wrong().unwrap();
        assert!(corrupted.ends_with("agree in the first 18, where the Secret has '&'"), "{corrupted}");
        let cut = running("https://a/pushed", "https://a/push", "__URL__").wrong().unwrap();
        assert!(cut.ends_with("where the Secret has its end") && !cut.contains("https"), "{cut}");
        let without = Running { config: Value::Null, ..running("", "", "") };
        assert_eq!(without.wrong().unwrap(), "it runs without remote_write");
        assert_eq!(running("a", "a", "").jobs(), ["a".to_owned()].into());
    }

    fn received(labels: &[(&str, &str)], status: u16, ups: &[f64]) -> Excerpt {
        let own = [
            ("__name__", "up"),
            ("job", "a"),
            ("cloud", "aws"),
            ("cluster", "trinity-dev-aws"),
            ("platform", "trinity"),
        ];
        let series: Labels = own.iter().chain(labels).map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let samples = ups.iter().zip(0..).map(|(up, time)| Sample { series: 0, time, value: Some(*up), stale: false });
        let write = Push {
            number: 1,
            time: jiff::Timestamp::UNIX_EPOCH,
            user: "1".into(),
            token: "write".into(),
            attempt: 0,
            status,
            refusal: (status != 200).then(|| "invalid token".into()),
            samples: samples.collect(),
        };
        Excerpt { series: vec![series], writes: vec![write], latest: 1, ..Excerpt::default() }
    }

    #[test]
    fn what_arrives_names_its_cause() {
        let rules = Rules::of(Cloud::Aws);
        let name = |received: &Excerpt| cause(received, &rules).map(|cause| cause.name());
        assert_eq!(name(&received(&[], 200, &[1.0])), None);
        assert_eq!(name(&received(&[], 401, &[])), Some("remote-write-refused"));
        assert_eq!(name(&received(&[], 429, &[])), None, "the sender comes again");
        assert_eq!(name(&received(&[], 500, &[])), None, "the sender comes again");
        assert_eq!(name(&received(&[("cloud", "gcp")], 200, &[1.0])), Some("label-foreign"));
        assert_eq!(name(&received(&[], 200, &[0.0, 0.0, 0.0])), Some("scrape-target-down"));
        assert_eq!(name(&received(&[], 200, &[0.0, 0.0, 1.0, 0.0])), None, "it was late, not down");
    }

    #[test]
    fn every_target_of_every_job_has_to_be_up() {
        let jobs = ["a".to_owned(), "b".to_owned()].into();
        let target = |instance: &str| -> Labels {
            [("job", "a"), ("instance", instance)].map(|(k, v)| (k.into(), v.into())).into()
        };
        let one = received(&[("instance", "i")], 200, &[1.0]);
        assert_eq!(not_yet(&one, &jobs, &[target("i")]), ["job b has no target"]);
        let jobs = ["a".to_owned()].into();
        assert_eq!(not_yet(&one, &jobs, &[target("i")]), [""; 0]);
        let other = ["no sample says that j of job a is up (1 writes arrived)"];
        assert_eq!(not_yet(&one, &jobs, &[target("i"), target("j")]), other);
        assert_eq!(not_yet(&received(&[("instance", "i")], 200, &[0.0]), &jobs, &[target("i")]).len(), 1);
    }
}
