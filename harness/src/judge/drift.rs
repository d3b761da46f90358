//! Drift: which fields make an application OutOfSync although its last sync succeeded, and why.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Client, ResourceExt,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;

use super::{
    cause::{Cause, Kind},
    finding::{self, Finding},
};
use crate::{
    failure::{Attempt, Result},
    gitops::{
        field::FieldPath,
        roots,
        schema::{self, Schemas, Unpinned},
        tree::{Identity, Tree},
    },
    observe::{
        comparison::{self, Compared, Difference},
        kinds, owner,
    },
    world::Description,
};

/// The drift of an application: its sync succeeded, Argo CD has corrected it at least once since, and it is OutOfSync all
/// the same.
///
/// # Errors
/// When Argo CD's comparison, the platform's files or a live object cannot be read.
pub async fn of(client: &Client, world: &Description, application: &DynamicObject) -> Result<Option<Cause>> {
    if !suspected(&application.data) {
        return Ok(None);
    }
    Ok(Drift::of(client, world, application).await?.cause(&application.name_any()))
}

/// Whether an application looks like one that drifts; Argo CD's comparison says whether it does.
pub fn suspected(application: &Value) -> bool {
    let status = &application["status"];
    let operation = &status["operationState"];
    // Alone it would prove nothing: the first correction may have compared with a state from before the sync.
    let corrected = operation["operation"]["sync"]["autoHealAttemptsCount"].as_u64().is_some_and(|n| n > 0);
    status["sync"]["status"] == "OutOfSync" && operation["phase"] == "Succeeded" && corrected
}

/// A cause names so many fields: those of a large chart fill a screen.
const TOLD: usize = 8;

/// Every field in which the objects of an application differ from Git, by Argo CD's last comparison, each with its reason.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// Defaults of definitions that Git does not pin: no sync removes them.
    pub defaults: Vec<Finding>,
    /// What somebody has written.
    pub changes: Vec<Finding>,
}

impl Drift {
    /// Reads the drift of an application of the platform.
    ///
    /// # Errors
    /// As those of [`Self::read`], or when the platform's files cannot be read.
    pub async fn of(client: &Client, world: &Description, application: &DynamicObject) -> Result<Self> {
        let spec = &application.data["spec"];
        let sources = roots::sources(spec);
        let tree = Tree::read(&world.platform, sources.filter_map(|source| source["path"].as_str()))?;
        Self::read(client, &tree, &application.name_any()).await
    }

    /// Reads an application's drift. An object that is not there is none: its sync is not over.
    ///
    /// # Errors
    /// When Argo CD's comparison or a live object cannot be read.
    pub async fn read(client: &Client, tree: &Tree, application: &str) -> Result<Self> {
        let mut drift = Self::default();
        for compared in comparison::read(client, application).await?.unwrap_or_default() {
            let differences = compared.differences()?;
            let state = compared.live()?;
            if differences.is_empty() || compared.hook || state.is_null() {
                continue;
            }
            let live = Live::read(client, &compared, &state).await?;
            let (defaults, changes): (Vec<_>, Vec<_>) = differences.into_iter().partition(|d| live.fills_in(d));
            let defaults: Vec<Unpinned> = defaults
                .into_iter()
                .map(|Difference { path, live, .. }| Unpinned { path, value: live.unwrap_or_default() })
                .collect();
            let object = Identity { kind: compared.kind, namespace: compared.namespace, name: compared.name };
            drift.defaults.extend(finding::unpinned(tree, &object, &defaults, "the definition of its kind"));
            drift.changes.extend(changes.iter().map(|difference| live.changed(tree, &object, difference)));
        }
        Ok(drift)
    }

    /// What it means for a wait: a default stays for ever, whenever Argo CD has compared; of a change, the comparison may be
    /// older than the last sync.
    fn cause(self, application: &str) -> Option<Cause> {
        let certain = !self.defaults.is_empty();
        let findings: Vec<Finding> = self.defaults.into_iter().chain(self.changes).collect();
        let told = |told: fn(&Finding) -> String| findings.iter().take(TOLD).map(told).collect::<Vec<_>>();
        let mut fields = told(Finding::seen);
        if let Some(more) = findings.len().checked_sub(TOLD).filter(|more| *more > 0) {
            fields.push(format!("and {more} more fields"));
        }
        let seen = format!("{application} stays OutOfSync after every sync: {}", fields.join("; "));
        let mut advice = told(Finding::advice);
        advice.dedup();
        let cause = Cause::new(Kind::Drift, seen).next(advice.join("\n    "));
        match (findings.is_empty(), certain) {
            (true, _) => None,
            (false, true) => Some(cause),
            (false, false) => Some(cause.passing("the next comparison may find them equal")),
        }
    }
}

/// An object in the cluster, with the schema of its kind.
struct Live {
    object: Option<DynamicObject>,
    schema: Option<Value>,
}

