//! What the host may ask of a kernel between cranks beside sending messages: devices, upgrades of
//! static vats, options.

use std::collections::BTreeSet;

use capstan_kernel_ports::{VatId, host::VatHost, store::Overlay};
use serde_json::Value;

use crate::{
    capdata::{self, Builder, Json, KernelData},
    control::kernel::Kernel,
    device::{DeviceError, VAT_ADMIN},
    error::{KernelPanic, Result},
    ids::{KRef, MeterId},
    state::{handle::State, keys, promise::ResultPolicy, queue::TakenOut, vat::Threshold},
};

/// Options of the kernel that can change while it runs. What is none stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionChanges {
    /// Deliveries between two bringOutYourDead, for vats without an interval of their own.
    pub reap_interval: Option<Threshold>,
    /// References of garbage collection between two bringOutYourDead, likewise.
    pub reap_gc_krefs: Option<Threshold>,
    /// Transcript entries after which a further heap snapshot is due.
    pub snapshot_interval: Option<u64>,
}

/// Options that the kernel does not take. The texts are SwingSet's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOptions(pub String);

impl OptionChanges {
    /// Reads `{defaultReapInterval, defaultReapGCKrefs, snapshotInterval}`: the first two positive
    /// numbers or `"never"`, the last a natural number; each may be left out.
    pub fn from_json(options: &Value) -> std::result::Result<Self, BadOptions> {
        let fields = options.as_object();
        let fields = fields.ok_or_else(|| BadOptions("options must be an object".to_owned()))?;
        let mut changes = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "defaultReapInterval" => changes.reap_interval = Some(threshold(name, value)?),
                "defaultReapGCKrefs" => changes.reap_gc_krefs = Some(threshold(name, value)?),
                "snapshotInterval" => {
                    let bad = || BadOptions("invalid heap snapshotInterval value".to_owned());
                    changes.snapshot_interval = Some(value.as_u64().ok_or_else(bad)?);
                }
                _ => return Err(BadOptions(format!("unknown option \"{name}\""))),
            }
        }
        Ok(changes)
    }
}

/// What lies under names after a prefix: name, key and value.
fn named(state: &State<'_>, prefix: &[u8]) -> Result<Vec<(String, (Vec<u8>, Vec<u8>))>> {
    let name = |key: &[u8]| String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
    Ok(state.over.scan(prefix)?.into_iter().map(|entry| (name(&entry.0), entry)).collect())
}

fn threshold(name: &str, value: &Value) -> std::result::Result<Threshold, BadOptions> {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let bad = || BadOptions(format!("{name} {shown} must be a positive number or \"never\""));
    match Threshold::from_json(value) {
        None | Some(Threshold::At(0)) => Err(bad()),
        Some(threshold) => Ok(threshold),
    }
}

impl<H: VatHost> Kernel<H> {
    /// Tells the timer device that it is `now`, in whole seconds since 1970: the time of the block,
    /// never a clock's. Queues what is due. True if anything was.
    pub fn poll_timer(
        &mut self,
        over: &mut dyn Overlay,
        now: u64,
    ) -> std::result::Result<bool, DeviceError> {
        self.between_cranks(over, |state| state.poll_timer(now))
    }

    /// Hands over what came for the mailbox from a peer: numbered messages, and the number of the
    /// last message that the peer has taken. See [`crate::view::mailboxes`] for the other direction.
    pub fn mailbox_inbound(
        &mut self,
        over: &mut dyn Overlay,
        peer: &str,
        messages: &[(u64, String)],
        ack: u64,
    ) -> std::result::Result<(), DeviceError> {
        self.between_cranks(over, |state| state.mailbox_inbound(peer, messages, ack))
    }

    /// Calls the vat that registered with the bridge: `inbound(...args)`.
    pub fn bridge_inbound(
        &mut self,
        over: &mut dyn Overlay,
        args: &[Value],
    ) -> std::result::Result<(), DeviceError> {
        self.between_cranks(over, |state| state.bridge_inbound(args))
    }

    /// Asks the vatAdmin vat to upgrade a static vat; with `pause`, that vat's `pauseService` is called
    /// and awaited first. `options` is a smallcaps record without slots. Returns the promise for
    /// `{incarnationNumber}`, held for the caller; none if there is no such vat.
    pub fn upgrade_static_vat(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        pause: bool,
        bundle_id: &str,
        options: &KernelData,
    ) -> Result<Option<KRef>> {
        self.between_cranks(over, |state| {
            let Some(vat) = state.get::<VatId>(&keys::static_name(name))? else { return Ok(None) };
            let Some(admin) = state.get::<VatId>(&keys::static_name(VAT_ADMIN))? else {
                return Ok(None);
            };
            let mut builder = Builder::default();
            let target = match pause {
                true => {
                    let root = state.export_root(vat)?;
                    builder.slot(root, "undefined")
                }
                false => Json::Scalar("null".to_owned()),
            };
            let (vat, bundle) = (builder.text(vat.to_string()), builder.text(bundle_id));
            let options = upgrade_options(options, name, &mut builder);
            let methargs =
                capdata::methargs(builder, "upgradeStaticVat", vec![vat, target, bundle, options]);
            let admin = state.export_root(admin)?;
            let result = state.send_from_kernel(admin, methargs, ResultPolicy::Ignore)?;
            state.increment(result)?;
            Ok(Some(result))
        })
    }

