//! `docs/architecture.md`: the crates, the modules, and who imports whom, made from the sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use trinity_e2e::workspace;
use walkdir::WalkDir;

use super::is_made;

const HEAD: &str = "# Architecture\n\n\
    Made from the sources by `harness/src/documents/architecture.rs`; what each run does with all this is told in [how it works](how-it-works.md).\n\n";
const PICTURE: &str = "## The harness\n\n\
    An arrow leads to a module that is imported. Of two modules that import each other, the arrow is that of the one in which more files\n\
    do, and there is none when as many do. An import that the other arrows imply is left out, and so is `failure`, which nearly all\n\
    modules use. The list below has every import.\n\n";

#[derive(Deserialize)]
struct Workspace {
    workspace: Members,
}

#[derive(Deserialize)]
struct Members {
    members: Vec<String>,
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The first sentence of a file's own documentation.
fn first_sentence(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let paragraph: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    // A link of rustdoc leads nowhere here.
    let paragraph = paragraph.replace("[`", "`").replace("`]", "`");
    let end = paragraph.find(". ").map_or(paragraph.len(), |end| end + 1);
    paragraph[..end].to_owned()
}

/// The modules that a source declares.
fn declared(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut test = false;
    for line in source.lines() {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        names.extend(name.filter(|_| !test).map(Into::into));
        test = line == "#[cfg(test)]";
    }
    names
}

/// What a source imports or names of a crate, but for its tests and comments: the first part of each path.
fn named(source: &str, of: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for rest in code.split(&format!("{of}::")).skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (place, c) in list.char_indices() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                _ if c.is_whitespace() => {}
                _ if begins && depth == 0 => {
                    names.insert(word(&list[place..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    names
}

/// The file of a module below a folder.
fn file(folder: &Path, module: &str) -> PathBuf {
    let own = folder.join(format!("{module}.rs"));
    if own.exists() { own } else { folder.join(module).join("mod.rs") }
}

/// All files of a module, without those of tests.
fn files(folder: &Path, module: &str) -> Vec<PathBuf> {
    let below =
        WalkDir::new(folder.join(module)).sort_by_file_name().into_iter().flatten().map(|entry| entry.into_path());
    let below = below.filter(|path| path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs"));
    std::iter::once(folder.join(format!("{module}.rs"))).filter(|path| path.exists()).chain(below).collect()
}

/// How many files of one module import another one.
type Imports = BTreeMap<(String, String), usize>;

fn imports(folder: &Path, modules: &[String]) -> Imports {
    let mut imports = Imports::new();
    let of = modules.iter().map(|module| (module.as_str(), "crate")).chain([("main", "trinity_e2e")]);
    for (module, root) in of {
        for source in files(folder, module) {
            for name in named(&read(&source), root).into_iter().filter(|name| name != module && modules.contains(name))
            {
                *imports.entry((module.to_owned(), name)).or_default() += 1;
            }
        }
    }
    imports
}

/// The arrows of the picture.
fn arrows(imports: &Imports) -> BTreeSet<(String, String)> {
    let count = |from: &String, to: &String| imports.get(&(from.clone(), to.clone())).copied().unwrap_or_default();
    let stronger = imports.keys().filter(|(from, to)| count(from, to) > count(to, from) && to != "failure");
    let mut arrows: BTreeSet<(String, String)> = stronger.cloned().collect();
    for arrow in arrows.clone() {
        arrows.remove(&arrow);
        if !leads(&arrows, &arrow.0, &arrow.1) {
            arrows.insert(arrow);
        }
    }
    arrows
}

/// Whether arrows lead from one module to another.
fn leads(arrows: &BTreeSet<(String, String)>, from: &str, to: &str) -> bool {
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
    while let Some(module) = waiting.pop() {
        for (_, next) in arrows.iter().filter(|(start, _)| start == module) {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                waiting.push(next);
            }
        }
    }
    false
}

fn crates(text: &mut String) {
    let root = workspace();
    let Workspace { workspace: Members { members } } = toml::from_str(&read(&root.join("Cargo.toml"))).unwrap();
    *text += "## The crates\n\n| crate | what it is | uses |\n|---|---|---|\n";
    let name = |member: &String| {
        let manifest: toml::Table = toml::from_str(&read(&root.join(member).join("Cargo.toml"))).unwrap();
        (manifest["package"]["name"].as_str().unwrap_or_default().to_owned(), manifest)
    };
    for member in &members {
        let source = ["src/lib.rs", "src/main.rs"].map(|file| root.join(member).join(file));
        let what = first_sentence(&read(source.iter().find(|file| file.exists()).unwrap()));
        let (package, manifest) = name(member);
        let dependencies =
            ["dependencies", "dev-dependencies"].iter().filter_map(|kind| manifest.get(*kind)?.as_table());
        let dependencies: BTreeSet<&String> = dependencies.flat_map(toml::Table::keys).collect();
        let uses: Vec<&str> =
            members.iter().filter(|other| dependencies.contains(&name(other).0)).map(String::as_str).collect();
        writeln!(text, "| `{package}` in [{member}](../{member}) | {what} | {} |", uses.join(", ")).unwrap();
    }
}

/// A module with what it imports and its own modules.
fn module(text: &mut String, folder: &Path, name: &str, depth: usize, imports: &Imports) {
    let source = file(folder, name);
    let content = read(&source);
    let uses: Vec<&str> = imports.keys().filter(|(from, _)| from == name).map(|(_, to)| to.as_str()).collect();
    let path = source.strip_prefix(workspace()).unwrap_or(&source).display().to_string();
    let uses = if depth > 0 || uses.is_empty() { String::new() } else { format!(" *Imports {}.*", uses.join(", ")) };
    writeln!(text, "{}- [{name}](../{path}): {}{uses}", "  ".repeat(depth), first_sentence(&content)).unwrap();
    for child in declared(&content).iter().filter(|child| *child != "tests") {
        module(text, &folder.join(name), child, depth + 1, imports);
    }
}

fn architecture() -> String {
    let (harness, emulators) = (workspace().join("harness/src"), workspace().join("emulators/src"));
    let modules = declared(&read(&harness.join("lib.rs")));
    let imports = imports(&harness, &modules);
    let mut text = HEAD.to_owned();
    crates(&mut text);
    text += "\n";
    text += PICTURE;
    text += "```mermaid\nflowchart TD\n";
    for (from, to) in arrows(&imports) {
        writeln!(text, "    {from} --> {to}").unwrap();
    }
    text += "```\n\n";
    for name in std::iter::once("main").chain(modules.iter().map(String::as_str)) {
        module(&mut text, &harness, name, 0, &imports);
    }
    text += "\n## The emulators\n\n";
    for name in declared(&read(&emulators.join("lib.rs"))) {
        module(&mut text, &emulators, &name, 0, &Imports::new());
    }
    text
}

#[test]
fn the_page_about_architecture_is_the_sources() {
    is_made("architecture.md", &architecture());
}

#[test]
fn sources_tell_their_modules_and_imports() {
    let source = "//! One [`thing`] that is\n//! long. Another.\n//!\n//! More.\n\npub mod a;\n#[cfg(test)]\nmod b;\nmod c;\n\n\
        use crate::{\n    a::{x, y},\n    d,\n};\n// crate::e\nuse crate::f::g;\n#[cfg(test)]\nmod tests { use crate::h; }\n";
    assert_eq!(first_sentence(source), "One `thing` that is long.");
    assert_eq!(declared(source), ["a", "c"]);
    assert_eq!(named(source, "crate").into_iter().collect::<Vec<_>>(), ["a", "d", "f"]);
    assert!(named(source, "trinity_e2e").is_empty());
}

#[test]
fn arrows_are_the_imports_that_others_do_not_imply() {
    let imports =
        [("a", "b", 1), ("b", "c", 2), ("c", "b", 1), ("a", "c", 3), ("b", "failure", 1), ("c", "d", 1), ("d", "c", 1)];
    let imports = imports.map(|(from, to, files)| ((from.to_owned(), to.to_owned()), files)).into();
    let arrows: Vec<String> = arrows(&imports).into_iter().map(|(from, to)| format!("{from}{to}")).collect();
    assert_eq!(arrows, ["ab", "bc"]);
}
