//! No circles between files of different folders.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{code, root, rust_files};

/// The sources that are divided into folders.
const CRATES: &[&str] = &[
    "app/src",
    "cli/src",
    "client/src",
    "consensus/src",
    "gateway/src",
    "kernel/src",
    "localnet/src",
    "node/src",
    "passable/src",
    "store/src",
    "vat/host/src",
];

/// The records of the kernel's state that are one noun in several files, because one would be too long: what a
/// promise settles to, and how a rejection is worded, which depends on the promise.
const ONE_NOUN: &[&str] = &["promise", "rejection", "settled", "notification"];

/// A file's path as a module: `["state", "promise"]`.
type Module = Vec<String>;
/// The files that each file uses.
type Graph = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn files_of_different_folders_form_no_circle() {
    for folder in CRATES {
        let graph = graph(folder);
        assert!(graph.len() > 2, "{folder} has {} files", graph.len());
        for circle in circles(&graph) {
            let rooms: BTreeSet<&str> = circle.iter().map(|module| room(module, &graph)).collect();
            let names: Vec<String> = circle.iter().map(|module| module.join("/")).collect();
            assert!(rooms.len() == 1, "{folder}: a circle of {}", names.join(", "));
        }
    }
}

#[test]
fn the_records_of_the_kernel_stand_one_above_another() {
    let mut graph = graph("kernel/src");
    graph.retain(|module, _| module[0] == "state" && module.len() > 1);
    assert!(graph.len() > 10, "only {} records were found", graph.len());
    for uses in graph.values_mut() {
        uses.retain(|used| used[0] == "state" && used.len() > 1);
    }
    for circle in circles(&graph) {
        let is_one_noun = circle.iter().all(|module| ONE_NOUN.contains(&module[1].as_str()));
        assert!(is_one_noun, "kernel/src/state: a circle of {circle:?}");
    }
}

#[test]
fn a_circle_is_found_and_a_path_is_read_in_each_of_its_forms() {
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    let paths =
        paths("use crate::{a::{self, B as C}, d::e};\npub(crate) use super::f::G;\ncrate::h::i();");
    let joined: BTreeSet<String> = paths.iter().map(|path| path.join("::")).collect();
    let expected = ["crate::a::self", "crate::a::B", "crate::d::e", "super::f::G", "crate::h::i"];
    assert_eq!(joined, expected.map(str::to_owned).into());
    let graph: Graph = [("a/x", "b/y"), ("b/y", "c"), ("c", "a/x"), ("d", "c")]
        .map(|(from, to)| (module(from), BTreeSet::from([module(to)])))
        .into();
    assert_eq!(circles(&graph), [[module("a/x"), module("b/y"), module("c")].into()]);
}

/// Returns the folder that a file lies in, empty for files beside `lib.rs`.
fn room<'a>(module: &'a Module, graph: &Graph) -> &'a str {
    let is_folder = graph.keys().any(|other| other.len() > 1 && other[0] == module[0]);
    if is_folder { &module[0] } else { "" }
}

fn graph(folder: &str) -> Graph {
    let root = root().join(folder);
    let mut files = BTreeMap::new();
    for file in rust_files(&root) {
        let path = file.strip_prefix(&root).unwrap().with_extension("");
        let mut module: Module =
            path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        if !matches!(&*module.join("/"), "lib" | "main") {
            files.insert(module, file);
        }
    }
    let uses = |(module, file): (&Module, &std::path::PathBuf)| {
        let found = paths(&code(file)).into_iter().filter_map(|path| {
            let absolute = resolve(module, &path);
            // The longest beginning that is a file.
            let found = (1..=absolute.len()).rev().map(|n| absolute[..n].to_vec());
            let found = found.into_iter().find(|module| files.contains_key(module));
            found.filter(|found| found != module)
        });
        (module.clone(), found.collect())
    };
    files.iter().map(uses).collect()
}

/// Returns a path from the crate's root.
fn resolve(module: &Module, path: &[String]) -> Module {
    let mut base = match path[0].as_str() {
        "crate" => Vec::new(),
        _ => module.clone(),
    };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            other => base.push(other.to_owned()),
        }
    }
    base
}

/// Finds the paths that begin with `crate` or `super`, with those in braces one by one.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                read_path(&code[at..], &[], &mut found);
            }
        }
    }
    found
}

/// Reads one path or tree of paths; returns what follows it.
fn read_path<'a>(code: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = before.to_vec();
    let mut rest = code.trim_start();
    loop {
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                inside = inside.trim_start();
                if let Some(after) = inside.strip_prefix('}') {
                    return after;
                }
                inside = read_path(inside, &path, found).trim_start();
                // What stands between a path and the next comma is a new name for it.
                let end = inside.find([',', '}']).unwrap_or(inside.len());
                inside = inside[end..].strip_prefix(',').unwrap_or(&inside[end..]);
                if inside.is_empty() {
                    return inside;
                }
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        path.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => break,
        }
    }
    found.push(path);
    rest
}

/// Returns the groups of files each of which leads to every other of its group.
fn circles(graph: &Graph) -> Vec<BTreeSet<Module>> {
    let reached = |from: &Module| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = graph[from].iter().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module.clone()) {
                next.extend(graph.get(module).into_iter().flatten());
            }
        }
        reached
    };
    let reach: BTreeMap<&Module, BTreeSet<Module>> =
        graph.keys().map(|module| (module, reached(module))).collect();
    let circle = |module: &&Module| -> BTreeSet<Module> {
        let back = reach[*module]
            .iter()
            .filter(|other| reach.get(*other).is_some_and(|reached| reached.contains(*module)));
        back.cloned().collect()
    };
    let all: BTreeSet<BTreeSet<Module>> =
        graph.keys().collect::<Vec<_>>().iter().map(circle).collect();
    all.into_iter().filter(|circle| circle.len() > 1).collect()
}
