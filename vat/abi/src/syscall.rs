use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{CapData, JsString, Message, Resolution, VRef};

/// What a vat asks of the kernel (SwingSet's `VatSyscallObject`).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Syscall<R = VRef> {
    /// Send a message.
    Send {
        /// An object or promise.
        target: R,
        /// Method, arguments and result promise.
        message: Message<R>,
    },
    /// Call a device synchronously.
    CallNow {
        /// A device node.
        target: R,
        /// The method's name.
        method: JsString,
        /// The arguments: an encoded array.
        args: CapData<R>,
    },
    /// Ask to be told when a promise is settled.
    Subscribe {
        /// The promise.
        promise: R,
    },
    /// Settle promises that the vat decides.
    Resolve {
        /// In the order in which they are settled.
        resolutions: Vec<Resolution<R>>,
    },
    /// End the vat when this crank is over.
    Exit {
        /// True if the crank is to be undone and the reason reported as a rejection.
        is_failure: bool,
        /// The completion value or the reason.
        info: CapData<R>,
    },
    /// Read a key of the vat's own store.
    VatstoreGet {
        /// The key.
        key: JsString,
    },
    /// The least key of the vat's own store that is greater than `prior`.
    VatstoreGetNextKey {
        /// A key, or the empty string to start.
        prior: JsString,
    },
    /// Write a key of the vat's own store.
    VatstoreSet {
        /// The key.
        key: JsString,
        /// The value.
        value: JsString,
    },
    /// Delete a key of the vat's own store.
    VatstoreDelete {
        /// The key.
        key: JsString,
    },
    /// The vat can no longer reach these imports.
    DropImports {
        /// Imported objects.
        refs: Vec<R>,
    },
    /// The vat can no longer recognize these imports.
    RetireImports {
        /// Imported objects, dropped before.
        refs: Vec<R>,
    },
    /// The vat gives up these exports, which the kernel had dropped.
    RetireExports {
        /// Exported objects.
        refs: Vec<R>,
    },
    /// The vat gives up these exports although others still hold them.
    AbandonExports {
        /// Exported objects.
        refs: Vec<R>,
    },
}

/// The kernel's answer to a [`Syscall`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SyscallResult<R = VRef> {
    /// It was done.
    Ok(SyscallData<R>),
    /// It was refused. After a refusal that is not a device's error the vat is to be ended.
    Error(String),
}

/// What a successful [`Syscall`] returns.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SyscallData<R = VRef> {
    /// Nothing, or no such key.
    Null,
    /// A value or key of the vatstore.
    Text(JsString),
    /// What a device answered.
    CapData(CapData<R>),
}
