//! The results of a delivery crank.

use capstan_kernel_ports::{Computrons, VatId};

use crate::{
    capdata::KernelData,
    crank::{
        guard::{Charge, Lost},
        policy::CrankOutcome,
    },
    ids::{KRef, MeterId},
    state::vat::{Dirt, VatConfig},
};

/// The consequences of a delivery, which the crank applies when it is over.
#[derive(Default)]
pub(crate) struct CrankResults {
    /// Undo everything the delivery did.
    pub(crate) abort: bool,
    /// Even then do not deliver the event again.
    pub(crate) consume: bool,
    /// The vat that was handed a delivery.
    pub(crate) delivered: Option<VatId>,
    /// References that the event itself held. They are released if the delivery is undone and not made again.
    pub(crate) held: Vec<KRef>,
    /// True if the vat was made in this crank.
    pub(crate) created: bool,
    /// True if the vat was upgraded in this crank.
    pub(crate) upgraded: bool,
    pub(crate) computrons: Option<Computrons>,
    /// The meter that pays for the computrons.
    pub(crate) meter: Option<MeterId>,
    pub(crate) dirt: Option<Dirt>,
    /// The vat ends: by failure, and with what.
    pub(crate) terminate: Option<(VatId, bool, KernelData)>,
    /// An upgrade that failed: the vat, the bundle that was to be its own, and the cause.
    pub(crate) failed_upgrade: Option<(VatId, String, String)>,
    /// A message to the vatAdmin vat.
    pub(crate) tell_vat_admin: Option<KernelData>,
    /// The outcome that the policy gets, if it does not follow from the other fields.
    pub(crate) outcome: Option<CrankOutcome>,
    /// Whose meter pays how much for the work of a vat of the system, even if the delivery is undone.
    pub(crate) charge: Option<Charge>,
    /// A vat of the system failed: what is left to be done instead of the delivery, and the cause.
    pub(crate) lost: Option<(Lost, KernelData)>,
}

impl CrankResults {
    /// Turns the end of a vat of the system into the loss of this delivery.
    pub(crate) fn survived_by(self, config: &VatConfig, lost: impl FnOnce() -> Lost) -> Self {
        match self.terminate {
            Some((_, _, cause)) if config.system => Self {
                abort: true,
                consume: true,
                terminate: None,
                lost: Some((lost(), cause)),
                ..self
            },
            terminate => Self { terminate, ..self },
        }
    }
}
