use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{CapData, JsString, Message, Resolution, VRef};

/// Request from a vat to the kernel (SwingSet's `VatSyscallObject`).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Syscall<R = VRef> {
    /// Sends a [`Message`] to an object or promise.
    Send {
        /// Object or promise that receives the message.
        target: R,
        /// Method, arguments and result promise, as a [`Message`].
        message: Message<R>,
    },
    /// Calls a device synchronously.
    CallNow {
        /// Device node that is called.
        target: R,
        /// Name of the method.
        method: JsString,
        /// Arguments: [`CapData`] of an array.
        args: CapData<R>,
    },
    /// Subscribes to a promise, so that a [`Delivery::Notify`](crate::Delivery::Notify) reports its
    /// settlement.
    Subscribe {
        /// Promise that the vat subscribes to.
        promise: R,
    },
    /// Settles promises that the vat decides.
    Resolve {
        /// A [`Resolution`] for each promise, in the order of settlement.
        resolutions: Vec<Resolution<R>>,
    },
    /// Terminates the vat at the end of this crank.
    Exit {
        /// Is true if the crank is to be undone and `info` reported as a rejection.
        is_failure: bool,
        /// Completion value, or reason of the failure.
        info: CapData<R>,
    },
    /// Reads a key of the vat's own store.
    VatstoreGet {
        /// The key.
        key: JsString,
    },
    /// Returns the least key of the vat's own store that is greater than `prior`.
    VatstoreGetNextKey {
        /// Exclusive lower bound. The empty string starts at the first key.
        prior: JsString,
    },
    /// Writes a key of the vat's own store.
    VatstoreSet {
        /// The key.
        key: JsString,
        /// Value to store, as a [`JsString`].
        value: JsString,
    },
    /// Deletes a key of the vat's own store.
    VatstoreDelete {
        /// The key.
        key: JsString,
    },
    /// Reports that the vat can no longer reach these imports.
    DropImports {
        /// Imported objects.
        refs: Vec<R>,
    },
    /// Reports that the vat can no longer recognize these imports.
    RetireImports {
        /// Imported objects, which the vat has dropped before.
        refs: Vec<R>,
    },
    /// Gives up exports that the kernel has dropped.
    RetireExports {
        /// Exported objects.
        refs: Vec<R>,
    },
    /// Gives up exports that others still hold.
    AbandonExports {
        /// Exported objects.
        refs: Vec<R>,
    },
}

/// Kernel's answer to a [`Syscall`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SyscallResult<R = VRef> {
    /// The kernel carried out the syscall.
    Ok(SyscallData<R>),
    /// The kernel refused the syscall. The vat must then be terminated, unless the text is a
    /// device's error.
    Error(String),
}

/// Value that a successful [`Syscall`] returns.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SyscallData<R = VRef> {
    /// No value, or no such key.
    Null,
    /// Value or key of the vat's own store.
    Text(JsString),
    /// Answer of a device, as [`CapData`].
    CapData(CapData<R>),
}
