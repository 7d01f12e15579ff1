//! Launches that fail while what they led to goes on: a result that was passed on, a vat that is critical.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::{CapData, Delivery, Resolution, Syscall};
use capstan_kernel::{
    Kernel, KernelConfig, KernelPanic, StaticVat,
    ids::KRef,
    policy::Forever,
    promise::PromiseState,
    service::{NewService, ServiceKind},
    subcluster::{News, Subcluster, SubclusterConfig, SubclusterId},
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use support::{Behaviour, Caller, ClosureHost, config, idle, kernel, method, run};

/// A vat whose `bootstrap` passes its result on to the object of its parameters. It ends its neighbour before or after.
fn relay(dies_first: bool) -> Behaviour {
    let mut target = String::new();
    Box::new(move |delivery, caller| {
        match delivery {
            Delivery::StartVat { parameters } => target.clone_from(&parameters.slots[0]),
            Delivery::Message { message, .. } => {
                let neighbour = message.methargs.slots[0].clone();
                let result = message.result.as_deref();
                let mut step = |is_end: bool| match is_end {
                    true => caller.send(&neighbour, "end", &[], None),
                    false => caller.send(&target, "work", &[], result),
                };
                step(dies_first);
                step(!dies_first);
            }
            _ => {}
        }
        Ok(())
    })
}

/// A vat that answers its last `work` when it is told to `answer`.
fn worker() -> Behaviour {
    let mut waiting = None;
    Box::new(move |delivery, caller| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        match method(message).as_str() {
            "work" => waiting.clone_from(&message.result),
            _ => answer(caller, waiting.take())?,
        }
        Ok(())
    })
}

fn answer(caller: &mut Caller<'_>, promise: Option<String>) -> Result<(), String> {
    let Some(promise) = promise else { return Ok(()) };
    let data = CapData { body: "#\"done\"".to_owned(), slots: vec![] };
    let resolutions = vec![Resolution { promise, rejected: false, data }];
    caller.call(Syscall::Resolve { resolutions }).map(drop)
}

fn rejecting() -> Behaviour {
    Box::new(|delivery, caller| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        let Some(promise) = message.result.clone() else { return Err("told to fail".to_owned()) };
        let data = CapData { body: "#\"no\"".to_owned(), slots: vec![] };
        let resolutions = vec![Resolution { promise, rejected: true, data }];
        caller.call(Syscall::Resolve { resolutions }).map(drop)
    })
}

fn genesis() -> KernelConfig {
    let mut config = config("boot", &["boot", "worker"]);
    for name in ["first", "last", "mortal", "rejecting", "agreeing", "leaving"] {
        config.bundles.insert(format!("b1-{name}"), name.as_bytes().to_vec());
    }
    let facet = NewService { kind: ServiceKind::Facet, system_only: true };
    config.services.insert("facet".to_owned(), facet);
    config
}

fn started() -> (Kernel<ClosureHost>, MemoryState) {
    let factory = Box::new(|_, bundle: &str| match bundle {
        "b1-first" => relay(true),
        "b1-last" => relay(false),
        "b1-worker" => worker(),
        "b1-rejecting" => rejecting(),
        "b1-agreeing" => Box::new(|delivery: &Delivery, caller: &mut Caller<'_>| match delivery {
            Delivery::Message { message, .. } if message.result.is_none() => Err("ends".to_owned()),
            Delivery::Message { message, .. } => answer(caller, message.result.clone()),
            _ => Ok(()),
        }),
        "b1-leaving" => Box::new(|delivery: &Delivery, caller: &mut Caller<'_>| match delivery {
            Delivery::Message { .. } => {
                let info = CapData { body: "#\"bye\"".to_owned(), slots: vec![] };
                caller.call(Syscall::Exit { is_failure: false, info }).map(drop)
            }
            _ => Ok(()),
        }),
        "b1-mortal" => Box::new(|delivery: &Delivery, _: &mut Caller<'_>| match delivery {
            Delivery::Message { .. } => Err("ends".to_owned()),
            _ => Ok(()),
        }),
        _ => idle(),
    });
    let (mut kernel, mut state) = kernel(&genesis(), factory);
    run(&mut kernel, &mut state);
    (kernel, state)
}

/// Launches a relay with a neighbour that ends. Its result goes to `target`.
fn launch(
    kernel: &mut Kernel<ClosureHost>,
    state: &mut MemoryState,
    relay: &str,
    target: KRef,
) -> Subcluster {
    let mut vat = StaticVat::new(format!("b1-{relay}"));
    // Only such a vat may send on a promise that it has.
    vat.enable_pipelining = true;
    vat.parameters = CapData { body: "#{\"to\":\"$0\"}".to_owned(), slots: vec![target] };
    let vats = vec![("relay".to_owned(), vat), ("a".to_owned(), StaticVat::new("b1-mortal"))];
    let bootstrap = Some("relay".to_owned());
    let config = SubclusterConfig { bootstrap, vats, ..SubclusterConfig::default() };
    let launched = kernel.launch_subcluster(state, &config).unwrap();
    run(kernel, state);
    launched
}

