//! What survives a crank and what does not: vat-fatal syscalls, aborts, panics, meters, replay.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use capstan_abi::{CapData, Delivery, JsString, Resolution, Syscall, SyscallData, SyscallResult};
use capstan_kernel::{
    KernelPanic,
    ids::{Endpoint, KRef},
    promise::{PromiseState, ResultPolicy},
    vat::VatStatus,
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use support::{Behaviour, Caller, config, idle, kernel, message, method, run};

/// Calls `act` when the vat gets a message `go`, and leaves its result pending.
fn on_go(act: impl Fn(&mut Caller<'_>, &[String]) -> Result<(), String> + 'static) -> Behaviour {
    Box::new(move |delivery, kernel| match delivery {
        Delivery::Message { message, .. } if method(message) == "go" => {
            act(kernel, &message.methargs.slots)
        }
        _ => Ok(()),
    })
}

fn data(body: &str, slots: &[&str]) -> CapData {
    CapData { body: body.to_owned(), slots: slots.iter().map(|slot| (*slot).to_owned()).collect() }
}

fn go() -> capstan_kernel::capdata::KernelData {
    CapData { body: "#[\"go\",[]]".to_owned(), slots: vec![] }
}

fn resolution(promise: &str, body: &str, slots: &[&str]) -> Resolution {
    Resolution { promise: promise.to_owned(), rejected: false, data: data(body, slots) }
}

fn send_with_result(target: &str, result: &str) -> Syscall {
    Syscall::Send { target: target.to_owned(), message: message("m", &[], Some(result)) }
}

fn status(state: &MemoryState, vat: u64) -> VatStatus {
    view::vat_state(state, VatId(vat)).unwrap().unwrap().status
}

/// The promise that the host was given, settled.
fn settled(state: &MemoryState, promise: KRef) -> (bool, String) {
    let KRef::Promise(number) = promise else { panic!("{promise} is not a promise") };
    match view::promise(state, number).unwrap().unwrap().state {
        PromiseState::Fulfilled(data) => (true, data.body),
        PromiseState::Rejected(data) | PromiseState::RejectedByKernel { data, .. } => {
            (false, data.body)
        }
        PromiseState::Unresolved(_) => panic!("{promise} is not settled"),
    }
}

/// Syscalls that a kernel refuses, each after those that lead to it.
fn illegal_syscalls() -> Vec<(&'static str, Vec<Syscall>)> {
    let root = || "o+0".to_owned();
    vec![
        ("an unknown import", vec![send_with_result("o-999", "p+5")]),
        ("a malformed reference", vec![send_with_result("o+00", "p+5")]),
        ("an exported device node", vec![send_with_result("d+3", "p+5")]),
        (
            "a result used twice",
            vec![send_with_result("o+0", "p+5"), send_with_result("o+0", "p+5")],
        ),
        (
            "a promise that it does not decide",
            vec![
                send_with_result("o+0", "p+5"),
                Syscall::Resolve { resolutions: vec![resolution("p+5", "#1", &[])] },
            ],
        ),
        (
            "a promise settled twice in a batch",
            vec![Syscall::Resolve {
                resolutions: vec![resolution("p+6", "#1", &[]), resolution("p+6", "#2", &[])],
            }],
        ),
        (
            "a promise settled to a promise",
            vec![Syscall::Resolve { resolutions: vec![resolution("p+6", "#\"&0\"", &["p+7"])] }],
        ),
        (
            "an object settled",
            vec![Syscall::Resolve { resolutions: vec![resolution("o+0", "#1", &[])] }],
        ),
        ("a subscription to an object", vec![Syscall::Subscribe { promise: root() }]),
        (
            "a call to an object as if it were a device",
            vec![Syscall::CallNow { target: root(), method: "m".into(), args: data("#[]", &[]) }],
        ),
        ("an export dropped as an import", vec![Syscall::DropImports { refs: vec![root()] }]),
        ("a reachable export retired", vec![Syscall::RetireExports { refs: vec![root()] }]),
        (
            "an export that is not there abandoned",
            vec![Syscall::AbandonExports { refs: vec!["o+9".to_owned()] }],
        ),
        (
            "unreadable exit data",
            vec![Syscall::Exit { is_failure: false, info: data("nonsense", &[]) }],
        ),
        ("a key that is too long", vec![Syscall::VatstoreGet { key: "k".repeat(70_000).into() }]),
        (
            "too many slots",
            vec![Syscall::Exit { is_failure: false, info: data("#1", &["o+0"; 10_001]) }],
        ),
    ]
}

#[test]
fn illegal_syscalls_kill_the_vat_and_nothing_else() {
    for (what, syscalls) in illegal_syscalls() {
        let behaviour = move |kernel: &mut Caller<'_>, _: &[String]| {
            for syscall in &syscalls {
                let last = kernel.call(syscall.clone())?;
                if let SyscallResult::Error(text) = last {
                    assert_eq!(text, "syscall translation error: prepare to die");
                }
            }
            Ok(())
        };
        let behaviour = Rc::new(behaviour);
        let factory = Box::new(move |_, bundle: &str| match bundle {
            "b1-victim" => {
                let behaviour = Rc::clone(&behaviour);
                on_go(move |kernel, slots| behaviour(kernel, slots))
            }
            _ => idle(),
        });
        let (mut kernel, mut state) = kernel(&config("boot", &["boot", "victim"]), factory);
        let sent = kernel.queue_to_vat_root(&mut state, "victim", go(), ResultPolicy::Ignore);
        let result = sent.unwrap().unwrap();
        run(&mut kernel, &mut state);
        let (fulfilled, body) = settled(&state, result);
        assert!(!fulfilled, "{what}: the caller was answered");
        assert!(body.contains("vat terminated"), "{what}: {body}");
        match status(&state, 3) {
            VatStatus::Terminated(ending) | VatStatus::Cleaned(ending) => {
                assert!(ending.info.contains("prepare to die"), "{what}: {}", ending.info);
            }
            VatStatus::Running => panic!("{what}: the vat lives on"),
        }
        assert_eq!(status(&state, 1), VatStatus::Running, "{what}");
        assert_eq!(view::vat_by_name(&state, "victim").unwrap(), None, "{what}");
        let left = view::clist(&state, Endpoint::Vat(VatId(3))).unwrap();
        assert!(left.is_empty(), "{what}: {left:?} was not cleaned up");
    }
}

#[test]
fn an_aborted_crank_takes_back_what_was_sent_and_stored() {
    let factory = Box::new(|_, bundle: &str| match bundle {
        "b1-sender" => on_go(|kernel, _| {
            kernel.send("o+0", "never", &[], None);
            kernel.call(Syscall::VatstoreSet { key: "k".into(), value: "v".into() })?;
            Err("it went wrong".to_owned())
        }),
        _ => idle(),
    });
    let (mut kernel, mut state) = kernel(&config("boot", &["boot", "sender"]), factory);
    run(&mut kernel, &mut state);
    let before = view::kernel_status(&state).unwrap();
    let result = kernel.queue_to_vat_root(&mut state, "sender", go(), ResultPolicy::Ignore);
    run(&mut kernel, &mut state);
    let after = view::kernel_status(&state).unwrap();
    assert!(after.cranks > before.cranks, "what was aborted still counts as cranks");
    assert_eq!(after.run_queue + after.acceptance_queue, 0);
    assert!(settled(&state, result.unwrap().unwrap()).1.contains("vat terminated"));
    let VatStatus::Cleaned(ending) = status(&state, 3) else { panic!("the vat lives on") };
    assert!(ending.info.contains("it went wrong"));
}

#[test]
fn exit_with_failure_undoes_the_crank_and_exit_does_not() {
    for (is_failure, delivered) in [(false, true), (true, false)] {
        let heard = Rc::new(Cell::new(false));
        let ears = Rc::clone(&heard);
        let factory = Box::new(move |_, bundle: &str| match bundle {
            "b1-boot" => Box::new(|delivery: &Delivery, kernel: &mut Caller<'_>| {
                // Introduces mortal (2) to ears (1); the roots come in the order of the names.
                if let Delivery::Message { message, .. } = delivery {
                    let slots = &message.methargs.slots;
                    kernel.send(&slots[2], "go", &[&slots[1]], None);
                }
                Ok(())
            }) as Behaviour,
            "b1-mortal" => on_go(move |kernel, slots| {
                kernel.send(&slots[0], "last words", &[], None);
                let info = data("#\"bye\"", &[]);
                kernel.call(Syscall::Exit { is_failure, info }).map(|_| ())
            }),
            "b1-ears" => {
                let ears = Rc::clone(&ears);
                Box::new(move |delivery: &Delivery, _: &mut Caller<'_>| {
                    ears.set(ears.get() || matches!(delivery, Delivery::Message { .. }));
                    Ok(())
                })
            }
            _ => idle(),
        });
        let (mut kernel, mut state) = kernel(&config("boot", &["boot", "ears", "mortal"]), factory);
        run(&mut kernel, &mut state);
        assert_eq!(heard.get(), delivered, "is_failure {is_failure}");
    }
}

