//! What accounts are told of promises: the bytes of it that they have not acknowledged, and what is put off meanwhile.
//!
//! Strangers pass promises to accounts, and one large value may stand behind any number of them. So a notification is
//! put off while the account has [`MAX_TOLD_BYTES`] of others to acknowledge. It is a reference then, and no data.
//! Each acknowledgement, and each notification that follows, takes up the next one.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::Resolution;

use crate::{
    error::Result,
    ids::{Endpoint, KRef, RemoteId},
    limits::{CALL_SLOT_BYTES, MAX_TOLD_BYTES},
    state::{
        handle::State,
        keeping::{DATA_NOT_COVERED, Keeping, Paid, capdata_bytes},
        keys,
        promise::Stage,
        queue::RunQueueEvent,
        rejection::delivery_failed,
    },
};

/// The notifications of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Told {
    /// The bytes of those in the outbox that are not acknowledged.
    pub bytes: u64,
    /// The number of the first one that is put off.
    pub head: u64,
    /// One past the number of the last one that is put off.
    pub tail: u64,
}

impl Told {
    /// Returns true if the account has to acknowledge something before it is told more.
    pub fn is_full(self) -> bool {
        self.bytes >= MAX_TOLD_BYTES
    }
}

/// Returns the size of a notification, for [`Told::bytes`].
pub(crate) fn told_bytes<R>(resolutions: &[Resolution<R>]) -> u64 {
    let size = |resolution: &Resolution<R>| {
        let slots = 1 + resolution.data.slots.len() as u64;
        resolution.data.body.len() as u64 + CALL_SLOT_BYTES * slots
    };
    resolutions.iter().map(size).sum()
}

impl State<'_> {
    /// Notes who keeps the data of a notification to an account: the vats that settled the promises. Data that their
    /// meters do not cover become rejections. Returns what they pay for.
    pub(crate) fn keep_told(&mut self, resolutions: &mut [Resolution<KRef>]) -> Result<Vec<Paid>> {
        let mut paid: Vec<Paid> = Vec::new();
        for resolution in resolutions {
            let record = self.promise(resolution.promise)?;
            let Stage::Settled(settled) = record.stage else { continue };
            let Some(vat) = settled.data.keeper() else { continue };
            if paid.last().is_some_and(|(last, _)| *last != vat) {
                // The data of both vats may be for the same meter.
                self.settle_kept()?;
            }
            // If nobody else holds the promise, its data move from there to the outbox.
            let moved = match settled.data.kept_apart() {
                Some((_, _, bytes)) if record.ref_count == 1 => bytes,
                _ => 0,
            };
            let bytes = capdata_bytes(&resolution.data);
            self.free(vat, Keeping::Promise, moved);
            let is_kept = self.try_keep(Some(vat), Keeping::Outbox, bytes)?;
            self.keep(vat, Keeping::Promise, moved);
            if is_kept {
                paid.push((vat, bytes));
            } else {
                resolution.rejected = true;
                resolution.data = delivery_failed(DATA_NOT_COVERED);
            }
        }
        Ok(paid)
    }

    /// Puts a notification off if the account has enough to acknowledge. Returns true if it did. The queue's hold of
    /// the promise goes over to the record.
    pub(crate) fn put_off(&mut self, remote: RemoteId, promise: KRef) -> Result<bool> {
        let told = self.remote(remote)?.told;
        let is_void = self.clist_entry(Endpoint::Remote(remote), promise)?.is_none();
        if !told.is_full() || is_void {
            return Ok(false);
        }
        self.put(&keys::put_off(remote, told.tail), &promise)?;
        self.update_remote(remote, |record| record.told.tail += 1)?;
        Ok(true)
    }

    /// Queues the next notification that was put off, if the account has room for it.
    pub(crate) fn take_up(&mut self, remote: RemoteId) -> Result<()> {
        let told = self.remote(remote)?.told;
        if told.head == told.tail || told.is_full() {
            return Ok(());
        }
        let key = keys::put_off(remote, told.head);
        let promise = self.need(&key)?;
        self.over.delete(&key);
        self.update_remote(remote, |record| record.told.head += 1)?;
        self.accept(RunQueueEvent::Notify { endpoint: Endpoint::Remote(remote), promise })
    }
}
