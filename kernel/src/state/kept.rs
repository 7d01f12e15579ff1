//! What vats keep on the disk of every node, and the deposits for it.
//!
//! A vat's meter pays computrons for work, once. What the vat keeps costs nodes room for as long as it stands. So each
//! kept byte takes a deposit from the meter, which comes back when the byte is freed. A record names the vat that pays
//! for it, and goes on doing so when that vat has ended: the deposit follows the bytes.
//!
//! A crank notes its changes in memory. [`State::save`] applies them, once for each vat.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::CapData;
use capstan_kernel_ports::VatId;

use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    state::{clist::is_export, handle::State},
};

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
}

impl Kept {
    /// Returns the sum of all kinds.
    pub fn total(&self) -> u64 {
        [self.vatstore, self.heap, self.exports, self.promises, self.messages, self.outboxes]
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

impl State<'_> {
    /// Notes that a vat keeps more from now on.
    pub(crate) fn keep(&mut self, vat: VatId, kind: Keeping, bytes: u64) {
        self.change_kept(vat, kind, i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Notes that something a vat kept is freed.
    pub(crate) fn free(&mut self, vat: VatId, kind: Keeping, bytes: u64) {
        self.change_kept(vat, kind, i64::try_from(bytes).map_or(i64::MIN, i64::wrapping_neg));
    }

    fn change_kept(&mut self, vat: VatId, kind: Keeping, change: i64) {
        let sum = self.kept.entry(vat).or_default().entry(kind).or_default();
        *sum = sum.saturating_add(change);
    }

    /// Keeps something, if the vat's meter covers the deposit for it. Returns false if it does not. Nobody's bytes are
    /// always covered.
    pub(crate) fn try_keep(
        &mut self,
        vat: Option<VatId>,
        kind: Keeping,
        bytes: u64,
    ) -> Result<bool> {
        let Some(vat) = vat else { return Ok(true) };
        self.keep(vat, kind, bytes);
        if self.covers_growth(vat)? {
            return Ok(true);
        }
        self.free(vat, kind, bytes);
        Ok(false)
    }

    /// Notes that outbox entries are freed.
    pub(crate) fn free_paid(&mut self, paid: &[Paid]) {
        for (vat, bytes) in paid {
            self.free(*vat, Keeping::Outbox, *bytes);
        }
    }

    /// Notes how many pages of its own the vat's heap has from now on.
    pub(crate) fn keep_heap(&mut self, vat: VatId, pages: u64) -> Result<()> {
        let before = self.vat(vat)?.kept.heap;
        if let Some(changes) = self.kept.get_mut(&vat) {
            // There is one heap: a change that was noted before is none any more.
            changes.remove(&Keeping::Heap);
        }
        self.free(vat, Keeping::Heap, before);
        self.keep(vat, Keeping::Heap, pages.saturating_mul(PAGE_BYTES));
        Ok(())
    }

    /// Notes that a c-list entry was added. Exports of vats are kept.
    pub(crate) fn keep_export(&mut self, endpoint: Endpoint) {
        if let Endpoint::Vat(vat) = endpoint {
            self.keep(vat, Keeping::Export, EXPORT_BYTES);
        }
    }

    /// Notes that a c-list entry was removed.
    pub(crate) fn free_entry(&mut self, endpoint: Endpoint, kref: KRef, vref: &str) {
        if let (Endpoint::Vat(vat), KRef::Object(_) | KRef::Promise(_), true) =
            (endpoint, kref, is_export(vref))
        {
            self.free(vat, Keeping::Export, EXPORT_BYTES);
        }
    }

    /// Sets a key of a vat's own store.
    pub(crate) fn set_in_vatstore(
        &mut self,
        vat: VatId,
        key: (&[u8], usize),
        value: Vec<u8>,
    ) -> Result<()> {
        let (key, own_bytes) = key;
        if let Some(old) = self.over.value_len(key)? {
            self.free(vat, Keeping::Vatstore, vatstore_bytes(own_bytes, old));
        }
        self.keep(vat, Keeping::Vatstore, vatstore_bytes(own_bytes, value.len()));
        self.over.set(key, value);
        Ok(())
    }

    /// Deletes a key of a vat's own store.
    pub(crate) fn delete_from_vatstore(&mut self, vat: VatId, key: (&[u8], usize)) -> Result<()> {
        let (key, own_bytes) = key;
        if let Some(old) = self.over.value_len(key)? {
            self.free(vat, Keeping::Vatstore, vatstore_bytes(own_bytes, old));
        }
        self.over.delete(key);
        Ok(())
    }

    /// Returns true if the vat's meter covers the deposit for what the vat keeps more than before, besides what this
    /// crank has spent.
    pub(crate) fn covers_growth(&self, vat: VatId) -> Result<bool> {
        let price = self.globals().options.billing.kept_byte;
        let grown = self.kept.get(&vat).map_or(0, growth);
        if price == 0 || grown <= 0 {
            return Ok(true);
        }
        let Some(meter) = self.vat_config(vat)?.meter else { return Ok(true) };
        let Some(remaining) = self.meter(meter)?.and_then(|meter| meter.remaining) else {
            return Ok(true);
        };
        let record = self.vat(vat)?;
        let total = record.kept.total().saturating_add(grown.unsigned_abs());
        let due = (u128::from(total) * u128::from(price)).saturating_sub(record.deposit);
        Ok(remaining.saturating_sub(u128::from(self.spent)) >= due)
    }

    /// Applies the noted changes: the bytes of each vat, and the deposit for them.
    pub(crate) fn settle_kept(&mut self) -> Result<()> {
        for (vat, changes) in std::mem::take(&mut self.kept) {
            if changes.values().all(|change| *change == 0) {
                continue;
            }
            let mut record = self.vat(vat)?;
            for (kind, change) in &changes {
                let bytes = record.kept.of(*kind);
                *bytes = bytes.checked_add_signed(*change).ok_or_else(|| {
                    inconsistent(format!("{vat} has freed more bytes than it kept: {kind:?}"))
                })?;
            }
            record.deposit = self.settle_deposit(vat, record.kept.total(), record.deposit)?;
            self.put_vat(vat, &record)?;
        }
        Ok(())
    }

    /// Moves computrons between a vat's meter and its deposit. Returns the new deposit. It is less than it should be if
    /// the meter does not hold enough, or never takes computrons.
    fn settle_deposit(&mut self, vat: VatId, bytes: u64, deposit: u128) -> Result<u128> {
        let price = self.globals().options.billing.kept_byte;
        let due = u128::from(bytes) * u128::from(price);
        if due == deposit {
            return Ok(deposit);
        }
        let Some(meter) = self.vat_config(vat)?.meter else { return Ok(deposit) };
        let Some(remaining) = self.meter(meter)?.and_then(|meter| meter.remaining) else {
            return Ok(deposit);
        };
        if due < deposit {
            self.update_meter(meter, |meter| {
                meter.remaining = meter.remaining.map(|old| old.saturating_add(deposit - due));
            })?;
            return Ok(due);
        }
        let taken = remaining.min(due - deposit);
        self.charge_meter(meter, taken)?;
        Ok(deposit + taken)
    }
}

/// Returns the sum of a vat's changes.
fn growth(changes: &BTreeMap<Keeping, i64>) -> i64 {
    changes.values().fold(0, |sum, change| sum.saturating_add(*change))
}
