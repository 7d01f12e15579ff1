//! Errors of the kernel, told apart by whose fault they are.

use capstan_kernel_ports::{VatId, host::HostFault, store::StoreFault};

use crate::ids::KRef;

/// The reason why the kernel stops. Nothing of the current block may be committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelPanic {
    /// A critical vat ended, of itself or by a fault. Every node stops at this crank.
    #[error("critical vat {vat} failed: {info}")]
    CriticalVat {
        /// The vat.
        vat: VatId,
        /// The body of what it ended with.
        info: String,
    },
    /// A promise whose rejection is not to be survived was rejected: a static vat's `bootstrap`.
    #[error("kernel panic {promise}.policy panic: rejected {data_json}")]
    PromisePolicy {
        /// The promise.
        promise: KRef,
        /// The rejection, as `{body, slots}`.
        data_json: String,
    },
    /// A vat, replayed from its transcript, did something else than it had done.
    #[error("anachrophobia in {vat} delivery d{position}: {problem}")]
    Anachrophobia {
        /// The vat.
        vat: VatId,
        /// The position in its transcript.
        position: u64,
        /// The first difference.
        problem: String,
    },
    /// A vat that had been started could not be started again.
    #[error("unable to re-create vat {vat}: {problem}")]
    Recreate {
        /// The vat.
        vat: VatId,
        /// The host's account of the failure.
        problem: String,
    },
    /// This node's store failed with a [`StoreFault`].
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// This node's vat host failed with a [`HostFault`].
    #[error(transparent)]
    Host(#[from] HostFault),
    /// The state contradicts itself: a bug in the kernel, or damage to the store.
    #[error("kernel state is inconsistent: {0}")]
    Inconsistent(String),
}

impl KernelPanic {
    /// Returns true if every node panics at the same crank, and false for a fault of this node alone.
    pub fn is_consensus(&self) -> bool {
        matches!(self, Self::CriticalVat { .. } | Self::PromisePolicy { .. })
    }
}

/// The result of every kernel function that touches the state.
pub(crate) type Result<T> = std::result::Result<T, KernelPanic>;

/// The reason why a syscall or a remote's request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The vat's fault: it dies. The text goes to the node's log.
    VatFatal(String),
    /// The delivery has caused more work than its limit allows. It ends here.
    Exhausted,
    /// The kernel stops with this [`KernelPanic`].
    Panic(KernelPanic),
}

impl From<KernelPanic> for Refusal {
    fn from(panic: KernelPanic) -> Self {
        Self::Panic(panic)
    }
}

impl From<StoreFault> for Refusal {
    fn from(fault: StoreFault) -> Self {
        Self::Panic(fault.into())
    }
}

/// Translation of what a vat asks for.
pub(crate) type Translated<T> = std::result::Result<T, Refusal>;

/// Ends a translation by the vat's fault.
pub(crate) fn vat_fatal<T>(why: impl Into<String>) -> Translated<T> {
    Err(Refusal::VatFatal(why.into()))
}

/// Says that a limit of work was exceeded where there is none: outside of deliveries.
pub(crate) fn no_limit() -> KernelPanic {
    inconsistent("a limit of work was exceeded outside of deliveries")
}

/// Something that cannot be unless the state is damaged.
pub(crate) fn inconsistent(what: impl Into<String>) -> KernelPanic {
    KernelPanic::Inconsistent(what.into())
}

/// The reason why the use of a device failed, by the host or by the device itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The genesis document did not ask for it.
    #[error("this kernel has no {0} device: the genesis document has to ask for it")]
    Missing(&'static str),
    /// No vat has registered a handler with the device.
    #[error("{0}: no vat has registered a handler yet")]
    NoHandler(&'static str),
    /// The new time is before the old one.
    #[error("time is monotonic: {now} is before {last}")]
    TimeRanBackwards {
        /// The time that was to be set.
        now: u64,
        /// The time that was set before.
        last: u128,
    },
    /// The device refused its input, for this reason.
    #[error("{0}")]
    Refused(String),
    /// The kernel stops with this [`KernelPanic`].
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}
