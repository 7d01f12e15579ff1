//! Devices: synchronous services of the kernel and, through the bridge, of the application. A vat
//! that holds a device's node calls it and has the answer within its delivery.
//!
//! A device has no transcript. What it keeps lies in the kernel's state, so that an aborted crank
//! takes it back. It holds what it was given for good, gives no objects or promises of its own away,
//! and is never given a promise. An ordinary device cannot be given nodes of other devices either; a
//! raw one can. Whatever goes wrong in a device is the caller's to catch.

mod bridge;
mod bundle;
mod inbound;
mod later;
mod mailbox;
mod timer;
mod vat_admin;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{VatId, store::Overlay};
use capstan_passable::Shape;
use serde_json::Value;

pub use bridge::BRIDGE;
pub use bundle::BUNDLE;
pub use mailbox::{MAILBOX, Mailbox};
pub(crate) use mailbox::{read_mailbox, read_mailboxes};
pub use timer::TIMER;
pub(crate) use timer::next_wakeup;
pub use vat_admin::VAT_ADMIN;

use crate::{
    capdata::{self, Builder, Json, KernelData, Parsed},
    error::{KernelPanic, Refusal, Result, inconsistent},
    ids::{DeviceId, Endpoint, KRef},
    limits::MAX_DEVICE_NODES,
    slog::Event,
    state::{
        clist::{ClistEntry, Use},
        handle::State,
        keys,
    },
};

/// What a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DeviceKind {
    /// Bundles, meters, and the life of vats: every kernel has it.
    VatAdmin,
    /// Wakes vats when the time of the block has come.
    Timer,
    /// Messages from and to other machines, conveyed by someone outside.
    Mailbox,
    /// Calls from and to the application that runs the kernel.
    Bridge,
    /// Bundlecaps for installed bundles, and no power over vats.
    Bundle,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Device {
    /// The name by which bootstrap gets it.
    pub name: String,
    /// What it does.
    pub kind: DeviceKind,
}

/// The application that runs the kernel, as vats reach it through the bridge.
pub trait Application {
    /// Answers a call that a vat made through the bridge. It may read and write what is the
    /// application's in the overlay: an aborted crank takes it back. It must be a function of the
    /// state and the arguments alone. An error is thrown at the vat, its text goes to the log.
    ///
    /// Arguments and answer are plain JSON; big integers arrive as decimal strings, and none is the
    /// answer `undefined`.
    fn outbound(
        &mut self,
        over: &mut dyn Overlay,
        args: &[Value],
    ) -> Result<std::result::Result<Option<Value>, String>>;
}

/// Why the host could not do something with a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The genesis document did not ask for it.
    #[error("this kernel has no {0} device: the genesis document has to ask for it")]
    Missing(&'static str),
    /// No vat has registered a handler with the device.
    #[error("{0}: no vat has registered a handler yet")]
    NoHandler(&'static str),
    /// Time ran backwards.
    #[error("time is monotonic: {now} is before {last}")]
    TimeRanBackwards {
        /// What was to be the time.
        now: u64,
        /// What it was before.
        last: u128,
    },
    /// The device cannot take what it was given.
    #[error("{0}")]
    Refused(String),
    /// The kernel's own trouble.
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}

impl DeviceError {
    /// An answer for the vat that asked the device to hand something over: undefined, or why not.
    fn answer(handed_over: std::result::Result<(), Self>) -> Called {
        match handed_over {
            Ok(()) => Ok(Answer::Undefined),
            Err(Self::Panic(panic)) => Err(Oops::Panic(panic)),
            Err(refusal) => Ok(Answer::Text(refusal.to_string())),
        }
    }
}

/// What a vat sees of a device call that went wrong in the device.
const FAILED: &str = "device.invoke failed, see logs for details";

/// What a device takes for a text.
const UNICODE: &str = "a string without lone surrogates";

/// The root node of each device.
const ROOT: &str = "d+0";

/// The vat that calls a device, and the message in whose delivery it does so.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) vat: VatId,
    /// The message's result, if somebody waits for it.
    pub(crate) result: Option<KRef>,
    /// Whether a device has taken the result: then the vat's own answer is ignored.
    pub(crate) is_deferred: bool,
}

/// One call of a device.
struct Invocation<'a> {
    caller: &'a mut Caller,
    device: DeviceId,
    /// Which of the device's nodes was called.
    node: &'a str,
    method: &'a str,
    args: Parsed,
}

/// How a call went.
type Called = std::result::Result<Answer, Oops>;

/// Why there is no answer.
enum Oops {
    /// The device threw: the text is for the node's log.
    Thrown(String),
    Panic(KernelPanic),
}

impl<E: Into<KernelPanic>> From<E> for Oops {
    fn from(error: E) -> Self {
        Self::Panic(error.into())
    }
}

fn thrown<T>(why: impl Into<String>) -> std::result::Result<T, Oops> {
    Err(Oops::Thrown(why.into()))
}

