//! A vat is checked against its own past: replayed from genesis or from its last snapshot, under either compiler, it does
//! the same again; where it does not, or where its transcript was changed, the first difference is named.
#![allow(clippy::unwrap_used)] // tests

use std::sync::{Mutex, OnceLock};

use capstan_abi::{DeliveryResult, Syscall, SyscallResult};
use capstan_kernel::NodeOptions;
use capstan_kernel::replay::{Beginning, Difference, Outcome, Rehearsal, RehearsalError, Step};
use capstan_kernel::transcript::Entry;
use capstan_kernel::view;
use capstan_kernel_ports::host::VatHost;
use capstan_kernel_ports::store::{Overlay, Read};
use capstan_kernel_ports::{Computrons, Hash, VatId};
use capstan_store::{Block, StateView};
use capstan_tests::mixed::{MixedNode, often};
use capstan_tests::{Account, BareApp, Options, Wrong, WrongHost, host, raw_genesis};
use capstan_vat_host::{Compiler, Compilers};

/// The state of a node that has archived the whole story.
fn archive() -> StateView {
    static NODE: OnceLock<Mutex<MixedNode>> = OnceLock::new();
    let node = NODE.get_or_init(|| Mutex::new(told(true)));
    node.lock().unwrap().store().reader()
}

/// A node at the end of the story.
fn told(archive: bool) -> MixedNode {
    let options = NodeOptions { archive, ..NodeOptions::default() };
    let mut node = MixedNode::start(options, often());
    node.live(|_| {});
    node
}

/// Replays to the end or the first difference: the last step, and how many deliveries there were.
fn replay<H: VatHost>(
    state: &impl Read,
    vat: VatId,
    beginning: Beginning,
    host: &mut H,
) -> (Option<Step>, u64) {
    let mut rehearsal = Rehearsal::new(state, vat, beginning).unwrap();
    let mut deliveries = 0;
    let mut last = None;
    while let Some(step) = rehearsal.step(host).unwrap() {
        deliveries += u64::from(step.is_delivery());
        last = Some(step);
    }
    host.stop(vat);
    (last, deliveries)
}

fn replays_equally(
    state: &impl Read,
    vat: VatId,
    beginning: Beginning,
    host: &mut impl VatHost,
) -> u64 {
    let (last, deliveries) = replay(state, vat, beginning, host);
    if let Some(Step { position, outcome, .. }) = last {
        assert_eq!(outcome, Outcome::Same, "{vat} at {position}");
    }
    deliveries
}

fn is_running(state: &impl Read, vat: VatId) -> bool {
    view::vat_state(state, vat).unwrap().unwrap().status.ending().is_none()
}

/// Checks every vat of a state from its beginning and, if it lives, from its snapshot.
fn all_vats_replay_equally(state: &impl Read, host: &mut impl VatHost) {
    for vat in view::vats(state).unwrap() {
        let all = replays_equally(state, vat, Beginning::Genesis, host);
        assert!(all > 1, "{vat} had {all} deliveries");
        if is_running(state, vat) {
            assert!(replays_equally(state, vat, Beginning::Snapshot, host) <= all);
            assert_eq!(Rehearsal::new(state, vat, Beginning::Snapshot).unwrap().damage(), Ok(None));
        }
    }
}

#[test]
fn javascript_vats_do_the_same_again_under_either_compiler() {
    let state = archive();
    let ended = view::vats(&state).unwrap().into_iter().filter(|vat| !is_running(&state, *vat));
    assert!(ended.count() >= 2, "the story ends two workers");
    all_vats_replay_equally(&state, &mut host(&Options::usual()));
    let compilers = Compilers { engine: Compiler::Singlepass, modules: Compiler::Cranelift };
    let mut other = host(&Options { compilers, ..Options::usual() });
    let worker = *view::live_vats(&state).unwrap().last().unwrap();
    assert!(replays_equally(&state, worker, Beginning::Genesis, &mut other) > 5);
    replays_equally(&state, worker, Beginning::Snapshot, &mut other);
}

#[test]
fn wasm_vats_do_the_same_again_under_either_compiler() {
    let options = Options { archive: true, ..Options::raw() };
    let app = BareApp::start(&raw_genesis(|_| {}), &options);
    let mut accounts: Vec<Account> = (0..3).map(Account::dev).collect();
    for height in 1..=12 {
        let methods = ["increment", "forward"];
        let txs = accounts.iter_mut().map(|account| {
            let tx = account.calls(&methods);
            account.tx(tx)
        });
        let txs: Vec<Vec<u8>> = if height > 1 { txs.collect() } else { vec![] };
        app.block(height, &txs);
    }
    let (_dir, store) = app.into_store();
    let state = store.reader();
    for modules in [Compiler::Singlepass, Compiler::Cranelift] {
        let compilers = Compilers { modules, ..Compilers::default() };
        all_vats_replay_equally(&state, &mut host(&Options { compilers, ..Options::raw() }));
    }
}