#[test]
fn the_end_of_a_critical_vat_stops_the_kernel_for_good() {
    let factory = Box::new(|_, bundle: &str| match bundle {
        "b1-heart" => on_go(|kernel, _| {
            let info = data("#\"I resign\"", &[]);
            kernel.call(Syscall::Exit { is_failure: false, info }).map(|_| ())
        }),
        _ => idle(),
    });
    let mut config = config("boot", &["boot", "heart"]);
    config.vats.get_mut("heart").unwrap().critical = true;
    let (mut kernel, mut state) = kernel(&config, factory);
    run(&mut kernel, &mut state);
    kernel.queue_to_vat_root(&mut state, "heart", go(), ResultPolicy::Ignore).unwrap();
    for _ in 0..2 {
        let panic = kernel.run(&mut state, &mut capstan_kernel::policy::Forever).unwrap_err();
        let expected = KernelPanic::CriticalVat { vat: VatId(3), info: "#\"I resign\"".to_owned() };
        assert_eq!(panic, expected);
        assert!(panic.is_consensus());
    }
}

#[test]
fn a_vat_that_differs_in_replay_is_found_out() {
    let lies = Rc::new(Cell::new(false));
    let changed = Rc::clone(&lies);
    let factory = Box::new(move |_, bundle: &str| match bundle {
        "b1-liar" => {
            let key = if changed.get() { "other" } else { "key" };
            on_go(move |kernel, _| {
                kernel.call(Syscall::VatstoreGet { key: key.into() }).map(|_| ())
            })
        }
        _ => idle(),
    });
    let (mut kernel, mut state) = kernel(&config("boot", &["boot", "liar"]), factory);
    kernel.queue_to_vat_root(&mut state, "liar", go(), ResultPolicy::Ignore).unwrap();
    run(&mut kernel, &mut state);
    lies.set(true);
    kernel.evict_all();
    kernel.queue_to_vat_root(&mut state, "liar", go(), ResultPolicy::Ignore).unwrap();
    let panic = kernel.run(&mut state, &mut capstan_kernel::policy::Forever).unwrap_err();
    let text = panic.to_string();
    assert!(text.starts_with("anachrophobia in v3 delivery d2: wrong syscall 0"), "{text}");
    assert!(!panic.is_consensus());
}

