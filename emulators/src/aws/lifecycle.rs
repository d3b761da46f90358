//! The life of secrets, through signed requests as any SDK sends them.

use std::sync::LazyLock;

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixture::{ACCOUNT, Cluster, REGION, body};
use crate::{
    cloud::{Cloud, Trouble},
    fixture::values,
};

const TOKEN: [&str; 4] = [
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
    "33333333-3333-4333-8333-333333333333",
    "44444444-4444-4444-8444-444444444444",
];

/// Made with the first token.
fn created(name: &str) -> Cluster {
    let cluster = Cluster::new();
    cluster.ask("CreateSecret", create(name, "one")).unwrap();
    cluster
}

fn create(name: &str, value: &str) -> Value {
    json!({"Name": name, "SecretString": value, "ClientRequestToken": TOKEN[0]})
}

fn put(cluster: &Cluster, token: usize, value: &str) -> Result<Value, String> {
    cluster.ask("PutSecretValue", json!({"SecretId": "app", "SecretString": value, "ClientRequestToken": TOKEN[token]}))
}

fn code(outcome: Result<Value, String>) -> String {
    outcome.map_or_else(|code| code, |_| "success".into())
}

fn days(cluster: &Cluster, days: i64) {
    cluster.account.ground.clock.advance(SignedDuration::from_hours(24 * days).as_secs());
}

#[test]
fn a_repeated_creation_is_answered_as_the_first_and_another_is_refused() {
    let cluster = created("app");
    let first = cluster.ask("DescribeSecret", json!({"SecretId": "app"})).unwrap();
    let again = cluster.ask("CreateSecret", create("app", "one")).unwrap();
    assert_eq!((&again["ARN"], &again["VersionId"]), (&first["ARN"], &json!(TOKEN[0])));
    assert_eq!(code(cluster.ask("CreateSecret", create("app", "two"))), "ResourceExistsException");
    let other = json!({"Name": "app", "SecretString": "one", "ClientRequestToken": TOKEN[1]});
    assert_eq!(code(cluster.ask("CreateSecret", other)), "ResourceExistsException");
    assert_eq!(code(cluster.ask("CreateSecret", json!({"Name": "b", "SecretString": "x"}))), "InvalidRequestException");
    let prefix = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:app-");
    let random = first["ARN"].as_str().unwrap().strip_prefix(&prefix).unwrap();
    assert!(random.len() == 6 && random.chars().all(|c| c.is_ascii_alphanumeric()), "{random}");
}

#[test]
fn a_value_is_read_by_name_arn_version_and_label() {
    let cluster = created("app");
    put(&cluster, 1, "two").unwrap();
    let arn = cluster.ask("DescribeSecret", json!({"SecretId": "app"})).unwrap()["ARN"].as_str().unwrap().to_owned();
    let partial = arn.rsplit_once('-').unwrap().0;
    let value = |request: Value| {
        cluster.ask("GetSecretValue", request).map(|answer| answer["SecretString"].as_str().unwrap().to_owned())
    };
    for id in ["app", &arn, partial] {
        assert_eq!(value(json!({"SecretId": id})).as_deref(), Ok("two"), "{id}");
    }
    assert_eq!(value(json!({"SecretId": "app", "VersionStage": "AWSPREVIOUS"})).as_deref(), Ok("one"));
    assert_eq!(value(json!({"SecretId": "app", "VersionId": TOKEN[0]})).as_deref(), Ok("one"));
    let both = json!({"SecretId": "app", "VersionId": TOKEN[0], "VersionStage": "AWSCURRENT"});
    assert_eq!(value(both).unwrap_err(), "InvalidRequestException");
    assert_eq!(value(json!({"SecretId": "app", "VersionId": TOKEN[3]})).unwrap_err(), "ResourceNotFoundException");
    assert_eq!(
        value(json!({"SecretId": "app", "VersionStage": "AWSPENDING"})).unwrap_err(),
        "ResourceNotFoundException"
    );
    assert_eq!(value(json!({"SecretId": "app", "VersionId": "short"})).unwrap_err(), "ValidationException");
    assert_eq!(value(json!({"SecretId": ""})).unwrap_err(), "ValidationException");
    assert_eq!(value(json!({})).unwrap_err(), "ValidationException");
    let answer = cluster.ask("GetSecretValue", json!({"SecretId": "app"})).unwrap();
    assert!(answer["CreatedDate"].is_number());
    assert_eq!(answer["VersionStages"], json!(["AWSCURRENT"]));
}

