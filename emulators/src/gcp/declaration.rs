//! What becomes of a declaration.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fixture::{Cluster, PROJECT, REGIONAL, Rest};
use crate::{cloud::Cloud, fixture::values};

#[tokio::test]
async fn what_is_declared_is_applied_again_and_again() {
    let cluster = Cluster::applied().await;
    let rest = Rest(&cluster);
    cluster.project.apply(&values()).await.unwrap();
    let versions = rest.good("GET", "secrets/trinity-canary/versions", Value::Null).await;
    assert_eq!(versions["totalSize"], 1);
    let secret = rest.good("GET", "secrets/trinity-canary", Value::Null).await;
    assert_eq!(secret["labels"], json!({"purpose": "canary"}));
    let mut values = values();
    values.insert("canary".into(), "another".into());
    cluster.project.apply(&values).await.unwrap();
    assert_eq!(cluster.project.read("trinity-canary").await.unwrap(), "another");
    assert_eq!(rest.good("GET", "secrets/trinity-canary/versions", Value::Null).await["totalSize"], 2);
    assert!(cluster.project.apply(&BTreeMap::new()).await.is_err());

    cluster.project.write("new", "value").await.unwrap();
    cluster.project.write("new", "value 2").await.unwrap();
    assert_eq!(cluster.project.read("new").await.unwrap(), "value 2");
    cluster.project.delete("new").await.unwrap();
    assert!(cluster.project.read("new").await.is_err());
    assert!(cluster.project.delete("new").await.is_err());
}

#[tokio::test]
async fn a_declared_version_may_be_disabled_and_a_secret_regional() {
    let cluster = Cluster::new();
    let declared = r#"
google_secret_manager_secret:
  s: {secret_id: s, replication: {user_managed: {replicas: [{location: us-central1}]}}}
google_secret_manager_secret_version:
  s: {secret: "projects/${project}/secrets/s", secret_data: "${value:canary}", enabled: false}
google_secret_manager_regional_secret:
  r: {secret_id: r, location: us-central1, labels: {a: b}}
google_secret_manager_regional_secret_version:
  r: {secret: "projects/${project}/locations/us-central1/secrets/r", secret_data: "${value:canary}"}
"#;
    cluster.project.declare(declared).unwrap();
    for _ in 0..2 {
        cluster.project.apply(&values()).await.unwrap();
    }
    let rest = Rest(&cluster);
    let versions = rest.good("GET", "secrets/s/versions", Value::Null).await;
    assert_eq!((&versions["totalSize"], &versions["versions"][0]["state"]), (&json!(1), &json!("DISABLED")));
    let path = format!("/v1/projects/{PROJECT}/locations/us-central1/secrets/r/versions");
    let (status, versions) = rest.call_at(REGIONAL, "GET", &path, Value::Null).await;
    assert_eq!((status, &versions["totalSize"]), (200, &json!(1)));
}

#[test]
fn a_declaration_that_is_wrong_leaves_the_old_one() {
    let cluster = Cluster::new();
    let before = cluster.project.declared().google_service_account.len();
    for (from, to) in [
        ("roles/iam.workloadIdentityUser", "roles/owner"),
        ("resource.name.startsWith(", "resource.name.endsWith("),
        ("member: serviceAccount:", "member: user:"),
        ("account_id: trinity-canary", "account_id: misspelt"),
        ("project: ${project}\n", "project: another\n"),
        ("secret: projects/${project}/secrets/forbidden", "secret: projects/${project}/secrets/misspelt"),
        ("secret_id: forbidden", "secret_id: trinity-canary"),
        ("secret_id: provider-test-secret\n    role", "secret_id: misspelt\n    role"),
        ("replication: {auto: {}}", "replication: {}"),
        ("disabled: true", "off: true"),
    ] {
        let declared = Cluster::declared();
        assert!(declared.contains(from), "{from}");
        assert!(cluster.project.declare(&declared.replace(from, to)).is_err(), "{from} -> {to}");
        assert_eq!(cluster.project.declared().google_service_account.len(), before);
    }
}
