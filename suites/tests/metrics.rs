//! Central metrics: from the credentials in the cloud's backend to labelled samples in Grafana Cloud.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};
use rstest::rstest;
use suites::{
    Cloud, DEADLINE, hold,
    metrics::{MANDELBROT, Metrics, WORKLOADS},
};
use trinity_e2e::{
    judge::{
        leaks::sentinel::unique,
        metrics::{NAMESPACE, QUERIES, Running, SECRET},
        remote_write::{self, Rules},
    },
    observe::{Expectation, answered, condition, kinds::Kind},
};
use trinity_emulators::grafana::received::{Excerpt, Labels, Push, Sample};

const PARTS: [&str; 3] = ["url", "username", "password"];
const REQUESTS: &str = "mandelbrot_render_requests_total";
/// The platform's scrape interval (milliseconds).
const INTERVAL: i64 = 2_000;

fn of_mandelbrot(series: &Labels) -> bool {
    series.get("job").is_some_and(|job| job == MANDELBROT)
}

/// Samples of a metric of mandelbrot's, in the order of their arrival.
fn samples<'a>(received: &'a Excerpt, metric: &'a str) -> impl Iterator<Item = &'a Sample> {
    let of = move |labels: &Labels| of_mandelbrot(labels) && remote_write::metric(labels) == metric;
    received.samples().filter(move |(labels, _)| of(labels)).map(|(_, sample)| sample)
}

/// The last sample of a metric that has arrived has this value: an earlier one may be of an earlier Pod.
fn arrives(metric: &'static str, value: f64) -> impl Fn(&Excerpt) -> Expectation {
    move |received| match samples(received, metric).last().and_then(|sample| sample.value) {
        Some(last) if last == value => Expectation::Held,
        last => Expectation::Pending(format!("the last sample of {metric} is {last:?}")),
    }
}

