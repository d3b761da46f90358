//! Sync waves that cannot have the effect that was meant: annotations that say nothing, and orders that are none.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use kube::core::DynamicObject;
use serde_json::Value;

use super::Platform;
use crate::{
    gitops::{
        field::FieldPath,
        render::Application,
        text::Node,
        tree::{Identity, Place, Tree},
    },
    judge::finding::Finding,
    judge::waves::planned::{WAVE, annotation, wave},
};

/// Argo CD's setting without which a wave does not wait for applications.
const CHECK: &str = "resource.customizations.health.argoproj.io_Application";
/// Option that lets an application have objects of kinds that are not there yet.
const SKIP: &str = "SkipDryRunOnMissingResource=true";
/// The operator's kinds that read a store.
const CONSUMERS: [&str; 2] = ["ExternalSecret", "PushSecret"];

/// An object with its application, and the wave of that application among its siblings.
struct Placed<'a> {
    application: &'a str,
    tree: &'a Tree,
    parent: Option<(&'a str, i64)>,
    options: Vec<&'a str>,
    object: &'a DynamicObject,
}

/// All findings about the waves of a platform.
pub(super) fn of(platform: &Platform) -> Vec<Finding> {
    platform.clouds.iter().flat_map(|cloud| findings(cloud, &platform.settings)).collect()
}

/// All findings about rendered applications, each with the tree that it comes from, under Argo CD's `settings`.
pub fn findings(applications: &[(Application, Tree)], settings: &BTreeMap<String, String>) -> Vec<Finding> {
    let objects = placed(applications);
    let mut told = Vec::new();
    told.extend(objects.iter().flat_map(without_effect));
    told.extend(unchecked(&objects, settings));
    told.extend(objects.iter().flat_map(|placed| store_too_late(placed, &objects)));
    told.extend(defined_too_late(&objects));
    told.extend(validated_too_early(&objects));
    let documents = applications.iter().flat_map(|(_, tree)| tree.documents());
    told.extend(documents.filter_map(|(file, document)| on_what_is_no_object(file, document)));
    told
}

fn placed(applications: &[(Application, Tree)]) -> Vec<Placed<'_>> {
    let all = applications
        .iter()
        .flat_map(|(application, tree)| application.objects.iter().map(move |object| (application, tree, object)));
    all.map(|(application, tree, object)| {
        let own = applications.iter().find_map(|(parent, _)| {
            let of = parent.objects.iter().find(|o| kind(o) == "Application" && name(o) == application.name)?;
            Some((parent, of))
        });
        let options = own.and_then(|(_, of)| of.data.pointer("/spec/syncPolicy/syncOptions")?.as_array());
        Placed {
            application: &application.name,
            tree,
            parent: own.map(|(parent, of)| (parent.name.as_str(), wave(of))),
            options: options.into_iter().flatten().filter_map(Value::as_str).collect(),
            object,
        }
    })
    .collect()
}

impl Placed<'_> {
    /// Whether `first` is surely there before this: in an earlier wave of one application, or its application is in an
    /// earlier wave than this one's. Nothing when nobody orders them.
    fn after(&self, first: &Self) -> Option<bool> {
        if self.application == first.application {
            return Some(wave(self.object) > wave(first.object));
        }
        let ((parent, own), (other, earlier)) = (self.parent?, first.parent?);
        (parent == other).then_some(own > earlier)
    }

    /// The two places between which the order would have to be.
    fn between(&self, first: &Self) -> String {
        match (self.application == first.application, self.parent, first.parent) {
            (false, Some((_, own)), Some((_, other))) => {
                format!("{} is in wave {own}, {} in wave {other}", self.application, first.application)
            }
            _ => format!("they are in waves {} and {} of {}", wave(self.object), wave(first.object), self.application),
        }
    }
}

/// A finding about an object, in the line that says its wave.
fn told(placed: &Placed<'_>, what: String, next: impl Into<String>) -> Finding {
    at(placed, &metadata("annotations").field(WAVE), what, next)
}

/// A finding about an object, in the line of a field.
fn at(placed: &Placed<'_>, path: &FieldPath, what: String, next: impl Into<String>) -> Finding {
    let object =
        Identity { kind: kind(placed.object).into(), namespace: String::new(), name: name(placed.object).into() };
    Finding { place: placed.tree.place(&object, path), object, what, next: next.into(), edit: None }
}

fn metadata(field: &str) -> FieldPath {
    FieldPath::default().field("metadata").field(field)
}