#[test]
fn bytes_are_read_as_they_were_written() {
    let cluster = Cluster::new();
    let create = json!({"Name": "raw", "SecretBinary": "AAH/", "ClientRequestToken": TOKEN[0]});
    cluster.ask("CreateSecret", create).unwrap();
    let answer = cluster.ask("GetSecretValue", json!({"SecretId": "raw"})).unwrap();
    assert_eq!(answer["SecretBinary"], "AAH/");
    assert!(answer.get("SecretString").is_none());
}

#[test]
fn a_secret_without_a_value_has_nothing_to_read() {
    let cluster = Cluster::new();
    let answer = cluster.ask("CreateSecret", json!({"Name": "empty", "ClientRequestToken": TOKEN[0]})).unwrap();
    assert!(answer.get("VersionId").is_none());
    assert_eq!(code(cluster.ask("GetSecretValue", json!({"SecretId": "empty"}))), "ResourceNotFoundException");
}

#[test]
fn an_update_makes_a_version_only_with_a_value() {
    let cluster = created("app");
    let describe = json!({"SecretId": "app", "Description": "mine", "ClientRequestToken": TOKEN[1]});
    assert!(cluster.ask("UpdateSecret", describe).unwrap().get("VersionId").is_none());
    let update = json!({"SecretId": "app", "SecretString": "two", "ClientRequestToken": TOKEN[2]});
    assert_eq!(cluster.ask("UpdateSecret", update).unwrap()["VersionId"], TOKEN[2]);
    let described = cluster.ask("DescribeSecret", json!({"SecretId": "app"})).unwrap();
    assert_eq!(described["Description"], "mine");
    assert_eq!(described["VersionIdsToStages"], json!({TOKEN[0]: ["AWSPREVIOUS"], TOKEN[2]: ["AWSCURRENT"]}));
}

#[test]
fn a_version_in_waiting_becomes_current_when_it_is_said() {
    let cluster = created("app");
    let pending = json!({
        "SecretId": "app", "SecretString": "two", "ClientRequestToken": TOKEN[1], "VersionStages": ["AWSPENDING"],
    });
    assert_eq!(cluster.ask("PutSecretValue", pending).unwrap()["VersionStages"], json!(["AWSPENDING"]));
    let current = || cluster.ask("GetSecretValue", json!({"SecretId": "app"})).unwrap()["SecretString"].clone();
    assert_eq!(current(), "one");
    let mut promote = json!({"SecretId": "app", "VersionStage": "AWSCURRENT", "MoveToVersionId": TOKEN[1]});
    assert_eq!(code(cluster.ask("UpdateSecretVersionStage", promote.clone())), "InvalidParameterException");
    promote["RemoveFromVersionId"] = json!(TOKEN[0]);
    cluster.ask("UpdateSecretVersionStage", promote).unwrap();
    assert_eq!(current(), "two");
    let versions = cluster.ask("ListSecretVersionIds", json!({"SecretId": "app"})).unwrap();
    let stages: Vec<&Value> = versions["Versions"].as_array().unwrap().iter().map(|v| &v["VersionStages"]).collect();
    assert_eq!(stages, [&json!(["AWSPREVIOUS"]), &json!(["AWSPENDING", "AWSCURRENT"])]);
}

