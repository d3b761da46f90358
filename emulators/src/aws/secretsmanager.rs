//! AWS Secrets Manager: who calls (SigV4 against a session of STS), whether they may (IAM), then LocalStack's answer.

use axum::http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    account::{Account, Session},
    iam::{Decision, Document, evaluate},
    sigv4::{Refusal as BadSignature, Signature},
};
use crate::{Answer, Request, Result, journal::Note};

/// An AWS error of Secrets Manager.
struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The operation that a request asks for.
pub(crate) fn operation(request: &Request) -> String {
    format!("secretsmanager:{:.64}", action(request))
}

fn action(request: &Request) -> &str {
    let target = request.headers().get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default();
    target.strip_prefix("secretsmanager.").unwrap_or_default()
}

/// Answers one Secrets Manager request.
pub(crate) async fn answer(account: &Account, request: &Request) -> Result<Answer> {
    let action = action(request).to_owned();
    let mut note = Note::default();
    let outcome = match authenticate(account, request) {
        // It would need a permission on every secret in the answer, which is not evaluated here.
        Ok(_) if action == "BatchGetSecretValue" => {
            note.finding = true;
            Err(Refusal::new("UnknownOperationException", "this Secrets Manager does not play BatchGetSecretValue"))
        }
        Ok(session) => {
            note.caller = Some(session.arn.clone());
            authorise(account, &session, &action, request).await?
        }
        Err(refusal) => Err(refusal),
    };
    let mut answer = match outcome {
        Ok(()) => {
            let (status, body) = account.store.send(&action, request.body().clone()).await?;
            if !status.is_success() {
                let error: Value = serde_json::from_slice(&body).unwrap_or_default();
                note.code = error["__type"].as_str().map(Into::into);
            }
            Answer::body(status, "application/x-amz-json-1.1", body).noting(note)
        }
        Err(refusal) => {
            note.code = Some(refusal.code.into());
            note.reason = Some(refusal.message.clone());
            let body = json!({"__type": refusal.code, "Message": refusal.message}).to_string();
            Answer::body(StatusCode::BAD_REQUEST, "application/x-amz-json-1.1", body).noting(note)
        }
    };
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        answer.response.headers_mut().insert("x-amzn-requestid", id);
    }
    Ok(answer)
}

/// Who signed this request?
fn authenticate(account: &Account, request: &Request) -> Result<Session, Refusal> {
    let incomplete = |refusal| match refusal {
        BadSignature::Missing => Refusal::new("MissingAuthenticationTokenException", "Missing Authentication Token"),
        BadSignature::Incomplete(why) => Refusal::new("IncompleteSignatureException", why),
        BadSignature::Invalid(why) => Refusal::new("InvalidSignatureException", why),
    };
    let signature = Signature::of(request).map_err(incomplete)?;
    let session = account.session(&signature.key).ok_or_else(unknown)?;
    let token = request.headers().get("x-amz-security-token").and_then(|v| v.to_str().ok());
    if token != Some(session.token.as_str()) {
        return Err(unknown());
    }
    if session.expires <= account.ground.clock.now() {
        return Err(Refusal::new("ExpiredTokenException", "The security token included in the request is expired"));
    }
    signature
        .verify(request, &session.secret, &account.region, "secretsmanager", Timestamp::now())
        .map_err(incomplete)?;
    Ok(session)
}

fn unknown() -> Refusal {
    Refusal::new("UnrecognizedClientException", "The security token included in the request is invalid.")
}

/// May this session do this to this secret? The outer error is the gateway's own.
async fn authorise(
    account: &Account,
    session: &Session,
    action: &str,
    request: &Request,
) -> Result<Result<(), Refusal>> {
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let resource = match body["SecretId"].as_str().or(body["Name"].as_str()) {
        Some(name) => resource(account, name).await?,
        None => "*".into(),
    };
    let declared = account.declared();
    let prefix = format!("arn:aws:iam::{}:policy/", account.id);
    let policies: Vec<&Document> = declared
        .aws_iam_role_policy_attachment
        .values()
        .filter(|a| a.role == session.role)
        .filter_map(|a| a.policy_arn.strip_prefix(&prefix))
        .filter_map(|name| declared.aws_iam_policy.values().find(|p| p.name == name))
        .map(|p| &p.policy)
        .collect();
    let action = format!("secretsmanager:{action}");
    let because = match evaluate(policies, &action, &resource) {
        Decision::Allowed => return Ok(Ok(())),
        Decision::ExplicitDeny => "with an explicit deny in an identity-based policy".into(),
        Decision::ImplicitDeny => format!("because no identity-based policy allows the {action} action"),
    };
    Ok(Err(Refusal::new(
        "AccessDeniedException",
        format!("User: {} is not authorized to perform: {action} on resource: {resource} {because}", session.arn),
    )))
}

