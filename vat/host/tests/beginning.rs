//! Tests of the beginning of new JavaScript vats, which is a part of loading their bundle. A vat cannot tell whether it
//! was done then or by its `startVat`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use capstan_abi::{CapData, Delivery, DeliveryResult, Syscall};
use capstan_kernel_ports::{
    VatId,
    host::{Delivered, VatHost, WorkerOptions},
};
use capstan_vat_host::{Compiler, MemoryMode, WasmHost};
use common::{
    Kept, V1,
    javascript::{Bundle, Kernel, LIMIT, host, host_in, send},
};

const NEW: WorkerOptions = WorkerOptions {
    enable_disavow: false,
    relax_durability_rules: false,
    enable_vatstore: true,
    enable_setup: false,
    is_new: true,
};

/// A vat that uses what liveslots sets up before it: baggage, kinds, watched promises, its powers and parameters.
const USER: &str = r#"
import { E, Far } from '@endo/far';
import {
  M, defineDurableKind, makeKindHandle, makeScalarBigMapStore, prepareExoClass, watchPromise,
} from '@agoric/vat-data';
const { getOwnPropertyNames, isFrozen } = Object;
export const buildRootObject = (vatPowers, parameters, baggage) => {
  const { promise, other } = parameters;
  const handle = baggage.has('handle') ? baggage.get('handle') : makeKindHandle('watcher');
  baggage.has('handle') || baggage.init('handle', handle);
  const makeWatcher = defineDurableKind(handle, () => ({}), {
    onFulfilled() {}, onRejected() {},
  });
  const makeThing = prepareExoClass(baggage, 'thing', undefined, n => ({ n }), {
    grow() { this.state.n += 1; return this.state.n; },
  });
  promise && watchPromise(promise, makeWatcher());
  other && E(other).greet('hello');
  vatPowers.vatstore.set('begun', `${getOwnPropertyNames(vatPowers).join()} ${isFrozen(vatPowers)}`);
  return Far('root', {
    keep: n => { baggage.init('thing', makeThing(n)); return [...baggage.keys()]; },
    grow: () => baggage.get('thing').grow(),
    stored: () => vatPowers.vatstore.get('begun'),
    map: () => { const map = makeScalarBigMapStore('map', { keyShape: M.string() }); map.init('a', 1n); return [...map.entries()]; },
  });
};
"#;

fn start(body: &str, slots: &[&str]) -> Delivery {
    let slots = slots.iter().map(|slot| (*slot).to_owned()).collect();
    Delivery::StartVat { parameters: CapData { body: body.to_owned(), slots } }
}

/// Starts that import nothing, and objects and promises before and after baggage is made.
fn starts() -> [Delivery; 3] {
    [
        start("#{}", &[]),
        start("#{\"other\":\"$0.Alleged: other\"}", &["o-50"]),
        start("#{\"other\":\"$1.Alleged: other\",\"promise\":\"&0\"}", &["p-60", "o-50"]),
    ]
}

/// What a kernel sees of a vat's life, without what its deliveries spent.
fn live(
    host: &mut WasmHost,
    bundle: &Bundle,
    begin: &Delivery,
    options: &WorkerOptions,
) -> Vec<(DeliveryResult, Vec<Syscall>)> {
    let mut kernel = Kernel::default();
    host.start(V1, &bundle.on(host), options).unwrap().verdict.unwrap();
    let messages =
        [("keep", "[1]"), ("grow", "[]"), ("stored", "[]"), ("map", "[]"), ("grow", "[]")];
    let mut deliveries = vec![begin.clone()];
    deliveries.extend(
        messages.iter().zip(70..).map(|((method, args), result)| send(method, args, result)),
    );
    deliveries.insert(3, Delivery::BringOutYourDead);
    deliveries.push(Delivery::BringOutYourDead);
    let deliver = |delivery: &Delivery| {
        let Delivered { result, .. } = host.deliver(V1, delivery, LIMIT, &mut kernel).unwrap();
        (result, std::mem::take(&mut kernel.syscalls))
    };
    deliveries.iter().map(deliver).collect()
}

