//! Deliveries that are run before their turn: which of them count, and what is left of the others.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};

use capstan_abi::{DeliveryResult, Syscall, SyscallData, SyscallResult};
use capstan_kernel_ports::{
    Computrons, Hash,
    ahead::{Ahead, Expected, Made, Turn},
    host::{Delivered, VatHost},
};
use capstan_vat_host::{HostOptions, WasmHost};
use common::*;

/// What a run is told while it is ahead.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// What the kernel will say.
    Same,
    /// Something else.
    Other,
    /// That only the kernel knows.
    Unknown,
    /// Nothing, because the one who answers panics.
    Panic,
}

struct Teller {
    told: Told,
    asked: Sender<()>,
}

impl capstan_kernel_ports::ahead::Answers for Teller {
    fn answer(&mut self, syscall: &Syscall) -> Option<SyscallResult> {
        self.asked.send(()).unwrap();
        let Syscall::VatstoreGet { key } = syscall else { panic!("{syscall:?}") };
        let text = match self.told {
            Told::Same => format!("value of {key}"),
            Told::Other => "something else".to_owned(),
            Told::Unknown => return None,
            Told::Panic => panic!("on purpose"),
        };
        Some(SyscallResult::Ok(SyscallData::Text(text.into())))
    }
}

/// A worker that reads two keys of its store, counts, and works.
fn reader() -> Vec<u8> {
    let read = r#"
        (i32.store8 (i32.const 0) (i32.const 5))
        (i32.store (i32.const 1) (i32.const 1))
        (i32.store8 (i32.const 5) (i32.add (i32.const 65) (i32.load (i32.const 2000))))
        (call $take_result (i32.add (i32.const 3000) (call $syscall (i32.const 0) (i32.const 6))))"#;
    let work = r#"
        (i32.store (i32.const 2000) (i32.add (i32.load (i32.const 2000)) (i32.const 1)))
        (loop $again
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (i32.const 2000))))"#;
    worker("", &format!("{read}{work}{read}"))
}

/// A worker that calls itself without end after it has read its store.
fn deep() -> Vec<u8> {
    let body = r#"
        (i32.store8 (i32.const 0) (i32.const 5))
        (i32.store (i32.const 1) (i32.const 1))
        (i32.store8 (i32.const 5) (i32.const 65))
        (call $take_result (i32.add (i32.const 3000) (call $syscall (i32.const 0) (i32.const 6))))
        (drop (call $deeper (i32.const 1)))"#;
    let items = "(func $deeper (param i32) (result i32)
        (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0)))";
    worker(items, body)
}

fn parallel(module: &[u8]) -> WasmHost {
    let mut host = open(HostOptions { threads: 2, ..HostOptions::default() });
    start(&mut host, V1, module);
    host
}

/// What a delivery that is not run ahead comes to.
fn serial(module: &[u8], limit: Computrons) -> (Delivered, Option<Hash>, Vec<Syscall>) {
    let mut host = open(HostOptions::default());
    start(&mut host, V1, module);
    let mut kernel = Answers::default();
    let delivered = host.deliver(V1, &message("m"), limit, &mut kernel).unwrap();
    (delivered, host.heap(V1).map(|(hash, _)| hash), kernel.syscalls)
}

/// Begins a run, and waits until a thread has taken it up.
fn begin(host: &mut WasmHost, told: Told, limit: Computrons) -> Receiver<()> {
    let (asked, hears) = channel();
    let answers = Box::new(Teller { told, asked });
    let first = Expected { delivery: message("m"), limit };
    host.run_ahead(Ahead { vat: V1, first, then: vec![], answers, then_snapshot: false });
    assert!(host.is_running(V1), "a worker that runs ahead is in memory");
    hears.recv().unwrap();
    hears
}

fn turn(host: &mut WasmHost, limit: Computrons, kernel: &mut Answers) -> Turn {
    host.take_turn(V1, &message("m"), limit, kernel)
}

/// Insists that a run counts and comes to what a serial one comes to.
fn counts(module: &[u8], told: Told, ahead: Computrons, limit: Computrons) {
    let (delivered, heap, syscalls) = serial(module, limit);
    let mut host = parallel(module);
    let _hears = begin(&mut host, told, ahead);
    let mut kernel = Answers::default();
    match turn(&mut host, limit, &mut kernel) {
        Turn::Done(Ok(found)) => assert_eq!(found, delivered, "{told:?}"),
        other => panic!("{told:?}: {other:?}"),
    }
    assert_eq!(kernel.syscalls, syscalls, "{told:?}");
    assert_eq!(host.heap(V1).map(|(hash, _)| hash), heap, "{told:?}");
}

