//! Devices: synchronous services of the kernel and, through the bridge, of the application.
//!
//! A vat that holds a device's node calls it and has the answer within its delivery. A device has no
//! transcript. Its data lies in the kernel's state, so that an aborted crank takes it back.
//!
//! A device holds for good what it was given. It gives away no objects or promises of its own, and is never
//! given a promise. An ordinary device cannot be given nodes of other devices either, but a raw one can. The
//! caller can catch whatever goes wrong in a device.

mod bridge;
mod bundle;
mod inbound;
mod later;
mod mailbox;
mod outside;
mod revocation;
mod subclusters;
mod timer;
mod vat_admin;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::VatId;
use capstan_passable::Shape;

pub use bridge::BRIDGE;
pub use bundle::BUNDLE;
pub use mailbox::{MAILBOX, Mailbox};
pub(crate) use mailbox::{message_after, read_mailboxes};
pub use timer::TIMER;
pub(crate) use timer::next_wakeup;
pub use vat_admin::VAT_ADMIN;

pub use crate::error::DeviceError;
use crate::{
    capdata::{self, Builder, Json, KernelData, Parsed},
    error::{KernelPanic, Result},
    ids::{DeviceId, Endpoint, KRef},
    limits::MAX_DEVICE_NODES,
    state::slog::Event,
    state::{clist::ClistEntry, handle::State, keys},
};

/// The service that a device gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DeviceKind {
    /// Bundles, meters, and the life of vats. Every kernel has it.
    VatAdmin,
    /// Wakes vats when the time of the block has come.
    Timer,
    /// Messages from and to other machines, conveyed by someone outside.
    Mailbox,
    /// Calls from and to the application that runs the kernel.
    Bridge,
    /// Bundlecaps for installed bundles, and no power over vats.
    Bundle,
    /// Answers of the [`Application`](crate::Application), which has the device's code.
    Application,
}

/// A device: its name and kind.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Device {
    /// The name under which bootstrap gets it.
    pub name: String,
    /// Its [`DeviceKind`].
    pub kind: DeviceKind,
}

impl DeviceError {
    /// An answer for the vat that asked the device to hand something over: undefined, or why not.
    fn answer(handed_over: std::result::Result<(), Self>) -> CallResult {
        match handed_over {
            Ok(()) => Ok(Answer::Undefined),
            Err(Self::Panic(panic)) => Err(DeviceFailure::Panic(panic)),
            Err(refusal) => Ok(Answer::Text(refusal.to_string())),
        }
    }
}

/// The error text that a vat sees of a device call that failed in the device.
const FAILED: &str = "device.invoke failed, see logs for details";

/// The requirement on a text argument, as error texts state it.
const UNICODE: &str = "a string without lone surrogates";

/// The root node of each device.
const ROOT: &str = "d+0";

/// The vat that calls a device, and the message in whose delivery it does so.
#[derive(Debug)]
pub(crate) struct Caller {
    /// `None` if the call comes from a service.
    pub(crate) vat: Option<VatId>,
    /// The message's result, if somebody waits for it.
    pub(crate) result: Option<KRef>,
    /// True if a device has taken the result. Then the vat's own answer is ignored.
    pub(crate) is_deferred: bool,
}

/// The kernel's reply to a device call of a vat.
pub(crate) enum DeviceReply {
    /// A value.
    Returned(KernelData),
    /// An error that the vat can catch.
    Threw(String),
}

/// The outcome of a service's call of a device.
pub(crate) enum Spoken {
    /// It did what it was asked for.
    Done,
    /// It did not, for this reason.
    Refused(String),
}

/// One call of a device.
struct Invocation<'a> {
    caller: &'a mut Caller,
    device: DeviceId,
    /// The node of the device that was called.
    node: &'a str,
    method: &'a str,
    args: Parsed,
}

/// The result of a call within a device.
type CallResult = std::result::Result<Answer, DeviceFailure>;

/// The reason why a device gives no answer.
enum DeviceFailure {
    /// The device threw: the text is for the node's log.
    Thrown(String),
    /// The device answered with an error: the text is for the vat.
    Told(String),
    Panic(KernelPanic),
}

impl<E: Into<KernelPanic>> From<E> for DeviceFailure {
    fn from(error: E) -> Self {
        Self::Panic(error.into())
    }
}

fn thrown<T>(why: impl Into<String>) -> std::result::Result<T, DeviceFailure> {
    Err(DeviceFailure::Thrown(why.into()))
}

/// The answer of a device call.
enum Answer {
    Undefined,
    Text(String),
    /// A device node of this device's own.
    Node(KRef),
    Value(Json),
    /// A value with references.
    Data(KernelData),
}

