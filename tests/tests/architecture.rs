//! The invariants of ARCHITECTURE.md that can be read off the sources.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Who may depend on whom among the project's own packages: everyone that a package may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("capstan-abi", &[]),
    ("capstan-kernel-ports", &["capstan-abi"]),
    ("capstan-bundle", &[]),
    ("capstan-kernel", &["capstan-abi", "capstan-kernel-ports", "capstan-bundle"]),
    ("grovedb-storage", &[]),
    ("capstan-store", &["capstan-kernel-ports", "grovedb-storage"]),
    ("capstan-vat-js", &[]),
    ("capstan-vat-host", &["capstan-abi", "capstan-kernel-ports"]),
    ("capstan-vat-system", &[]),
    ("capstan-files", &[]),
    ("capstan-proto", &[]),
    (
        "capstan-genesis",
        &["capstan-kernel", "capstan-proto", "capstan-vat-system", "capstan-bundle"],
    ),
    (
        "capstan-app",
        &[
            "capstan-abi",
            "capstan-bundle",
            "capstan-files",
            "capstan-genesis",
            "capstan-kernel",
            "capstan-kernel-ports",
            "capstan-proto",
            "capstan-store",
            "capstan-vat-host",
            "capstan-vat-js",
            "capstan-vat-system",
        ],
    ),
    ("capstan-client", &["capstan-abi", "capstan-passable", "capstan-proto"]),
    ("capstan-consensus", &["capstan-files"]),
    ("capstan-localnet", &["capstan-consensus", "capstan-files"]),
    (
        "capstan-node",
        &[
            "capstan-app",
            "capstan-client",
            "capstan-consensus",
            "capstan-files",
            "capstan-genesis",
            "capstan-store",
            "capstan-vat-host",
            "capstan-vat-js",
            "capstan-vat-system",
        ],
    ),
    ("capstan-test-disk", &["capstan-test-random"]),
    ("capstan-test-random", &[]),
];

/// Packages at the top: they may use everything.
const TOP: &[&str] =
    &["capstan", "capstan-tests", "capstan-conformance", "capstan-bench", "capstan-fuzz"];

/// What would make the kernel's result depend on the node it runs on.
const IMPURE: &[&str] = &[
    "std::time",
    "std::fs",
    "std::env",
    "std::net",
    "std::thread",
    "std::process",
    "std::io",
    "SystemTime",
    "Instant",
    "HashMap",
    "HashSet",
    "RandomState",
    "rand::",
    "getrandom",
    "f32",
    "f64",
    "thread_local",
    "static mut",
    "println!",
    "eprintln!",
];

#[test]
fn dependency_arrows_point_one_way() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    let packages = packages();
    let own: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    for (name, dependencies) in &packages {
        if TOP.contains(&name.as_str()) {
            continue;
        }
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("package {name} is new: say here what it may depend on"));
        for dependency in dependencies.iter().filter(|d| own.contains(d.as_str())) {
            assert!(allowed.contains(dependency.as_str()), "{name} may not depend on {dependency}");
        }
    }
}

#[test]
fn the_kernel_is_pure() {
    let kernel = root().join("kernel");
    let mut seen = 0;
    // A module of tests in a file of its own is only there when tests are.
    let is_test = |file: &PathBuf| file.to_string_lossy().ends_with("_tests.rs");
    for file in rust_files(&kernel).into_iter().filter(|file| !is_test(file)) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for word in IMPURE {
                let place = || format!("{}:{}", file.display(), number + 1);
                assert!(!line.contains(word), "{}: the kernel may not use {word}", place());
            }
        }
        seen += 1;
    }
    assert!(seen > 20, "only {seen} files of the kernel were found");
}

#[test]
fn what_touches_consensus_is_pinned() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for name in ["wasmer", "wasm-encoder", "grovedb-merk", "grovedb-version", "borsh", "redb"] {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{name} =")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in the workspace's dependencies"));
        assert!(line.contains("\"="), "{name} is not pinned to an exact version: {line}");
    }
}

/// The project's packages with the names of their ordinary dependencies.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let package = |package: &serde_json::Value| {
        let ordinary = list(&package["dependencies"]).into_iter().filter(|d| d["kind"].is_null());
        let names = ordinary.filter_map(|d| d["name"].as_str().map(str::to_owned)).collect();
        (package["name"].as_str().unwrap_or_default().to_owned(), names)
    };
    list(&metadata["packages"]).iter().map(package).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir()
            && path.file_name().is_some_and(|name| name != "tests" && name != "benches")
        {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
