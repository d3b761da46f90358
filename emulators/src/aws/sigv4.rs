//! Verification of AWS Signature Version 4, from the caller's own headers.
//! Source: the IAM user guide, "Create a signed AWS API request".

use std::{collections::BTreeMap, fmt};

use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp, fmt::strtime, tz::TimeZone};
use sha2::{Digest, Sha256};

use crate::{Attempt, Request};

/// Seconds that a caller's clock may differ from ours.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Why a signature is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No `Authorization` header.
    Missing,
    /// The signature is in the query, which is not played here.
    Presigned,
    /// A part of it is absent or not well-formed.
    Incomplete(String),
    /// The date is too far from now, or the scope is another service's.
    Invalid(String),
}

/// The parts of an `Authorization` header.
#[derive(Debug)]
pub struct Signature {
    /// Access key id.
    pub key: String,
    date: String,
    region: String,
    service: String,
    headers: Vec<String>,
    signature: String,
}

impl Signature {
    /// Reads the header of a request.
    ///
    /// # Errors
    /// When it is missing or incomplete.
    pub fn of(request: &Request) -> Result<Self, Refusal> {
        let Some(header) = request.headers().get("authorization") else {
            let presigned = request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature="));
            return Err(if presigned { Refusal::Presigned } else { Refusal::Missing });
        };
        let header = header.to_str().map_err(|_| Refusal::Incomplete("the Authorization header is no text".into()))?;
        let rest = header
            .strip_prefix("AWS4-HMAC-SHA256 ")
            .ok_or_else(|| Refusal::Incomplete("the algorithm is not AWS4-HMAC-SHA256".into()))?;
        let parts: BTreeMap<&str, &str> = rest.split(',').filter_map(|part| part.trim().split_once('=')).collect();
        let part = |name: &str| {
            parts
                .get(name)
                .map(|p| (*p).to_owned())
                .ok_or_else(|| Refusal::Incomplete(format!("Authorization header requires '{name}' parameter.")))
        };
        let credential = part("Credential")?;
        let [key, date, region, service, "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..] else {
            return Err(Refusal::Incomplete("the credential scope is not key/date/region/service/aws4_request".into()));
        };
        Ok(Self {
            key: key.into(),
            date: date.into(),
            region: region.into(),
            service: service.into(),
            headers: part("SignedHeaders")?.split(';').map(Into::into).collect(),
            signature: part("Signature")?,
        })
    }

    /// Verifies a request that was signed with `secret` for `service` in `region`.
    ///
    /// # Errors
    /// What does not fit.
    pub fn verify(
        &self,
        request: &Request,
        secret: &str,
        region: &str,
        service: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.region != region || self.service != service {
            return Err(Refusal::Invalid(format!("Credential should be scoped to {region}/{service}.")));
        }
        for needed in ["host", "x-amz-date"] {
            if !self.headers.iter().any(|h| h == needed) {
                return Err(Refusal::Incomplete(format!("'{needed}' must be a signed header")));
            }
        }
        let time =
            header(request, "x-amz-date").ok_or_else(|| Refusal::Incomplete("there is no x-amz-date header".into()))?;
        let signed = strtime::parse("%Y%m%dT%H%M%SZ", &time)
            .and_then(|t| t.to_datetime())
            .and_then(|t| t.to_zoned(TimeZone::UTC))
            .map_err(|_| Refusal::Incomplete("x-amz-date is not a basic ISO 8601 time".into()))?
            .timestamp();
        if signed.duration_since(now).abs() > SKEW || !time.starts_with(&self.date) {
            return Err(Refusal::Invalid("Signature expired or not yet current".into()));
        }
        let canonical = self.canonical(request)?;
        let mac = mac(secret, &time, &self.region, &self.service, &canonical);
        match (mac, unhex(&self.signature)) {
            // Compared in constant time.
            (Some(mac), Some(seen)) if mac.clone().verify_slice(&seen).is_ok() => Ok(()),
            _ => Err(Refusal::Invalid(
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
                    .into(),
            )),
        }
    }

