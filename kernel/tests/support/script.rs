//! Vats that do what their messages say, so that they do it again when they are replayed.
//!
//! The method `do` takes a list of operations:
//!
//! * `["set", KEY, BYTES]`: sets a key of the vatstore to a value of that length
//! * `["key", BYTES]`: sets a key of that length
//! * `["get", KEY]`: reads a key
//! * `["next", KEY]`: searches for the key after it
//! * `["delete", KEY]`: deletes a key
//! * `["send", TARGET, BODY, SLOTS]`: sends a message with these method and arguments
//! * `["send", TARGET, BODY, SLOTS, RESULT]`: the same with a result promise, which it subscribes to
//! * `["resolve", PROMISE, BODY, SLOTS]`, `["reject", PROMISE, BODY, SLOTS]`
//! * `["web", FIRST, COUNT, SPAN]`: settles so many promises from `p+FIRST` on in one syscall, each to an array
//!   of the next so many, round and round
//! * `["call", DEVICE, METHOD, BODY]`, `["call", DEVICE, METHOD, BODY, SLOTS]`: calls a device
//! * `["subscribe", PROMISE]`
//! * `["drop", VREF…]`: drops imports
//! * `["retire", VREF…]`, `["abandon", VREF…]`: retires or abandons exports
//! * `["exit", IS_FAILURE, BODY]`, `["exit", IS_FAILURE, BODY, SLOTS]`: ends the vat
//! * `["fail", BYTES]`: ends the delivery with an error text of that length
//! * `["spin"]`: spends all that the delivery may spend
//! * `["illegal"]`: makes a syscall that is not allowed
//!
//! `ask` is answered with its first argument's number of letters, `provision` with `o-52`, every other message by its method's name. `bootstrap` introduces all vats to each other.

use std::{cell::RefCell, rc::Rc};

use capstan_abi::{CapData, Delivery, Message, Resolution, Syscall};
use capstan_kernel::{
    Kernel, KernelConfig,
    ids::{Endpoint, KRef},
    promise::{Promise, PromiseState, ResultPolicy},
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState, store::Read as _};
use serde_json::{Value, json};

use super::{Behaviour, Caller, ClosureHost, config, kernel, method, run};

/// What vats were told, replays included.
pub(crate) type Heard = Rc<RefCell<Vec<(VatId, Delivery)>>>;

/// A kernel of scripted vats.
pub(crate) struct Stage {
    pub(crate) kernel: Kernel<ClosureHost>,
    pub(crate) state: MemoryState,
    pub(crate) heard: Heard,
}

impl Stage {
    /// Starts static vats of these names besides `boot` and `vatAdmin`, and introduces all to each other:
    /// the roots of the others in the order of their names from `o-50` on, the vatAdmin device as `d-70`.
    pub(crate) fn new(names: &[&str], change: impl FnOnce(&mut KernelConfig)) -> Self {
        Self::failing(names, change, |_, _| false)
    }

