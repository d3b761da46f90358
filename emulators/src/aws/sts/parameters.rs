//! Parameters of a request, as the query protocol has them, and what they must be.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::refusal::Refusal;
use crate::Request;

/// Parameters by name; of several with one name, the last.
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// The parameters in a request's query and body.
    pub fn of(request: &Request) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let all = [query.as_bytes(), request.body()];
        Self(all.into_iter().flat_map(|text| form_urlencoded::parse(text).into_owned()).collect())
    }

    /// One parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn needed(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| constraint("null", name, "Member must not be null"))
    }

    /// Refuses parameters that would make a session less powerful or otherwise marked, if they did anything here.
    ///
    /// # Errors
    /// When there is one.
    pub fn without(&self, names: &[&str]) -> Result<(), Refusal> {
        let given = names.iter().find(|name| {
            self.0
                .keys()
                .any(|key| key.strip_prefix(**name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        });
        given.map_or(Ok(()), |name| Err(Refusal::not_played(name)))
    }

    /// `RoleSessionName`.
    ///
    /// # Errors
    /// When it is missing or none.
    pub fn session_name(&self) -> Result<&str, Refusal> {
        let name = self.needed("RoleSessionName")?;
        if !(2..=64).contains(&name.chars().count()) {
            return Err(constraint(name, "RoleSessionName", "Member must have length between 2 and 64"));
        }
        let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c));
        let pattern = r"Member must satisfy regular expression pattern: [\w+=,.@-]*";
        valid.then_some(name).ok_or_else(|| constraint(name, "RoleSessionName", pattern))
    }

    /// How long the session shall last: an hour, unless the caller asks for something between a quarter and `longest`
    /// seconds, which is the role's limit.
    ///
    /// # Errors
    /// When it asks for something else.
    pub fn duration(&self, longest: i64) -> Result<SignedDuration, Refusal> {
        let Some(text) = self.get("DurationSeconds") else { return Ok(SignedDuration::from_hours(1)) };
        match text.parse::<i64>() {
            Ok(seconds) if (900..=longest).contains(&seconds) => Ok(SignedDuration::from_secs(seconds)),
            Ok(seconds) if seconds > longest => Err(Refusal::validation(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            )),
            _ => Err(constraint(text, "DurationSeconds", "Member must have value greater than or equal to 900")),
        }
    }
}

/// The error of a parameter that does not satisfy its model.
fn constraint(value: &str, name: &str, constraint: &str) -> Refusal {
    let mut letters = name.chars();
    let member: String = letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default();
    let value = if value == "null" { "null".into() } else { format!("'{value:.64}'") };
    Refusal::validation(format!(
        "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: {constraint}"
    ))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn parameters(body: impl Into<Bytes>) -> Parameters {
        Parameters::of(&axum::http::Request::post("/?Version=2011-06-15").body(body.into()).unwrap())
    }

    #[test]
    fn a_session_lasts_as_long_as_its_role_permits() {
        let seconds =
            |body: &'static str| parameters(body).duration(3600).map(|d| d.as_secs()).map_err(|refusal| refusal.code);
        assert_eq!(seconds(""), Ok(3600));
        assert_eq!(seconds("DurationSeconds=900"), Ok(900));
        for wrong in ["899", "3601", "-1", "9223372036854775807", "99999999999999999999", "soon"] {
            let body = format!("DurationSeconds={wrong}");
            assert_eq!(parameters(body).duration(3600).unwrap_err().code, "ValidationError", "{wrong}");
        }
    }

    #[test]
    fn names_of_sessions_have_a_form() {
        let name = |text: &str| {
            let body: String =
                form_urlencoded::Serializer::new(String::new()).append_pair("RoleSessionName", text).finish();
            parameters(body).session_name().map(|_| ()).map_err(|refusal| refusal.code)
        };
        assert_eq!(name("a.b_c+d=e,f@g-h"), Ok(()));
        for wrong in ["", "a", "a b", "a/b", "ä_", &"n".repeat(65)] {
            assert_eq!(name(wrong), Err("ValidationError"), "{wrong}");
        }
        assert_eq!(parameters("").session_name().unwrap_err().code, "ValidationError");
    }

    #[test]
    fn what_would_weaken_a_session_is_refused_and_reported() {
        for body in ["Policy=%7B%7D", "PolicyArns.member.1.arn=x", "Tags.member.1.Key=x"] {
            let refusal = parameters(body).without(&["Policy", "PolicyArns", "Tags"]).unwrap_err();
            assert!(refusal.finding, "{body}");
        }
        assert!(parameters("PolicyX=1").without(&["Policy"]).is_ok());
    }

    proptest! {
        #[test]
        fn no_body_breaks_the_reader(body in any::<Vec<u8>>(), name in ".{0,70}", duration in ".{0,24}") {
            let raw = parameters(body);
            let _ = (raw.session_name().is_ok(), raw.duration(3600).is_ok(), raw.without(&["Policy"]).is_ok());
            let form: String = form_urlencoded::Serializer::new(String::new())
                .append_pair("RoleSessionName", &name)
                .append_pair("DurationSeconds", &duration)
                .finish();
            let form = parameters(form);
            prop_assert_eq!(form.get("RoleSessionName"), Some(name.as_str()));
            let _ = (form.session_name().is_ok(), form.duration(43_200).is_ok());
        }
    }
}
