//! What an account has and is given: its factory, its own objects, and no device nodes.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::{CapData, Delivery, Message, Resolution, Syscall};
use capstan_kernel::{
    Kernel,
    ids::{Endpoint, RemoteId},
    view,
};
use capstan_kernel_ports::memory::MemoryState;
use support::{Behaviour, Caller, ClosureHost, config, idle, kernel, method, run};

/// Gives all roots and devices to the vat `desk`.
fn boot() -> Behaviour {
    Box::new(|delivery, kernel| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        let slots: Vec<&str> = message.methargs.slots.iter().map(String::as_str).collect();
        let devices: Vec<&str> = slots.iter().copied().filter(|s| s.starts_with('d')).collect();
        for root in slots.iter().filter(|slot| slot.starts_with('o')) {
            kernel.send(root, "devices", &devices, None);
        }
        Ok(())
    })
}

/// A vat that gives each account its root, and a device node wherever it is asked for one.
fn desk() -> Behaviour {
    let (mut kept, mut device, mut next) = (String::new(), String::new(), 100);
    Box::new(move |delivery, kernel| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        next += 1;
        let promise = format!("p+{next}");
        match method(message).as_str() {
            "devices" => device.clone_from(&message.methargs.slots[0]),
            "provision" => settle(kernel, message.result.as_ref(), "#\"$0\"", &["o+0"])?,
            "keep" => {
                kept.clone_from(&message.methargs.slots[0]);
                settle(kernel, message.result.as_ref(), "#\"kept\"", &[])?;
            }
            "call" => {
                let methargs = CapData {
                    body: "#[\"hi\",[[\"$0\"]]]".to_owned(),
                    slots: vec![device.clone()],
                };
                let message = Message { methargs, result: Some(promise) };
                kernel.call(Syscall::Send { target: kept.clone(), message })?;
            }
            "answer" => settle(kernel, message.result.as_ref(), "#\"$0\"", &[&device])?,
            // The device node is an element of large data behind a promise in the answer.
            "nested" => {
                settle(kernel, message.result.as_ref(), "#[\"&0\"]", &[&promise])?;
                let body = format!("#[[\"{}\",\"$0\"]]", "x".repeat(1_000));
                settle(kernel, Some(&promise), &body, &[&device])?;
            }
            "get" => settle(kernel, message.result.as_ref(), "#\"$0\"", &[&kept])?,
            _ => {}
        }
        Ok(())
    })
}

fn settle(
    kernel: &mut Caller<'_>,
    promise: Option<&String>,
    body: &str,
    slots: &[&str],
) -> Result<(), String> {
    let Some(promise) = promise.cloned() else { return Ok(()) };
    let slots = slots.iter().map(|slot| (*slot).to_owned()).collect();
    let data = CapData { body: body.to_owned(), slots };
    let resolutions = vec![Resolution { promise, rejected: false, data }];
    kernel.call(Syscall::Resolve { resolutions }).map(|_| ())
}

struct World {
    kernel: Kernel<ClosureHost>,
    state: MemoryState,
    account: RemoteId,
}

impl World {
    fn new() -> Self {
        let mut config = config("boot", &["boot", "desk"]);
        config.provisioner = Some("desk".to_owned());
        let factory = Box::new(|_, bundle: &str| match bundle {
            "b1-boot" => boot(),
            "b1-desk" => desk(),
            _ => idle(),
        });
        let (mut kernel, mut state) = kernel(&config, factory);
        run(&mut kernel, &mut state);
        let account = kernel.provision(&mut state, "cap1user").unwrap();
        run(&mut kernel, &mut state);
        Self { kernel, state, account }
    }

    /// Sends a message as the account, and runs until nothing is left to do. Returns the promise for the answer.
    fn send(&mut self, target: &str, method: &str, slots: &[&str]) -> String {
        let result = self.put(target, method, slots);
        run(&mut self.kernel, &mut self.state);
        result
    }

    /// Sends a message as the account. Returns the promise for the answer.
    fn put(&mut self, target: &str, method: &str, slots: &[&str]) -> String {
        let args: Vec<String> =
            slots.iter().enumerate().map(|(n, s)| support::reference(s, n)).collect();
        let body = format!("#[\"{method}\",[{}]]", args.join(","));
        let slots = slots.iter().map(|slot| (*slot).to_owned()).collect();
        let methargs = CapData { body, slots };
        let sent = self.kernel.remote_send(&mut self.state, self.account, target, methargs);
        sent.unwrap().result
    }