#[test]
fn a_scheduled_deletion_reserves_the_name_and_refuses_all_but_restoring() {
    let cluster = created("app");
    cluster.ask("DeleteSecret", json!({"SecretId": "app", "RecoveryWindowInDays": 7})).unwrap();
    for (action, request) in [
        ("GetSecretValue", json!({"SecretId": "app"})),
        ("PutSecretValue", json!({"SecretId": "app", "SecretString": "x", "ClientRequestToken": TOKEN[1]})),
        ("UpdateSecret", json!({"SecretId": "app", "Description": "x", "ClientRequestToken": TOKEN[1]})),
        ("UpdateSecretVersionStage", json!({"SecretId": "app", "VersionStage": "x", "MoveToVersionId": TOKEN[0]})),
        ("DeleteSecret", json!({"SecretId": "app"})),
        ("TagResource", json!({"SecretId": "app", "Tags": [{"Key": "a", "Value": "b"}]})),
        ("UntagResource", json!({"SecretId": "app", "TagKeys": ["a"]})),
        ("GetResourcePolicy", json!({"SecretId": "app"})),
        ("CreateSecret", create("app", "one")),
    ] {
        assert_eq!(code(cluster.ask(action, request)), "InvalidRequestException", "{action}");
    }
    let described = cluster.ask("DescribeSecret", json!({"SecretId": "app"})).unwrap();
    assert!(described["DeletedDate"].is_number());
    assert_eq!(cluster.ask("ListSecrets", json!({})).unwrap()["SecretList"], json!([]));
    let all = cluster.ask("ListSecrets", json!({"IncludePlannedDeletion": true})).unwrap();
    assert_eq!(all["SecretList"].as_array().unwrap().len(), 1);
    assert!(cluster.ask("ListSecretVersionIds", json!({"SecretId": "app"})).is_ok());
    cluster.ask("RestoreSecret", json!({"SecretId": "app"})).unwrap();
    assert_eq!(cluster.ask("GetSecretValue", json!({"SecretId": "app"})).unwrap()["SecretString"], "one");
}

#[test]
fn after_the_recovery_window_the_secret_is_gone_and_its_name_is_free() {
    let cluster = created("app");
    let arn = cluster.ask("DescribeSecret", json!({"SecretId": "app"})).unwrap()["ARN"].clone();
    cluster.ask("DeleteSecret", json!({"SecretId": "app", "RecoveryWindowInDays": 7})).unwrap();
    days(&cluster, 6);
    assert_eq!(code(cluster.ask("GetSecretValue", json!({"SecretId": "app"}))), "InvalidRequestException");
    days(&cluster, 1);
    for action in ["GetSecretValue", "DescribeSecret", "RestoreSecret", "DeleteSecret"] {
        assert_eq!(code(cluster.ask(action, json!({"SecretId": "app"}))), "ResourceNotFoundException", "{action}");
    }
    let again = cluster.ask("CreateSecret", create("app", "two")).unwrap();
    assert_ne!(again["ARN"], arn);
}

#[test]
fn a_window_is_7_to_30_days_and_30_when_nothing_is_said() {
    let cluster = created("app");
    for wrong in [
        json!({"SecretId": "app", "RecoveryWindowInDays": 6}),
        json!({"SecretId": "app", "RecoveryWindowInDays": 31}),
        json!({"SecretId": "app", "RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": true}),
    ] {
        assert_eq!(code(cluster.ask("DeleteSecret", wrong)), "InvalidParameterException");
    }
    cluster.ask("DeleteSecret", json!({"SecretId": "app"})).unwrap();
    days(&cluster, 29);
    assert!(cluster.ask("DescribeSecret", json!({"SecretId": "app"})).is_ok());
    days(&cluster, 1);
    assert_eq!(code(cluster.ask("DescribeSecret", json!({"SecretId": "app"}))), "ResourceNotFoundException");
}

#[test]
fn a_forced_deletion_frees_the_name_at_once_even_of_nothing() {
    let cluster = created("app");
    let force = |name: &str| cluster.ask("DeleteSecret", json!({"SecretId": name, "ForceDeleteWithoutRecovery": true}));
    force("app").unwrap();
    assert_eq!(code(cluster.ask("GetSecretValue", json!({"SecretId": "app"}))), "ResourceNotFoundException");
    assert!(cluster.ask("CreateSecret", create("app", "two")).is_ok());
    assert_eq!(force("absent").unwrap()["Name"], "absent");
    assert_eq!(code(cluster.ask("DeleteSecret", json!({"SecretId": "absent"}))), "ResourceNotFoundException");
    cluster.ask("DeleteSecret", json!({"SecretId": "app"})).unwrap();
    force("app").unwrap();
    assert_eq!(code(cluster.ask("DescribeSecret", json!({"SecretId": "app"}))), "ResourceNotFoundException");
}

