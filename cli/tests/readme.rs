//! Every command of the README's tour does what the README says.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{Dev, Place, cache, checkout, done};

/// The address that the README names.
const ADDRESS: &str = "127.0.0.1:26657";

/// The shell blocks of the README's tour, in order.
fn tour() -> Vec<String> {
    let readme = std::fs::read_to_string(checkout().join("README.md")).unwrap();
    let tour = readme.split("## A five-minute tour").nth(1).expect("the README has the tour");
    let tour = tour.split("\n## ").next().unwrap();
    let blocks = tour.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().trim().to_owned()).collect()
}

/// Runs a block as the reader would, but against `dev`, whose port is not the one of the README.
fn run(place: &Place, dev: &Dev, block: &str) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_capstan")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let block = block.replace(ADDRESS, dev.url().trim_start_matches("http://"));
    // The reader stands in the checkout.
    let block = block.replace(" examples/", &format!(" {}/examples/", checkout().display()));
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &block]).current_dir(place.path()).env("PATH", path);
    shell
        .env("CAPSTAN_HOME", place.home())
        .env("CAPSTAN_CACHE", cache())
        .env("CAPSTAN_NODE", dev.url());
    let done = done(shell.stdin(Stdio::null()).output().unwrap());
    assert_eq!(done.code, 0, "{block}\n{}\n{}", done.stdout, done.stderr);
    done.stdout
}

#[test]
fn every_command_of_the_tour_works() {
    let place = Place::new();
    let blocks = tour();
    assert_eq!(
        blocks[0].lines().next(),
        Some("make build"),
        "the tour begins with the build, which made this binary"
    );
    assert_eq!(blocks[1], "capstan dev");
    let dev = place.dev();
    let said: String = blocks[2..].iter().map(|block| run(&place, &dev, block)).collect();
    for expected in [
        "fulfilled: 42",           // increment 37 of 5
        r#""status":"fulfilled""#, // read --json
        "fulfilled: 45",           // the other vat's three
        "computrons total",        // the table of statistics
        r#""transcriptCount":"#,   // the same by curl
        r#""network":"capstan-dev""#,
        "Ada hears: Ada, that was the hard part", // capstan run
        "Bob, you are doing well",                // capstan shell
    ] {
        let spaceless: String = said.split_whitespace().collect();
        assert!(
            said.contains(expected) || spaceless.contains(expected),
            "{expected} is not in what was printed:\n{said}"
        );
    }
}
