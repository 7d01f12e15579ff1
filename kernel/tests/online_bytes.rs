//! Vats in memory: their bytes are bounded, on each node and in what the state counts on.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::Cell, rc::Rc};

use capstan_kernel::{
    Kernel, NodeOptions,
    billing::Billing,
    policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy},
    vat::Threshold,
    view,
};
use capstan_kernel_ports::{Computrons, Hash, host::StartCost, memory::MemoryState};
use serde_json::json;
use support::{
    ClosureHost,
    script::{Stage, orders, scripted},
};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const START: u64 = 100_000;
const VATS: usize = 12;

fn names() -> Vec<String> {
    (10..10 + VATS).map(|number| format!("vat{number}")).collect()
}

/// A stage of many vats, of which blocks count on 50 in memory, and on a GiB at most.
fn stage() -> Stage {
    let names = names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stage = Stage::new(&names, |config| {
        config.options.billing =
            Billing { all_work: true, resident_vats: 50, resident_bytes: GIB, ..Billing::SWINGSET };
        config.options.snapshot_initial = 1_000;
        config.options.snapshot_interval = 1_000;
        config.options.reap.deliveries = Threshold::Never;
    });
    // What a return takes was noted at the start.
    stage.kernel.host_mut().start_cost = StartCost { load: Computrons(0), own: Computrons(START) };
    stage
}

fn bounded(max_online_bytes: u64) -> Kernel<ClosureHost> {
    let options = NodeOptions { max_online_bytes, ..NodeOptions::default() };
    Kernel::new(ClosureHost::new(Box::new(|_, _| scripted())), options)
}

/// Counts the computrons of all cranks.
#[derive(Clone, Default)]
struct Sum(Rc<Cell<u64>>);

impl RunPolicy for Sum {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CleanupCounts::UNLIMITED)
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, work: &KernelWork) -> bool {
        self.0.set(self.0.get() + work.computrons);
        true
    }
}

/// Hands something to each vat, a few rounds long, and returns the most memory that vats had between two cranks, the chain
/// of cranks, and all computrons.
fn rounds(kernel: &mut Kernel<ClosureHost>, state: &mut MemoryState) -> (u64, Hash, u64) {
    let sum = Sum::default();
    let mut most = 0;
    for _ in 0..3 {
        for name in names() {
            let body = orders(&json!([["set", "k", 1]]));
            let methargs = capstan_abi::CapData { body, slots: vec![] };
            assert!(kernel.post_to_vat_root(state, &name, methargs).unwrap());
            kernel.run(state, &mut sum.clone()).unwrap();
            most = most.max(kernel.host().online() as u64 * kernel.host().memory_bytes);
        }
    }
    (most, view::kernel_status(state).unwrap().crank_chain, sum.0.get())
}

#[test]
fn vats_with_large_memories_leave_it_until_the_others_fit() {
    for (mib, bound) in [(240, GIB), (240, 600 * MIB), (600, GIB), (10, GIB)] {
        let Stage { mut state, .. } = stage();
        let mut kernel = bounded(bound);
        kernel.host_mut().memory_bytes = mib * MIB;
        let (most, ..) = rounds(&mut kernel, &mut state);
        assert!(most <= bound, "{most} bytes of {bound}");
        assert!(most >= (bound / 2).min(VATS as u64 * mib * MIB), "only {most} bytes of {bound}");
    }
}

#[test]
fn a_vat_that_alone_is_larger_than_the_bound_runs_alone() {
    let Stage { mut state, .. } = stage();
    let mut kernel = bounded(100 * MIB);
    kernel.host_mut().memory_bytes = 240 * MIB;
    let (most, ..) = rounds(&mut kernel, &mut state);
    assert_eq!(most, 240 * MIB);
}

#[test]
fn blocks_count_the_same_whatever_a_node_keeps_in_memory() {
    let outcomes = [u64::MAX, GIB, 300 * MIB, 0].map(|bound| {
        let Stage { mut state, .. } = stage();
        let mut kernel = bounded(bound);
        kernel.host_mut().memory_bytes = 240 * MIB;
        let (_, chain, sum) = rounds(&mut kernel, &mut state);
        // A restart changes nothing.
        kernel.evict_all();
        let (_, later, more) = rounds(&mut kernel, &mut state);
        (chain, sum, later, more)
    });
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
}

#[test]
fn blocks_count_the_return_of_vats_that_do_not_fit_and_of_no_others() {
    let counted = |bytes: u64| {
        let Stage { mut kernel, mut state, .. } = stage();
        kernel.host_mut().memory_bytes = bytes;
        rounds(&mut kernel, &mut state);
        let (_, _, sum) = rounds(&mut kernel, &mut state);
        sum
    };
    let deliveries = 3 * VATS as u64 * 1_000;
    // Twelve of 30 MiB fit into half a GiB, which is always kept, and twelve of 240 MiB fit into no GiB.
    assert_eq!(counted(10 * MIB), deliveries);
    assert_eq!(counted(30 * MIB), deliveries);
    assert!(counted(240 * MIB) > 2 * deliveries);
}
