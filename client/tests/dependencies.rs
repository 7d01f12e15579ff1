//! The client builds without the application.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::process::Command;

/// Packages that a program which only talks to a chain must not compile.
const FORBIDDEN: &[&str] = &[
    "capstan-app",
    "capstan-genesis",
    "capstan-kernel",
    "capstan-kernel-ports",
    "capstan-store",
    "capstan-vat-host",
    "grovedb-merk",
    "grovedb-storage",
    "redb",
    "wasmer",
];

#[test]
fn the_client_depends_on_neither_kernel_nor_store() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "-p",
            "capstan-client",
            "-e",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(tree.contains("capstan-proto"), "{tree}");
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(!FORBIDDEN.contains(&name), "capstan-client depends on {name}");
    }
}