/// What a device call returns.
enum Answer {
    Undefined,
    Text(String),
    /// A device node of this device's own.
    Node(KRef),
    Value(Json),
}

impl Invocation<'_> {
    /// The arguments.
    fn elements(&self) -> std::result::Result<&[Json], Oops> {
        self.args.elements().map_or_else(|| thrown("arguments are not an array"), Ok)
    }

    /// An argument; undefined if there are fewer.
    fn arg(&self, index: usize) -> std::result::Result<Json, Oops> {
        Ok(self.elements()?.get(index).cloned().unwrap_or_else(Json::undefined))
    }

    fn text(&self, index: usize, what: &str) -> std::result::Result<String, Oops> {
        match self.arg(index)?.as_unicode() {
            Some(text) => Ok(text),
            None => thrown(format!("{}() {what} must be {UNICODE}", self.method)),
        }
    }

    fn flag(&self, index: usize, what: &str) -> std::result::Result<bool, Oops> {
        match self.arg(index)? {
            Json::Scalar(text) if text == "true" || text == "false" => Ok(text == "true"),
            _ => thrown(format!("{}() {what} must be true or false", self.method)),
        }
    }

    /// What JavaScript's `Nat` accepts: a bigint or an integral number that is not negative.
    fn nat(&self, index: usize, what: &str) -> std::result::Result<u128, Oops> {
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
    fn object(&self, index: usize, what: &str) -> std::result::Result<KRef, Oops> {
        match self.args.reference(&self.arg(index)?) {
            Some(kref @ KRef::Object(_)) => Ok(kref),
            _ => thrown(format!("{}() {what} must be an object", self.method)),
        }
    }
}

impl State<'_> {
    /// Calls a device. The inner error is the caller's to catch.
    pub(crate) fn invoke_device(
        &mut self,
        caller: &mut Caller,
        node: KRef,
        method: &str,
        args: &KernelData,
    ) -> Result<std::result::Result<KernelData, String>> {
        let device = self.device_of(node)?;
        let record: Device = self.need(&keys::device(device))?;
        let node_ref = self.to_device(device, node)?;
        let mut is_foreign = false;
        // A device holds its imports for good: what is only passed on is not imported.
        let passes_on = passes_on(record.kind, method);
        for kref in &args.slots {
            is_foreign |= match passes_on {
                true => matches!(kref, KRef::Device(_)),
                false => self.to_device(device, *kref)?.starts_with("d-"),
            };
        }
        let called = match Parsed::new(args) {
            _ if Shape::measure(&args.body).nodes > MAX_DEVICE_NODES as u64 => {
                thrown(format!("a device takes at most {MAX_DEVICE_NODES} values"))
            }
            None => thrown("arguments are not smallcaps"),
            Some(args) => {
                let mut call = Invocation { caller, device, node: &node_ref, method, args };
                self.call_device(record.kind, &mut call, is_foreign)
            }
        };
        let why = match called {
            Ok(answer) => return Ok(Ok(encode(answer))),
            Err(Oops::Panic(panic)) => return Err(panic),
            Err(Oops::Thrown(why)) => why,
        };
        self.log(Event::DeviceThrew { device: &record.name, method, why: &why });
        Ok(Err(FAILED.to_owned()))
    }

    fn call_device(
        &mut self,
        kind: DeviceKind,
        call: &mut Invocation<'_>,
        is_foreign: bool,
    ) -> Called {
        if is_foreign && kind != DeviceKind::VatAdmin {
            return thrown("an ordinary device cannot be given nodes of other devices");
        }
        match kind {
            DeviceKind::VatAdmin => self.call_vat_admin(call),
            DeviceKind::Timer => self.call_timer(call),
            DeviceKind::Mailbox => self.call_mailbox(call),
            DeviceKind::Bridge => self.call_bridge(call),
            DeviceKind::Bundle => self.call_bundle(call),
        }
    }

    /// Makes a device; its root node is exported when someone asks for it.
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

    /// The kernel's reference for a vat's root object.
    pub(crate) fn export_root(&mut self, vat: VatId) -> Result<KRef> {
        self.to_kernel(Endpoint::Vat(vat), "o+0", Use::Mention).map_err(|refusal| match refusal {
            Refusal::Panic(panic) => panic,
            Refusal::VatFatal(why) => inconsistent(format!("root of {vat}: {why}")),
        })
    }
}

/// Whether a method only passes on what it is given, so that the device does not come to hold it.
fn passes_on(kind: DeviceKind, method: &str) -> bool {
    match kind {
        DeviceKind::Timer => {
            [timer::WAKE_SOON, later::SETTLE_RESULT, later::WAKE_AND_TELL].contains(&method)
        }
        DeviceKind::VatAdmin => method == later::SETTLE_RESULT,
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
    };
    builder.finish(&value)
}
