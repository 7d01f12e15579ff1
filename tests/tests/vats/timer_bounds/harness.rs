//! A timer vat alone, with a device that keeps its wakeups and results.
#![allow(clippy::unwrap_used)] // tests

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use capstan_abi::Syscall;
use capstan_tests::{Device, LoneVat, Outcome};

/// Upper bound of any delivery. The most that was seen is about three quarters of it.
pub(super) const MOST_SYSCALLS: usize = 900;

pub(super) const HANDLER: &str = "o-60";
pub(super) const TOKEN: &str = "o-90";

/// A timer with a clock that the test moves, and its device.
pub(super) struct Timer {
    pub(super) vat: LoneVat,
    pub(super) service: String,
    pub(super) now: Arc<Mutex<u64>>,
    /// The handlers that the device was given for its wakeup and for the vat's message to itself.
    pub(super) handlers: Arc<Mutex<Handlers>>,
    pub(super) most: usize,
}

#[derive(Default)]
pub(super) struct Handlers {
    pub(super) wakeups: BTreeMap<u128, ()>,
    pub(super) soon: usize,
    /// Number of results that the device keeps, and the number of the next.
    pub(super) deferred: BTreeSet<u64>,
    pub(super) next: u64,
    /// Number of the next wakeups of handlers that fail.
    pub(super) failing: usize,
}

pub(super) fn device(now: &Arc<Mutex<u64>>, handlers: &Arc<Mutex<Handlers>>) -> Device {
    let (now, handlers) = (Arc::clone(now), Arc::clone(handlers));
    Box::new(move |_, method, args| {
        let mut handlers = handlers.lock().unwrap();
        match method {
            "getLastPolled" => return format!("\"+{}\"", now.lock().unwrap()),
            "setWakeup" => {
                let args: serde_json::Value = serde_json::from_str(&args[1..]).unwrap();
                let time = args[0].as_str().unwrap().parse().unwrap();
                handlers.wakeups.insert(time, ());
            }
            "removeWakeup" => handlers.wakeups.clear(),
            // Without a time it is a message of the vat to itself.
            "wakeSoon" if !args.contains("absValue") => handlers.soon += 1,
            "wakeSoon" | "wakeAndTell" if handlers.failing > 0 => {
                handlers.failing -= 1;
                return String::new();
            }
            "wakeSoon" | "wakeAndTell" => {}
            "deferResult" => {
                handlers.next += 1;
                let number = handlers.next;
                handlers.deferred.insert(number);
                return format!("\"+{number}\"");
            }
            "settleResult" => {
                let number = Settled::of(args).number;
                assert!(handlers.deferred.remove(&number), "{number} is settled once");
            }
            other => panic!("{other}"),
        }
        "\"#undefined\"".to_owned()
    })
}

/// A result that the vat had its device settle.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) number: u64,
    pub(super) rejected: bool,
    pub(super) value: String,
}

impl Settled {
    /// Reads the arguments of `settleResult`.
    pub(super) fn of(args: &str) -> Self {
        let args: serde_json::Value = serde_json::from_str(&args[1..]).unwrap();
        let number = args[0].as_str().unwrap().parse().unwrap();
        Self { number, rejected: args[1].as_bool().unwrap(), value: args[2].to_string() }
    }
}

/// The results that deliveries had the device settle, in order.
pub(super) fn settled(outcomes: &[Outcome]) -> Vec<Settled> {
    let calls = outcomes.iter().flat_map(|outcome| &outcome.syscalls);
    let settle = calls.filter_map(|syscall| match syscall {
        Syscall::CallNow { method, args, .. } if method == "settleResult" => {
            Some(Settled::of(&args.body))
        }
        _ => None,
    });
    settle.collect()
}

impl Timer {
    pub(super) fn start() -> Self {
        Self::over(BTreeMap::new())
    }

    pub(super) fn over(vatstore: BTreeMap<String, String>) -> Self {
        let (now, handlers) = (Arc::new(Mutex::new(1_000)), Arc::default());
        let bundle = capstan_vat_system::timer_bundle();
        let mut vat = LoneVat::again(bundle, "{}", device(&now, &handlers), vatstore);
        let made = vat.send("o+0", "createTimerService", "[\"$0.Alleged: device\"]", &["d-70"]);
        let service = made.slots().remove(0);
        Self { vat, service, now, handlers, most: 0 }
    }

    pub(super) fn send(&mut self, method: &str, args: &str, slots: &[&str]) -> Outcome {
        let target = self.service.clone();
        self.send_to(&target, method, args, slots)
    }

