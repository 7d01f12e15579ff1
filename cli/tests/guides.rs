//! Every command of the guides in `docs/` does what the guide says.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use common::guide::{Guide, Part};
use common::{Dev, Place, checkout};

/// Runs a guide from its beginning to its end, as a reader would.
fn follow(name: &str) {
    follow_at(&Place::new(), name);
}

fn follow_at(place: &Place, name: &str) {
    let text = std::fs::read_to_string(checkout().join("docs").join(name)).unwrap();
    let guide = Guide::parse(&text);
    let mut dev: Option<Dev> = None;
    let mut commands = 0;
    let mut printed = String::new();
    for part in guide.parts {
        match part {
            Part::Shell(block) if block.starts_with("capstan dev") => {
                let flags: Vec<&str> = block.split(' ').skip(2).collect();
                dev = Some(place.dev_at(&place.home(), &flags));
            }
            Part::Shell(block) => {
                printed = common::guide::run(place, dev.as_ref(), &block);
                commands += 1;
            }
            Part::Output(expected) => common::guide::assert_shown(name, &expected, &printed),
            Part::Stop => assert!(dev.take().expect("a node runs").stop("TERM").success()),
        }
    }
    assert!(commands > 1, "{name} has {commands} commands");
}

#[test]
fn writing_a_vat() {
    follow("writing-a-vat.md");
}

#[test]
fn testing_a_vat() {
    follow("testing-a-vat.md");
}

#[test]
fn streams() {
    follow("streams.md");
}

#[test]
fn time() {
    follow("time.md");
}

#[test]
fn io() {
    follow("io.md");
}

#[test]
fn subclusters() {
    follow("subclusters.md");
}

#[test]
fn revocation() {
    follow("revocation.md");
}

#[test]
fn rpc_and_transactions() {
    follow("rpc-and-transactions.md");
}

#[test]
fn keys() {
    follow("keys.md");
}

#[test]
fn errors() {
    follow("errors.md");
}

#[test]
fn events() {
    follow("events.md");
}

#[test]
fn json() {
    follow("json.md");
}

#[test]
fn clients() {
    // What `npm install` would bring, and the folder that the reader copies.
    let place = Place::new();
    for (from, to) in [("tests/clients/node_modules", "node_modules"), ("proto", "proto")] {
        std::os::unix::fs::symlink(checkout().join(from), place.path().join(to)).unwrap();
    }
    follow_at(&place, "clients.md");
}

#[test]
fn running_a_node() {
    follow("running-a-node.md");
}

#[test]
fn how_a_crank_works() {
    follow("how-a-crank-works.md");
}

#[test]
fn accounts_as_remotes() {
    follow("accounts-as-remotes.md");
}
