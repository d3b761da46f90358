//! AWS STS: `AssumeRoleWithWebIdentity` and `GetCallerIdentity`, query protocol with XML answers.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use quick_xml::escape::escape;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    account::{Account, Session},
    declared::Role,
    iam::{Decision, trusts, unmet},
    sigv4::Signature,
};
use crate::{
    Answer, Request,
    issuer::{Claims, Unverified, subject},
    journal::Note,
    random,
};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// An AWS error of STS.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// What AWS does not tell, for the journal.
    reason: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), reason: reason.into() }
    }

    fn invalid_token(message: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidIdentityToken", message, reason)
    }

    fn denied(reason: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            reason,
        )
    }
}

/// The operation that a request asks for.
pub(crate) fn operation(request: &Request) -> String {
    let action = fields(request).remove("Action").unwrap_or_default();
    format!("sts:{action:.64}")
}

fn fields(request: &Request) -> BTreeMap<String, String> {
    let query = request.uri().query().unwrap_or_default();
    [query.as_bytes(), request.body()].into_iter().flat_map(|text| form_urlencoded::parse(text).into_owned()).collect()
}

/// Answers one STS request.
pub(crate) fn answer(account: &Account, request: &Request) -> Answer {
    let fields = fields(request);
    let action = fields.get("Action").cloned().unwrap_or_default();
    let id = Uuid::new_v4().to_string();
    let (outcome, caller) = match action.as_str() {
        "AssumeRoleWithWebIdentity" => assume(account, &fields),
        "GetCallerIdentity" => (identity(account, request), None),
        _ => (
            Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "InvalidAction",
                format!("Could not find operation {action} for version 2011-06-15"),
                "this STS has AssumeRoleWithWebIdentity and GetCallerIdentity",
            )),
            None,
        ),
    };
    let note = Note { caller, ..Note::default() };
    let mut answer = match outcome {
        Ok(result) => {
            let body = format!(
                "<{action}Response xmlns=\"{NAMESPACE}\">{result}<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
            );
            Answer::body(StatusCode::OK, "text/xml", body).noting(note)
        }
        Err(refusal) => {
            let body = format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>",
                refusal.code,
                escape(&refusal.message)
            );
            Answer::body(refusal.status, "text/xml", body).noting(Note {
                code: Some(refusal.code.into()),
                reason: Some(refusal.reason),
                ..note
            })
        }
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.response.headers_mut().insert("x-amzn-requestid", id);
    }
    answer
}

fn assume(account: &Account, fields: &BTreeMap<String, String>) -> (Result<String, Refusal>, Option<String>) {
    let Some(token) = fields.get("WebIdentityToken") else {
        return (
            Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "MissingParameter",
                "The request must contain the parameter WebIdentityToken",
                "no token",
            )),
            None,
        );
    };
    (admit(account, fields, token), subject(token))
}

/// The checks in the order in which AWS makes them: issuer, signature, expiry, audience, trust policy.
fn admit(account: &Account, fields: &BTreeMap<String, String>, token: &str) -> Result<String, Refusal> {
    let now = account.ground.clock.now();
    let claims = account.ground.trust.verify(token, now).map_err(unverified)?;
    let declared = account.declared();
    let issuer = claims.iss.trim_start_matches("https://");
    let provider = declared
        .aws_iam_openid_connect_provider
        .values()
        .find(|p| p.url.trim_start_matches("https://") == issuer)
        .ok_or_else(|| unverified(Unverified::Issuer(claims.iss.clone())))?;
    let audience = claims.aud.iter().find(|a| provider.client_id_list.contains(a)).ok_or_else(|| {
        Refusal::invalid_token(
            "Incorrect token audience",
            format!(
                "the token's audience {:?} is not in the provider's client_id_list {:?}",
                claims.aud, provider.client_id_list
            ),
        )
    })?;
    let arn = fields.get("RoleArn").map(String::as_str).unwrap_or_default();
    let name = arn.strip_prefix(&format!("arn:aws:iam::{}:role/", account.id)).unwrap_or_default();
    let role = declared
        .aws_iam_role
        .values()
        .find(|r| r.name == name)
        .ok_or_else(|| Refusal::denied(format!("there is no role {arn}")))?;
    let provider = format!("arn:aws:iam::{}:oidc-provider/{issuer}", account.id);
    let keys =
        BTreeMap::from([(format!("{issuer}:aud"), audience.clone()), (format!("{issuer}:sub"), claims.sub.clone())]);
    if trusts(&role.assume_role_policy, &provider, &keys) != Decision::Allowed {
        return Err(Refusal::denied(format!("role {name}: {}", unmet(&role.assume_role_policy, &provider, &keys))));
    }
    let expires = now + duration(fields, role)?;
    Ok(session(account, fields, name, &claims, audience, &provider, expires))
}

