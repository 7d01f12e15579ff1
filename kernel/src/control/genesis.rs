//! The state of a new kernel.

use std::collections::BTreeMap;

use capstan_abi::Message;
use capstan_kernel_ports::{Hash, store::Overlay};

use crate::{
    capdata::{self, Builder, Json},
    device::{DeviceKind, VAT_ADMIN},
    error::{Result, inconsistent},
    ids::{DeviceId, KRef},
    service::{NewService, ServiceError},
    state::{
        handle::{Globals, KernelOptions, SCHEMA_VERSION, State},
        keys,
        promise::ResultPolicy,
        queue::{Payer, Queues, RunQueueEvent},
        static_vat::StaticVat,
        stats::Stats,
        vat::VatConfig,
    },
};

/// The configuration of a new kernel.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// The static vat whose `bootstrap(vats, devices)` is called.
    pub bootstrap: Option<String>,
    /// Holds the bootstrap vat's root for good.
    pub pin_bootstrap_root: bool,
    /// The static vat whose root provisions new accounts: held for good.
    pub provisioner: Option<String>,
    /// The static vats by name, among them [`VAT_ADMIN`](crate::VAT_ADMIN).
    pub vats: BTreeMap<String, StaticVat>,
    /// Static vats whose roots the parameters of a vat refer to, by the name of that vat: slot `$0` is the root of the
    /// first, and so on.
    pub parameter_roots: BTreeMap<String, Vec<String>>,
    /// Devices by name. The `vatAdmin` device exists always and is not listed.
    pub devices: BTreeMap<String, DeviceKind>,
    /// Services of the kernel by name. If there are any, `bootstrap` gets their objects as a third argument.
    pub services: BTreeMap<String, NewService>,
    /// The verified bytes of bundles by id: zip archives and wasm modules.
    pub bundles: BTreeMap<String, Vec<u8>>,
    /// The ids of bundles that vats can ask for by name.
    pub named_bundles: BTreeMap<String, String>,
    /// The [`KernelOptions`].
    pub options: KernelOptions,
}

impl KernelConfig {
    /// Returns a configuration without vats, devices and bundles. It lacks the vatAdmin vat, which every kernel has.
    pub fn new(options: KernelOptions) -> Self {
        Self {
            bootstrap: None,
            pin_bootstrap_root: false,
            provisioner: None,
            vats: BTreeMap::new(),
            parameter_roots: BTreeMap::new(),
            devices: BTreeMap::new(),
            services: BTreeMap::new(),
            bundles: BTreeMap::new(),
            named_bundles: BTreeMap::new(),
            options,
        }
    }
}

/// Vats that come first in the numbering, after the bootstrap vat: SwingSet's order.
const FIRST_VATS: [&str; 4] = [VAT_ADMIN, "comms", "vattp", "timer"];

pub(crate) fn initialize(
    over: &mut dyn Overlay,
    config: &KernelConfig,
    engine: Hash,
) -> Result<Option<KRef>> {
    if over.get(keys::GLOBALS)?.is_some() {
        return Err(inconsistent("the state already holds a kernel"));
    }
    if !config.vats.contains_key(VAT_ADMIN) {
        return Err(inconsistent("a vatAdmin vat is required"));
    }
    let mut stats = Stats::default();
    let globals = first_globals(config.options.clone());
    let mut state = State::new(over, &mut stats, None, globals);
    state.put(keys::QUEUES, &Queues::EMPTY)?;
    for (id, bytes) in &config.bundles {
        state.put_bundle(id, bytes.clone())?;
    }
    for (name, id) in &config.named_bundles {
        state.put(&keys::bundle_name(name), id)?;
    }
    let order = vat_order(config);
    for name in &order {
        add_static_vat(&mut state, name, &config.vats[*name], engine)?;
    }
    // Only now every vat has a root that others can be given.
    for name in order {
        start_static_vat(&mut state, name, config)?;
    }
    let devices = add_devices(&mut state, config)?;
    let services = add_services(&mut state, config)?;
    let result = match &config.bootstrap {
        Some(name) => Some(queue_bootstrap(&mut state, config, name, &devices, &services)?),
        None => None,
    };
    if let Some(name) = &config.provisioner {
        let root = root_of(&mut state, name)?;
        state.pin(root)?;
        state.globals_mut().provisioner_root = Some(root);
    }
    state.settle_kept()?;
    // Written even if nothing above has changed them.
    let globals = state.globals().clone();
    state.put(keys::GLOBALS, &globals)?;
    let stats_record = crate::state::handle::encode(&*state.stats)?;
    state.over.set(keys::STATS, stats_record);
    Ok(result)
}

