//! Accounts as endpoints: the bounds of what others put into an outbox, and promises that accounts are told of.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::{CapData, Delivery, Message, Resolution, Syscall};
use capstan_kernel::{
    Kernel,
    ids::{Endpoint, RemoteId},
    limits::{MAX_ACKNOWLEDGED, MAX_CALL_BYTES, MAX_CALL_PROMISES, MAX_CALLS, MAX_UNANSWERED},
    view,
};
use capstan_kernel_ports::memory::MemoryState;
use serde_json::Value;
use support::{Behaviour, Caller, ClosureHost, config, idle, kernel, run};

/// A vat that gives each account its root, keeps what it is given, and calls it as it is told to.
fn desk() -> Behaviour {
    let (mut kept, mut next) = (String::new(), 100);
    Box::new(move |delivery, kernel| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        let body: Value = serde_json::from_str(&message.methargs.body[1..]).unwrap();
        match body[0].as_str().unwrap() {
            "provision" => answer(kernel, message, "#\"$0\"", vec!["o+0".to_owned()]),
            "keep" => {
                kept.clone_from(&message.methargs.slots[0]);
                answer(kernel, message, "#\"kept\"", vec![])
            }
            // [count, bytes]: that many calls with a text of that length, and the last with promises.
            "call" => {
                let text = "x".repeat(body[1][1].as_u64().unwrap() as usize);
                for _ in 0..body[1][0].as_u64().unwrap() {
                    next += 1;
                    let methargs =
                        CapData { body: format!("#[\"hi\",[\"{text}\"]]"), slots: vec![] };
                    send(kernel, &kept, methargs, next)?;
                }
                answer(kernel, message, "#\"called\"", vec![])
            }
            // [count]: a call with that many promises, which are settled afterwards.
            "promise" => {
                let slots: Vec<String> =
                    (0..body[1][0].as_u64().unwrap()).map(|n| format!("p+{}", 9_000 + n)).collect();
                let args: Vec<String> = (0..slots.len()).map(|n| format!("\"&{n}\"")).collect();
                let body = format!("#[\"hi\",[{}]]", args.join(","));
                send(kernel, &kept, CapData { body, slots: slots.clone() }, 8_000)?;
                let data = CapData { body: "#7".to_owned(), slots: vec![] };
                let settle = |promise| Resolution { promise, rejected: false, data: data.clone() };
                let resolutions = slots.into_iter().map(settle).collect();
                kernel.call(Syscall::Resolve { resolutions })?;
                answer(kernel, message, "#\"called\"", vec![])
            }
            _ => Ok(()),
        }
    })
}

fn send(
    kernel: &mut Caller<'_>,
    target: &str,
    methargs: CapData,
    number: u64,
) -> Result<(), String> {
    let result = Some(format!("p+{number}"));
    let message = Message { methargs, result };
    kernel.call(Syscall::Send { target: target.to_owned(), message }).map(|_| ())
}

fn answer(
    kernel: &mut Caller<'_>,
    message: &Message,
    body: &str,
    slots: Vec<String>,
) -> Result<(), String> {
    let Some(promise) = message.result.clone() else { return Ok(()) };
    let data = CapData { body: body.to_owned(), slots };
    let resolutions = vec![Resolution { promise, rejected: false, data }];
    kernel.call(Syscall::Resolve { resolutions }).map(|_| ())
}

/// An account whose object the vat holds.
struct Served {
    kernel: Kernel<ClosureHost>,
    state: MemoryState,
    account: RemoteId,
}

impl Served {
    fn new() -> Self {
        let mut config = config("boot", &["boot", "desk"]);
        config.provisioner = Some("desk".to_owned());
        let factory = Box::new(|_, bundle: &str| match bundle {
            "b1-desk" => desk(),
            _ => idle(),
        });
        let (mut kernel, mut state) = kernel(&config, factory);
        run(&mut kernel, &mut state);
        let account = kernel.provision(&mut state, "cap1served").unwrap();
        run(&mut kernel, &mut state);
        let mut served = Self { kernel, state, account };
        served.tell("keep", "\"$0\"", &["ro+1"]);
        served
    }

    /// Sends the vat a message, and runs until nothing is left to do.
    fn tell(&mut self, method: &str, args: &str, slots: &[&str]) {
        let factory = self.kernel.factory(&mut self.state, self.account).unwrap();
        let slots = slots.iter().map(|slot| (*slot).to_owned()).collect();
        let methargs = CapData { body: format!("#[\"{method}\",[{args}]]"), slots };
        self.kernel.remote_send(&mut self.state, self.account, &factory, methargs).unwrap();
        run(&mut self.kernel, &mut self.state);
    }

    /// The calls that wait in the outbox.
    fn calls(&self) -> Vec<(u64, Message)> {
        let outbox = view::outbox(&self.state, self.account).unwrap();
        let call = |(number, delivery)| match delivery {
            Delivery::Message { message, .. } => Some((number, message)),
            _ => None,
        };
        outbox.into_iter().filter_map(call).collect()
    }

