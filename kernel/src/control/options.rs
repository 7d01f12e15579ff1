//! Options of the kernel, of meters and of vats that the application changes between cranks.

use std::sync::Arc;

use capstan_kernel_ports::{VatId, host::VatHost, store::Overlay};
use serde_json::Value;

use crate::{
    control::kernel::Kernel,
    error::{KernelPanic, Result},
    ids::MeterId,
    state::vat::Threshold,
};

/// Changes of the [`KernelOptions`](crate::KernelOptions). Fields that are `None` leave theirs as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionChanges {
    /// The [`Threshold`] of deliveries for `bringOutYourDead`, for vats without one of their own.
    pub reap_interval: Option<Threshold>,
    /// The [`Threshold`] of references of garbage collection, likewise.
    pub reap_gc_krefs: Option<Threshold>,
    /// Transcript entries after which a further heap snapshot is due.
    pub snapshot_interval: Option<u64>,
}

/// The reason why [`OptionChanges::from_json`] refuses options. The texts are SwingSet's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOptions(pub String);

impl OptionChanges {
    /// Reads `{defaultReapInterval, defaultReapGCKrefs, snapshotInterval}`, each of which may be missing. The
    /// first two are positive numbers or `"never"`, the last is a natural number.
    ///
    /// # Errors
    /// Returns [`BadOptions`] with SwingSet's text.
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

fn threshold(name: &str, value: &Value) -> std::result::Result<Threshold, BadOptions> {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let bad = || BadOptions(format!("{name} {shown} must be a positive number or \"never\""));
    match Threshold::from_json(value) {
        None | Some(Threshold::At(0)) => Err(bad()),
        Some(threshold) => Ok(threshold),
    }
}

impl<H: VatHost> Kernel<H> {
    /// Adds computrons to a meter and returns its new balance. Returns `None` if there is no such meter or it
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

    /// Applies [`OptionChanges`].
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

    /// Sets whether the end of a vat stops the chain. Returns false if there is no such vat.
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
            let mut config = Arc::unwrap_or_clone(state.vat_config(vat)?);
            config.critical = critical;
            state.put_vat_config(vat, &config)?;
            Ok(true)
        })
    }
}
