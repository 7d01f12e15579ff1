//! Every command of the README's tour, run as it stands there.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The address that the README names.
const README_ADDRESS: &str = "127.0.0.1:26657";

/// A chain in a process of its own, ended with the test.
struct Chain(Child);

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_of_the_tour_works() {
    let blocks = tour(&fs::read_to_string(root().join("README.md")).unwrap());
    let [build, dev, commands @ ..] = blocks.as_slice() else { panic!("the tour has no commands") };
    assert!(build.contains("make build"), "the tour no longer begins with the build: {build}");
    assert_eq!(dev.trim(), "capstan dev", "the tour no longer starts the chain second");
    let folder = tempfile::tempdir().unwrap();
    let (_chain, address) = start(folder.path());
    for block in commands {
        let script = block.replace(README_ADDRESS, &address);
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(folder.path())
            .env("PATH", path())
            .env("CAPSTAN_HOME", folder.path().join("home"))
            .env("CAPSTAN_NODE", format!("http://{address}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{said}\n{complained}");
        assert!(!said.contains("\"error\""), "{block}\n{said}");
    }
}

/// Starts a chain on a free port; returns its address.
fn start(folder: &Path) -> (Chain, String) {
    let mut child = Command::new(binaries().join("capstan"))
        .args(["dev", "--rpc", "127.0.0.1:0", "--json"])
        .env("CAPSTAN_HOME", folder.join("home"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the capstan binary is built: cargo build --workspace --bins");
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let chain = Chain(child);
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let address = ready["rpc"].as_str().unwrap().trim_start_matches("http://").to_owned();
    (chain, address)
}

/// The shell blocks of the tour, in order.
fn tour(readme: &str) -> Vec<String> {
    let from = readme.find("## A five-minute tour").expect("the README has a tour");
    let tour = &readme[from..];
    let end = tour[3..].find("\n## ").map_or(tour.len(), |at| at + 3);
    let mut blocks = Vec::new();
    let mut rest = &tour[..end];
    while let Some(start) = rest.find("```sh\n") {
        let block = &rest[start + 6..];
        let end = block.find("\n```").expect("every block ends");
        blocks.push(block[..end].to_owned());
        rest = &block[end + 4..];
    }
    blocks
}

/// Where the workspace's programs lie: this test's own program is in `deps` there.
fn binaries() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(2).unwrap().to_owned()
}

fn path() -> String {
    format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
