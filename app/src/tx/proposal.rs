//! What a proposed block may hold: the one notion that PrepareProposal and ProcessProposal share, so that no honest
//! proposal is ever refused.
//!
//! It depends on the committed state and the proposal alone. What it cannot see is what the kernel does before a
//! block's transactions: work that earlier blocks left over may buy computrons with coins that a fee was to be paid
//! with. Everything else that makes a transaction fail without paying is found here.

use std::{collections::BTreeSet, sync::Arc};

use prost::bytes::Bytes;

use crate::{
    app::Committed,
    fault::NodeFault,
    tx::{TxHash, Verified, mempool::CheckState},
};

/// Takes the transactions in the mempool's order as long as they fit into `engine_bytes` by the engine's count and
/// within the app's limits. What would be refused in the block is left out.
pub(crate) fn prepare(
    committed: Option<Arc<Committed>>,
    verified: Arc<Verified>,
    txs: Vec<Bytes>,
    engine_bytes: u64,
) -> Result<Vec<Bytes>, NodeFault> {
    let Some(mut draft) = Draft::over(committed, verified) else {
        return Ok(Vec::new());
    };
    draft.room.engine_bytes = engine_bytes;
    let mut taken = Vec::with_capacity(txs.len());
    for tx in txs {
        match draft.take(&tx)? {
            Ok(()) => taken.push(tx),
            Err(Unfit::Refused) => {}
            // What follows a transaction that does not fit may be of its sender: the order matters.
            Err(Unfit::NoRoom) => break,
        }
    }
    Ok(taken)
}

/// Whether an honest proposer can have made this block: within the limits, no transaction twice, and all of them
/// such that their signers pay for them.
pub(crate) fn is_honest(
    committed: Option<Arc<Committed>>,
    verified: Arc<Verified>,
    txs: &[Bytes],
) -> Result<bool, NodeFault> {
    let Some(mut draft) = Draft::over(committed, verified) else {
        // Before its first block is committed a node takes no transactions, so no proposer has any.
        return Ok(txs.is_empty());
    };
    for tx in txs {
        if draft.take(tx)?.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A block in the making.
struct Draft {
    /// The accounts as they are after the transactions so far, at the least.
    accounts: CheckState,
    room: Room,
    taken: BTreeSet<TxHash>,
}

/// What a block has room for still.
#[derive(Clone, Copy)]
struct Room {
    /// By the app's count: of the transactions alone.
    bytes: u64,
    /// By the engine's: [`encoded_size`].
    engine_bytes: u64,
    gas: u64,
}

/// Why a transaction is not for this block.
enum Unfit {
    /// The block's execution would refuse it.
    Refused,
    /// It may be for the next block.
    NoRoom,
}

impl Draft {
    /// An empty block after what is committed; none if there is no chain yet.
    fn over(committed: Option<Arc<Committed>>, verified: Arc<Verified>) -> Option<Self> {
        let committed = committed?;
        let chain = committed.chain.as_ref()?;
        let room = Room {
            bytes: chain.params.max_block_bytes,
            engine_bytes: u64::MAX,
            gas: chain.max_gas.unwrap_or(u64::MAX),
        };
        Some(Self { accounts: CheckState::new(committed, verified), room, taken: BTreeSet::new() })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Result<(), Unfit>, NodeFault> {
        let Ok(tx) = self.accounts.decode(bytes)? else {
            return Ok(Err(Unfit::Refused));
        };
        if self.taken.contains(&tx.hash) {
            return Ok(Err(Unfit::Refused));
        }
        let Some(room) = self.room.without(bytes, tx.gas_limit) else {
            return Ok(Err(Unfit::NoRoom));
        };
        if self.accounts.check(&tx)?.is_err() {
            return Ok(Err(Unfit::Refused));
        }
        self.accounts.spend(&tx)?;
        self.room = room;
        self.taken.insert(tx.hash);
        Ok(Ok(()))
    }
}

impl Room {
    /// What is left when a transaction is taken; none if there is not enough.
    fn without(self, tx: &[u8], gas: u64) -> Option<Self> {
        Some(Self {
            bytes: self.bytes.checked_sub(tx.len() as u64)?,
            engine_bytes: self.engine_bytes.checked_sub(encoded_size(tx))?,
            gas: self.gas.checked_sub(gas)?,
        })
    }
}

/// What a transaction takes up in a block, as CometBFT counts it (`ComputeProtoSizeForTxs`): a field's tag of
/// one byte, the length as a varint, and the bytes. If a proposal is over the engine's limit by this count,
/// CometBFT makes none: with a mempool that stays full the chain would stand still.
fn encoded_size(tx: &[u8]) -> u64 {
    (1 + prost::length_delimiter_len(tx.len()) + tx.len()) as u64
}
