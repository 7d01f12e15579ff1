//! Heap snapshots as this node keeps them: the pages of each live vat's last snapshot.
//!
//! The state holds a heap's hash alone; here lie the pages that it stands for. Equal pages are kept
//! once, whichever vats hold them, and counted. Of a snapshot only those are written that the store
//! does not have, and those are dropped that no vat's snapshot holds any more: at once where a
//! snapshot follows another, and bit by bit, crank after crank, where a whole heap goes.

use std::collections::BTreeMap;

use capstan_kernel_ports::{
    Hash, VatId,
    host::{HeapImage, HeapPage, HostFault, VatHost, WorkerSource},
    store::Read,
};

use crate::{
    error::{KernelPanic, Result, inconsistent},
    keys,
    state::{State, decode, get_record},
};

/// Pages of vanished heaps that one crank lets go: so much that no vat can make them faster, so little
/// that no crank is held up.
const PARTING_PAGES_A_CRANK: usize = 256;

/// The image of the vat's last snapshot, if this node has one.
pub(crate) fn image(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<HeapImage>> {
    get_record(state, &keys::heap(vat))
}

/// Starts the vat's worker with the heap of its last snapshot, whose hash is `expected`.
pub(crate) fn restore<H: VatHost>(
    state: &(impl Read + ?Sized),
    host: &mut H,
    vat: VatId,
    source: &WorkerSource,
    expected: Hash,
) -> Result<()> {
    let missing = || {
        let what = format!(
            "the heap snapshot {expected} of {vat} is not on this node; take the node's data from a copy of it or replay the chain"
        );
        KernelPanic::Host(HostFault(what))
    };
    let image = image(state, vat)?.filter(|image| image.hash == expected).ok_or_else(missing)?;
    let mut page = |hash: &Hash| {
        let found = state.get(&keys::heap_page(hash)).map_err(|fault| HostFault(fault.0))?;
        found.ok_or_else(|| {
            HostFault(format!("page {hash} of the heap of {vat} is not on this node"))
        })
    };
    Ok(host.restore(vat, source, &image, &mut page)?)
}

impl State<'_> {
    /// Keeps the heap that the vat's worker has now in place of the one of its last snapshot.
    pub(crate) fn save_heap<H: VatHost>(
        &mut self,
        host: &H,
        vat: VatId,
        new: &HeapImage,
    ) -> Result<()> {
        let key = keys::heap(vat);
        let old: Option<HeapImage> = self.get(&key)?;
        let mut before: BTreeMap<u32, Hash> = old
            .iter()
            .flat_map(|image| &image.pages)
            .map(|page| (page.number, page.hash))
            .collect();
        for page in &new.pages {
            match before.get(&page.number) {
                Some(hash) if *hash == page.hash => _ = before.remove(&page.number),
                _ => self.retain_page(host, vat, page)?,
            }
        }
        // Only now: a page that moved was retained above.
        for hash in before.into_values() {
            self.release_page(&hash)?;
        }
        self.put(&key, new)
    }

    /// Drops the vat's heap; its pages go little by little.
    pub(crate) fn drop_heap(&mut self, vat: VatId) -> Result<()> {
        let key = keys::heap(vat);
        let Some(image) = self.get::<HeapImage>(&key)? else { return Ok(()) };
        self.over.delete(&key);
        let pages: Vec<Hash> = image.pages.iter().map(|page| page.hash).collect();
        let mut number = self.globals().crank << 16;
        for pages in pages.chunks(PARTING_PAGES_A_CRANK) {
            // Another heap may have gone in this crank.
            while self.over.get(&keys::parting_heap(number))?.is_some() {
                number += 1;
            }
            self.put(&keys::parting_heap(number), &pages)?;
        }
        Ok(())
    }

    /// Lets go of some pages of heaps that were dropped.
    pub(crate) fn release_parting_pages(&mut self) -> Result<()> {
        let first = self.over.next_after(keys::PARTING_HEAPS, keys::PARTING_HEAPS)?;
        let Some((key, bytes)) = first else { return Ok(()) };
        for hash in decode::<Vec<Hash>>(&key, &bytes)? {
            self.release_page(&hash)?;
        }
        self.over.delete(&key);
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
