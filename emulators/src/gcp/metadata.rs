//! The metadata server of a GKE node, plain HTTP under a link-local address. What depends on the Pod that asks cannot
//! be known here, where all Pods have the node's address, and is refused.

use axum::http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::project::Project;
use crate::{Answer, Request, cloud::Trouble, journal::Note};

/// Hosts.
pub(crate) const HOSTS: [&str; 3] = ["169.254.169.254", "metadata.google.internal", "metadata"];

const ROOT: &str = "/computeMetadata/v1/";

/// The operation that a request asks for.
pub(crate) fn operation(request: &Request) -> String {
    let path = request.uri().path();
    format!("metadata:{:.96}", path.strip_prefix(ROOT).unwrap_or(path))
}

/// Answers one request.
pub(crate) fn answer(project: &Project, request: &Request) -> Answer {
    tell(respond(project, request))
}

/// The answer when something befalls the request.
pub(crate) fn trouble(trouble: Trouble) -> Answer {
    let status = match trouble {
        Trouble::Throttled => StatusCode::TOO_MANY_REQUESTS,
        Trouble::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    tell(refused(status, "trouble on demand"))
}

/// Adds what every answer has.
fn tell(mut answer: Answer) -> Answer {
    let headers = answer.response.headers_mut();
    headers.insert("metadata-flavor", HeaderValue::from_static("Google"));
    headers.insert("server", HeaderValue::from_static("Metadata Server for VM"));
    if answer.note.code.is_none() && !answer.response.status().is_success() {
        answer.note.code = Some(answer.response.status().as_u16().to_string());
    }
    answer
}

fn refused(status: StatusCode, reason: &str) -> Answer {
    let note = Note { reason: Some(reason.into()), ..Note::default() };
    let text = format!("{}\n", status.canonical_reason().unwrap_or_default());
    Answer::body(status, "text/html; charset=UTF-8", text).noting(note)
}

fn respond(project: &Project, request: &Request) -> Answer {
    if request.headers().contains_key("x-forwarded-for") {
        return refused(StatusCode::FORBIDDEN, "requests that were forwarded are refused");
    }
    let (method, path) = (request.method(), request.uri().path());
    if method != "GET" && method != "HEAD" {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "it is read-only");
    }
    // The roots tell what they are to anybody: clients find out with them where they run.
    let flavor = request.headers().get("metadata-flavor").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"google"));
    match path {
        "/" => return text("computeMetadata/\n"),
        "/computeMetadata" | "/computeMetadata/" => return text("v1/\n"),
        _ if !flavor => return refused(StatusCode::FORBIDDEN, "the header Metadata-Flavor: Google is missing"),
        _ => {}
    }
    let Some(below) = path.strip_prefix(ROOT).or((path == ROOT.trim_end_matches('/')).then_some("")) else {
        return refused(StatusCode::NOT_FOUND, "nothing is there");
    };
    let query = request.uri().query().unwrap_or_default();
    let recursive = form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "recursive" && value.eq_ignore_ascii_case("true"));
    if let Some(account) = below.strip_prefix("instance/service-accounts/") {
        let (name, asked) = account.split_once('/').unwrap_or((account, ""));
        if (name == "default" || name == project.config.pool()) && matches!(asked, "token" | "identity") {
            let mut answer = refused(StatusCode::NOT_FOUND, "the Pod that asks cannot be known by its address");
            answer.note.finding = true;
            return answer;
        }
    }
    let found =
        below.split('/').filter(|part| !part.is_empty()).try_fold(&tree(project), |at, part| at.get(part)).cloned();
    match found {
        None => refused(StatusCode::NOT_FOUND, "nothing is there"),
        Some(value) if recursive => Answer::body(StatusCode::OK, "application/json", value.to_string()),
        Some(Value::Object(children)) => {
            let entry =
                |(name, child): (&String, &Value)| format!("{name}{}\n", if child.is_object() { "/" } else { "" });
            text(&children.iter().map(entry).collect::<String>())
        }
        Some(Value::Array(lines)) => {
            text(&lines.iter().filter_map(Value::as_str).map(|line| format!("{line}\n")).collect::<String>())
        }
        Some(Value::String(value)) => text(&value),
        Some(value) => text(&value.to_string()),
    }
}

