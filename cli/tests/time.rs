//! Time passes for vats where nothing else happens, and only where a chain has a timer.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use capstan_client::{Client, Deadline};
use common::{Dev, PATIENCE, Place, height_at_rest};

/// A chain of one validator on CometBFT; ready when this returns.
fn start(place: &Place, init: &[&str]) -> Dev {
    let init = [&["init", "--validator", "--chain-id", "time-1"], init].concat();
    assert_eq!(place.run(&init).code, 0);
    place.comet_at(&place.home())
}

#[test]
fn under_cometbft_a_timer_fires_although_nobody_sends_transactions() {
    let place = Place::new();
    let node = start(&place, &["--timer"]);
    let send = |args: &[&str]| {
        let args = [&["tx", "send"], args, &["--from", "alice", "--json"]].concat();
        let done = place.ask(&node, &args);
        assert_eq!(done.code, 0, "{done:?}");
        done.json()
    };
    let timer = send(&["factory", "lookup", "chain/timer"])["slots"][0].clone();
    let timer = timer.as_str().unwrap();
    let client = Client::new(node.url()).unwrap();
    let before = client.status().unwrap().height;
    // The answer comes when the time has come: three seconds of blocks that nobody asked for.
    let delayed = send(&[timer, "delay", "3n"]);
    assert_eq!(delayed["status"], "fulfilled", "{delayed}");
    let after = client.status().unwrap().height;
    assert!(after >= before + 3, "{before}, {after}");
    assert!(node.stop("TERM").success());
}

#[test]
fn a_chain_has_the_devices_that_it_was_made_with() {
    let place = Place::new();
    let lookup = ["tx", "send", "factory", "lookup", "chain/timer", "--from", "alice", "--json"];
    let dev = place.dev();
    let without = place.ask(&dev, &lookup);
    assert_eq!(without.code, 1);
    assert!(without.stdout.contains("this chain has no timer"), "{without:?}");
    assert!(dev.stop("TERM").success());
    for flag in ["--timer", "--mailbox"] {
        let refused = place.run(&["dev", flag, "--rpc", "127.0.0.1:0"]);
        refused.assert_failed(2, "a chain gets its devices when it is made");
    }
    let home = place.path().join("with");
    let dev = place.dev_at(&home, &["--timer"]);
    assert_eq!(place.ask(&dev, &lookup).json()["status"], "fulfilled");
    assert!(dev.stop("TERM").success());
    // The flag is no obstacle to going on.
    assert!(place.dev_at(&home, &["--timer"]).stop("TERM").success());
    let genesis = home.join("genesis.json");
    let both = ["init", "--genesis", genesis.to_str().unwrap(), "--timer"];
    place.run(&both).assert_failed(2, "cannot be used with");
}

#[test]
fn under_cometbft_an_idle_chain_without_a_timer_makes_no_blocks() {
    let place = Place::new();
    let node = start(&place, &[]);
    let client = Client::new(node.url()).unwrap();
    // Nobody else on the machine reaches the application.
    let socket = place.home().join("comet/run/abci.sock");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    let rest = || height_at_rest(&client);
    let height = Deadline::after(PATIENCE).poll("the chain at rest", rest).unwrap();
    // That nothing happens can only be seen by looking on.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(client.status().unwrap().height, height);
    assert!(node.stop("TERM").success());
}
