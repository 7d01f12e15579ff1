//! Upgrade: a new incarnation over the durable state of the old one.

use std::sync::Arc;

use capstan_abi::{Delivery, JsString};
use capstan_kernel_ports::{Computrons, VatId, host::VatHost};

use crate::{
    capdata::{self, Builder, Json, KernelData},
    crank::{deliver::Crank, results::CrankResults},
    error::Result,
    ids::{Endpoint, KRef, MeterId, parse_vref},
    state::{handle::State, keys},
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
        parameters: Option<KernelData>,
        upgrade_message: &JsString,
    ) -> Result<CrankResults> {
        let held = parameters.as_ref().map(|given| given.slots.clone()).unwrap_or_default();
        if !self.state.is_alive(vat)? {
            self.state.decrement_all(&held)?;
            return Ok(CrankResults {
                tell_vat_admin: self.state.guards_vat_admin()?.then(|| failed(upgrade)),
                ..CrankResults::default()
            });
        }
        let failure = |computrons, meter, cause: String| CrankResults {
            held: held.clone(),
            ..failure((vat, bundle_id.clone(), cause), upgrade, computrons, meter)
        };
        if self.state.over.get(&keys::bundle(&bundle_id))?.is_none() {
            // Nothing was delivered, so nothing was spent.
            let failed = failure(None, None, format!("bundle {bundle_id} is not installed"));
            return Ok(CrankResults { delivered: None, ..failed });
        }
        let status = self.deliver(vat, &Delivery::BringOutYourDead, Delivery::BringOutYourDead)?;
        let reaped = self.results(vat, status, None, None)?;
        if let Some((_, _, info)) = reaped.terminate {
            let cause = format!("the old code failed: {}", capdata::message(&info.body));
            return Ok(failure(reaped.computrons, None, cause));
        }
        let old = self.state.vat(vat)?.incarnation;
        let upheld = match self.state.upheld(vat)? {
            Ok(upheld) => upheld,
            Err(why) => {
                let tell_vat_admin = Some(callback(upgrade, Err(&why)));
                let failure = failure(reaped.computrons, None, why);
                return Ok(CrankResults { tell_vat_admin, ..failure });
            }
        };
        self.disconnect(vat, upheld, &capdata::disconnection(upgrade_message, old))?;
        if self.state.globals().options.collect_leaks {
            let most = self.state.cut_off_a_crank();
            let seen = self.state.drop_heap_imports(vat, most)?;
            self.state.count_reads(seen);
        }
        self.begin_incarnation(vat, bundle_id.clone())?;
        let parameters = match parameters {
            Some(given) => {
                self.state.set_parameters(vat, &given)?;
                given
            }
            None => self.state.parameters(vat)?,
        };
        let kernel = Delivery::StartVat { parameters };
        let translated = self.state.delivery_to_endpoint(Endpoint::Vat(vat), &kernel)?;
        self.state.decrement_all(&held)?;
        let meter = self.state.vat_config(vat)?.meter;
        match bring_online(self.state, self.host, self.online, vat) {
            Ok(()) => {}
            Err(StartError::Panic(panic)) => return Err(panic),
            Err(StartError::Source(problem)) => {
                return Ok(failure(reaped.computrons, meter, problem));
            }
        }
        let status = self.deliver(vat, &kernel, translated)?;
        let started = self.results(vat, status, meter, Some(0))?;
        let computrons = add(reaped.computrons, started.computrons);
        if let Some((_, _, info)) = started.terminate {
            return Ok(failure(computrons, meter, capdata::message(&info.body)));
        }
        self.state.forget_failed_upgrade(vat)?;
        let tell_vat_admin = Some(callback(upgrade, Ok(old + 1)));
        let (delivered, upgraded) = (Some(vat), true);
        let results = CrankResults { computrons, meter, delivered, upgraded, ..Default::default() };
        Ok(CrankResults { tell_vat_admin, ..results })
    }

    /// Cuts what only the old heap upheld: promises that the vat decides, and exports that are not
    /// durable.
    fn disconnect(&mut self, vat: VatId, upheld: Upheld, reason: &KernelData) -> Result<()> {
        let endpoint = Endpoint::Vat(vat);
        for promise in upheld.promises {
            let subscribed = self.state.is_subscribed(promise, endpoint)?;
            self.state.reject(promise, reason.clone())?;
            // A vat that waits for its own promise is told by a notification, which removes the
            // entry; nobody else would.
            if !subscribed {
                self.state.delete_entry(endpoint, promise)?;
            }
        }
        for object in upheld.objects {
            self.state.orphan_object(object, endpoint)?;
        }
        Ok(())
    }

    fn begin_incarnation(&mut self, vat: VatId, bundle_id: String) -> Result<()> {
        self.host.stop(vat);
        self.online.forget(vat);
        let mut config = Arc::unwrap_or_clone(self.state.vat_config(vat)?);
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
        config.is_upgraded = true;
        self.state.put_vat_config(vat, &config)
    }
}

