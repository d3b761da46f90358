//! `Condition` of a policy statement: what of a request must hold for the statement to count.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::policy::one_or_many;
use crate::{
    check::{Check, made},
    issuer::{SERVICE_ACCOUNT, service_account},
};

/// All tests of one statement; every one must hold.
#[derive(Clone, Debug, Default)]
pub struct Condition(Vec<Test>);

/// One operator on one key.
#[derive(Clone, Debug)]
struct Test {
    operator: Operator,
    key: Key,
    wanted: Vec<String>,
}

/// Condition operators that are evaluated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Operator {
    StringEquals,
    StringNotEquals,
    StringLike,
    StringNotLike,
    DateLessThan,
}

/// Condition keys that are evaluated here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    PrincipalArn,
    TokenIssueTime,
    ExternalId,
    RoleSessionName,
    VersionStage,
    /// `aws:ResourceTag/<key>` or `secretsmanager:ResourceTag/<key>`.
    ResourceTag(String),
    /// `<issuer>:aud` or `<issuer>:sub` of a web identity.
    Claim(String),
}

/// What a request has for the keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// ARN of the role or user that calls.
    pub principal: Option<&'a str>,
    /// When the caller's temporary credentials were issued.
    pub issued: Option<Timestamp>,
    /// The external id that the caller gives.
    pub external_id: Option<&'a str>,
    /// The name that the caller gives to the session.
    pub session_name: Option<&'a str>,
    /// The staging label that the request names. A request that leaves it out has none, although it gets `AWSCURRENT`
    /// (aws/aws-cli#5031).
    pub version_stage: Option<&'a str>,
    /// Tags of the resource.
    pub tags: Option<&'a BTreeMap<String, String>>,
    /// Claims of a web identity, by `<issuer>:<claim>`.
    pub claims: &'a [(String, String)],
}

impl Condition {
    /// Whether it always holds.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all tests hold.
    pub fn holds(&self, context: &Context<'_>) -> bool {
        self.0.iter().all(|test| test.holds(context))
    }

    /// The first test that does not hold, in words for the journal.
    pub fn unmet(&self, context: &Context<'_>) -> Option<String> {
        let test = self.0.iter().find(|test| !test.holds(context))?;
        let seen = context.value(&test.key);
        let seen = seen.as_deref().unwrap_or("nothing");
        Some(format!("{} shall be {} ({:?}) and is {seen}", test.key, test.wanted.join(" or "), test.operator))
    }
}

impl Context<'_> {
    fn value(&self, key: &Key) -> Option<Cow<'_, str>> {
        match key {
            Key::PrincipalArn => self.principal,
            Key::TokenIssueTime => return self.issued.map(|time| time.to_string().into()),
            Key::ExternalId => self.external_id,
            Key::RoleSessionName => self.session_name,
            Key::VersionStage => self.version_stage,
            Key::ResourceTag(tag) => self.tags.and_then(|tags| tags.get(tag)).map(String::as_str),
            Key::Claim(claim) => self.claims.iter().find(|(name, _)| name == claim).map(|(_, value)| value.as_str()),
        }
        .map(Cow::Borrowed)
    }
}

impl Test {
    fn holds(&self, context: &Context<'_>) -> bool {
        let seen = context.value(&self.key);
        let any = |fits: fn(&str, &str) -> bool| {
            seen.as_deref().is_some_and(|seen| self.wanted.iter().any(|w| fits(w, &self.key.judged(seen, w))))
        };
        match self.operator {
            Operator::StringEquals => any(|wanted, seen| wanted == seen),
            Operator::StringLike => any(like),
            // IAM: a negated operator holds for a key that the request does not have.
            Operator::StringNotEquals => !any(|wanted, seen| wanted == seen),
            Operator::StringNotLike => !any(like),
            Operator::DateLessThan => {
                context.issued.is_some_and(|seen| self.wanted.iter().any(|w| date(w).is_some_and(|limit| seen < limit)))
            }
        }
    }
}

