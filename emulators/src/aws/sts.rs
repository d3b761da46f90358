//! AWS STS: `AssumeRoleWithWebIdentity` and `GetCallerIdentity`, query protocol with XML answers.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous::insecure_decode, decode, decode_header};
use quick_xml::escape::escape;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    account::{Account, Session},
    declared::Role,
    iam::{Decision, trusts, unmet},
    sigv4::Signature,
};
use crate::{Answer, Request, journal::Note, random};

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

/// `aud` is one string or a list.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: i64,
}

impl Claims {
    fn audiences(&self) -> Vec<&str> {
        match &self.aud {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        }
    }
}

/// Answers one STS request.
pub(crate) fn answer(account: &Account, request: &Request) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let fields: BTreeMap<String, String> = [query.as_bytes(), request.body()]
        .into_iter()
        .flat_map(|text| form_urlencoded::parse(text).into_owned())
        .collect();
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
    let note = Note { action: Some(format!("sts:{action}")), caller, ..Note::default() };
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
    let claims = match insecure_decode::<Claims>(token) {
        Ok(data) => data.claims,
        Err(e) => {
            return (
                Err(Refusal::invalid_token(
                    "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
                    e.to_string(),
                )),
                None,
            );
        }
    };
    (admit(account, fields, token, &claims), Some(claims.sub))
}

/// The checks in the order in which AWS makes them: issuer, signature, expiry, audience, trust policy.
fn admit(
    account: &Account,
    fields: &BTreeMap<String, String>,
    token: &str,
    claims: &Claims,
) -> Result<String, Refusal> {
    let declared = account.declared();
    let issuer = claims.iss.trim_start_matches("https://");
    let provider = declared
        .aws_iam_openid_connect_provider
        .values()
        .find(|p| p.url.trim_start_matches("https://") == issuer)
        .filter(|_| issuer == account.issuer.provider())
        .ok_or_else(|| {
            Refusal::invalid_token(
                format!("No OpenIDConnect provider found in your account for {}", claims.iss),
                format!("the account has no provider for issuer {}", claims.iss),
            )
        })?;
    verify(account, token)?;
    let now = Timestamp::now();
    if claims.exp <= now.as_second() {
        let message = format!(
            "Token expired: current date/time {} must be before the expiration date/time {}",
            now.as_second(),
            claims.exp
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "ExpiredTokenException", message, "the token has expired"));
    }
    let audiences = claims.audiences();
    let Some(audience) = audiences.iter().find(|a| provider.client_id_list.iter().any(|c| c == *a)) else {
        return Err(Refusal::invalid_token(
            "Incorrect token audience",
            format!(
                "the token's audience {audiences:?} is not in the provider's client_id_list {:?}",
                provider.client_id_list
            ),
        ));
    };
    let arn = fields.get("RoleArn").map(String::as_str).unwrap_or_default();
    let name = arn.strip_prefix(&format!("arn:aws:iam::{}:role/", account.id)).unwrap_or_default();
    let role = declared
        .aws_iam_role
        .values()
        .find(|r| r.name == name)
        .ok_or_else(|| Refusal::denied(format!("there is no role {arn}")))?;
    let provider = format!("arn:aws:iam::{}:oidc-provider/{issuer}", account.id);
    let keys = BTreeMap::from([
        (format!("{issuer}:aud"), (*audience).to_owned()),
        (format!("{issuer}:sub"), claims.sub.clone()),
    ]);
    if trusts(&role.assume_role_policy, &provider, &keys) != Decision::Allowed {
        return Err(Refusal::denied(format!("role {name}: {}", unmet(&role.assume_role_policy, &provider, &keys))));
    }
    let expires = now + duration(fields, role)?;
    Ok(session(account, fields, name, claims, audience, &provider, expires))
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

/// Checks the signature with the key that the issuer publishes under the token's key id.
fn verify(account: &Account, token: &str) -> Result<(), Refusal> {
    let refused = |reason: String| {
        Refusal::invalid_token(
            "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
            reason,
        )
    };
    let header = decode_header(token).map_err(|e| refused(e.to_string()))?;
    let published = account.issuer.key_id().map_err(|e| refused(e.to_string()))?;
    if header.kid.as_deref() != Some(published.as_str()) || header.alg != Algorithm::RS256 {
        return Err(refused(format!("the issuer publishes no {:?} key {:?}", header.alg, header.kid)));
    }
    let (n, e) = account.issuer.components();
    let key = DecodingKey::from_rsa_components(&n, &e).map_err(|e| refused(e.to_string()))?;
    let mut signature_only = Validation::new(Algorithm::RS256);
    // Issuer, audience and expiry have AWS errors of their own, see above.
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    signature_only.required_spec_claims.clear();
    decode::<Claims>(token, &key, &signature_only).map(|_| ()).map_err(|e| {
        Refusal::invalid_token(
            "The signature of the identity token is invalid",
            format!("the token's signature does not verify: {e}"),
        )
    })
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

    use jsonwebtoken::EncodingKey;
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
        let (n, _) = CLUSTER.account.issuer.components();
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