/// The keys of a vat's store, in the order in which it walks them.
fn walk(kernel: &mut Caller<'_>) -> Result<Vec<JsString>, String> {
    let mut keys = vec![];
    let mut prior = JsString::default();
    loop {
        match kernel.call(Syscall::VatstoreGetNextKey { prior })? {
            SyscallResult::Ok(SyscallData::Text(key)) => keys.push(key.clone()),
            SyscallResult::Ok(_) => return Ok(keys),
            SyscallResult::Error(text) => return Err(text),
        }
        prior = keys[keys.len() - 1].clone();
    }
}

#[test]
fn keys_with_lone_surrogates_are_found_walked_deleted_and_replayed() {
    let walks = Rc::new(RefCell::new(vec![]));
    let text = |json: &str| JsString::from_json(json).unwrap();
    // In the order of code points.
    let all = [
        "\"sa\"",
        "\"s\u{d7ff}\"",
        r#""s\ud800""#,
        r#""s\ud800.x""#,
        r#""s\ud83d""#,
        r#""s\udc00\ud800""#,
        r#""s\udfff""#,
        "\"s\u{e000}\"",
        r#""s\ud800\udc00""#,
        r#""s\ud83d\ude00""#,
    ];
    let all = all.map(text);
    let (keys, seen) = (all.clone(), Rc::clone(&walks));
    let factory = Box::new(move |_, bundle: &str| {
        let (keys, seen) = (keys.clone(), Rc::clone(&seen));
        match bundle {
            "b1-keeper" => on_go(move |kernel, _| {
                for key in keys.iter().rev() {
                    let (key, value) = (key.clone(), key.clone());
                    kernel.call(Syscall::VatstoreSet { key, value })?;
                }
                for key in &keys {
                    let found = kernel.call(Syscall::VatstoreGet { key: key.clone() })?;
                    assert_eq!(found, SyscallResult::Ok(SyscallData::Text(key.clone())));
                }
                seen.borrow_mut().push(walk(kernel)?);
                kernel.call(Syscall::VatstoreDelete { key: keys[2].clone() })?;
                seen.borrow_mut().push(walk(kernel)?);
                Ok(())
            }),
            _ => idle(),
        }
    });
    let (mut kernel, mut state) = kernel(&config("boot", &["boot", "keeper"]), factory);
    for round in 0..2 {
        kernel.queue_to_vat_root(&mut state, "keeper", go(), ResultPolicy::Ignore).unwrap();
        run(&mut kernel, &mut state);
        let walks = std::mem::take(&mut *walks.borrow_mut());
        // In the second round the first is replayed, which is where a difference would be a panic.
        assert_eq!(walks.len(), [2, 4][round]);
        assert_eq!(walks[walks.len() - 2], all);
        assert_eq!(walks[walks.len() - 1], [&all[..2], &all[3..]].concat());
        kernel.evict_all();
    }
    assert_eq!(status(&state, 3), VatStatus::Running);
}

