use serde_json::json;

use super::*;

fn application(name: &str, objects: Value) -> Application {
    Application {
        name: name.into(),
        namespace: "n".into(),
        paths: Vec::new(),
        objects: serde_json::from_value(objects).unwrap(),
    }
}

fn object(api: &str, kind: &str, name: &str, wave: &str, spec: Value) -> Value {
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "annotations": {WAVE: wave}}, "spec": spec})
}

fn child(name: &str, wave: &str) -> Value {
    object("argoproj.io/v1alpha1", "Application", name, wave, json!({}))
}

fn what(applications: &[Application]) -> Vec<String> {
    let settings = BTreeMap::from([(CHECK.to_owned(), String::new())]);
    findings(&without_files(applications), &settings).iter().map(ToString::to_string).collect()
}

fn without_files(applications: &[Application]) -> Vec<(Application, Tree)> {
    applications.iter().map(|application| (application.clone(), Tree::default())).collect()
}

#[track_caller]
fn only(applications: &[Application], texts: &[&str]) {
    let told = what(applications);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(texts.iter().all(|text| told[0].contains(text)), "{told:?}");
}

#[test]
fn an_annotation_that_says_nothing() {
    let map = |wave| application("a", json!([object("v1", "ConfigMap", "m", wave, json!({}))]));
    only(&[map("first")], &["ConfigMap m", "\"first\" is no integer"]);
    assert!(what(&[map("-3")]).is_empty());
    let template = json!({"template": {"metadata": {"annotations": {WAVE: "5"}}}});
    let deployment = application("a", json!([object("apps/v1", "Deployment", "d", "0", template)]));
    only(&[deployment], &["Deployment d", "in spec.template.metadata.annotations has no effect"]);
    let labelled = json!([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {WAVE: "1"}}}]);
    only(&[application("a", labelled)], &["in metadata.labels has no effect"]);
}

#[test]
fn an_annotation_on_what_is_no_object() {
    let told = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f.yaml"), text).unwrap();
        let tree = Tree::read(folder.path(), ["."]).unwrap();
        findings(&[(application("a", json!([])), tree)], &BTreeMap::new())
            .iter()
            .map(ToString::to_string)
            .collect::<String>()
    };
    let list = told(&format!("kind: List\nmetadata:\n  annotations:\n    {WAVE}: \"1\"\nitems: []\n"));
    assert!(list.starts_with("List in f.yaml: the sync wave has no effect"), "{list}");
    assert!(list.contains("next: f.yaml:4: annotate"), "{list}");
    let options = format!("kind: Kustomization\ngeneratorOptions:\n  annotations:\n    {WAVE}: \"1\"\n");
    assert!(told(&options).contains("it generates nothing"));
    assert_eq!(told(&format!("{options}configMapGenerator: [{{name: a}}]\n")), "");
}

#[test]
fn waves_of_applications_without_a_check() {
    let root = |second| [application("root", json!([child("a", "0"), child("b", second)]))];
    let told = |second| findings(&without_files(&root(second)), &BTreeMap::new());
    assert_eq!(told("1")[0].object.to_string(), "Application a");
    assert!(told("0").is_empty() && what(&root("1")).is_empty());
}

#[test]
fn a_store_and_its_readers() {
    let reader = |spec| object("external-secrets.io/v1", "ExternalSecret", "e", "0", spec);
    let store = |wave| object("external-secrets.io/v1", "ClusterSecretStore", "s", wave, json!({}));
    let reference = json!({"kind": "ClusterSecretStore", "name": "s"});
    let whole = json!({"secretStoreRef": reference});
    let single = json!({"data": [{"sourceRef": {"storeRef": reference}}]});
    for spec in [&whole, &single] {
        let with = |wave| [application("a", json!([reader(spec.clone()), store(wave)]))];
        only(
            &with("0"),
            &["ExternalSecret e: it does not wait for its store ClusterSecretStore s", "waves 0 and 0 of a"],
        );
        only(&with("1"), &["waves 0 and 1"]);
        assert!(what(&with("-1")).is_empty());
    }
    let apart = [application("a", json!([reader(whole)])), application("b", json!([store("0")]))];
    assert!(what(&apart).is_empty(), "nobody orders them");
}

#[test]
fn resources_before_their_definition() {
    let names = json!({"group": "g.io", "names": {"kind": "A"}});
    let definition = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "as.g.io", "3", names);
    let custom = object("g.io/v1", "A", "a", "0", json!({}));
    let platform = |root: Value, custom: &Value| {
        [application("root", root), application("x", json!([definition])), application("y", json!([custom]))]
    };
    let waves = |x, y| json!([child("x", x), child("y", y)]);
    only(&platform(waves("1", "1"), &custom), &["A a: x defines its kind", "y is in wave 1, x in wave 1"]);
    assert!(what(&platform(waves("1", "2"), &custom)).is_empty());
    let mut skipping = custom.clone();
    skipping["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] = json!(format!("Prune=false,{SKIP}"));
    assert!(what(&platform(waves("1", "1"), &skipping)).is_empty());
    let mut lenient = child("y", "1");
    lenient["spec"]["syncPolicy"]["syncOptions"] = json!([SKIP]);
    assert!(what(&platform(json!([child("x", "1"), lenient]), &custom)).is_empty());
    assert!(what(&[application("one", json!([definition, custom]))]).is_empty(), "Argo CD orders them itself");
}

#[test]
fn objects_before_the_webhook_that_lets_them_in() {
    let rule = json!({"apiGroups": ["g.io"], "operations": ["CREATE"], "resources": ["as"]});
    let webhook = |policy: &str| {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "w"}, "webhooks": [{"name": "w.g.io", "failurePolicy": policy,
            "clientConfig": {"service": {"name": "s"}}, "rules": [rule]}]})
    };
    let service = object("v1", "Service", "s", "0", json!({"selector": {"app": "w"}}));
    let template = json!({"template": {"metadata": {"labels": {"app": "w", "more": "x"}}}});
    let server = object("apps/v1", "Deployment", "d", "1", template);
    let with = |policy: &str, wave: &str| {
        let custom = object("g.io/v1", "A", "a", wave, json!({}));
        [application("a", json!([webhook(policy), service, server, custom]))]
    };
    only(
        &with("Fail", "1"),
        &["A a: webhook w.g.io has to let it in", "does not wait for Deployment d", "waves 1 and 1"],
    );
    assert!(what(&with("Fail", "2")).is_empty() && what(&with("Ignore", "1")).is_empty());
}
