//! The network of `compose.yaml`: its scripts and commands run on loopback addresses, where the four validators make blocks.
//!
//! No images are built here. The Dockerfile is checked for what it takes from the checkout.
#![cfg(target_os = "linux")] // the whole of 127.0.0.0/8 is loopback there
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use capstan_client::{Client, ClientError, Deadline};
use common::{PATIENCE, Place, cache, checkout};
use serde_json::{Value, json};

/// The network of the compose file, and the loopback addresses that stand for it.
const COMPOSE: &str = "172.28.0.";
const LOOPBACK: &str = "127.83.0.";
/// Where the image has the scripts, and the volume.
const SCRIPTS: &str = "/opt/capstan/";
const VOLUME: &str = "/network";

/// A service's program with its arguments.
#[derive(Debug)]
struct Service {
    name: String,
    words: Vec<String>,
}

/// A validator that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // CometBFT, its child, ends with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the services of the compose file: lists of words stand on the line of their key.
fn services(text: &str) -> Vec<Service> {
    let mut services = Vec::new();
    for line in
        text.split("\nservices:\n").nth(1).unwrap().split("\nnetworks:\n").next().unwrap().lines()
    {
        if let Some(name) = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':'))
            && !name.starts_with(' ')
        {
            services.push(Service { name: name.to_owned(), words: Vec::new() });
        }
        let list =
            ["    entrypoint: ", "    command: "].iter().find_map(|key| line.strip_prefix(key));
        if let Some(list) = list {
            let words: Vec<String> = serde_json::from_str(list).unwrap();
            services.last_mut().unwrap().words.extend(words);
        }
    }
    services
}

/// Returns the command of a service as it would run in a container, but with the scripts of the checkout, the homes in
/// `place` and addresses on this machine.
fn command(service: &Service, place: &Place) -> Command {
    let here = |word: &String| {
        let word = word.replace(SCRIPTS, &format!("{}/", checkout().display()));
        word.replace(VOLUME, place.path().to_str().unwrap()).replace(COMPOSE, LOOPBACK)
    };
    let mut words = service.words.iter().map(here);
    let mut command = Command::new(words.next().unwrap());
    let bin = Path::new(env!("CARGO_BIN_EXE_capstan")).parent().unwrap();
    command.args(words).current_dir(place.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    command.env("CAPSTAN_CACHE", cache());
    command
}

#[test]
fn the_four_validators_of_the_compose_file_make_blocks() {
    let services = services(&std::fs::read_to_string(checkout().join("compose.yaml")).unwrap());
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["network", "node0", "node1", "node2", "node3"]);
    let place = Place::new();
    let made = command(&services[0], &place).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // A second time, as after `docker compose down` and `up`, it changes nothing.
    let genesis = std::fs::read(place.path().join("node3/genesis.json")).unwrap();
    assert!(command(&services[0], &place).status().unwrap().success());
    assert_eq!(std::fs::read(place.path().join("node3/genesis.json")).unwrap(), genesis);

    let _nodes: Vec<Running> =
        services[1..].iter().map(|node| Running(command(node, &place).spawn().unwrap())).collect();
    for node in &services[1..] {
        let addr = node.words.last().unwrap().replace(COMPOSE, LOOPBACK);
        let client = Client::new(&format!("http://{addr}:26657")).unwrap();
        let status = Deadline::after(PATIENCE)
            .poll("the third block", || {
                let status = client.call_json("status", json!({})).ok();
                Ok::<_, ClientError>(status.filter(|status| height(status) >= 3))
            })
            .unwrap();
        assert_eq!(status["validator_info"]["voting_power"], "10", "{status}");
        assert_eq!(status["node_info"]["network"], "capstan-compose", "{status}");
    }
}

fn height(status: &Value) -> u64 {
    let text = status["sync_info"]["latest_block_height"].as_str().unwrap_or_default();
    text.parse().unwrap_or_default()
}

#[test]
fn the_image_has_what_its_services_run() {
    let dockerfile = std::fs::read_to_string(checkout().join("Dockerfile")).unwrap();
    let mut sources = 0;
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY ")) {
        let words: Vec<&str> =
            line.split_whitespace().skip(1).filter(|word| !word.starts_with("--")).collect();
        let source = words[0].trim_start_matches("/opt/capstan/");
        if !source.starts_with("/out") {
            sources += 1;
            assert!(checkout().join(source).exists(), "{line}");
        }
    }
    assert!(sources >= 3, "{dockerfile}");
    // What the build of the image takes from files of the checkout.
    for file in
        ["consensus/cometbft.version", "docker/make-network.sh", "docker/start-validator.sh"]
    {
        assert!(checkout().join(file).is_file(), "{file}");
    }
    assert!(dockerfile.contains("consensus/cometbft.version"), "{dockerfile}");
    let toolchain = std::fs::read_to_string(checkout().join("rust-toolchain.toml")).unwrap();
    let image = dockerfile.lines().find_map(|line| line.strip_prefix("FROM rust:")).unwrap();
    let version = image.split('-').next().unwrap();
    assert!(toolchain.contains(&format!("channel = \"{version}")), "{image}");
}
