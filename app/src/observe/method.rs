use std::fmt;

/// An ABCI method that can end the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbciMethod {
    /// `InitChain`, which writes the first state.
    InitChain,
    /// `PrepareProposal`, which selects a block's transactions.
    PrepareProposal,
    /// `ProcessProposal`, which judges a proposed block.
    ProcessProposal,
    /// `FinalizeBlock`, which executes a block.
    FinalizeBlock,
    /// `Commit`, which writes an executed block.
    Commit,
    /// `ApplySnapshotChunk`, which restores a state.
    ApplySnapshotChunk,
}

impl fmt::Display for AbciMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