#[test]
fn lists_have_pages_filters_and_orders() {
    let cluster = Cluster::new();
    for i in 0..5 {
        cluster.ask("CreateSecret", create(&format!("app/{i}"), "x")).unwrap();
    }
    let names = |answer: &Value| -> Vec<String> {
        answer["SecretList"].as_array().unwrap().iter().map(|s| s["Name"].as_str().unwrap().to_owned()).collect()
    };
    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let page = cluster.ask("ListSecrets", json!({"MaxResults": 2, "NextToken": token})).unwrap();
        seen.extend(names(&page));
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, ["app/0", "app/1", "app/2", "app/3", "app/4"]);
    let last = cluster.ask("ListSecrets", json!({"SortOrder": "desc", "MaxResults": 1})).unwrap();
    assert_eq!(names(&last), ["app/4"]);
    let not = json!({"Filters": [{"Key": "name", "Values": ["!app/1"]}], "SortBy": "name"});
    assert_eq!(names(&cluster.ask("ListSecrets", not).unwrap()).len(), 4);
    for (wrong, expected) in [
        (json!({"NextToken": "x"}), "InvalidNextTokenException"),
        (json!({"MaxResults": 101}), "ValidationException"),
        (json!({"SortOrder": "up"}), "ValidationException"),
        (json!({"Filters": [{"Key": "size", "Values": ["x"]}]}), "ValidationException"),
    ] {
        assert_eq!(code(cluster.ask("ListSecrets", wrong)), expected);
    }
}

#[test]
fn tags_are_added_replaced_and_removed() {
    let cluster = created("app");
    let tag = |tags: Value| cluster.ask("TagResource", json!({"SecretId": "app", "Tags": tags}));
    tag(json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])).unwrap();
    tag(json!([{"Key": "a", "Value": "3"}])).unwrap();
    cluster.ask("UntagResource", json!({"SecretId": "app", "TagKeys": ["b", "absent"]})).unwrap();
    let described = cluster.ask("DescribeSecret", json!({"SecretId": "app"})).unwrap();
    assert_eq!(described["Tags"], json!([{"Key": "a", "Value": "3"}]));
    let many: Vec<Value> = (0..50).map(|i| json!({"Key": i.to_string(), "Value": ""})).collect();
    assert_eq!(code(tag(json!(many))), "InvalidParameterException");
    assert_eq!(code(tag(json!([{"Key": "aws:x", "Value": ""}]))), "InvalidParameterException");
}

/// The credentials of the platform's role.
fn platform(cluster: &Cluster) -> super::sigv4::Credentials {
    cluster.assume("trinity-external-secrets", &Cluster::token(|_| {})).unwrap()
}

#[test]
fn a_batch_has_the_values_that_may_be_read_and_errors_for_the_others() {
    let cluster = Cluster::filled();
    let batch = |by: &_, request: Value| cluster.call(by, "BatchGetSecretValue", request);
    let ids = json!({"SecretIdList": ["tagged", "forbidden", "witness/absent"]});
    assert_eq!(code(batch(&platform(&cluster), ids.clone())), "AccessDeniedException");
    let subject = Cluster::token(|t| t["sub"] = json!("system:serviceaccount:default:witness"));
    let witness = cluster.assume("trinity-witness", &subject).unwrap();
    let answer = batch(&witness, ids).unwrap();
    let values: Vec<&Value> = answer["SecretValues"].as_array().unwrap().iter().map(|v| &v["SecretString"]).collect();
    assert_eq!(values, [&json!("value of canary")]);
    let errors: Vec<&Value> = answer["Errors"].as_array().unwrap().iter().map(|e| &e["ErrorCode"]).collect();
    assert_eq!(errors, [&json!("AccessDeniedException"), &json!("ResourceNotFoundException")]);
    let filtered = json!({"Filters": [{"Key": "tag-key", "Values": ["witness"]}], "MaxResults": 1});
    let answer = batch(&witness, filtered).unwrap();
    assert_eq!(answer["SecretValues"][0]["Name"], "tagged");
    for wrong in
        [json!({}), json!({"SecretIdList": ["a"], "MaxResults": 1}), json!({"SecretIdList": ["a"], "Filters": []})]
    {
        assert_eq!(code(batch(&witness, wrong)), "InvalidParameterException");
    }
}

