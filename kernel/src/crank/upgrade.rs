//! Upgrade: a new incarnation over the durable state of the old one.

use capstan_abi::{Delivery, JsString};
use capstan_kernel_ports::{Computrons, VatId, host::VatHost};

use crate::{
    capdata::{self, Builder, Json, KernelData},
    crank::{deliver::Crank, results::CrankResults},
    error::Result,
    ids::{Durability, Endpoint, MeterId, parse_vref},
    state::keys,
    vats::{
        transcript::Entry,
        worker::{StartError, bring_online},
    },
};

impl<H: VatHost> Crank<'_, '_, H> {
    pub(crate) fn upgrade_vat(
        &mut self,
        vat: VatId,
        upgrade: u64,
        bundle_id: String,
        parameters: &KernelData,
        upgrade_message: &JsString,
    ) -> Result<CrankResults> {
        if !self.state.is_alive(vat)? {
            self.state.decrement_all(&parameters.slots)?;
            return Ok(CrankResults {
                tell_vat_admin: self.state.guards_vat_admin()?.then(|| failed(upgrade)),
                ..CrankResults::default()
            });
        }
        let held = parameters.slots.clone();
        let failure = |computrons, meter| CrankResults {
            held: held.clone(),
            ..failure(vat, upgrade, computrons, meter)
        };
        if self.state.over.get(&keys::bundle(&bundle_id))?.is_none() {
            // Nothing was delivered, so nothing was spent.
            return Ok(CrankResults { delivered: None, ..failure(None, None) });
        }
        let status = self.deliver(vat, &Delivery::BringOutYourDead, Delivery::BringOutYourDead)?;
        let reaped = self.results(vat, status, None, None)?;
        if reaped.terminate.is_some() {
            return Ok(failure(reaped.computrons, None));
        }
        let old = self.state.vat(vat)?.incarnation;
        self.disconnect(vat, &capdata::disconnection(upgrade_message, old))?;
        if self.state.globals().options.collect_at_upgrade {
            self.state.drop_heap_imports(vat)?;
        }
        self.begin_incarnation(vat, bundle_id, parameters)?;
        let kernel = Delivery::StartVat { parameters: parameters.clone() };
        let translated = self.state.delivery_to_endpoint(Endpoint::Vat(vat), &kernel)?;
        self.state.decrement_all(&parameters.slots)?;
        let meter = self.state.vat_config(vat)?.meter;
        match bring_online(self.state, self.host, self.online, vat) {
            Ok(()) => {}
            Err(StartError::Panic(panic)) => return Err(panic),
            Err(StartError::Source(_)) => {
                return Ok(failure(reaped.computrons, meter));
            }
        }
        let status = self.deliver(vat, &kernel, translated)?;
        let started = self.results(vat, status, meter, Some(0))?;
        let computrons = add(reaped.computrons, started.computrons);
        if started.terminate.is_some() {
            return Ok(failure(computrons, meter));
        }
        let tell_vat_admin = Some(callback(upgrade, Some(old + 1)));
        let (delivered, upgraded) = (Some(vat), true);
        let results = CrankResults { computrons, meter, delivered, upgraded, ..Default::default() };
        Ok(CrankResults { tell_vat_admin, ..results })
    }

    /// Cuts what only the old heap upheld: promises that the vat decides, and exports that are not
    /// durable.
    fn disconnect(&mut self, vat: VatId, reason: &KernelData) -> Result<()> {
        let endpoint = Endpoint::Vat(vat);
        for promise in self.state.decided_by(endpoint)? {
            let subscribed = self.state.is_subscribed(promise, endpoint)?;
            self.state.reject(promise, reason.clone())?;
            // A vat that waits for its own promise is told by a notification, which removes the
            // entry; nobody else would.
            if !subscribed {
                self.state.delete_entry(endpoint, promise)?;
            }
        }
        for (vref, kref) in self.state.clist_by_vref(endpoint, "o+", u64::MAX)? {
            let parts = parse_vref(&vref);
            let kept = parts.is_some_and(|p| p.is_root || p.durability == Durability::Durable);
            if !kept {
                self.state.orphan_object(kref, endpoint)?;
            }
        }
        Ok(())
    }

    fn begin_incarnation(
        &mut self,
        vat: VatId,
        bundle_id: String,
        parameters: &KernelData,
    ) -> Result<()> {
        self.host.stop(vat);
        self.online.forget(vat);
        let mut config = self.state.vat_config(vat)?;
        if config.use_transcript {
            self.state.append_entry(vat, &Entry::ShutdownWorker)?;
        }
        let end = self.state.vat(vat)?.span.end;
        self.state.prune_transcript(vat, end)?;
        self.state.roll_span(vat)?;
        self.state.drop_heap(vat)?;
        let first_promise = self.state.globals().next_promise;
        self.state.update_vat(vat, |state| {
            state.incarnation += 1;
            state.first_promise = first_promise;
            state.snapshot = None;
        })?;
        config.bundle_id = bundle_id;
        config.engine = self.host.engine();
        self.state.put_vat_config(vat, &config)?;
        self.state.set_parameters(vat, parameters)
    }
}

/// Returns the results of an upgrade that is undone. The old incarnation lives on, and the computrons are
/// paid for.
fn failure(
    vat: VatId,
    upgrade: u64,
    computrons: Option<Computrons>,
    meter: Option<MeterId>,
) -> CrankResults {
    CrankResults {
        abort: true,
        consume: true,
        delivered: Some(vat),
        computrons,
        meter,
        tell_vat_admin: Some(failed(upgrade)),
        ..CrankResults::default()
    }
}

/// Builds the message that tells the vatAdmin vat of a failed upgrade.
pub(crate) fn failed(upgrade: u64) -> KernelData {
    callback(upgrade, None)
}

/// Builds `vatUpgradeCallback(upgradeID, success, error, incarnationNumber)`. `incarnation` is `None` if the upgrade
/// failed.
fn callback(upgrade: u64, incarnation: Option<u64>) -> KernelData {
    let mut builder = Builder::default();
    let mut args =
        vec![builder.text(format!("up{upgrade}")), Json::Scalar(incarnation.is_some().to_string())];
    match incarnation {
        Some(incarnation) => {
            args.extend([Json::undefined(), Json::Scalar(incarnation.to_string())])
        }
        None => {
            let message = builder.text("vat-upgrade failure");
            let name = builder.text("Error");
            args.push(Json::Object(vec![
                ("#error".to_owned(), message),
                ("name".to_owned(), name),
            ]));
        }
    }
    capdata::methargs(builder, "vatUpgradeCallback", args)
}

fn add(a: Option<Computrons>, b: Option<Computrons>) -> Option<Computrons> {
    match (a, b) {
        (None, None) => None,
        (a, b) => Some(Computrons(a.unwrap_or_default().0.saturating_add(b.unwrap_or_default().0))),
    }
}
