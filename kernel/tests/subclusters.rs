//! Subclusters, and what concerns all vats at once: the vat table survives the kernel, the default
//! subcluster is launched once, a reset kernel is a new one.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_abi::{CapData, Delivery};
use capstan_kernel::{
    Kernel, NodeOptions, StaticVat,
    ids::KRef,
    promise::ResultPolicy,
    subcluster::{LaunchError, SubclusterConfig},
    vat::VatStatus,
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use support::{Caller, ClosureHost, Factory, config, kernel, method, run};

type Log = Rc<RefCell<Vec<String>>>;

/// Vats that log what they are called, and count their calls on the heap.
fn factory(log: &Log) -> Factory {
    let log = Rc::clone(log);
    Box::new(move |vat: VatId, _: &str| {
        let (log, mut calls) = (Rc::clone(&log), 0);
        Box::new(move |delivery: &Delivery, _: &mut Caller<'_>| {
            if let Delivery::Message { message, .. } = delivery {
                calls += 1;
                let slots = message.methargs.slots.len();
                log.borrow_mut().push(format!("{vat} {} {slots} #{calls}", method(message)));
            }
            Ok(())
        })
    })
}

fn cluster(bootstrap: Option<&str>, names: &[&str]) -> SubclusterConfig {
    let vat = |name: &&str| ((*name).to_owned(), StaticVat::new("b1-boot"));
    SubclusterConfig {
        bootstrap: bootstrap.map(str::to_owned),
        vats: names.iter().map(vat).collect(),
        ..SubclusterConfig::default()
    }
}

fn started() -> (Kernel<ClosureHost>, MemoryState, Log) {
    let log = Log::default();
    let (mut kernel, mut state) = kernel(&config("boot", &["boot"]), factory(&log));
    run(&mut kernel, &mut state);
    log.borrow_mut().clear();
    (kernel, state, log)
}

fn call(kernel: &mut Kernel<ClosureHost>, state: &mut MemoryState, vat: VatId) {
    let root = kernel.vat_root(state, vat).unwrap().unwrap();
    let methargs = CapData { body: "#[\"hello\",[]]".to_owned(), slots: vec![] };
    kernel.queue_to_object(state, root, methargs, ResultPolicy::Ignore).unwrap();
    run(kernel, state);
}

#[test]
fn a_subcluster_is_started_and_introduced() {
    let (mut kernel, mut state, log) = started();
    let launched =
        kernel.launch_subcluster(&mut state, &cluster(Some("b"), &["a", "b", "c"])).unwrap();
    let members = [("a", VatId(3)), ("b", VatId(4)), ("c", VatId(5))];
    assert_eq!(launched.vats, members.map(|(name, vat)| (name.to_owned(), vat)));
    assert!(matches!(launched.bootstrap_result, Some(KRef::Promise(_))));
    run(&mut kernel, &mut state);
    assert_eq!(log.take(), ["v4 bootstrap 3 #1"]);
    for (_, vat) in &launched.vats {
        assert_eq!(view::vat_state(&state, *vat).unwrap().unwrap().status, VatStatus::Running);
    }
}

#[test]
fn what_cannot_be_launched_starts_nothing() {
    let (mut kernel, mut state, _) = started();
    let mut unknown = cluster(None, &["a", "b"]);
    unknown.vats.push(("c".to_owned(), StaticVat::new("b1-nowhere")));
    let refused = kernel.launch_subcluster(&mut state, &unknown).unwrap_err();
    assert_eq!(refused.to_string(), "vat c: bundle b1-nowhere is not installed");
    let refused = kernel.launch_subcluster(&mut state, &cluster(Some("x"), &["a"])).unwrap_err();
    assert_eq!(refused, LaunchError::NoBootstrapVat("x".to_owned()));
    assert_eq!(view::live_vats(&state).unwrap().len(), 2);
    assert!(!view::is_busy(&state).unwrap());
}

#[test]
fn the_default_subcluster_is_launched_once_in_the_life_of_a_state() {
    let (mut kernel, mut state, _) = started();
    let config = cluster(Some("a"), &["a", "b"]);
    assert!(kernel.launch_default_subcluster(&mut state, &config).unwrap().is_some());
    run(&mut kernel, &mut state);
    assert!(kernel.launch_default_subcluster(&mut state, &config).unwrap().is_none());
    // Nor by another process.
    let log = Log::default();
    let mut second = Kernel::new(ClosureHost::new(factory(&log)), NodeOptions::default());
    assert!(second.launch_default_subcluster(&mut state, &config).unwrap().is_none());
    assert_eq!(view::live_vats(&state).unwrap().len(), 4);
}

