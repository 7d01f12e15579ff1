//! The results of messages: the result promise of each, and its settlement.
//!
//! The value itself lies in the account's outbox, in the kernel, until it is acknowledged.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_genesis::{Address, Params};
use capstan_kernel::ids::RemoteId;
use capstan_kernel_ports::store::{Overlay, Read};

use tendermint_proto::v0_38::abci::Event;

use crate::{
    events::event,
    fault::NodeFault,
    records::{keys, record},
    tx::TxHash,
};

/// Record of a message that has a result promise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MessageRecord {
    /// Type URL of the message, as in `/capstan.v1.MsgSend`.
    pub type_url: String,
    /// Height of the message's block.
    pub height: u64,
    /// [`Address`] of the sender.
    pub account: Address,
    /// [`RemoteId`] of the account's endpoint in the kernel.
    pub remote: RemoteId,
    /// Result promise in the account's channel, `rp-N`.
    pub promise: String,
    /// [`Settled`] state of the promise, or `None` while it is pending.
    pub settled: Option<Settled>,
}

impl MessageRecord {
    /// Returns the name of the state of the promise.
    pub(crate) fn status(&self) -> &'static str {
        match self.settled {
            None => "pending",
            Some(settled) if settled.rejected => "rejected",
            Some(_) => "fulfilled",
        }
    }
}

/// Settlement of a result promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Settled {
    /// Height of the block that settled the promise.
    pub height: u64,
    /// True if the promise was rejected.
    pub rejected: bool,
}

/// Returns the [`MessageRecord`] of message `index` of `tx`, or `None` if it is unknown or has expired.
pub fn get(
    state: &(impl Read + ?Sized),
    tx: &TxHash,
    index: u32,
) -> Result<Option<MessageRecord>, NodeFault> {
    record::get(state, &keys::result(tx, index))
}

/// Records a message until `result_retention_blocks` of [`Params`] have passed.
pub(crate) fn add(
    state: &mut dyn Overlay,
    tx: &TxHash,
    index: u32,
    message: &MessageRecord,
    params: &Params,
) -> Result<(), NodeFault> {
    record::set(state, &keys::result(tx, index), message)?;
    record::set(state, &keys::result_of_promise(message.remote, &message.promise), &(tx.0, index))?;
    let height = message.height.saturating_add(params.result_retention_blocks);
    state.set(&keys::result_expiry(height, tx, index), Vec::new());
    Ok(())
}

/// Records that a promise of a remote was settled. Returns the message that it answers, or `None` if no message is
/// recorded for it.
pub(crate) fn settle(
    state: &mut dyn Overlay,
    remote: RemoteId,
    promise: &str,
    settled: Settled,
) -> Result<Option<(TxHash, u32)>, NodeFault> {
    let by_promise = keys::result_of_promise(remote, promise);
    let Some((tx, index)) = record::get::<([u8; 32], u32)>(state, &by_promise)? else {
        return Ok(None);
    };
    state.delete(&by_promise);
    let (tx, key) = (TxHash(tx), keys::result(&TxHash(tx), index));
    if let Some(mut message) = record::get::<MessageRecord>(state, &key)? {
        message.settled = Some(settled);
        record::set(state, &key, &message)?;
    }
    Ok(Some((tx, index)))
}

/// Returns the [`Event`] of a settled message.
pub(crate) fn resolved(
    account: String,
    promise: String,
    settled: Settled,
    tx: &TxHash,
    index: u32,
) -> Event {
    let status = if settled.rejected { "rejected" } else { "fulfilled" };
    let attributes = [
        ("account", account),
        ("promise", promise),
        ("status", status.to_owned()),
        ("tx_hash", tx.to_string()),
        ("message_index", index.to_string()),
    ];
    event("message.resolved", &attributes)
}

/// Deletes the record of a message and of its promise.
pub(crate) fn expire(state: &mut dyn Overlay, tx: &TxHash, index: u32) -> Result<(), NodeFault> {
    let key = keys::result(tx, index);
    if let Some(message) = record::get::<MessageRecord>(state, &key)? {
        state.delete(&keys::result_of_promise(message.remote, &message.promise));
        state.delete(&key);
    }
    Ok(())
}
