//! The path of a secret: from the cloud's backend through the operator's identity to a Kubernetes Secret.

use insta::{assert_yaml_snapshot, with_settings};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::Api;
use rstest::rstest;
use serde_json::{Value, json};
use suites::{Cloud, DEADLINE, Subject, hold, snapshot};
use trinity_e2e::{
    gitops::argocd::NAMESPACE as ARGOCD,
    judge::missing,
    observe::{Expectation, condition, kinds::Kind},
    report::digest::Digester,
};

const DEMO: &str = "secrets-demo";
const NAME: &str = "provider-test-secret";
const KEY: &str = "message";

/// The value under `message` in the backend.
async fn backend(subject: &Subject) -> String {
    let value = subject.control.secret(NAME).await.expect("the backend holds the secret");
    let value: Value = serde_json::from_str(&value).expect("the secret is a JSON object");
    value[KEY].as_str().expect("it has a message").to_owned()
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn applications_are_synced_and_healthy(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let root = format!("trinity-root-{cloud}");
    let what = format!("{root} and all its applications are Synced and Healthy");
    hold(missing::settled(&subject.client, &subject.world, &root, &what, DEADLINE).await);
    for part in ["workloads", "secrets", "secrets-demo"] {
        let name = format!("trinity-{part}-{cloud}");
        let api = Kind::Application.within(&subject.client, ARGOCD);
        let what = format!("application {name} is Synced and Healthy");
        hold(subject.see(api, &name, &what, condition::synced_and_healthy).await);
    }
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn operator_deployments_are_available(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    for name in ["external-secrets", "external-secrets-cert-controller", "external-secrets-webhook"] {
        let api: Api<Deployment> = Api::namespaced(subject.client.clone(), "external-secrets");
        hold(subject.see(api, name, &format!("deployment {name} is Available"), condition::available).await);
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
async fn store_is_valid(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let name = format!("trinity-{}", cloud.name());
    let api = Kind::ClusterSecretStore.all(&subject.client);
    hold(
        subject
            .see(api, &name, &format!("ClusterSecretStore {name} is Valid"), condition::ready_because("Valid"))
            .await,
    );
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn external_secret_is_synced(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let api = Kind::ExternalSecret.within(&subject.client, DEMO);
    hold(
        subject
            .see(api, NAME, &format!("ExternalSecret {NAME} is SecretSynced"), condition::ready_because("SecretSynced"))
            .await,
    );
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn secret_equals_what_the_backend_holds(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let value = backend(&subject).await;
    assert!(value.starts_with(&format!("hello-from-{}-", cloud.name())), "the value in the backend is another cloud's");
    let api: Api<Secret> = Api::namespaced(subject.client.clone(), DEMO);
    hold(subject.see(api.clone(), NAME, "the Secret's message is the backend's", condition::holds(KEY, &value)).await);
    // The negative twin: the same claim about another value must not hold, or the claim above says nothing.
    let secret = api.get(NAME).await.expect("the Secret can be read");
    assert!(matches!(condition::holds(KEY, "another value")(Some(&secret)), Expectation::Pending(_)));
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn backend_change_arrives_after_forced_refresh(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let before = backend(&subject).await;
    let after = format!("{before}-changed");
    let secrets: Api<Secret> = Api::namespaced(subject.client.clone(), DEMO);
    hold(
        subject
            .see(secrets.clone(), NAME, "the Secret is up to date before the change", condition::holds(KEY, &before))
            .await,
    );
    let value = json!({KEY: after}).to_string();
    subject.control.put_secret(NAME, &value).await.expect("the backend takes a new value");
    subject.refresh(&Kind::ExternalSecret.within(&subject.client, DEMO), NAME).await;
    hold(subject.see(secrets, NAME, "the changed value arrives in the Secret", condition::holds(KEY, &after)).await);
}

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn live_objects_match_snapshots(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    // The objects settle before they are compared.
    let application = format!("trinity-secrets-demo-{}", cloud.name());
    let api = Kind::Application.within(&subject.client, ARGOCD);
    let application =
        hold(subject.see(api, &application, "the application is Synced", condition::synced_and_healthy).await);
    let store = format!("trinity-{}", cloud.name());
    let api = Kind::ClusterSecretStore.all(&subject.client);
    let store = hold(subject.see(api, &store, "the store is Valid", condition::ready_because("Valid")).await);
    let api = Kind::ExternalSecret.within(&subject.client, DEMO);
    let external = hold(
        subject.see(api, NAME, "the ExternalSecret is SecretSynced", condition::ready_because("SecretSynced")).await,
    );
    let secrets: Api<Secret> = Api::namespaced(subject.client.clone(), DEMO);
    let secret = secrets.get(NAME).await.expect("the Secret can be read");

    let operator = &subject.world.operator.version;
    let mut redactor = snapshot::Redactor::new(Digester::new(&subject.world.digest_key));
    with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        for (name, object) in [("application", &application), ("store", &store), ("external-secret", &external)] {
            let object = object.as_ref().expect("the object was seen");
            assert_yaml_snapshot!(format!("{}-{operator}-{name}", cloud.name()), redactor.object(object));
        }
        assert_yaml_snapshot!(format!("{}-{operator}-secret", cloud.name()), redactor.secret(&secret));
    });
}