#[test]
fn a_kernel_that_is_started_again_knows_its_vats() {
    let (mut kernel, mut state, log) = started();
    let vat = kernel.start_vat(&mut state, "worker", &StaticVat::new("b1-boot")).unwrap();
    let unstarted = kernel.run_vat(&mut state, vat);
    assert_eq!(unstarted, Ok(()), "there is nothing yet to bring back");
    run(&mut kernel, &mut state);
    call(&mut kernel, &mut state, vat);
    let root = view::kernel_status(&state).unwrap().crank_chain;
    drop(kernel);
    let heard = log.take();
    let mut second = Kernel::new(ClosureHost::new(factory(&log)), NodeOptions::default());
    for vat in view::live_vats(&state).unwrap() {
        second.run_vat(&mut state, vat).unwrap();
    }
    assert_eq!(view::kernel_status(&state).unwrap().crank_chain, root, "it leaves no trace");
    assert!(log.take().ends_with(&heard), "it was replayed");
    call(&mut second, &mut state, vat);
    assert_eq!(log.take(), [format!("{vat} hello 0 #2")]);
}

#[test]
fn the_root_of_a_vat_that_the_host_started_is_held_as_long_as_the_vat_lives() {
    let (mut kernel, mut state, log) = started();
    let vat = kernel.start_vat(&mut state, "worker", &StaticVat::new("b1-boot")).unwrap();
    run(&mut kernel, &mut state);
    let root = kernel.vat_root(&mut state, vat).unwrap();
    for _ in 0..2 {
        call(&mut kernel, &mut state, vat);
    }
    assert_eq!(kernel.vat_root(&mut state, vat).unwrap(), root, "it was never dropped");
    assert_eq!(log.take(), ["v3 hello 0 #1", "v3 hello 0 #2"]);
    let reason = CapData { body: "#\"over\"".to_owned(), slots: vec![] };
    kernel.terminate_vat(&mut state, vat, &reason).unwrap();
    run(&mut kernel, &mut state);
    let Some(KRef::Object(number)) = root else { panic!("{root:?}") };
    assert_eq!(view::object(&state, number).unwrap(), None, "nothing is left of it");
}

#[test]
fn all_vats_end_and_none_comes_back() {
    let (mut kernel, mut state, log) = started();
    let vat = kernel.start_vat(
        &mut state,
        "heart",
        &StaticVat { critical: true, ..StaticVat::new("b1-boot") },
    );
    let vat = vat.unwrap();
    run(&mut kernel, &mut state);
    let reason = CapData { body: "#\"over\"".to_owned(), slots: vec![] };
    let ended = kernel.terminate_all_vats(&mut state, &reason).unwrap();
    assert_eq!(ended, [VatId(1), VatId(2), vat]);
    run(&mut kernel, &mut state);
    assert!(view::live_vats(&state).unwrap().is_empty());
    assert_eq!(kernel.run_vat(&mut state, vat), Err(LaunchError::NotRunning(vat)));
    let status = view::vat_state(&state, vat).unwrap().unwrap().status;
    let VatStatus::Cleaned(ending) = status else { panic!("{status:?}") };
    assert_eq!(ending.info, "#\"over\"", "the table remembers");
    // New vats can be started all the same.
    log.borrow_mut().clear();
    let next = kernel.start_vat(&mut state, "next", &StaticVat::new("b1-boot")).unwrap();
    run(&mut kernel, &mut state);
    assert!(next > vat, "ids are never used again");
    assert_eq!(view::live_vats(&state).unwrap(), [next]);
}

#[test]
fn a_reset_kernel_is_a_new_one() {
    let log = Log::default();
    let config = config("boot", &["boot"]);
    let (mut kernel, mut state) = kernel(&config, factory(&log));
    run(&mut kernel, &mut state);
    let fresh = view::dump(&state).unwrap();
    let chain = view::kernel_status(&state).unwrap().crank_chain;
    kernel.launch_default_subcluster(&mut state, &cluster(Some("a"), &["a", "b"])).unwrap();
    run(&mut kernel, &mut state);
    assert_ne!(view::dump(&state).unwrap(), fresh);
    kernel.reset(&mut state, &config).unwrap();
    run(&mut kernel, &mut state);
    assert_eq!(view::dump(&state).unwrap(), fresh);
    assert_eq!(view::kernel_status(&state).unwrap().crank_chain, chain);
    let again = kernel.launch_default_subcluster(&mut state, &cluster(None, &["a"])).unwrap();
    assert!(again.is_some(), "the flag went with the state");
}
