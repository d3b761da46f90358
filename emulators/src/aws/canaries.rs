//! The canaries of an AWS account, see [`crate::canary`].

use reqwest::Client;
use serde_json::{Value, json};

use super::sigv4::Credentials;
use crate::{
    Attempt, Result,
    canary::{Outcome, Probe, SUCCESS},
    config,
};

/// Names that the declared set-up of every account gives to what canaries touch: a role that may read
/// `trinity-canary`, the same without a policy, with `AWSDenyAll`, and trusting another cluster; a secret outside its
/// policy, and one that a statement denies.
const ROLE: &str = "trinity-canary";
const POWERLESS: &str = "trinity-powerless";
const DISABLED: &str = "trinity-disabled";
const UNBOUND: &str = "trinity-unbound";
const SECRET: &str = "trinity-canary";
const FORBIDDEN: &str = "forbidden";
const DENIED: &str = "trinity-denied";
const ABSENT: &str = "trinity-absent";

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
    let code = |outcome: Result<Credentials, String>| outcome.err().unwrap_or_else(|| SUCCESS.into());
    for forgery in probe.forgeries()?.into_iter().chain(probe.strangers()?) {
        let expected = match forgery.name {
            "expired" => "ExpiredTokenException",
            name if name.starts_with("wrong sub") => "AccessDenied",
            _ => "InvalidIdentityToken",
        };
        note(forgery.name, expected, code(caller.assume(&client, ROLE, &forgery.token).await?));
    }
    for role in [UNBOUND, "trinity-nobody"] {
        note("missing binding", "AccessDenied", code(caller.assume(&client, role, &probe.token).await?));
    }
    match caller.assume(&client, ROLE, &probe.token).await? {
        Ok(good) => {
            note("a token that is right", SUCCESS, SUCCESS.into());
            for (name, expected, secret) in [
                ("a secret that the identity may read", SUCCESS, SECRET),
                ("permission on another secret", "AccessDeniedException", FORBIDDEN),
                ("explicitly denied secret", "AccessDeniedException", DENIED),
                ("absent secret", "ResourceNotFoundException", ABSENT),
            ] {
                note(name, expected, caller.read(&client, &good, secret).await?);
            }
            let tampered = Credentials { secret: "0".repeat(40), ..good.clone() };
            note("forged request", "InvalidSignatureException", caller.read(&client, &tampered, SECRET).await?);
            let stolen = Credentials { token: None, ..good };
            note("key without its token", "UnrecognizedClientException", caller.read(&client, &stolen, SECRET).await?);
        }
        Err(refused) => note("a token that is right", SUCCESS, refused),
    }
    for (name, role) in [("identity without permission", POWERLESS), ("disabled identity", DISABLED)] {
        let seen = match caller.assume(&client, role, &probe.token).await? {
            Ok(credentials) => caller.read(&client, &credentials, SECRET).await?,
            Err(refused) => refused,
        };
        note(name, "AccessDeniedException", seen);
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
            (Some(key), Some(secret), token @ Some(_)) => Ok(Credentials { key, secret, token }),
            _ => Err(element("Code").unwrap_or_else(|| "an answer without error code".into())),
        })
    }

    /// GetSecretValue: `success`, or AWS's code.
    async fn read(&self, client: &Client, credentials: &Credentials, secret: &str) -> Result<String> {
        let (host, body) = (&self.secretsmanager, json!({"SecretId": secret}).to_string());
        let attempted = || format!("call https://{host}/");
        let target = Some("secretsmanager.GetSecretValue");
        let mut request = credentials.request(host, &self.account.region, target, body)?;
        // The client writes this one itself.
        request.headers_mut().remove("host");
        let request = reqwest::Request::try_from(request).attempting(attempted)?;
        let response = client.execute(request).await.attempting(attempted)?;
        if response.status().is_success() {
            return Ok(SUCCESS.into());
        }
        let error: Value = response.json().await.attempting(attempted)?;
        Ok(error["__type"].as_str().unwrap_or("an answer without error code").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::Gateway;

    #[tokio::test]
    async fn all_behave_through_the_gateway() {
        Gateway::start("aws").await.withstands_canaries(19).await;
    }
}
