//! The denial matrix: every row is a chain from a token to a value that is broken in one point. AWS refuses it there
//! with its code, and a cloud that did not make the row's check would give the value away.

use jiff::Timestamp;
use serde_json::json;

use super::fixture::{Cluster, ISSUER};
use crate::check::{ALL, Check, without};

/// The secret that the platform may read.
const SECRET: &str = "provider-test-secret";
/// The platform's role.
const PLATFORM: &str = "trinity-external-secrets";
/// What canaries trust and read.
const CANARY: &str = "trinity-canary";

/// What lets the platform's role read it.
const GRANT: &str = "  external_secrets:
    role: trinity-external-secrets
    policy_arn: arn:aws:iam::${account}:policy/trinity-external-secrets
";

struct Row {
    name: &'static str,
    check: Check,
    /// Error code.
    refused: &'static str,
    /// Other checks without which it would succeed too, since what it lacks is looked at twice.
    also: &'static [Check],
    /// The value that was read, or AWS's code.
    attempt: fn(&Cluster) -> Result<String, String>,
}

const fn row(
    name: &'static str,
    check: Check,
    refused: &'static str,
    attempt: fn(&Cluster) -> Result<String, String>,
) -> Row {
    Row { name, check, refused, also: &[], attempt }
}

const ROWS: [Row; 13] = [
    row("forged signature", Check::Signature, "InvalidIdentityToken", |c| {
        chain(c, PLATFORM, &Cluster::strange(|_| {}), SECRET)
    }),
    row("wrong aud", Check::Audience, "InvalidIdentityToken", |c| {
        chain(c, PLATFORM, &Cluster::token(|t| t["aud"] = json!(["https://kubernetes.default.svc"])), SECRET)
    }),
    Row {
        // A token that is taken at its word need not be forged.
        also: &[Check::World],
        ..row("wrong iss", Check::Issuer, "InvalidIdentityToken", |c| {
            chain(c, PLATFORM, &Cluster::token(|t| t["iss"] = json!(format!("{ISSUER}/another"))), SECRET)
        })
    },
    row("wrong sub (namespace)", Check::Namespace, "AccessDenied", |c| {
        chain(
            c,
            PLATFORM,
            &Cluster::token(|t| t["sub"] = json!("system:serviceaccount:default:external-secrets")),
            SECRET,
        )
    }),
    row("wrong sub (name)", Check::Name, "AccessDenied", |c| {
        chain(
            c,
            PLATFORM,
            &Cluster::token(|t| t["sub"] = json!("system:serviceaccount:external-secrets:default")),
            SECRET,
        )
    }),
    row("expired", Check::Expiry, "ExpiredTokenException", |c| {
        chain(c, PLATFORM, &Cluster::token(|t| t["exp"] = json!(Timestamp::now().as_second() - 1)), SECRET)
    }),
    row("not yet valid", Check::NotBefore, "InvalidIdentityToken", |c| {
        chain(c, PLATFORM, &Cluster::token(|t| t["nbf"] = json!(Timestamp::now().as_second() + 60)), SECRET)
    }),
    row("token of another world", Check::World, "InvalidIdentityToken", |c| {
        chain(c, PLATFORM, &Cluster::strange(|t| t["iss"] = json!(format!("{ISSUER}/another"))), SECRET)
    }),
    row("missing binding", Check::Binding, "AccessDenied", |c| chain(c, "trinity-unbound", &canary(), CANARY)),
    row("identity without permission", Check::Permission, "AccessDeniedException", |c| {
        chain(c, "trinity-powerless", &canary(), CANARY)
    }),
    row("permission on another secret", Check::Resource, "AccessDeniedException", |c| {
        chain(c, CANARY, &canary(), "forbidden")
    }),
    row("disabled identity", Check::Disabled, "AccessDeniedException", |c| {
        chain(c, "trinity-disabled", &canary(), CANARY)
    }),
    Row {
        // Without the grant the identity has no permission at all.
        also: &[Check::Permission],
        ..row("revoked mid-run", Check::Revocation, "AccessDeniedException", |c| {
            let credentials = c.assume(PLATFORM, &Cluster::token(|_| {}))?;
            let before = c.call(&credentials, "GetSecretValue", json!({"SecretId": SECRET}));
            assert!(before.is_ok(), "the credentials were good: {before:?}");
            let revoked = Cluster::declared().replace(GRANT, "");
            assert_ne!(revoked, Cluster::declared());
            c.account.declare(&revoked).unwrap();
            let after = c.call(&credentials, "GetSecretValue", json!({"SecretId": SECRET}));
            c.account.declare(&Cluster::declared()).unwrap();
            after.map(|answer| answer["SecretString"].as_str().unwrap().to_owned())
        })
    },
];

/// A token of the service account that canaries' roles trust.
fn canary() -> String {
    Cluster::token(|t| t["sub"] = json!("system:serviceaccount:default:default"))
}

/// Token, exchange, value.
fn chain(cluster: &Cluster, role: &str, token: &str, secret: &str) -> Result<String, String> {
    let credentials = cluster.assume(role, token)?;
    let answer = cluster.call(&credentials, "GetSecretValue", json!({"SecretId": secret}))?;
    Ok(answer["SecretString"].as_str().unwrap().to_owned())
}

#[test]
fn a_chain_without_a_fault_reads_the_value() {
    let cluster = Cluster::filled();
    assert_eq!(chain(&cluster, PLATFORM, &Cluster::token(|_| {}), SECRET), Ok("value of provider_test".into()));
    assert_eq!(chain(&cluster, CANARY, &canary(), CANARY), Ok("value of canary".into()));
}

#[test]
fn every_row_is_refused_with_the_clouds_code() {
    let cluster = Cluster::filled();
    for row in ROWS {
        assert_eq!((row.attempt)(&cluster), Err(row.refused.into()), "{}", row.name);
    }
}

#[test]
fn every_row_is_let_through_without_its_check_and_no_other() {
    let cluster = Cluster::filled();
    for mutant in ROWS {
        for row in ROWS {
            let outcome = without(mutant.check, || (row.attempt)(&cluster));
            let open = row.check == mutant.check || row.also.contains(&mutant.check);
            assert_eq!(outcome.is_ok(), open, "{} without {:?}: {outcome:?}", row.name, mutant.check);
        }
    }
}

#[test]
fn every_check_has_a_row() {
    for check in ALL {
        assert_eq!(ROWS.iter().filter(|row| row.check == check).count(), 1, "{check:?}");
    }
}
