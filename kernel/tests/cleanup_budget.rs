//! The cleanup of a dead vat that held very much: block by block, never more than its budget, and
//! everybody else goes on. `benches/cleanup.rs` measures the same with a hundred times as much.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_kernel::{
    ids::Endpoint,
    policy::{BlockPolicy, CleanupCounts},
    view,
};
use support::hoard::{Hoard, VICTIM};

const BUDGET: u64 = 40;

fn policy() -> BlockPolicy {
    BlockPolicy {
        computrons_left: 1_000_000,
        computrons_spent: 0,
        vat_creation: 0,
        crank: 10,
        write: 0,
        write_byte: 0,
        snapshot: 0,
        page: 0,
        cleanup: Some(CleanupCounts::uniform(BUDGET)),
    }
}

#[test]
fn no_block_removes_more_than_its_budget_and_every_block_serves_others() {
    let mut hoard = Hoard::new(1_000);
    let held =
        |hoard: &Hoard| view::clist(&hoard.state, Endpoint::Vat(VICTIM)).unwrap().len() as u64;
    assert!(held(&hoard) >= 1_000);
    hoard.end();
    let (mut blocks, mut before) = (0, held(&hoard));
    while !hoard.is_clean() {
        hoard.block(&mut policy());
        blocks += 1;
        let now = held(&hoard);
        // A crank whose first phase ends within its budget goes on to the next one.
        assert!(before - now <= 3 * BUDGET, "block {blocks} removed {} entries", before - now);
        before = now;
        assert_eq!(hoard.served.get(), blocks, "block {blocks} served nobody else");
        assert!(blocks < 10_000, "it never ends");
    }
    // 1,000 entries and 1,000 keys, 40 a block.
    assert!((50..=60).contains(&blocks), "{blocks} blocks");
    assert_eq!(held(&hoard), 0);
}

#[test]
fn other_work_of_a_block_counts_and_spares_what_it_must_leave_to_cranks() {
    let mut policy = BlockPolicy { computrons_left: 1_000, ..policy() };
    policy.count(300, 500);
    assert_eq!((policy.computrons_spent, policy.computrons_left), (300, 700));
    policy.count(400, 500);
    assert_eq!((policy.computrons_spent, policy.computrons_left), (700, 500));
    policy.computrons_left = 20;
    policy.count(u64::MAX, 500);
    assert_eq!((policy.computrons_spent, policy.computrons_left), (u64::MAX, 20));
}