    fn canonical(&self, request: &Request) -> Result<String, Refusal> {
        let mut query: Vec<String> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|p| !p.is_empty())
            .map(|p| if p.contains('=') { p.to_owned() } else { format!("{p}=") })
            .collect();
        query.sort();
        let mut headers = String::new();
        for name in &self.headers {
            let value = header(request, name)
                .ok_or_else(|| Refusal::Incomplete(format!("the signed header {name} is absent")))?;
            headers += &format!("{name}:{}\n", value.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        Ok(format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            request.method(),
            request.uri().path(),
            query.join("&"),
            self.headers.join(";"),
            sha256_hex(request.body())
        ))
    }
}

/// What a caller signs with.
#[derive(Clone)]
pub struct Credentials {
    /// Access key id.
    pub key: String,
    /// Secret access key.
    pub secret: String,
    /// Session token of temporary credentials.
    pub token: Option<String>,
}

/// So that no secret gets into a log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

impl Credentials {
    /// A signed POST request to a service of a region, as its SDK makes it. `target` is the action of a JSON service;
    /// without one, the body is a form.
    ///
    /// # Errors
    /// When a part of it cannot be in a request.
    pub fn request(&self, host: &str, region: &str, target: Option<&str>, body: String) -> crate::Result<Request> {
        let service = host.split('.').next().unwrap_or_default();
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = vec![("host", host), ("x-amz-date", &time)];
        headers.extend(self.token.as_deref().map(|token| ("x-amz-security-token", token)));
        headers.extend(target.map(|target| ("x-amz-target", target)));
        let signer = Signer { key: &self.key, secret: &self.secret, region, service };
        let authorization = signer.authorize("POST", "/", &headers, body.as_bytes());
        let media = target.map_or("application/x-www-form-urlencoded", |_| "application/x-amz-json-1.1");
        let request = axum::http::Request::post(format!("https://{host}/")).header("content-type", media);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.header("authorization", authorization).body(body.into());
        request.attempting(|| format!("make a request to {host}"))
    }
}

/// Signs requests, for callers that have no SDK.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Access key id.
    pub key: &'a str,
    /// Secret access key.
    pub secret: &'a str,
    /// Region.
    pub region: &'a str,
    /// Service.
    pub service: &'a str,
}

impl Signer<'_> {
    /// The `Authorization` header for a request without query. `headers` are sorted by name and include `host` and
    /// `x-amz-date`.
    pub fn authorize(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{method}\n{path}\n\n{lines}\n{names}\n{}", sha256_hex(body));
        let time = headers.iter().find(|(name, _)| *name == "x-amz-date").map_or("", |(_, value)| value);
        let signature = mac(self.secret, time, self.region, self.service, &canonical)
            .map(|mac| hex(&mac.finalize().into_bytes()))
            .unwrap_or_default();
        let scope = scope(time, self.region, self.service);
        format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.key)
    }
}

fn scope(time: &str, region: &str, service: &str) -> String {
    format!("{}/{region}/{service}/aws4_request", time.get(..8).unwrap_or_default())
}

/// The keyed hash that, finished, is the signature of a canonical request.
fn mac(secret: &str, time: &str, region: &str, service: &str, canonical: &str) -> Option<Hmac<Sha256>> {
    let scope = scope(time, region, service);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    keyed(&key).map(|mac| mac.chain_update(text.as_bytes()))
}

/// A header's value; `host` may be in the request's URI instead (HTTP/2).
fn header(request: &Request, name: &str) -> Option<String> {
    let values: Vec<&str> = request.headers().get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
    match (values.is_empty(), name) {
        (false, _) => Some(values.join(",")),
        (true, "host") => request.uri().authority().map(ToString::to_string),
        _ => None,
    }
}