/// Promises and exports that only a vat's heap upholds.
struct Upheld {
    /// Promises that the vat decides.
    promises: Vec<KRef>,
    /// Exports that are not durable.
    objects: Vec<KRef>,
}

/// Entries of the state that cutting off one promise or object writes, as far as it can be foretold.
const WRITES_EACH: u64 = 4;

/// Beginnings of the names of exports that are not durable.
const NOT_DURABLE: [&str; 11] =
    ["o+0", "o+1", "o+2", "o+3", "o+4", "o+5", "o+6", "o+7", "o+8", "o+9", "o+v"];

impl State<'_> {
    /// Returns the number of promises and objects that one crank may cut off.
    fn cut_off_a_crank(&self) -> u64 {
        let options = &self.globals().options;
        let each = options.billing.write.saturating_mul(WRITES_EACH);
        options.crank_limit.checked_div(each).unwrap_or(u64::MAX)
    }

    /// Returns what only the vat's heap upholds. All of it is cut off in one crank. So the inner error refuses
    /// more than a crank may spend, and more than the vat's meter covers.
    fn upheld(&mut self, vat: VatId) -> Result<std::result::Result<Upheld, String>> {
        let endpoint = Endpoint::Vat(vat);
        let limit = self.cut_off_a_crank();
        let promises = self.vat(vat)?.holdings.promises;
        let refused = Err(format!(
            "vat-upgrade failure: the vat has more than {limit} promises and objects that are not durable"
        ));
        if promises > limit {
            return Ok(refused);
        }
        let mut objects = Vec::new();
        for start in NOT_DURABLE {
            let room = (limit - promises).saturating_add(1) - objects.len() as u64;
            for (vref, kref) in self.clist_by_vref(endpoint, start, room)? {
                if !parse_vref(&vref).is_some_and(|parts| parts.is_root) {
                    objects.push(kref);
                }
            }
            if objects.len() as u64 > limit - promises {
                break;
            }
        }
        let seen = promises.saturating_add(objects.len() as u64);
        self.count_reads(seen);
        if seen > limit {
            return Ok(refused);
        }
        let promises = self.decided_by(endpoint)?;
        let each = self.globals().options.billing.write.saturating_mul(WRITES_EACH);
        let price = each.saturating_mul((promises.len() + objects.len()) as u64);
        let due = Computrons(self.due().saturating_add(price));
        let covered = match self.vat_config(vat)?.meter {
            Some(meter) => price == 0 || self.meter_covers(meter, due)?,
            None => true,
        };
        Ok(match covered {
            true => Ok(Upheld { promises, objects }),
            false => Err(format!(
                "vat-upgrade failure: the vat's meter does not cover {due} computrons to cut off its promises and objects"
            )),
        })
    }
}

/// Returns the results of an upgrade that is undone: of a vat, to a bundle, with the cause. The old incarnation lives
/// on, and the computrons are paid for.
fn failure(
    failed_upgrade: (VatId, String, String),
    upgrade: u64,
    computrons: Option<Computrons>,
    meter: Option<MeterId>,
) -> CrankResults {
    CrankResults {
        abort: true,
        consume: true,
        delivered: Some(failed_upgrade.0),
        computrons,
        meter,
        failed_upgrade: Some(failed_upgrade),
        tell_vat_admin: Some(failed(upgrade)),
        ..CrankResults::default()
    }
}

/// Builds the message that tells the vatAdmin vat of a failed upgrade.
pub(crate) fn failed(upgrade: u64) -> KernelData {
    callback(upgrade, Err("vat-upgrade failure"))
}

/// Builds `vatUpgradeCallback(upgradeID, success, error, incarnationNumber)`. `incarnation` is the error's text if the
/// upgrade failed.
fn callback(upgrade: u64, incarnation: std::result::Result<u64, &str>) -> KernelData {
    let mut builder = Builder::default();
    let mut args =
        vec![builder.text(format!("up{upgrade}")), Json::Scalar(incarnation.is_ok().to_string())];
    match incarnation {
        Ok(incarnation) => args.extend([Json::undefined(), Json::Scalar(incarnation.to_string())]),
        Err(text) => {
            let message = builder.text(text);
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
