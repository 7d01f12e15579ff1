//! The kernel of vats that run without a chain, before its first crank.

use std::collections::BTreeMap;

use anyhow::Context as _;
use capstan_abi::CapData;
use capstan_client::Bundle;
use capstan_genesis::Params;
use capstan_kernel::capdata::KernelData;
use capstan_kernel::device::DeviceKind;
use capstan_kernel::vat::{ReapThreshold, Threshold};
use capstan_kernel::{KernelConfig, KernelOptions, StaticVat, VAT_ADMIN};

use super::clock::{TIMER_VAT, Timer};
use super::machine::SHELL;
use super::sources::Source;
use crate::failure::usage;

/// The vats, and all that they are given at their start.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The user's vats by name.
    pub(crate) vats: BTreeMap<String, Source>,
    /// Arguments of bootstrap.
    pub(crate) argv: Vec<String>,
    /// `true` if there is a shell.
    pub(crate) shell: bool,
    /// The kind of the timer, if there is one.
    pub(crate) timer: Option<Timer>,
    /// Time at which a fake timer begins.
    pub(crate) time: u64,
}

/// The directory's vats and those of the system that every kernel needs, with the limits of a development chain.
pub(super) fn kernel_config(setup: Setup) -> anyhow::Result<KernelConfig> {
    if setup.timer.is_some() && setup.vats.contains_key(TIMER_VAT) {
        return Err(usage(format!(
            "with --timer the name {TIMER_VAT} is the system's; choose another"
        )));
    }
    let mut config = KernelConfig::new(options());
    let mut add = |name: String, Bundle { id, bytes }: Bundle, vat: StaticVat| {
        let sound = capstan_bundle::verify(&bytes).with_context(|| format!("vat {name}"))?;
        sound.check_id(&id)?;
        // Its bundle can be asked for by the vat's name, so that more vats can be made of it.
        config.named_bundles.insert(name.clone(), id.to_string());
        config.vats.insert(name, vat);
        config.bundles.insert(id.to_string(), sound.into_zip());
        anyhow::Ok(())
    };
    for (name, Source { bundle, parameters }) in setup.vats {
        let mut vat = StaticVat::new(bundle.id.as_str());
        if let Some(CapData { body, .. }) = parameters {
            vat.parameters = KernelData { body, slots: vec![] };
        }
        add(name, bundle, vat)?;
    }
    let mut system = vec![(VAT_ADMIN, capstan_vat_system::vat_admin_bundle())];
    if setup.shell {
        system.push((SHELL, capstan_vat_system::shell_bundle()));
    }
    if setup.timer.is_some() {
        system.push((TIMER_VAT, capstan_vat_system::timer_bundle()));
    }
    for (name, json) in system {
        let bundle = Bundle::from_endo_json(json)?;
        let vat = StaticVat::new(bundle.id.as_str());
        add(name.to_owned(), bundle, vat)?;
    }
    if setup.timer.is_some() {
        config.devices.insert(TIMER_VAT.to_owned(), DeviceKind::Timer);
    }
    Ok(config)
}

/// Returns the options of a development chain's kernel, without its bounds and prices.
fn options() -> KernelOptions {
    let params = Params::default();
    KernelOptions {
        reap: ReapThreshold {
            deliveries: Threshold::At(REAP_DELIVERIES),
            gc_krefs: Threshold::At(REAP_KREFS),
            computrons: Threshold::Never,
            never: false,
        },
        relax_durability_rules: false,
        snapshot_initial: params.snapshot_initial,
        snapshot_interval: params.snapshot_interval,
        snapshot_debt: params.snapshot_debt,
        crank_limit: params.crank_computrons,
        guard: capstan_kernel::limits::SystemGuard::NONE,
        billing: capstan_kernel::billing::Billing::SWINGSET,
        collect_leaks: true,
    }
}

/// Deliveries after which a vat is told to bring out its dead.
const REAP_DELIVERIES: u64 = 100;

/// Collected references after which it is told so, too.
const REAP_KREFS: u64 = 20;
