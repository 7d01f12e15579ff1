//! Heap snapshots as this node keeps them: the pages of each live vat's last snapshot.
//!
//! The state holds only a heap's hash. The pages that it stands for lie in local keys. Equal pages are kept
//! once and counted, whichever vats hold them. A snapshot writes only the pages that the store lacks. Pages
//! that no snapshot holds any more are deleted at once when a snapshot follows another. The pages of a heap
//! that is dropped whole are deleted over several cranks.
//!
//! A heap lists the vat's own pages alone. What the vats of one bundle have in common the host makes again from
//! the bundle. So a snapshot costs in proportion to the vat's own pages, and [`VatState::heap_pages`] counts them.
//!
//! [`VatState::heap_pages`]: crate::vat::VatState::heap_pages

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{
    Hash, VatId,
    host::{HeapImage, HeapPage, HostFault, VatHost, WorkerOptions, WorkerSource},
    store::Read,
};

use sha2::{Digest, Sha256};

use crate::{
    error::{KernelPanic, Result, inconsistent},
    state::{
        handle::{State, decode, get_record},
        keys,
    },
};

/// Pages of vanished heaps that one crank lets go: so many that no vat can make them faster, so few that
/// no crank is held up.
const RELEASED_PAGES_A_CRANK: usize = 256;

/// Length of a page in the list of a heap, in bytes: its number and its hash.
pub(crate) const LISTED_PAGE_BYTES: u64 = 36;

/// A heap as it is kept.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Kept {
    /// The vat's own pages.
    own: Vec<HeapPage>,
    hash: Hash,
    memory_bytes: u64,
    head: Vec<u8>,
}

