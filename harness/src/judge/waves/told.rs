//! What is told of pairs that are not proven: both objects, their waves and their places, and what to do.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    order::{Early, Order, Pair},
    planned::{Planned, WAVE},
};
use crate::gitops::{
    field::FieldPath,
    tree::{Identity, Tree},
};

/// Pairs of one kind that are told one by one; of the others, their number.
const EACH: usize = 5;

/// The setting of Argo CD that makes waves wait for applications.
pub const CHECK: &str = r#"resource.customizations.health.argoproj.io_Application: |
  hs = { status = "Progressing", message = "not synced yet" }
  local s = obj.status
  if s ~= nil and s.health ~= nil and s.sync ~= nil and s.operationState ~= nil and obj.operation == nil
      and s.sync.status == "Synced" and s.operationState.phase == "Succeeded" and s.health.status ~= "Degraded" then
    hs.status = s.health.status
    hs.message = s.health.message or ""
  end
  return hs"#;

/// Gathers judged pairs.
#[derive(Default)]
pub struct Told {
    /// Number of pairs whose order is proven.
    pub proven: usize,
    /// What to do, and the pairs that it would mend.
    problems: BTreeMap<String, Vec<String>>,
}

impl Told {
    /// Adds a pair of an application that comes from `tree`.
    pub fn add(&mut self, application: &str, tree: &Tree, pair: &Pair<'_>) {
        let (earlier, later) = (object(tree, pair.earlier), object(tree, pair.later));
        let (what, next) = match &pair.order {
            Order::NotMade => return,
            Order::Proven => {
                self.proven += 1;
                return;
            }
            Order::Luck => (
                format!("by luck: {later} of {application} came after {earlier}, and nothing waited for that"),
                check(pair.earlier),
            ),
            Order::Violated(breach) => {
                let what = match breach.kind {
                    Early::Creation | Early::Health => "violated",
                    Early::Premature => "violated, premature Healthy",
                };
                let seen = format!("{earlier} {}", breach.seen);
                let next = match breach {
                    b if b.kind == Early::Premature || !b.waits => check(pair.earlier),
                    b => format!("find out why {} did not wait; its operation's state is in the application", b.by),
                };
                (format!("{what}: {later} of {application} was made by {}, when {seen}", breach.by), next)
            }
        };
        self.problems.entry(next).or_default().push(what);
    }

    /// What is to be told, with the same remedy once.
    pub fn problems(&self) -> Vec<String> {
        let one = |(next, pairs): (&String, &Vec<String>)| {
            let mut text = String::new();
            for pair in pairs.iter().take(EACH) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "ordering: {pair}");
            }
            if let Some(more) = pairs.len().checked_sub(EACH).filter(|more| *more > 0) {
                let _ = writeln!(text, "and {more} pairs more");
            }
            text + "  next: " + next
        };
        self.problems.iter().map(one).collect()
    }
}

/// An object with its wave and where the tree says it.
fn object(tree: &Tree, object: &Planned) -> String {
    let Planned { kind, namespace, name, wave, .. } = object;
    let identity = Identity { kind: kind.clone(), namespace: namespace.clone(), name: name.clone() };
    let place = tree.place(&identity, &FieldPath::default().field("metadata").field("annotations").field(WAVE));
    let place = place.map_or_else(|| "from a chart or a generator".into(), |place| place.to_string());
    format!("{object} (wave {wave}, {place})")
}

/// The lines that make Argo CD wait for a kind.
fn check(object: &Planned) -> String {
    let lines = match object.kind.as_str() {
        "Application" => CHECK.to_owned(),
        _ => format!(
            "resource.customizations.health.{}_{}: |\n  hs = {{ status = \"Progressing\", message = \"\" }}\n  \
             for _, c in ipairs((obj.status or {{}}).conditions or {{}}) do\n    if c.type == \"Ready\" and c.status == \
             \"True\" then hs.status = \"Healthy\" end\n  end\n  return hs",
            object.group, object.kind
        ),
    };
    format!("add to data of ConfigMap argocd-cm:\n    {}", lines.replace('\n', "\n    "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::waves::order::Breach;
    use crate::judge::waves::planned::application;

    #[test]
    fn a_pair_is_told_with_its_places_and_a_remedy_once() {
        let (a, b) = (application("a", 0), application("b", 1));
        let folder = tempfile::tempdir().unwrap();
        let text = format!("kind: Application\nmetadata:\n  name: b\n  annotations:\n    {WAVE}: \"1\"\n");
        std::fs::write(folder.path().join("b.yaml"), text).unwrap();
        let tree = Tree::read(folder.path(), ["."]).unwrap();
        let mut told = Told::default();
        let pair = |order| Pair { earlier: &a, later: &b, order };
        for _ in 0..EACH + 2 {
            told.add("root", &tree, &pair(Order::Luck));
        }
        told.add("root", &tree, &pair(Order::Proven));
        let problems = told.problems();
        assert_eq!((told.proven, problems.len()), (1, 1));
        let line =
            "ordering: by luck: Application b (wave 1, b.yaml:5) of root came after Application a (wave 0, from a";
        assert!(problems[0].starts_with(line), "{}", problems[0]);
        assert!(problems[0].contains("and 2 pairs more\n  next: add to data of ConfigMap argocd-cm:\n    resource."));
    }

    #[test]
    fn an_early_healthy_is_a_kind_of_its_own() {
        let (a, b) = (application("a", 0), application("b", 1));
        let told = |kind, waits| {
            let breach = Breach { kind, waits, seen: "was not ready: OutOfSync".into(), by: "kubectl (me)".into() };
            let mut told = Told::default();
            told.add("root", &Tree::default(), &Pair { earlier: &a, later: &b, order: Order::Violated(breach) });
            told.problems().concat()
        };
        let premature = told(Early::Premature, true);
        assert!(premature.contains("premature Healthy") && premature.contains("argoproj.io_Application"));
        let other = told(Early::Health, true);
        assert!(other.contains("was made by kubectl (me), when Application a (wave 0") && !other.contains("data of"));
    }
}