    /// Calls `method(argv, vats, devices)` of a static vat's root: an array of strings, and the roots of
    /// all other static vats except for the `hidden` ones, and the device nodes, by name. So SwingSet's
    /// first years called `bootstrap`. Returns the promise for the result, held for the caller; none if
    /// there is no such vat.
    pub fn introduce_vats(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        method: &str,
        argv: &[String],
        hidden: &[&str],
    ) -> Result<Option<KRef>> {
        self.between_cranks(over, |state| {
            let Some(vat) = state.get::<VatId>(&keys::static_name(name))? else { return Ok(None) };
            let mut builder = Builder::default();
            let argv = Json::Array(argv.iter().map(|text| builder.text(text)).collect());
            let mut vats = Vec::new();
            for (other, value) in named(state, keys::STATIC_NAMES)? {
                if other != name && !hidden.contains(&other.as_str()) {
                    let root =
                        state.export_root(crate::state::handle::decode(&value.0, &value.1)?)?;
                    vats.push((other, builder.slot(root, "root")));
                }
            }
            let mut devices = Vec::new();
            for (device, value) in named(state, keys::DEVICE_NAMES)? {
                let node =
                    state.device_export(crate::state::handle::decode(&value.0, &value.1)?, 0)?;
                devices.push((device, builder.slot(node, "device")));
            }
            let args = vec![argv, Json::Object(vats), Json::Object(devices)];
            let methargs = capdata::methargs(builder, method, args);
            let root = state.export_root(vat)?;
            let result = state.send_from_kernel(root, methargs, ResultPolicy::Ignore)?;
            state.increment(result)?;
            Ok(Some(result))
        })
    }

    /// Puts computrons into a meter. Returns what it holds then; none if there is no such meter or it
    /// is unlimited.
    pub fn fund_meter(
        &mut self,
        over: &mut dyn Overlay,
        meter: MeterId,
        computrons: u128,
    ) -> Result<Option<u128>> {
        self.between_cranks(over, |state| {
            let mut remaining = None;
            state.update_meter(meter, |meter| {
                meter.remaining = meter.remaining.map(|old| old.saturating_add(computrons));
                remaining = meter.remaining;
            })?;
            Ok(remaining)
        })
    }

    /// Changes options of the kernel as a whole.
    pub fn change_options(&mut self, over: &mut dyn Overlay, changes: OptionChanges) -> Result<()> {
        self.between_cranks(over, |state| {
            let options = &mut state.globals_mut().options;
            if let Some(threshold) = changes.reap_interval {
                options.reap.deliveries = threshold;
            }
            if let Some(threshold) = changes.reap_gc_krefs {
                options.reap.gc_krefs = threshold;
            }
            if let Some(interval) = changes.snapshot_interval {
                options.snapshot_interval = interval;
            }
            Ok::<(), KernelPanic>(())
        })
    }

    /// Says whether the end of a vat stops the chain from now on. False if there is no such vat.
    pub fn set_critical(
        &mut self,
        over: &mut dyn Overlay,
        vat: VatId,
        critical: bool,
    ) -> Result<bool> {
        self.between_cranks(over, |state| {
            if crate::view::vat_config(state.over, vat)?.is_none() {
                return Ok(false);
            }
            let mut config = state.vat_config(vat)?;
            config.critical = critical;
            state.put_vat_config(vat, &config)?;
            Ok(true)
        })
    }

    /// Takes a message out of the queues, by its result promise, which is rejected. False if there is none.
    pub fn drop_message(&mut self, over: &mut dyn Overlay, result: KRef) -> Result<bool> {
        self.between_cranks(over, |state| state.drop_message(result))
    }

    /// Names what is not done when its crank comes, as if it had failed before anybody saw it; see
    /// [`Self::not_taken_out`]. What an earlier call named is forgotten.
    pub fn take_out(&mut self, named: impl IntoIterator<Item = TakenOut>) {
        self.taken_out = named.into_iter().collect();
    }

    /// What was named and whose crank has not come since; it is forgotten.
    pub fn not_taken_out(&mut self) -> BTreeSet<TakenOut> {
        std::mem::take(&mut self.taken_out)
    }

    /// Sends a message to the root of a static vat of whose answer nobody wants to know. False if
    /// there is no such vat.
    pub fn post_to_vat_root(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        methargs: KernelData,
    ) -> Result<bool> {
        self.between_cranks(over, |state| {
            let Some(vat) = state.get::<VatId>(&keys::static_name(name))? else { return Ok(false) };
            let root = state.export_root(vat)?;
            state.send_without_result(root, methargs)?;
            Ok(true)
        })
    }
}

/// The options of an upgrade, with the message that SwingSet's controller gives if there is none.
fn upgrade_options(options: &KernelData, name: &str, builder: &mut Builder) -> Json {
    let given = options.body.strip_prefix('#').and_then(Json::parse);
    let Some(Json::Object(mut fields)) = given else { return Json::Object(vec![]) };
    let has_message = fields.iter().any(|(key, value)| {
        key == "upgradeMessage"
            && *value != Json::undefined()
            && *value != Json::Text(String::new())
    });
    if !has_message {
        fields.retain(|(key, _)| key != "upgradeMessage");
        let message = builder.text(format!("vat {name} upgraded"));
        let at = fields.partition_point(|(key, _)| key.as_str() < "upgradeMessage");
        fields.insert(at, ("upgradeMessage".to_owned(), message));
    }
    Json::Object(fields)
}
