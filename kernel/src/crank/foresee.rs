//! What the next deliveries on the run queue will be, if nothing changes before their turn.

use capstan_abi::{Delivery, Message};
use capstan_kernel_ports::{Computrons, Hash, VatId};

use crate::{
    crank::{guard::Admission, route::Route},
    error::Result,
    ids::{Endpoint, KRef},
    state::{
        handle::State,
        queue::{Payer, RunQueueEvent},
        vat::{Dirt, VatConfig, VatState},
    },
    vats::snapshot::{follows, owes_snapshot},
};

/// A delivery as it would be made now.
pub(crate) struct Foreseen {
    pub(crate) vat: VatId,
    /// In the vat's words.
    pub(crate) delivery: Delivery,
    pub(crate) limit: Computrons,
    /// A snapshot of the vat's heap follows if the delivery goes well.
    pub(crate) then_snapshot: bool,
    /// Something else of the vat's may come before its next event: it may have to bring out its dead, or have its heap
    /// written.
    pub(crate) may_be_interrupted: bool,
}

impl State<'_> {
    /// Returns the vat to which an event of the run queue leads now. Returns `None` if it is none, or not yet one.
    pub(crate) fn receiver(&self, event: &RunQueueEvent) -> Result<Option<VatId>> {
        Ok(match event {
            RunQueueEvent::Send { target, message, .. } => match self.route(*target, message)? {
                Route::Deliver { endpoint: Endpoint::Vat(vat), .. } => Some(vat),
                _ => None,
            },
            RunQueueEvent::Notify { endpoint: Endpoint::Vat(vat), .. }
            | RunQueueEvent::StartVat { vat, .. }
            | RunQueueEvent::UpgradeVat { vat, .. }
            | RunQueueEvent::ChangeVatOptions { vat, .. } => Some(*vat),
            _ => None,
        })
    }

    /// Returns the vat that an event of the run queue starts or starts again, with its configuration then.
    /// `engine` is the one on which new incarnations run.
    pub(crate) fn starts(
        &self,
        event: &RunQueueEvent,
        engine: Hash,
    ) -> Result<Option<(VatId, VatConfig)>> {
        Ok(match event {
            RunQueueEvent::CreateVat { vat, bundle_id, options, .. } => {
                Some((*vat, options.config(bundle_id.clone(), engine)))
            }
            RunQueueEvent::StartVat { vat, .. } if self.is_alive(*vat)? => {
                Some((*vat, VatConfig::clone(&*self.vat_config(*vat)?)))
            }
            RunQueueEvent::UpgradeVat { vat, bundle_id, .. } if self.is_alive(*vat)? => {
                let config = VatConfig::clone(&*self.vat_config(*vat)?);
                let bundle_id = bundle_id.clone();
                Some((*vat, VatConfig { bundle_id, engine, is_upgraded: true, ..config }))
            }
            _ => None,
        })
    }

    /// Does all that an event of the run queue does before its delivery is made, and returns the delivery. Only messages
    /// and notifications are foreseen. The caller rolls back what this writes.
    ///
    /// `before` deliveries to the same vat come first, and were foreseen with this state. What their syscalls will do is
    /// not known. So a delivery that depends on it turns out to be another one.
    pub(crate) fn foresee(
        &mut self,
        event: RunQueueEvent,
        before: u64,
    ) -> Result<Option<Foreseen>> {
        let found = match event {
            RunQueueEvent::Send { target, message, payer } => {
                self.foresee_message(target, message, payer)?
            }
            RunQueueEvent::Notify { endpoint: Endpoint::Vat(vat), promise } => {
                self.foresee_notification(vat, promise)?
            }
            _ => None,
        };
        let Some((vat, delivery)) = found else { return Ok(None) };
        self.foreseen(vat, &delivery, before)
    }

    fn foresee_message(
        &mut self,
        target: KRef,
        mut message: Message<KRef>,
        payer: Payer,
    ) -> Result<Option<(VatId, Delivery<KRef>)>> {
        self.forget_settled_result(&mut message)?;
        let Route::Deliver { endpoint: Endpoint::Vat(vat), target: routed } =
            self.route(target, &message)?
        else {
            return Ok(None);
        };
        let config = self.vat_config(vat)?;
        let Admission::Admitted(charge) = self.admit(&config, &message.methargs, payer)? else {
            return Ok(None);
        };
        self.release_send(target, &message)?;
        if let Some(charge) = &charge {
            self.collect(charge)?;
        }
        Ok(Some((vat, Delivery::Message { target: routed, message })))
    }

    fn foresee_notification(
        &mut self,
        vat: VatId,
        promise: KRef,
    ) -> Result<Option<(VatId, Delivery<KRef>)>> {
        let endpoint = Endpoint::Vat(vat);
        self.decrement(promise)?;
        if !self.is_alive(vat)? || self.clist_entry(endpoint, promise)?.is_none() {
            return Ok(None);
        }
        let guarded = self.vat_config(vat)?.system;
        let resolutions = self.notification(promise, endpoint, guarded)?.resolutions;
        Ok(Some((vat, Delivery::Notify { resolutions })))
    }

    fn foreseen(
        &mut self,
        vat: VatId,
        kernel: &Delivery<KRef>,
        before: u64,
    ) -> Result<Option<Foreseen>> {
        let delivery = self.delivery_to_endpoint(Endpoint::Vat(vat), kernel)?;
        let config = self.vat_config(vat)?;
        let limit = self.delivery_limit(&config)?;
        let record = self.vat(vat)?;
        let then_snapshot = follows(self, &record, before + 1);
        let may_be_interrupted = self.may_be_interrupted(&record, &config, before + 1);
        let foreseen = Foreseen { vat, delivery, limit, then_snapshot, may_be_interrupted };
        Ok((limit > Computrons(0)).then_some(foreseen))
    }

    /// Returns whether a collection or a snapshot of the heap comes soon after so many more deliveries, if they take twice as
    /// long as usual. Nobody has to be right about this.
    fn may_be_interrupted(&self, record: &VatState, config: &VatConfig, deliveries: u64) -> bool {
        let average = record.computrons.checked_div(record.deliveries).unwrap_or(0);
        let computrons = average.saturating_mul(2 * deliveries);
        let more = Dirt { deliveries, gc_krefs: 0, computrons };
        self.makes_reap_due(record.dirt, &more, config)
            || owes_snapshot(self, record.replay_debt.saturating_add(computrons), config)
    }
}