impl Live {
    async fn read(client: &Client, compared: &Compared, state: &Value) -> Result<Self> {
        let Some(api_version) = state["apiVersion"].as_str() else { return Ok(Self { object: None, schema: None }) };
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(&compared.group, version, &compared.kind));
        let read = async |kind: &ApiResource, namespace: &str, name: &str| {
            kinds::objects(client, kind, namespace)
                .get_opt(name)
                .await
                .attempting(|| format!("read {} {name}", kind.kind))
        };
        let definition = ApiResource::erase::<CustomResourceDefinition>(&());
        // Kinds of Kubernetes itself have none, and Argo CD knows their defaults.
        let definition = read(&definition, "", &format!("{}.{}", kind.plural, compared.group)).await?;
        let schemas = Schemas::of(definition.as_ref());
        Ok(Self {
            object: read(&kind, &compared.namespace, &compared.name).await?,
            schema: schemas.get(api_version, &compared.kind).cloned(),
        })
    }

    /// Whether a field is there because its definition has a default, and Git does not say it.
    fn fills_in(&self, difference: &Difference) -> bool {
        let default = self.schema.as_ref().and_then(|schema| schema::default_of(schema, &difference.path));
        difference.git.is_none() && difference.live.is_some() && difference.live.as_ref() == default
    }

    /// A field that somebody has changed.
    fn changed(&self, tree: &Tree, object: &Identity, difference: &Difference) -> Finding {
        let Difference { path, live, git } = difference;
        let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".into(), ToString::to_string);
        // Argo CD masks values of Secrets, but not keys that look like values.
        let hidden = object.kind == "Secret";
        let what = match (path.steps(), hidden) {
            ([], _) => "the cluster has it, and Git has not".into(),
            (_, true) => format!("{path} differs"),
            (_, false) => format!("{path} is {} in the cluster, and {} after a sync", value(live), value(git)),
        };
        let next = match self.writer(path) {
            Some(manager) => format!("{manager} has written it last: let it stop, or let Git say the same"),
            None => "find out who writes it in the API server's audit log, or let Git say the same".into(),
        };
        Finding { place: tree.place(object, path), object: object.clone(), what, next, edit: None }
    }

    fn writer(&self, path: &FieldPath) -> Option<String> {
        let (manager, time) = owner::of(self.object.as_ref()?, path)?;
        Some(time.map_or_else(|| manager.clone(), |time| format!("{manager} (at {time})")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn difference(live: Option<Value>, git: Option<Value>) -> Difference {
        Difference { path: FieldPath::default().field("spec").field("policy"), live, git }
    }

    fn live() -> Live {
        let schema = json!({"properties": {"spec": {"properties": {"policy": {"default": "None"}}}}});
        let object = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n", "managedFields": [
            {"manager": "kubectl-edit", "fieldsV1": {"f:spec": {"f:policy": {}}}}]}, "spec": {"policy": "Fetch"}});
        Live { object: serde_json::from_value(object).unwrap(), schema: Some(schema) }
    }

    #[test]
    fn a_default_explains_only_its_own_value() {
        assert!(live().fills_in(&difference(Some(json!("None")), None)));
        assert!(!live().fills_in(&difference(Some(json!("Fetch")), None)));
        assert!(!live().fills_in(&difference(Some(json!("None")), Some(json!("Fetch")))));
        assert!(!live().fills_in(&difference(None, Some(json!("None")))));
    }

    #[test]
    fn only_a_default_is_certain() {
        let finding = |what: &str| Finding {
            place: None,
            object: Identity { kind: "K".into(), namespace: String::new(), name: "n".into() },
            what: what.into(),
            next: "do".into(),
            edit: None,
        };
        assert_eq!(Drift::default().cause("a"), None);
        let changed = Drift { changes: vec![finding("changed")], ..Drift::default() };
        assert!(changed.clone().cause("a").unwrap().heals.is_some());
        let both = Drift { defaults: vec![finding("unpinned")], ..changed }.cause("a").unwrap();
        assert_eq!(both.heals, None);
        assert_eq!(both.seen, "a stays OutOfSync after every sync: K n: unpinned; K n: changed");
    }

    #[test]
    fn of_many_fields_the_first_are_told() {
        let finding = |n: usize| Finding {
            place: None,
            object: Identity { kind: "K".into(), namespace: String::new(), name: format!("n{n}") },
            what: "changed".into(),
            next: "do".into(),
            edit: None,
        };
        let cause = Drift { changes: (0..TOLD + 2).map(finding).collect(), ..Drift::default() }.cause("a").unwrap();
        assert!(cause.seen.ends_with("; and 2 more fields"), "{}", cause.seen);
        assert_eq!(cause.seen.matches("changed").count(), TOLD);
        let few = Drift { changes: (0..TOLD).map(finding).collect(), ..Drift::default() }.cause("a").unwrap();
        assert!(!few.seen.contains(" more "), "{}", few.seen);
    }

    #[test]
    fn who_wrote_a_field_is_named() {
        let object = |kind: &str| Identity { kind: kind.into(), namespace: String::new(), name: "n".into() };
        let changed = difference(Some(json!("Fetch")), Some(json!("None")));
        let told = live().changed(&Tree::default(), &object("K"), &changed).to_string();
        assert!(told.starts_with("K n: spec.policy is \"Fetch\" in the cluster, and \"None\" after a sync"), "{told}");
        assert!(told.contains("kubectl-edit has written it last"), "{told}");
        let told = live().changed(&Tree::default(), &object("Secret"), &changed).to_string();
        assert!(!told.contains("Fetch"), "{told}");
    }
}