    fn acknowledge_all(&mut self) {
        loop {
            let record = view::remote(&self.state, self.account).unwrap().unwrap();
            let last = record.next_outbox - 1;
            if record.acknowledged == last {
                return;
            }
            let through = last.min(record.acknowledged + MAX_ACKNOWLEDGED);
            self.kernel.remote_acknowledge(&mut self.state, self.account, through).unwrap();
        }
    }

    fn counts(&self) -> (u64, u64, u64) {
        let calls = view::remote(&self.state, self.account).unwrap().unwrap().calls;
        (calls.waiting, calls.bytes, calls.unanswered)
    }

    /// The rejections that callers got.
    fn rejections(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for number in 0..100_000 {
            match view::promise(&self.state, number).unwrap().map(|promise| promise.state) {
                Some(capstan_kernel::promise::PromiseState::Rejected(data)) => {
                    texts.push(data.body)
                }
                _ => continue,
            }
        }
        texts
    }
}

#[test]
fn calls_that_are_not_acknowledged_are_bounded_in_number() {
    let mut served = Served::new();
    served.tell("call", &format!("{MAX_CALLS},1"), &[]);
    assert_eq!(served.calls().len() as u64, MAX_CALLS);
    assert_eq!(served.rejections(), Vec::<String>::new());
    served.tell("call", "1,1", &[]);
    assert_eq!(served.calls().len() as u64, MAX_CALLS);
    let rejected = served.rejections();
    let row = "| the bounds of an account | `";
    let table = include_str!("../../docs/errors.md");
    let text = table.lines().find_map(|line| line.strip_prefix(row)?.strip_suffix("` |")).unwrap();
    let text = text.replace('…', "the account has 5000 calls");
    assert!(rejected[0].contains(&text), "{rejected:?}");
    served.acknowledge_all();
    assert_eq!(served.counts(), (0, 0, MAX_CALLS));
    served.tell("call", "1,1", &[]);
    assert_eq!(served.calls().len(), 1);
}

#[test]
fn calls_that_are_not_acknowledged_are_bounded_in_bytes() {
    let mut served = Served::new();
    let each = MAX_CALL_BYTES / 4;
    served.tell("call", &format!("5,{each}"), &[]);
    assert_eq!(served.calls().len(), 4);
    assert!(served.rejections()[0].contains("bytes of calls"), "{:?}", served.rejections());
    served.acknowledge_all();
    assert_eq!(served.counts(), (0, 0, 4));
}

#[test]
fn calls_that_are_not_answered_are_bounded_and_an_answer_makes_room() {
    let mut served = Served::new();
    let mut last = String::new();
    for _ in 0..MAX_UNANSWERED / MAX_CALLS {
        served.tell("call", &format!("{MAX_CALLS},1"), &[]);
        last = served.calls().pop().unwrap().1.result.unwrap();
        served.acknowledge_all();
    }
    served.tell("call", "1,1", &[]);
    assert!(served.rejections()[0].contains("not answered"), "{:?}", served.rejections());
    let data = CapData { body: "#1".to_owned(), slots: vec![] };
    let resolutions = vec![Resolution { promise: last, rejected: false, data }];
    served.kernel.remote_resolve(&mut served.state, served.account, resolutions).unwrap();
    assert_eq!(served.counts().2, MAX_UNANSWERED - 1);
    served.tell("call", "1,1", &[]);
    assert_eq!(served.calls().len(), 1);
}

#[test]
fn an_account_is_told_of_the_promises_that_it_is_passed() {
    let mut served = Served::new();
    served.tell("promise", &MAX_CALL_PROMISES.to_string(), &[]);
    let (_, call) = served.calls().pop().unwrap();
    let mut told = Vec::new();
    for (_, delivery) in view::outbox(&served.state, served.account).unwrap() {
        if let Delivery::Notify { resolutions } = delivery {
            told.extend(resolutions.into_iter().map(|one| (one.promise, one.data.body)));
        }
    }
    assert_eq!(call.methargs.slots.len(), MAX_CALL_PROMISES);
    for promise in call.methargs.slots {
        assert!(told.contains(&(promise.clone(), "#7".to_owned())), "{promise}: {told:?}");
        let endpoint = Endpoint::Remote(served.account);
        assert_eq!(view::kref_of(&served.state, endpoint, &promise).unwrap(), None);
    }
}

#[test]
fn a_call_with_too_many_promises_is_rejected() {
    let mut served = Served::new();
    served.tell("promise", &(MAX_CALL_PROMISES + 1).to_string(), &[]);
    assert_eq!(served.calls().len(), 0);
    assert!(served.rejections()[0].contains("at most 100 promises"), "{:?}", served.rejections());
}
