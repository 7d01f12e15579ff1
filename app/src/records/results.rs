//! The results of messages: the result promise of each, and its settlement.
//!
//! The value itself lies in the account's outbox, in the kernel, until it is acknowledged.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::Resolution;
use capstan_genesis::{Address, Params};
use capstan_kernel::{ids::RemoteId, view};
use capstan_kernel_ports::{
    VatId,
    store::{Overlay, Read},
};
use capstan_proto::v1::MsgCreateVat;
use prost::Name;
use tendermint_proto::v0_38::abci::Event;

use crate::{
    events::event,
    fault::NodeFault,
    records::{created, keys, record},
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
    /// Object that the message was for, in the account's channel.
    pub target: String,
    /// Name of the method, cut to 64 bytes.
    pub method: String,
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

    /// Returns whether the message asks for a vat.
    pub(crate) fn creates_vat(&self) -> bool {
        self.type_url == MsgCreateVat::type_url()
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

/// Records that a promise of a remote was settled. Returns the [`Event`] of the message that it answers, and those of the
/// vats of which the answer has an object. There are none if no message is recorded for the promise.
pub(crate) fn settle(
    state: &mut dyn Overlay,
    remote: RemoteId,
    height: u64,
    resolution: &Resolution,
) -> Result<Vec<Event>, NodeFault> {
    let Some((tx, index, mut message)) = of_promise(state, remote, &resolution.promise)? else {
        return Ok(Vec::new());
    };
    if message.settled.is_some() {
        return Ok(Vec::new());
    }
    let settled = Settled { height, rejected: resolution.rejected };
    message.settled = Some(settled);
    record::set(state, &keys::result(&tx, index), &message)?;
    let created = match message.creates_vat() && !settled.rejected {
        true => created::vat(state, remote, &resolution.data)?,
        false => None,
    };
    let created = created.map(|vat| vat.id.to_string());
    let mut events = vec![resolved(&message, settled, (&tx, index), created)];
    if !settled.rejected {
        for vat in created::since(state, remote, &resolution.data, message.height)? {
            events.push(introduced(state, &message, (&tx, index), vat)?);
        }
    }
    Ok(events)
}

/// Returns the message whose result a promise of a remote is, or `None` if it is unknown or has expired.
pub(crate) fn of_promise(
    state: &(impl Read + ?Sized),
    remote: RemoteId,
    promise: &str,
) -> Result<Option<(TxHash, u32, MessageRecord)>, NodeFault> {
    let by_promise = keys::result_of_promise(remote, promise);
    let Some((tx, index)) = record::get::<([u8; 32], u32)>(state, &by_promise)? else {
        return Ok(None);
    };
    let tx = TxHash(tx);
    Ok(get(state, &tx, index)?.map(|message| (tx, index, message)))
}

/// Returns the name of a method as it is recorded.
pub(crate) fn recorded_method(method: &str) -> String {
    method[..method.floor_char_boundary(MAX_METHOD_BYTES)].to_owned()
}

/// Upper bound of a recorded method's name, in bytes.
const MAX_METHOD_BYTES: usize = 64;

/// Returns the [`Event`] of a settled message, with the id of the vat that it created.
fn resolved(
    message: &MessageRecord,
    settled: Settled,
    (tx, index): (&TxHash, u32),
    vat: Option<String>,
) -> Event {
    let status = if settled.rejected { "rejected" } else { "fulfilled" };
    let mut attributes = vec![
        ("account", message.account.to_string()),
        ("promise", message.promise.clone()),
        ("status", status.to_owned()),
        ("tx_hash", tx.to_string()),
        ("message_index", index.to_string()),
    ];
    attributes.extend(vat.map(|id| ("vat_id", id)));
    event("message.resolved", &attributes)
}

/// Returns the [`Event`] of a vat that began after a message and whose object the answer has.
fn introduced(
    state: &dyn Overlay,
    message: &MessageRecord,
    (tx, index): (&TxHash, u32),
    vat: VatId,
) -> Result<Event, NodeFault> {
    let mut attributes = vec![
        ("vat_id", vat.to_string()),
        ("account", message.account.to_string()),
        ("tx_hash", tx.to_string()),
        ("message_index", index.to_string()),
    ];
    let subcluster = view::subcluster_of(state, vat)?;
    attributes.extend(subcluster.map(|id| ("subcluster_id", id.to_string())));
    Ok(event("vat.introduced", &attributes))
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