/// The image of the vat's last snapshot, if this node has one.
pub(crate) fn image(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<HeapImage>> {
    let Some(kept) = get_record::<Kept>(state, &keys::heap(vat))? else { return Ok(None) };
    let Kept { own: pages, hash, memory_bytes, head } = kept;
    Ok(Some(HeapImage { hash, memory_bytes, head, pages }))
}

/// Returns the hash of the heap of the vat's last snapshot and those of its pages, if this node has one.
pub(crate) fn held(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<(Hash, Vec<Hash>)>> {
    let kept: Option<Kept> = get_record(state, &keys::heap(vat))?;
    Ok(kept.map(|Kept { own, hash, .. }| (hash, hashes(own))))
}

/// Returns the pages that a record of dropped ones names.
pub(crate) fn dropped(key: &[u8], value: &[u8]) -> Result<Vec<Hash>> {
    decode(key, value).map(hashes)
}

/// Returns the hashes of the pages of a heap that was kept as `value`, in their order. It must have the hash `expected`.
pub(crate) fn parse(key: &[u8], value: &[u8], expected: Hash) -> Result<Vec<Hash>> {
    let Kept { own, hash, .. } = decode(key, value)?;
    let name = || String::from_utf8_lossy(key).into_owned();
    if hash != expected {
        return Err(inconsistent(format!(
            "the heap {} has the hash {hash}, where the state has {expected}",
            name()
        )));
    }
    match own.is_sorted_by(|one, next| one.number < next.number) {
        true => Ok(hashes(own)),
        false => Err(inconsistent(format!("the pages of the heap {} are out of order", name()))),
    }
}

fn hashes(pages: Vec<HeapPage>) -> Vec<Hash> {
    pages.into_iter().map(|page| page.hash).collect()
}

/// Returns the size of the vat's heap at its last snapshot, in bytes. Returns `None` if this node has no such
/// snapshot.
pub(crate) fn size_bytes(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<u64>> {
    Ok(get_record::<Kept>(state, &keys::heap(vat))?.map(|kept| kept.memory_bytes))
}

/// Starts the vat's worker with the heap of its last snapshot, whose hash is `expected`.
pub(crate) fn restore<H: VatHost + ?Sized>(
    state: &(impl Read + ?Sized),
    host: &mut H,
    vat: VatId,
    (source, options): (&WorkerSource, &WorkerOptions),
    expected: Hash,
) -> Result<()> {
    let missing = || {
        let what = format!(
            "the heap snapshot {expected} of {vat} is not on this node; take the node's data from a copy of it or replay the chain"
        );
        KernelPanic::Host(HostFault::Missing(what))
    };
    let image = image(state, vat)?.filter(|image| image.hash == expected).ok_or_else(missing)?;
    let mut page = |hash: &Hash| {
        let found = state.get(&keys::heap_page(hash))?;
        found.ok_or_else(|| {
            HostFault::Missing(format!("page {hash} of the heap of {vat} is not on this node"))
        })
    };
    Ok(host.restore(vat, source, options, &image, &mut page)?)
}

impl State<'_> {
    /// Keeps the heap that the vat's worker has now in place of the one of its last snapshot. Returns the number of pages that
    /// the last one did not have, which is the same on every node.
    pub(crate) fn save_heap<H: VatHost>(
        &mut self,
        host: &H,
        vat: VatId,
        new: &HeapImage,
    ) -> Result<u64> {
        let key = keys::heap(vat);
        let old: Option<Kept> = self.get(&key)?;
        let own = new.pages.clone();
        let mut before = old.map(|old| by_number(&old.own)).unwrap_or_default();
        let mut changed = 0;
        for page in &own {
            match before.get(&page.number) {
                Some(hash) if *hash == page.hash => _ = before.remove(&page.number),
                _ => {
                    changed += 1;
                    self.retain_page(host, vat, page)?;
                }
            }
        }
        // Only now: a page that moved was retained above.
        for hash in before.into_values() {
            self.release_page(&hash)?;
        }
        let kept =
            Kept { own, hash: new.hash, memory_bytes: new.memory_bytes, head: new.head.clone() };
        self.put(&key, &kept)?;
        self.keep_heap(vat, new.pages.len() as u64)?;
        Ok(changed)
    }

    /// Drops the vat's heap. Its pages are released over the next cranks.
    pub(crate) fn drop_heap(&mut self, vat: VatId) -> Result<()> {
        let key = keys::heap(vat);
        let Some(kept) = self.get::<Kept>(&key)? else { return Ok(()) };
        self.over.delete(&key);
        self.keep_heap(vat, 0)?;
        self.queue_page_release(&kept.own)
    }

    /// Lets go of some pages of heaps that were dropped.
    pub(crate) fn release_dropped_pages(&mut self) -> Result<()> {
        let first = self.over.next_after(keys::DROPPED_HEAPS, keys::DROPPED_HEAPS)?;
        let Some((key, bytes)) = first else { return Ok(()) };
        for page in decode::<Vec<HeapPage>>(&key, &bytes)? {
            self.release_page(&page.hash)?;
        }
        self.over.delete(&key);
        Ok(())
    }

    fn queue_page_release(&mut self, pages: &[HeapPage]) -> Result<()> {
        let mut number = self.globals().crank << 16;
        for pages in pages.chunks(RELEASED_PAGES_A_CRANK) {
            // Another heap may have gone in this crank.
            while self.over.get(&keys::dropped_heap(number))?.is_some() {
                number += 1;
            }
            self.put(&keys::dropped_heap(number), &pages)?;
        }
        Ok(())
    }

    fn retain_page<H: VatHost>(&mut self, host: &H, vat: VatId, page: &HeapPage) -> Result<()> {
        let key = keys::heap_page_count(&page.hash);
        let count: u32 = self.get(&key)?.unwrap_or(0);
        if count == 0 {
            let gone = || inconsistent(format!("page {} of {vat} is gone", page.number));
            let bytes = host.heap_page(vat, page.number).ok_or_else(gone)?;
            self.over.set(&keys::heap_page(&page.hash), bytes);
        }
        self.put(&key, &count.saturating_add(1))
    }

    fn release_page(&mut self, hash: &Hash) -> Result<()> {
        let key = keys::heap_page_count(hash);
        match self.get::<u32>(&key)? {
            None | Some(0) => Err(inconsistent(format!("heap page {hash} is held but not kept"))),
            Some(1) => {
                self.over.delete(&key);
                self.over.delete(&keys::heap_page(hash));
                Ok(())
            }
            Some(count) => self.put(&key, &(count - 1)),
        }
    }
}

/// Returns the hash of a page's content, as hosts compute it.
pub(crate) fn page_hash(content: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(content).finalize().into())
}

fn by_number(pages: &[HeapPage]) -> BTreeMap<u32, Hash> {
    pages.iter().map(|page| (page.number, page.hash)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A heap with so many pages and a head of this length.
    pub(crate) fn kept(pages: u64, hash: Hash, head: usize) -> Vec<u8> {
        let page = |number| HeapPage { number, hash };
        let own = (0..pages as u32).map(page).collect();
        borsh::to_vec(&Kept { own, hash, memory_bytes: 1 << 20, head: vec![1; head] }).unwrap()
    }

    #[test]
    fn a_listed_page_has_the_length_that_bounds_a_list() {
        let length = |pages| kept(pages, Hash::default(), 0).len() as u64;
        assert_eq!(length(9) - length(2), 7 * LISTED_PAGE_BYTES);
    }
}