impl Invocation<'_> {
    /// The arguments.
    fn elements(&self) -> std::result::Result<&[Json], DeviceFailure> {
        self.args.elements().map_or_else(|| thrown("arguments are not an array"), Ok)
    }

    /// Returns an argument, or `undefined` if there are fewer.
    fn arg(&self, index: usize) -> std::result::Result<Json, DeviceFailure> {
        Ok(self.elements()?.get(index).cloned().unwrap_or_else(Json::undefined))
    }

    fn text(&self, index: usize, what: &str) -> std::result::Result<String, DeviceFailure> {
        match self.arg(index)?.as_unicode() {
            Some(text) => Ok(text),
            None => thrown(format!("{}() {what} must be {UNICODE}", self.method)),
        }
    }

    fn flag(&self, index: usize, what: &str) -> std::result::Result<bool, DeviceFailure> {
        match self.arg(index)? {
            Json::Scalar(text) if text == "true" || text == "false" => Ok(text == "true"),
            _ => thrown(format!("{}() {what} must be true or false", self.method)),
        }
    }

    /// Returns what JavaScript's `Nat` accepts: a bigint or an integral number that is not negative.
    fn nat(&self, index: usize, what: &str) -> std::result::Result<u128, DeviceFailure> {
        let arg = self.arg(index)?;
        let number = match &arg {
            Json::Scalar(text) => crate::ids::canonical_decimal(text).map(u128::from),
            _ => arg.as_nat(),
        };
        match number {
            Some(number) => Ok(number),
            None => thrown(format!("{}() {what} must be a natural below 2^128", self.method)),
        }
    }

    /// An object that messages can be sent to.
    fn object(&self, index: usize, what: &str) -> std::result::Result<KRef, DeviceFailure> {
        match self.args.reference(&self.arg(index)?) {
            Some(kref @ KRef::Object(_)) => Ok(kref),
            _ => thrown(format!("{}() {what} must be an object", self.method)),
        }
    }
}

