//! What a vat has the kernel do in one delivery, and the memory that vats take, are bounded.
#![allow(clippy::unwrap_used)] // tests

use capstan_kernel::view;
use capstan_tests::adversary::Yard;
use capstan_tests::alone;

const LIMIT: u64 = 20_000_000;

/// Returns the number of the chain's vat with this name, its memory in bytes and the reason why it ended, if it has.
fn vat(yard: &mut Yard, name: &str) -> (u64, Option<String>) {
    let mut found = None;
    yard.twins.look(0, |state| {
        let vat = view::vats(state).unwrap().into_iter().find(|vat| {
            view::vat_config(state, *vat).unwrap().unwrap().name.as_deref() == Some(name)
        });
        let record = view::vat_state(state, vat.unwrap()).unwrap().unwrap();
        let ending = record.status.ending().map(|ending| ending.reason());
        found = Some((record.memory_bytes, ending));
    });
    found.unwrap()
}

#[test]
fn a_vat_that_has_the_kernel_work_beyond_its_limit_ends_by_that() {
    alone(module_path!(), "a_vat_that_has_the_kernel_work_beyond_its_limit_ends_by_that", || {
        for program in [
            // Messages with 45 new promises each.
            "f2,45d0,0w0m<x>s0,5878,0",
            // One message with nine thousand.
            "f2,9000d0,0w0m<x>s0,9,0",
            // Settled promises, in one syscall.
            "f0,0d1,1r20000,0,1",
            // Results that it subscribes to.
            "f0,0d0,0w0m<x>s0,10000,2",
            // Keys of its store.
            "k20,20,30000",
        ] {
            let mut yard = Yard::raw(|genesis| genesis.app_state.params.crank_computrons = LIMIT);
            yard.run(0, "factory", program, &[]);
            let (_, ending) = vat(&mut yard, "a");
            assert_eq!(ending.as_deref(), Some("Compute meter exceeded"), "{program}");
            yard.assert_unharmed(&["b", "c", "d"]);
        }
    });
}

#[test]
fn the_state_knows_the_memory_of_each_vat_whichever_vats_a_node_keeps() {
    alone(
        module_path!(),
        "the_state_knows_the_memory_of_each_vat_whichever_vats_a_node_keeps",
        || {
            let mut yard = Yard::raw(|genesis| {
                genesis.app_state.params.resident_bytes = 64 << 20;
            });
            for round in 1..=3 {
                for account in 0..4 {
                    // 100 pages more. The nodes keep different numbers of vats, and agree on each block.
                    let grown = yard.run(account, "factory", "h100", &[]);
                    assert_eq!(grown["status"], "fulfilled", "{grown}");
                }
                for name in ["a", "b", "c", "d"] {
                    let (memory, _) = vat(&mut yard, name);
                    let grown = round * 100 * 65_536;
                    assert!((grown..grown + (8 << 20)).contains(&memory), "{name}: {memory}");
                }
            }
            yard.assert_unharmed(&["a", "b", "c", "d"]);
        },
    );
}
