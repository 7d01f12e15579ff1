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

    /// Has the account acknowledge all that it was told.
    fn acknowledge(&self) {
        let outbox = self.node.client().outbox(&self.alice.address(), 0, 0).unwrap();
        self.alice.acknowledge(outbox.entries.last().unwrap().number).unwrap();
    }

    fn balance(&self) -> u128 {
        self.node.client().account(&self.alice.address()).unwrap().balance.0
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
    const PIECE: u64 = 1_000_000;
    /// More than the deliveries of this test spend.
    const SPENT: u64 = 10_000_000_000;
    let Params { deposit_byte_computrons: price, default_vat_computrons: funds, .. } =
        Params::default();
    let hoard = Hoard::new();
    let before = hoard.balance();
    let empty = hoard.stats();
    assert_eq!(hoard.tell("keep", &format!("[\"k\", {PIECE}]")), "fulfilled");
    let full = hoard.stats();
    assert!(full.0.kept_vatstore_bytes >= empty.0.kept_vatstore_bytes + PIECE, "{full:?}");
    assert!(full.1 + PIECE * price <= empty.1, "{full:?}");
    assert_eq!(hoard.tell("free", "[\"k\"]"), "fulfilled");
    let freed = hoard.stats();
    assert!(freed.0.kept_vatstore_bytes < empty.0.kept_vatstore_bytes + 1_000, "{freed:?}");
    // The computrons of the deliveries are gone, and nothing else is.
    assert!(freed.1 + freed.0.kept_bytes * price + SPENT > funds, "{freed:?}");
    let covered = funds / price / PIECE;
    let told = |n: &u64| hoard.tell("keep", &format!("[\"{n}\", {PIECE}]")) == "fulfilled";
    let kept = (0..covered).take_while(told).count() as u64;
    assert!((1..covered).contains(&kept), "{kept} of {covered} pieces");
    let ended = hoard.node.client().vat(&hoard.vat.vat_id).unwrap();
    assert_eq!(ended.ending.unwrap().reason, "meter underflow, vat terminated");
    // Nothing is left when the account has acknowledged the answers, and the account has the rest of the meter back.
    hoard.acknowledge();
    hoard.node.wait_idle();
    let (gone, left) = hoard.stats();
    assert_eq!((gone.status.as_str(), gone.kept_bytes, left), ("cleaned", 0, 0), "{gone:?}");
    let fees = Params::default().fees;
    let returned = fees.computron_price(funds - SPENT).0;
    let after = hoard.balance();
    assert!(after > before && after - before > returned / 2, "{before} {after} {returned}");
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
    hoard.acknowledge();
    let (stats, _) = hoard.stats();
    assert_eq!(stats.kept_outbox_bytes, 0, "{stats:?}");
}
