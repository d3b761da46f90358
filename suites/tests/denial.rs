//! The denial matrix, as the operator meets it: a caller that is wrong in one point gets no Secret, the cloud says why in
//! its own words, and once the point is mended the Secret arrives.
//!
//! Here are the rows in which the caller is wrong; they run side by side. In the rows of `alone` the cloud changes for
//! everybody, so each has the world for itself (`suites/nextest.toml`).

use rstest::rstest;
use serde_json::json;
use suites::{
    Cloud,
    caller::{Caller, Place, Refusal, Wrong},
};

/// A refusal by the store's validation: the identity gets no credentials.
const fn store(event: &'static str, code: &'static str) -> Refusal {
    Refusal { place: Place::Store, event, code: Some(code) }
}

/// A refusal of the secret itself.
const fn secret(event: &'static str, code: &'static str) -> Refusal {
    Refusal { place: Place::ExternalSecret, event, code: Some(code) }
}

/// A refusal by the operator, which does not even call.
const fn uncalled(event: &'static str) -> Refusal {
    Refusal { place: Place::Store, event, code: None }
}

/// Refused as expected, no Secret; mended, and it arrives.
async fn refused_until_mended(cloud: Cloud, row: &str, wrong: Wrong, refusal: Refusal) {
    let caller = Caller::new(cloud, row, wrong).await;
    caller.is_refused(refusal).await;
    caller.has_no_secret().await;
    caller.is_mended().await;
    caller.gets_its_secret().await;
    caller.leaves().await;
}

#[rstest]
#[case::aws(Cloud::Aws, Wrong::Identity("denial-wrong-aud"), store("api error AccessDenied: ", "AccessDenied"))]
#[case::gcp(Cloud::Gcp, Wrong::Provider(json!({"gcpsm": {"auth": {"workloadIdentity": {"clusterProjectID": "another"}}}})), store("could not get idbindtoken token, status: 400", "invalid_target"))]
#[case::azure(Cloud::Azure, Wrong::Identity("denial-wrong-aud"), store("AADSTS700212", "AADSTS700212"))]
#[tokio::test]
async fn wrong_aud(#[case] cloud: Cloud, #[case] wrong: Wrong, #[case] refusal: Refusal) {
    refused_until_mended(cloud, "wrong-aud", wrong, refusal).await;
}

#[rstest]
#[case::aws(Cloud::Aws, store("api error AccessDenied: ", "AccessDenied"))]
#[case::gcp(
    Cloud::Gcp,
    store("unable to generate gcp access token: rpc error: code = PermissionDenied", "PERMISSION_DENIED")
)]
#[case::azure(Cloud::Azure, store("AADSTS700213", "AADSTS700213"))]
#[tokio::test]
async fn wrong_sub_namespace(#[case] cloud: Cloud, #[case] refusal: Refusal) {
    refused_until_mended(cloud, "wrong-namespace", Wrong::Identity("denial-wrong-namespace"), refusal).await;
}

#[rstest]
#[case::aws(Cloud::Aws, store("api error AccessDenied: ", "AccessDenied"))]
#[case::gcp(
    Cloud::Gcp,
    store("unable to generate gcp access token: rpc error: code = PermissionDenied", "PERMISSION_DENIED")
)]
#[case::azure(Cloud::Azure, store("AADSTS700213", "AADSTS700213"))]
#[tokio::test]
async fn wrong_sub_name(#[case] cloud: Cloud, #[case] refusal: Refusal) {
    refused_until_mended(cloud, "wrong-name", Wrong::Identity("denial-wrong-name"), refusal).await;
}

#[rstest]
#[case::aws(Cloud::Aws, uncalled("an IAM role must be associated with service account"))]
// Without an annotation the Kubernetes service account calls as itself, and nobody has granted it anything.
#[case::gcp(Cloud::Gcp, secret("code = PermissionDenied", "PERMISSION_DENIED"))]
#[case::azure(Cloud::Azure, uncalled("missing clientID"))]
#[tokio::test]
async fn missing_binding(#[case] cloud: Cloud, #[case] refusal: Refusal) {
    refused_until_mended(cloud, "missing-binding", Wrong::NoIdentity, refusal).await;
}

#[rstest]
#[case::aws(Cloud::Aws, secret("AccessDeniedException", "AccessDeniedException"))]
#[case::gcp(Cloud::Gcp, secret("code = PermissionDenied", "PERMISSION_DENIED"))]
#[case::azure(Cloud::Azure, secret("Forbidden", "Forbidden"))]
#[tokio::test]
async fn identity_without_permission(#[case] cloud: Cloud, #[case] refusal: Refusal) {
    refused_until_mended(cloud, "powerless", Wrong::Identity("denial-powerless"), refusal).await;
}