/// Insists that a run is lost after so many syscalls.
fn is_lost(told: Told, ahead: Computrons, limit: Computrons, syscalls: usize) {
    let mut host = parallel(&reader());
    let _hears = begin(&mut host, told, ahead);
    let mut kernel = Answers::default();
    let Turn::Lost(made) = turn(&mut host, limit, &mut kernel) else { panic!("{told:?} counts") };
    assert_eq!((made.len(), kernel.syscalls.len()), (syscalls, syscalls), "{told:?}");
    assert!(made.iter().all(|made| matches!(made, Made::Syscall(SyscallResult::Ok(_)))));
    assert!(!host.is_running(V1), "{told:?}: the worker has seen what never happened");
    assert_eq!(host.usage().ahead_lost(), 1);
}

#[test]
fn a_run_counts_if_the_kernel_says_what_it_was_told() {
    counts(&reader(), Told::Same, LIMIT, LIMIT);
    counts(&reader(), Told::Unknown, LIMIT, LIMIT);
    is_lost(Told::Other, LIMIT, LIMIT, 1);
    is_lost(Told::Panic, LIMIT, LIMIT, 0);
}

#[test]
fn a_run_with_another_limit_counts_if_it_fits() {
    let Computrons(spent) = serial(&reader(), LIMIT).0.computrons.unwrap();
    let exactly = Computrons(spent);
    let less = Computrons(spent - 1);
    counts(&reader(), Told::Same, LIMIT, exactly);
    counts(&reader(), Told::Same, exactly, LIMIT);
    is_lost(Told::Same, LIMIT, less, 0);
    is_lost(Told::Same, less, LIMIT, 0);
    // What only the kernel knows cannot be asked before it is known that the run fits.
    is_lost(Told::Unknown, LIMIT, exactly, 0);
}

#[test]
fn a_fault_is_an_outcome() {
    let Computrons(spent) = serial(&reader(), LIMIT).0.computrons.unwrap();
    counts(&reader(), Told::Same, Computrons(spent - 1), Computrons(spent - 1));
    counts(&deep(), Told::Same, LIMIT, LIMIT);
    let exhausted = serial(&reader(), Computrons(spent - 1)).0;
    assert_eq!(exhausted.result, DeliveryResult::Error("Compute meter exceeded".into()));
    assert_eq!(
        serial(&deep(), LIMIT).0.result,
        DeliveryResult::Error("Stack meter exceeded".into())
    );
}

#[test]
fn another_delivery_loses_the_run() {
    let mut host = parallel(&reader());
    let _hears = begin(&mut host, Told::Same, LIMIT);
    let mut kernel = Answers::default();
    let Turn::Lost(made) = host.take_turn(V1, &message("other"), LIMIT, &mut kernel) else {
        panic!("another delivery counts")
    };
    assert!(made.is_empty() && kernel.syscalls.is_empty() && !host.is_running(V1));
}

#[test]
fn the_kernel_ends_a_run() {
    for told in [Told::Same, Told::Unknown] {
        let mut host = parallel(&reader());
        let _hears = begin(&mut host, told, LIMIT);
        let mut kernel = Answers { fail: true, ..Answers::default() };
        let turn = turn(&mut host, LIMIT, &mut kernel);
        assert!(matches!(turn, Turn::Done(Err(_))), "{told:?}: {turn:?}");
        assert!(kernel.syscalls.len() == 1 && !host.is_running(V1));
    }
}

#[test]
fn a_worker_that_is_stopped_or_replaced_has_run_in_vain() {
    for told in [Told::Same, Told::Unknown] {
        let mut host = parallel(&reader());
        let hears = begin(&mut host, told, LIMIT);
        host.stop(V1);
        assert!(!host.is_running(V1));
        let mut kernel = Answers::default();
        assert!(matches!(turn(&mut host, LIMIT, &mut kernel), Turn::NotAhead));
        start(&mut host, V1, &reader());
        let delivered = host.deliver(V1, &message("m"), LIMIT, &mut kernel).unwrap();
        assert_eq!(delivered, serial(&reader(), LIMIT).0);
        // The thread lets go of the run, whatever it was waiting for.
        while hears.recv().is_ok() {}
    }
}

#[test]
fn a_host_ends_while_its_vats_run() {
    let mut host = parallel(&reader());
    let hears = begin(&mut host, Told::Unknown, LIMIT);
    drop(host);
    while hears.recv().is_ok() {}
}

#[test]
fn one_thread_runs_nothing_ahead() {
    let mut host = open(HostOptions { threads: 1, ..HostOptions::default() });
    start(&mut host, V1, &reader());
    assert_eq!(host.ahead_plan().capacity, 0);
    let (asked, hears) = channel();
    let answers = Box::new(Teller { told: Told::Panic, asked });
    let first = Expected { delivery: message("m"), limit: LIMIT };
    host.run_ahead(Ahead { vat: V1, first, then: vec![], answers, then_snapshot: false });
    assert!(hears.recv().is_err() && host.is_running(V1));
    let mut kernel = Answers::default();
    assert!(matches!(turn(&mut host, LIMIT, &mut kernel), Turn::NotAhead));
    assert_eq!(
        host.deliver(V1, &message("m"), LIMIT, &mut kernel).unwrap(),
        serial(&reader(), LIMIT).0
    );
}
