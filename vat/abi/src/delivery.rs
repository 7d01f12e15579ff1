use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{CapData, JsString, Message, Resolution, VRef};

/// What the kernel asks a vat to do (SwingSet's `VatDeliveryObject`, or with `R` = kref its
/// `KernelDeliveryObject`).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Delivery<R = VRef> {
    /// The first delivery of every incarnation: build the root object from the parameters.
    StartVat {
        /// The vat's parameters, an encoded record.
        parameters: CapData<R>,
    },
    /// A method call on one of the vat's exports, or on a promise that the vat decides.
    Message {
        /// The object or promise that is called.
        target: R,
        /// The method, its arguments and the result promise.
        message: Message<R>,
    },
    /// Promises that the vat subscribed to are settled, and with them those that they lead to.
    Notify {
        /// The primary promise first.
        resolutions: Vec<Resolution<R>>,
    },
    /// The kernel can no longer reach these exports.
    DropExports {
        /// In sorted order.
        refs: Vec<R>,
    },
    /// Nobody can recognize these exports any more; the ids will not be used again.
    RetireExports {
        /// In sorted order.
        refs: Vec<R>,
    },
    /// These imports are gone; the ids will not be used again.
    RetireImports {
        /// In sorted order.
        refs: Vec<R>,
    },
    /// Collect garbage and report imports that were dropped.
    BringOutYourDead,
    /// The vat's options changed.
    ChangeVatOptions {
        /// The changed options, a JSON object.
        options_json: String,
    },
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DeliveryResult {
    /// The vat came to rest.
    Ok,
    /// The delivery failed and the vat must die: the text says why.
    Error(JsString),
}

impl<R> Delivery<R> {
    /// Returns the result promise of a message, or `None` if nobody waits for it or the delivery is no message.
    pub fn result(&self) -> Option<&R> {
        match self {
            Self::Message { message, .. } => message.result.as_ref(),
            _ => None,
        }
    }
}
