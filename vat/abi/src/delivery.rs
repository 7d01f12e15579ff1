use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{CapData, JsString, Message, Resolution, VRef};

/// Request from the kernel to a vat.
///
/// It is SwingSet's `VatDeliveryObject` if `R` is [`VRef`], and its `KernelDeliveryObject` if `R`
/// is a kref.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Delivery<R = VRef> {
    /// Builds the root object from the parameters. This is the first delivery of every incarnation.
    StartVat {
        /// Vat parameters: [`CapData`] of a record.
        parameters: CapData<R>,
    },
    /// Calls a method on one of the vat's exports, or on a promise that the vat decides.
    Message {
        /// Object or promise that is called.
        target: R,
        /// [`Message`] with the method, its arguments and the result promise.
        message: Message<R>,
    },
    /// Reports the settlement of promises that the vat subscribed to, and of the promises that
    /// these refer to.
    Notify {
        /// A [`Resolution`] for each promise, the primary one first.
        resolutions: Vec<Resolution<R>>,
    },
    /// Reports that the kernel can no longer reach these exports.
    DropExports {
        /// In sorted order.
        refs: Vec<R>,
    },
    /// Reports that nobody can recognize these exports any more. Their ids will not be used again.
    RetireExports {
        /// In sorted order.
        refs: Vec<R>,
    },
    /// Reports that these imports are gone. Their ids will not be used again.
    RetireImports {
        /// In sorted order.
        refs: Vec<R>,
    },
    /// Asks the vat to collect garbage and to report the imports that it has dropped.
    BringOutYourDead,
    /// Changes the vat's options.
    ChangeVatOptions {
        /// Changed options, as a JSON object.
        options_json: String,
    },
}

/// Outcome of a [`Delivery`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DeliveryResult {
    /// The vat became quiescent.
    Ok,
    /// The delivery failed and the vat must be terminated. The text gives the reason.
    Error(JsString),
}

impl<R> Delivery<R> {
    /// Returns the result promise of a [`Delivery::Message`]. Returns `None` if nobody waits for
    /// the result, and for every other delivery.
    pub fn result(&self) -> Option<&R> {
        match self {
            Self::Message { message, .. } => message.result.as_ref(),
            _ => None,
        }
    }
}