impl State<'_> {
    /// Has a device do what a message to a service asks for.
    pub(crate) fn speak_to_device(
        &mut self,
        name: &'static str,
        method: &str,
        args: &KernelData,
    ) -> Result<Spoken> {
        let device = match self.device_named(name) {
            Ok(device) => device,
            Err(DeviceError::Panic(panic)) => return Err(panic),
            Err(missing) => return Ok(Spoken::Refused(missing.to_string())),
        };
        // Vats cannot give a device promises either: it would hold them for good.
        if args.slots.iter().any(|slot| matches!(slot, KRef::Promise(_))) {
            return Ok(Spoken::Refused("a device takes no promises".to_owned()));
        }
        let node = self.device_export(device, 0)?;
        let mut caller = Caller { vat: None, result: None, is_deferred: false };
        Ok(match self.try_device(&mut caller, device, node, method, args) {
            // Devices that hand something over answer with the reason if they cannot.
            Ok(Answer::Text(why)) | Err(DeviceFailure::Thrown(why) | DeviceFailure::Told(why)) => {
                Spoken::Refused(why)
            }
            Ok(_) => Spoken::Done,
            Err(DeviceFailure::Panic(panic)) => return Err(panic),
        })
    }

    /// Calls a device.
    pub(crate) fn invoke_device(
        &mut self,
        caller: &mut Caller,
        node: KRef,
        method: &str,
        args: &KernelData,
    ) -> Result<DeviceReply> {
        let device = self.device_of(node)?;
        let (why, told) = match self.try_device(caller, device, node, method, args) {
            Ok(answer) => return Ok(DeviceReply::Returned(encode(answer))),
            Err(DeviceFailure::Thrown(why)) => (why, FAILED.to_owned()),
            Err(DeviceFailure::Told(text)) => (text.clone(), text),
            Err(DeviceFailure::Panic(panic)) => return Err(panic),
        };
        let record: Device = self.need(&keys::device(device))?;
        self.log(Event::DeviceThrew { device: &record.name, method, why: &why });
        Ok(DeviceReply::Threw(told))
    }

    /// Calls a device, which may throw.
    fn try_device(
        &mut self,
        caller: &mut Caller,
        device: DeviceId,
        node: KRef,
        method: &str,
        args: &KernelData,
    ) -> CallResult {
        let record: Device = self.need(&keys::device(device))?;
        let node_ref = self.to_device(device, node)?;
        if record.kind == DeviceKind::Application {
            return self.call_outside_device(device, &record.name, &node_ref, method, args);
        }
        // A device holds its imports for good: what is only passed on is not imported.
        let passes_on = passes_on(record.kind, method);
        let mut is_foreign = false;
        for kref in args.slots.iter().filter(|kref| matches!(kref, KRef::Device(_))) {
            is_foreign |= passes_on || self.device_of(*kref)? != device;
        }
        let answer = match Parsed::new(args) {
            _ if Shape::measure(&args.body).nodes > MAX_DEVICE_NODES as u64 => {
                thrown(format!("a device takes at most {MAX_DEVICE_NODES} values"))
            }
            None => thrown("arguments are not smallcaps"),
            Some(args) => {
                let mut call = Invocation { caller, device, node: &node_ref, method, args };
                self.call_device(record.kind, &mut call, is_foreign)
            }
        }?;
        // Only now: of a call that fails the device holds nothing.
        for kref in args.slots.iter().filter(|_| !passes_on) {
            self.to_device(device, *kref)?;
        }
        Ok(answer)
    }

    fn call_device(
        &mut self,
        kind: DeviceKind,
        call: &mut Invocation<'_>,
        is_foreign: bool,
    ) -> CallResult {
        if is_foreign && kind != DeviceKind::VatAdmin {
            return thrown("an ordinary device cannot be given nodes of other devices");
        }
        match kind {
            DeviceKind::VatAdmin => self.call_vat_admin(call),
            DeviceKind::Timer => self.call_timer(call),
            DeviceKind::Mailbox => self.call_mailbox(call),
            DeviceKind::Bridge => self.call_bridge(call),
            DeviceKind::Bundle => self.call_bundle(call),
            DeviceKind::Application => thrown("the application has this device's code"),
        }
    }

    /// Makes a device. Its root node is exported on demand.
    pub(crate) fn add_device(&mut self, name: &str, kind: DeviceKind) -> Result<DeviceId> {
        let device = DeviceId(self.globals().next_device);
        self.globals_mut().next_device += 1;
        self.put(&keys::device_name(name), &device)?;
        self.put(&keys::device(device), &Device { name: name.to_owned(), kind })?;
        Ok(device)
    }

    /// The device of that name, for the host.
    fn device_named(&self, name: &'static str) -> std::result::Result<DeviceId, DeviceError> {
        self.get(&keys::device_name(name))?.ok_or(DeviceError::Missing(name))
    }

    /// Takes the next number that a device keeps under `name`.
    fn take_number(&mut self, device: DeviceId, name: &str) -> Result<u64> {
        let key = keys::vatstore(Endpoint::Device(device), name);
        let number = self.get::<u64>(&key)?.unwrap_or(0);
        self.put(&key, &(number + 1))?;
        Ok(number)
    }

    /// Sends a message as a device: nobody waits for an answer.
    fn send_only(
        &mut self,
        target: KRef,
        method: &str,
        builder: Builder,
        args: Vec<Json>,
    ) -> Result<()> {
        self.send_without_result(target, capdata::methargs(builder, method, args))
    }

    /// The device's reference for one of the kernel's. Devices hold their imports for good.
    fn to_device(&mut self, device: DeviceId, kref: KRef) -> Result<String> {
        let endpoint = Endpoint::Device(device);
        if let Some(entry) = self.clist_entry(endpoint, kref)? {
            return Ok(entry.vref);
        }
        let mut ids = self.import_ids(endpoint)?;
        let vref = ids.take(kref);
        self.put_import_ids(endpoint, ids)?;
        self.increment(kref)?;
        self.write_entry(endpoint, kref, ClistEntry { reachable: true, vref: vref.clone() })?;
        self.put(&keys::clist_reverse(endpoint, &vref), &kref)?;
        Ok(vref)
    }

    /// The kernel's reference for a node of the device's own.
    pub(crate) fn device_export(&mut self, device: DeviceId, number: u64) -> Result<KRef> {
        let endpoint = Endpoint::Device(device);
        let vref = format!("d+{number}");
        if let Some(kref) = self.clist_kref(endpoint, &vref)? {
            return Ok(kref);
        }
        let kref = self.add_device_node(device)?;
        self.write_entry(endpoint, kref, ClistEntry { reachable: true, vref: vref.clone() })?;
        self.put(&keys::clist_reverse(endpoint, &vref), &kref)?;
        Ok(kref)
    }
}

/// Returns true if a method only passes on what it is given, so that the device does not come to hold it.
fn passes_on(kind: DeviceKind, method: &str) -> bool {
    match kind {
        DeviceKind::Timer => {
            [timer::WAKE_SOON, later::SETTLE_RESULT, later::WAKE_AND_TELL].contains(&method)
        }
        DeviceKind::VatAdmin => {
            [later::SETTLE_RESULT, subclusters::ADD_VAT, subclusters::LAUNCH].contains(&method)
                || revocation::METHODS.contains(&method)
        }
        _ => false,
    }
}

/// A bigint, as smallcaps writes it.
fn bigint(number: u128) -> Json {
    Json::Text(format!("+{number}"))
}

fn encode(answer: Answer) -> KernelData {
    let mut builder = Builder::default();
    let value = match answer {
        Answer::Undefined => Json::undefined(),
        Answer::Text(text) => builder.text(&text),
        Answer::Node(node) => builder.slot(node, "device node"),
        Answer::Value(value) => value,
        Answer::Data(data) => return data,
    };
    builder.finish(&value)
}