#[test]
fn a_policy_can_demand_that_the_label_is_named() {
    let cluster = Cluster::filled();
    let declared = Cluster::declared()
        + "\n---\naws_iam_role_policy:\n  powerless:\n    name: p\n    role: trinity-powerless\n    policy:\n      Statement:\n        \
           Effect: Allow\n        Action: secretsmanager:GetSecretValue\n        Resource: '*'\n        Condition:\n          \
           StringEquals:\n            secretsmanager:VersionStage: AWSCURRENT\n";
    cluster.account.declare(&declared).unwrap();
    let subject = Cluster::token(|t| t["sub"] = json!("system:serviceaccount:default:default"));
    let caller = cluster.assume("trinity-powerless", &subject).unwrap();
    let read = |request: Value| code(cluster.call(&caller, "GetSecretValue", request));
    assert_eq!(read(json!({"SecretId": "forbidden", "VersionStage": "AWSCURRENT"})), "success");
    assert_eq!(read(json!({"SecretId": "forbidden"})), "AccessDeniedException");
    assert_eq!(read(json!({"SecretId": "forbidden", "VersionStage": "AWSPREVIOUS"})), "AccessDeniedException");
}

#[test]
fn a_policy_on_a_secret_lets_in_and_keeps_out() {
    let cluster = Cluster::filled();
    let (us, role) = (platform(&cluster), format!("arn:aws:iam::{ACCOUNT}:role/trinity-external-secrets"));
    let read = |secret: &str| code(cluster.call(&us, "GetSecretValue", json!({"SecretId": secret})));
    let policy = |secret: &str, effect: &str, principal: Value| {
        let statement = json!({"Effect": effect, "Principal": principal, "Action": "secretsmanager:GetSecretValue", "Resource": "*"});
        let text = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        let put = cluster.ask("PutResourcePolicy", json!({"SecretId": secret, "ResourcePolicy": text}));
        let got = cluster.ask("GetResourcePolicy", json!({"SecretId": secret})).unwrap();
        assert_eq!(got["ResourcePolicy"], text);
        put.unwrap();
    };
    assert_eq!(read("forbidden"), "AccessDeniedException");
    policy("forbidden", "Allow", json!({"AWS": role}));
    assert_eq!(read("forbidden"), "success");
    policy("forbidden", "Allow", json!({"AWS": ACCOUNT}));
    assert_eq!(read("forbidden"), "AccessDeniedException");
    policy("provider-test-secret", "Deny", json!({"AWS": role}));
    assert_eq!(read("provider-test-secret"), "AccessDeniedException");
    cluster.ask("DeleteResourcePolicy", json!({"SecretId": "provider-test-secret"})).unwrap();
    assert_eq!(read("provider-test-secret"), "success");
    let put = |text: &str, block: bool| {
        code(cluster.ask(
            "PutResourcePolicy",
            json!({"SecretId": "forbidden", "ResourcePolicy": text, "BlockPublicPolicy": block}),
        ))
    };
    assert_eq!(put("{}", false), "MalformedPolicyDocumentException");
    let public = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}"#;
    assert_eq!(put(public, true), "PublicPolicyException");
    let validated = cluster.ask("ValidateResourcePolicy", json!({"ResourcePolicy": public})).unwrap();
    assert_eq!(validated["PolicyValidationPassed"], false);
}

#[test]
fn sessions_of_before_a_date_can_be_revoked() {
    let cluster = Cluster::filled();
    let us = platform(&cluster);
    let read = |by: &_| code(cluster.call(by, "GetSecretValue", json!({"SecretId": "provider-test-secret"})));
    assert_eq!(read(&us), "success");
    cluster.account.ground.clock.advance(10);
    let now = cluster.account.ground.clock.now();
    let revoke = format!(
        "\n---\naws_iam_role_policy:\n  revoke:\n    name: AWSRevokeOlderSessions\n    role: trinity-external-secrets\n    policy:\n      \
         Statement: {{Effect: Deny, Action: '*', Resource: '*', Condition: {{DateLessThan: {{'aws:TokenIssueTime': '{now}'}}}}}}\n"
    );
    cluster.account.declare(&(Cluster::declared() + &revoke)).unwrap();
    assert_eq!(read(&us), "AccessDeniedException");
    assert_eq!(read(&platform(&cluster)), "success");
}