#[test]
fn queries_see_what_the_kernel_did_not_change() {
    let (mut kernel, mut state) = kernel(&config("boot", &["boot"]), Box::new(|_, _| idle()));
    run(&mut kernel, &mut state);
    let chain = view::kernel_status(&state).unwrap().crank_chain;
    let report = kernel.run(&mut state, &mut capstan_kernel::policy::Forever).unwrap();
    assert!(report.idle && report.cranks == 0);
    assert_eq!(view::kernel_status(&state).unwrap().crank_chain, chain, "an idle run left a trace");
    assert!(!view::is_busy(&state).unwrap());
}

#[test]
fn a_vat_that_cannot_bring_out_its_dead_for_a_snapshot_ends() {
    // The first snapshot is due at three entries: the worker's start, startVat and one message.
    let factory = Box::new(|_, bundle: &str| match bundle {
        "b1-undead" => Box::new(|delivery: &Delivery, _: &mut Caller<'_>| match delivery {
            Delivery::BringOutYourDead => Err("they stay".to_owned()),
            _ => Ok(()),
        }) as Behaviour,
        _ => idle(),
    });
    let (mut kernel, mut state) = kernel(&config("boot", &["boot", "undead"]), factory);
    kernel.queue_to_vat_root(&mut state, "undead", go(), ResultPolicy::Ignore).unwrap();
    run(&mut kernel, &mut state);
    let VatStatus::Cleaned(ending) = status(&state, 3) else { panic!("the vat lives on") };
    assert!(ending.info.contains("they stay"), "{}", ending.info);
}
