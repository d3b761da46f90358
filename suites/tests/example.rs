//! Claims about the example platform alone, `fixtures/platforms/trinity`: what its objects look like when they have settled,
//! and that every cloud's value is its own.

use insta::{assert_yaml_snapshot, with_settings};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rstest::rstest;
use serde_json::Value;
use suites::{Cloud, Subject, hold, snapshot};
use trinity_e2e::{
    gitops::argocd::NAMESPACE as ARGOCD,
    observe::{condition, kinds::Kind},
    report::digest::Digester,
};

const DEMO: &str = "secrets-demo";
const NAME: &str = "provider-test-secret";

#[rstest]
#[case::aws(Cloud::Aws)]
#[case::gcp(Cloud::Gcp)]
#[case::azure(Cloud::Azure)]
#[tokio::test]
async fn the_value_is_this_clouds(#[case] cloud: Cloud) {
    let subject = Subject::find(cloud).await;
    let value = subject.control.secret(NAME).await.expect("the backend holds the secret");
    let value: Value = serde_json::from_str(&value).expect("the secret is a JSON object");
    let message = value["message"].as_str().expect("it has a message");
    assert!(message.starts_with(&format!("hello-from-{cloud}-")), "the value in the backend is another cloud's");
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