    /// The same with vats that fail in the deliveries of which `fails` is true for their bundle.
    pub(crate) fn failing(
        names: &[&str],
        change: impl FnOnce(&mut KernelConfig),
        fails: fn(&str, &Delivery) -> bool,
    ) -> Self {
        let heard: Heard = Rc::default();
        let ears = Rc::clone(&heard);
        let factory = Box::new(move |vat: VatId, bundle: &str| {
            let (ears, bundle) = (Rc::clone(&ears), bundle.to_owned());
            Box::new(move |delivery: &Delivery, kernel: &mut Caller<'_>| {
                ears.borrow_mut().push((vat, delivery.clone()));
                if fails(&bundle, delivery) {
                    return Err("it fails in these".to_owned());
                }
                act(delivery, kernel)
            }) as Behaviour
        });
        let names: Vec<&str> = names.iter().copied().chain(["boot"]).collect();
        let mut config = config("boot", &names);
        config.options.reap.never = true;
        change(&mut config);
        let (kernel, state) = kernel(&config, factory);
        let mut stage = Self { kernel, state, heard };
        stage.run();
        stage
    }

    /// Runs until nothing is left.
    pub(crate) fn run(&mut self) {
        run(&mut self.kernel, &mut self.state);
    }

    /// Sends a message to the root of a static vat and runs until nothing is left. Returns the promise
    /// for the answer.
    pub(crate) fn send(&mut self, vat: &str, body: &str, slots: &[KRef]) -> Promise {
        let methargs = CapData { body: body.to_owned(), slots: slots.to_vec() };
        let result =
            self.kernel.queue_to_vat_root(&mut self.state, vat, methargs, ResultPolicy::Ignore);
        let Some(KRef::Promise(number)) = result.unwrap() else { panic!("there is no vat {vat}") };
        self.run();
        let promise = view::promise(&self.state, number).unwrap().unwrap();
        // The host lets go of it, so that the counts can be checked.
        self.kernel.take_resolution(&mut self.state, KRef::Promise(number)).unwrap();
        self.run();
        promise
    }

    /// Has a static vat do something. The error is the body that the message was rejected with.
    pub(crate) fn perform(&mut self, vat: &str, operations: Value) -> Result<String, String> {
        answer(&self.send(vat, &orders(&operations), &[]))
    }

    /// How often a vat was told something of which `is` is true.
    pub(crate) fn count(&self, vat: VatId, is: impl Fn(&Delivery) -> bool) -> usize {
        self.heard.borrow().iter().filter(|(to, delivery)| *to == vat && is(delivery)).count()
    }

    /// The references of a vat that begin so, in the order of their numbers.
    pub(crate) fn references(&self, vat: &str, start: &str) -> Vec<String> {
        let clist = view::clist(&self.state, Endpoint::Vat(self.vat(vat))).unwrap();
        let mut found: Vec<String> = clist.into_iter().map(|(_, entry)| entry.vref).collect();
        found.retain(|vref| vref.starts_with(start));
        found.sort_by_key(|vref| (vref.len(), vref.clone()));
        found
    }

    /// The keys of a vat's store.
    pub(crate) fn keys(&self, vat: VatId) -> Vec<String> {
        let prefix = format!("k.s.{vat}.");
        let entries = self.state.scan(prefix.as_bytes()).unwrap();
        let name = |key: Vec<u8>| String::from_utf8(key[prefix.len()..].to_vec()).unwrap();
        entries.into_iter().map(|(key, _)| name(key)).collect()
    }

    /// The number of a static vat.
    pub(crate) fn vat(&self, name: &str) -> VatId {
        view::vat_by_name(&self.state, name).unwrap().unwrap()
    }

    /// Whether a vat lives.
    pub(crate) fn lives(&self, vat: VatId) -> bool {
        view::live_vats(&self.state).unwrap().contains(&vat)
    }

    /// Compares the kernel's counts with counts made from scratch.
    pub(crate) fn check(&mut self) {
        // A crank, so that what was let go of between cranks is collected.
        let nothing = CapData { body: "#[\"nothing\",[]]".to_owned(), slots: vec![] };
        assert!(self.kernel.post_to_vat_root(&mut self.state, "boot", nothing).unwrap());
        self.run();
        let dump = view::dump(&self.state).unwrap();
        super::model::Model::of(&self.state, &dump).check(&dump, "on stage");
    }
}

/// The body of a message that has a vat do something.
pub(crate) fn orders(operations: &Value) -> String {
    format!("#{}", json!(["do", escaped(operations)]))
}

/// Escapes texts for smallcaps.
fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) if matches!(text.as_bytes().first(), Some(0x21..=0x2d)) => {
            Value::String(format!("!{text}"))
        }
        Value::Array(items) => items.iter().map(escaped).collect(),
        other => other.clone(),
    }
}

/// What a settled promise says.
pub(crate) fn answer(promise: &Promise) -> Result<String, String> {
    match &promise.state {
        PromiseState::Fulfilled(data) => Ok(data.body.clone()),
        PromiseState::Rejected(data) | PromiseState::RejectedByKernel { data, .. } => {
            Err(data.body.clone())
        }
        PromiseState::Unresolved(_) => panic!("the promise is not settled"),
    }
}

/// A vat that does what its messages say.
pub(crate) fn scripted() -> Behaviour {
    Box::new(act)
}

