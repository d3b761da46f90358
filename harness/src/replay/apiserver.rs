//! An API server that has what was recorded and nothing else: a client of it asks no network. It answers to get, list and
//! watch, and takes no writes.

use std::{convert::Infallible, fs, io, path::PathBuf, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode, Uri};
use kube::{Client, client::Body as Asked, core::Status};
use reqwest::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::objects::{self, Objects};

/// After this, a watch tells everything for a second time. A judge that combines two watches may have heard of one before the
/// other, and a real API server goes on to tell.
const AGAIN: Duration = Duration::from_millis(200);

/// A client of an API server that has these objects. Logs of containers are files of a folder, as the evidence of a run has them.
pub fn client(objects: Objects, logs: PathBuf) -> Client {
    let server = Arc::new(Server { objects, logs });
    let service = service_fn(move |request: Request<Asked>| {
        let answer = server.answer(request.method(), request.uri());
        async move { Ok::<_, Infallible>(answer) }
    });
    Client::new(service, "default")
}

struct Server {
    objects: Objects,
    logs: PathBuf,
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    kind: String,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, rest) = rest.split_first()?;
        let kind = objects::name(group, plural);
        Some(Self { kind, namespace, name: rest.first().copied(), subresource: rest.get(1).copied() })
    }
}

/// What is asked for by a query.
#[derive(Default)]
struct Query {
    watch: bool,
    fields: Vec<Term>,
    labels: Vec<Term>,
    container: String,
}

/// A part of a selector: where, what, and whether it is to be so.
type Term = (String, String, bool);

impl Query {
    fn of(query: &str) -> Result<Self, Box<Status>> {
        let mut asked = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "watch" => asked.watch = matches!(&*value, "true" | "1"),
                "fieldSelector" => asked.fields = terms(&value)?,
                "labelSelector" => asked.labels = terms(&value)?,
                "container" => asked.container = value.into_owned(),
                // How much at once, from where on and for how long: all of it is there, and nothing changes.
                _ => {}
            }
        }
        Ok(asked)
    }

    fn takes(&self, object: &Value) -> bool {
        let field = |(path, wanted, equal): &Term| {
            let value = path.split('.').fold(object, |value, name| &value[name]);
            (value.as_str().unwrap_or_default() == wanted) == *equal
        };
        let labels = &object["metadata"]["labels"];
        let label = |(name, wanted, equal): &Term| (labels[name] == **wanted) == *equal;
        self.fields.iter().all(field) && self.labels.iter().all(label)
    }
}

fn terms(selector: &str) -> Result<Vec<Term>, Box<Status>> {
    let one = |term: &str| {
        let (name, value, equal) = match term.split_once("!=") {
            Some((name, value)) => (name, value, false),
            None => term.split_once('=').map(|(name, value)| (name, value.trim_start_matches('='), true))?,
        };
        (!name.contains([' ', '('])).then(|| (name.to_owned(), value.to_owned(), equal))
    };
    let all: Option<Vec<Term>> = selector.split(',').filter(|term| !term.is_empty()).map(one).collect();
    all.ok_or_else(|| refused(400, "BadRequest", &format!("a recording does not understand the selector {selector:?}")))
}

fn refused(code: u16, reason: &str, message: &str) -> Box<Status> {
    Status::failure(message, reason).with_code(code).boxed()
}

impl Server {
    fn answer(&self, method: &Method, uri: &Uri) -> Response<Body> {
        self.found(method, uri).unwrap_or_else(|status| {
            let text = json!(status).to_string();
            respond(StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text)
        })
    }

