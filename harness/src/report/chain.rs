//! The chain of identity of a world, link by link: service account, token, exchange, permission, value. What a link came to is
//! taken from what the cluster, its audit log and the gateway's journal show of the platform's own calls; a link that nothing
//! was seen of is not run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::Value;
use trinity_emulators::journal::Line;

use super::{
    data::{Link, Outcome, SecretState},
    redact::Redactor,
};
use crate::{
    failure::{Attempt, Result},
    judge::{
        cause::message::{EXCHANGES, READS},
        verdict::{self, Verdict},
    },
    observe::{audit::Write, kinds::Kind},
    world::OWN,
};

/// Annotations by which a service account says which identity of the cloud it has.
const IDENTITIES: [&str; 3] =
    ["azure.workload.identity/client-id", "eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account"];
/// Codes with which the clouds refuse a known caller what it has no permission for.
const DENIALS: [&str; 3] = ["AccessDeniedException", "Forbidden", "PERMISSION_DENIED"];
/// Characters of what was seen.
const LONGEST: usize = 600;

/// The links, in their order.
pub const LINKS: [&str; 5] = ["service account", "token", "exchange", "permission", "value"];

/// A service account that a store names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The store.
    pub store: String,
    /// Namespace and name.
    pub name: (String, String),
    /// Its annotations that name identities; nothing when it does not exist.
    pub identities: Option<Vec<String>>,
}

/// The service accounts that the platform's stores name.
///
/// # Errors
/// When stores or service accounts cannot be read.
pub async fn accounts(client: &Client) -> Result<Vec<Account>> {
    let mut accounts = Vec::new();
    for kind in [Kind::ClusterSecretStore, Kind::SecretStore] {
        let stores = match kind.all(client).list(&ListParams::default()).await {
            Ok(stores) => stores,
            // Their definitions never came.
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            Err(e) => return Err(e).attempting(|| "list the stores".into()),
        };
        for store in stores {
            let namespace = store.namespace().unwrap_or_default();
            if [&namespace, &store.name_any()].iter().any(|name| name.starts_with(OWN)) {
                continue;
            }
            let Some(name) = named(&store.data["spec"]["provider"], &namespace) else { continue };
            let attempted = || format!("read the service account {}/{}", name.0, name.1);
            let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &name.0);
            let found = api.get_opt(&name.1).await.attempting(attempted)?;
            let identities = found.map(|account| {
                let has = |key: &&str| Some(format!("{key}: {}", account.annotations().get(*key)?));
                IDENTITIES.iter().filter_map(has).collect()
            });
            accounts.push(Account { store: store.name_any(), name, identities });
        }
    }
    Ok(accounts)
}

/// Namespace and name of the service account in a store's provider.
fn named(provider: &Value, own: &str) -> Option<(String, String)> {
    let (_, settings) = provider.as_object()?.iter().next()?;
    let auth = &settings["auth"];
    let all = [
        &auth["jwt"]["serviceAccountRef"],
        &auth["workloadIdentity"]["serviceAccountRef"],
        &settings["serviceAccountRef"],
    ];
    let reference = all.into_iter().find(|reference| reference["name"].is_string())?;
    let namespace = reference["namespace"].as_str().unwrap_or(own);
    Some((namespace.to_owned(), reference["name"].as_str()?.to_owned()))
}

/// What a world has recorded about its chain.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// The service accounts that stores name, or why they cannot be told.
    pub accounts: &'a Result<Vec<Account>>,
    /// All writes to the cluster, or why they cannot be told.
    pub writes: &'a Result<Vec<Write>>,
    /// All requests to the outside.
    pub calls: &'a [Line],
    /// The ExternalSecrets.
    pub secrets: &'a [SecretState],
    /// All verdicts until now; the canaries are among them.
    pub verdicts: &'a [Verdict],
    /// From when on suites try what must be refused; what comes then says nothing about the platform.
    pub stirred: Option<Timestamp>,
}

/// The chain of a world that never came up.
pub fn absent() -> Vec<Link> {
    LINKS.iter().map(|link| one(link, Outcome::NotRun, "the world did not come up".into())).collect()
}

fn one(link: &str, outcome: Outcome, seen: String) -> Link {
    Link { link: link.into(), outcome, seen }
}