fn text(text: &str) -> Answer {
    Answer::body(StatusCode::OK, "application/text", text.to_owned())
}

/// All that there is. Without a Google service account of its own, a Pod's account is called like the pool.
fn tree(project: &Project) -> Value {
    let account = json!({
        "aliases": ["default"], "email": project.config.pool(), "scopes": [super::caller::CLOUD_PLATFORM],
    });
    let numeric: u64 = project.config.number.parse().unwrap_or_default();
    // Ids that are made up once and for all: the same project and cluster always have the same.
    let digest: String = Sha256::digest(project.config.issuer()).iter().map(|b| format!("{b:02x}")).collect();
    let id = u64::from_str_radix(&digest[..15], 16).unwrap_or_default();
    json!({
        "instance": {
            "attributes": {
                "cluster-location": project.config.location, "cluster-name": project.config.cluster, "cluster-uid": digest,
            },
            "id": id,
            "service-accounts": {"default": account, project.config.pool(): account},
            "zone": format!("projects/{}/zones/{}-a", project.config.number, project.config.location),
        },
        "project": {"numeric-project-id": numeric, "project-id": project.config.project},
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{self, Cluster},
        *,
    };

    fn get(path: &str, headers: &[(&str, &str)]) -> (u16, String, Note) {
        let mut request = axum::http::Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = answer(&fixture::SHARED.project, &request.body(bytes::Bytes::new()).unwrap());
        assert_eq!(answer.response.headers()["metadata-flavor"], "Google");
        assert_eq!(answer.response.headers()["server"], "Metadata Server for VM");
        let status = answer.response.status().as_u16();
        (status, Cluster::text(answer.response), answer.note)
    }

    const GOOGLE: (&str, &str) = ("metadata-flavor", "Google");

    #[test]
    fn facts_are_told_without_an_end_of_line() {
        for (path, expected) in [
            ("project/project-id", fixture::PROJECT),
            ("project/numeric-project-id", fixture::NUMBER),
            ("instance/attributes/cluster-location", "us-central1"),
            ("instance/attributes/cluster-name", "trinity"),
            ("instance/zone", "projects/123456789012/zones/us-central1-a"),
            ("instance/service-accounts/default/email", "trinity-dev.svc.id.goog"),
        ] {
            let (status, text, _) = get(&format!("{ROOT}{path}"), &[GOOGLE]);
            assert_eq!((status, text.as_str()), (200, expected), "{path}");
        }
        let (_, list, _) = get("/computeMetadata/v1/instance/service-accounts/", &[GOOGLE]);
        assert_eq!(list, "default/\ntrinity-dev.svc.id.goog/\n");
        let (_, all, _) = get("/computeMetadata/v1/instance/service-accounts/default/?recursive=true", &[GOOGLE]);
        let all: Value = serde_json::from_str(&all).unwrap();
        assert_eq!(all["email"], "trinity-dev.svc.id.goog");
    }

    #[test]
    fn only_those_who_know_where_they_are_get_an_answer() {
        let path = "/computeMetadata/v1/project/project-id";
        assert_eq!(get(path, &[]).0, 403);
        assert_eq!(get(path, &[("metadata-flavor", "Other")]).0, 403);
        assert_eq!(get(path, &[GOOGLE, ("x-forwarded-for", "10.0.0.1")]).0, 403);
        assert_eq!(get("/", &[]).0, 200);
        assert_eq!(get("/computeMetadata/v1/absent", &[GOOGLE]).0, 404);
        assert_eq!(get("/latest/meta-data", &[GOOGLE]).0, 404);
    }

    #[test]
    fn a_pod_that_cannot_be_known_gets_no_token() {
        for what in ["token", "identity?audience=x"] {
            let path = format!("/computeMetadata/v1/instance/service-accounts/default/{what}");
            let (status, text, note) = get(&path, &[GOOGLE]);
            assert_eq!((status, text.as_str(), note.finding), (404, "Not Found\n", true));
        }
    }
}
