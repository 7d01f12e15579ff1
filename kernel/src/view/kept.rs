//! What vats keep, counted from the records themselves.

use std::collections::{BTreeMap, BTreeSet};

use capstan_kernel_ports::{VatId, store::Read};

use super::local::each;
use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    state::{
        clist::{ClistEntry, is_export},
        event::Waiting,
        handle::decode,
        keeping::{EXPORT_BYTES, Keeping, Kept, PAGE_BYTES, capdata_bytes, vatstore_bytes},
        keys, parameters,
        promise::{PromiseRecord, Stage},
        remote::OutboxEntry,
        vat::all_vats,
    },
    vats::heap,
};

/// Counts what each vat keeps from the records of the whole state.
///
/// [`VatState::kept`](crate::vat::VatState::kept) has the same numbers, which cranks keep up to date. This function reads
/// everything, so it is for tests and tools.
///
/// # Errors
/// Returns a [`KernelPanic`](crate::KernelPanic) if a record cannot be read.
pub fn count_kept(state: &(impl Read + ?Sized)) -> Result<BTreeMap<VatId, Kept>> {
    let mut count = Count::default();
    for vat in all_vats(state)? {
        count.kept.entry(vat).or_default();
        let parameters = parameters::kept_by(state, vat)?;
        count.add(vat, Keeping::Parameters, parameters);
        if let Some(image) = heap::image(state, vat)? {
            count.add(vat, Keeping::Heap, PAGE_BYTES * image.pages.len() as u64);
        }
    }
    each(state, keys::VATSTORES, |key, value| {
        let name = &key[keys::VATSTORES.len()..];
        let end = name.iter().position(|byte| *byte == b'.').ok_or_else(|| odd(key))?;
        let endpoint = std::str::from_utf8(&name[..end]).ok().and_then(Endpoint::parse);
        if let Some(Endpoint::Vat(vat)) = endpoint {
            let bytes = vatstore_bytes(name.len() - end - 1, value.len());
            count.add(vat, Keeping::Vatstore, bytes);
        }
        Ok(())
    })?;
    each(state, keys::CLISTS, |key, value| {
        let name = String::from_utf8_lossy(&key[keys::CLISTS.len()..]).into_owned();
        let parsed =
            name.split_once('.').map(|(vat, kref)| (Endpoint::parse(vat), KRef::parse(kref)));
        let Some((Some(endpoint), Some(kref))) = parsed else { return Err(odd(key)) };
        let ClistEntry { vref, .. } = decode(key, value)?;
        if let (Endpoint::Vat(vat), false) = (endpoint, matches!(kref, KRef::Device(_)))
            && is_export(&vref)
        {
            count.add(vat, Keeping::Export, EXPORT_BYTES);
        }
        Ok(())
    })?;
    count.count_promises(state)?;
    each(state, keys::OUTBOXES, |key, value| {
        for (vat, bytes) in decode::<OutboxEntry>(key, value)?.paid {
            count.add(vat, Keeping::Outbox, bytes);
        }
        Ok(())
    })?;
    Ok(count.kept)
}

#[derive(Default)]
struct Count {
    kept: BTreeMap<VatId, Kept>,
}

impl Count {
    fn add(&mut self, vat: VatId, kind: Keeping, bytes: u64) {
        *self.kept.entry(vat).or_default().of(kind) += bytes;
    }

    /// Counts the data of settled promises, once where promises share them, and the messages that wait.
    fn count_promises(&mut self, state: &(impl Read + ?Sized)) -> Result<()> {
        let mut counted = BTreeSet::new();
        each(state, keys::PROMISES, |key, value| {
            if let Stage::Settled(settled) = decode::<PromiseRecord>(key, value)?.stage
                && let Some((vat, source, bytes)) = settled.data.kept_apart()
                && counted.insert(source)
            {
                self.add(vat, Keeping::Promise, bytes);
            }
            Ok(())
        })?;
        each(state, keys::WAITING_MESSAGES, |key, value| {
            let Waiting { message, payer } = decode(key, value)?;
            if let Some(vat) = payer.keeper() {
                self.add(vat, Keeping::Message, capdata_bytes(&message.methargs));
            }
            Ok(())
        })
    }
}

fn odd(key: &[u8]) -> crate::KernelPanic {
    inconsistent(format!("odd key {}", String::from_utf8_lossy(key)))
}
