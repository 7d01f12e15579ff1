//! Checks that every command of the project selects the same features of each package, so that all share what is built.
//!
//! Cargo unifies features over the packages that a command selects. A command that selects fewer packages, or adds
//! features, compiles wasmer and its compilers again.
#![allow(clippy::unwrap_used)] // tests

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files and folders that hold cargo commands.
const SOURCES: &[&str] =
    &["Makefile", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ".ci/run", "scripts", "docs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the packages of the whole workspace, each with its version and features, along these kinds of dependencies.
fn features(kinds: &str, more: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .current_dir(root())
        .args([
            "tree",
            "--workspace",
            "--offline",
            "--locked",
            "--prefix",
            "none",
            "-f",
            "{p} [{f}]",
            "-e",
            kinds,
        ])
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)").to_owned());
    // The project's own packages are built in either way.
    lines.filter(|line| !line.is_empty() && !line.contains("(/")).collect()
}

/// Returns the package and version of a line.
fn package(line: &str) -> &str {
    line.split(" [").next().unwrap()
}

#[test]
fn tests_and_fuzzing_build_packages_with_the_features_of_the_binaries() {
    let binaries = features("normal,build", &[]);
    let packages: BTreeSet<&str> = binaries.iter().map(|line| package(line)).collect();
    assert!(packages.iter().any(|package| package.starts_with("wasmer ")), "{packages:?}");
    for (name, other) in [
        ("tests", features("normal,build,dev", &[])),
        ("fuzzing", features("normal,build", &["--features", "capstan-fuzz/fuzzing"])),
    ] {
        let differs =
            |line: &&String| packages.contains(package(line)) && !binaries.contains(*line);
        let different: Vec<&String> = other.iter().filter(differs).collect();
        assert_eq!(different, Vec::<&String>::new(), "{name} would build these once more");
    }
}

fn files(path: PathBuf, into: &mut Vec<PathBuf>) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| files(entry.unwrap().path(), into));
    } else if path.is_file() {
        into.push(path);
    }
}

#[test]
fn every_cargo_command_selects_the_workspace() {
    let mut all = Vec::new();
    SOURCES.iter().for_each(|source| files(root().join(source), &mut all));
    let mut commands = 0;
    for file in all {
        let text =
            fs::read_to_string(&file).unwrap().replace("\\\n", " ").replace("$(CARGO)", "cargo");
        for line in text.lines() {
            for build in [
                "cargo build",
                "cargo test",
                "cargo run",
                "cargo bench",
                "cargo check",
                "cargo clippy",
                "cargo doc",
            ] {
                let Some((_, rest)) = line.split_once(build) else { continue };
                let rest = rest.split(['`', ';', '&', '|', '#']).next().unwrap_or_default();
                if rest.trim().is_empty() {
                    continue;
                }
                commands += 1;
                assert!(rest.contains("--workspace"), "{}: {line}", file.display());
            }
        }
    }
    assert!(commands > 8, "only {commands} commands were found");
}

/// A node that goes on with a wrapped number forks from one that stops, so no profile may differ in this.
#[test]
fn all_profiles_check_overflows_of_the_projects_own_arithmetic() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let profiles = manifest.split("\n[").filter_map(|section| section.strip_prefix("profile."));
    let mut own = vec![];
    for profile in profiles {
        let (name, options) = profile.split_once("]\n").unwrap();
        if name.contains(".package.") || name.contains("build-override") {
            continue;
        }
        own.push(name);
        let expected = name == "dev"; // cargo's default for this profile
        let checks = options.lines().find_map(|line| line.strip_prefix("overflow-checks = "));
        assert!(checks.map_or(expected, |checks| checks == "true"), "{name}: {options}");
    }
    assert_eq!(own, ["dev", "release"]);
}