fn act(delivery: &Delivery, kernel: &mut Caller<'_>) -> Result<(), String> {
    let Delivery::Message { message, .. } = delivery else { return Ok(()) };
    let name = method(message);
    match name.as_str() {
        "bootstrap" => introduce(message, kernel),
        "do" => {
            let body: Value = serde_json::from_str(&message.methargs.body[1..]).unwrap();
            for operation in body[1].as_array().unwrap() {
                perform(operation, kernel)?;
            }
        }
        _ => {}
    }
    let Some(promise) = message.result.clone() else { return Ok(()) };
    let text = match name.as_str() {
        "ask" => {
            let body: Value = serde_json::from_str(&message.methargs.body[1..]).unwrap();
            "x".repeat(body[1][0].as_u64().unwrap() as usize)
        }
        _ => name,
    };
    let data = match text.as_str() {
        "provision" => CapData { body: "#\"$0\"".to_owned(), slots: vec!["o-52".to_owned()] },
        _ => CapData { body: format!("#\"{text}\""), slots: vec![] },
    };
    let resolutions = vec![Resolution { promise, rejected: false, data }];
    kernel.call(Syscall::Resolve { resolutions }).map(drop)
}

fn introduce(message: &Message, kernel: &mut Caller<'_>) {
    let slots: Vec<&str> = message.methargs.slots.iter().map(String::as_str).collect();
    for root in slots.iter().filter(|slot| slot.starts_with("o-")) {
        kernel.send(root, "introduced", &slots, None);
    }
}

fn perform(operation: &Value, kernel: &mut Caller<'_>) -> Result<(), String> {
    let text = |index: usize| {
        let text = operation[index].as_str().unwrap_or_default();
        text.strip_prefix('!').unwrap_or(text).to_owned()
    };
    let number = |index: usize| operation[index].as_u64().unwrap() as usize;
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let data = |index: usize| CapData { body: text(index), slots: texts(&operation[index + 1]) };
    let syscall = match text(0).as_str() {
        "set" => Syscall::VatstoreSet { key: text(1).into(), value: "v".repeat(number(2)).into() },
        "get" => Syscall::VatstoreGet { key: text(1).into() },
        "next" => Syscall::VatstoreGetNextKey { prior: text(1).into() },
        "delete" => Syscall::VatstoreDelete { key: text(1).into() },
        "key" => Syscall::VatstoreSet { key: "k".repeat(number(1)).into(), value: "v".into() },
        "send" => {
            let result = operation[4].as_str().map(str::to_owned);
            let message = Message { methargs: data(2), result: result.clone() };
            kernel.call(Syscall::Send { target: text(1), message })?;
            let Some(promise) = result else { return Ok(()) };
            Syscall::Subscribe { promise }
        }
        verb @ ("resolve" | "reject") => {
            let (promise, data) = (text(1), data(2));
            let rejected = verb == "reject";
            Syscall::Resolve { resolutions: vec![Resolution { promise, rejected, data }] }
        }
        "web" => {
            let (first, count, span) = (number(1), number(2), number(3));
            let name = |n: usize| format!("p+{}", first + n % count);
            let mention: Vec<String> = (0..span).map(|n| format!("\"&{n}\"")).collect();
            let web = (0..count).map(|n| Resolution {
                promise: name(n),
                rejected: false,
                data: CapData {
                    body: format!("#[{}]", mention.join(",")),
                    slots: (1..=span).map(|next| name(n + next)).collect(),
                },
            });
            Syscall::Resolve { resolutions: web.collect() }
        }
        "call" => {
            let args = CapData { body: text(3), slots: texts(&operation[4]) };
            Syscall::CallNow { target: text(1), method: text(2).into(), args }
        }
        "subscribe" => Syscall::Subscribe { promise: text(1) },
        "drop" => Syscall::DropImports { refs: texts(operation)[1..].to_vec() },
        "retire" => Syscall::RetireExports { refs: texts(operation)[1..].to_vec() },
        "abandon" => Syscall::AbandonExports { refs: texts(operation)[1..].to_vec() },
        "exit" => {
            let info = CapData { body: text(2), slots: texts(&operation[3]) };
            Syscall::Exit { is_failure: operation[1].as_bool().unwrap(), info }
        }
        "spin" => return Err(capstan_abi::Fault::Compute.text().to_owned()),
        "fail" => return Err("e".repeat(number(1))),
        "illegal" => Syscall::Subscribe { promise: "o+0".to_owned() },
        other => panic!("there is no operation {other}"),
    };
    kernel.call(syscall).map(drop)
}