/// AWS's answer to a token that proves nothing.
fn unverified(why: Unverified) -> Refusal {
    let reason = why.to_string();
    match why {
        Unverified::Malformed(_) => Refusal::invalid_token(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
            reason,
        ),
        Unverified::Issuer(issuer) => {
            Refusal::invalid_token(format!("No OpenIDConnect provider found in your account for {issuer}"), reason)
        }
        Unverified::Key(_) => Refusal::invalid_token(
            "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
            reason,
        ),
        Unverified::Signature => Refusal::invalid_token("The signature of the identity token is invalid", reason),
        Unverified::Expired { now, exp } => Refusal::new(
            StatusCode::BAD_REQUEST,
            "ExpiredTokenException",
            format!("Token expired: current date/time {now} must be before the expiration date/time {exp}"),
            reason,
        ),
        Unverified::NotYetValid { .. } => Refusal::invalid_token("The ID Token is not yet valid", reason),
    }
}

/// How long the session shall last.
fn duration(fields: &BTreeMap<String, String>, role: &Role) -> Result<SignedDuration, Refusal> {
    let refused =
        |message: String| Err(Refusal::new(StatusCode::BAD_REQUEST, "ValidationError", message.clone(), message));
    let Some(text) = fields.get("DurationSeconds") else { return Ok(SignedDuration::from_hours(1)) };
    match text.parse::<i64>() {
        Ok(seconds) if (900..=role.max_session_duration).contains(&seconds) => Ok(SignedDuration::from_secs(seconds)),
        Ok(seconds) if seconds > role.max_session_duration => {
            refused("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.".into())
        }
        _ => refused(format!("Value {text} at 'durationSeconds' failed to satisfy constraint: at least 900")),
    }
}

fn session(
    account: &Account,
    fields: &BTreeMap<String, String>,
    role: &str,
    claims: &Claims,
    audience: &str,
    provider: &str,
    expires: Timestamp,
) -> String {
    let name = fields.get("RoleSessionName").cloned().unwrap_or_default();
    let key = format!("ASIA{}", random::text(10, 16).to_uppercase());
    let arn = format!("arn:aws:sts::{}:assumed-role/{role}/{name}", account.id);
    let session = Session {
        secret: random::text(30, 40),
        token: STANDARD.encode(format!("{key}{}", random::text(64, 80))),
        role: role.into(),
        arn: arn.clone(),
        expires,
    };
    // A role's unique id does not change; derived from the name it needs no storage.
    let role_id: String = Sha256::digest(role).iter().take(8).map(|b| format!("{b:02X}")).collect();
    let text = format!(
        "<AssumeRoleWithWebIdentityResult><Audience>{}</Audience><AssumedRoleUser><AssumedRoleId>AROA{role_id}:{}</AssumedRoleId>\
         <Arn>{}</Arn></AssumedRoleUser><Provider>{}</Provider><Credentials><AccessKeyId>{key}</AccessKeyId>\
         <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>\
         <SubjectFromWebIdentityToken>{}</SubjectFromWebIdentityToken></AssumeRoleWithWebIdentityResult>",
        escape(audience),
        escape(&name),
        escape(&arn),
        escape(provider),
        escape(&session.secret),
        escape(&session.token),
        expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        escape(&claims.sub),
    );
    account.admit(key, session);
    text
}

