//! Deliveries that are run before their turn: which of them count, and what is left of the others.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};

use capstan_abi::{DeliveryResult, Syscall, SyscallData, SyscallResult};
use capstan_kernel_ports::{
    Computrons, Hash,
    ahead::{Ahead, Errand, Expected, Made, Turn},
    host::{Delivered, VatHost, WorkerOptions, WorkerSource},
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

/// Begins two runs, and waits until a thread has taken up the first. The worker does not read the same key twice.
fn begin_two(host: &mut WasmHost, told: Told, limits: [Computrons; 2]) -> Receiver<()> {
    let (asked, hears) = channel();
    let answers = Box::new(Teller { told, asked });
    let [first, then] = limits.map(|limit| Expected { delivery: message("m"), limit });
    host.run_ahead(Ahead { vat: V1, first, then: vec![then], answers, then_snapshot: false });
    hears.recv().unwrap();
    hears
}

/// What two deliveries come to that are not run ahead.
fn serial_two() -> ([Delivered; 2], Option<Hash>, Vec<Syscall>) {
    let mut host = open(HostOptions::default());
    start(&mut host, V1, &reader());
    let mut kernel = Answers::default();
    let mut deliver = || host.deliver(V1, &message("m"), LIMIT, &mut kernel).unwrap();
    let delivered = [deliver(), deliver()];
    (delivered, host.heap(V1).map(|(hash, _)| hash), kernel.syscalls)
}

#[test]
fn a_second_run_counts_after_the_first() {
    for told in [Told::Same, Told::Unknown] {
        let (delivered, heap, syscalls) = serial_two();
        let mut host = parallel(&reader());
        let hears = begin_two(&mut host, told, [LIMIT; 2]);
        let mut kernel = Answers::default();
        for expected in delivered {
            assert!(host.is_running(V1));
            match turn(&mut host, LIMIT, &mut kernel) {
                Turn::Done(Ok(found)) => assert_eq!(found, expected, "{told:?}"),
                other => panic!("{told:?}: {other:?}"),
            }
            // Its size is known while the worker goes on.
            assert!(host.memory_bytes(V1) > 0);
        }
        assert_eq!(kernel.syscalls, syscalls, "{told:?}");
        assert_eq!(host.heap(V1).map(|(hash, _)| hash), heap, "{told:?}");
        let usage = host.usage();
        assert_eq!((usage.ahead_begun(), usage.ahead_counted()), (2, 2));
        assert_eq!((usage.ahead_chained(), usage.ahead_lost()), (1, 0));
        while hears.recv().is_ok() {}
    }
}

#[test]
fn a_second_run_is_lost_with_the_first() {
    let mut host = parallel(&reader());
    let hears = begin_two(&mut host, Told::Other, [LIMIT; 2]);
    let mut kernel = Answers::default();
    assert!(matches!(turn(&mut host, LIMIT, &mut kernel), Turn::Lost(made) if made.len() == 1));
    assert!(!host.is_running(V1) && host.usage().ahead_chained() == 0);
    assert!(matches!(turn(&mut host, LIMIT, &mut kernel), Turn::NotAhead));
    while hears.recv().is_ok() {}
}

#[test]
fn a_second_run_does_not_begin_if_the_first_fails() {
    let Computrons(spent) = serial(&reader(), LIMIT).0.computrons.unwrap();
    let less = Computrons(spent - 1);
    let mut host = parallel(&reader());
    let hears = begin_two(&mut host, Told::Same, [less, LIMIT]);
    let mut kernel = Answers::default();
    let Turn::Done(Ok(first)) = turn(&mut host, less, &mut kernel) else { panic!("is lost") };
    assert_eq!(first, serial(&reader(), less).0);
    // The worker is gone, as after a fault at its turn.
    assert!(!host.is_running(V1));
    assert!(matches!(turn(&mut host, LIMIT, &mut kernel), Turn::NotAhead));
    while hears.recv().is_ok() {}
}

#[test]
fn another_delivery_comes_between_two_runs() {
    let mut host = parallel(&reader());
    let _hears = begin_two(&mut host, Told::Same, [LIMIT; 2]);
    let mut kernel = Answers::default();
    assert!(matches!(turn(&mut host, LIMIT, &mut kernel), Turn::Done(Ok(_))));
    let other = host.take_turn(V1, &message("other"), LIMIT, &mut kernel);
    assert!(matches!(other, Turn::Lost(made) if made.is_empty()) && !host.is_running(V1));
}

#[test]
fn a_worker_is_stopped_between_two_runs() {
    for told in [Told::Same, Told::Unknown] {
        let mut host = parallel(&reader());
        let hears = begin_two(&mut host, told, [LIMIT; 2]);
        let mut kernel = Answers::default();
        assert!(matches!(turn(&mut host, LIMIT, &mut kernel), Turn::Done(Ok(_))));
        host.stop(V1);
        assert!(!host.is_running(V1) && host.usage().ahead_lost() == 1);
        while hears.recv().is_ok() {}
    }
}

/// Brings a worker that has had one delivery into memory. It waits until it is told to go on.
fn comes_back(module: &[u8], goes_on: Receiver<()>, began: Sender<()>) -> Errand {
    let source = WorkerSource::Wasm { module: module.to_vec() };
    Box::new(move |host| {
        began.send(()).unwrap();
        goes_on.recv().unwrap();
        host.start(V1, &source, &WorkerOptions::default()).unwrap().verdict.unwrap();
        host.deliver(V1, &message("m"), LIMIT, &mut Answers::default()).unwrap();
        Some(42)
    })
}

#[test]
fn a_worker_comes_back_on_another_thread() {
    let mut host = open(HostOptions { threads: 2, ..HostOptions::default() });
    let ((go, goes_on), (began, begins)) = (channel(), channel());
    host.prepare(V1, comes_back(&reader(), goes_on, began));
    begins.recv().unwrap();
    assert!(!host.is_running(V1), "it is not there before its turn");
    go.send(()).unwrap();
    assert_eq!(host.take_prepared(V1), Some(42));
    assert!(host.is_running(V1));
    assert_eq!(host.heap(V1).map(|(hash, _)| hash), serial(&reader(), LIMIT).1);
    let delivered = host.deliver(V1, &message("m"), LIMIT, &mut Answers::default()).unwrap();
    assert_eq!(delivered, serial_two().0[1]);
    let usage = host.usage();
    assert_eq!((usage.prepared_begun(), usage.prepared_counted()), (1, 1));
    assert_eq!(host.take_prepared(V1), None, "there is one");
}

#[test]
fn a_worker_that_does_not_come_back_is_not_there() {
    let works: [fn() -> Errand; 3] = [
        || Box::new(|_| None),
        || Box::new(|_| panic!("on purpose")),
        // It says that it has brought a worker, and has none.
        || Box::new(|_| Some(1)),
    ];
    for work in works {
        let mut host = open(HostOptions { threads: 2, ..HostOptions::default() });
        host.prepare(V1, work());
        assert_eq!(host.take_prepared(V1), None);
        assert!(!host.is_running(V1));
    }
}

#[test]
fn a_worker_that_comes_back_is_stopped() {
    let mut host = open(HostOptions { threads: 2, ..HostOptions::default() });
    let ((go, goes_on), (began, begins)) = (channel(), channel());
    host.prepare(V1, comes_back(&reader(), goes_on, began));
    begins.recv().unwrap();
    host.stop(V1);
    go.send(()).unwrap();
    assert_eq!(host.take_prepared(V1), None);
    assert!(!host.is_running(V1));
}

#[test]
fn one_thread_prepares_nothing() {
    let mut host = open(HostOptions { threads: 1, ..HostOptions::default() });
    host.prepare(V1, Box::new(|_| panic!("on purpose")));
    host.load_ahead(Box::new(|_| panic!("on purpose")));
    assert_eq!(host.take_prepared(V1), None);
    assert_eq!((host.usage().prepared_begun(), host.usage().loads_ahead()), (0, 0));
}

#[test]
fn loads_under_way_are_bounded() {
    let mut host = open(HostOptions { threads: 2, ..HostOptions::default() });
    let (go, goes_on) = channel::<()>();
    let goes_on = std::sync::Arc::new(std::sync::Mutex::new(goes_on));
    for _ in 0..100 {
        let goes_on = std::sync::Arc::clone(&goes_on);
        host.load_ahead(Box::new(move |_| {
            let _ = goes_on.lock().unwrap().recv();
            None
        }));
    }
    assert_eq!(host.usage().loads_ahead(), host.ahead_plan().capacity as u64);
    drop(go);
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