/// ARN of a secret. One that does not exist has no random suffix, and AWS evaluates policies on its bare name then;
/// a policy that ends in `-??????` is written for the suffix, so the bare name gets one here that any such policy
/// matches: the caller learns "not found" exactly when it may read the name.
async fn resource(account: &Account, name: &str) -> Result<String> {
    let (status, bytes) = account.store.send("DescribeSecret", json!({"SecretId": name}).to_string().into()).await?;
    let described: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match (status.is_success(), described["ARN"].as_str()) {
        (true, Some(arn)) => Ok(arn.into()),
        _ if name.starts_with("arn:") => Ok(name.into()),
        _ => Ok(format!("arn:aws:secretsmanager:{}:{}:secret:{name}-XXXXXX", account.region, account.id)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::SignedDuration;

    use super::{
        super::{
            fixture::{ACCOUNT, Cluster, REGION},
            sigv4::{Signer, sha256_hex},
        },
        *,
    };

    const HOST: &str = "secretsmanager.us-east-1.amazonaws.com";

    fn session(role: &str, lasts: SignedDuration) -> Session {
        Session {
            secret: "secret".into(),
            token: "token".into(),
            role: role.into(),
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/test"),
            expires: Timestamp::now() + lasts,
        }
    }

    fn request(key: &str, secret: &str, token: &str) -> Request {
        let (body, time) = ("{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string());
        let headers = [
            ("host", HOST),
            ("x-amz-content-sha256", &sha256_hex(body.as_bytes())),
            ("x-amz-date", &time),
            ("x-amz-security-token", token),
        ];
        let signer = Signer { key, secret, region: REGION, service: "secretsmanager" };
        let mut request = axum::http::Request::post("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let authorization = signer.authorize("POST", "/", &headers, body.as_bytes());
        request.header("authorization", authorization).body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn only_a_living_session_of_sts_may_call() {
        let account = Cluster::new().account;
        account.admit("ASIALIVING".into(), session("trinity-canary", SignedDuration::from_hours(1)));
        account.admit("ASIAEXPIRED".into(), session("trinity-canary", SignedDuration::from_hours(-1)));
        let code = |request: &Request| authenticate(&account, request).map_or_else(|r| r.code, |_| "success");
        assert_eq!(code(&request("ASIALIVING", "secret", "token")), "success");
        assert_eq!(code(&request("ASIAEXPIRED", "secret", "token")), "ExpiredTokenException");
        assert_eq!(code(&request("ASIANOBODY", "secret", "token")), "UnrecognizedClientException");
        assert_eq!(code(&request("ASIALIVING", "guess", "token")), "InvalidSignatureException");
        assert_eq!(code(&request("ASIALIVING", "secret", "another")), "UnrecognizedClientException");
        let mut unsigned = request("ASIALIVING", "secret", "token");
        unsigned.headers_mut().remove("authorization");
        assert_eq!(code(&unsigned), "MissingAuthenticationTokenException");
        unsigned.headers_mut().insert("authorization", "AWS4-HMAC-SHA256 nonsense".parse().unwrap());
        assert_eq!(code(&unsigned), "IncompleteSignatureException");
    }

    #[tokio::test]
    async fn a_role_may_do_what_its_policies_say() {
        let account = Cluster::new().account;
        // Actions without a secret need no keeper of values to find its ARN.
        let allowed = async |role: &str, action: &str| {
            let session = session(role, SignedDuration::from_hours(1));
            let request = request("ASIA", "secret", "token");
            authorise(&account, &session, action, &request).await.unwrap().map_or_else(|r| r.code, |()| "success")
        };
        assert_eq!(allowed("trinity-external-secrets", "ListSecrets").await, "AccessDeniedException");
        assert_eq!(allowed("trinity-powerless", "GetRandomPassword").await, "AccessDeniedException");
        assert_eq!(allowed("absent", "GetSecretValue").await, "AccessDeniedException");
    }
}