/// Annotations of waves that are not an object's own, or no integers.
fn without_effect(placed: &Placed<'_>) -> Vec<Finding> {
    let object = placed.object;
    let own = annotation(object, WAVE).filter(|text| text.parse::<i64>().is_err());
    let value = own.map(|text| {
        let what = format!("its sync wave {text:?} is no integer, so it is in wave 0");
        told(placed, what, format!("write an integer in quotes, for example {WAVE}: \"1\""))
    });
    let mut paths = Vec::new();
    mentions(&object.data, &FieldPath::default(), &mut paths);
    if object.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(WAVE)) {
        paths.push(metadata("labels"));
    }
    let elsewhere = paths.into_iter().map(|path| {
        let what = format!("the sync wave in {path} has no effect");
        at(placed, &path.field(WAVE), what, "put it into metadata.annotations of the object that Argo CD applies")
    });
    value.into_iter().chain(elsewhere).collect()
}

/// Paths of the maps that have the annotation as a key.
fn mentions(value: &Value, path: &FieldPath, found: &mut Vec<FieldPath>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.contains_key(WAVE).then(|| path.clone()));
            fields.iter().for_each(|(name, field)| mentions(field, &path.field(name), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| mentions(item, &path.item(i), found));
        }
        _ => {}
    }
}

/// A kustomization's own annotation, that of its generators when it has none, and that of a list: Argo CD never sees them.
fn on_what_is_no_object(file: &Path, document: &Node) -> Option<Finding> {
    let says = |of: &str| match document.reach(&FieldPath::default().field(of).field("annotations").field(WAVE)) {
        (line, _, true) => Some(line),
        _ => None,
    };
    let kind = document.get("kind").and_then(Node::text).unwrap_or_default();
    let generates = ["configMapGenerator", "secretGenerator"].iter().any(|field| document.get(field).is_some());
    let (line, what) = match (kind, says("metadata"), says("generatorOptions")) {
        ("Kustomization", Some(line), _) => (line, "a kustomization is no object that Argo CD applies"),
        ("Kustomization", None, Some(line)) if !generates => (line, "it generates nothing"),
        (kind, Some(line), _) if kind.ends_with("List") && document.get("items").is_some() => {
            (line, "of a list, Argo CD applies the items only")
        }
        _ => return None,
    };
    Some(Finding {
        place: Some(Place { file: file.to_owned(), line }),
        object: Identity { kind: kind.into(), namespace: String::new(), name: format!("in {}", file.display()) },
        what: format!("the sync wave has no effect: {what}"),
        next: "annotate the objects; commonAnnotations of a kustomization annotate all of them".into(),
        edit: None,
    })
}

/// Applications in several waves, when nothing makes a wave wait for applications.
fn unchecked(objects: &[Placed<'_>], settings: &BTreeMap<String, String>) -> Vec<Finding> {
    let older = settings.get("resource.customizations").is_some_and(|all| all.contains("argoproj.io/Application:"));
    if older || settings.contains_key(CHECK) {
        return Vec::new();
    }
    let parents: BTreeSet<&str> = objects.iter().map(|placed| placed.application).collect();
    let several = parents.into_iter().filter_map(|parent| {
        let children = || objects.iter().filter(|p| p.application == parent && kind(p.object) == "Application");
        let waves: BTreeSet<i64> = children().map(|child| wave(child.object)).collect();
        (waves.len() > 1).then(|| children().min_by_key(|child| wave(child.object))).flatten()
    });
    let what = "its wave is over as soon as it exists: Argo CD has no check of an Application's health by itself";
    let next =
        format!("add {CHECK} to argocd-cm, see https://argo-cd.readthedocs.io/en/stable/operator-manual/health/");
    several.map(|child| told(child, what.into(), next.clone())).collect()
}

/// A store that its readers in the same application do not wait for.
fn store_too_late(reader: &Placed<'_>, objects: &[Placed<'_>]) -> Vec<Finding> {
    let object = reader.object;
    if !CONSUMERS.contains(&kind(object)) {
        return Vec::new();
    }
    let spec = &object.data["spec"];
    let lists = ["data", "dataFrom", "secretStoreRefs"].into_iter().filter_map(|list| spec[list].as_array()).flatten();
    let named = lists.map(|item| item.pointer("/sourceRef/storeRef").unwrap_or(item));
    let references: BTreeSet<(&str, &str)> = named
        .chain([&spec["secretStoreRef"]])
        .filter_map(|store| Some((store["kind"].as_str().unwrap_or("SecretStore"), store["name"].as_str()?)))
        .collect();
    let stores = objects.iter().filter(|placed| {
        placed.application == reader.application && references.contains(&(kind(placed.object), name(placed.object)))
    });
    let late = stores.filter(|store| reader.after(store) == Some(false));
    late.map(|store| {
        let what = format!(
            "it does not wait for its store {} {}: {}",
            kind(store.object),
            name(store.object),
            reader.between(store)
        );
        told(reader, what, "put the store into an earlier wave, for example \"-1\"")
    })
    .collect()
}