    fn found(&self, method: &Method, uri: &Uri) -> Result<Response<Body>, Box<Status>> {
        if method != Method::GET {
            return Err(refused(405, "MethodNotAllowed", "a recording takes no writes"));
        }
        let nothing = || refused(501, "NotImplemented", &format!("the recording does not have {}", uri.path()));
        let target = Target::of(uri.path()).ok_or_else(nothing)?;
        let query = Query::of(uri.query().unwrap_or_default())?;
        if target.subresource == Some("log") {
            return Ok(respond(StatusCode::OK, self.log(&target, &query.container).ok_or_else(nothing)?));
        }
        // That it was not recorded does not mean that it was not there.
        let list = self.objects.get(&target.kind).filter(|_| target.subresource.is_none()).ok_or_else(nothing)?;
        if list["items"].is_null() {
            return Err(serde_json::from_value(list.clone()).unwrap_or_else(|_| nothing()));
        }
        let within = |object: &&Value| target.namespace.is_none_or(|own| object["metadata"]["namespace"] == own);
        let mut items = self.objects.items(&target.kind).iter().filter(within);
        if let Some(name) = target.name {
            let message = || format!("{} \"{name}\" not found", target.kind);
            let found = items.find(|object| object["metadata"]["name"] == name);
            let found = found.ok_or_else(|| refused(404, "NotFound", &message()))?;
            return Ok(respond(StatusCode::OK, found.to_string()));
        }
        let items: Vec<&Value> = items.filter(|object| query.takes(object)).collect();
        Ok(match query.watch {
            true => Response::new(watched(&items)),
            false => {
                let (version, kind, metadata) = (&list["apiVersion"], &list["kind"], &list["metadata"]);
                let all = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "items": items});
                respond(StatusCode::OK, all.to_string())
            }
        })
    }

    /// What a container has said.
    fn log(&self, target: &Target<'_>, container: &str) -> Option<String> {
        let name = format!("{}.{}.{container}.log", target.namespace?, target.name?);
        // Names come from the recording, and may be anything.
        if name.contains('/') { None } else { fs::read_to_string(self.logs.join(name)).ok() }
    }
}

/// A watch: everything once more, and then nothing for ever.
fn watched(items: &[&Value]) -> Body {
    let lines: String =
        items.iter().map(|object| json!({"type": "MODIFIED", "object": object}).to_string() + "\n").collect();
    let again = stream::once(async move {
        tokio::time::sleep(AGAIN).await;
        Ok::<_, io::Error>(lines)
    });
    Body::wrap_stream(again.chain(stream::pending()))
}

