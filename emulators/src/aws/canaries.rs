//! The canaries of an AWS account, see [`crate::canary`].

use jiff::Timestamp;
use reqwest::Client;
use serde_json::{Value, json};

use super::sigv4::{Signer, sha256_hex};
use crate::{
    Attempt, Result,
    canary::{Outcome, Probe, SUCCESS},
    config,
};

/// Names that the declared set-up of every account gives to what canaries touch: a role that may read
/// `trinity-canary`, the same without a policy, a secret outside its policy, and one that a statement denies.
const ROLE: &str = "trinity-canary";
const POWERLESS: &str = "trinity-powerless";
const SECRET: &str = "trinity-canary";
const FORBIDDEN: &str = "forbidden";
const DENIED: &str = "trinity-denied";

struct Credentials {
    key: String,
    secret: String,
    token: String,
}

/// Sends all canaries.
pub(crate) async fn run(probe: &Probe, account: &config::Aws) -> Result<Vec<Outcome>> {
    let caller = Caller {
        account,
        sts: format!("sts.{}.amazonaws.com", account.region),
        secretsmanager: format!("secretsmanager.{}.amazonaws.com", account.region),
    };
    let client = probe.client(&[&caller.sts, &caller.secretsmanager])?;
    let mut outcomes = Vec::new();
    let mut note = |name: &str, expected: &str, seen: String| {
        outcomes.push(Outcome { name: name.into(), expected: expected.into(), seen });
    };
    for forgery in probe.forgeries()?.into_iter().chain(probe.strangers()?) {
        let expected = match forgery.name {
            "expired" => "ExpiredTokenException",
            name if name.starts_with("wrong sub") => "AccessDenied",
            _ => "InvalidIdentityToken",
        };
        let seen = caller.assume(&client, ROLE, &forgery.token).await?.err();
        note(forgery.name, expected, seen.unwrap_or_else(|| SUCCESS.into()));
    }
    let good = caller.assume(&client, ROLE, &probe.token).await?;
    note("a token that is right", SUCCESS, good.as_ref().err().cloned().unwrap_or_else(|| SUCCESS.into()));
    if let Ok(credentials) = good {
        note("a secret that the role may read", SUCCESS, caller.read(&client, &credentials, SECRET).await?);
        note("wrong secret", "AccessDeniedException", caller.read(&client, &credentials, FORBIDDEN).await?);
        note("explicitly denied secret", "AccessDeniedException", caller.read(&client, &credentials, DENIED).await?);
        note("absent secret", "ResourceNotFoundException", caller.read(&client, &credentials, "trinity-absent").await?);
        let tampered = Credentials { secret: "0".repeat(40), ..credentials };
        note("forged request", "InvalidSignatureException", caller.read(&client, &tampered, SECRET).await?);
    }
    match caller.assume(&client, POWERLESS, &probe.token).await? {
        Ok(powerless) => {
            note("role without policy", "AccessDeniedException", caller.read(&client, &powerless, SECRET).await?)
        }
        Err(code) => note("role without policy", "AccessDeniedException", code),
    }
    Ok(outcomes)
}

struct Caller<'a> {
    account: &'a config::Aws,
    sts: String,
    secretsmanager: String,
}

impl Caller<'_> {
    /// AssumeRoleWithWebIdentity; the inner error is AWS's code.
    async fn assume(&self, client: &Client, role: &str, token: &str) -> Result<Result<Credentials, String>> {
        let host = &self.sts;
        let attempted = || format!("call https://{host}/");
        let role = format!("arn:aws:iam::{}:role/{role}", self.account.account);
        let body = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=canary&RoleArn={role}&WebIdentityToken={token}"
        );
        let response = client
            .post(format!("https://{host}/"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .attempting(attempted)?;
        let text = response.text().await.attempting(attempted)?;
        let element = |name: &str| {
            let rest = text.split_once(&format!("<{name}>"))?.1;
            rest.split_once(&format!("</{name}>")).map(|(value, _)| value.to_owned())
        };
        Ok(match (element("AccessKeyId"), element("SecretAccessKey"), element("SessionToken")) {
            (Some(key), Some(secret), Some(token)) => Ok(Credentials { key, secret, token }),
            _ => Err(element("Code").unwrap_or_else(|| "an answer without error code".into())),
        })
    }

    /// GetSecretValue: `success`, or AWS's code.
    async fn read(&self, client: &Client, credentials: &Credentials, secret: &str) -> Result<String> {
        let host = &self.secretsmanager;
        let attempted = || format!("call https://{host}/");
        let body = json!({"SecretId": secret}).to_string();
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let signer = Signer {
            key: &credentials.key,
            secret: &credentials.secret,
            region: &self.account.region,
            service: "secretsmanager",
        };
        let headers = [
            ("host", host.as_str()),
            ("x-amz-content-sha256", &sha256_hex(body.as_bytes())),
            ("x-amz-date", &time),
            ("x-amz-security-token", &credentials.token),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ];
        let authorization = signer.authorize("POST", "/", &headers, body.as_bytes());
        let mut request = client
            .post(format!("https://{host}/"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", authorization);
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await.attempting(attempted)?;
        if response.status().is_success() {
            return Ok(SUCCESS.into());
        }
        let error: Value = response.json().await.attempting(attempted)?;
        Ok(error["__type"].as_str().unwrap_or("an answer without error code").to_owned())
    }
}
