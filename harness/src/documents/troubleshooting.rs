//! `docs/troubleshooting.md`: what can be done about each cause, made from the kinds of causes, whose own documentation says how
//! one looks, and from the catalogue of faults, which shows each.

use std::{collections::BTreeMap, fmt::Write, fs};

use trinity_e2e::{
    faults::{self, Fault},
    judge::cause::{Kind, kind::ALL},
    workspace,
};
use walkdir::WalkDir;

use super::is_made;

const HEAD: &str = "# Troubleshooting\n\n\
    A run that fails names a *cause*, and the line `next:` below it says what to do; of a refused identity it says more than this page can,\n\
    because it knows which link of the chain is broken. The page has every cause, by name. It is made from\n\
    `harness/src/judge/cause/kind.rs` and the catalogue in `fixtures/faults`.\n\n\
    A wait ends at once on a cause that waiting does not cure. On the others it goes on, for the reason that is given, and tells the cause\n\
    at its deadline. What is only missing because another part of Git is still to come is certain as soon as Argo CD has applied everything.\n\n\
    A command that ends with `error: could not …` has come to no verdict: it tells what was attempted, what was seen, and what to do.\n\
    [Machines](machines.md) says what a run needs.\n\n\
    Each cause is shown by faults of the catalogue: `cargo run --release -- e2e --cloud gcp --fault branch-missing` breaks a copy of the\n\
    platform with one and has to find it. What a fault consists of is told in [writing a fault](writing-a-fault.md).\n\n";
const LIST: &str = "## By the application list\n\n\
    What Argo CD shows is the same for many causes; that is why a run reads events, conditions, the cloud's answers and samples, too.\n\n\
    | sync and health | causes |\n|---|---|\n";

/// What the documentation of a kind says: what it means, what the application list shows, and what else is seen there.
struct Described {
    means: String,
    list: String,
    seen: String,
}

impl Described {
    fn of(kind: Kind, source: &str) -> Self {
        let before = source.split(&format!("    {kind:?},\n")).next().unwrap_or_default();
        let mut lines: Vec<&str> = before.lines().rev().map_while(|line| line.trim().strip_prefix("///")).collect();
        lines.reverse();
        let paragraphs: Vec<String> = lines
            .split(|line| line.is_empty())
            .map(|lines| lines.iter().map(|l| l.trim()).collect::<Vec<_>>().join(" "))
            .collect();
        let [means, look] = &paragraphs[..] else { panic!("{kind:?} says {paragraphs:?}") };
        let (list, seen) = look.split_once(": ").unwrap_or_else(|| panic!("{kind:?} does not say how it looks"));
        Self { means: means.clone(), list: list.into(), seen: seen.into() }
    }
}

/// Every file of the catalogue, by the name that `--fault` takes.
fn catalogue() -> Vec<(String, Fault)> {
    let folder = faults::folder();
    let files =
        WalkDir::new(&folder).sort_by_file_name().into_iter().flatten().filter(|entry| entry.file_type().is_file());
    let read = |path: &std::path::Path| {
        let name = path.with_extension("");
        let name = name.strip_prefix(&folder).unwrap_or(&name).display().to_string();
        let text = fs::read_to_string(path).unwrap().replace("${cloud}", "<cloud>");
        let fault = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        (name, fault)
    };
    files.map(|entry| read(entry.path())).collect()
}

fn section(kind: Kind, described: &Described, faults: &[&(String, Fault)]) -> String {
    let name = kind.name();
    let Described { means, list, seen } = described;
    let mut text = format!("\n## {name}\n\n{means}\n\n- In the application list: {list}: {seen}\n");
    let any = |of: fn(&Fault) -> bool| faults.iter().any(|(_, fault)| of(fault));
    let groups = [
        ("platform", kind != Kind::Ordering && any(|fault| !fault.metrics)),
        ("waves", kind == Kind::Ordering),
        ("metrics", any(|fault| fault.metrics)),
    ];
    let groups: Vec<String> =
        groups.iter().filter(|(_, fails)| *fails).map(|(group, _)| format!("`{group}`")).collect();
    match groups.is_empty() {
        true => writeln!(text, "- In a run: the verdict that waited fails with `{name}:`, and what it had seen last."),
        false => {
            writeln!(text, "- In a run: the verdict {} fails with `{name}:`, and what was seen.", groups.join(" or "))
        }
    }
    .unwrap();
    match kind.heals() {
        Some(why) => writeln!(text, "- Waiting may cure it: {why}."),
        None => writeln!(text, "- Waiting does not cure it."),
    }
    .unwrap();
    writeln!(text, "- Next: {}.", kind.next()).unwrap();
    if !faults.is_empty() {
        text += "\n| fault | what it breaks | the message names |\n|---|---|---|\n";
    }
    for (fault, Fault { breaks, names, .. }) in faults {
        writeln!(text, "| [{fault}](../fixtures/faults/{fault}.yaml) | {breaks} | `{names}` |").unwrap();
    }
    text
}

fn troubleshooting() -> String {
    let source = fs::read_to_string(workspace().join("harness/src/judge/cause/kind.rs")).unwrap();
    let catalogue = catalogue();
    let mut by_list: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut sections = String::new();
    // By name, as one looks for it.
    let kinds: BTreeMap<&str, Kind> = ALL.into_iter().map(|kind| (kind.name(), kind)).collect();
    for (name, kind) in kinds {
        let described = Described::of(kind, &source);
        let faults: Vec<_> = catalogue.iter().filter(|(_, fault)| fault.cause == name).collect();
        sections += &section(kind, &described, &faults);
        by_list.entry(described.list).or_default().push(name);
    }
    let mut text = format!("{HEAD}{LIST}");
    for (list, names) in by_list {
        let links: Vec<String> = names.iter().map(|name| format!("[{name}](#{name})")).collect();
        writeln!(text, "| {list} | {} |", links.join(", ")).unwrap();
    }
    text + &sections
}

#[test]
fn the_page_about_troubleshooting_has_every_cause() {
    is_made("troubleshooting.md", &troubleshooting());
}