pub(crate) fn first_globals(options: KernelOptions) -> Globals {
    Globals {
        schema: SCHEMA_VERSION,
        crank: 0,
        next_vat: 1,
        next_device: 7,
        next_object: 20,
        next_promise: 40,
        next_device_node: 30,
        next_meter: 1,
        next_upgrade: 1,
        next_remote: 1,
        vat_admin_root: None,
        provisioner_root: None,
        options,
        crank_chain: Hash::default(),
        running_vats: 0,
        next_dead: 0,
        waiting: (0, 0),
        is_collecting: false,
    }
}

fn vat_order(config: &KernelConfig) -> Vec<&str> {
    let mut order: Vec<&str> = Vec::new();
    let first = config.bootstrap.iter().map(String::as_str).chain(FIRST_VATS);
    for name in first.chain(config.vats.keys().map(String::as_str)) {
        if config.vats.contains_key(name) && !order.contains(&name) {
            order.push(name);
        }
    }
    order
}

fn add_static_vat(
    state: &mut State<'_>,
    name: &str,
    setup: &StaticVat,
    engine: Hash,
) -> Result<()> {
    if state.over.get(&keys::bundle(&setup.bundle_id))?.is_none() {
        return Err(inconsistent(format!("vat {name}: bundle {} is not given", setup.bundle_id)));
    }
    let vat = state.allocate_vat();
    state.put(&keys::static_name(name), &vat)?;
    let config = VatConfig { is_static: true, ..setup.config(name, engine) };
    state.begin_vat(vat, &config)?;
    if name == VAT_ADMIN {
        let root = state.export_root(vat)?;
        state.pin(root)?;
        state.globals_mut().vat_admin_root = Some(root);
    }
    Ok(())
}

/// Queues the start of a vat, with its parameters.
fn start_static_vat(state: &mut State<'_>, name: &str, config: &KernelConfig) -> Result<()> {
    let vat = state.need(&keys::static_name(name))?;
    let mut parameters = config.vats[name].parameters.clone();
    for other in config.parameter_roots.get(name).into_iter().flatten() {
        if !config.vats.contains_key(other) {
            return Err(inconsistent(format!(
                "vat {name}: its parameters refer to no vat {other}"
            )));
        }
        parameters.slots.push(root_of(state, other)?);
    }
    state.increment_all(&parameters.slots)?;
    state.accept(RunQueueEvent::StartVat { vat, parameters })
}

/// All devices in the order of their names, which is the order of their ids.
fn add_devices(state: &mut State<'_>, config: &KernelConfig) -> Result<BTreeMap<String, DeviceId>> {
    let mut kinds = config.devices.clone();
    kinds.insert(VAT_ADMIN.to_owned(), DeviceKind::VatAdmin);
    let mut devices = BTreeMap::new();
    for (name, kind) in kinds {
        let device = state.add_device(&name, kind)?;
        devices.insert(name, device);
    }
    Ok(devices)
}

/// All services in the order of their names.
fn add_services(state: &mut State<'_>, config: &KernelConfig) -> Result<BTreeMap<String, KRef>> {
    let mut services = BTreeMap::new();
    for (name, service) in &config.services {
        let kref = state.register_service(name, *service).map_err(|error| match error {
            ServiceError::Panic(panic) => panic,
            refusal => inconsistent(refusal.to_string()),
        })?;
        services.insert(name.clone(), kref);
    }
    Ok(services)
}

fn root_of(state: &mut State<'_>, name: &str) -> Result<KRef> {
    let vat = state.need(&keys::static_name(name))?;
    state.export_root(vat)
}

/// `bootstrap(vats, devices)`: the roots of all static vats and devices by name, and the services if there are any.
fn queue_bootstrap(
    state: &mut State<'_>,
    config: &KernelConfig,
    name: &str,
    devices: &BTreeMap<String, DeviceId>,
    services: &BTreeMap<String, KRef>,
) -> Result<KRef> {
    let mut builder = Builder::default();
    let mut vats = Vec::new();
    for vat_name in config.vats.keys() {
        let root = root_of(state, vat_name)?;
        vats.push((vat_name.clone(), builder.slot(root, "root")));
    }
    let mut nodes = Vec::new();
    for (device_name, device) in devices {
        let node = state.device_export(*device, 0)?;
        nodes.push((device_name.clone(), builder.slot(node, "device")));
    }
    let mut args = vec![Json::Object(vats), Json::Object(nodes)];
    if !services.is_empty() {
        let slot = |(name, kref): (&String, &KRef)| (name.clone(), builder.slot(*kref, "service"));
        args.push(Json::Object(services.iter().map(slot).collect()));
    }
    let root = root_of(state, name)?;
    let methargs = capdata::methargs(builder, "bootstrap", args);
    let result = state.add_promise(None, ResultPolicy::Panic)?;
    state.stats.syscalls += 1;
    state.stats.syscall_send += 1;
    state.send(root, Message { methargs, result: Some(result) }, Payer::Nobody)?;
    if config.pin_bootstrap_root {
        state.pin(root)?;
    }
    state.increment(result)?;
    Ok(result)
}