impl Key {
    /// What is held against a wanted value: what the request has. IAM compares a subject as one text, but what stands
    /// in it are two checks, of the namespace and of the name; a check that is left out goes by what is wanted.
    fn judged<'a>(&self, seen: &'a str, wanted: &str) -> Cow<'a, str> {
        let subject = matches!(self, Self::Claim(claim) if claim.ends_with(":sub"));
        if !subject || (made(Check::Namespace) && made(Check::Name)) {
            return Cow::Borrowed(seen);
        }
        let (Some((namespace, name)), Some((other, another))) = (service_account(seen), service_account(wanted)) else {
            return Cow::Borrowed(seen);
        };
        let namespace = if made(Check::Namespace) { namespace } else { other };
        let name = if made(Check::Name) { name } else { another };
        Cow::Owned(format!("{SERVICE_ACCOUNT}{namespace}:{name}"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrincipalArn => f.write_str("aws:PrincipalArn"),
            Self::TokenIssueTime => f.write_str("aws:TokenIssueTime"),
            Self::ExternalId => f.write_str("sts:ExternalId"),
            Self::RoleSessionName => f.write_str("sts:RoleSessionName"),
            Self::VersionStage => f.write_str("secretsmanager:VersionStage"),
            Self::ResourceTag(tag) => write!(f, "aws:ResourceTag/{tag}"),
            Self::Claim(claim) => f.write_str(claim),
        }
    }
}

