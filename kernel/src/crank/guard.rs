//! The guard of the vats of the system: vatAdmin, provisioner, timer and whatever else the chain's genesis
//! document names so.
//!
//! Strangers reach them, so no stranger may be able to end or exhaust them. Three rules see to that. A
//! message beyond the limits of [`SystemGuard`](crate::limits::SystemGuard) is refused before the vat sees
//! it. The sender pays for the vat's work before it is done. A delivery in which such a vat fails all the
//! same is undone and lost, and the vat goes on from its state before it.

use capstan_abi::{Delivery, Message};
use capstan_kernel_ports::Computrons;

use crate::{
    capdata::{self, KernelData},
    error::Result,
    ids::{Endpoint, KRef, MeterId},
    state::{handle::State, queue::Payer, rejection::Rejection, vat::VatConfig},
};

/// A price that a meter pays for the work of a vat of the system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    meter: MeterId,
    price: Computrons,
}

/// The verdict on a message before its delivery.
#[derive(Debug)]
pub(crate) enum Admission {
    /// The message may be delivered, and this is charged for it.
    Admitted(Option<Charge>),
    /// The message is rejected with this text.
    Refused(String),
}

/// A delivery that a vat of the system has lost: what the kernel does instead.
#[derive(Debug)]
pub(crate) enum Lost {
    /// Rejects the message, which was addressed to `target`.
    Message { target: KRef, message: Message<KRef> },
    /// Rejects the message with the cause itself: the kernel's service that it was for has failed.
    Call { target: KRef, message: Message<KRef> },
    /// Releases the promise. The vat never hears of it.
    Notification { promise: KRef },
    /// Does the kernel's part of the collection. The vat keeps what it was to let go of.
    Collection { endpoint: Endpoint, kernel: Delivery<KRef> },
    /// Nothing is left to be done.
    Nothing,
}

impl Lost {
    /// Returns what is left of a message that was addressed to `target`.
    pub(crate) fn delivery(target: KRef, kernel: Delivery<KRef>) -> Self {
        match kernel {
            Delivery::Message { message, .. } => Self::Message { target, message },
            _ => Self::Nothing,
        }
    }
}

impl State<'_> {
    /// Decides whether a message may be delivered to a vat, and which meter pays for it.
    pub(crate) fn admit(
        &self,
        config: &VatConfig,
        methargs: &KernelData,
        payer: Payer,
    ) -> Result<Admission> {
        let guard = &self.globals().options.guard;
        let charge = if config.system {
            if let Some(refusal) = guard.refusal(methargs) {
                return Ok(Admission::Refused(refusal));
            }
            match payer {
                Payer::Sender { meter, .. } => meter.map(|meter| (meter, guard.price(methargs))),
                Payer::Nobody | Payer::Receiver => None,
            }
        } else {
            match (payer, config.meter) {
                (Payer::Receiver, Some(meter)) => Some((meter, guard.wake_price)),
                _ => None,
            }
        };
        self.admit_for(charge, if config.system { "sender" } else { "receiver" })
    }

    /// Decides whether a message may be delivered to a service of the kernel, and which meter pays for it.
    pub(crate) fn admit_to_service(
        &self,
        methargs: &KernelData,
        payer: Payer,
    ) -> Result<Admission> {
        let guard = &self.globals().options.guard;
        if let Some(refusal) = guard.service_refusal(methargs) {
            return Ok(Admission::Refused(refusal));
        }
        let charge = match payer {
            Payer::Sender { meter, .. } => meter.map(|meter| (meter, guard.price(methargs))),
            Payer::Nobody | Payer::Receiver => None,
        };
        self.admit_for(charge, "sender")
    }

    fn admit_for(&self, charge: Option<(MeterId, u64)>, who: &str) -> Result<Admission> {
        let Some((meter, price)) = charge.filter(|(_, price)| *price > 0) else {
            return Ok(Admission::Admitted(None));
        };
        let price = Computrons(price);
        if !self.meter_covers(meter, price)? {
            return Ok(Admission::Refused(format!(
                "the {who}'s meter {meter} does not cover the {price} computrons that this message costs"
            )));
        }
        Ok(Admission::Admitted(Some(Charge { meter, price })))
    }

    /// Takes a charge off its meter.
    pub(crate) fn collect(&mut self, charge: &Charge) -> Result<()> {
        self.charge_meter(charge.meter, charge.price.0.into())
    }

    /// Does what is left of a delivery that was undone because a vat of the system failed in it.
    pub(crate) fn forgo(&mut self, lost: Lost, cause: &KernelData) -> Result<()> {
        match lost {
            Lost::Message { target, message } => {
                let cause = capdata::message(&cause.body);
                let text =
                    format!("the vat of the system failed, and the message was undone: {cause}");
                self.splat(target, &message, Rejection::undelivered(&text))
            }
            Lost::Call { target, message } => self.splat(target, &message, cause.clone()),
            Lost::Notification { promise } => self.decrement(promise),
            Lost::Collection { endpoint, kernel } => {
                if let Delivery::RetireExports { refs } = &kernel {
                    for kref in refs {
                        self.delete_object(*kref)?;
                    }
                }
                self.delivery_to_endpoint(endpoint, &kernel).map(drop)
            }
            Lost::Nothing => Ok(()),
        }
    }
}