fn identity(account: &Account, request: &Request) -> Result<String, Refusal> {
    let refused = |reason: &str| {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            reason,
        )
    };
    let signature = Signature::of(request).map_err(|e| refused(&format!("{e:?}")))?;
    let session = account.session(&signature.key).ok_or_else(|| refused("no session has this key"))?;
    signature.verify(request, &session.secret, &account.region, "sts", Timestamp::now()).map_err(|e| {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
            format!("{e:?}"),
        )
    })?;
    Ok(format!(
        "<GetCallerIdentityResult><Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account></GetCallerIdentityResult>",
        escape(&session.arn),
        escape(&session.role),
        account.id
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use jsonwebtoken::{Algorithm, EncodingKey};
    use serde_json::json;

    use super::{
        super::fixture::{ACCOUNT, Cluster, key},
        *,
    };

    static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::new);

    /// AWS's answer to a token: `success`, or its error code.
    fn answer_to(token: &str) -> &'static str {
        answer_for("trinity-external-secrets", token)
    }

    fn answer_for(role: &str, token: &str) -> &'static str {
        let fields = [
            ("RoleArn", format!("arn:aws:iam::{ACCOUNT}:role/{role}")),
            ("RoleSessionName", "test".to_owned()),
            ("WebIdentityToken", token.to_owned()),
        ];
        let fields = fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        assume(&CLUSTER.account, &fields).0.map_or_else(|refusal| refusal.code, |_| "success")
    }

    #[test]
    fn a_trusted_token_gets_a_session() {
        assert_eq!(answer_to(&CLUSTER.token(|_| {})), "success");
        assert_eq!(answer_to(&CLUSTER.token(|c| c["aud"] = json!("sts.amazonaws.com"))), "success");
    }

    #[test]
    fn a_signature_that_is_not_the_clusters_is_refused() {
        let stranger = EncodingKey::from_rsa_pem(key().1.as_bytes()).unwrap();
        assert_eq!(answer_to(&CLUSTER.forged(Algorithm::RS256, &stranger)), "InvalidIdentityToken");
        assert_eq!(answer_to(&CLUSTER.under("another")), "InvalidIdentityToken");
        // The published key used as an HMAC secret, and no signature at all.
        let (n, _) = CLUSTER.account.ground.trust.issuer().components();
        let confused = EncodingKey::from_secret(n.as_bytes());
        assert_eq!(answer_to(&CLUSTER.forged(Algorithm::HS256, &confused)), "InvalidIdentityToken");
        let good = CLUSTER.token(|_| {});
        let unsigned = good.rsplit_once('.').unwrap().0;
        assert_eq!(answer_to(&format!("{unsigned}.")), "InvalidIdentityToken");
        // A good signature of other claims.
        let other = CLUSTER.token(|c| c["sub"] = json!("system:serviceaccount:default:default"));
        let parts: Vec<&str> = good.split('.').collect();
        let mixed = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
        assert_eq!(answer_to(&mixed), "InvalidIdentityToken");
    }

    #[test]
    fn claims_that_do_not_fit_are_refused() {
        let past = Timestamp::now().as_second() - 1;
        for (what, expected, token) in [
            ("expired", "ExpiredTokenException", CLUSTER.token(|c| c["exp"] = json!(past))),
            ("other issuer", "InvalidIdentityToken", CLUSTER.token(|c| c["iss"] = json!("https://example.com"))),
            ("other audience", "InvalidIdentityToken", CLUSTER.token(|c| c["aud"] = json!(["vault"]))),
            ("no audience", "InvalidIdentityToken", CLUSTER.token(|c| c["aud"] = json!([]))),
            (
                "other namespace",
                "AccessDenied",
                CLUSTER.token(|c| c["sub"] = json!("system:serviceaccount:default:external-secrets")),
            ),
            (
                "other account",
                "AccessDenied",
                CLUSTER.token(|c| c["sub"] = json!("system:serviceaccount:external-secrets:default")),
            ),
        ] {
            assert_eq!(answer_to(&token), expected, "{what}");
        }
        assert_eq!(answer_for("absent", &CLUSTER.token(|_| {})), "AccessDenied");
    }

    #[test]
    fn an_issuer_that_the_account_has_not_registered_is_refused() {
        let cluster = Cluster::new();
        let declared = Cluster::declared().replace("url: https://${issuer}", "url: https://example.com");
        cluster.account.declare(&declared).unwrap();
        let fields = [("WebIdentityToken".to_owned(), cluster.token(|_| {}))].into();
        assert_eq!(assume(&cluster.account, &fields).0.unwrap_err().code, "InvalidIdentityToken");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", ".", "..", "a.b.c", "eyJhbGciOiJSUzI1NiJ9.e30.", "\0", "ä.ö.ü", &"x".repeat(100_000)] {
            assert_eq!(answer_to(text), "InvalidIdentityToken", "{text:.20}");
        }
        let (outcome, _) = assume(&CLUSTER.account, &BTreeMap::new());
        assert_eq!(outcome.unwrap_err().code, "MissingParameter");
    }

    #[test]
    fn a_session_lasts_as_long_as_its_role_permits() {
        let role: Role =
            serde_yaml::from_str("{name: r, assume_role_policy: {Version: '2012-10-17', Statement: []}}").unwrap();
        let seconds = |asked: Option<&str>| {
            let fields = asked.map(|text| ("DurationSeconds".to_owned(), text.to_owned())).into_iter().collect();
            duration(&fields, &role).map(|d| d.as_secs()).map_err(|refusal| refusal.code)
        };
        assert_eq!(seconds(None), Ok(3600));
        assert_eq!(seconds(Some("900")), Ok(900));
        for wrong in ["899", "3601", "-1", "9223372036854775807", "99999999999999999999", "soon"] {
            assert_eq!(seconds(Some(wrong)), Err("ValidationError"), "{wrong}");
        }
    }
}
