//! What accounts are told of promises is bounded by what they have acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::{CapData, Delivery, Message, Resolution, Syscall};
use capstan_kernel::{
    Kernel,
    ids::RemoteId,
    limits::{MAX_BODY_BYTES, MAX_TOLD_BYTES},
    view,
};
use capstan_kernel_ports::memory::MemoryState;
use support::{Behaviour, ClosureHost, config, idle, kernel, method, run};

/// A vat that calls an account with promises, all of which lead to one that it was given and never subscribed to.
fn flood() -> Behaviour {
    let (mut kept, mut next) = (vec![], 100);
    Box::new(move |delivery, kernel| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        match method(message).as_str() {
            "provision" => {
                let data = CapData { body: "#\"$0\"".to_owned(), slots: vec!["o+0".to_owned()] };
                let promise = message.result.clone().unwrap();
                let resolutions = vec![Resolution { promise, rejected: false, data }];
                kernel.call(Syscall::Resolve { resolutions })?;
            }
            "keep" => kept.clone_from(&message.methargs.slots),
            _ => {
                let [target, large] = &kept[..] else { return Err("nothing is kept".to_owned()) };
                next += 1;
                let promise = format!("p+{next}");
                let methargs =
                    CapData { body: "#[\"hi\",[\"&0\"]]".to_owned(), slots: vec![promise.clone()] };
                let message = Message { methargs, result: None };
                kernel.call(Syscall::Send { target: target.clone(), message })?;
                let data = CapData { body: "#[\"&0\"]".to_owned(), slots: vec![large.clone()] };
                let resolutions = vec![Resolution { promise, rejected: false, data }];
                kernel.call(Syscall::Resolve { resolutions })?;
            }
        }
        Ok(())
    })
}

struct Victim {
    kernel: Kernel<ClosureHost>,
    state: MemoryState,
    account: RemoteId,
}

impl Victim {
    /// An account, and a vat that holds its object and a promise that was settled with as much as one can be.
    fn new() -> Self {
        let mut config = config("boot", &["boot", "flood"]);
        config.provisioner = Some("flood".to_owned());
        let factory = Box::new(|_, bundle: &str| match bundle {
            "b1-flood" => flood(),
            _ => idle(),
        });
        let (mut kernel, mut state) = kernel(&config, factory);
        run(&mut kernel, &mut state);
        let account = kernel.provision(&mut state, "cap1victim").unwrap();
        run(&mut kernel, &mut state);
        let mut victim = Self { kernel, state, account };
        victim.tell("keep", "\"$0\",\"&1\"", &["ro+1", "rp+1"]);
        let body = format!("#\"{}\"", "x".repeat(MAX_BODY_BYTES - 3));
        let data = CapData { body, slots: vec![] };
        let large = Resolution { promise: "rp+1".to_owned(), rejected: false, data };
        let Self { kernel, state, account } = &mut victim;
        kernel.remote_resolve(state, *account, vec![large]).unwrap();
        victim
    }

    fn tell(&mut self, method: &str, args: &str, slots: &[&str]) {
        let factory = self.kernel.factory(&mut self.state, self.account).unwrap();
        let slots = slots.iter().map(|slot| (*slot).to_owned()).collect();
        let methargs = CapData { body: format!("#[\"{method}\",[{args}]]"), slots };
        self.kernel.remote_send(&mut self.state, self.account, &factory, methargs).unwrap();
        run(&mut self.kernel, &mut self.state);
    }

    /// The notifications in the outbox, and the bytes of their data.
    fn told(&self) -> (usize, u64) {
        let (mut count, mut bytes) = (0, 0);
        for (_, delivery) in view::outbox(&self.state, self.account).unwrap() {
            let Delivery::Notify { resolutions } = delivery else { continue };
            count += 1;
            bytes += resolutions.iter().map(|one| one.data.body.len() as u64).sum::<u64>();
        }
        (count, bytes)
    }

    fn acknowledge(&mut self) {
        let record = view::remote(&self.state, self.account).unwrap().unwrap();
        let last = record.next_outbox - 1;
        self.kernel.remote_acknowledge(&mut self.state, self.account, last).unwrap();
        run(&mut self.kernel, &mut self.state);
    }
}

#[test]
fn promises_that_lead_to_one_large_value_do_not_fill_an_outbox() {
    let mut victim = Victim::new();
    victim.acknowledge();
    for _ in 0..20 {
        victim.tell("flood", "", &[]);
    }
    let (_, bytes) = victim.told();
    let overshoot = 2 * MAX_BODY_BYTES as u64;
    assert!(bytes > MAX_TOLD_BYTES && bytes < MAX_TOLD_BYTES + overshoot, "{bytes}");
}

#[test]
fn an_account_that_acknowledges_is_told_of_every_promise() {
    let mut victim = Victim::new();
    victim.acknowledge();
    for _ in 0..20 {
        victim.tell("flood", "", &[]);
    }
    let mut told = 0;
    for _ in 0..20 {
        let (count, bytes) = victim.told();
        assert!(bytes < MAX_TOLD_BYTES + 2 * MAX_BODY_BYTES as u64, "{bytes}");
        told += count;
        victim.acknowledge();
    }
    assert_eq!(told, 20);
    let record = view::remote(&victim.state, victim.account).unwrap().unwrap();
    assert_eq!((record.told.bytes, record.told.tail - record.told.head), (0, 0));
    assert!(record.told.tail > 0, "some were put off");
}