#[test]
fn a_new_vat_makes_the_same_syscalls_whether_its_beginning_was_loaded_or_not() {
    let mut host = host(Compiler::Cranelift);
    let bundle = Bundle::of(USER);
    for begin in starts() {
        let loaded = live(&mut host, &bundle, &begin, &NEW);
        let plain = live(&mut host, &bundle, &begin, &WorkerOptions::default());
        assert!(plain.iter().all(|(result, _)| *result == DeliveryResult::Ok), "{plain:?}");
        assert!(plain[0].1.len() > 25, "{plain:?}");
        assert_eq!(loaded, plain);
    }
}

#[test]
fn a_loaded_beginning_is_paid_for_with_the_load_and_makes_the_start_cheap() {
    let mut host = host(Compiler::Cranelift);
    let bundle = Bundle::of(USER);
    let mut spent = |options: &WorkerOptions| {
        let cost = host.start(V1, &bundle.on(&host), options).unwrap().cost;
        let mut kernel = Kernel::default();
        let delivered = host.deliver(V1, &starts()[0], LIMIT, &mut kernel).unwrap();
        (cost.load.0, delivered.computrons.unwrap().0)
    };
    let (load, start) = spent(&NEW);
    let (plain_load, plain_start) = spent(&WorkerOptions::default());
    assert!(start + 50_000 < plain_start, "{start} and {plain_start}");
    assert!(load > plain_load + 50_000, "{load} and {plain_load}");
    // Another vat of the bundle pays the same.
    assert_eq!(spent(&NEW), (load, start));
}

#[test]
fn a_vat_whose_store_is_not_empty_cannot_begin_as_a_new_one() {
    let mut host = host(Compiler::Cranelift);
    let bundle = Bundle::of(USER);
    let mut kernel = Kernel::default();
    for expected in [
        DeliveryResult::Ok,
        DeliveryResult::Error("Error: a new vat must begin with an empty store".into()),
    ] {
        host.start(V1, &bundle.on(&host), &NEW).unwrap().verdict.unwrap();
        let delivered = host.deliver(V1, &starts()[0], LIMIT, &mut kernel).unwrap();
        assert_eq!(delivered.result, expected);
    }
    // As an upgraded one it can.
    host.start(V1, &bundle.on(&host), &WorkerOptions::default()).unwrap().verdict.unwrap();
    let delivered = host.deliver(V1, &starts()[0], LIMIT, &mut kernel).unwrap();
    assert_eq!(delivered.result, DeliveryResult::Ok);
}

#[test]
fn heaps_of_new_vats_are_the_same_in_both_modes_of_memory_and_restored_by_their_own_pages() {
    let bundle = Bundle::of(USER);
    let mut heaps = Vec::new();
    for memory in [MemoryMode::CopyOnWrite, MemoryMode::Copies] {
        let mut host = host_in(Compiler::Cranelift, memory);
        let source = bundle.on(&host);
        let mut kernel = Kernel::default();
        host.start(V1, &source, &NEW).unwrap().verdict.unwrap();
        for delivery in [starts()[0].clone(), send("keep", "[1]", 70), Delivery::BringOutYourDead] {
            host.deliver(V1, &delivery, LIMIT, &mut kernel).unwrap();
        }
        let kept = Kept::of(&mut host, V1);
        let pages = kept.image.pages.len();
        let restored = VatId(2);
        kept.restore_with(&mut host, restored, &source, &NEW).unwrap();
        assert_eq!(host.heap(restored), host.heap(V1));
        let delivered =
            host.deliver(restored, &send("grow", "[]", 71), LIMIT, &mut kernel).unwrap();
        assert_eq!(delivered.result, DeliveryResult::Ok);
        assert_eq!(kernel.last_resolution(), (false, "#2".to_owned()));
        heaps.push((kept.image.hash, pages));
    }
    assert_eq!(heaps[0], heaps[1]);
}
