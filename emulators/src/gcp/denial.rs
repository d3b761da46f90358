//! The denial matrix: what stands between a caller and a value, each taken alone. The whole chain runs on real request
//! bytes: the cluster's token, the exchange, the impersonation, the value.

use serde_json::json;

use super::fixture::{CANARY, Cluster};
use crate::{
    check::{ALL, Check, without},
    cloud::Cloud,
};

/// One way in that must be closed.
struct Row {
    name: &'static str,
    check: Check,
    /// The cloud's code.
    code: &'static str,
    attempt: Attempt,
}

/// What the caller does otherwise than right.
enum Attempt {
    Token(fn() -> String),
    Account(&'static str),
    Secret(&'static str),
    Revoked,
}

const MATRIX: [Row; 13] = [
    Row {
        name: "forged signature",
        check: Check::Signature,
        code: "invalid_grant",
        attempt: Attempt::Token(|| Cluster::forged(|_| {})),
    },
    Row {
        name: "wrong aud",
        check: Check::Audience,
        code: "invalid_grant",
        attempt: Attempt::Token(|| Cluster::token(|c| c["aud"] = json!(["https://kubernetes.default.svc"]))),
    },
    Row {
        name: "wrong iss",
        check: Check::Issuer,
        code: "invalid_grant",
        attempt: Attempt::Token(|| Cluster::token(|c| c["iss"] = json!("https://example.com"))),
    },
    Row {
        name: "wrong sub (namespace)",
        check: Check::Namespace,
        code: "PERMISSION_DENIED",
        attempt: Attempt::Token(|| Cluster::token(|c| c["sub"] = json!("system:serviceaccount:kube-system:default"))),
    },
    Row {
        name: "wrong sub (name)",
        check: Check::Name,
        code: "PERMISSION_DENIED",
        attempt: Attempt::Token(|| Cluster::token(|c| c["sub"] = json!("system:serviceaccount:default:another"))),
    },
    Row {
        name: "expired",
        check: Check::Expiry,
        code: "invalid_grant",
        attempt: Attempt::Token(|| Cluster::token(|c| c["exp"] = json!(c["iat"].as_i64().unwrap() - 1))),
    },
    Row {
        name: "not yet valid",
        check: Check::NotBefore,
        code: "invalid_grant",
        attempt: Attempt::Token(|| Cluster::token(|c| c["nbf"] = json!(c["iat"].as_i64().unwrap() + 600))),
    },
    Row {
        name: "token of another world",
        check: Check::World,
        code: "invalid_grant",
        attempt: Attempt::Token(|| Cluster::forged(|c| c["iss"] = json!("https://example.com"))),
    },
    Row {
        name: "missing binding",
        check: Check::Binding,
        code: "PERMISSION_DENIED",
        attempt: Attempt::Account("trinity-unbound@trinity-dev.iam.gserviceaccount.com"),
    },
    Row {
        name: "identity without permission",
        check: Check::Permission,
        code: "PERMISSION_DENIED",
        attempt: Attempt::Account("trinity-powerless@trinity-dev.iam.gserviceaccount.com"),
    },
    Row {
        name: "permission on another secret",
        check: Check::Resource,
        code: "PERMISSION_DENIED",
        attempt: Attempt::Secret("forbidden"),
    },
    Row {
        name: "disabled identity",
        check: Check::Disabled,
        code: "PERMISSION_DENIED",
        attempt: Attempt::Account("trinity-disabled@trinity-dev.iam.gserviceaccount.com"),
    },
    Row { name: "revoked mid-run", check: Check::Revocation, code: "PERMISSION_DENIED", attempt: Attempt::Revoked },
];

/// Who and what is right.
const SECRET: &str = "trinity-canary";

impl Row {
    /// The value, or the code of the first refusal.
    fn run(&self) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let cluster = Cluster::applied().await;
            let right = || Cluster::token(|_| {});
            let (token, account, secret) = match self.attempt {
                Attempt::Token(make) => (make(), CANARY, SECRET),
                Attempt::Account(account) => (right(), account, SECRET),
                Attempt::Secret(secret) => (right(), CANARY, secret),
                Attempt::Revoked => (right(), CANARY, SECRET),
            };
            let federated = cluster.federated(&token).await?;
            let access = cluster.impersonated(&federated, account).await?;
            if matches!(self.attempt, Attempt::Revoked) {
                assert_eq!(cluster.value(&access, secret).await.unwrap(), "value of canary");
                let grant = "member: serviceAccount:trinity-canary@";
                let declared = Cluster::declared().replace(grant, "member: serviceAccount:nobody@");
                cluster.project.declare(&declared).unwrap();
            }
            cluster.value(&access, secret).await
        })
    }
}

#[test]
fn every_row_is_refused_with_the_clouds_code() {
    for row in MATRIX {
        assert_eq!(row.run(), Err(row.code.to_owned()), "{}", row.name);
    }
}

#[test]
fn every_row_is_refused_by_its_own_check_alone() {
    for taken in MATRIX {
        for row in MATRIX {
            let outcome = without(taken.check, || row.run());
            let let_in = match (row.check, taken.check) {
                // A cloud that takes strangers' tokens at their word takes those of a misnamed issuer, too.
                (Check::Issuer, Check::World) => true,
                // What has been revoked is from then on lacking like what was never granted.
                (Check::Revocation, Check::Permission) => true,
                (of_row, taken) => of_row == taken,
            };
            let expected = match let_in {
                true => Ok("value of canary".to_owned()),
                false => Err(row.code.to_owned()),
            };
            assert_eq!(outcome, expected, "{} without the check of {}", row.name, taken.name);
        }
    }
}

#[test]
fn the_matrix_has_every_check_once() {
    for check in ALL {
        assert_eq!(MATRIX.iter().filter(|row| row.check == check).count(), 1, "{check:?}");
    }
}
