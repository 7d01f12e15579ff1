//! A vat keeps on the nodes' disks what its meter covers, and gets back the deposit for what it frees.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::{Args, CreateVat, Params, Wallet, proto};
use capstan_tests::{Node, bundle};

/// A chain with a vat that hoards.
struct Hoard {
    node: Node,
    alice: Wallet,
    vat: proto::CreatedVat,
}

impl Hoard {
    fn new() -> Self {
        let node = Node::start(|_| {});
        let alice = node.wallet(0);
        let hoarder = bundle("tests/vats/hoarder.js");
        alice.install_bundle(&hoarder).unwrap();
        let vat = alice.create_vat(&CreateVat::new(&hoarder.id)).unwrap();
        Self { node, alice, vat }
    }

    /// Sends the vat a message, and returns the status of its result.
    fn tell(&self, method: &str, args: &str) -> String {
        self.alice.send(&self.vat.root, method, &Args::json(args)).unwrap().status
    }

    /// What the vat keeps and has deposited, and what is left in its meter.
    fn stats(&self) -> (proto::QueryVatStatsResponse, u64) {
        let stats = self.node.client().vat_stats(&self.vat.vat_id).unwrap();
        let due = stats.kept_bytes * Params::default().deposit_byte_computrons;
        assert_eq!(stats.deposit, due.to_string(), "{stats:?}");
        let left = stats.meter_remaining.parse().unwrap();
        (stats, left)
    }
}

#[test]
fn a_vat_deposits_for_what_it_stores_and_ends_when_its_meter_covers_no_more() {
    const PIECE: u64 = 2_000_000;
    let price = Params::default().deposit_byte_computrons;
    let hoard = Hoard::new();
    let (empty, before) = hoard.stats();
    assert_eq!(hoard.tell("keep", &format!("[\"k\", {PIECE}]")), "fulfilled");
    let (full, after) = hoard.stats();
    assert!(full.kept_vatstore_bytes >= empty.kept_vatstore_bytes + PIECE, "{full:?}");
    assert!(before - after >= PIECE * price, "{before} {after}");
    assert_eq!(hoard.tell("free", "[\"k\"]"), "fulfilled");
    let (freed, after) = hoard.stats();
    assert!(freed.kept_vatstore_bytes < empty.kept_vatstore_bytes + 1_000, "{freed:?}");
    assert!(before - after < PIECE * price, "{before} {after}");
    // A block of ten million computrons could write as much as this whole meter covers.
    let covered = Params::default().default_vat_computrons / price / PIECE;
    let told = |n: &u64| hoard.tell("keep", &format!("[\"{n}\", {PIECE}]")) == "fulfilled";
    let kept = (0..covered).take_while(told).count() as u64;
    assert!((1..covered).contains(&kept), "{kept} of {covered} pieces");
    let ended = hoard.node.client().vat(&hoard.vat.vat_id).unwrap();
    assert_eq!(ended.ending.unwrap().reason, "meter underflow, vat terminated");
    hoard.node.wait_idle();
    let (gone, left) = hoard.stats();
    assert_eq!((gone.status.as_str(), gone.kept_bytes), ("cleaned", 0), "{gone:?}");
    assert!(left > before / 2, "{left} of {before}");
}

#[test]
fn a_vat_deposits_for_its_answers_until_the_account_acknowledges_them() {
    const LENGTH: u64 = 200_000;
    let hoard = Hoard::new();
    for n in 1..=3 {
        assert_eq!(hoard.tell("answer", &format!("[{LENGTH}]")), "fulfilled");
        let (stats, _) = hoard.stats();
        assert!(stats.kept_outbox_bytes >= n * LENGTH, "{stats:?}");
        assert_eq!(stats.kept_promise_bytes, 0, "{stats:?}");
    }
    let outbox = hoard.node.client().outbox(&hoard.alice.address(), 0, 0).unwrap();
    hoard.alice.acknowledge(outbox.entries.last().unwrap().number).unwrap();
    let (stats, _) = hoard.stats();
    assert_eq!(stats.kept_outbox_bytes, 0, "{stats:?}");
}
