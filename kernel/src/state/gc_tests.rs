//! What hangs on one reference is let go of over several cranks, and nobody pays for what others let go of.

use capstan_abi::Resolution;
use capstan_kernel_ports::memory::MemoryState;

use crate::{
    billing::Billing,
    capdata::KernelData,
    control::genesis::first_globals,
    ids::{KRef, MeterId},
    limits::{MAX_FREED, MAX_SLOTS},
    state::{
        clist_tests::options,
        handle::{KernelOptions, State},
        keys,
        promise::ResultPolicy,
        queue::Queues,
        stats::Stats,
    },
};

/// A state whose meters pay one computron for each written entry.
fn with_state(work: impl FnOnce(&mut State<'_>)) {
    let mut over = MemoryState::default();
    let mut stats = Stats::default();
    let billing = Billing { all_work: true, write: 1, ..Billing::SWINGSET };
    let globals = first_globals(KernelOptions { billing, ..options() });
    let mut state = State::new(&mut over, &mut stats, None, globals);
    state.put(keys::QUEUES, &Queues::EMPTY).unwrap();
    work(&mut state);
}

fn new_promise(state: &mut State<'_>) -> KRef {
    let promise = state.add_promise(None, ResultPolicy::Ignore).unwrap();
    state.increment(promise).unwrap();
    promise
}

fn settle(state: &mut State<'_>, promise: KRef, slots: Vec<KRef>) {
    let data = KernelData { body: "#[]".to_owned(), slots };
    state.resolve(vec![Resolution { promise, rejected: false, data }], None).unwrap();
}

/// Ends a crank. Returns how many promises it deleted.
fn end_crank(state: &mut State<'_>) -> u64 {
    let before = state.stats.kernel_promises.value;
    state.process_postponed().unwrap();
    state.process_refcounts().unwrap();
    before - state.stats.kernel_promises.value
}

#[test]
fn a_chain_of_promises_is_let_go_of_a_part_at_a_time() {
    const LENGTH: u64 = 3 * MAX_FREED as u64;
    with_state(|state| {
        let first = new_promise(state);
        let mut last = first;
        for _ in 1..LENGTH {
            let next = new_promise(state);
            settle(state, last, vec![next]);
            // The promise before it holds it.
            state.decrement(next).unwrap();
            last = next;
        }
        assert_eq!(end_crank(state), 0);
        state.decrement(first).unwrap();
        let (mut freed, mut cranks) = (end_crank(state), 1);
        while state.globals().is_collecting {
            let part = end_crank(state);
            assert!((1..=2 * MAX_FREED as u64).contains(&part), "{part}");
            (freed, cranks) = (freed + part, cranks + 1);
        }
        assert_eq!(freed, LENGTH);
        assert!(cranks >= 3, "{cranks} cranks");
        assert!(!state.has_postponed());
    });
}

#[test]
fn the_references_in_the_data_of_a_promise_count() {
    with_state(|state| {
        let held = new_promise(state);
        let wide: Vec<KRef> = (0..10)
            .map(|_| {
                let promise = new_promise(state);
                settle(state, promise, vec![held; MAX_SLOTS]);
                promise
            })
            .collect();
        wide.iter().for_each(|promise| state.decrement(*promise).unwrap());
        let mut cranks = 0;
        while cranks == 0 || state.globals().is_collecting {
            assert!(end_crank(state) <= 2);
            cranks += 1;
        }
        assert!(cranks >= 5, "{cranks} cranks");
        assert_eq!(state.promise(held).unwrap().ref_count, 1);
    });
}

#[test]
fn a_meter_pays_for_its_own_crank_and_not_for_what_others_let_go_of() {
    let spent = |left_by_others: u64| {
        let mut spent = 0;
        with_state(|state| {
            let meter = state.add_meter(Some(1_000_000), 0, None).unwrap();
            for _ in 0..left_by_others {
                let promise = new_promise(state);
                state.decrement(promise).unwrap();
            }
            state.postpone_refcounts().unwrap();
            state.over.push();
            // The crank begins here.
            state.reads = 0;
            new_promise(state);
            let of_others = state.collect_for_others().unwrap();
            state.process_refcounts().unwrap();
            assert!(of_others.entries >= left_by_others);
            state.bill_kernel(meter, of_others).unwrap();
            let remaining = state.meter(MeterId(1)).unwrap().unwrap().remaining;
            spent = 1_000_000 - remaining.unwrap();
        });
        spent
    };
    assert!(spent(0) > 0);
    assert!(spent(1_000) <= spent(0), "{} for others", spent(1_000));
}