#[rstest]
#[case::aws(Cloud::Aws, secret("AccessDeniedException", "AccessDeniedException"))]
#[case::gcp(Cloud::Gcp, secret("code = PermissionDenied", "PERMISSION_DENIED"))]
#[case::azure(Cloud::Azure, secret("Forbidden", "Forbidden"))]
#[tokio::test]
async fn permission_on_another_secret(#[case] cloud: Cloud, #[case] refusal: Refusal) {
    refused_until_mended(cloud, "elsewhere", Wrong::Identity("denial-elsewhere"), refusal).await;
}

#[rstest]
#[case::aws(Cloud::Aws, secret("with an explicit deny", "AccessDeniedException"))]
#[case::gcp(Cloud::Gcp, store("unable to generate gcp access token: rpc error: code = ", "PERMISSION_DENIED"))]
#[case::azure(Cloud::Azure, store("AADSTS7000112", "AADSTS7000112"))]
#[tokio::test]
async fn disabled_identity(#[case] cloud: Cloud, #[case] refusal: Refusal) {
    refused_until_mended(cloud, "disabled", Wrong::Identity("denial-disabled"), refusal).await;
}

/// The cloud changes for everybody, and back.
mod alone {
    use rsa::{
        RsaPrivateKey,
        pkcs8::{EncodePublicKey, LineEnding},
        rand_core::OsRng,
    };
    use suites::{Subject, caller::SECRET};
    use trinity_emulators::control::Replacement;

    use super::*;

    /// More than a token of the cluster lasts, in seconds.
    const LONG: i64 = 100_000;

    /// What the cloud believes of the cluster's issuer.
    #[derive(Clone, Copy)]
    struct Belief {
        url: bool,
        key: bool,
    }

    /// Makes the cloud believe that the cluster's issuer has another URL or another key, or neither.
    async fn believe(subject: &Subject, wrong: Belief) {
        let world = &subject.world;
        let public =
            std::fs::read_to_string(world.token_key.with_extension("pub")).expect("the cluster's key is there");
        let stranger = RsaPrivateKey::new(&mut OsRng, 2048).expect("a key can be made").to_public_key();
        let stranger = stranger.to_public_key_pem(LineEnding::LF).expect("a key has a text");
        let issuer = Replacement {
            url: if wrong.url {
                format!("{}/another", world.issuer.trim_end_matches('/'))
            } else {
                world.issuer.clone()
            },
            jwks: world.jwks.clone(),
            key: if wrong.key { stranger } else { public },
        };
        subject.control.trust(&issuer).await.expect("the gateway takes an issuer");
    }

