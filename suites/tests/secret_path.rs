//! The path of a secret: from the cloud's backend through the operator's identity to a Kubernetes Secret. What the platform
//! reads is found in its own objects.

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, ResourceExt, api::ListParams};
use rstest::rstest;
use suites::{Cloud, DEADLINE, Subject, hold};
use trinity_e2e::{
    gitops::roots::Roots,
    judge::missing,
    observe::{Expectation, condition, key, kinds::Kind},
};

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn applications_are_synced_and_healthy(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let roots = hold(Roots::read(&subject.world.root));
    let what = format!("{roots} and all their applications are Synced and Healthy");
    hold(missing::settled(&subject.client, &subject.world, &roots, &what, DEADLINE).await);
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn operator_deployments_are_available(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let all: Api<Deployment> = Api::all(subject.client.clone());
    // The labels that the operator's chart gives to its parts.
    let parts =
        "app.kubernetes.io/name in (external-secrets, external-secrets-webhook, external-secrets-cert-controller)";
    let parts = all.list(&ListParams::default().labels(parts)).await.expect("Deployments can be listed").items;
    let named = |name: &str| parts.iter().any(|part| part.labels().values().any(|label| label == name));
    assert!(named("external-secrets"), "no Deployment has the label of the operator");
    for part in parts {
        let api: Api<Deployment> = Api::namespaced(subject.client.clone(), &part.namespace().unwrap_or_default());
        let what = format!("deployment {} is Available", key(&part));
        hold(subject.see(api, &part.name_any(), &what, condition::available).await);
    }
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn crds_are_established(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    for kind in ["clustersecretstores", "externalsecrets", "secretstores"] {
        let name = format!("{kind}.external-secrets.io");
        let api: Api<CustomResourceDefinition> = Api::all(subject.client.clone());
        hold(subject.see(api, &name, &format!("CRD {name} is established"), condition::established).await);
    }
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn stores_are_valid(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let mut stores = subject.own(Kind::ClusterSecretStore).await;
    stores.extend(subject.own(Kind::SecretStore).await);
    assert!(!stores.is_empty(), "the platform has no store");
    for (api, store) in stores {
        let what = format!("store {} is Valid", key(&store));
        hold(subject.see(api, &store.name_any(), &what, condition::ready_because("Valid")).await);
    }
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn external_secrets_are_synced(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let secrets = subject.own(Kind::ExternalSecret).await;
    assert!(!secrets.is_empty(), "the platform has no ExternalSecret");
    for (api, secret) in secrets {
        let what = format!("ExternalSecret {} is SecretSynced", key(&secret));
        hold(subject.see(api, &secret.name_any(), &what, condition::ready_because("SecretSynced")).await);
    }
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn secrets_equal_what_the_backend_holds(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let entries = subject.entries().await;
    assert!(!entries.is_empty(), "no key of any Secret comes unchanged from the backend, so nothing can be compared");
    for (entry, text) in entries {
        let value = entry.expected(&text).expect("the backend's value has the field that the platform reads");
        let api: Api<Secret> = Api::namespaced(subject.client.clone(), &entry.namespace);
        let what = format!("{} of Secret {}/{} is the backend's", entry.key, entry.namespace, entry.secret);
        hold(subject.see(api.clone(), &entry.secret, &what, condition::holds(&entry.key, &value)).await);
        // The negative twin: the same claim about another value must not hold, or the claim above says nothing.
        let secret = api.get(&entry.secret).await.expect("the Secret can be read");
        let other = condition::holds(&entry.key, "another value");
        assert!(matches!(other(Some(&secret)), Expectation::Pending(_)));
    }
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn backend_change_arrives_after_forced_refresh(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let entries = subject.entries().await;
    let free = entries.iter().find(|(entry, _)| entry.is_free());
    let (entry, text) = free.expect("a key of a Secret comes unchanged from the backend, and no other test needs it");
    let before = entry.expected(text).expect("the backend's value has the field that the platform reads");
    let after = format!("{before}-changed");
    let secrets: Api<Secret> = Api::namespaced(subject.client.clone(), &entry.namespace);
    let see = async |what, value: &str| {
        hold(subject.see(secrets.clone(), &entry.secret, what, condition::holds(&entry.key, value)).await);
    };
    see("the Secret is up to date before the change", &before).await;
    subject
        .control
        .put_secret(&entry.remote, &entry.changed(text, &after))
        .await
        .expect("the backend takes a new value");
    subject.refresh(&Kind::ExternalSecret.within(&subject.client, &entry.namespace), &entry.external).await;
    see("the changed value arrives in the Secret", &after).await;
}
