//! Heap snapshots as this node keeps them: the pages of each live vat's last snapshot.
//!
//! The state holds only a heap's hash. The pages that it stands for lie in local keys. Equal pages are kept
//! once and counted, whichever vats hold them. A snapshot writes only the pages that the store lacks. Pages
//! that no snapshot holds any more are deleted at once when a snapshot follows another. The pages of a heap
//! that is dropped whole are deleted over several cranks.
//!
//! The vats of one bundle have most of their pages in common. The first pages of the first snapshot of any of them are
//! therefore kept as the bundle's *pattern*. The others list only how they differ from it. So a snapshot costs in
//! proportion to the vat's own pages.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::{
    Hash, VatId,
    host::{HeapImage, HeapPage, HostFault, VatHost, WorkerSource},
    store::Read,
};

use crate::{
    error::{KernelPanic, Result, inconsistent},
    state::{
        handle::{State, decode, get_record, need},
        keys,
    },
};

/// Pages of vanished heaps that one crank lets go: so many that no vat can make them faster, so few that
/// no crank is held up.
const RELEASED_PAGES_A_CRANK: usize = 256;

/// Upper bound of the pages of a pattern. A pattern outlives the vat that made it, and then nobody pays for its pages.
const MAX_PATTERN_PAGES: usize = 256;

/// A heap as it is kept.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Kept {
    /// The pages that the pattern does not have, or has otherwise.
    own: Vec<HeapPage>,
    /// The numbers of the pattern's pages that are as in a new worker here.
    absent: Vec<u32>,
    /// Whose pattern: see [`pattern_name`].
    pattern: String,
    hash: Hash,
    memory_bytes: u64,
    head: Vec<u8>,
}

/// The image of the vat's last snapshot, if this node has one.
pub(crate) fn image(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<HeapImage>> {
    let Some(kept) = get_record::<Kept>(state, &keys::heap(vat))? else { return Ok(None) };
    let missing = || inconsistent(format!("the pattern of the heap of {vat} is missing"));
    let pattern: Vec<HeapPage> =
        get_record(state, &keys::heap_pattern(&kept.pattern))?.ok_or_else(missing)?;
    let mut pages = by_number(&pattern);
    kept.absent.iter().for_each(|number| _ = pages.remove(number));
    pages.extend(by_number(&kept.own));
    let pages = pages.into_iter().map(|(number, hash)| HeapPage { number, hash }).collect();
    let Kept { hash, memory_bytes, head, .. } = kept;
    Ok(Some(HeapImage { hash, memory_bytes, head, pages }))
}

/// What a vat's heap refers to.
pub(crate) struct Held {
    /// Hash of the heap.
    pub(crate) hash: Hash,
    /// Pages that its pattern does not have.
    pub(crate) pages: Vec<Hash>,
    /// Name of its pattern.
    pub(crate) pattern: String,
}

/// Returns what the heap of the vat's last snapshot refers to, if this node has one.
pub(crate) fn held(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<Held>> {
    let kept: Option<Kept> = get_record(state, &keys::heap(vat))?;
    Ok(kept.map(|Kept { own, pattern, hash, .. }| Held { hash, pages: hashes(own), pattern }))
}

/// Returns the pages of a pattern.
pub(crate) fn pattern(state: &(impl Read + ?Sized), name: &str) -> Result<Vec<Hash>> {
    need(state, &keys::heap_pattern(name)).map(hashes)
}

/// Returns the pages that a record of dropped ones names.
pub(crate) fn dropped(key: &[u8], value: &[u8]) -> Result<Vec<Hash>> {
    decode(key, value).map(hashes)
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
        KernelPanic::Host(HostFault::Missing(what))
    };
    let image = image(state, vat)?.filter(|image| image.hash == expected).ok_or_else(missing)?;
    let mut page = |hash: &Hash| {
        let found = state.get(&keys::heap_page(hash))?;
        found.ok_or_else(|| {
            HostFault::Missing(format!("page {hash} of the heap of {vat} is not on this node"))
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
        let old: Option<Kept> = self.get(&key)?;
        let name = match &old {
            Some(old) => old.pattern.clone(),
            None => self.use_pattern(host, vat, new)?,
        };
        let pattern: Vec<HeapPage> = self.need(&keys::heap_pattern(&name))?;
        let mut absent = by_number(&pattern);
        let differs = |page: &&HeapPage| absent.remove(&page.number) != Some(page.hash);
        let own: Vec<HeapPage> = new.pages.iter().filter(differs).copied().collect();
        let mut before = old.map(|old| by_number(&old.own)).unwrap_or_default();
        for page in &own {
            match before.get(&page.number) {
                Some(hash) if *hash == page.hash => _ = before.remove(&page.number),
                _ => self.retain_page(host, vat, page)?,
            }
        }
        // Only now: a page that moved was retained above.
        for hash in before.into_values() {
            self.release_page(&hash)?;
        }
        let kept = Kept {
            own,
            absent: absent.into_keys().collect(),
            pattern: name,
            hash: new.hash,
            memory_bytes: new.memory_bytes,
            head: new.head.clone(),
        };
        self.put(&key, &kept)?;
        self.keep_heap(vat, new.pages.len() as u64)
    }

    /// Drops the vat's heap. Its pages are released over the next cranks.
    pub(crate) fn drop_heap(&mut self, vat: VatId) -> Result<()> {
        let key = keys::heap(vat);
        let Some(kept) = self.get::<Kept>(&key)? else { return Ok(()) };
        self.over.delete(&key);
        self.keep_heap(vat, 0)?;
        self.queue_page_release(&kept.own)?;
        let users_key = keys::heap_pattern_users(&kept.pattern);
        let users: u64 = self.need(&users_key)?;
        if users > 1 {
            return self.put(&users_key, &(users - 1));
        }
        let pattern_key = keys::heap_pattern(&kept.pattern);
        let pattern: Vec<HeapPage> = self.need(&pattern_key)?;
        self.over.delete(&users_key);
        self.over.delete(&pattern_key);
        self.queue_page_release(&pattern)
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

    /// Counts the vat among the users of its bundle's pattern, and returns the pattern's name. If the bundle
    /// has no pattern yet, `new` becomes it.
    fn use_pattern<H: VatHost>(&mut self, host: &H, vat: VatId, new: &HeapImage) -> Result<String> {
        let config = self.vat_config(vat)?;
        let name = pattern_name(&config.engine, &config.bundle_id);
        let users_key = keys::heap_pattern_users(&name);
        let users = self.get::<u64>(&users_key)?.unwrap_or(0);
        if users == 0 {
            let pattern = &new.pages[..new.pages.len().min(MAX_PATTERN_PAGES)];
            for page in pattern {
                self.retain_page(host, vat, page)?;
            }
            self.put(&keys::heap_pattern(&name), &pattern)?;
        }
        self.put(&users_key, &(users + 1))?;
        Ok(name)
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

/// Returns the name of a pattern: vats share one if they have engine and bundle in common.
fn pattern_name(engine: &Hash, bundle_id: &str) -> String {
    format!("{engine}.{bundle_id}")
}

fn by_number(pages: &[HeapPage]) -> BTreeMap<u32, Hash> {
    pages.iter().map(|page| (page.number, page.hash)).collect()
}