    /// Whatever comes of a trial in a cloud that is upset, the next test finds the cloud settled; and in it the caller is
    /// served.
    async fn settled_after(trial: impl Future<Output = Caller> + Send + 'static, settle: impl Future<Output = ()>) {
        let outcome = tokio::spawn(trial).await;
        settle.await;
        let caller = outcome.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()));
        caller.gets_its_secret().await;
        caller.the_platform_goes_on().await;
        caller.leaves().await;
    }

    /// Refused in a cloud that is upset already.
    async fn refused(cloud: Cloud, row: &'static str, refusal: Refusal) -> Caller {
        let caller = Caller::new(cloud, row, Wrong::Nothing).await;
        caller.is_refused(refusal).await;
        caller.has_no_secret().await;
        caller
    }

    async fn refused_while_believing(cloud: Cloud, row: &'static str, wrong: Belief, refusal: Refusal) {
        let subject = Subject::find(cloud).await;
        believe(&subject, wrong).await;
        let right = believe(&subject, Belief { url: false, key: false });
        settled_after(refused(cloud, row, refusal), right).await;
    }

    async fn refused_while_moved(cloud: Cloud, row: &'static str, seconds: i64, refusal: Refusal) {
        let subject = Subject::find(cloud).await;
        let by = async |seconds| subject.control.advance(seconds).await.expect("the clock can be moved");
        by(seconds).await;
        settled_after(refused(cloud, row, refusal), by(-seconds)).await;
    }

    /// The cloud knows another key: the signature of the cluster's tokens is anybody's.
    #[rstest]
    #[case::aws(Cloud::Aws, store("InvalidIdentityToken: ", "InvalidIdentityToken"))]
    #[case::gcp(Cloud::Gcp, store("could not get idbindtoken token, status: 400", "invalid_grant"))]
    #[case::azure(Cloud::Azure, store("AADSTS7000272", "AADSTS7000272"))]
    #[tokio::test]
    async fn forged_signature(#[case] cloud: Cloud, #[case] refusal: Refusal) {
        refused_while_believing(cloud, "forged", Belief { url: false, key: true }, refusal).await;
    }

    /// The key is right, and the cloud expects tokens under another issuer's name.
    #[rstest]
    #[case::aws(Cloud::Aws, store("InvalidIdentityToken: ", "InvalidIdentityToken"))]
    #[case::gcp(Cloud::Gcp, store("could not get idbindtoken token, status: 400", "invalid_grant"))]
    #[case::azure(Cloud::Azure, store("AADSTS700211", "AADSTS700211"))]
    #[tokio::test]
    async fn wrong_iss(#[case] cloud: Cloud, #[case] refusal: Refusal) {
        refused_while_believing(cloud, "wrong-iss", Belief { url: true, key: false }, refusal).await;
    }

    /// The cloud belongs to another cluster, with another issuer and another key.
    #[rstest]
    #[case::aws(Cloud::Aws, store("InvalidIdentityToken: ", "InvalidIdentityToken"))]
    #[case::gcp(Cloud::Gcp, store("could not get idbindtoken token, status: 400", "invalid_grant"))]
    #[case::azure(Cloud::Azure, store("AADSTS700211", "AADSTS700211"))]
    #[tokio::test]
    async fn token_of_another_world(#[case] cloud: Cloud, #[case] refusal: Refusal) {
        refused_while_believing(cloud, "another-world", Belief { url: true, key: true }, refusal).await;
    }

    /// In the cloud it is so late that a new token has expired.
    #[rstest]
    #[case::aws(Cloud::Aws, store("ExpiredTokenException: ", "ExpiredTokenException"))]
    #[case::gcp(Cloud::Gcp, store("could not get idbindtoken token, status: 400", "invalid_grant"))]
    #[case::azure(Cloud::Azure, store("AADSTS700024", "AADSTS700024"))]
    #[tokio::test]
    async fn expired(#[case] cloud: Cloud, #[case] refusal: Refusal) {
        refused_while_moved(cloud, "expired", LONG, refusal).await;
    }

    /// In the cloud it is so early that a new token is not valid yet.
    #[rstest]
    #[case::aws(Cloud::Aws, store("InvalidIdentityToken: ", "InvalidIdentityToken"))]
    #[case::gcp(Cloud::Gcp, store("could not get idbindtoken token, status: 400", "invalid_grant"))]
    #[case::azure(Cloud::Azure, store("AADSTS700024", "AADSTS700024"))]
    #[tokio::test]
    async fn not_yet_valid(#[case] cloud: Cloud, #[case] refusal: Refusal) {
        refused_while_moved(cloud, "not-yet-valid", -LONG, refusal).await;
    }

    /// A permission that was there is taken away, while the Secret is there: it stays as it is, nothing newer arrives, and
    /// once the permission is back, it does.
    #[rstest]
    #[case::aws(Cloud::Aws, "aws_iam_role_policy_attachment", secret("AccessDeniedException", "AccessDeniedException"))]
    #[case::gcp(
        Cloud::Gcp,
        "google_secret_manager_secret_iam_member",
        secret("code = PermissionDenied", "PERMISSION_DENIED")
    )]
    #[case::azure(Cloud::Azure, "azurerm_role_assignment", secret("Forbidden", "Forbidden"))]
    #[tokio::test]
    async fn revoked_mid_run(#[case] cloud: Cloud, #[case] grant: &'static str, #[case] refusal: Refusal) {
        let subject = Subject::find(cloud).await;
        let granted = std::fs::read_to_string(subject.world.emulated.declared()).expect("the declaration can be read");
        let revoked = without(&granted, grant, "denial_reader");
        let declare = async |text: &str| subject.control.declare(text.into()).await.expect("the cloud takes it");
        let before = subject.control.secret(SECRET).await.expect("the backend holds the secret");

        let caller = Caller::new(cloud, "revoked", Wrong::Nothing).await;
        caller.gets_its_secret().await;
        declare(&revoked).await;
        let trial = async move {
            let after = format!("{before}-changed");
            caller.subject.control.put_secret(SECRET, &after).await.expect("the backend takes a new value");
            caller.asks_again().await;
            caller.is_refused(refusal).await;
            caller.still_has(&before).await;
            caller
        };
        settled_after(trial, declare(&granted)).await;
    }

    /// A declaration of several documents without one resource.
    fn without(text: &str, kind: &str, name: &str) -> String {
        use serde::Deserialize;
        use serde_yaml::{Deserializer, Value};
        let mut found = false;
        let documents: Vec<String> = Deserializer::from_str(text)
            .map(|document| {
                let mut document = Value::deserialize(document).expect("it is YAML");
                let named = document.get_mut(kind).and_then(Value::as_mapping_mut);
                found |= named.and_then(|named| named.remove(name)).is_some();
                serde_yaml::to_string(&document).expect("it is YAML again")
            })
            .collect();
        assert!(found, "there is no {kind} {name}");
        documents.join("---\n")
    }
}
