//! The kernel's configuration as the genesis document gives it.

use std::collections::BTreeMap;

use capstan_genesis::{
    AppState, GenesisDevice, GenesisService, GenesisSubcluster, GenesisVat, Params, SystemParams,
};
use capstan_kernel::{
    KernelConfig, KernelOptions, StaticVat, VAT_ADMIN,
    billing::Billing,
    capdata::KernelData,
    device::{BRIDGE, BUNDLE, DeviceKind, MAILBOX, TIMER},
    limits::SystemGuard,
    service::{NewService, ServiceKind},
    subcluster::{IoChannel, IoDirection, SubclusterConfig},
    vat::{ReapThreshold, Threshold},
};
use capstan_kernel_ports::host::VatHost;
use serde_json::Value;

use crate::{
    block::services::{CHAIN, VALIDATORS},
    fault::NodeFault,
    records::bundles,
};
use capstan_passable as smallcaps;

/// Returns the [`KernelConfig`] with which the kernel starts.
///
/// # Errors
/// [`NodeFault::Genesis`], which says what is wrong with the document.
pub(crate) fn kernel_config(
    genesis: &AppState,
    host: &impl VatHost,
) -> Result<KernelConfig, NodeFault> {
    if !genesis.kernel.vats.contains_key(VAT_ADMIN) {
        return refuse(format!("app_state.kernel.vats: a vat named {VAT_ADMIN} is required"));
    }
    let mut config = KernelConfig {
        bootstrap: genesis.kernel.bootstrap.clone(),
        pin_bootstrap_root: false,
        provisioner: genesis.kernel.provisioner.clone(),
        vats: Default::default(),
        parameter_roots: Default::default(),
        devices: devices(genesis),
        services: services(genesis),
        bundles: Default::default(),
        named_bundles: Default::default(),
        options: kernel_options(genesis),
    };
    for bundle in &genesis.bundles {
        let bytes = bundle.bytes().map_err(|e| NodeFault::Genesis(e.to_string()))?;
        let sound = bundles::verify(bytes, &bundle.id, host);
        let bytes = sound
            .map_err(|e| NodeFault::Genesis(format!("app_state.bundles[{}]: {e}", bundle.id)))?;
        config.bundles.insert(bundle.id.to_string(), bytes);
        if let Some(name) = &bundle.name {
            config.named_bundles.insert(name.clone(), bundle.id.to_string());
        }
    }
    for (name, vat) in &genesis.kernel.vats {
        let field = format!("vats.{name}");
        config.vats.insert(name.clone(), static_vat(&field, vat)?);
    }
    check_bootstrap(&config)?;
    Ok(config)
}

/// Returns the system subclusters by name, in the document's order.
///
/// # Errors
/// [`NodeFault::Genesis`], which says what is wrong with the document.
pub(crate) fn system_subclusters(
    genesis: &AppState,
) -> Result<Vec<(String, SubclusterConfig)>, NodeFault> {
    let one = |GenesisSubcluster { name, config }: &GenesisSubcluster| {
        let mut vats = Vec::new();
        for (vat_name, vat) in &config.vats.0 {
            let field = format!("system_subclusters.{name}.config.vats.{vat_name}");
            vats.push((vat_name.clone(), static_vat(&field, vat)?));
        }
        let io = config.io.iter().map(|(name, io)| {
            let direction = IoDirection::parse(&io.direction).unwrap_or_default();
            (name.clone(), IoChannel { direction })
        });
        let bootstrap = Some(config.bootstrap.clone());
        let services = config.services.clone();
        Ok((name.clone(), SubclusterConfig { bootstrap, services, io: io.collect(), vats }))
    };
    genesis.kernel.system_subclusters.iter().map(one).collect()
}

fn refuse<T>(problem: String) -> Result<T, NodeFault> {
    Err(NodeFault::Genesis(problem))
}

/// Checks that the `bootstrap` message passes the guard of a system vat. It carries all vats and devices.
fn check_bootstrap(config: &KernelConfig) -> Result<(), NodeFault> {
    let vat = config.bootstrap.as_ref().and_then(|name| config.vats.get(name));
    // The vatAdmin device always exists.
    let given = config.vats.len() + config.devices.len() + 1 + config.services.len();
    let limit = config.options.guard.max_slots;
    match vat.is_some_and(|vat| vat.system) && given as u64 > limit {
        true => refuse(format!(
            "app_state.kernel: bootstrap would be given {given} vats, devices and services, and a vat of the system takes at most {limit} references (params.system.max_slots)"
        )),
        false => Ok(()),
    }
}

/// Returns the chain's devices. The bridge to the application is always one of them, and genesis names the others.
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

/// Returns the kernel's services.
fn services(genesis: &AppState) -> BTreeMap<String, NewService> {
    let new = |service: &GenesisService| {
        let (name, kind, system_only) = match service {
            GenesisService::KernelFacet => ("kernelFacet", ServiceKind::Facet, true),
            GenesisService::Chain => (CHAIN, ServiceKind::Application, false),
            GenesisService::Validators => (VALIDATORS, ServiceKind::Application, true),
            GenesisService::Mailbox => ("mailbox", ServiceKind::Mailbox, true),
            GenesisService::MailboxConveyor => {
                ("mailboxConveyor", ServiceKind::MailboxConveyor, true)
            }
            GenesisService::Bridge => ("bridge", ServiceKind::Bridge, true),
            GenesisService::BridgeConveyor => ("bridgeConveyor", ServiceKind::BridgeConveyor, true),
        };
        (name.to_owned(), NewService { kind, system_only })
    };
    genesis.kernel.services.iter().map(new).collect()
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
        collect_leaks: true,
        crank_limit: genesis.params.crank_computrons,
        guard: guard(&genesis.params.system),
        billing: billing(&genesis.params),
    }
}

fn billing(params: &Params) -> Billing {
    Billing {
        all_work: true,
        resident_vats: params.resident_vats,
        resident_bytes: params.resident_bytes,
        restore: params.snapshot_computrons,
        page: params.page_computrons,
        crank: params.crank_overhead_computrons,
        write: params.write_computrons,
        write_byte: params.write_byte_computrons,
        kept_byte: params.deposit_byte_computrons,
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

fn static_vat(field: &str, vat: &GenesisVat) -> Result<StaticVat, NodeFault> {
    let mut reap = ReapThreshold::default();
    match vat.reap_interval {
        None => {}
        Some(0) => reap.never = true,
        Some(interval) => reap.deliveries = Threshold::At(interval),
    }
    let parameters = match &vat.parameters {
        Value::Null => "{}".to_owned(),
        parameters => smallcaps::to_smallcaps_json(&parameters.to_string(), &[]).map_err(|e| {
            NodeFault::Genesis(format!("app_state.kernel.{field}: parameters: {e}"))
        })?,
    };
    Ok(StaticVat {
        parameters: KernelData { body: format!("#{parameters}"), slots: vec![] },
        critical: vat.critical,
        system: vat.system,
        enable_pipelining: vat.enable_pipelining,
        enable_disavow: vat.enable_disavow,
        enable_vatstore: vat.enable_vatstore,
        enable_setup: vat.enable_setup,
        reap,
        ..StaticVat::new(vat.bundle.as_str())
    })
}
