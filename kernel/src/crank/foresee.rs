//! What the next deliveries on the run queue will be, if nothing changes before their turn.

use capstan_abi::{Delivery, Message};
use capstan_kernel_ports::{Computrons, VatId};

use crate::{
    crank::{guard::Admission, route::Route},
    error::Result,
    ids::{Endpoint, KRef},
    state::{
        handle::State,
        queue::{Payer, RunQueueEvent},
    },
    vats::snapshot::follows_next,
};

/// A delivery as it would be made now.
pub(crate) struct Foreseen {
    pub(crate) vat: VatId,
    /// In the vat's words.
    pub(crate) delivery: Delivery,
    pub(crate) limit: Computrons,
    /// A snapshot of the vat's heap follows if the delivery goes well.
    pub(crate) then_snapshot: bool,
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

    /// Does all that an event of the run queue does before its delivery is made, and returns the delivery. Only messages
    /// and notifications are foreseen. The caller rolls back what this writes.
    pub(crate) fn foresee(&mut self, event: RunQueueEvent) -> Result<Option<Foreseen>> {
        match event {
            RunQueueEvent::Send { target, message, payer } => {
                self.foresee_message(target, message, payer)
            }
            RunQueueEvent::Notify { endpoint: Endpoint::Vat(vat), promise } => {
                self.foresee_notification(vat, promise)
            }
            _ => Ok(None),
        }
    }

    fn foresee_message(
        &mut self,
        target: KRef,
        mut message: Message<KRef>,
        payer: Payer,
    ) -> Result<Option<Foreseen>> {
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
        self.foreseen(vat, &Delivery::Message { target: routed, message })
    }

    fn foresee_notification(&mut self, vat: VatId, promise: KRef) -> Result<Option<Foreseen>> {
        let endpoint = Endpoint::Vat(vat);
        self.decrement(promise)?;
        if !self.is_alive(vat)? || self.clist_entry(endpoint, promise)?.is_none() {
            return Ok(None);
        }
        let guarded = self.vat_config(vat)?.system;
        let resolutions = self.notification(promise, endpoint, guarded)?.resolutions;
        self.foreseen(vat, &Delivery::Notify { resolutions })
    }

    fn foreseen(&mut self, vat: VatId, kernel: &Delivery<KRef>) -> Result<Option<Foreseen>> {
        let delivery = self.delivery_to_endpoint(Endpoint::Vat(vat), kernel)?;
        let config = self.vat_config(vat)?;
        let limit = self.delivery_limit(&config)?;
        let then_snapshot = follows_next(self, &self.vat(vat)?);
        let foreseen = Foreseen { vat, delivery, limit, then_snapshot };
        Ok((limit > Computrons(0)).then_some(foreseen))
    }
}
