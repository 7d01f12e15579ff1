//! The content of proposed blocks: one rule for PrepareProposal and ProcessProposal, so that no honest proposal is
//! ever refused.
//!
//! The rule depends only on the [`Committed`] state and the proposal. It cannot foresee the kernel's work before the
//! block's transactions. Work left over from earlier blocks may buy computrons with the coins that were meant for a
//! fee. Every other reason why a transaction fails without paying is found here.

use std::{collections::BTreeSet, sync::Arc};

use capstan_genesis::Params;
use prost::bytes::Bytes;

use crate::{
    admission::{SignatureCache, completions::Completions, mempool::CheckState},
    committed::Committed,
    fault::{Failure, NodeFault},
    tx::TxHash,
};

/// Selects transactions for a block, in the mempool's order, until one does not fit.
///
/// They must fit into `consensus_bytes` by CometBFT's count, and within the application's limits. Transactions that
/// the block's execution would refuse are left out. Selects nothing before the chain's first block.
pub(crate) fn prepare(
    committed: Option<Arc<Committed>>,
    signatures: Arc<SignatureCache>,
    txs: Vec<Bytes>,
    consensus_bytes: u64,
) -> Result<Vec<Bytes>, NodeFault> {
    let Some(mut proposal) = Proposal::new(committed, signatures) else {
        return Ok(Vec::new());
    };
    proposal.capacity.consensus_bytes = consensus_bytes;
    let mut taken = Vec::with_capacity(txs.len());
    for tx in txs {
        match proposal.add(&tx)? {
            Verdict::Added => taken.push(tx),
            Verdict::Refused => {}
            // What follows a transaction that does not fit may be of its sender: the order matters.
            Verdict::Full => break,
        }
    }
    Ok(taken)
}

/// Returns whether an honest proposer can have made this block.
///
/// Such a block keeps to the limits, holds no transaction twice, and the signer of each can pay for it.
pub(crate) fn is_honest(
    committed: Option<Arc<Committed>>,
    signatures: Arc<SignatureCache>,
    txs: &[Bytes],
) -> Result<bool, NodeFault> {
    let Some(mut proposal) = Proposal::new(committed, signatures) else {
        // Before its first block is committed a node takes no transactions, so no proposer has any.
        return Ok(txs.is_empty());
    };
    proposal.accounts.verify_ahead(txs);
    for tx in txs {
        if proposal.add(tx)? != Verdict::Added {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The block that is being assembled.
struct Proposal {
    /// Lower bounds of the accounts' balances after the transactions so far.
    accounts: CheckState,
    capacity: Capacity,
    completions: Completions,
    taken: BTreeSet<TxHash>,
}

/// Remaining capacity of a block.
#[derive(Clone, Copy)]
struct Capacity {
    /// Bytes by the application's count, which covers only the transactions.
    bytes: u64,
    /// Bytes by CometBFT's count: [`encoded_size`].
    consensus_bytes: u64,
    gas: u64,
    /// Computrons that transactions may count: [`Tx::computrons`](crate::tx::Tx::computrons), and those of the bundles
    /// that they complete. The first one may count more.
    computrons: u64,
}

/// The result of adding a transaction to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The transaction is part of the block.
    Added,
    /// The block's execution would refuse the transaction.
    Refused,
    /// The block has no space for the transaction, but a later one may.
    Full,
}

impl Proposal {
    /// Starts an empty block after the committed state. Returns `None` if there is no chain yet.
    fn new(committed: Option<Arc<Committed>>, signatures: Arc<SignatureCache>) -> Option<Self> {
        let committed = committed?;
        let chain = committed.chain.as_ref()?;
        let capacity = Capacity {
            bytes: chain.params.max_block_bytes,
            consensus_bytes: u64::MAX,
            gas: chain.max_gas.unwrap_or(u64::MAX),
            computrons: transaction_budget(&chain.params),
        };
        let accounts = CheckState::new(committed, signatures);
        let completions = Completions::default();
        Some(Self { accounts, capacity, completions, taken: BTreeSet::new() })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<Verdict, NodeFault> {
        match self.try_add(bytes) {
            Ok(verdict) => Ok(verdict),
            Err(Failure::Tx(_)) => Ok(Verdict::Refused),
            Err(Failure::Node(fault)) => Err(fault),
        }
    }

    fn try_add(&mut self, bytes: &[u8]) -> Result<Verdict, Failure> {
        let tx = self.accounts.decode(bytes)?;
        if self.taken.contains(&tx.hash) {
            return Ok(Verdict::Refused);
        }
        let change = self.completions.change(&tx, &self.accounts)?;
        let mut computrons =
            tx.computrons(self.accounts.params()?).saturating_add(change.computrons);
        if self.taken.is_empty() {
            // Alone in a block, a transaction may count more than transactions may together.
            computrons = computrons.min(self.capacity.computrons);
        }
        let Some(capacity) = self.capacity.without(bytes, tx.gas_limit, computrons) else {
            return Ok(Verdict::Full);
        };
        self.accounts.check(&tx)?;
        self.accounts.spend(&tx)?;
        self.capacity = capacity;
        self.completions.apply(change);
        self.taken.insert(tx.hash);
        Ok(Verdict::Added)
    }
}

impl Capacity {
    /// Returns what is left after a transaction, or `None` if it does not fit.
    fn without(self, tx: &[u8], gas: u64, computrons: u64) -> Option<Self> {
        Some(Self {
            bytes: self.bytes.checked_sub(tx.len() as u64)?,
            consensus_bytes: self.consensus_bytes.checked_sub(encoded_size(tx))?,
            gas: self.gas.checked_sub(gas)?,
            computrons: self.computrons.checked_sub(computrons)?,
        })
    }
}

/// Returns the computrons that a block's transactions may count together, unless one alone counts more. The rest of the budget
/// is for cranks.
pub(crate) fn transaction_budget(params: &Params) -> u64 {
    params.block_computrons / 2
}

/// Returns the size of a transaction in a block, as CometBFT counts it (`ComputeProtoSizeForTxs`): a field's tag of
/// one byte, the length as a varint, and the bytes.
///
/// CometBFT makes no proposal that is over its limit by this count. With a mempool that stays full the chain would
/// stand still.
fn encoded_size(tx: &[u8]) -> u64 {
    (1 + prost::length_delimiter_len(tx.len()) + tx.len()) as u64
}
