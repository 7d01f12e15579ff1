//! The kernel's configuration from a scenario's.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use capstan_kernel::{
    KernelConfig, KernelOptions, StaticVat, VAT_ADMIN,
    device::DeviceKind,
    vat::{ReapThreshold, Threshold},
};
use serde_json::Value;

use crate::{
    marshal,
    scenario::{Bundles, Config, DeviceSetup, Scenario, VatSetup},
};

/// Computrons of a crank: a chain's default.
const CRANK_LIMIT: u64 = 200_000_000;

/// The configuration of the scenario's kernel.
pub fn kernel_config(scenario: &Scenario, bundles: &Bundles) -> Result<KernelConfig> {
    let config = &scenario.config;
    let id_of = |name: &String| {
        let (id, _) = bundles.get(name).with_context(|| format!("no bundle {name}"))?;
        Ok((name.clone(), id.clone()))
    };
    let named = config.bundles.keys().map(id_of).collect::<Result<BTreeMap<_, _>>>()?;
    let mut vats = BTreeMap::new();
    for (name, setup) in &config.vats {
        let (_, id) = id_of(setup.bundle_name.as_ref().unwrap_or(name))?;
        vats.insert(name.clone(), static_vat(&id, setup)?);
    }
    let (_, admin) = id_of(&VAT_ADMIN.to_owned())?;
    vats.insert(VAT_ADMIN.to_owned(), StaticVat::new(admin));
    // What steps install later is not there yet.
    let of_vats = vats.values().map(|vat| &vat.bundle_id);
    let at_genesis: Vec<&String> = of_vats.chain(named.values()).collect();
    let bytes = bundles.values().filter(|(id, _)| at_genesis.contains(&id)).cloned().collect();
    let devices = config.devices.iter();
    Ok(KernelConfig {
        parameter_roots: Default::default(),
        bootstrap: Some(config.bootstrap.clone()),
        pin_bootstrap_root: config.pin_bootstrap_root,
        provisioner: None,
        vats,
        devices: devices
            .map(|(name, setup)| Ok((name.clone(), device_kind(name, setup)?)))
            .collect::<Result<_>>()?,
        bundles: bytes,
        services: BTreeMap::new(),
        named_bundles: named,
        options: options(config),
    })
}

fn options(config: &Config) -> KernelOptions {
    let threshold = |value: &Option<Value>, default: u64| {
        value.as_ref().and_then(Threshold::from_json).unwrap_or(Threshold::At(default))
    };
    KernelOptions {
        reap: ReapThreshold {
            deliveries: threshold(&config.default_reap_interval, 1),
            gc_krefs: threshold(&config.default_reap_gc_krefs, 20),
            computrons: Threshold::Never,
            never: false,
        },
        relax_durability_rules: config.relax_durability_rules,
        snapshot_initial: config.snapshot_initial.unwrap_or(3),
        snapshot_interval: config.snapshot_interval.unwrap_or(200),
        // SwingSet counts entries alone.
        snapshot_debt: u64::MAX,
        // SwingSet leaks what only the old heap held.
        collect_leaks: false,
        crank_limit: CRANK_LIMIT,
        guard: capstan_kernel::limits::SystemGuard::NONE,
        billing: capstan_kernel::billing::Billing::SWINGSET,
    }
}

/// The kernel's own device of that kind, or one with code of its own.
fn device_kind(name: &str, setup: &DeviceSetup) -> Result<DeviceKind> {
    Ok(match setup.kind.as_str() {
        "bridge" => DeviceKind::Bridge,
        "mailbox" => DeviceKind::Mailbox,
        "timer" => DeviceKind::Timer,
        "bundle" => DeviceKind::Bundle,
        "source" => DeviceKind::Application,
        other => {
            bail!("device {name}: kind {other} is none of bridge, mailbox, timer, bundle, source")
        }
    })
}

fn static_vat(bundle_id: &str, setup: &VatSetup) -> Result<StaticVat> {
    let options = &setup.creation_options;
    let flag = |name: &str| options.get(name).and_then(Value::as_bool);
    let threshold = |name: &str| match options.get(name) {
        None => Ok(Threshold::Default),
        Some(value) => Threshold::from_json(value).with_context(|| format!("option {name}")),
    };
    let mut vat = StaticVat::new(bundle_id);
    if let Some(parameters) = &setup.parameters {
        vat.parameters.body = format!("#{}", marshal::plain(parameters));
    }
    vat.critical = flag("critical").unwrap_or(false);
    vat.enable_pipelining = flag("enablePipelining").unwrap_or(false);
    vat.enable_disavow = flag("enableDisavow").unwrap_or(false);
    vat.enable_setup = flag("enableSetup").unwrap_or(false);
    vat.use_transcript = flag("useTranscript").unwrap_or(true);
    vat.reap = ReapThreshold {
        deliveries: threshold("reapInterval")?,
        gc_krefs: threshold("reapGCKrefs")?,
        computrons: Threshold::Default,
        never: flag("neverReap").unwrap_or(false),
    };
    Ok(vat)
}
