//! The kernel of vats that run without a chain, before its first crank.

use anyhow::Context as _;
use capstan_client::Bundle;
use capstan_genesis::Params;
use capstan_kernel::capdata::KernelData;
use capstan_kernel::device::DeviceKind;
use capstan_kernel::vat::{ReapThreshold, Threshold};
use capstan_kernel::{KernelConfig, KernelOptions, StaticVat, VAT_ADMIN};

use super::clock::{TIMER_VAT, Timer};
use super::machine::SHELL;
use super::parameters::Parameters;
use super::sources::{Loaded, Source};
use crate::failure::usage;

/// The vats, and all that they are given at their start.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The user's vats and bundles by name.
    pub(crate) loaded: Loaded,
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
    let Loaded { vats, bundles } = setup.loaded;
    if setup.timer.is_some() && (vats.contains_key(TIMER_VAT) || bundles.contains_key(TIMER_VAT)) {
        return Err(usage(format!(
            "with --timer the name {TIMER_VAT} is the system's; choose another"
        )));
    }
    let mut config = KernelConfig::new(options());
    for (name, bundle) in bundles {
        add(&mut config, name, bundle)?;
    }
    for (name, Source { bundle, parameters }) in vats {
        let mut vat = StaticVat::new(bundle.id.as_str());
        if let Some(Parameters { body, roots }) = parameters {
            vat.parameters = KernelData { body, slots: vec![] };
            config.parameter_roots.insert(name.clone(), roots);
        }
        config.vats.insert(name.clone(), vat);
        // Its bundle can be asked for by the vat's name, so that more vats can be made of it.
        add(&mut config, name, bundle)?;
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
        config.vats.insert(name.to_owned(), StaticVat::new(bundle.id.as_str()));
        add(&mut config, name.to_owned(), bundle)?;
    }
    if setup.timer.is_some() {
        config.devices.insert(TIMER_VAT.to_owned(), DeviceKind::Timer);
    }
    Ok(config)
}

/// Installs a bundle under a name.
fn add(config: &mut KernelConfig, name: String, bundle: Bundle) -> anyhow::Result<()> {
    let Bundle { id, bytes } = bundle;
    let sound = capstan_bundle::verify(&bytes).with_context(|| format!("bundle {name}"))?;
    sound.check_id(&id)?;
    config.named_bundles.insert(name, id.to_string());
    config.bundles.insert(id.to_string(), sound.into_zip());
    Ok(())
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