fn tell(kernel: &mut Kernel<ClosureHost>, state: &mut MemoryState, target: KRef, method: &str) {
    let methargs = CapData { body: format!("#[\"{method}\",[]]"), slots: vec![] };
    kernel.post_to_object(state, target, methargs).unwrap();
    run(kernel, state);
}

fn worker_root(kernel: &mut Kernel<ClosureHost>, state: &mut MemoryState) -> (VatId, KRef) {
    let vat = view::vat_by_name(state, "worker").unwrap().unwrap();
    (vat, kernel.vat_root(state, vat).unwrap().unwrap())
}

#[test]
fn a_result_that_travels_when_its_launch_fails_stops_no_kernel() {
    let (mut kernel, mut state) = started();
    let (vat, root) = worker_root(&mut kernel, &mut state);
    // The neighbour ends before the worker gets the message, whose result the kernel has rejected by then.
    launch(&mut kernel, &mut state, "first", root);
    assert!(kernel.take_notices().iter().any(|notice| matches!(notice.news, News::Failed(_))));
    tell(&mut kernel, &mut state, root, "answer");
    assert!(view::live_vats(&state).unwrap().contains(&vat));
}

#[test]
fn whoever_has_the_result_of_a_launch_that_failed_settles_it_as_ever() {
    let (mut kernel, mut state) = started();
    let (vat, root) = worker_root(&mut kernel, &mut state);
    let launched = launch(&mut kernel, &mut state, "last", root);
    assert_eq!(view::subcluster(&state, launched.id).unwrap(), None, "the launch has failed");
    tell(&mut kernel, &mut state, root, "answer");
    assert!(view::live_vats(&state).unwrap().contains(&vat), "it did nothing wrong");
    let Some(KRef::Promise(result)) = launched.bootstrap_result else { panic!("{launched:?}") };
    let settled = view::promise(&state, result).unwrap().unwrap();
    assert!(matches!(settled.state, PromiseState::Fulfilled(_)), "{settled:?}");
}

#[test]
fn a_service_gets_a_message_whose_result_was_rejected_on_its_way() {
    for relay in ["first", "last"] {
        let (mut kernel, mut state) = started();
        let facet = view::service(&state, "facet").unwrap().unwrap().kref;
        launch(&mut kernel, &mut state, relay, facet);
        assert_eq!(view::live_vats(&state).unwrap().len(), 3, "{relay}");
    }
}

/// Launches a critical vat of that bundle.
fn launch_critical(
    kernel: &mut Kernel<ClosureHost>,
    state: &mut MemoryState,
    bundle: &str,
) -> KRef {
    let mut vat = StaticVat::new(format!("b1-{bundle}"));
    vat.critical = true;
    let vats = vec![("only".to_owned(), vat)];
    let bootstrap = Some("only".to_owned());
    let config = SubclusterConfig { bootstrap, vats, ..SubclusterConfig::default() };
    let launched = kernel.launch_subcluster(state, &config).unwrap();
    kernel.vat_root(state, launched.vats[0].1).unwrap().unwrap()
}

#[test]
fn a_critical_vat_whose_launch_fails_stops_no_kernel() {
    // One rejects its bootstrap, one fails in it, and one exits without a failure.
    for bundle in ["rejecting", "mortal", "leaving"] {
        let (mut kernel, mut state) = started();
        launch_critical(&mut kernel, &mut state, bundle);
        run(&mut kernel, &mut state);
        let failed = kernel.take_notices().into_iter().any(|it| matches!(it.news, News::Failed(_)));
        assert!(failed, "{bundle}");
        assert_eq!(view::live_vats(&state).unwrap().len(), 3, "{bundle}");
    }
}

#[test]
fn a_critical_vat_that_ends_after_its_launch_stops_the_kernel() {
    let (mut kernel, mut state) = started();
    let root = launch_critical(&mut kernel, &mut state, "agreeing");
    run(&mut kernel, &mut state);
    let methargs = CapData { body: "#[\"end\",[]]".to_owned(), slots: vec![] };
    kernel.post_to_object(&mut state, root, methargs).unwrap();
    let stopped = kernel.run(&mut state, &mut Forever).unwrap_err();
    assert!(matches!(stopped, KernelPanic::CriticalVat { .. }), "{stopped}");
}

#[test]
fn a_launch_of_a_critical_vat_that_never_answers_can_be_ended() {
    let (mut kernel, mut state) = started();
    launch_critical(&mut kernel, &mut state, "boot");
    run(&mut kernel, &mut state);
    let reason = CapData { body: "#\"enough\"".to_owned(), slots: vec![] };
    kernel.terminate_subcluster(&mut state, SubclusterId(1), &reason).unwrap();
    run(&mut kernel, &mut state);
    assert_eq!(view::live_vats(&state).unwrap().len(), 3);
}