/// All that is kept of a vat's transcript.
fn entries(state: &impl Read, vat: VatId) -> Vec<(Vec<u8>, Entry)> {
    let entries = state.scan(format!("local.k.t.{vat}.").as_bytes()).unwrap();
    entries.into_iter().map(|(key, bytes)| (key, borsh::from_slice(&bytes).unwrap())).collect()
}

/// A worker that lived through an upgrade.
fn upgraded(state: &impl Read) -> VatId {
    let incarnation = |vat: &VatId| view::vat_state(state, *vat).unwrap().unwrap().incarnation;
    view::live_vats(state).unwrap().into_iter().find(|vat| incarnation(vat) == 1).unwrap()
}

/// The difference that is found when a host goes wrong in the delivery of this entry.
fn difference(wrong: Wrong, entry: &Entry) -> Difference {
    let Entry::Delivery { syscalls, result, computrons, .. } = entry else { unreachable!() };
    let made = |number: usize| Some(syscalls[number].0.clone());
    match wrong {
        Wrong::Computrons => Difference::Computrons {
            expected: *computrons,
            found: computrons.map(|spent| Computrons(spent.0 + 1)),
        },
        Wrong::Result => Difference::Result {
            expected: result.clone(),
            found: DeliveryResult::Error("patched".into()),
        },
        Wrong::Syscall => {
            let is_set = |(syscall, _): &(Syscall, SyscallResult)| {
                matches!(syscall, Syscall::VatstoreSet { .. })
            };
            let number = syscalls.iter().position(is_set).unwrap();
            let Syscall::VatstoreSet { key, .. } = &syscalls[number].0 else { unreachable!() };
            let forged = Syscall::VatstoreSet { key: key.clone(), value: "forged".into() };
            Difference::Syscall { number, expected: made(number), found: Some(forged) }
        }
        Wrong::Missing => Difference::Syscall { number: 0, expected: made(0), found: None },
        Wrong::Extra => Difference::Syscall {
            number: syscalls.len(),
            expected: None,
            found: Some(Syscall::VatstoreGet { key: "no".into() }),
        },
        Wrong::Heap => panic!("a heap is no part of a delivery"),
    }
}

#[test]
fn the_first_thing_that_a_host_does_otherwise_is_named() {
    let state = archive();
    let vat = upgraded(&state);
    let entries = entries(&state, vat);
    let deliveries: Vec<(u64, &Entry)> = (0..)
        .zip(entries.iter().map(|(_, entry)| entry))
        .filter(|(_, entry)| matches!(entry, Entry::Delivery { .. }))
        .collect();
    let sets = |entry: &Entry| matches!(entry, Entry::Delivery { syscalls, .. } if syscalls.iter().any(|(syscall, _)| matches!(syscall, Syscall::VatstoreSet { .. })));
    // The second delivery after the upgrade that writes to the vat's store.
    let upgrade = (0..).zip(&entries).filter(|(_, (_, entry))| *entry == Entry::ShutdownWorker);
    let upgrade: u64 = upgrade.map(|(position, _)| position).next().unwrap();
    let writing =
        deliveries.iter().enumerate().filter(|(_, (at, entry))| *at > upgrade && sets(entry));
    let (at, (position, entry)) =
        writing.map(|(at, (position, entry))| (at as u64, (*position, *entry))).nth(1).unwrap();
    let mut host = host(&Options::usual());
    for wrong in [
        Wrong::Computrons,
        Wrong::Result,
        Wrong::Syscall,
        Wrong::Missing,
        Wrong::Extra,
        Wrong::Heap,
    ] {
        let mut patched = WrongHost::new(host, wrong, Some(at));
        let (last, _) = replay(&state, vat, Beginning::Genesis, &mut patched);
        host = patched.host;
        let Some(Step {
            position: found_at, outcome: Outcome::Differs(found), entry: told, ..
        }) = last
        else {
            panic!("{wrong:?}: {last:?}")
        };
        if wrong == Wrong::Heap {
            let Difference::Heap { expected, found } = found else { panic!("{found:?}") };
            assert_eq!((Hash([9; 32]), true), (found, found_at > position));
            assert_eq!(told, Entry::SaveSnapshot { heap: expected });
            continue;
        }
        let expected = difference(wrong, entry);
        assert_eq!((found_at, &told, found), (position, entry, expected), "{wrong:?}");
    }
}

