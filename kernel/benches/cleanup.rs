//! How long a block with a finite cleanup budget is held up by a dead vat with 100,000 c-list entries
//! and 100,000 keys in its store: `cargo bench -p capstan-kernel --bench cleanup`. Prints the slowest
//! block, and for comparison what ending the vat takes, and a cleanup without a budget.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use capstan_kernel::policy::{BlockPolicy, CleanupCounts, Forever};
use support::hoard::{Hoard, VICTIM};

const ENTRIES: u64 = 100_000;

fn main() {
    let mut hoard = Hoard::new(ENTRIES);
    let end = timed(|| hoard.end());
    // A chain's default.
    let budget = CleanupCounts {
        exports: 50,
        imports: 50,
        promises: 50,
        kv: 200,
        snapshots: 5,
        transcripts: 50,
    };
    let (mut blocks, mut slowest, mut total) = (0_u32, Duration::ZERO, Duration::ZERO);
    while !hoard.is_clean() {
        let spent = timed(|| hoard.block(&mut policy(budget)));
        blocks += 1;
        slowest = slowest.max(spent);
        total += spent;
    }
    let mut other = Hoard::new(ENTRIES);
    other.end();
    let unlimited = timed(|| {
        other.kernel.run(&mut other.state, &mut Forever).expect("the kernel is sound");
    });
    println!(
        "a dead vat ({VICTIM}) with {ENTRIES} c-list entries and {ENTRIES} keys, store in memory"
    );
    println!("  ending it                    {end:>12.3?}");
    println!("  slowest of {blocks:>5} blocks        {slowest:>12.3?}");
    println!("  mean block                   {:>12.3?}", total / blocks.max(1));
    println!("  cleanup without a budget     {unlimited:>12.3?}");
}

fn policy(budget: CleanupCounts) -> BlockPolicy {
    BlockPolicy {
        computrons_left: 200_000_000,
        computrons_spent: 0,
        vat_creation: 1_000_000,
        crank: 1_000,
        write: 0,
        write_byte: 0,
        snapshot: 0,
        page: 400_000_000,
        cleanup: Some(budget),
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
