//! The denial matrix: whoever is wrong in one point is refused with the code for it, and would be let in if that point
//! were not checked. The second half proves that the first is about that point.

use serde_json::{Value, json};

use super::fixture::{CANARIES, CANARY, Cluster, DISABLED, PLATFORM, POLICIES, POWERLESS, UNBOUND, VAULT};
use crate::{
    check::{ALL, Check, without},
    cloud::Cloud,
};

const SECRETS: &str = "https://vault.azure.net/.default";
const MANAGEMENT: &str = "https://management.azure.com/.default";

/// The value, or the cloud's code.
type Outcome = Result<String, String>;

/// One way to be wrong.
struct Row {
    name: &'static str,
    check: Check,
    code: &'static str,
    attempt: fn(&Cluster) -> Outcome,
}

/// The whole chain with a token of the cluster: exchange, then read the platform's secret.
fn chain(cluster: &Cluster, token: &str) -> Outcome {
    read_as(cluster, PLATFORM, token, VAULT, "provider-test-secret")
}

fn read_as(cluster: &Cluster, client: &str, token: &str, vault: &str, secret: &str) -> Outcome {
    let token = cluster.exchange(client, token, SECRETS)?;
    cluster.read(&token, vault, secret)
}

fn moved(claims: &mut Value, seconds: i64) {
    for claim in ["iat", "nbf", "exp"] {
        claims[claim] = json!(claims[claim].as_i64().unwrap() + seconds);
    }
}

fn of_canary(claims: &mut Value) {
    claims["sub"] = json!("system:serviceaccount:default:default");
}

const ROWS: &[Row] = &[
    Row {
        name: "forged signature",
        check: Check::Signature,
        code: "AADSTS50013",
        attempt: |cluster| chain(cluster, &Cluster::forged(|_| {})),
    },
    Row {
        name: "forged access token",
        check: Check::Signature,
        code: "Unauthorized",
        attempt: |cluster| {
            let good = cluster.exchange(PLATFORM, &Cluster::issued(|_| {}), SECRETS)?;
            let other = cluster.exchange(CANARY, &Cluster::issued(of_canary), SECRETS)?;
            let signature = other.rsplit_once('.').unwrap().1;
            let forged = format!("{}.{signature}", good.rsplit_once('.').unwrap().0);
            cluster.read(&forged, VAULT, "provider-test-secret")
        },
    },
    Row {
        name: "wrong aud",
        check: Check::Audience,
        code: "AADSTS700212",
        attempt: |cluster| chain(cluster, &Cluster::issued(|c| c["aud"] = json!(["sts.amazonaws.com"]))),
    },
    Row {
        name: "access token for another API",
        check: Check::Audience,
        code: "Unauthorized",
        attempt: |cluster| {
            let token = cluster.exchange(PLATFORM, &Cluster::issued(|_| {}), MANAGEMENT)?;
            cluster.read(&token, VAULT, "provider-test-secret")
        },
    },
    Row {
        name: "wrong iss",
        check: Check::Issuer,
        code: "AADSTS700211",
        attempt: |cluster| chain(cluster, &Cluster::issued(|c| c["iss"] = json!("https://example.com/"))),
    },
    Row {
        name: "wrong sub (namespace)",
        check: Check::Namespace,
        code: "AADSTS700213",
        attempt: |cluster| {
            let subject = json!("system:serviceaccount:default:external-secrets");
            chain(cluster, &Cluster::issued(|c| c["sub"] = subject))
        },
    },
    Row {
        name: "wrong sub (name)",
        check: Check::Name,
        code: "AADSTS700213",
        attempt: |cluster| {
            let subject = json!("system:serviceaccount:external-secrets:default");
            chain(cluster, &Cluster::issued(|c| c["sub"] = subject))
        },
    },
    Row {
        name: "expired",
        check: Check::Expiry,
        code: "AADSTS700024",
        attempt: |cluster| chain(cluster, &Cluster::issued(|c| moved(c, -100_000))),
    },
    Row {
        name: "expired access token",
        check: Check::Expiry,
        code: "Unauthorized",
        attempt: |cluster| {
            let token = cluster.exchange(PLATFORM, &Cluster::issued(|_| {}), SECRETS)?;
            cluster.tenant.ground.clock.advance(3600);
            cluster.read(&token, VAULT, "provider-test-secret")
        },
    },
    Row {
        name: "not yet valid",
        check: Check::NotBefore,
        code: "AADSTS700024",
        attempt: |cluster| chain(cluster, &Cluster::issued(|c| moved(c, 100_000))),
    },
    Row {
        name: "token of another world",
        check: Check::World,
        code: "AADSTS700211",
        attempt: |cluster| chain(cluster, &Cluster::forged(|c| c["iss"] = json!("https://example.com/"))),
    },
    Row {
        name: "missing binding",
        check: Check::Binding,
        code: "AADSTS70025",
        attempt: |cluster| read_as(cluster, UNBOUND, &Cluster::issued(of_canary), CANARIES, "trinity-canary"),
    },
    Row {
        name: "identity without permission",
        check: Check::Permission,
        code: "ForbiddenByRbac",
        attempt: |cluster| read_as(cluster, POWERLESS, &Cluster::issued(of_canary), CANARIES, "trinity-canary"),
    },
    Row {
        name: "identity without access policy",
        check: Check::Permission,
        code: "AccessDenied",
        attempt: |cluster| read_as(cluster, POWERLESS, &Cluster::issued(of_canary), POLICIES, "trinity-canary"),
    },
    Row {
        name: "permission on another secret",
        check: Check::Resource,
        code: "ForbiddenByRbac",
        attempt: |cluster| read_as(cluster, CANARY, &Cluster::issued(of_canary), CANARIES, "forbidden"),
    },
    Row {
        name: "disabled identity",
        check: Check::Disabled,
        code: "AADSTS7000112",
        attempt: |cluster| read_as(cluster, DISABLED, &Cluster::issued(of_canary), CANARIES, "trinity-canary"),
    },
    Row {
        name: "revoked mid-run",
        check: Check::Revocation,
        code: "ForbiddenByRbac",
        attempt: |cluster| {
            let token = cluster.exchange(PLATFORM, &Cluster::issued(|_| {}), SECRETS)?;
            assert_eq!(cluster.read(&token, VAULT, "provider-test-secret").as_deref(), Ok("value of provider_test"));
            revoke(cluster);
            cluster.read(&token, VAULT, "provider-test-secret")
        },
    },
];

