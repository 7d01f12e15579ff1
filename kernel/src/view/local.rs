//! A check of the node-local records against the state that the root hash binds.
//!
//! The root hash does not cover keys that begin with `local.`. On a node they are right because the node wrote them. In a
//! state that comes from elsewhere they may say anything. So each is derived again here, or compared with the hash
//! that binds it. Two swapped lines in a reverse c-list would otherwise give an account somebody else's objects.

use std::{collections::BTreeMap, ops::Range};

use borsh::BorshDeserialize;
use capstan_abi::Delivery;
use capstan_kernel_ports::{
    Hash, VatId,
    store::{PROVEN, Read},
};

use crate::{
    error::{KernelPanic, Result, inconsistent},
    ids::{Endpoint, KRef},
    state::{
        clist::{ClistEntry, is_export},
        handle::{decode, get_record},
        keys,
        remote::OutboxEntry,
        vat::{Span, VatState, VatStatus, all_vats},
    },
    vats::heap,
};

/// Prefixes of what is not checked here: the records of applications, counters on which nothing depends, and the
/// proven tree, which the store checks.
const UNCHECKED: [&[u8]; 3] = [b"local.a.", keys::STATS, PROVEN];

/// The node-local entries that another node needs to go on from a state.
///
/// Transcript entries that no replay needs are not among them. So nodes that archive and nodes that do not export the same.
#[derive(Clone, Debug)]
pub struct NeededLocal {
    /// The transcript entries that a replay of each vat needs.
    transcripts: BTreeMap<VatId, Range<u64>>,
}

impl NeededLocal {
    /// Reads from `state` what is needed.
    ///
    /// # Errors
    /// Returns a [`KernelPanic`] if the state cannot be read.
    pub fn of(state: &(impl Read + ?Sized)) -> Result<Self> {
        let mut transcripts = BTreeMap::new();
        for vat in all_vats(state)? {
            if let Some(record) = get_record::<VatState>(state, &keys::vat_state(vat))? {
                transcripts.insert(vat, needed_entries(&record));
            }
        }
        Ok(Self { transcripts })
    }

    /// Returns true if the entry with this key is needed.
    pub fn includes(&self, key: &[u8]) -> bool {
        match keys::parse_transcript(key) {
            Some((vat, position)) => {
                self.transcripts.get(&vat).is_some_and(|needed| needed.contains(&position))
            }
            None => !UNCHECKED.iter().any(|prefix| key.starts_with(prefix)),
        }
    }
}

/// Returns the positions of the transcript entries that a node needs. Once the cleanup of a vat that ended has begun,
/// nothing needs what is left of its transcript, and no hash binds it.
fn needed_entries(record: &VatState) -> Range<u64> {
    let is_being_cleaned_up =
        record.status != VatStatus::Running && record.kept_from != record.span.start;
    let first = if is_being_cleaned_up { record.span.end } else { record.kept_from };
    first..record.span.end
}

/// Checks all node-local records of the kernel.
///
/// # Errors
/// Returns [`KernelPanic::Inconsistent`] with the first record that is missing, is wrong or should not be there.
pub fn check_local(state: &(impl Read + ?Sized)) -> Result<()> {
    let mut expected = 0;
    expected += check_clists(state)?;
    expected += check_outboxes(state)?;
    expected += check_transcripts(state)?;
    expected += check_heaps(state)?;
    let mut found = 0;
    each(state, keys::ALL_LOCAL, |key, _| {
        found += u64::from(!UNCHECKED.iter().any(|prefix| key.starts_with(prefix)));
        Ok(())
    })?;
    match found == expected {
        true => Ok(()),
        false => Err(inconsistent(format!(
            "the state has {found} node-local records of the kernel, where {expected} follow from the rest"
        ))),
    }
}

/// Checks the reverse c-lists and the importers of objects. Returns the number of records.
fn check_clists(state: &(impl Read + ?Sized)) -> Result<u64> {
    let mut count = 0;
    each(state, keys::CLISTS, |key, value| {
        let (endpoint, kref) = keys::parse_clist(&key[keys::CLISTS.len()..])?;
        let ClistEntry { vref, .. } = decode(key, value)?;
        insist(state, &keys::clist_reverse(endpoint, &vref), &kref)?;
        count += 1;
        // Devices are not asked to let go of what they import.
        let is_counted = !matches!(endpoint, Endpoint::Device(_));
        if is_counted && matches!(kref, KRef::Object(_)) && !is_export(&vref) {
            let importer = keys::importer(kref, endpoint);
            if state.get(&importer)?.is_none() {
                return Err(missing(&importer));
            }
            count += 1;
        }
        Ok(())
    })?;
    Ok(count)
}

