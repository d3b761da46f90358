//! An account for tests: the declared one of the example platform, and a cluster's token key.

use http_body_util::BodyExt;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::Value;

use super::{Account, sigv4::Credentials};
use crate::{
    Answer, Request,
    cloud::Cloud,
    config,
    fixture::{CLUSTER, STRANGER, claims, ground, kid, signed, values, wait},
    seed,
};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "us-east-1";
pub const STS: &str = "sts.us-east-1.amazonaws.com";
pub const SECRETS_MANAGER: &str = "secretsmanager.us-east-1.amazonaws.com";
pub const ISSUER: &str = "https://oidc.eks.us-east-1.amazonaws.com/id/TEST";

/// A cluster that issues tokens, and the account that knows it.
pub struct Cluster {
    pub account: Account,
}

/// The body of an answer.
pub fn body(answer: Answer) -> String {
    let bytes = wait(answer.response.into_body().collect()).unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The text in an element of an XML answer.
fn element(body: &str, name: &str) -> Option<String> {
    let rest = body.split_once(&format!("<{name}>"))?.1;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value.to_owned())
}

impl Cluster {
    /// One whose declared secrets are there.
    pub fn filled() -> Self {
        let cluster = Self::new();
        wait(cluster.account.apply(&values())).unwrap();
        cluster
    }

    pub fn new() -> Self {
        let declared = seed::example_file("aws");
        let config = config::Aws { account: ACCOUNT.into(), region: REGION.into(), declared: declared.path().into() };
        Self { account: Account::open(&config, ground(ISSUER, &format!("{ISSUER}/keys"))).unwrap() }
    }

    /// The declared account.
    pub fn declared() -> String {
        seed::example("aws")
    }

    /// Answers a request as the gateway asks for it.
    pub fn answer(&self, host: &str, request: Request) -> Answer {
        wait(Cloud::answer(&self.account, host, request))
    }

    /// The credentials of a role for a token, or AWS's error code.
    pub fn assume(&self, role: &str, token: &str) -> Result<Credentials, String> {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        let form: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", "2011-06-15"),
                ("RoleSessionName", "test"),
                ("RoleArn", &arn),
                ("WebIdentityToken", token),
            ])
            .finish();
        self.credentials(axum::http::Request::post("/").body(form.into()).unwrap())
    }

    /// The credentials of a role for those of another, or AWS's error code.
    pub fn assume_by(&self, by: &Credentials, role: &str, more: &str) -> Result<Credentials, String> {
        let form = format!("Action=AssumeRole&RoleSessionName=test&RoleArn=arn:aws:iam::{ACCOUNT}:role/{role}{more}");
        self.credentials(by.request(STS, REGION, None, form).unwrap())
    }

    /// What STS says about credentials.
    pub fn identity(&self, of: &Credentials) -> String {
        body(self.answer(STS, of.request(STS, REGION, None, "Action=GetCallerIdentity".into()).unwrap()))
    }

    fn credentials(&self, request: Request) -> Result<Credentials, String> {
        let text = body(self.answer(STS, request));
        let part = |name: &str| element(&text, name);
        match (part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken")) {
            (Some(key), Some(secret), token) => Ok(Credentials { key, secret, token }),
            _ => Err(part("Code").unwrap()),
        }
    }

    /// Secrets Manager's answer, or AWS's error code.
    pub fn call(&self, by: &Credentials, action: &str, request: Value) -> Result<Value, String> {
        let target = format!("secretsmanager.{action}");
        let request = by.request(SECRETS_MANAGER, REGION, Some(&target), request.to_string()).unwrap();
        let answer = self.answer(SECRETS_MANAGER, request);
        let success = answer.response.status().is_success();
        let body: Value = serde_json::from_str(&body(answer)).unwrap();
        if success { Ok(body) } else { Err(body["__type"].as_str().unwrap().to_owned()) }
    }

    /// The same by the administrator.
    pub fn ask(&self, action: &str, request: Value) -> Result<Value, String> {
        self.call(&self.account.administrator.credentials, action, request)
    }

    /// Claims that the role `trinity-external-secrets` trusts, with changes.
    fn claims(change: impl FnOnce(&mut Value)) -> Value {
        claims(ISSUER, "sts.amazonaws.com", "external-secrets:external-secrets", change)
    }

    /// A token of this cluster with changed claims.
    pub fn token(change: impl FnOnce(&mut Value)) -> String {
        CLUSTER.sign(&Self::claims(change))
    }

    /// A token under this cluster's key id that was signed with another key or algorithm.
    pub fn forged(algorithm: Algorithm, key: &EncodingKey) -> String {
        signed(algorithm, &kid(), key, &Self::claims(|_| {}))
    }

    /// A token that somebody else signed under this cluster's key id, with changed claims.
    pub fn strange(change: impl FnOnce(&mut Value)) -> String {
        STRANGER.sign(&Self::claims(change))
    }

    /// A token under another key id.
    pub fn under(kid: &str) -> String {
        signed(Algorithm::RS256, kid, &CLUSTER.key, &Self::claims(|_| {}))
    }
}