impl Key {
    /// Names of keys are the same in any case; keys of tags keep theirs.
    fn read(text: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        Some(match lower.as_str() {
            "aws:principalarn" => Self::PrincipalArn,
            "aws:tokenissuetime" => Self::TokenIssueTime,
            "sts:externalid" => Self::ExternalId,
            "sts:rolesessionname" => Self::RoleSessionName,
            "secretsmanager:versionstage" => Self::VersionStage,
            _ if lower.starts_with("aws:resourcetag/") || lower.starts_with("secretsmanager:resourcetag/") => {
                Self::ResourceTag(text.split_once('/')?.1.to_owned())
            }
            _ if ["aws:", "sts:", "secretsmanager:"].iter().any(|own| lower.starts_with(own)) => return None,
            _ if lower.ends_with(":aud") || lower.ends_with(":sub") => Self::Claim(text.to_owned()),
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wanted(#[serde(deserialize_with = "one_or_many")] Vec<String>);

        let mut tests = Vec::new();
        for (operator, keys) in BTreeMap::<Operator, BTreeMap<String, Wanted>>::deserialize(from)? {
            for (name, Wanted(wanted)) in keys {
                let refused = |why: &str| Err(D::Error::custom(format!("the condition on {name} {why}")));
                let Some(key) = Key::read(&name) else { return refused("is not evaluated here") };
                if (operator == Operator::DateLessThan) != (key == Key::TokenIssueTime) {
                    return refused("has an operator of another type");
                }
                if operator == Operator::DateLessThan && wanted.iter().any(|w| date(w).is_none()) {
                    return refused("has no date");
                }
                if wanted.iter().any(|w| w.contains("${")) {
                    return refused("has policy variables, which are not evaluated here");
                }
                tests.push(Test { operator, key, wanted });
            }
        }
        Ok(Self(tests))
    }
}

/// ISO 8601, or seconds since 1970.
fn date(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()))
}

/// Wildcard match: `*` is any text, `?` any one character.
pub fn like(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on when what follows the last star does not fit: after the star, one character further.
    let mut again = None;
    loop {
        let (rest, left) = (pattern.clone(), text.clone());
        match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                again = Some((pattern.clone(), left.clone()));
                text = left;
            }
            (None, None) => return true,
            (Some(p), Some(t)) if p == '?' || p == t => {}
            (_, None) => return rest.clone().all(|c| c == '*'),
            (_, Some(_)) => match again.as_mut() {
                Some((after, from)) => {
                    from.next();
                    (pattern, text) = (after.clone(), from.clone());
                }
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn condition(value: Value) -> Condition {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_test_must_hold_and_of_its_values_one() {
        let both = condition(json!({
            "StringEquals": {"secretsmanager:VersionStage": ["AWSCURRENT", "AWSPREVIOUS"]},
            "StringLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/app-*"},
        }));
        let role = Some("arn:aws:iam::111122223333:role/app-a");
        let context = Context { principal: role, version_stage: Some("AWSPREVIOUS"), ..Context::default() };
        assert!(both.holds(&context));
        assert!(!both.holds(&Context { version_stage: Some("AWSPENDING"), ..context }));
        assert!(!both.holds(&Context { version_stage: None, ..context }));
        let other = Context { principal: Some("arn:aws:iam::111122223333:role/other"), ..context };
        assert!(!both.holds(&other));
        assert!(both.unmet(&other).unwrap().contains("aws:PrincipalArn"));
    }

    #[test]
    fn tags_keep_their_case_and_keys_do_not() {
        let tags = BTreeMap::from([("Team".to_owned(), "a".to_owned())]);
        let tagged = Context { tags: Some(&tags), ..Context::default() };
        for key in ["aws:ResourceTag/Team", "secretsmanager:resourcetag/Team"] {
            assert!(condition(json!({"StringEquals": {key: "a"}})).holds(&tagged), "{key}");
        }
        assert!(!condition(json!({"StringEquals": {"aws:ResourceTag/team": "a"}})).holds(&tagged));
    }

    #[test]
    fn a_negated_test_holds_without_the_key() {
        let not =
            condition(json!({"StringNotEquals": {"sts:ExternalId": "x"}, "StringNotLike": {"sts:ExternalId": "y*"}}));
        assert!(not.holds(&Context::default()));
        assert!(not.holds(&Context { external_id: Some("z"), ..Context::default() }));
        assert!(!not.holds(&Context { external_id: Some("x"), ..Context::default() }));
        assert!(!not.holds(&Context { external_id: Some("yes"), ..Context::default() }));
    }

    #[test]
    fn credentials_are_older_than_a_date_or_not() {
        let limit = Timestamp::from_second(1_800_000_000).unwrap();
        for text in ["1800000000", "2027-01-15T08:00:00Z"] {
            let older = condition(json!({"DateLessThan": {"aws:TokenIssueTime": text}}));
            let second = SignedDuration::from_secs(1);
            assert!(older.holds(&Context { issued: Some(limit - second), ..Context::default() }));
            assert!(!older.holds(&Context { issued: Some(limit), ..Context::default() }));
            assert!(!older.holds(&Context::default()), "long-lived credentials have no such time");
        }
    }

    #[test]
    fn wildcards() {
        assert!(like("*", "") && like("", "") && like("**", "x"));
        assert!(like("a*c", "abbc") && !like("a*c", "abbd") && like("a*bc", "abxbc"));
        assert!(like("a?c", "abc") && !like("a?c", "ac") && like("ä?", "äö"));
        assert!(!like("a", "") && !like("", "a") && !like("a*b?", "ab"));
    }

    proptest! {
        #[test]
        fn a_text_is_like_itself_and_like_its_beginning_with_a_star(text in "[a-z/:-]{0,30}", cut in 0usize..30) {
            prop_assert!(like(&text, &text));
            let begin = text.get(..cut.min(text.len())).unwrap_or_default();
            let pattern = format!("{begin}*");
            prop_assert!(like(&pattern, &text));
        }

        #[test]
        fn no_pattern_breaks_the_match(pattern in "[ab*?ä]{0,12}", text in "[abä]{0,12}") {
            // Against the plain recursive definition.
            fn plain(p: &[char], t: &[char]) -> bool {
                match (p.first(), t.first()) {
                    (None, None) => true,
                    (Some('*'), _) => plain(&p[1..], t) || (!t.is_empty() && plain(p, &t[1..])),
                    (Some(c), Some(d)) if *c == '?' || c == d => plain(&p[1..], &t[1..]),
                    _ => false,
                }
            }
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(like(&pattern, &text), plain(&p, &t));
        }
    }
}
