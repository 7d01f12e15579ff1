//! The results of messages: which promise answers which message, and how it was settled.
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

/// A message that has a result promise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MessageRecord {
    /// The message's type URL.
    pub type_url: String,
    /// The height of its block.
    pub height: u64,
    /// [`Address`] of the sender.
    pub account: Address,
    /// Endpoint of the account in the kernel.
    pub remote: RemoteId,
    /// The result promise in the account's channel, `rp-N`.
    pub promise: String,
    /// [`Settled`] state of the promise, or `None` while it is pending.
    pub settled: Option<Settled>,
}

/// Settlement of a result promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Settled {
    /// The height of the block that did it.
    pub height: u64,
    /// True if it was rejected.
    pub rejected: bool,
}

/// Returns the record of message `index` of `tx`, or `None` if it is unknown or was forgotten.
pub fn get(
    state: &(impl Read + ?Sized),
    tx: &TxHash,
    index: u32,
) -> Result<Option<MessageRecord>, NodeFault> {
    record::get(state, &keys::result(tx, index))
}

/// Remembers a message, for as long as the parameters say.
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

/// Notes that a promise of a remote was settled. Returns the message that it answers, if it is one
/// that is remembered.
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

/// Returns the [`Event`] that tells how a message was answered.
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

/// Forgets a message and its promise.
pub(crate) fn expire(state: &mut dyn Overlay, tx: &TxHash, index: u32) -> Result<(), NodeFault> {
    let key = keys::result(tx, index);
    if let Some(message) = record::get::<MessageRecord>(state, &key)? {
        state.delete(&keys::result_of_promise(message.remote, &message.promise));
        state.delete(&key);
    }
    Ok(())
}