    fn factory(&mut self) -> String {
        self.kernel.factory(&mut self.state, self.account).unwrap()
    }

    fn resolve(&mut self, promise: &str, body: &str, slots: &[&str]) -> Result<(), String> {
        let slots = slots.iter().map(|slot| (*slot).to_owned()).collect();
        let data = CapData { body: body.to_owned(), slots };
        let resolutions = vec![Resolution { promise: promise.to_owned(), rejected: false, data }];
        let done = self.kernel.remote_resolve(&mut self.state, self.account, resolutions);
        run(&mut self.kernel, &mut self.state);
        done.map_err(|error| error.to_string())
    }

    /// Whether the account was told of a promise as rejected, and the body.
    fn told(&self, promise: &str) -> Option<(bool, String)> {
        let outbox = view::outbox(&self.state, self.account).unwrap();
        let settled = outbox.into_iter().filter_map(|(_, delivery)| match delivery {
            Delivery::Notify { resolutions } => Some(resolutions),
            _ => None,
        });
        let one = settled.flatten().find(|one| one.promise == promise)?;
        Some((one.rejected, one.data.body))
    }

    /// The calls in the outbox: target and result.
    fn calls(&self) -> Vec<(String, String)> {
        let outbox = view::outbox(&self.state, self.account).unwrap();
        let call = |(_, delivery)| match delivery {
            Delivery::Message { target, message } => Some((target, message.result.unwrap())),
            _ => None,
        };
        outbox.into_iter().filter_map(call).collect()
    }

    /// Whether the account has a name for something that is not kept by anybody else.
    fn holds(&self, rref: &str) -> bool {
        view::kref_of(&self.state, Endpoint::Remote(self.account), rref).unwrap().is_some()
    }
}

#[test]
fn a_message_to_an_own_object_is_settled_by_the_accounts_own_answer() {
    let mut world = World::new();
    let factory = world.factory();
    world.send(&factory, "keep", &["ro+1"]);
    let promise = world.send("ro+1", "hi", &[]);
    assert_eq!(world.calls(), [("ro+1".to_owned(), promise.clone())]);
    assert_eq!(world.told(&promise), None);
    world.resolve(&promise, "#\"hello\"", &[]).unwrap();
    assert_eq!(world.told(&promise), Some((false, "#\"hello\"".to_owned())));
    assert!(!world.holds(&promise));
    let again = world.resolve(&promise, "#1", &[]).unwrap_err();
    assert!(again.contains("is not a promise that this account may resolve"), "{again}");
    let record = view::remote(&world.state, world.account).unwrap().unwrap();
    assert_eq!(record.calls.unanswered, 0);
}

#[test]
fn a_message_that_reaches_an_own_object_through_promises_is_settled_too() {
    let mut world = World::new();
    let factory = world.factory();
    world.send(&factory, "keep", &["ro+1"]);
    // Through the answer of a vat, to which the message is pipelined.
    let asked = world.put(&factory, "get", &[]);
    let pipelined = world.put(&asked, "further", &[]);
    run(&mut world.kernel, &mut world.state);
    assert_eq!(world.told(&asked), Some((false, "#\"$0\"".to_owned())));
    assert_eq!(world.calls(), [("ro+1".to_owned(), pipelined.clone())]);
    world.resolve(&pipelined, "#2", &[]).unwrap();
    assert_eq!(world.told(&pipelined), Some((false, "#2".to_owned())));
    // The answer to one message is a promise that further ones wait for.
    let first = world.put("ro+1", "first", &[]);
    let second = world.put(&first, "second", &[]);
    run(&mut world.kernel, &mut world.state);
    world.resolve(&first, "#\"$0\"", &["ro+1"]).unwrap();
    assert_eq!(world.told(&first), Some((false, "#\"$0\"".to_owned())));
    assert_eq!(world.calls().last().unwrap(), &("ro+1".to_owned(), second.clone()));
    world.resolve(&second, "#3", &[]).unwrap();
    assert_eq!(world.told(&second), Some((false, "#3".to_owned())));
    // Through a promise of the account's own.
    world.send(&factory, "keep", &["rp+5"]);
    let own = world.send("rp+5", "later", &[]);
    world.resolve("rp+5", "#\"$0\"", &["ro+1"]).unwrap();
    assert_eq!(world.calls().last().unwrap(), &("ro+1".to_owned(), own.clone()));
    world.resolve(&own, "#4", &[]).unwrap();
    assert_eq!(world.told(&own), Some((false, "#4".to_owned())));
    assert!(!world.holds(&own) && !world.holds("rp+5"));
}