impl Evidence<'_> {
    /// The links, with what was seen of them cleaned.
    pub fn chain(&self, redactor: &Redactor) -> Vec<Link> {
        let found = [self.account(), self.token(), self.exchange(), self.permission(), self.value()];
        let let_in = self
            .verdicts
            .iter()
            .find(|verdict| verdict.group == "canaries" && matches!(verdict.outcome, verdict::Outcome::Unproven(_)));
        let link = |(name, (mut outcome, mut seen)): (&&str, (Outcome, String))| {
            let of_cloud = !matches!(*name, "service account" | "token");
            if let Some(canary) = let_in.filter(|_| of_cloud && outcome == Outcome::Passed) {
                outcome = Outcome::Unproven;
                seen = format!("the cloud let a canary in, which proves nothing of it: {}; {seen}", canary.claim);
            }
            one(name, outcome, redactor.brief(&seen, LONGEST))
        };
        LINKS.iter().zip(found).map(link).collect()
    }

    fn account(&self) -> (Outcome, String) {
        let told = |account: &Account| {
            let Account { store, name: (namespace, name), identities } = account;
            match identities {
                None => format!("{namespace}/{name}, which the store {store} names, does not exist"),
                Some(none) if none.is_empty() => format!("{namespace}/{name} of the store {store} names no identity"),
                Some(all) => format!("{namespace}/{name} of the store {store} says {}", all.join(", ")),
            }
        };
        let accounts = match self.accounts {
            Ok(accounts) => accounts.as_slice(),
            Err(failure) => return (Outcome::NotRun, failure.on_one_line()),
        };
        let seen = accounts.iter().map(told).collect::<Vec<_>>().join("; ");
        match accounts {
            [] => (Outcome::NotRun, "no store of the platform names a service account".into()),
            all if all.iter().any(|account| account.identities.is_none()) => (Outcome::Failed, seen),
            _ => (Outcome::Passed, seen),
        }
    }

    /// From the audit log: whether the operator was given tokens of these service accounts.
    fn token(&self) -> (Outcome, String) {
        let writes = match self.writes {
            Ok(writes) => writes,
            Err(failure) => return (Outcome::NotRun, failure.on_one_line()),
        };
        let accounts = self.accounts.iter().flatten();
        let wanted: BTreeSet<(&str, &str)> = accounts.map(|a| (&*a.name.0, &*a.name.1)).collect();
        let ours = |write: &&Write| {
            let target = &write.target;
            (&*target.resource, &*target.subresource) == ("serviceaccounts", "token")
                && wanted.contains(&(&*target.namespace, &*target.name))
                // Neither kubelets nor the harness.
                && write.user.starts_with("system:serviceaccount:")
                && self.counts(write.done)
        };
        let asked: Vec<&Write> = writes.iter().filter(ours).collect();
        let Some(last) = asked.last() else {
            return (Outcome::NotRun, "the audit log has no request for a token of such a service account".into());
        };
        let given = |write: &&&Write| (200..300).contains(&write.code);
        let count = asked.iter().filter(given).count();
        let name = format!("{}/{}", last.target.namespace, last.target.name);
        match given(&last) {
            true => (Outcome::Passed, format!("{} was given a token of {name}; {count} tokens in all", last.user)),
            false => (Outcome::Failed, format!("{} was refused a token of {name}: status {}", last.user, last.code)),
        }
    }

    /// From the journal: whether the cloud takes the tokens. The last answer to each caller counts.
    fn exchange(&self) -> (Outcome, String) {
        let mut last: BTreeMap<(&str, Option<&str>), (&Line, u64)> = BTreeMap::new();
        for (action, call) in self.calls_of(&EXCHANGES) {
            let entry = last.entry((action, call.note.caller.as_deref())).or_insert((call, 0));
            *entry = (call, entry.1 + u64::from(!refused(call)));
        }
        if last.is_empty() {
            return (Outcome::NotRun, "nobody has brought a token to the cloud".into());
        }
        if let Some((call, _)) = last.values().find(|(call, _)| refused(call)) {
            return (Outcome::Failed, told(call));
        }
        let each = last.iter().map(|((action, caller), (_, count))| match caller {
            Some(caller) => format!("{action} by {caller}: {count} granted"),
            None => format!("{action}: {count} granted"),
        });
        (Outcome::Passed, each.collect::<Vec<_>>().join("; "))
    }

    /// From the journal: whether the identity may read. A cloud that says that there is no such secret has let it in.
    fn permission(&self) -> (Outcome, String) {
        let reads: Vec<(&str, &Line)> = self.calls_of(&READS).collect();
        let denial = |call: &Line| call.note.code.as_deref().is_some_and(|code| DENIALS.contains(&code));
        let denied: Vec<&Line> = reads.iter().map(|(_, call)| *call).filter(|call| denial(call)).collect();
        match denied.last() {
            // A permission that came late is one.
            Some(call) if !self.all_ready() => (Outcome::Failed, told(call)),
            _ if reads.len() == denied.len() => (Outcome::NotRun, "no secret was read with an identity".into()),
            _ => {
                let callers: BTreeSet<&str> = reads.iter().filter_map(|(_, c)| c.note.caller.as_deref()).collect();
                let callers = callers.into_iter().collect::<Vec<_>>().join(", ");
                let (action, let_in) = (reads[0].0, reads.len() - denied.len());
                (Outcome::Passed, format!("{action}: {let_in} calls let in, {} denied; by {callers}", denied.len()))
            }
        }
    }

    /// From the ExternalSecrets' own conditions.
    fn value(&self) -> (Outcome, String) {
        let (ready, not): (Vec<_>, Vec<_>) = self.secrets.iter().partition(|secret| secret.ready);
        if let Some(first) = not.first() {
            let seen = format!("{} of {} ExternalSecrets are not Ready", not.len(), self.secrets.len());
            return (Outcome::Failed, format!("{seen}: {} is {}", first.external_secret, first.state));
        }
        match ready.len() {
            0 => (Outcome::NotRun, "the platform has no ExternalSecret in the cluster".into()),
            all => (Outcome::Passed, format!("all {all} ExternalSecrets are Ready with a value from the backend")),
        }
    }

    fn all_ready(&self) -> bool {
        !self.secrets.is_empty() && self.secrets.iter().all(|secret| secret.ready)
    }

    /// The platform's own calls of these operations.
    fn calls_of<'a>(&'a self, operations: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a Line)> {
        let suites = format!(":{OWN}");
        self.calls.iter().filter_map(move |call| {
            let action = call.note.action.as_deref().filter(|action| operations.contains(action))?;
            let own = call.note.caller.as_deref().is_some_and(|caller| caller.contains(&suites));
            (!call.note.canary && !call.note.administrator && !own && self.counts(call.time)).then_some((action, call))
        })
    }

    fn counts(&self, time: Timestamp) -> bool {
        self.stirred.is_none_or(|stirred| time < stirred)
    }
}

