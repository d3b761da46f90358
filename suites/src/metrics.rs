//! The way of a sample, as tests walk it: mandelbrot, the world's Prometheus, what Grafana Cloud has received, and what
//! it answers.

use std::time::Duration;

use http::Request;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret},
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
    client::Body,
};
use reqwest::{Certificate, Client};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use trinity_e2e::{
    failure::{Attempt, Failure, Result},
    judge::metrics::{self, NAMESPACE, SECRET},
    observe::{
        Expectation, condition,
        kinds::Kind,
        promql::{self, Sample},
        until,
    },
};
use trinity_emulators::{
    control,
    grafana::{declared::Declared, received::Excerpt},
};

use crate::{Cloud, Subject, hold};

/// Namespace of mandelbrot.
pub const WORKLOADS: &str = "workloads";
/// Name of its Deployment and Service.
pub const MANDELBROT: &str = "mandelbrot";
/// Time for a claim about samples: an outage that another test makes may lie in it.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// The central metrics of a world.
pub struct Metrics {
    /// The world.
    pub subject: Subject,
    /// Grafana Cloud's side of the gateway.
    pub grafana: control::Client,
    http: Client,
    endpoint: String,
    user: String,
}

impl Metrics {
    /// Those of the world under test.
    ///
    /// # Panics
    /// When there is no such world.
    pub async fn find(cloud: Cloud) -> Self {
        let subject = Subject::find(cloud).await;
        let grafana = subject.world.grafana_control().expect("the gateway's socket can be used");
        let declared = Declared::read(&subject.world.grafana).expect("Grafana Cloud is declared");
        let prometheus = declared.prometheus();
        let pem = std::fs::read(&subject.world.authority).expect("the gateway's authority can be read");
        let http = Client::builder()
            .tls_certs_only([Certificate::from_pem(&pem).expect("the authority is a certificate")])
            .no_proxy()
            .resolve(prometheus.host(), subject.world.gateway)
            .build()
            .expect("an HTTP client can be set up");
        Self {
            http,
            endpoint: prometheus.prometheus_remote_endpoint.clone(),
            user: prometheus.prometheus_user_id.to_string(),
            grafana,
            subject,
        }
    }

    /// Name in the backend of a part of the remote write credentials: `url`, `username` or `password`.
    pub fn key(&self, part: &str) -> String {
        format!("trinity-dev-{}-{SECRET}-{part}", self.subject.world.cloud)
    }

    /// The value of that part in the backend.
    ///
    /// # Panics
    /// When the backend does not have it.
    pub async fn backend(&self, part: &str) -> String {
        self.subject.control.secret(&self.key(part)).await.expect("the backend holds the credentials")
    }

    /// Changes a part in the backend, lets the operator look, and waits until the Secret has it.
    ///
    /// # Panics
    /// When it does not arrive.
    pub async fn rotate(&self, part: &'static str, value: &str) {
        self.subject.control.put_secret(&self.key(part), value).await.expect("the backend takes a new value");
        self.subject.refresh(&Kind::ExternalSecret.within(&self.subject.client, NAMESPACE), SECRET).await;
        let secrets: Api<Secret> = Api::namespaced(self.subject.client.clone(), NAMESPACE);
        let what = format!("the Secret has the new {part}");
        hold(until(secrets, SECRET, &what, crate::DEADLINE, condition::holds(part, value)).await);
    }

    /// Asks the world's own Prometheus, at a time (milliseconds since 1970).
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn local(&self, query: &str, time: i64) -> Vec<Sample> {
        let page = format!("api/v1/query?{}", instant(query, time));
        hold(promql::vector(&hold(metrics::ask(&self.subject.client, &page).await)))
    }

    /// Asks Grafana Cloud by its public API, with a token that may read, at a time (milliseconds since 1970).
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn central(&self, query: &str, time: i64) -> Vec<Sample> {
        let token = self.grafana.secret("read").await.expect("there is a token that may read");
        let url = format!("{}/api/v1/query?{}", self.endpoint, instant(query, time));
        let answer =
            self.http.get(url).basic_auth(&self.user, Some(token)).send().await.expect("Grafana Cloud answers");
        hold(promql::vector(&answer.text().await.expect("the answer is text")))
    }

    /// Waits until a claim about what was received holds, and returns all of that.
    ///
    /// # Errors
    /// At the deadline, with what was seen last, or at once when it cannot hold any more.
    pub async fn received(&self, what: &str, claim: impl Fn(&Excerpt) -> Expectation) -> Result<Excerpt> {
        let attempted = || format!("see {what}");
        let deadline = Instant::now() + DEADLINE;
        let mut received = Excerpt::default();
        let mut last = "nothing has arrived".to_owned();
        loop {
            let Ok(news) = timeout_at(deadline, self.grafana.writes(received.latest)).await else {
                return Err(Failure::new(attempted(), format!("after {} s: {last}", DEADLINE.as_secs())));
            };
            received.extend(news.attempting(attempted)?);
            match claim(&received) {
                Expectation::Held => return Ok(received),
                Expectation::Refuted(why) => return Err(Failure::new(attempted(), why)),
                Expectation::Pending(why) => last = why,
            }
        }
    }

    /// Renders pictures, and returns how many there were.
    ///
    /// # Panics
    /// When one is not rendered.
    pub async fn render(&self, pictures: u32) -> u32 {
        for _ in 0..pictures {
            let path = service("render?width=64&height=48&iterations=50");
            let request = Request::get(path).body(Body::empty()).expect("it is a request");
            let answer = self.subject.client.send(request).await.expect("mandelbrot answers");
            assert!(answer.status().is_success(), "mandelbrot answers {}", answer.status());
        }
        pictures
    }

    /// Mandelbrot's own count of the requests that it has served.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn counted(&self) -> f64 {
        let request = Request::get(service("metrics")).body(Vec::new()).expect("it is a request");
        let text = self.subject.client.request_text(request).await.expect("mandelbrot tells its metrics");
        let line = text.lines().find_map(|l| l.strip_prefix("mandelbrot_render_requests_total "));
        line.expect("the counter is there").trim().parse().expect("it is a number")
    }

    /// Sets the number of mandelbrot's replicas.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn scale(&self, replicas: u32) {
        let api: Api<Deployment> = Api::namespaced(self.subject.client.clone(), WORKLOADS);
        let scale = json!({"spec": {"replicas": replicas}});
        api.patch_scale(MANDELBROT, &PatchParams::default(), &Patch::Merge(&scale)).await.expect("it can be scaled");
    }

    /// Prometheus' Pod.
    ///
    /// # Panics
    /// When there is not exactly one.
    pub async fn pod(&self) -> Pod {
        let api: Api<Pod> = Api::namespaced(self.subject.client.clone(), NAMESPACE);
        let own = ListParams::default().labels("app.kubernetes.io/name=prometheus");
        let pods = api.list(&own).await.expect("Pods can be listed").items;
        assert_eq!(pods.len(), 1, "there is not exactly one Prometheus");
        pods.into_iter().next().expect("there is one")
    }
}

/// A page of mandelbrot, through the API server.
fn service(page: &str) -> String {
    format!("/api/v1/namespaces/{WORKLOADS}/services/{MANDELBROT}:http/proxy/{page}")
}

fn instant(query: &str, time: i64) -> String {
    let time = format!("{}.{:03}", time / 1000, time % 1000);
    form_urlencoded::Serializer::new(String::new()).append_pair("query", query).append_pair("time", &time).finish()
}
