//! Faults of this node, in contrast to errors of users.

use capstan_kernel::KernelPanic;
use capstan_kernel_ports::store::StoreFault;

use crate::tx::TxError;

/// Fault that stops this node: nothing of the current block may be committed. A user's error is never a fault but a
/// [`TxError`].
#[derive(Debug, thiserror::Error)]
pub enum NodeFault {
    /// Fault of the store: it cannot read or write.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// Panic of the kernel: a critical vat died, or this node failed in it.
    #[error(transparent)]
    Kernel(#[from] KernelPanic),
    /// Traces of blocks cannot be written to their directory.
    #[error("the traces of blocks cannot be kept: {0}")]
    Trace(#[from] crate::observe::trace::TraceError),
    /// The genesis document cannot start a chain.
    #[error("the genesis document is refused: {0}")]
    Genesis(String),
    /// An agreed [`Override`](crate::Override) cannot be applied: it is for another state, or names things that do
    /// not exist.
    #[error("the override for block {height} is refused: {why}")]
    Override {
        /// Height of the block.
        height: u64,
        /// Reason for the refusal.
        why: String,
    },
    /// Inconsistent state: a bug, or damage to the store.
    #[error("the app's state is damaged: {0}")]
    Damaged(String),
}

impl From<capstan_store::Error> for NodeFault {
    fn from(error: capstan_store::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Reason why a message was not executed. The sender's error is part of the chain's history, while a [`NodeFault`]
/// stops the node.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error of the sender, which every node finds.
    Tx(TxError),
    /// A fault of this node, which stops it.
    Node(NodeFault),
}

impl From<TxError> for Failure {
    fn from(error: TxError) -> Self {
        Self::Tx(error)
    }
}

impl From<NodeFault> for Failure {
    fn from(fault: NodeFault) -> Self {
        Self::Node(fault)
    }
}

impl From<StoreFault> for Failure {
    fn from(fault: StoreFault) -> Self {
        Self::Node(fault.into())
    }
}
