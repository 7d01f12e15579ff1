//! The events on the kernel's queues.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{JsString, Message};
use capstan_kernel_ports::VatId;

use crate::{
    capdata::KernelData,
    ids::{Endpoint, KRef, MeterId},
    state::{cleanup::CleanupCounts, vat_config::DynamicOptions},
};

/// An event for the kernel to work on in a crank.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RunQueueEvent {
    /// A message is delivered to its target.
    Send {
        /// An object or promise.
        target: KRef,
        /// The message.
        message: Message<KRef>,
        /// The payer for the work of a vat of the system.
        payer: Payer,
    },
    /// An endpoint is to be told that a promise is settled.
    Notify {
        /// The subscriber.
        endpoint: Endpoint,
        /// The promise.
        promise: KRef,
    },
    /// Messages that waited on a promise are to be routed, one each crank. Each holds what a queued message holds.
    Waited {
        /// The promise.
        promise: KRef,
        /// The position of the next message.
        next: u64,
        /// One past the position of the last message.
        end: u64,
    },
    /// The subscribers of a settled promise are to be notified, one each crank. It holds the promise, as each of the
    /// notifications does.
    Subscribers {
        /// The promise.
        promise: KRef,
    },
    /// A dynamic vat is to be made and started.
    CreateVat {
        /// Its id, allocated when the event was queued.
        vat: VatId,
        /// Its bundle.
        bundle_id: String,
        /// Its parameters.
        parameters: KernelData,
        /// Its options.
        options: DynamicOptions,
    },
    /// A static vat is to be started.
    StartVat {
        /// The vat.
        vat: VatId,
        /// Its parameters.
        parameters: KernelData,
    },
    /// A vat is to get a new incarnation.
    UpgradeVat {
        /// The vat.
        vat: VatId,
        /// The number by which the vatAdmin vat knows this upgrade, as in `up1`.
        upgrade: u64,
        /// The new bundle.
        bundle_id: String,
        /// The new parameters, or `None` to keep those that the vat has.
        parameters: Option<KernelData>,
        /// The reason with which promises of the old incarnation are rejected.
        upgrade_message: JsString,
    },
    /// A vat's options change.
    ChangeVatOptions {
        /// The vat.
        vat: VatId,
        /// The changed options, a JSON object.
        options_json: String,
    },
    /// Objects that the kernel can no longer reach, or that nobody can recognize, are collected.
    CollectGarbage {
        /// The kind of delivery.
        kind: GcKind,
        /// The endpoint to tell.
        endpoint: Endpoint,
        /// In string order.
        krefs: Vec<KRef>,
    },
    /// Pending collections turned out not to be needed any more.
    NegatedGcAction,
    /// A vat is to bring out its dead.
    BringOutYourDead {
        /// The vat.
        vat: VatId,
    },
    /// Part of a dead vat is to be removed.
    CleanupTerminatedVat {
        /// The vat.
        vat: VatId,
        /// The most to remove.
        budget: CleanupCounts,
    },
}

/// The payer for the work that a message causes in a vat of the system, or that such a vat's message causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Payer {
    /// Nobody pays. A transaction has paid already, or the sender is the kernel.
    Nobody,
    /// The sender.
    Sender {
        /// The vat, which keeps the message while it waits on a promise or in an outbox.
        vat: VatId,
        /// Its [`Meter`](crate::meter::Meter), which pays if the message reaches a vat of the system.
        meter: Option<MeterId>,
    },
    /// The receiver's [`Meter`](crate::meter::Meter), because a vat of the system has sent the message.
    Receiver,
}

impl Payer {
    /// Returns the vat that keeps the message while it waits, if it is a vat's.
    pub(crate) fn keeper(self) -> Option<VatId> {
        match self {
            Self::Sender { vat, .. } => Some(vat),
            Self::Nobody | Self::Receiver => None,
        }
    }
}

/// A message that waits on a promise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Waiting {
    pub(crate) message: Message<KRef>,
    pub(crate) payer: Payer,
}

impl RunQueueEvent {
    /// Returns the result promise, if this is a message that has one.
    pub fn result(&self) -> Option<KRef> {
        match self {
            Self::Send { message, .. } => message.result,
            _ => None,
        }
    }

    /// Target and message, if this is a message with that result.
    pub(crate) fn send_with(&self, result: KRef) -> Option<(KRef, Message<KRef>)> {
        match self {
            Self::Send { target, message, .. } if message.result == Some(result) => {
                Some((*target, message.clone()))
            }
            _ => None,
        }
    }
}

/// The deliveries of garbage collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum GcKind {
    /// The delivery `dropExports`.
    DropExports,
    /// The delivery `retireExports`.
    RetireExports,
    /// The delivery `retireImports`.
    RetireImports,
}

impl GcKind {
    /// Returns the name of the delivery.
    pub fn name(self) -> &'static str {
        match self {
            Self::DropExports => "dropExports",
            Self::RetireExports => "retireExports",
            Self::RetireImports => "retireImports",
        }
    }
}