    pub(super) fn send_to(
        &mut self,
        target: &str,
        method: &str,
        args: &str,
        slots: &[&str],
    ) -> Outcome {
        let outcome = self.vat.send(target, method, args, slots);
        self.most = self.most.max(outcome.count);
        assert!(outcome.count <= MOST_SYSCALLS, "{method}: {} syscalls", outcome.count);
        outcome
    }

    pub(super) fn set_wakeup(&mut self, time: u64, handler: &str, token: &str) {
        self.send("setWakeup", &format!("[\"+{time}\",\"$0\",\"$1\"]"), &[handler, token]).body();
    }

    /// The objects that the vat exports to its device: the handlers of the wakeup and of its messages to itself.
    pub(super) fn handler(&self, kind: &str) -> String {
        let key = format!("\"{kind}\"");
        let kinds = self.vat.vatstore().iter().filter(|(name, _)| name.starts_with("vom.dkind."));
        let kind = kinds
            .filter(|(name, value)| name.ends_with(".descriptor") && value.contains(&key))
            .map(|(name, _)| name.split('.').nth(2).unwrap().to_owned())
            .next();
        format!("o+d{}/1", kind.unwrap())
    }

    /// Lets the time be `now`, and delivers what the device would until nothing is due: what each delivery came to.
    pub(super) fn run_to(&mut self, now: u64) -> Vec<Outcome> {
        *self.now.lock().unwrap() = now;
        let mut outcomes = Vec::new();
        let is_due = |handlers: &Handlers| handlers.wakeups.keys().any(|at| *at <= now.into());
        if is_due(&self.handlers.lock().unwrap()) {
            self.handlers.lock().unwrap().wakeups.clear();
            let handler = self.handler("wakeupHandler");
            outcomes.push(self.send_to(&handler, "wake", "[\"+0\"]", &[]));
        }
        outcomes.extend(self.go_on());
        assert!(!is_due(&self.handlers.lock().unwrap()), "nothing is left");
        outcomes
    }

    /// The device's wakeup, without what the vat sends to itself.
    pub(super) fn poll(&mut self, now: u64) -> Outcome {
        *self.now.lock().unwrap() = now;
        self.handlers.lock().unwrap().wakeups.clear();
        let handler = self.handler("wakeupHandler");
        self.send_to(&handler, "wake", "[\"+0\"]", &[])
    }

    /// Sends a message whose result the device is to keep; returns the result's number.
    pub(super) fn ask(&mut self, target: &str, method: &str, args: &str, slots: &[&str]) -> u64 {
        let outcome = self.send_to(target, method, args, slots);
        assert!(outcome.called().contains(&"deferResult"), "{outcome:?}");
        self.handlers.lock().unwrap().next
    }

    /// Tells the vat that the handler of a repeater has answered.
    pub(super) fn answer(&mut self, repeater: &str, rejected: bool) {
        let handler = self.handler("continuation");
        self.send_to(&handler, "answered", &format!("[\"{repeater}\",{rejected}]"), &[]).body();
    }

    /// Delivers what the vat sends to itself.
    pub(super) fn go_on(&mut self) -> Vec<Outcome> {
        let handler = self.handler("continuation");
        let mut outcomes = Vec::new();
        while std::mem::take(&mut self.handlers.lock().unwrap().soon) > 0 {
            outcomes.push(self.send_to(&handler, "wake", "[\"+0\"]", &[]));
        }
        outcomes
    }
}

/// The objects that were woken, in order, and the repeaters whose handlers' answers are waited for.
pub(super) fn woken(outcomes: &[Outcome]) -> Vec<(String, String)> {
    let mut woken = Vec::new();
    for syscall in outcomes.iter().flat_map(|outcome| &outcome.syscalls) {
        let Syscall::CallNow { method, args, .. } = syscall else {
            assert!(!matches!(syscall, Syscall::Send { .. }), "{syscall:?}");
            continue;
        };
        let body: serde_json::Value = serde_json::from_str(&args.body[1..]).unwrap();
        match method.as_str().unwrap() {
            // The vat's message to itself has no time.
            "wakeSoon" if args.slots.len() > 1 => {
                assert!(args.body.contains("absValue"), "{args:?}");
                woken.push((args.slots[0].clone(), String::new()));
            }
            "wakeAndTell" => {
                assert!(args.body.contains("absValue"), "{args:?}");
                woken.push((args.slots[0].clone(), body[2].as_str().unwrap().to_owned()));
            }
            _ => {}
        }
    }
    woken
}

/// Returns the vat's store, but for marks of what it has exported.
pub(super) fn kept(timer: &Timer) -> BTreeSet<String> {
    let keys = timer.vat.vatstore().keys().filter(|key| !key.starts_with("vom.es."));
    keys.cloned().collect()
}
