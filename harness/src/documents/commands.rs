//! What documents say to type is understood: by the command line of this program, by the recipes of the justfile, and by
//! cargo as far as it names parts of this workspace. Nothing of it is run.

use std::fs;

use clap::{CommandFactory, error::ErrorKind};
use trinity_e2e::{
    faults::{self, Fault},
    workspace,
    world::Cloud,
};

use super::markdown::{What, nothing_against};
use crate::Cli;

/// How a command line begins that is looked at.
const BEGINNINGS: [&str; 4] = ["cargo ", "just ", "sudo ", "trinity-e2e "];

/// What is wrong with a line of code, when it is a command line of ours. In a sentence it may be `abridged`: it lacks what is
/// required, and what has to be filled in stands in angle brackets.
fn misunderstood(line: &str, abridged: bool) -> Option<String> {
    // What it sets for the command alone is no part of it.
    let assigns = |word: &&str| {
        word.split_once('=').is_some_and(|(name, _)| name.bytes().all(|b| b == b'_' || b.is_ascii_uppercase()))
    };
    let line = line.trim().split(' ').skip_while(assigns).collect::<Vec<_>>().join(" ");
    let line = line.as_str();
    let begins = BEGINNINGS.iter().any(|beginning| line.starts_with(beginning));
    if !begins && (!abridged || !is_task(line)) {
        return None;
    }
    let Some(words) = shlex::split(line) else { return Some(format!("no shell can take {line:?} apart")) };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = match words.split_first() {
        Some((&"sudo", rest)) => rest.iter().skip_while(|word| word.starts_with('-')).copied().collect(),
        _ => words,
    };
    match words.as_slice() {
        ["just", recipe, ..] if !recipe.starts_with('-') => {
            (!recipes().iter().any(|known| known == recipe)).then(|| format!("the justfile has no recipe {recipe}"))
        }
        ["cargo", "run", "--release", "--", rest @ ..] => refused(rest, abridged),
        ["cargo", rest @ ..] => absent(rest),
        ["trinity-e2e", rest @ ..] => refused(rest, abridged),
        ["just", ..] => None,
        words => refused(words, abridged),
    }
    .map(|why| format!("{line:?}: {why}"))
}

/// Whether it begins with a task of the program, and says more than that.
fn is_task(line: &str) -> bool {
    let mut words = line.split(' ');
    let task = words.next().unwrap_or_default();
    let more = words.next().is_some_and(|word| word.starts_with('-') || nested(task, word));
    more && Cli::command().find_subcommand(task).is_some()
}

fn nested(task: &str, word: &str) -> bool {
    Cli::command().find_subcommand(task).is_some_and(|task| task.find_subcommand(word).is_some())
}

/// What the program says against these arguments.
fn refused(words: &[&str], abridged: bool) -> Option<String> {
    let faults = words.windows(2).filter(|pair| pair[0] == "--fault" && !pair[1].contains('<'));
    if let Some(fault) = faults.map(|pair| pair[1]).find(|fault| !is_fault(fault)) {
        return Some(format!("the catalogue has no fault {fault}"));
    }
    let words = std::iter::once(&"trinity-e2e").chain(words);
    let error = Cli::command().try_get_matches_from(words).err()?;
    let lacking = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    // A value that is left open, or not said at all.
    let open = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation)
        && error.to_string().contains(['<', '…']);
    let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let first = error.to_string().lines().next().unwrap_or_default().to_owned();
    (!help && !(abridged && (lacking || open))).then_some(first)
}

/// Whether a fault of the catalogue has this name, or a cloud has one of it.
fn is_fault(name: &str) -> bool {
    let (clouds, name) = match name.split_once('/') {
        Some((cloud, name)) => (Cloud::ALL.into_iter().filter(|known| known.name() == cloud).collect(), name),
        None => (Cloud::ALL.to_vec(), name),
    };
    clouds.into_iter().any(|cloud| Fault::read(&faults::folder(), cloud, name).is_ok())
}

/// Which test, bench, example or member of the workspace that cargo is told to take is not there.
fn absent(words: &[&str]) -> Option<String> {
    let members = ["emulators", "harness", "mandelbrot", "stand-in", "suites"];
    let file = |folder: &str, name: &str| {
        let places = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/main.rs")];
        members.iter().any(|member| places.iter().any(|place| workspace().join(member).join(place).exists()))
    };
    let package = |name: &str| {
        let named = format!("name = \"{name}\"\n");
        let manifests = members.iter().map(|member| workspace().join(member).join("Cargo.toml"));
        manifests.into_iter().any(|manifest| fs::read_to_string(manifest).unwrap().contains(&named))
    };
    let ours = words.split(|word| *word == "--").next().unwrap_or_default();
    let wrong = ours.windows(2).find(|pair| match *pair {
        ["--test", name] => !file("tests", name),
        ["--bench", name] => !file("benches", name),
        ["--example", name] => !file("examples", name),
        ["-p" | "--package" | "--exclude" | "--bin", name] => !package(name),
        _ => false,
    });
    wrong.map(|pair| format!("there is no {}", pair[1]))
}

/// The recipes of the justfile.
fn recipes() -> Vec<String> {
    let justfile = fs::read_to_string(workspace().join("justfile")).unwrap();
    let heads = justfile.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    heads.filter_map(|head| Some(head.split_once(':')?.0.split(' ').next()?.to_owned())).collect()
}

#[test]
fn what_documents_say_to_type_is_understood() {
    nothing_against(|_, part| match part {
        What::Block { code, .. } => {
            code.replace("\\\n", " ").lines().filter_map(|line| misunderstood(line, false)).collect()
        }
        What::Span(span) => misunderstood(span, true).into_iter().collect(),
        _ => Vec::new(),
    });
}

#[test]
fn what_is_not_understood_is_told() {
    for right in [
        "cargo run --release -- e2e --cloud gcp # a comment",
        "sudo --preserve-env cargo run --release -- e2e --platform .",
        "trinity-e2e emulators --cloud azure --port 8443",
        "just e2e",
        "just e2e --fault azure/wrong-audience --fault gcp/branch-missing",
        "A_B=c cargo nextest run -p suites",
        "cargo bench --bench leaks",
        "secrets delete",
        "runs: it is no command",
    ] {
        assert_eq!(misunderstood(right, false), None);
    }
    for (wrong, why) in [
        ("cargo run --release -- e2e --clod gcp", "--clod"),
        ("cargo run --release -- e2e --cloud ibm", "ibm"),
        ("cargo run --release -- emulators", "required"),
        ("trinity-e2e absent", "absent"),
        ("trinity-e2e e2e --fault absent", "no fault absent"),
        ("trinity-e2e e2e --fault gcp/wrong-audience", "no fault gcp/wrong-audience"),
        ("trinity-e2e secrets delete --cloud 'aws", "no shell"),
        ("just absent", "no recipe absent"),
        ("cargo bench --bench absent", "no absent"),
        ("cargo test -p absent", "no absent"),
    ] {
        assert!(misunderstood(wrong, false).is_some_and(|told| told.contains(why)), "{wrong}");
    }
    for right in ["e2e --fault <name>", "trinity-e2e emulators", "secrets delete", "e2e", "emulators --cloud <cloud>"] {
        assert_eq!(misunderstood(right, true), None);
    }
    for wrong in ["e2e --absent", "trinity-e2e absent", "secrets delete --absent", "just absent"] {
        assert!(misunderstood(wrong, true).is_some(), "{wrong}");
    }
}