#[test]
fn a_session_ends() {
    let cluster = Cluster::filled();
    let us = platform(&cluster);
    cluster.account.ground.clock.advance(3600);
    assert_eq!(
        code(cluster.call(&us, "GetSecretValue", json!({"SecretId": "provider-test-secret"}))),
        "ExpiredTokenException"
    );
}

#[test]
fn what_is_not_played_is_refused_and_reported() {
    let cluster = created("app");
    let administrator = &cluster.account.administrator.credentials;
    for (action, request) in [
        ("RotateSecret", json!({"SecretId": "app"})),
        ("ReplicateSecretToRegions", json!({"SecretId": "app"})),
        (
            "PutSecretValue",
            json!({"SecretId": "app", "SecretString": "x", "ClientRequestToken": TOKEN[1], "RotationToken": "x"}),
        ),
        ("CreateSecret", json!({"Name": "b", "ClientRequestToken": TOKEN[1], "KmsKeyId": "mine"})),
    ] {
        let host = super::fixture::SECRETS_MANAGER;
        let target = format!("secretsmanager.{action}");
        let request = administrator.request(host, REGION, Some(&target), request.to_string()).unwrap();
        let answer = cluster.answer(host, request);
        assert!(answer.note.finding && answer.response.status() == 400, "{action}");
    }
    assert_eq!(code(cluster.ask("Nonsense", json!({}))), "UnknownOperationException");
}

#[tokio::test]
async fn what_is_applied_can_be_applied_again() {
    let account = Cluster::new().account;
    account.apply(&values()).await.unwrap();
    assert_eq!(account.read("provider-test-secret").await.unwrap(), "value of provider_test");
    account.apply(&values()).await.unwrap();
    let versions = |name: &str| account.secrets().find(name).unwrap().versions().len();
    assert_eq!(versions("provider-test-secret"), 1);
    let mut changed = values();
    changed.insert("provider_test".into(), "changed".into());
    account.apply(&changed).await.unwrap();
    assert_eq!((versions("provider-test-secret"), versions("trinity-canary")), (2, 1));
    account.write("new", "one").await.unwrap();
    account.write("new", "two").await.unwrap();
    assert_eq!(account.read("new").await.unwrap(), "two");
    assert!(account.apply(&[].into()).await.is_err(), "a value is missing");
}

#[tokio::test]
async fn what_is_scheduled_for_deletion_is_neither_restored_nor_purged_by_applying() {
    let account = Cluster::new().account;
    account.apply(&values()).await.unwrap();
    account.delete("provider-test-secret").await.unwrap();
    let error = account.apply(&values()).await.unwrap_err().to_string();
    assert!(error.contains("provider-test-secret") && error.contains("RestoreSecret"), "{error}");
    assert!(!error.contains("value of provider_test"), "{error}");
    // The window that is declared for it.
    account.ground.clock.advance(7 * 86_400);
    account.apply(&values()).await.unwrap();
}

#[test]
fn a_declaration_that_is_none_leaves_the_old_one() {
    let cluster = Cluster::filled();
    for wrong in
        ["nonsense", "aws_iam_group: {}", "aws_iam_role_policy: {a: {name: p, role: absent, policy: {Statement: []}}}"]
    {
        assert!(cluster.account.declare(wrong).is_err(), "{wrong}");
    }
    let read = cluster.call(&platform(&cluster), "GetSecretValue", json!({"SecretId": "provider-test-secret"}));
    assert_eq!(code(read), "success");
}