fn respond(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use k8s_openapi::api::core::v1::{Event, Node, Pod, Secret};
    use kube::{
        Api,
        api::{DeleteParams, ListParams, LogParams},
        core::ApiResource,
        runtime::{WatchStreamExt, watcher, watcher::Config},
    };

    use super::*;
    use crate::observe::{condition, kinds::Kind, until, until_all};

    fn pod(namespace: &str, name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}}})
    }

    fn event(name: &str, severity: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "a"}, "type": severity, "involvedObject": {}})
    }

    fn served(logs: &std::path::Path) -> Client {
        let application = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "root", "namespace": "argocd"},
            "status": {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}});
        let objects = Objects::new([
            (ApiResource::erase::<Pod>(&()), vec![pod("a", "one"), pod("a", "two"), pod("b", "one")]),
            (ApiResource::erase::<Event>(&()), vec![event("w", "Warning"), event("n", "Normal")]),
            (Kind::Application.resource(), vec![application]),
        ]);
        client(objects, logs.to_owned())
    }

    fn code<T>(outcome: kube::Result<T>) -> u16 {
        match outcome {
            Err(kube::Error::Api(status)) => status.code,
            Err(e) => panic!("{e}"),
            Ok(_) => 200,
        }
    }

    #[test]
    fn a_path_names_a_kind_and_an_object() {
        let target =
            |kind: &str, namespace, name, subresource| Target { kind: kind.into(), namespace, name, subresource };
        for (path, expected) in [
            ("/api/v1/nodes", target("nodes", None, None, None)),
            ("/api/v1/namespaces/a", target("namespaces", None, Some("a"), None)),
            ("/api/v1/namespaces/a/pods/b/log", target("pods", Some("a"), Some("b"), Some("log"))),
            ("/apis/apps/v1/namespaces/a/deployments", target("deployments.apps", Some("a"), None, None)),
        ] {
            assert_eq!(Target::of(path), Some(expected), "{path}");
        }
        assert_eq!(Target::of("/version"), None);
    }

    #[tokio::test]
    async fn get_and_list_are_answered_as_an_api_server_does() {
        let folder = tempfile::tempdir().unwrap();
        let client = served(folder.path());
        let (all, own): (Api<Pod>, Api<Pod>) = (Api::all(client.clone()), Api::namespaced(client.clone(), "a"));
        let count = async |api: &Api<Pod>, which| api.list(&which).await.unwrap().items.len();
        let every = ListParams::default;
        assert_eq!((count(&all, every()).await, count(&own, every()).await), (3, 2));
        assert_eq!(count(&all, every().labels("app=one")).await, 2);
        assert_eq!(count(&all, every().fields("metadata.name!=one")).await, 1);
        assert_eq!(code(all.list(&every().labels("app in (one)")).await), 400);
        assert!(own.get_opt("one").await.unwrap().is_some() && own.get_opt("three").await.unwrap().is_none());
        assert_eq!(code(own.delete("one", &DeleteParams::default()).await), 405);
    }

    #[tokio::test]
    async fn what_was_not_recorded_is_not_said_to_be_absent() {
        let folder = tempfile::tempdir().unwrap();
        let client = served(folder.path());
        assert_eq!(code(Api::<Secret>::namespaced(client.clone(), "a").get_opt("s").await), 501);
        assert_eq!(code(Api::<Node>::all(client.clone()).list(&ListParams::default()).await), 501);
        let absent = json!({"status": "Failure", "code": 404, "message": "404 page not found"});
        let file = folder.path().join("externalsecrets.external-secrets.io.json");
        fs::write(file, absent.to_string()).unwrap();
        let undefined = super::client(Objects::read(folder.path()).unwrap(), folder.path().to_owned());
        assert_eq!(code(Kind::ExternalSecret.all(&undefined).list(&ListParams::default()).await), 404);
    }

    #[tokio::test]
    async fn logs_are_files_of_the_evidence_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.one.c.log"), "it says so").unwrap();
        let pods: Api<Pod> = Api::namespaced(served(folder.path()), "a");
        let of = |container: &str| LogParams { container: Some(container.into()), ..LogParams::default() };
        assert_eq!(pods.logs("one", &of("c")).await.unwrap(), "it says so");
        assert_eq!(code(pods.logs("one", &of("d")).await), 501);
        assert_eq!(code(pods.logs("one", &of("x/../../a.one.c")).await), 501);
    }

    #[tokio::test]
    async fn a_watch_tells_what_there_is_twice_and_stays_open() {
        let folder = tempfile::tempdir().unwrap();
        let events: Api<Event> = Api::all(served(folder.path()));
        let warnings = watcher(events, Config::default().fields("type=Warning")).applied_objects();
        let told: Vec<Event> = warnings.take(2).try_collect().await.unwrap();
        assert!(told.iter().all(|event| event.metadata.name.as_deref() == Some("w")), "{told:?}");
        let pods: Api<Pod> = Api::all(served(folder.path()));
        let mut all = watcher(pods, Config::default()).applied_objects().skip(6).boxed();
        let more = tokio::time::timeout(2 * AGAIN, all.next()).await;
        assert!(more.is_err(), "{more:?}");
    }

    #[tokio::test]
    async fn the_waits_of_judges_work_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let client = served(folder.path());
        let moment = Duration::from_secs(10);
        let own = Kind::Application.within(&client, "argocd");
        until(own.clone(), "root", "it is well", moment, condition::synced_and_healthy).await.unwrap();
        let excused = std::cell::RefCell::default();
        let claim = condition::trees_settled(vec!["argocd/root".into()], Vec::new(), &excused);
        until_all(own.clone(), "all is well", moment, claim).await.unwrap();
        let absent = until(own, "absent", "it is there", 2 * AGAIN, condition::exists).await.unwrap_err().to_string();
        assert!(absent.ends_with("it does not exist"), "{absent}");
    }
}