/// Takes the role assignments of the platform's identity away.
fn revoke(cluster: &Cluster) {
    let (principal, nobody) = ("principal_id: aaaaaaaa-0000-4000-8000-000000000000", "principal_id: nobody");
    let text = Cluster::declared();
    let (before, assignments) = text.split_once("azurerm_role_assignment:").unwrap();
    let changed = format!("{before}azurerm_role_assignment:{}", assignments.replace(principal, nobody));
    cluster.tenant.declare(&changed).unwrap();
}

/// Rows that a missing check opens besides its own, because they are special cases.
fn also_opened(check: Check) -> Option<&'static str> {
    match check {
        // Who believes strangers believes whatever issuer a token names.
        Check::World => Some("wrong iss"),
        // Who has lost everything has no permission.
        Check::Permission => Some("revoked mid-run"),
        _ => None,
    }
}

#[test]
fn whoever_is_wrong_in_one_point_is_refused_with_its_code() {
    for row in ROWS {
        assert_eq!((row.attempt)(&Cluster::new()), Err(row.code.into()), "{}", row.name);
    }
    let cluster = Cluster::new();
    assert_eq!(chain(&cluster, &Cluster::issued(|_| {})).as_deref(), Ok("value of provider_test"));
}

#[test]
fn a_check_that_is_not_made_lets_its_rows_through_and_no_others() {
    for check in ALL {
        let mut opened = Vec::new();
        for row in ROWS {
            let cluster = Cluster::new();
            if let Ok(value) = without(check, || (row.attempt)(&cluster)) {
                assert!(value.starts_with("value of "), "{}", row.name);
                opened.push(row.name);
            }
        }
        let mut expected: Vec<_> = ROWS.iter().filter(|row| row.check == check).map(|row| row.name).collect();
        assert!(!expected.is_empty(), "no row needs {check:?}");
        expected.extend(also_opened(check));
        opened.sort_unstable();
        expected.sort_unstable();
        assert_eq!(opened, expected, "without {check:?}");
    }
}

#[test]
fn the_journal_tells_no_permission_and_permission_elsewhere_apart() {
    let cluster = Cluster::new();
    let reason = |client| {
        let token = cluster.exchange(client, &Cluster::issued(of_canary), SECRETS).unwrap();
        let path = "/secrets/forbidden?api-version=7.6";
        cluster.call(&token, "GET", CANARIES, path, &Value::Null).note.reason.unwrap()
    };
    assert_eq!(reason(POWERLESS), "ForbiddenByRbac: no role of the caller has this action in this vault");
    assert_eq!(reason(CANARY), "ForbiddenByRbac: a role of the caller has this action, but for other secrets");
}
