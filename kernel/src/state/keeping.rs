//! The bytes that vats keep, by kind, and what counts how many.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::CapData;
use capstan_kernel_ports::VatId;

/// Bytes that an entry of the store counts besides its key and value: the nodes of the tree above it.
pub const ENTRY_BYTES: u64 = 100;
/// Bytes that an export counts: its entry in the c-list, the reverse one, and the record of the object or promise.
pub const EXPORT_BYTES: u64 = 400;
/// Bytes that a reference in a kept message or value counts.
pub const SLOT_BYTES: u64 = 10;
/// Bytes that a page of a heap counts.
pub const PAGE_BYTES: u64 = 4096;

/// The reason why a message is not kept.
pub(crate) const NOT_COVERED: &str =
    "the meter of the vat that sent the message does not cover the deposit for keeping it";
/// The rejection that an account is told in place of data.
pub(crate) const DATA_NOT_COVERED: &str =
    "the meter of the vat that settled the promise does not cover the deposit for telling its data";

/// The bytes that a vat keeps, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Kept {
    /// Its own store: keys, values and [`ENTRY_BYTES`] for each entry.
    pub vatstore: u64,
    /// The pages of its heap at the last snapshot that are its own.
    pub heap: u64,
    /// Its exported objects and promises.
    pub exports: u64,
    /// Data of promises that it settled.
    pub promises: u64,
    /// Messages that it sent and that wait on promises.
    pub messages: u64,
    /// Its messages and data in outboxes of accounts.
    pub outboxes: u64,
    /// The parameters that it was started with.
    pub parameters: u64,
}

impl Kept {
    /// Returns the sum of all kinds.
    pub fn total(&self) -> u64 {
        let Self { vatstore, heap, exports, promises, messages, outboxes, parameters } = *self;
        [vatstore, heap, exports, promises, messages, outboxes, parameters]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Returns the bytes of a kind.
    pub fn of(&mut self, kind: Keeping) -> &mut u64 {
        match kind {
            Keeping::Vatstore => &mut self.vatstore,
            Keeping::Heap => &mut self.heap,
            Keeping::Export => &mut self.exports,
            Keeping::Promise => &mut self.promises,
            Keeping::Message => &mut self.messages,
            Keeping::Outbox => &mut self.outboxes,
            Keeping::Parameters => &mut self.parameters,
        }
    }
}

/// A kind of what is kept: one of the fields of [`Kept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeping {
    /// An entry of the vat's own store.
    Vatstore,
    /// Pages of the vat's heap.
    Heap,
    /// An exported object or promise.
    Export,
    /// Data of a settled promise.
    Promise,
    /// A message that waits on a promise.
    Message,
    /// An entry of an outbox.
    Outbox,
    /// The vat's parameters.
    Parameters,
}

/// The changes of what vats keep that are not applied yet.
pub(crate) type Changes = BTreeMap<VatId, BTreeMap<Keeping, i64>>;

/// A part of an outbox entry: the vat that pays for it, and its bytes.
pub(crate) type Paid = (VatId, u64);

/// Returns the bytes that an entry of a vat's own store counts.
pub(crate) fn vatstore_bytes(key_bytes: usize, value_bytes: usize) -> u64 {
    (key_bytes as u64).saturating_add(value_bytes as u64).saturating_add(ENTRY_BYTES)
}

/// Returns the bytes that data counts which a record of its own holds.
pub(crate) fn data_bytes(body_bytes: u64, slots: u64) -> u64 {
    body_bytes.saturating_add(SLOT_BYTES.saturating_mul(slots)).saturating_add(ENTRY_BYTES)
}

/// Returns the bytes that a message counts while it is kept, or data in an outbox.
pub(crate) fn capdata_bytes<R>(data: &CapData<R>) -> u64 {
    data_bytes(data.body.len() as u64, data.slots.len() as u64)
}