/// Checks which outbox entry settled which promise. Returns the number of records.
fn check_outboxes(state: &(impl Read + ?Sized)) -> Result<u64> {
    let mut count = 0;
    each(state, keys::OUTBOXES, |key, value| {
        let (remote, number) = keys::parse_outbox(&key[keys::OUTBOXES.len()..])?;
        let OutboxEntry { delivery, .. } = decode(key, value)?;
        let Delivery::Notify { resolutions } = delivery else {
            return Ok(());
        };
        for resolution in resolutions {
            insist(state, &keys::settled(remote, &resolution.promise), &number)?;
            count += 1;
        }
        Ok(())
    })?;
    Ok(count)
}

/// Checks the transcripts by the hash of each vat's span. Returns the number of entries.
fn check_transcripts(state: &(impl Read + ?Sized)) -> Result<u64> {
    let mut count = 0;
    for vat in all_vats(state)? {
        let Some(record) = get_record::<VatState>(state, &keys::vat_state(vat))? else { continue };
        let needed = needed_entries(&record);
        let VatState { span, kept_from, status, .. } = record;
        // What is left of the others may be there or not.
        for position in kept_from..needed.start {
            count += u64::from(state.get(&keys::transcript(vat, position))?.is_some());
        }
        let mut hash = Span::first_hash();
        for position in needed {
            let key = keys::transcript(vat, position);
            let entry = state.get(&key)?.ok_or_else(|| missing(&key))?;
            if position >= span.start {
                hash = Span::next_hash(hash, &entry);
            }
            count += 1;
        }
        let is_whole = status == VatStatus::Running || kept_from == span.start;
        if is_whole && kept_from <= span.start && hash != span.hash {
            return Err(inconsistent(format!(
                "the transcript of {vat} has the hash {hash}, where the state has {}",
                span.hash
            )));
        }
    }
    Ok(count)
}

/// Checks that each vat has the heap of its last snapshot, that each page is held as often as its count says, and that its
/// content has its hash. [`check_heaps`](super::check_heaps) checks that the pages make up the heap. Returns the number of
/// records.
fn check_heaps(state: &(impl Read + ?Sized)) -> Result<u64> {
    let mut holds: BTreeMap<Hash, u32> = BTreeMap::new();
    let mut count = 0;
    let mut hold = |pages: Vec<Hash>| {
        pages.into_iter().for_each(|page| *holds.entry(page).or_default() += 1);
    };
    for vat in all_vats(state)? {
        let Some(record) = get_record::<VatState>(state, &keys::vat_state(vat))? else { continue };
        let kept = heap::held(state, vat)?;
        let snapshot = record.snapshot.map(|(hash, _)| hash);
        let is_bound = match &kept {
            Some((hash, _)) => record.status != VatStatus::Running || Some(*hash) == snapshot,
            None => snapshot.is_none_or(|hash| hash == Hash::default()),
        };
        if record.status == VatStatus::Running && !is_bound {
            return Err(inconsistent(format!(
                "the heap of {vat} is not that of its last snapshot"
            )));
        }
        if let Some((_, pages)) = kept {
            count += 1;
            hold(pages);
        }
    }
    each(state, keys::DROPPED_HEAPS, |key, value| {
        hold(heap::dropped(key, value)?);
        count += 1;
        Ok(())
    })?;
    for (page, times) in holds {
        insist(state, &keys::heap_page_count(&page), &times)?;
        let key = keys::heap_page(&page);
        let content = state.get(&key)?.ok_or_else(|| missing(&key))?;
        if heap::page_hash(&content) != page {
            return Err(inconsistent(format!("the heap page {page} is not what its hash says")));
        }
        count += 2;
    }
    Ok(count)
}

/// Calls `visit` for each entry whose key begins with `prefix`.
pub(super) fn each(
    state: &(impl Read + ?Sized),
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let mut after = prefix.to_vec();
    while let Some((key, value)) = state.next_after(prefix, &after)? {
        visit(&key, &value)?;
        after = key;
    }
    Ok(())
}

/// Checks that the record at `key` is `expected`.
fn insist<T: BorshDeserialize + PartialEq>(
    state: &(impl Read + ?Sized),
    key: &[u8],
    expected: &T,
) -> Result<()> {
    match get_record::<T>(state, key)? {
        Some(found) if found == *expected => Ok(()),
        Some(_) => Err(inconsistent(format!(
            "the node-local record {} does not follow from the rest of the state",
            String::from_utf8_lossy(key)
        ))),
        None => Err(missing(key)),
    }
}

fn missing(key: &[u8]) -> KernelPanic {
    inconsistent(format!("the node-local record {} is missing", String::from_utf8_lossy(key)))
}
