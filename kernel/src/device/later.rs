//! Deferred results, which a vat settles later through its device, and answers that a device awaits for a vat.
//!
//! A vat keeps each promise that it has to settle in its heap. So strangers could fill the heap of a system vat by
//! requesting promises. Instead, the promise passes to the device, which keeps it in the kernel's state under a
//! number. The vat keeps only the number. Such a promise outlives the vat's incarnation.
//!
//! | method | what it does |
//! |---|---|
//! | `deferResult()` | takes the result of the message that is being delivered; returns its number, or undefined if nobody waits for the result |
//! | `settleResult(number, isRejected, value)` | settles such a result |
//! | `wakeAndTell(handler, listener, number, ...args)` | sends `wake(...args)` to the handler, and `answered(number, isRejected)` to the listener once that is answered |
//!
//! The device's store has three records: `deferred` (u64, the next number), `deferred.N` ([`KRef`] of the promise)
//! and `awaited.KREF` ([`Awaited`]). The last two hold a reference to their promise.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{Message, Resolution};

use super::{Answer, CallResult, Invocation, bigint, thrown};
use crate::{
    capdata::{self, Builder, Json},
    error::Result,
    ids::{DeviceId, Endpoint, KRef},
    state::{handle::State, key::Key, keys, promise::ResultPolicy, queue::Payer},
};

/// Method that takes the result of the message that is being delivered.
pub(super) const DEFER_RESULT: &str = "deferResult";
/// Method that settles a deferred result.
pub(super) const SETTLE_RESULT: &str = "settleResult";
/// Method that wakes a handler, and tells a listener when the handler has answered.
pub(super) const WAKE_AND_TELL: &str = "wakeAndTell";

/// Record of an answer that a device waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Awaited {
    listener: KRef,
    number: u128,
}

impl State<'_> {
    /// Takes the result promise of the current delivery from the vat, and returns its number. The vat's own answer is
    /// ignored.
    pub(super) fn defer_result(&mut self, call: &mut Invocation<'_>) -> CallResult {
        let Some(result) = call.caller.result else { return Ok(Answer::Undefined) };
        if call.caller.is_deferred {
            return thrown("the result of this message is deferred already");
        }
        let decider = self.unresolved(result)?.and_then(|unresolved| unresolved.decider);
        let Some(vat) = call.caller.vat else { return Ok(Answer::Undefined) };
        let endpoint = Endpoint::Vat(vat);
        if decider != Some(endpoint) {
            return thrown(format!("{result} is not the caller's to defer"));
        }
        let number = self.take_number(call.device, "deferred")?;
        self.set_decider(result, Some(Endpoint::Device(call.device)))?;
        self.increment(result)?;
        self.delete_entry(endpoint, result)?;
        self.put(&deferred_key(call.device, number), &result)?;
        call.caller.is_deferred = true;
        Ok(Answer::Value(bigint(number.into())))
    }

    /// Settles a deferred result by its number.
    pub(super) fn settle_result(&mut self, call: &Invocation<'_>) -> CallResult {
        let (number, rejected) = (call.nat(0, "number")?, call.flag(1, "isRejected")?);
        let key = match u64::try_from(number) {
            Ok(number) => deferred_key(call.device, number),
            Err(_) => return thrown(format!("there is no deferred result {number}")),
        };
        let Some(promise) = self.get::<KRef>(&key)? else {
            return thrown(format!("there is no deferred result {number}"));
        };
        let Some(data) = call.args.reserialize(&call.arg(2)?) else {
            return thrown("settleResult() value cannot be read");
        };
        self.over.delete(&key);
        self.resolve(vec![Resolution { promise, rejected, data }], None)?;
        self.decrement(promise)?;
        Ok(Answer::Undefined)
    }

    /// Wakes a handler, and has its answer reported to a listener.
    pub(super) fn wake_and_tell(&mut self, call: &Invocation<'_>) -> CallResult {
        let (handler, listener) = (call.object(0, "handler")?, call.object(1, "listener")?);
        let number = call.nat(2, "number")?;
        let device = call.device;
        let methargs = wake_arguments(call, 3)?;
        // The device holds the listener forever, like everything that it is given.
        self.to_device(device, listener)?;
        let result = self.add_promise(None, ResultPolicy::Ignore)?;
        self.increment(result)?;
        self.subscribe(result, Endpoint::Device(device))?;
        self.put(&awaited_key(device, result), &Awaited { listener, number })?;
        self.send_woken(handler, Message { methargs, result: Some(result) })?;
        Ok(Answer::Undefined)
    }

    /// Tells a device's listener that the awaited promise is settled.
    pub(crate) fn tell_listener(
        &mut self,
        device: DeviceId,
        promise: KRef,
        rejected: bool,
    ) -> Result<()> {
        let key = awaited_key(device, promise);
        let Awaited { listener, number } = self.need(&key)?;
        self.over.delete(&key);
        self.decrement(promise)?;
        let args = vec![bigint(number), Json::Scalar(rejected.to_string())];
        self.send_only(listener, "answered", Builder::default(), args)
    }

    /// Sends a message of a system vat. The receiver's meter pays for its part of the work.
    pub(super) fn send_woken(&mut self, target: KRef, message: Message<KRef>) -> Result<()> {
        self.stats.syscalls += 1;
        self.stats.syscall_send += 1;
        self.send(target, message, Payer::Receiver)
    }
}

/// Builds the message `wake` with the call's arguments from index `start` on.
pub(super) fn wake_arguments(
    call: &Invocation<'_>,
    start: usize,
) -> std::result::Result<capdata::KernelData, super::DeviceFailure> {
    let mut builder = Builder::default();
    let args = call.elements()?.iter().skip(start);
    let args: Option<Vec<Json>> = args.map(|arg| builder.splice(arg, &call.args)).collect();
    match args {
        Some(args) => Ok(capdata::methargs(builder, "wake", args)),
        None => thrown(format!("{}() arguments cannot be read", call.method)),
    }
}

fn deferred_key(device: DeviceId, number: u64) -> Key {
    keys::vatstore(Endpoint::Device(device), format!("deferred.{number}"))
}

fn awaited_key(device: DeviceId, promise: KRef) -> Key {
    keys::vatstore(Endpoint::Device(device), format!("awaited.{promise}"))
}