fn refused(call: &Line) -> bool {
    call.note.code.is_some() || call.status >= 400
}

fn told(call: &Line) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let code = call.note.code.clone().unwrap_or_else(|| call.status.to_string());
    format!(
        "{} was refused with {code}: {} ({})",
        text(&call.note.action),
        text(&call.note.reason),
        text(&call.note.caller)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{failure::Failure, observe::audit::Target};

    fn account() -> Account {
        let identities = Some(vec!["eks.amazonaws.com/role-arn: r".to_owned()]);
        Account { store: "s".into(), name: ("e".into(), "eso".into()), identities }
    }

    fn token(user: &str, code: u16) -> Write {
        let target = Target {
            resource: "serviceaccounts".into(),
            subresource: "token".into(),
            namespace: "e".into(),
            name: "eso".into(),
            ..Target::default()
        };
        let (time, verb) = (Timestamp::UNIX_EPOCH, "create".to_owned());
        let (user, manager) = (user.to_owned(), String::new());
        Write { begun: time, done: time, verb, user, manager, target, code, version: None, object: None }
    }

    fn call(second: i64, action: &str, more: Value) -> Line {
        let time = Timestamp::from_second(second).unwrap();
        let mut line = json!({
            "time": time, "host": "h", "method": "POST", "path": "/", "status": 200, "milliseconds": 0, "action": action,
            "caller": "system:serviceaccount:e:eso",
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(line).unwrap()
    }

    fn secret(ready: bool) -> SecretState {
        let text = String::new;
        SecretState {
            store: text(),
            store_state: text(),
            external_secret: "n/a".into(),
            state: "SecretSyncedError".into(),
            ready,
            secret: text(),
            holds: text(),
        }
    }

    const STS: &str = "sts:AssumeRoleWithWebIdentity";
    const READ: &str = "secretsmanager:GetSecretValue";

    /// The outcomes of the links, and what was seen of them.
    fn links(
        writes: &[Write],
        calls: &[Line],
        secrets: &[SecretState],
        verdicts: &[Verdict],
    ) -> (Vec<Outcome>, Vec<String>) {
        let stirred = Some(Timestamp::from_second(100).unwrap());
        let (accounts, writes) = (&Ok(vec![account()]), &Ok(writes.to_vec()));
        let evidence = Evidence { accounts, writes, calls, secrets, verdicts, stirred };
        evidence.chain(&Redactor::default()).into_iter().map(|link| (link.outcome, link.seen)).unzip()
    }

    #[test]
    fn a_link_that_nothing_was_seen_of_is_not_run() {
        let (accounts, writes) = (&Ok(Vec::new()), &Ok(Vec::new()));
        let evidence = Evidence { accounts, writes, calls: &[], secrets: &[], verdicts: &[], stirred: None };
        let (accounts, writes) =
            (&Err(Failure::new("list the stores", "nobody answers")), &Err(Failure::new("read", "no")));
        let unread = Evidence { accounts, writes, ..evidence };
        let unread = unread.chain(&Redactor::default());
        assert_eq!(unread[0].seen, "could not list the stores: nobody answers");
        for link in evidence.chain(&Redactor::default()).into_iter().chain(unread).chain(absent()) {
            assert!(link.outcome == Outcome::NotRun && !link.seen.is_empty(), "{link:?}");
        }
        // Neither is it by what the harness, its canaries and its suites do.
        let others = [
            call(1, STS, json!({"canary": true})),
            call(1, STS, json!({"caller": format!("system:serviceaccount:{OWN}x:eso")})),
            call(1, READ, json!({"administrator": true})),
            call(100, READ, json!({})),
        ];
        let (outcomes, _) = links(&[token("system:admin", 201)], &others, &[], &[]);
        assert_eq!(outcomes[1..], [Outcome::NotRun; 4]);
    }

    #[test]
    fn a_whole_chain_passes_unless_the_cloud_lets_a_canary_in() {
        let writes = [token("system:serviceaccount:e:eso", 201)];
        let calls = [call(1, STS, json!({"code": "AccessDenied"})), call(2, STS, json!({})), call(3, READ, json!({}))];
        let (outcomes, seen) = links(&writes, &calls, &[secret(true)], &[]);
        assert_eq!(outcomes, [Outcome::Passed; 5], "{seen:?}");
        assert!(seen[2].contains("1 granted"), "{seen:?}");
        let canary = Verdict::new("canaries", "wrong aud → AccessDenied", verdict::Outcome::Unproven("in".into()));
        let (outcomes, seen) = links(&writes, &calls, &[secret(true)], &[canary]);
        assert_eq!(outcomes[..2], [Outcome::Passed; 2]);
        assert!(outcomes[2..] == [Outcome::Unproven; 3] && seen[2].contains("wrong aud"), "{seen:?}");
    }

    #[test]
    fn a_broken_link_says_what_the_cloud_said() {
        let writes = [token("system:serviceaccount:e:eso", 201)];
        let refused = call(2, STS, json!({"code": "AccessDenied", "reason": "aud is wrong"}));
        let (outcomes, seen) = links(&writes, &[call(1, STS, json!({})), refused], &[secret(false)], &[]);
        assert_eq!(outcomes[2..], [Outcome::Failed, Outcome::NotRun, Outcome::Failed]);
        assert!(seen[2].contains("AccessDenied: aud is wrong") && seen[4].contains("SecretSyncedError"), "{seen:?}");
        let denied = call(2, READ, json!({"code": "AccessDeniedException", "reason": "no policy"}));
        let (outcomes, seen) = links(&writes, &[call(1, STS, json!({})), denied.clone()], &[secret(false)], &[]);
        assert_eq!(outcomes[2..], [Outcome::Passed, Outcome::Failed, Outcome::Failed], "{seen:?}");
        let absent = call(3, READ, json!({"code": "ResourceNotFoundException"}));
        let (outcomes, _) = links(&writes, &[call(1, STS, json!({})), absent], &[secret(false)], &[]);
        assert_eq!(outcomes[2..], [Outcome::Passed, Outcome::Passed, Outcome::Failed]);
        let (outcomes, _) = links(&[token("system:serviceaccount:e:eso", 403)], &[], &[], &[]);
        assert_eq!(outcomes[1], Outcome::Failed);
    }

    #[test]
    fn a_store_names_its_service_account_in_the_way_of_its_provider() {
        let here = |provider: Value| named(&provider, "own").map(|(namespace, name)| format!("{namespace}/{name}"));
        let reference = json!({"serviceAccountRef": {"name": "a", "namespace": "b"}});
        assert_eq!(here(json!({"aws": {"auth": {"jwt": reference}}})).as_deref(), Some("b/a"));
        assert_eq!(here(json!({"gcpsm": {"auth": {"workloadIdentity": reference}}})).as_deref(), Some("b/a"));
        assert_eq!(here(json!({"azurekv": {"serviceAccountRef": {"name": "a"}}})).as_deref(), Some("own/a"));
        assert_eq!(here(json!({"aws": {"service": "SecretsManager"}})), None);
    }
}