fn keyed(key: &[u8]) -> Option<Hmac<Sha256>> {
    // An HMAC takes keys of any length.
    Hmac::new_from_slice(key).ok()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    keyed(key).map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec()).unwrap_or_default()
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    // The parser of numbers takes a sign too.
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use aws_credential_types::Credentials as Identity;
    use aws_sigv4::{
        http_request::{SignableBody, SignableRequest, SigningSettings, sign},
        sign::v4,
    };
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI";

    /// Signs with the AWS SDK's own signer.
    fn signed(body: &'static str) -> Request {
        let identity = Identity::new("ASIAEXAMPLE", SECRET, Some("token".into()), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("secretsmanager")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let url = "https://secretsmanager.us-east-1.amazonaws.com/";
        let headers = [("x-amz-target", "secretsmanager.GetSecretValue")];
        let signable =
            SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(body.as_bytes())).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = axum::http::Request::post("/")
            .header("host", "secretsmanager.us-east-1.amazonaws.com")
            .header("x-amz-target", "secretsmanager.GetSecretValue")
            .body(Bytes::from_static(body.as_bytes()))
            .unwrap();
        for (name, value) in instructions.headers() {
            request
                .headers_mut()
                .insert(axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        request
    }

    fn verify(request: &Request, secret: &str, region: &str, now: Timestamp) -> Result<(), Refusal> {
        Signature::of(request)?.verify(request, secret, region, "secretsmanager", now)
    }

    #[test]
    fn the_sdks_signature_is_accepted() {
        let request = signed("{}");
        assert_eq!(Signature::of(&request).unwrap().key, "ASIAEXAMPLE");
        assert_eq!(verify(&request, SECRET, "us-east-1", Timestamp::now()), Ok(()));
    }

    #[test]
    fn anything_else_is_refused() {
        let now = Timestamp::now();
        let refused =
            |request: &Request, secret: &str, region: &str, now| verify(request, secret, region, now).is_err();
        assert!(refused(&signed("{}"), "another secret", "us-east-1", now));
        assert!(refused(&signed("{}"), SECRET, "eu-west-1", now));
        assert!(refused(&signed("{}"), SECRET, "us-east-1", now + SignedDuration::from_hours(1)));
        let mut body = signed("{}");
        *body.body_mut() = Bytes::from_static(b"{\"SecretId\":\"other\"}");
        assert!(refused(&body, SECRET, "us-east-1", now));
        let mut target = signed("{}");
        target.headers_mut().insert("x-amz-target", "secretsmanager.DeleteSecret".parse().unwrap());
        assert!(refused(&target, SECRET, "us-east-1", now));
        let mut none = signed("{}");
        none.headers_mut().remove("authorization");
        assert_eq!(verify(&none, SECRET, "us-east-1", now), Err(Refusal::Missing));
    }

    #[test]
    fn our_own_signature_is_accepted_and_a_presigned_one_is_not_played() {
        let credentials = Credentials { key: "ASIAEXAMPLE".into(), secret: SECRET.into(), token: Some("token".into()) };
        let host = "secretsmanager.us-east-1.amazonaws.com";
        let target = Some("secretsmanager.GetSecretValue");
        let request = credentials.request(host, "us-east-1", target, "{}".into()).unwrap();
        assert_eq!(verify(&request, SECRET, "us-east-1", Timestamp::now()), Ok(()));
        let presigned = axum::http::Request::get("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00");
        let presigned = presigned.body(Bytes::new()).unwrap();
        assert_eq!(Signature::of(&presigned).unwrap_err(), Refusal::Presigned);
    }

    #[test]
    fn a_signature_has_one_spelling() {
        assert_eq!(unhex("0f1E"), Some(vec![15, 30]));
        for wrong in ["+f", "0", "0g", "ä", "0 "] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_reader_or_lets_anybody_in(
            text in ".{0,120}",
            key in "[A-Z0-9/]{0,20}",
            scope in "[a-z0-9/]{0,40}",
            signed in "[a-z;-]{0,40}",
            signature in "[0-9a-f+]{0,70}",
            date in "[0-9TZ]{0,18}",
        ) {
            let made = format!("AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={signature}");
            for header in [text, made] {
                let mut request = signed_with(&header);
                request.headers_mut().insert("x-amz-date", date.parse().unwrap());
                prop_assert!(verify(&request, SECRET, "us-east-1", Timestamp::now()).is_err());
            }
        }

        #[test]
        fn a_changed_signature_is_refused(place in 0usize..64, digit in "[0-9a-f]") {
            let mut request = signed("{}");
            let header = request.headers()["authorization"].to_str().unwrap().to_owned();
            let at = header.len() - 64 + place;
            let changed = format!("{}{digit}{}", &header[..at], &header[at + 1..]);
            let same = changed == header;
            request.headers_mut().insert("authorization", changed.parse().unwrap());
            prop_assert_eq!(verify(&request, SECRET, "us-east-1", Timestamp::now()).is_ok(), same);
        }
    }

    /// A request with this header, or without one when it cannot be one.
    fn signed_with(header: &str) -> Request {
        let mut request = signed("{}");
        match header.parse() {
            Ok(value) => drop(request.headers_mut().insert("authorization", value)),
            Err(_) => drop(request.headers_mut().remove("authorization")),
        }
        request
    }
}