/// Every series of mandelbrot's has a sample that is not older than a time.
fn caught_up(time: i64) -> impl Fn(&Excerpt) -> Expectation {
    move |received| {
        let late = remote_write::arrivals(received, of_mandelbrot)
            .into_iter()
            .find(|(_, arrival)| arrival.times.last().is_none_or(|last| *last < time));
        match late {
            Some((series, _)) => Expectation::Pending(format!("{} is late", remote_write::metric(series))),
            None if samples(received, "up").next().is_none() => Expectation::pending("nothing has arrived"),
            None => Expectation::Held,
        }
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn credentials_are_materialised(#[case] cloud: Cloud) {
    let metrics = Metrics::find(cloud).await;
    let (subject, client) = (&metrics.subject, &metrics.subject.client);
    let external = Kind::ExternalSecret.within(client, NAMESPACE);
    let what = format!("ExternalSecret {SECRET} is SecretSynced");
    hold(subject.see(external, SECRET, &what, condition::ready_because("SecretSynced")).await);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    for part in PARTS {
        let value = metrics.backend(part).await;
        let what = format!("the Secret's {part} is the backend's");
        hold(subject.see(secrets.clone(), SECRET, &what, condition::holds(part, &value)).await);
    }
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn running_configuration_is_rendered_and_holds_no_credentials(#[case] cloud: Cloud) {
    let metrics = Metrics::find(cloud).await;
    let client = &metrics.subject.client;
    let (pod, running) = (metrics.pod().await, hold(Running::read(client).await));
    assert_eq!(running.wrong(), None);
    let jobs: BTreeSet<String> = ["mandelbrot", "prometheus"].map(Into::into).into();
    assert_eq!(running.jobs(), jobs);
    assert!(running.text.contains("username_file:") && running.text.contains("password_file:"), "{}", running.text);

    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let log = async |container: &str| {
        let parameters = LogParams { container: Some(container.into()), ..LogParams::default() };
        pods.logs(&pod.name_any(), &parameters).await.expect("the log can be read")
    };
    // What a container has said reaches the log a little later than the container's end reaches its status.
    let told = async |container: &str, text: &str| {
        let what = format!("container {container} say {text:?}");
        let ask = async || if log(container).await.contains(text) { Ok(()) } else { Err("its log does not") };
        hold(answered(&what, DEADLINE, ask).await);
        log(container).await
    };
    let rendering = told("render-prometheus-config", "rendered prometheus.yml").await;
    let serving = told("prometheus", "Completed loading of configuration file").await;

    let maps: Api<ConfigMap> = Api::all(client.clone());
    let maps = maps.list(&ListParams::default()).await.expect("ConfigMaps can be listed");
    let maps = maps.into_iter().map(|m| (format!("ConfigMap {}", m.name_any()), format!("{:?}", m.data)));
    let texts =
        [("the init container's log", rendering), ("Prometheus' log", serving), ("its configuration", running.text)];
    let texts: Vec<(String, String)> =
        texts.map(|(name, text)| (name.to_owned(), text)).into_iter().chain(maps).collect();
    for part in ["username", "password"] {
        let value = metrics.backend(part).await;
        assert!(value.len() > 5, "the {part} could be anywhere by chance");
        for (name, text) in &texts {
            assert!(!text.contains(&value), "the {part} is in {name}");
        }
    }
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn labels_are_the_worlds_and_no_secret_is_among_them(#[case] cloud: Cloud) {
    let metrics = Metrics::find(cloud).await;
    let received = hold(metrics.received("a sample of mandelbrot", caught_up(0)).await);
    let violations = remote_write::labels(&received, &Rules::of(cloud));
    assert!(violations.is_empty(), "{violations:?}");
    // The negative twin: to the judge of another world the same series are another's.
    let other = if cloud == Cloud::Aws { Cloud::Gcp } else { Cloud::Aws };
    assert!(!remote_write::labels(&received, &Rules::of(other)).is_empty());

    let mut secrets = vec![metrics.backend("password").await];
    for token in ["write", "next", "read"] {
        secrets.extend(metrics.grafana.secret(token).await);
    }
    assert_eq!(remote_write::secrets(&received, &secrets), [""; 0]);
    assert!(!remote_write::secrets(&received, &[cloud.name().to_owned()]).is_empty(), "the search finds nothing");
}

/// What changes mandelbrot, one after the other.
mod workload {
    use super::*;

    #[rstest]
    #[case::aws(Cloud::Aws)]
    #[case::gcp(Cloud::Gcp)]
    #[case::azure(Cloud::Azure)]
    #[tokio::test]
    async fn queries_answer_with_what_was_counted(#[case] cloud: Cloud) {
        let metrics = Metrics::find(cloud).await;
        let before = metrics.counted().await;
        let rendered = metrics.render(20).await;
        let total = metrics.counted().await;
        assert_eq!(total, before + f64::from(rendered), "mandelbrot has counted otherwise");
        let received = hold(metrics.received("mandelbrot's count", arrives(REQUESTS, total)).await);
        let time = samples(&received, REQUESTS).last().expect("it has arrived").time;
        // What is of one scrape can come in several writes.
        let received = hold(metrics.received("all series of that scrape", caught_up(time)).await);

        let [requests, sums, rates] = QUERIES;
        for query in [requests, sums] {
            let answers = metrics.central(query, time).await;
            let own: Vec<f64> = answers.iter().filter(|s| is_of(s, cloud)).map(|s| s.value).collect();
            assert_eq!(own, [total], "{query} gives {answers:?}");
        }
        let answers = metrics.central(rates, time).await;
        let [rate] = answers.iter().filter(|s| is_of(s, cloud)).map(|s| s.value).collect::<Vec<_>>()[..] else {
            panic!("{rates} gives {answers:?}");
        };
        let (least, most) = bounds(&received, time);
        assert!(least > 0.0 && least <= rate && rate <= most, "{rates} gives {rate}, expected {least} to {most}");
    }

    fn is_of(sample: &trinity_e2e::observe::promql::Sample, cloud: Cloud) -> bool {
        let has = |label: &str, value: String| sample.labels.get(label) == Some(&value);
        has("cloud", cloud.to_string()) && has("cluster", format!("trinity-dev-{cloud}"))
    }

    /// What the rate of all stages' renders in five minutes can be: their increase, and what Prometheus adds for the time
    /// before the first and after the last sample, no more than 1.1 intervals at each end.
    fn bounds(received: &Excerpt, time: i64) -> (f64, f64) {
        const WINDOW: i64 = 300_000;
        let within = |sample: &&Sample| sample.time > time - WINDOW && sample.time <= time;
        let stages: Vec<&Sample> = samples(received, "mandelbrot_stage_renders_total").filter(within).collect();
        let series: BTreeSet<usize> = stages.iter().map(|sample| sample.series).collect();
        let (mut least, mut most) = (0.0, 0.0);
        for one in series {
            let points: Vec<(i64, f64)> =
                stages.iter().filter(|s| s.series == one).filter_map(|s| Some((s.time, s.value?))).collect();
            // A counter that fell began anew from zero.
            let increase: f64 = points.windows(2).map(|p| if p[1].1 < p[0].1 { p[1].1 } else { p[1].1 - p[0].1 }).sum();
            let covered = points.last().map_or(0, |p| p.0) - points.first().map_or(0, |p| p.0);
            let stretch = 1.0 + 2.2 / (points.len() as f64 - 1.0).max(1.0);
            least += increase / 300.0 * 0.999;
            most += increase / 300.0 * if covered > 0 { stretch } else { 0.0 };
        }
        (least, most)
    }

    #[rstest]
    #[case::aws(Cloud::Aws)]
    #[case::gcp(Cloud::Gcp)]
    #[case::azure(Cloud::Azure)]
    #[tokio::test]
    async fn series_of_a_stopped_target_end(#[case] cloud: Cloud) {
        let metrics = Metrics::find(cloud).await;
        metrics.scale(0).await;
        let stopped = now();
        // What is of one scrape can come in several writes.
        let ended = |received: &Excerpt| match samples(received, REQUESTS).last() {
            Some(last) if !last.stale || last.time < stopped => {
                Expectation::pending("its last sample is none that ends it")
            }
            Some(last) if samples(received, "up").any(|up| up.time == last.time) => Expectation::Held,
            Some(_) => Expectation::pending("its end has arrived, and up of that scrape has not"),
            None => Expectation::pending("it has never arrived"),
        };
        let seen = metrics.received("the end of mandelbrot's series", ended).await;
        // Whatever was seen: others go on with it.
        metrics.scale(1).await;
        let received = hold(seen);
        let marker = samples(&received, REQUESTS).last().expect("it was seen").time;
        let query = format!(r#"{REQUESTS}{{cloud="{cloud}"}}"#);
        assert_eq!(metrics.central(&query, marker).await, [], "a query still has it");
        let up = metrics.central(&format!(r#"up{{cloud="{cloud}",job="{MANDELBROT}"}}"#), marker).await;
        assert_eq!(up.iter().map(|s| s.value).collect::<Vec<_>>(), [0.0]);

        let deployments: Api<Deployment> = Api::namespaced(metrics.subject.client.clone(), WORKLOADS);
        let what = "mandelbrot is Available again";
        hold(metrics.subject.see(deployments, MANDELBROT, what, condition::available).await);
        let started = now();
        let again = |received: &Excerpt| match samples(received, "up").any(|s| s.value == Some(1.0) && s.time > started)
        {
            true => Expectation::Held,
            false => Expectation::pending("mandelbrot is not up"),
        };
        hold(metrics.received("mandelbrot again", again).await);
        let rendered = metrics.render(3).await;
        hold(metrics.received("the count of the new Pod", arrives(REQUESTS, f64::from(rendered))).await);
    }
}

/// What troubles the sender, one after the other and in the order of their names. The first one refuses a first attempt:
/// after the outage a write may be at its ninth, which waits a minute and a half. The last one restarts Prometheus, which
/// then knows nothing of what it has scraped before.
mod sender {
    use std::time::Duration;

    use kube::api::DeleteParams;
    use trinity_e2e::{judge::metrics::PROMETHEUS, observe::until};
    use trinity_emulators::{
        fault::{Effect, Fault},
        grafana::declared::Declared,
        journal::{self, Line},
    };

    use super::*;

    /// How long the receiver is away.
    const OUTAGE: Duration = Duration::from_secs(30);
    const PUSH: &str = "grafana:Push";

    async fn cause(metrics: &Metrics, count: u32, effect: Effect) {
        let fault = Fault { operation: PUSH.into(), count, effect };
        metrics.grafana.cause(&[fault]).await.expect("the gateway takes a fault");
    }

    /// The gateway's lines about remote writes that came after a time; one that was under way then is none.
    fn pushes(metrics: &Metrics, since: i64) -> Vec<Line> {
        let lines = journal::read(&metrics.subject.world.journal).expect("the gateway's journal can be read");
        let came = |l: &Line| l.time.as_millisecond().saturating_sub_unsigned(l.milliseconds);
        lines.into_iter().filter(|l| l.note.action.as_deref() == Some(PUSH) && came(l) > since).collect()
    }

    /// The first write since a time that is not its sender's first attempt.
    fn retried(received: &Excerpt, since: i64) -> Option<&Push> {
        received.writes.iter().find(|w| w.attempt > 0 && w.status == 200 && w.time.as_millisecond() >= since)
    }

    /// How many samples of each of mandelbrot's metrics both sides have in the seconds up to a time: the world's Prometheus
    /// and Grafana Cloud.
    async fn counts(metrics: &Metrics, received: &Excerpt, seconds: i64, time: i64) -> [BTreeMap<String, f64>; 2] {
        let cloud = metrics.subject.world.cloud;
        let names: BTreeSet<&str> =
            received.series.iter().filter(|s| of_mandelbrot(s)).map(remote_write::metric).collect();
        let mut counts = [BTreeMap::new(), BTreeMap::new()];
        for name in names {
            let count = |labels: &str| format!("sum(count_over_time({name}{{{labels}}}[{seconds}s]))");
            let own = format!(r#"job="{MANDELBROT}""#);
            let local = metrics.local(&count(&own), time).await;
            let central = metrics.central(&count(&format!(r#"{own},cloud="{cloud}""#)), time).await;
            for (counts, samples) in counts.iter_mut().zip([local, central]) {
                counts.insert(name.to_owned(), samples.iter().map(|s| s.value).sum());
            }
        }
        counts
    }

    #[rstest]
    #[case::aws(Cloud::Aws)]
    #[case::gcp(Cloud::Gcp)]
    #[case::azure(Cloud::Azure)]
    #[tokio::test]
    async fn a_sender_comes_again_when_it_is_told_to(#[case] cloud: Cloud) {
        let metrics = Metrics::find(cloud).await;
        for effect in [Effect::Throttled, Effect::Internal] {
            let begun = now();
            cause(&metrics, 1, effect).await;
            let again = |received: &Excerpt| match retried(received, begun) {
                Some(_) => caught_up(begun)(received),
                None => Expectation::pending("it has not come again"),
            };
            let received = hold(metrics.received("samples after the refusal", again).await);
            let lines = pushes(&metrics, begun);
            let refused = lines.iter().find(|l| l.status >= 429).expect("it was refused").time;
            let pause = retried(&received, begun).expect("it was seen").time.duration_since(refused);
            assert!(pause.as_millis() >= 6_000, "it came again after {pause:?}, and was told to wait 6 s");
            // Up to what has arrived for certain.
            let [local, central] = counts(&metrics, &received, 2 * INTERVAL / 1000, begun).await;
            let scraped = local.get("up").is_some_and(|count| *count > 0.0);
            assert!(scraped, "hardly anything was scraped: {local:?}");
            assert_eq!(local, central, "scraped and received differ");
        }
    }

    #[rstest]
    #[case::aws(Cloud::Aws)]
    #[case::gcp(Cloud::Gcp)]
    #[case::azure(Cloud::Azure)]
    #[tokio::test]
    async fn b_outage_of_the_receiver_loses_nothing(#[case] cloud: Cloud) {
        let metrics = Metrics::find(cloud).await;
        cause(&metrics, u32::MAX, Effect::Reset).await;
        let begun = now();
        // The outage itself: its length is what is tried.
        tokio::time::sleep(OUTAGE).await;
        let failed = pushes(&metrics, begun);
        metrics.grafana.cause(&[]).await.expect("the gateway takes no fault");
        let ended = now();
        assert!(failed.len() > 2, "the outage was hardly noticed: {} writes have failed", failed.len());
        assert!(failed.iter().all(|line| line.status == 0), "a write came through");

        let received = hold(metrics.received("what was scraped during the outage", caught_up(ended)).await);
        let seconds = (ended - begun) / 1000;
        let [local, central] = counts(&metrics, &received, seconds, ended).await;
        let scraped = local.get("up").is_some_and(|count| *count >= 10.0);
        assert!(scraped, "hardly anything was scraped: {local:?}");
        assert_eq!(local, central, "scraped and received differ");
        for (series, arrival) in remote_write::arrivals(&received, of_mandelbrot) {
            assert_eq!(arrival.conflicting, [0; 0], "{series:?}");
        }
        println!("{cloud}: {} failed writes, scraped {local:?}, received {central:?}", failed.len());
    }

    #[rstest]
    #[case::aws(Cloud::Aws)]
    #[case::gcp(Cloud::Gcp)]
    #[case::azure(Cloud::Azure)]
    #[tokio::test]
    async fn c_rotated_password_needs_no_restart(#[case] cloud: Cloud) {
        let metrics = Metrics::find(cloud).await;
        // On a kept world it is the other one that is in use, and this one was revoked.
        let current = metrics.backend("password").await;
        let (old, new) = match metrics.grafana.secret("write").await {
            Ok(write) if write == current => ("write", "next"),
            _ => ("next", "write"),
        };
        let password = format!("glc_{}{}", unique(), unique());
        metrics.grafana.put_secret(new, &password).await.expect("another token can be issued");
        let before = metrics.pod().await;
        let writes_as = |token: &'static str, since: i64| {
            move |received: &Excerpt| {
                let last = received.writes.iter().rfind(|w| w.time.as_millisecond() >= since);
                match last.map(|w| (w.token.as_str(), w.status)) {
                    Some((seen, 200)) if seen == token => Expectation::Held,
                    Some((_, 401)) => Expectation::refuted("a write was refused"),
                    seen => Expectation::Pending(format!("the last write is {seen:?}")),
                }
            }
        };
        metrics.rotate("password", &password).await;
        hold(metrics.received("a write with the new token", writes_as(new, 0)).await);
        metrics.grafana.delete_secret(old).await.expect("the old token can be revoked");
        hold(metrics.received("a write after the old token was revoked", writes_as(new, now())).await);
        let after = metrics.pod().await;
        let restarts = |pod: &Pod| -> i32 {
            let status = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
            status.into_iter().flatten().map(|c| c.restart_count).sum()
        };
        assert_eq!((before.uid(), restarts(&before)), (after.uid(), restarts(&after)), "Prometheus was restarted");
    }

    #[rstest]
    #[case::aws(Cloud::Aws)]
    #[case::gcp(Cloud::Gcp)]
    #[case::azure(Cloud::Azure)]
    #[tokio::test]
    async fn d_rotated_url_needs_a_restart(#[case] cloud: Cloud) {
        let metrics = Metrics::find(cloud).await;
        let client = &metrics.subject.client;
        assert_eq!(hold(Running::read(client).await).wrong(), None);
        let declared = Declared::read(&metrics.subject.world.grafana).expect("Grafana Cloud is declared");
        // With everything that the rendering might misunderstand.
        let endpoint = &declared.prometheus().prometheus_remote_endpoint;
        let url = format!(r"{endpoint}/push?rotation={}&more=%5C#end", now());
        metrics.rotate("url", &url).await;
        let wrong = hold(Running::read(client).await).wrong().expect("the running URL is the old one");
        assert!(wrong.contains("remote_write[0].url is not the url in Secret"), "{wrong}");
        assert!(!wrong.contains(endpoint), "the URL is shown");

        let old = metrics.pod().await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        pods.delete(&old.name_any(), &DeleteParams::default()).await.expect("the Pod can be deleted");
        let gone = |pod: Option<&Pod>| match pod {
            None => Expectation::Held,
            Some(_) => Expectation::pending("it is still there"),
        };
        hold(until(pods, &old.name_any(), "the old Pod goes", suites::DEADLINE, gone).await);
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
        let what = "Prometheus is Available again";
        hold(metrics.subject.see(deployments, PROMETHEUS, what, condition::available).await);
        let restarted = now();
        assert_eq!(hold(Running::read(client).await).wrong(), None, "the restart has not cured it");
        hold(metrics.received("samples of the new Pod", caught_up(restarted)).await);
    }
}