#[test]
fn a_promise_that_nothing_has_named_or_that_is_settled_is_refused() {
    let mut world = World::new();
    let factory = world.factory();
    let refused = |world: &mut World, promise: &str, part: &str| {
        let error = world.resolve(promise, "#1", &[]).unwrap_err();
        assert!(error.contains("may resolve") && error.contains(part), "{error}");
        assert!(!world.holds(promise), "{promise}");
    };
    refused(&mut world, "rp+7", "the account has passed it to nobody");
    refused(&mut world, "rp-999", "the account was never told of it");
    refused(&mut world, "rp-x", "rp-N or rp+N");
    world.send(&factory, "keep", &["rp+7"]);
    world.resolve("rp+7", "#1", &[]).unwrap();
    refused(&mut world, "rp+7", "or it is settled already");
    world.send(&factory, "keep", &["ro+1"]);
    let result = world.send("ro+1", "hi", &[]);
    world.resolve(&result, "#1", &[]).unwrap();
    refused(&mut world, &result, "it is settled already");
    // One answer may bring the promise that another settles.
    let result = world.send("ro+1", "hi", &[]);
    let one = |promise: &str, slots: &[&str]| Resolution {
        promise: promise.to_owned(),
        rejected: false,
        data: CapData {
            body: if slots.is_empty() { "#2" } else { "#[\"&0\"]" }.to_owned(),
            slots: slots.iter().map(|slot| (*slot).to_owned()).collect(),
        },
    };
    let batch = vec![one("rp+8", &[]), one(&result, &["rp+8"])];
    world.kernel.remote_resolve(&mut world.state, world.account, batch).unwrap();
}

#[test]
fn a_factory_that_was_dropped_comes_again() {
    let mut world = World::new();
    let factory = world.factory();
    let dropped = std::slice::from_ref(&factory);
    world.kernel.remote_drop(&mut world.state, world.account, dropped).unwrap();
    assert!(!world.holds(&factory));
    let same = world.kernel.provision(&mut world.state, "cap1user").unwrap();
    assert_eq!(same, world.account);
    // Messages may be sent to the promise at once.
    let promised = world.factory();
    let kept = world.send(&promised, "keep", &["ro+1"]);
    assert_eq!(world.told(&kept), Some((false, "#\"kept\"".to_owned())));
    let again = world.factory();
    assert!(again.starts_with("ro-") && world.holds(&again), "{again}");
}

#[test]
fn an_account_is_given_no_device_node() {
    const REFUSED: &str = "an account is given no device nodes";
    let mut world = World::new();
    let factory = world.factory();
    world.send(&factory, "keep", &["ro+1"]);
    world.send(&factory, "call", &[]);
    assert_eq!(world.calls(), []);
    let answer = world.send(&factory, "answer", &[]);
    let (rejected, body) = world.told(&answer).unwrap();
    assert!(rejected && body.contains(REFUSED), "{body}");
    let nested = world.send(&factory, "nested", &[]);
    assert_eq!(world.told(&nested).map(|(rejected, _)| rejected), Some(false));
    let outbox = format!("{:?}", view::outbox(&world.state, world.account).unwrap());
    assert_eq!(outbox.matches(REFUSED).count(), 2, "{outbox}");
    assert!(!outbox.contains("rd-"), "{outbox}");
    assert!(!world.holds("rd-70"));
    // Nor can it name one.
    let methargs =
        CapData { body: "#[\"hi\",[\"$0\"]]".to_owned(), slots: vec!["rd-70".to_owned()] };
    let sent = world.kernel.remote_send(&mut world.state, world.account, &factory, methargs);
    assert!(sent.is_err());
}
