//! `AssumeRoleWithWebIdentity`.

use super::{
    super::{
        account::Account,
        condition::Context,
        iam::{self, Decision, Who, Wish},
    },
    parameters::Parameters,
    refusal::Refusal,
    xml::Element,
};
use crate::{
    check::{Check, made},
    issuer::Unverified,
};

const ACTION: &str = "sts:AssumeRoleWithWebIdentity";

/// The checks in the order in which AWS makes them: issuer, signature, expiry, audience, trust policy.
pub fn assume(account: &Account, parameters: &Parameters) -> Result<Element, Refusal> {
    let (arn, name) = (parameters.needed("RoleArn")?, parameters.session_name()?);
    let token = parameters.needed("WebIdentityToken")?;
    parameters.without(&["Policy", "PolicyArns", "ProviderId"])?;
    let now = account.ground.clock.now();
    let claims = account.ground.trust.verify(token, now)?;
    let setup = account.setup();
    let provider = setup.provider(&claims.iss).ok_or_else(|| Unverified::Issuer(claims.iss.clone()))?;
    let audience = match claims.aud.iter().find(|a| provider.client_id_list.contains(a)) {
        Some(audience) => audience.as_str(),
        None if made(Check::Audience) => {
            let reason = format!(
                "the token's audience {:?} is not in the provider's client_id_list {:?}",
                claims.aud, provider.client_id_list
            );
            return Err(Refusal::token("Incorrect token audience", reason));
        }
        None => provider.client_id_list.first().map(String::as_str).unwrap_or_default(),
    };
    let denied = |reason: String| Refusal::denied(format!("Not authorized to perform {ACTION}"), reason);
    let (role, found) = super::role(account, &setup, arn).ok_or_else(|| denied(format!("there is no role {arn}")))?;
    let claimed = [("aud", audience), ("sub", &claims.sub)]
        .map(|(claim, value)| (format!("{}:{claim}", provider.name()), value.to_owned()));
    let context = Context { claims: &claimed, session_name: Some(name), ..Context::default() };
    let wish = Wish { action: ACTION, resource: arn, context };
    let vouched = format!("arn:aws:iam::{}:oidc-provider/{}", account.id, provider.name());
    let who = Who { account: &account.id, provider: Some(&vouched), ..Who::default() };
    if iam::trust(&found.trust, &who, &wish) != Decision::Allowed {
        return Err(denied(format!("role {role}: {}", iam::unmet(&found.trust, &who, &wish))));
    }
    let expires = now + parameters.duration(found.longest)?;
    let mut answer = vec![
        Element::text("Audience", audience),
        Element::text("Provider", &vouched),
        Element::text("SubjectFromWebIdentityToken", &claims.sub),
    ];
    answer.extend(super::issue(account, &setup, role, name, expires));
    Ok(Element::of("AssumeRoleWithWebIdentityResult", answer))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use jsonwebtoken::{Algorithm, EncodingKey};
    use serde_json::json;

    use super::super::super::fixture::Cluster;
    use crate::fixture::STRANGER;

    static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::new);

    /// AWS's answer to a token: `success`, or its error code.
    fn answer_to(token: &str) -> String {
        answer_for("trinity-external-secrets", token)
    }

    fn answer_for(role: &str, token: &str) -> String {
        CLUSTER.assume(role, token).map_or_else(|code| code, |_| "success".into())
    }

    #[test]
    fn a_trusted_token_gets_a_session() {
        assert_eq!(answer_to(&Cluster::token(|_| {})), "success");
        assert_eq!(answer_to(&Cluster::token(|c| c["aud"] = json!("sts.amazonaws.com"))), "success");
    }

    #[test]
    fn a_signature_that_is_not_the_clusters_is_refused() {
        assert_eq!(answer_to(&Cluster::forged(Algorithm::RS256, &STRANGER.key)), "InvalidIdentityToken");
        assert_eq!(answer_to(&Cluster::under("another")), "InvalidIdentityToken");
        // The published key used as an HMAC secret, and no signature at all.
        let issuer = CLUSTER.account.ground.trust.issuer();
        let (n, _) = issuer.components();
        let confused = EncodingKey::from_secret(n.as_bytes());
        assert_eq!(answer_to(&Cluster::forged(Algorithm::HS256, &confused)), "InvalidIdentityToken");
        let good = Cluster::token(|_| {});
        let unsigned = good.rsplit_once('.').unwrap().0;
        assert_eq!(answer_to(&format!("{unsigned}.")), "InvalidIdentityToken");
        // A good signature of other claims.
        let other = Cluster::token(|c| c["sub"] = json!("system:serviceaccount:default:default"));
        let parts: Vec<&str> = good.split('.').collect();
        let mixed = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
        assert_eq!(answer_to(&mixed), "InvalidIdentityToken");
    }

    #[test]
    fn audiences_must_be_listed() {
        for aud in [json!(["vault"]), json!([]), json!("sts.amazonaws.com.example"), json!(["STS.amazonaws.com"])] {
            assert_eq!(answer_to(&Cluster::token(|c| c["aud"] = aud.clone())), "InvalidIdentityToken", "{aud}");
        }
    }

    #[test]
    fn a_role_that_is_none_or_trusts_another_is_refused() {
        for role in ["absent", "", "trinity-unbound", "*", "trinity-external-secrets/x"] {
            assert_eq!(answer_for(role, &Cluster::token(|_| {})), "AccessDenied", "{role}");
        }
    }

    #[test]
    fn an_issuer_that_the_account_has_not_registered_is_refused() {
        let cluster = Cluster::new();
        let declared = Cluster::declared().replace("url: https://${issuer}", "url: https://example.com");
        cluster.account.declare(&declared).unwrap();
        let refused = cluster.assume("trinity-external-secrets", &Cluster::token(|_| {}));
        assert_eq!(refused.unwrap_err(), "InvalidIdentityToken");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", ".", "..", "a.b.c", "eyJhbGciOiJSUzI1NiJ9.e30.", "\0", "ä.ö.ü", &"x".repeat(100_000)] {
            assert_eq!(answer_to(text), "InvalidIdentityToken", "{text:.20}");
        }
    }
}