/// Custom resources that are applied before another application has defined their kind: the whole sync is refused.
fn defined_too_late(objects: &[Placed<'_>]) -> Vec<Finding> {
    let definitions = objects.iter().filter(|placed| kind(placed.object) == "CustomResourceDefinition");
    let definitions: BTreeMap<(&str, &str), &Placed<'_>> = definitions
        .filter_map(|placed| {
            let text = |path| placed.object.data.pointer(path)?.as_str();
            Some(((text("/spec/group")?, text("/spec/names/kind")?), placed))
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for placed in objects {
        let Some(definition) = definitions.get(&(group(placed.object), kind(placed.object))) else { continue };
        let own = annotation(placed.object, "argocd.argoproj.io/sync-options");
        let skips = |options: &str| options.split(',').any(|option| option.trim() == SKIP);
        let ordered = placed.application == definition.application
            || placed.after(definition) != Some(false)
            || own.is_some_and(skips)
            || placed.options.iter().any(|option| skips(option));
        if !ordered && seen.insert((placed.application, kind(placed.object))) {
            let what = format!(
                "{} defines its kind, and nothing waits for that: {}. The whole sync of {} is refused until it is there",
                definition.application,
                placed.between(definition),
                placed.application
            );
            let next = format!("put {} into a later wave, or give it the sync option {SKIP}", placed.application);
            found.push(told(placed, what, next));
        }
    }
    found
}

/// Objects that a webhook has to let in, and that do not wait for the workload behind it.
fn validated_too_early(objects: &[Placed<'_>]) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for configuration in objects.iter().filter(|placed| kind(placed.object).ends_with("WebhookConfiguration")) {
        let webhooks = configuration.object.data["webhooks"].as_array().into_iter().flatten();
        for webhook in webhooks.filter(|webhook| webhook["failurePolicy"] != "Ignore") {
            let Some(server) = server(webhook, objects) else { continue };
            let early = objects.iter().filter(|placed| rules(webhook, placed.object));
            for placed in early.filter(|placed| placed.after(server) == Some(false)) {
                if seen.insert((placed.application, kind(placed.object))) {
                    let what = format!(
                        "webhook {} has to let it in, and it does not wait for {} {}: {}",
                        webhook["name"].as_str().unwrap_or_default(),
                        kind(server.object),
                        name(server.object),
                        placed.between(server)
                    );
                    found.push(told(placed, what, "put it into a later wave than the webhook's workload"));
                }
            }
        }
    }
    found
}

/// The workload behind a webhook: that whose Pods its Service selects.
fn server<'a, 'b>(webhook: &Value, objects: &'a [Placed<'b>]) -> Option<&'a Placed<'b>> {
    let service = webhook["clientConfig"]["service"]["name"].as_str()?;
    let service = objects.iter().find(|p| kind(p.object) == "Service" && name(p.object) == service)?;
    let selector = service.object.data["spec"]["selector"].as_object()?;
    objects.iter().filter(|p| p.application == service.application).find(|placed| {
        let labels = placed.object.data.pointer("/spec/template/metadata/labels");
        labels.is_some_and(|labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
    })
}

/// Whether a webhook is asked about an object.
fn rules(webhook: &Value, object: &DynamicObject) -> bool {
    let plural = object.types.as_ref().and_then(|types| kube::core::GroupVersionKind::try_from(types).ok());
    let Some(plural) = plural.map(|gvk| kube::core::ApiResource::from_gvk(&gvk).plural) else { return false };
    let lists = |rule: &Value, field: &str, wanted: &str| {
        let items = rule[field].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).any(|item| item == wanted || item == "*")
    };
    let rules = webhook["rules"].as_array().into_iter().flatten();
    let mut asked = rules.filter(|rule| lists(rule, "operations", "CREATE"));
    asked.any(|rule| lists(rule, "apiGroups", group(object)) && lists(rule, "resources", &plural))
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| &types.kind)
}

fn group(object: &DynamicObject) -> &str {
    object.types.as_ref().and_then(|types| types.api_version.split_once('/')).map_or("", |(group, _)| group)
}

fn name(object: &DynamicObject) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
