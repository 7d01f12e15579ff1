//! Proofs of records: the command line and CometBFT's light client verify them, against both engines.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::process::Command;

use common::{Dev, Place};
use serde_json::Value;

/// A chain on which accounts have paid.
struct Chain {
    place: Place,
    dev: Dev,
}

impl Chain {
    fn new(place: Place, dev: Dev) -> Self {
        let chain = Self { place, dev };
        (0..3).for_each(|_| chain.pay());
        chain
    }

    fn pay(&self) {
        let transfer = ["tx", "transfer", "bob", "5ucap", "--from", "alice", "--json"];
        self.place.ask(&self.dev, &transfer).json();
    }

    fn query(&self, args: &[&str]) -> Value {
        self.place.ask(&self.dev, &[&["query"], args, &["--json"]].concat()).json()
    }

    fn verify(&self) {
        let address = self.query(&["account", "bob"])["address"].as_str().unwrap().to_owned();
        let nobody = "capstan1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqw0c3h6";
        let proved = self.query(&["account", "bob", "--prove"]);
        assert_eq!(proved["value"]["address"], address.as_str(), "{proved}");
        assert_eq!(proved["header"]["trusted"], false);
        let balance = format!("balances/{address}");
        assert_eq!(self.query(&["record", &balance])["denom"], "ucap");
        // A header that somebody trusts, and the height before it.
        let header = &proved["header"];
        let (height, hash) = (header["height"].as_u64().unwrap(), header["hash"].as_str().unwrap());
        self.pay();
        let trust = format!("{height}:{hash}");
        let again = self.query(&["record", &balance, "--prove", "--trust", &trust]);
        assert_eq!(again["value"]["amount"], proved["value"]["balance"], "{again}");
        assert_eq!(
            (&again["height"], &again["header"]["trusted"]),
            (&proved["height"], &true.into())
        );
        let absent = self.query(&["record", "vats/v999/stats", "--prove", "--trust", &trust]);
        assert!(absent["value"].is_null(), "{absent}");
        let other = format!("{height}:{}", "9A".repeat(32));
        let refused =
            self.place.ask(&self.dev, &["query", "account", "bob", "--prove", "--trust", &other]);
        refused.assert_failed(1, "not 9A9A");
        let other = format!("{}:{hash}", height + 1);
        let refused =
            self.place.ask(&self.dev, &["query", "account", "bob", "--prove", "--trust", &other]);
        refused.assert_failed(1, &format!("which is the hash of height {height}"));
        let refused = self.place.ask(&self.dev, &["query", "vats", "--prove"]);
        refused.assert_failed(2, "have proofs");
        self.light_client(&format!("{balance},accounts/{address},params,vats/v1/stats"), nobody);
    }

    /// Runs the program in `tests/clients/go`.
    fn light_client(&self, present: &str, nobody: &str) {
        let chain = self.query(&["status"])["chain_id"].as_str().unwrap().to_owned();
        let absent = format!("accounts/{nobody},vats/v999/stats,zzz,a");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients/go");
        let done = Command::new("go")
            .args(["run", ".", self.dev.url(), &chain, present, &absent])
            .current_dir(folder)
            .output()
            .expect("Go is installed");
        let [out, err] = [done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(done.status.success(), "{out}{err}");
        assert_eq!(out.lines().filter(|line| line.starts_with("ok ")).count(), 8, "{out}{err}");
    }
}

#[test]
fn records_of_the_solo_engine_are_verified() {
    let place = Place::new();
    let dev = place.dev();
    Chain::new(place, dev).verify();
}

#[test]
fn records_of_cometbft_are_verified() {
    let place = Place::new();
    assert_eq!(place.run(&["init", "--validator"]).code, 0);
    let dev = place.comet_at(&place.home());
    Chain::new(place, dev).verify();
}
