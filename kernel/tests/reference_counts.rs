//! Random vats exchange random objects and promises, drop, retire, abandon, end and misbehave. After
//! every crank the kernel's counts are compared with counts made from scratch.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::{CapData, Delivery, Resolution, Syscall};
use capstan_kernel::view;
use support::{
    Behaviour, config, idle, kernel,
    model::Model,
    random::{OneCrank, random_vat},
};

const VATS: [&str; 5] = ["a", "b", "boot", "c", "d"];

/// The bootstrap vat: introduces the random vats to each other and is done.
fn introducer() -> Behaviour {
    Box::new(|delivery, kernel| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        let roots: Vec<&str> = message.methargs.slots.iter().map(String::as_str).collect();
        let random = [roots[0], roots[1], roots[3], roots[4]];
        for round in 0..3 {
            for (index, root) in random.iter().enumerate() {
                let result = format!("p+{}", 100 + 10 * round + index);
                kernel.send(root, "meet", &random, Some(&result));
            }
        }
        let data = CapData { body: "#\"done\"".to_owned(), slots: vec![] };
        let promise = message.result.clone().unwrap_or_default();
        let resolutions = vec![Resolution { promise, rejected: false, data }];
        kernel.call(Syscall::Resolve { resolutions }).map(|_| ())
    })
}

/// Runs one seed; returns the crank chain and the number of cranks.
fn soak(seed: u64, cranks: u64, restart_every: Option<u64>, check: bool) -> (String, u64) {
    let factory = Box::new(move |vat, bundle: &str| match bundle {
        "b1-vatAdmin" => idle(),
        "b1-boot" => introducer(),
        _ => random_vat(seed, vat),
    });
    let (mut kernel, mut state) = kernel(&config("boot", &VATS), factory);
    for crank in 0..cranks {
        if restart_every.is_some_and(|every| crank % every == every - 1) {
            kernel.evict_all();
        }
        let report = kernel.run(&mut state, &mut OneCrank);
        let report = report.unwrap_or_else(|panic| panic!("seed {seed} crank {crank}: {panic}"));
        if report.idle {
            break;
        }
        if check {
            let dump = view::dump(&state).unwrap();
            let context = format!("after crank {crank} of seed {seed}");
            Model::of(&state, &dump).check(&dump, &context);
        }
    }
    let status = view::kernel_status(&state).unwrap();
    (status.crank_chain.to_string(), status.cranks)
}

#[test]
fn counts_are_what_is_held_after_every_crank() {
    let mut cranks = 0;
    for seed in 1..=60 {
        cranks += soak(seed, 400, None, true).1;
    }
    assert!(
        cranks > 2_000,
        "only {cranks} cranks were made: the vats died too early to tell anything"
    );
}

#[test]
fn restarts_leave_no_trace() {
    for seed in 1..=25 {
        let unbroken = soak(seed, 300, None, false);
        for every in [1, 3, 17] {
            let broken = soak(seed, 300, Some(every), false);
            assert_eq!(broken, unbroken, "seed {seed}, a restart every {every} cranks");
        }
    }
}
