//! From the genesis document to the kernel's configuration.

use std::collections::BTreeMap;

use capstan_genesis::{AppState, GenesisDevice, GenesisVat, SystemParams};
use capstan_kernel::{
    KernelConfig, KernelOptions, StaticVat, VAT_ADMIN,
    capdata::KernelData,
    device::{BRIDGE, BUNDLE, DeviceKind, MAILBOX, TIMER},
    limits::SystemGuard,
    vat::{ReapThreshold, Threshold},
};
use capstan_kernel_ports::host::VatHost;
use serde_json::Value;

use crate::{records::bundles, smallcaps};

/// What the kernel starts with. The error says what is wrong with the document.
pub(crate) fn kernel_config(
    genesis: &AppState,
    host: &impl VatHost,
) -> Result<KernelConfig, String> {
    if !genesis.kernel.vats.contains_key(VAT_ADMIN) {
        return Err(format!("app_state.kernel.vats: a vat named {VAT_ADMIN} is required"));
    }
    let mut config = KernelConfig {
        bootstrap: genesis.kernel.bootstrap.clone(),
        pin_bootstrap_root: false,
        provisioner: genesis.kernel.provisioner.clone(),
        vats: Default::default(),
        devices: devices(genesis),
        bundles: Default::default(),
        named_bundles: Default::default(),
        options: kernel_options(genesis),
    };
    for bundle in &genesis.bundles {
        let bytes = bundle.bytes().map_err(|e| e.to_string())?;
        let sound = bundles::verify(bytes, &bundle.id, host);
        let bytes = sound.map_err(|e| format!("app_state.bundles[{}]: {e}", bundle.id))?;
        config.bundles.insert(bundle.id.to_string(), bytes);
        if let Some(name) = &bundle.name {
            config.named_bundles.insert(name.clone(), bundle.id.to_string());
        }
    }
    for (name, vat) in &genesis.kernel.vats {
        let vat = static_vat(vat).map_err(|e| format!("app_state.kernel.vats.{name}: {e}"))?;
        config.vats.insert(name.clone(), vat);
    }
    check_bootstrap(&config)?;
    Ok(config)
}

/// Checks that `bootstrap`, which is given all vats and devices, passes the guard of a vat of the system.
fn check_bootstrap(config: &KernelConfig) -> Result<(), String> {
    let vat = config.bootstrap.as_ref().and_then(|name| config.vats.get(name));
    // The vatAdmin device is always there.
    let given = config.vats.len() + config.devices.len() + 1;
    let limit = config.options.guard.max_slots;
    match vat.is_some_and(|vat| vat.system) && given as u64 > limit {
        true => Err(format!(
            "app_state.kernel: bootstrap would be given {given} vats and devices, and a vat of the system takes at most {limit} references (params.system.max_slots)"
        )),
        false => Ok(()),
    }
}

/// The bridge is always there: the application is at its other end. What else there is, genesis says.
fn devices(genesis: &AppState) -> BTreeMap<String, DeviceKind> {
    let mut devices = BTreeMap::from([(BRIDGE.to_owned(), DeviceKind::Bridge)]);
    for device in &genesis.kernel.devices {
        let (name, kind) = match device {
            GenesisDevice::Timer => (TIMER, DeviceKind::Timer),
            GenesisDevice::Mailbox => (MAILBOX, DeviceKind::Mailbox),
            GenesisDevice::Bundle => (BUNDLE, DeviceKind::Bundle),
        };
        devices.insert(name.to_owned(), kind);
    }
    devices
}

fn kernel_options(genesis: &AppState) -> KernelOptions {
    let counter = |n: u64| if n == 0 { Threshold::Never } else { Threshold::At(n) };
    KernelOptions {
        reap: ReapThreshold {
            deliveries: counter(genesis.kernel.reap_interval),
            gc_krefs: counter(genesis.kernel.reap_gc_krefs),
            computrons: Threshold::Never,
            never: false,
        },
        relax_durability_rules: genesis.kernel.relax_durability_rules,
        snapshot_initial: genesis.params.snapshot_initial,
        snapshot_interval: genesis.params.snapshot_interval,
        snapshot_debt: genesis.params.snapshot_debt,
        collect_at_upgrade: true,
        crank_limit: genesis.params.crank_computrons,
        guard: guard(&genesis.params.system),
    }
}

fn guard(system: &SystemParams) -> SystemGuard {
    SystemGuard {
        max_bytes: system.max_bytes,
        max_depth: system.max_depth,
        max_nodes: system.max_nodes,
        max_slots: system.max_slots,
        message_price: system.message_computrons,
        byte_price: system.byte_computrons,
        slot_price: system.slot_computrons,
        wake_price: system.wake_computrons,
    }
}

fn static_vat(vat: &GenesisVat) -> Result<StaticVat, String> {
    let mut reap = ReapThreshold::default();
    match vat.reap_interval {
        None => {}
        Some(0) => reap.never = true,
        Some(interval) => reap.deliveries = Threshold::At(interval),
    }
    let parameters = match &vat.parameters {
        Value::Null => "{}".to_owned(),
        parameters => smallcaps::to_smallcaps_json(&parameters.to_string(), &[])
            .map_err(|e| format!("parameters: {e}"))?,
    };
    Ok(StaticVat {
        parameters: KernelData { body: format!("#{parameters}"), slots: vec![] },
        critical: vat.critical,
        system: vat.system,
        enable_pipelining: vat.enable_pipelining,
        enable_disavow: vat.enable_disavow,
        reap,
        ..StaticVat::new(vat.bundle.as_str())
    })
}
