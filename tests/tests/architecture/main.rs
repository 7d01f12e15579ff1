//! The invariants of ARCHITECTURE.md that can be read off the sources.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod rooms;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

/// The arrows between the project's own packages: each package and all of its own that it depends on.
const ARROWS: &[(&str, &[&str])] = &[
    ("capstan-abi", &[]),
    ("capstan-passable", &["capstan-abi"]),
    ("capstan-kernel-ports", &["capstan-abi"]),
    ("capstan-bundle", &["capstan-abi"]),
    (
        "capstan-kernel",
        &["capstan-abi", "capstan-bundle", "capstan-kernel-ports", "capstan-passable"],
    ),
    ("grovedb-storage", &[]),
    ("capstan-store", &["capstan-kernel-ports"]),
    ("capstan-vat-js", &[]),
    ("capstan-vat-host", &["capstan-abi", "capstan-kernel-ports"]),
    ("capstan-vat-system", &[]),
    ("capstan-files", &[]),
    ("capstan-proto", &[]),
    ("capstan-genesis", &["capstan-abi", "capstan-proto"]),
    (
        "capstan-app",
        &[
            "capstan-abi",
            "capstan-bundle",
            "capstan-files",
            "capstan-genesis",
            "capstan-kernel",
            "capstan-kernel-ports",
            "capstan-passable",
            "capstan-proto",
            "capstan-store",
        ],
    ),
    ("capstan-client", &["capstan-abi", "capstan-passable", "capstan-proto"]),
    ("capstan-consensus", &["capstan-files"]),
    ("capstan-gateway", &["capstan-consensus", "capstan-proto"]),
    ("capstan-localnet", &["capstan-consensus", "capstan-files"]),
    (
        "capstan-node",
        &[
            "capstan-app",
            "capstan-client",
            "capstan-consensus",
            "capstan-files",
            "capstan-gateway",
            "capstan-genesis",
            "capstan-kernel",
            "capstan-kernel-ports",
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

/// The sources that read no clock. In `app` only the observers may.
const WITHOUT_CLOCK: &[&str] = &[
    "kernel",
    "store/src",
    "vat/abi",
    "vat/host/src",
    "passable",
    "proto",
    "files",
    "genesis",
    "app/src",
];

/// Where the application reads clocks, for measurements that no result depends on.
const OBSERVERS: &str = "app/src/observe/";

/// The ways in which Rust code reads a clock.
const CLOCKS: &[&str] = &["Instant", "SystemTime", "UNIX_EPOCH"];

#[test]
fn dependency_arrows_are_those_and_no_others() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    let packages = packages();
    for (name, dependencies) in &packages {
        if TOP.contains(&name.as_str()) {
            continue;
        }
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("package {name} is new: say here what it depends on"));
        let own = dependencies.iter().map(String::as_str).filter(|d| packages.contains_key(*d));
        assert_eq!(&own.collect::<BTreeSet<_>>(), allowed, "what {name} depends on");
    }
    for name in allowed.keys() {
        assert!(packages.contains_key(*name), "there is no package {name}");
    }
}

#[test]
fn the_kernel_is_pure() {
    let files = source::rust_files(&source::root().join("kernel"));
    assert!(files.len() > 20, "only {} files of the kernel were found", files.len());
    for file in files {
        source::refuse(&file, IMPURE, "the kernel may not use");
    }
}

#[test]
fn only_the_observers_read_clocks() {
    let folders = WITHOUT_CLOCK.iter().flat_map(|folder| {
        let files = source::rust_files(&source::root().join(folder));
        assert!(!files.is_empty(), "there is nothing in {folder}");
        files
    });
    for file in folders.filter(|file| !file.to_string_lossy().contains(OBSERVERS)) {
        source::refuse(&file, CLOCKS, "only app's observers and what is above them may use");
    }
}

#[test]
fn one_file_knows_the_prefixes_of_bundle_ids() {
    let with_sources = |package: &str| source::root().join(package).join("src");
    let folders =
        ["app", "cli", "client", "consensus", "gateway", "genesis", "kernel", "kernel/bundle"];
    let more = ["kernel/ports", "node", "passable", "proto", "store", "vat/abi", "vat/host"];
    for folder in folders.into_iter().chain(more).map(with_sources) {
        for file in source::rust_files(&folder) {
            if !file.ends_with("vat/abi/src/bundle_id.rs") {
                source::refuse(&file, &["\"b1-", "\"w1-"], "only BundleKind may know");
            }
        }
    }
}

#[test]
fn what_touches_consensus_is_pinned() {
    let manifest = fs::read_to_string(source::root().join("Cargo.toml")).unwrap();
    let names = ["wasmer", "wasm-encoder", "grovedb-merk", "borsh", "redb", "secp256k1"];
    for name in names {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{name} =")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in the workspace's dependencies"));
        assert!(line.contains("\"="), "{name} is not pinned to an exact version: {line}");
    }
}

/// Returns the project's packages with the names of their ordinary dependencies.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(source::root())
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