#[test]
fn trouble_is_in_the_services_own_form() {
    let account = Cluster::new().account;
    let request = axum::http::Request::post("/").body(bytes::Bytes::new()).unwrap();
    for (trouble, status, expected) in [
        (Trouble::Throttled, 400, json!({"__type": "ThrottlingException", "Message": "Rate exceeded"})),
        (
            Trouble::Internal,
            500,
            json!({"__type": "InternalServiceError", "Message": "An error occurred on the server side."}),
        ),
    ] {
        let answer = Cloud::trouble(&account, super::fixture::SECRETS_MANAGER, &request, trouble);
        assert_eq!(answer.response.status(), status);
        assert_eq!(body(answer), expected.to_string());
    }
}

#[test]
fn operations_are_named_as_policies_name_them() {
    let account = Cluster::new().account;
    let name = |host: &str, target: &str, body: &str| {
        let request = axum::http::Request::post("/").header("x-amz-target", target);
        Cloud::operation(&account, host, &request.body(bytes::Bytes::from(body.to_owned())).unwrap())
    };
    let (sts, secrets) = (super::fixture::STS, super::fixture::SECRETS_MANAGER);
    assert_eq!(name(secrets, "secretsmanager.GetSecretValue", ""), "secretsmanager:GetSecretValue");
    assert_eq!(name(sts, "", "Action=AssumeRoleWithWebIdentity"), "sts:AssumeRoleWithWebIdentity");
    assert_eq!(name(sts, "", "Action=a%0Ab%00c"), "sts:abc");
    assert_eq!(name(sts, "", &format!("Action={}", "x".repeat(1000))).len(), 68);
}

proptest! {
    /// Whatever arrives is answered, and nobody who cannot sign gets in.
    #[test]
    fn no_request_breaks_the_services(body in any::<Vec<u8>>(), query in "[ -~]{0,40}", target in "[ -~]{0,40}", token in "[ -~]{0,60}") {
        static ACCOUNT: LazyLock<Cluster> = LazyLock::new(Cluster::filled);
        let form: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRoleWithWebIdentity")
            .append_pair("RoleArn", "arn:aws:iam::111122223333:role/trinity-canary")
            .append_pair("RoleSessionName", "test")
            .append_pair("WebIdentityToken", &token)
            .finish();
        for (host, body) in [
            (super::fixture::SECRETS_MANAGER, body.clone()),
            (super::fixture::STS, body),
            (super::fixture::STS, form.into_bytes()),
        ] {
            let path = format!("/?{}", form_urlencoded::byte_serialize(query.as_bytes()).collect::<String>());
            let request = axum::http::Request::post(path).header("x-amz-target", &target).header("authorization", &query);
            let request = request.body(bytes::Bytes::from(body)).unwrap();
            prop_assert!(Cloud::operation(&ACCOUNT.account, host, &request).len() < 100);
            prop_assert!(ACCOUNT.answer(host, request).response.status().is_client_error());
        }
    }

    /// Whatever a caller who may do all asks for, the answer is one of the service, and no panic.
    #[test]
    fn no_body_breaks_an_operation(
        action in "(Create|Delete|Describe|Restore|Update|List)Secret(s|VersionIds|VersionStage)?|(Get|Put|BatchGet)SecretValue|GetRandomPassword",
        text in ".{0,20}",
        number in any::<i64>(),
        place in 0usize..12,
    ) {
        static ACCOUNT: LazyLock<Cluster> = LazyLock::new(|| created("app"));
        let mut request = json!({"SecretId": "app", "Name": "other", "ClientRequestToken": TOKEN[2], "SecretString": "x"});
        let member = [
            "SecretId", "Name", "ClientRequestToken", "VersionId", "VersionStage", "MaxResults", "NextToken",
            "RecoveryWindowInDays", "PasswordLength", "MoveToVersionId", "SecretIdList", "Filters",
        ][place];
        request[member] = match place {
            5 | 7 | 8 => json!(number),
            10 => json!([text]),
            11 => json!([{"Key": "name", "Values": [text]}]),
            _ => json!(text),
        };
        let target = format!("secretsmanager.{action}");
        let host = super::fixture::SECRETS_MANAGER;
        let by = &ACCOUNT.account.administrator.credentials;
        let answer = ACCOUNT.answer(host, by.request(host, REGION, Some(&target), request.to_string()).unwrap());
        prop_assert!([200, 400].contains(&answer.response.status().as_u16()));
    }
}
