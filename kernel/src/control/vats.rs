//! The life of vats, as the application decides on it.

use std::collections::BTreeMap;

use capstan_kernel_ports::{VatId, host::VatHost, store::Overlay};

use crate::{
    capdata::{self, Builder, Json, KernelData},
    control::kernel::Kernel,
    crank::deliver::Crank,
    device::VAT_ADMIN,
    error::{KernelPanic, Result},
    ids::KRef,
    state::{
        keys,
        promise::ResultPolicy,
        static_vat::StaticVat,
        vat::{EndKind, live_vats},
    },
    subcluster::LaunchError,
    vats::{
        snapshot::{Snapshot, snapshot_if_due},
        worker::{StartError, bring_online},
    },
};

impl<H: VatHost> Kernel<H> {
    /// Terminates a vat from outside. `reason` must be smallcaps without slots.
    pub fn terminate_vat(
        &mut self,
        over: &mut dyn Overlay,
        vat: VatId,
        reason: &KernelData,
    ) -> Result<()> {
        self.between_cranks(over, |state| state.terminate(vat, EndKind::Terminated, reason))
    }

    /// Schedules `bringOutYourDead` for every live vat that had a delivery after the positions given. Returns
    /// the positions for the next call.
    pub fn reap_all_vats(
        &mut self,
        over: &mut dyn Overlay,
        previous: &BTreeMap<VatId, u64>,
    ) -> Result<BTreeMap<VatId, u64>> {
        self.between_cranks(over, |state| {
            let mut positions = BTreeMap::new();
            for vat in live_vats(state.over)? {
                let end = state.vat(vat)?.span.end;
                let due = end > 0 && previous.get(&vat).copied().unwrap_or(0) < end;
                if due {
                    state.schedule_reap(vat)?;
                }
                if end > 0 {
                    positions.insert(vat, end + u64::from(due));
                }
            }
            Ok(positions)
        })
    }

    /// Takes a heap snapshot of every live vat whose transcript span has at least two entries.
    /// Returns the vats.
    pub fn snapshot_all_vats(&mut self, over: &mut dyn Overlay) -> Result<Vec<VatId>> {
        self.between_cranks_with_workers(over, |crank| {
            let Crank { state, host, online } = crank;
            let mut taken = Vec::new();
            for vat in live_vats(state.over)? {
                match snapshot_if_due(state, *host, online, vat, 2)? {
                    Snapshot::NotDue => {}
                    Snapshot::Taken => taken.push(vat),
                    Snapshot::Failed(info) => state.terminate(vat, EndKind::Failed, &info)?,
                }
            }
            Ok(taken)
        })
    }

    /// Asks the vatAdmin vat to upgrade a static vat. With `pause`, that vat's `pauseService` is called and
    /// awaited first. `options` is a smallcaps record without slots. Returns the promise for
    /// `{incarnationNumber}`, held for the caller, or `None` if there is no such vat.
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

    /// Starts a vat: gives it a [`VatId`], writes its records and queues its start. Its root is held as long
    /// as it lives.
    ///
    /// # Errors
    /// Returns a [`LaunchError`] if its bundle is not installed.
    pub fn start_vat(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        setup: &StaticVat,
    ) -> std::result::Result<VatId, LaunchError> {
        self.between_cranks(over, |state| state.start_checked_vat(name, setup))
    }

    /// Returns the root object of a live vat, for the host to send messages to. Returns `None` if the vat
    /// does not run.
    pub fn vat_root(&mut self, over: &mut dyn Overlay, vat: VatId) -> Result<Option<KRef>> {
        self.between_cranks(over, |state| match state.is_alive(vat)? {
            true => state.export_root(vat).map(Some),
            false => Ok(None),
        })
    }

    /// Brings a vat into memory, as its next delivery would. The state does not show it.
    ///
    /// # Errors
    /// Returns a [`LaunchError`] if the vat does not run.
    pub fn run_vat(
        &mut self,
        over: &mut dyn Overlay,
        vat: VatId,
    ) -> std::result::Result<(), LaunchError> {
        self.with_workers(over, |crank| {
            let Crank { state, host, online } = crank;
            // The transcript of a vat that was never started has one entry: that a worker is to be made.
            let has_begun = state.find_vat(vat)?.is_some_and(|record| record.span.end > 1);
            if !state.is_alive(vat)? {
                return Err(LaunchError::NotRunning(vat));
            }
            match has_begun.then(|| bring_online(state, *host, online, vat)) {
                None | Some(Ok(())) => Ok(()),
                Some(Err(StartError::Panic(panic))) => Err(panic.into()),
                Some(Err(StartError::Source(problem))) => {
                    Err(KernelPanic::Recreate { vat, problem }.into())
                }
            }
        })
    }

    /// Ends every vat, critical ones included, without a [`KernelPanic`]. Their cleanup follows in cranks.
    /// Returns the vats.
    pub fn terminate_all_vats(
        &mut self,
        over: &mut dyn Overlay,
        reason: &KernelData,
    ) -> Result<Vec<VatId>> {
        self.between_cranks(over, |state| {
            let vats = live_vats(state.over)?;
            for vat in &vats {
                state.end_vat(*vat, EndKind::Terminated, reason)?;
            }
            // There is nobody left who could be told, and it is no failure if somebody was waited for.
            state.globals_mut().vat_admin_root = None;
            state.pending_panic = None;
            Ok::<_, KernelPanic>(vats)
        })
    }
}

/// Returns the options of an upgrade, with the default message of SwingSet's controller if they have none.
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