/// The state with one entry of a transcript changed.
fn changed(state: &MixedNode, key: &[u8], entry: &Entry) -> Block {
    let mut block = state.store().begin_block();
    block.set(key, borsh::to_vec(entry).unwrap());
    block
}

#[test]
fn an_entry_that_was_changed_is_where_the_replay_parts_and_the_damage_is_told() {
    let node = told(true);
    let state = node.store().reader();
    let vat = upgraded(&state);
    let from = view::vat_state(&state, vat).unwrap().unwrap().kept_from;
    let mut host = host(&Options::usual());
    let mut changes = 0;
    for (position, (key, entry)) in (0..).zip(entries(&state, vat)) {
        let Entry::Delivery { delivery, syscalls, result, computrons } = entry else { continue };
        let beginning = if position < from { Beginning::Genesis } else { Beginning::Snapshot };
        let computrons = computrons.map(|spent| Computrons(spent.0 ^ 1));
        let entry = Entry::Delivery { delivery, syscalls, result, computrons };
        let block = changed(&node, &key, &entry);
        let (last, _) = replay(&block, vat, beginning, &mut host);
        let Some(Step { position: found, outcome, .. }) = last else { panic!("{position}") };
        assert!(matches!(outcome, Outcome::Differs(Difference::Computrons { .. })), "{outcome:?}");
        assert_eq!(found, position);
        let damage = Rehearsal::new(&block, vat, beginning).unwrap().damage().unwrap();
        // Earlier spans are bound by nothing but the replay itself.
        let is_damaged = matches!(damage, Some(Difference::Transcript { .. }));
        let span = view::vat_state(&state, vat).unwrap().unwrap().span;
        assert_eq!(is_damaged, position >= span.start, "{damage:?}");
        changes += 1;
    }
    assert!(changes > 10, "{changes}");
}

#[test]
fn what_a_vat_was_told_otherwise_shows() {
    let node = told(true);
    let state = node.store().reader();
    let vat = upgraded(&state);
    // An answer from the vat's store that was read and used.
    let (position, (key, entry)) = (0..)
        .zip(entries(&state, vat))
        .find(|(_, (_, entry))| matches!(entry, Entry::Delivery { syscalls, .. } if read_index(syscalls).is_some()))
        .unwrap();
    let Entry::Delivery { delivery, mut syscalls, result, computrons } = entry else {
        unreachable!()
    };
    let read = read_index(&syscalls).unwrap();
    syscalls[read].1 = SyscallResult::Ok(capstan_abi::SyscallData::Null);
    let entry = Entry::Delivery { delivery, syscalls, result, computrons };
    let block = changed(&node, &key, &entry);
    let (last, _) = replay(&block, vat, Beginning::Genesis, &mut host(&Options::usual()));
    let Some(Step { position: found, outcome: Outcome::Differs(_), .. }) = last else {
        panic!("{last:?}")
    };
    assert_eq!(found, position);
}

/// The first read from the vat's store that found something.
fn read_index(syscalls: &[(Syscall, SyscallResult)]) -> Option<usize> {
    syscalls.iter().position(|(syscall, result)| {
        matches!(syscall, Syscall::VatstoreGet { .. })
            && matches!(result, SyscallResult::Ok(capstan_abi::SyscallData::Text(_)))
    })
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let node = told(false);
    let state = node.store().reader();
    let refused = |vat, beginning| Rehearsal::new(&state, vat, beginning).unwrap_err();
    let live = upgraded(&state);
    let error = refused(VatId(99), Beginning::Snapshot);
    assert!(error.to_string().starts_with("there is no v99: the chain has"), "{error}");
    let error = refused(live, Beginning::Genesis);
    assert_eq!(error, RehearsalError::Pruned { vat: live, wanted: 0 });
    let dead = view::vats(&state).unwrap().into_iter().find(|vat| !is_running(&state, *vat));
    for beginning in [Beginning::Genesis, Beginning::Snapshot] {
        let error = refused(dead.unwrap(), beginning).to_string();
        for part in ["ended in crank", "enough", "--archive"] {
            assert!(error.contains(part), "{error}");
        }
    }
    // From the snapshot everything that lives can be replayed.
    let mut host = host(&Options::usual());
    for vat in view::live_vats(&state).unwrap() {
        replays_equally(&state, vat, Beginning::Snapshot, &mut host);
    }
    // On a node that archives, a vat that ended is replayed from genesis alone.
    let dead = dead.unwrap();
    let error = Rehearsal::new(&archive(), dead, Beginning::Snapshot).unwrap_err();
    assert!(matches!(error, RehearsalError::Ended { .. }), "{error}");
}
